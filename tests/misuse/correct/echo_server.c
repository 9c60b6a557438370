/* A whole TCP echo server: accept, receive, send what came, close at the end. */
#include <kula.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct connection {
    int fd;
    size_t length;
    size_t sent;
    void (*step)(struct kula_ring *ring,
                 struct connection *connection,
                 struct kula_event *event);
};

static void on_received(struct kula_ring *, struct connection *, struct kula_event *);
static void on_sent(struct kula_ring *, struct connection *, struct kula_event *);
static void on_closed(struct kula_ring *, struct connection *, struct kula_event *);

static void hang_up(struct kula_ring *ring, struct connection *connection)
{
    connection->step = on_closed;
    kula_close_fd(ring, connection->fd, connection);
}

static void send_rest(struct kula_ring *ring, struct connection *connection, kula_buf buffer)
{
    connection->step = on_sent;
    kula_window(buffer, connection->sent);
    size_t rest = connection->length - connection->sent;
    kula_send(ring, connection->fd, &buffer, rest, 0, connection);
}

static void on_received(struct kula_ring *ring,
                        struct connection *connection,
                        struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (!buffer || event->result <= 0) {
        kula_free(&buffer);
        hang_up(ring, connection);
        return;
    }
    connection->length = (size_t)event->result;
    connection->sent = 0;
    send_rest(ring, connection, buffer);
}

static void on_sent(struct kula_ring *ring,
                    struct connection *connection,
                    struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (!buffer || event->result < 0) {
        kula_free(&buffer);
        hang_up(ring, connection);
        return;
    }
    connection->sent += (size_t)event->result;
    if (connection->sent < connection->length) {
        send_rest(ring, connection, buffer);
        return;
    }
    kula_window(buffer, 0);
    connection->step = on_received;
    kula_recv(ring, connection->fd, &buffer, kula_capacity(buffer), 0, connection);
}

static void on_closed(struct kula_ring *ring,
                      struct connection *connection,
                      struct kula_event *event)
{
    (void)ring;
    (void)event;
    free(connection);
}

static void on_accepted(struct kula_ring *ring, int listener, struct kula_event *event)
{
    if (event->result >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        kula_buf buffer = kula_alloc(ring, 4096);
        if (connection && buffer) {
            connection->fd = event->result;
            connection->step = on_received;
            kula_recv(ring, connection->fd, &buffer, 4096, 0, connection);
        } else {
            free(connection);
            kula_free(&buffer);
            kula_close_fd(ring, event->result, NULL);
        }
    }
    kula_accept(ring, listener, NULL);
}

static int serve(struct kula_ring *ring, int listener)
{
    kula_op pending = kula_accept(ring, listener, NULL);
    while (pending) {
        int ready = kula_wait(ring, KULA_FOREVER);
        if (ready < 0) {
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(ring));) {
            struct connection *connection = event->user;
            if (connection) {
                connection->step(ring, connection, event);
            } else {
                on_accepted(ring, listener, event);
            }
        }
    }
    return 0;
}

int main(void)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 128) < 0) {
        perror("listen");
        return 1;
    }
    struct kula_ring *ring;
    int error = kula_open(NULL, &ring);
    if (error < 0) {
        fprintf(stderr, "kula_open: %s\n", kula_explain(error));
        return 1;
    }
    error = serve(ring, listener);
    kula_close_fd(ring, listener, NULL);
    return kula_close(&ring, KULA_SECOND) < 0 || error < 0;
}
