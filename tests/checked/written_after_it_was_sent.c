/* Fault: a byte is written after it has arrived at the peer, before the event of its send without a copy
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 0 of 4096, in planted_write
 * checksum: kula_send .*the bytes changed while they were being written or sent
 */
#include "planted.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A send without a copy (MSG_ZEROCOPY), where the ring can: its result is there before its event. */
int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_connection(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    memset(bytes, '.', PLANTED_BYTES);
    planted_watch(bytes, PLANTED_BYTES);
    kula_send(ring, fds[0], &buffer, PLANTED_BYTES, MSG_ZEROCOPY, NULL);
    planted_start(ring);
    char first;
    if (read(fds[1], &first, 1) != 1 || first != '.') {
        return 1;
    }
#ifndef CORRECTED
    planted_write(bytes, 0);
#endif
    buffer = kula_take(planted_await(ring));
#ifdef CORRECTED
    planted_write(kula_bytes(buffer), 0);
#endif
    kula_free(&buffer);
    return planted_close(ring);
}
