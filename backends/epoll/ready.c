/* ready.c - registrations, and the queues of operations that wait for readiness.
 *
 * A descriptor is registered once, edge-triggered and for everything, when an operation first has to
 * wait for it, and stays registered until it is forgotten: a message costs no epoll_ctl. An edge is
 * told once, so the record remembers what it meant: "drained" is set when a try found nothing, and
 * cleared by the next edge. While it is set, operations queue without being tried.
 *
 * No edge is lost between a try that fails and the registration: EPOLL_CTL_ADD looks at the file and
 * reports what is there already.
 */
#include "state.h"

#include "common/perform.h"
#include "common/workers.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>

enum direction {
    IN,
    OUT,
};

enum backend_bits {
    DRAINED_IN = 1 << IN, /* nothing to read since the last edge */
    DRAINED_OUT = 1 << OUT,
    POLLS = 1 << 2, /* the IN queue may hold polls, which want edges of either direction */
    OUT_OF_BAND = 1 << 3, /* an end, an error or urgent data: see short_means_drained */
    TCP = 1 << 4,
    NOT_TCP = 1 << 5,
};

#define EDGES_IN  (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)
#define EDGES_OUT (EPOLLOUT | EPOLLHUP | EPOLLERR)

int kula__epoll_control(int epoll_fd, int action, int fd, uint32_t events, uint64_t number)
{
    /* removing needs nothing that could be short: it is counted, but never made to fail */
    int error = kula__fault("epoll_ctl", action == EPOLL_CTL_DEL ? 0 : ENOMEM);
    if (error < 0) {
        return error;
    }
    struct epoll_event event = { .events = events, .data = { .u64 = number } };
    return epoll_ctl(epoll_fd, action, fd, &event) < 0 ? -errno : 0;
}

static enum direction direction_of(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].readiness == POLLOUT ? OUT : IN;
}

/* Operations of which one that would have to wait means that all of that direction would. Not: polls,
 * a connect, and receives that look for something else than the next byte. */
static bool is_plain(const struct kula__slot *slot)
{
    switch (slot->operation) {
    case KULA__OP_RECV:
        return (slot->opflags & ~(uint32_t)(MSG_WAITALL | MSG_TRUNC)) == 0;
    case KULA__OP_CONNECT:
    case KULA__OP_POLL:
        return false;
    default:
        return true;
    }
}

bool kula__epoll_is_drained(const struct kula__fd *record, const struct kula__slot *slot)
{
    return (record->backend_bits & (1u << direction_of(slot))) != 0 && is_plain(slot);
}

/* Asked once for each registration, with the first short read. */
static bool is_tcp(struct kula__fd *record, int fd)
{
    if (!(record->backend_bits & (TCP | NOT_TCP))) {
        int protocol = 0;
        socklen_t length = sizeof protocol;
        bool tcp = kula__fault("getsockopt", ENOMEM) == 0 &&
                   getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
                   protocol == IPPROTO_TCP;
        record->backend_bits |= tcp ? TCP : NOT_TCP;
    }
    return (record->backend_bits & TCP) != 0;
}

/* Whether a read that brought less than asked for has emptied the socket, so that the next one need
 * not be tried. epoll(7) promises it for streams, but reads of Unix sockets also end at passed
 * descriptors, and on TCP they end at the urgent mark and before the end of the stream: hence TCP
 * only, and never again once anything but plain readiness was told. What comes after the last
 * harvested edge brings an edge of its own. */
static bool short_means_drained(struct kula__fd *record, int fd)
{
    return record->registration != 0 && !(record->backend_bits & OUT_OF_BAND) &&
           is_tcp(record, fd);
}

void kula__epoll_note(struct kula__fd *record, const struct kula__slot *slot, int32_t result)
{
    bool reads = slot->operation == KULA__OP_READ ||
                 (slot->operation == KULA__OP_RECV && slot->opflags == 0);
    if (reads && result > 0 && (uint32_t)result < slot->length &&
        short_means_drained(record, slot->fd)) {
        record->backend_bits |= DRAINED_IN;
    }
}

/* Registers a descriptor. Each registration has a number of its own, so that an event that is still
 * on its way for an earlier file of the same number is told apart. */
static int watch(struct kula__epoll_state *state, struct kula__fd *record, int fd)
{
    uint32_t registration = state->registrations + 1;
    registration += registration == 0; /* 0 means none, and the ring's own descriptors */
    uint64_t number = (uint64_t)registration << 32 | (uint32_t)fd;
    uint32_t events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;

    int error = kula__epoll_control(state->epoll_fd, EPOLL_CTL_ADD, fd, events, number);
    if (error == -EEXIST) {
        /* The program closed the descriptor behind our back while a duplicate kept the file, and has
         * put the file back under this number. A change looks at the file as an addition does. */
        error = kula__epoll_control(state->epoll_fd, EPOLL_CTL_MOD, fd, events, number);
    }
    if (error < 0) {
        return error;
    }
    state->registrations = registration;
    record->registration = registration;
    record->backend_bits = 0;
    return 0;
}

static void enqueue(struct kula__epoll_state *state,
                    struct kula__slot *slot,
                    struct kula__fd *record)
{
    enum direction direction = direction_of(slot);
    slot->next = NULL;
    if (record->ready_head[direction]) {
        record->ready_tail[direction]->next = slot;
    } else {
        record->ready_head[direction] = slot;
    }
    record->ready_tail[direction] = slot;
    if (slot->operation == KULA__OP_POLL) {
        record->backend_bits |= POLLS;
    }
    state->waiting++;
}

int kula__epoll_park(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    if (!record->registration) {
        int error = watch(state, record, slot->fd);
        if (error < 0) {
            return error;
        }
    }
    if (is_plain(slot)) {
        record->backend_bits |= 1u << direction_of(slot);
    }
    enqueue(state, slot, record);
    return 0;
}

/* Tries all that waits in one direction, in order. No more than are there now: what their ends set
 * going is started by the next flush, so one busy descriptor cannot keep the others waiting. */
static void serve_queue(struct kula_ring *ring,
                        struct kula__fd *record,
                        enum direction direction)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    struct kula__slot *slot = record->ready_head[direction];
    record->ready_head[direction] = NULL;
    record->ready_tail[direction] = NULL;
    if (direction == IN) {
        record->backend_bits &= ~(uint32_t)POLLS;
    }
    /* An operation that is left pins the record; after the last one it may have been forgotten. */
    while (slot) {
        struct kula__slot *next = slot->next;
        state->waiting--;
        if (kula__epoll_is_drained(record, slot)) {
            enqueue(state, slot, record);
        } else {
            kula__epoll_try(ring, slot, record);
        }
        slot = next;
    }
}

void kula__epoll_serve(struct kula_ring *ring, uint64_t number, uint32_t events)
{
    struct kula__fd *record = kula__fd_peek(ring, (int)(uint32_t)number);
    if (!record || record->registration != (uint32_t)(number >> 32)) {
        return; /* of a file that was here before */
    }
    uint32_t edges =
        ((events & EDGES_IN) ? DRAINED_IN : 0u) | ((events & EDGES_OUT) ? DRAINED_OUT : 0u);
    record->backend_bits &= ~edges;
    if (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) {
        record->backend_bits |= OUT_OF_BAND;
    }
    if (record->ready_head[IN] && ((edges & DRAINED_IN) || (record->backend_bits & POLLS))) {
        serve_queue(ring, record, IN);
    }
    if (record->ready_head[OUT] && (edges & DRAINED_OUT)) {
        serve_queue(ring, record, OUT);
    }
}

/* Takes an operation out of its descriptor's queue. False: it is not there. */
static bool unqueue(struct kula__fd *record, struct kula__slot *slot)
{
    enum direction direction = direction_of(slot);
    struct kula__slot *before = NULL;
    for (struct kula__slot *at = record->ready_head[direction]; at; at = at->next) {
        if (at != slot) {
            before = at;
            continue;
        }
        if (before) {
            before->next = slot->next;
        } else {
            record->ready_head[direction] = slot->next;
        }
        if (record->ready_tail[direction] == slot) {
            record->ready_tail[direction] = before;
        }
        return true;
    }
    return false;
}

int kula__epoll_cancel(struct kula_ring *ring, struct kula__slot *slot)
{
    if (slot->attention & KULA__POOLED) {
        int error = kula__workers_cancel(ring, slot);
        if (error == 0) {
            kula__finish(ring, slot, -ECANCELED);
        }
        return error;
    }
    struct kula__fd *record = kula__fd_peek(ring, slot->fd);
    if (!record || !unqueue(record, slot)) {
        return -EALREADY;
    }
    kula__epoll_state_of(ring)->waiting--;
    kula__attempt_abandon(slot);
    kula__finish(ring, slot, -ECANCELED);
    return 0;
}

void kula__epoll_forget(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    if (record->registration) {
        /* Before the descriptor is closed: afterwards, with a duplicate elsewhere, the file would
         * stay registered under a number that names another one. */
        kula__epoll_control(kula__epoll_state_of(ring)->epoll_fd, EPOLL_CTL_DEL, fd, 0, 0);
    }
    record->registration = 0;
    record->backend_bits = 0;
}
