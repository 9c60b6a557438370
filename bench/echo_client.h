/* echo_client.h - the load on an echo server: many connections, one message under way on each. */
#ifndef BENCH_ECHO_CLIENT_H
#define BENCH_ECHO_CLIENT_H

#include <stdint.h>
#include <sys/types.h>

struct bench_echo_result {
    uint64_t wall_ns;
    uint64_t server_cpu_ns;
};

/* A listening socket on 127.0.0.1. */
int bench_echo_listen(uint16_t *ret_port);

/* Opens `connections` connections to the port, moves some messages to warm up and then `messages`
 * that count, checks every byte that comes back, and closes. `server` is whose CPU time is read. */
struct bench_echo_result bench_echo_drive(uint16_t port,
                                          pid_t server,
                                          unsigned connections,
                                          uint64_t messages);

#endif
