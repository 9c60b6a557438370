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
#include <sys/epoll.h>

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
    enum kula__epoll_direction direction = kula__epoll_direction_of(slot);
    slot->next = NULL;
    if (record->ready_head[direction]) {
        record->ready_tail[direction]->next = slot;
    } else {
        record->ready_head[direction] = slot;
    }
    record->ready_tail[direction] = slot;
    if (slot->operation == KULA__OP_POLL) {
        record->backend_bits |= KULA__EPOLL_POLLS;
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
    if (kula__epoll_is_plain(slot)) {
        record->backend_bits |= 1u << kula__epoll_direction_of(slot);
    }
    enqueue(state, slot, record);
    return 0;
}

/* Tries all that waits in one direction, in order. No more than are there now: what their ends set
 * going is started by the next flush, so one busy descriptor cannot keep the others waiting. */
static void serve_queue(struct kula_ring *ring,
                        struct kula__fd *record,
                        enum kula__epoll_direction direction)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    struct kula__slot *slot = record->ready_head[direction];
    record->ready_head[direction] = NULL;
    record->ready_tail[direction] = NULL;
    if (direction == KULA__EPOLL_IN) {
        record->backend_bits &= ~(uint32_t)KULA__EPOLL_POLLS;
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
    /* Registered once, so its record is there. */
    struct kula__fd *record = kula__epoll_record(ring, (int)(uint32_t)number);
    if (record->registration != (uint32_t)(number >> 32)) {
        return; /* of a file that was here before */
    }
    uint32_t edges = ((events & EDGES_IN) ? KULA__EPOLL_DRAINED_IN : 0u) |
                     ((events & EDGES_OUT) ? KULA__EPOLL_DRAINED_OUT : 0u);
    record->backend_bits &= ~edges;
    if (events & ~(uint32_t)(EPOLLIN | EPOLLOUT)) {
        record->backend_bits |= KULA__EPOLL_OUT_OF_BAND;
    }
    if (record->ready_head[KULA__EPOLL_IN] &&
        ((edges & KULA__EPOLL_DRAINED_IN) || (record->backend_bits & KULA__EPOLL_POLLS))) {
        serve_queue(ring, record, KULA__EPOLL_IN);
    }
    if (record->ready_head[KULA__EPOLL_OUT] && (edges & KULA__EPOLL_DRAINED_OUT)) {
        serve_queue(ring, record, KULA__EPOLL_OUT);
    }
}

/* Takes an operation out of its descriptor's queue. False: it is not there. */
static bool unqueue(struct kula__fd *record, struct kula__slot *slot)
{
    enum kula__epoll_direction direction = kula__epoll_direction_of(slot);
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
        return kula__workers_cancel(ring, slot);
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
