#include "echo_client.h"

#include "harness.h"
#include "subject.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM_UP_ROUNDS 20
#define EVENTS_MAX     512

struct connection {
    int fd;
    uint32_t received; /* bytes of the message that is coming back */
    unsigned char sent[BENCH_MESSAGE_BYTES];
    unsigned char back[BENCH_MESSAGE_BYTES];
};

struct client {
    int epoll;
    unsigned connection_count;
    uint64_t to_send;
    uint64_t returned;
    struct connection *connections;
};

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int bench_echo_listen(uint16_t *ret_port)
{
    int fd = bench_checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    (void)bench_checked(bind(fd, (struct sockaddr *)&address, length), "bind");
    (void)bench_checked(listen(fd, SOMAXCONN), "listen");
    (void)bench_checked(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void send_message(struct client *client, struct connection *connection)
{
    uint64_t number = client->to_send--;
    memcpy(connection->sent, &number, sizeof(number));
    connection->received = 0;
    ssize_t sent = send(connection->fd, connection->sent, BENCH_MESSAGE_BYTES, MSG_NOSIGNAL);
    if (sent != BENCH_MESSAGE_BYTES) {
        bench_fail("client: send", sent < 0 ? -errno : -EMSGSIZE);
    }
}

static void receive_message(struct client *client, struct connection *connection)
{
    ssize_t received = recv(connection->fd, connection->back + connection->received,
                            BENCH_MESSAGE_BYTES - connection->received, MSG_DONTWAIT);
    if (received <= 0) {
        bench_fail("client: recv", received < 0 ? -errno : -ECONNRESET);
    }
    connection->received += (uint32_t)received;
    if (connection->received < BENCH_MESSAGE_BYTES) {
        return;
    }
    if (memcmp(connection->sent, connection->back, BENCH_MESSAGE_BYTES) != 0) {
        bench_fail("client: the echo differs from what was sent", -EPROTO);
    }
    client->returned++;
    if (client->to_send > 0) {
        send_message(client, connection);
    }
}

static void open_connections(struct client *client, uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int on = 1;
    for (unsigned i = 0; i < client->connection_count; i++) {
        struct connection *connection = &client->connections[i];
        int fd = bench_checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
        (void)bench_checked(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                            "client: connect");
        (void)bench_checked(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)),
                            "client: TCP_NODELAY");
        struct epoll_event interest = { .events = EPOLLIN, .data.ptr = connection };
        (void)bench_checked(epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &interest),
                            "client: epoll_ctl");
        connection->fd = fd;
        memset(connection->sent, (int)('a' + i % 26), sizeof(connection->sent));
    }
}

/* Moves `messages` messages, at most one at a time on each connection. */
static void exchange(struct client *client, uint64_t messages)
{
    client->to_send = messages;
    client->returned = 0;
    for (unsigned i = 0; i < client->connection_count && client->to_send > 0; i++) {
        send_message(client, &client->connections[i]);
    }
    while (client->returned < messages) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(client->epoll, events, EVENTS_MAX, -1);
        (void)bench_checked(count, "client: epoll_wait");
        for (int i = 0; i < count; i++) {
            receive_message(client, events[i].data.ptr);
        }
    }
}

struct bench_echo_result bench_echo_drive(uint16_t port,
                                          pid_t server,
                                          unsigned connections,
                                          uint64_t messages)
{
    struct client client = {
        .epoll = bench_checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"),
        .connection_count = connections,
        .connections = bench_allocate_checked(connections, sizeof(struct connection)),
    };
    open_connections(&client, port);
    exchange(&client, (uint64_t)connections * WARM_UP_ROUNDS);
    uint64_t wall_ns = bench_wall_ns();
    uint64_t cpu_ns = bench_process_cpu_ns(server);
    exchange(&client, messages);
    struct bench_echo_result result = {
        .wall_ns = bench_wall_ns() - wall_ns,
        .server_cpu_ns = bench_process_cpu_ns(server) - cpu_ns,
    };
    for (unsigned i = 0; i < connections; i++) {
        (void)close(client.connections[i].fd);
    }
    (void)close(client.epoll);
    free(client.connections);
    return result;
}
