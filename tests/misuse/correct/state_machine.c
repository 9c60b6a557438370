/* A connection that receives and sends in turn. Which of the two it does is its state; the buffer
 * travels from event to event as a parameter. */
#include <kula.h>

#include <stdlib.h>

enum state {
    RECEIVING,
    SENDING,
    CLOSING
};

struct peer {
    enum state state;
    int fd;
    size_t size;
    size_t sent;
};

void peer_start(struct kula_ring *ring, int fd);
void peer_event(struct kula_ring *ring, struct kula_event *event);

static void receive(struct kula_ring *ring, struct peer *peer, kula_buf buffer)
{
    peer->state = RECEIVING;
    kula_window(buffer, 0);
    kula_recv(ring, peer->fd, &buffer, 1024, 0, peer);
}

static void send_rest(struct kula_ring *ring, struct peer *peer, kula_buf buffer)
{
    peer->state = SENDING;
    kula_window(buffer, peer->sent);
    kula_send(ring, peer->fd, &buffer, peer->size - peer->sent, 0, peer);
}

static void end(struct kula_ring *ring, struct peer *peer, kula_buf buffer)
{
    kula_free(&buffer);
    peer->state = CLOSING;
    kula_close_fd(ring, peer->fd, peer);
}

void peer_start(struct kula_ring *ring, int fd)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        return;
    }
    peer->fd = fd;
    kula_buf buffer = kula_alloc(ring, 1024);
    if (!buffer) {
        end(ring, peer, NULL);
        return;
    }
    receive(ring, peer, buffer);
}

void peer_event(struct kula_ring *ring, struct kula_event *event)
{
    struct peer *peer = event->user;
    kula_buf buffer = kula_take(event);
    if (peer->state == CLOSING) {
        kula_free(&buffer);
        free(peer);
        return;
    }
    if (!buffer || event->result <= 0) {
        end(ring, peer, buffer);
        return;
    }
    if (peer->state == RECEIVING) {
        peer->size = (size_t)event->result;
        peer->sent = 0;
        send_rest(ring, peer, buffer);
        return;
    }
    peer->sent += (size_t)event->result;
    if (peer->sent < peer->size) {
        send_rest(ring, peer, buffer);
        return;
    }
    receive(ring, peer, buffer);
}
