/* state.h - what the files of this folder share. */
#ifndef KULA_BACKENDS_EPOLL_STATE_H
#define KULA_BACKENDS_EPOLL_STATE_H

#include "common/ring.h"

#include <stdbool.h>
#include <stdint.h>

struct kula__epoll_state {
    int epoll_fd;
    uint32_t registrations; /* the number given last; see kula__epoll_watch */
    uint32_t waiting;       /* operations in the queues of all descriptors */
    bool precise;           /* epoll_pwait2 */

    /* embedded mode */
    bool embedded;
    bool announced; /* kula__sleep_begin() was said for the foreign loop's sleep */
    bool raised;    /* `ready` is signalled */
    int timer_fd;
    struct kula__signal ready; /* readable while there are events to pull */
    int64_t armed_ns;          /* the expiry in timer_fd; INT64_MAX: none */
};

/* The descriptors of the ring itself, told apart from the program's by registration number 0. */
enum kula__epoll_own {
    KULA__EPOLL_WAKE,
    KULA__EPOLL_READY,
    KULA__EPOLL_TIMER,
};

static inline struct kula__epoll_state *kula__epoll_state_of(const struct kula_ring *ring)
{
    return ring->state;
}

/* The record of a descriptor that an operation in flight names: pinned, so it exists. */
static inline struct kula__fd *kula__epoll_record(const struct kula_ring *ring, int fd)
{
    return &ring->fd_pages[(uint32_t)fd / KULA__FD_PAGE]->fds[(uint32_t)fd % KULA__FD_PAGE];
}

/* What a descriptor is waited for; also its two queues. */
enum kula__epoll_direction {
    KULA__EPOLL_IN,
    KULA__EPOLL_OUT,
};

/* kula__fd.backend_bits */
enum kula__epoll_bits {
    KULA__EPOLL_DRAINED_IN = 1 << KULA__EPOLL_IN, /* nothing to read since the last edge */
    KULA__EPOLL_DRAINED_OUT = 1 << KULA__EPOLL_OUT,
    KULA__EPOLL_POLLS = 1 << 2, /* the IN queue may hold polls, which want edges of both */
    KULA__EPOLL_OUT_OF_BAND = 1 << 3, /* an end, an error or urgent data was told */
    KULA__EPOLL_TCP = 1 << 4,
    KULA__EPOLL_NOT_TCP = 1 << 5,
};

static inline enum kula__epoll_direction kula__epoll_direction_of(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].readiness == POLLOUT ? KULA__EPOLL_OUT
                                                                       : KULA__EPOLL_IN;
}

/* Operations of which one that would have to wait means that all of that direction would. Not: polls,
 * a connect, and receives that look for something else than the next byte. */
static inline bool kula__epoll_is_plain(const struct kula__slot *slot)
{
    if (slot->operation == KULA__OP_RECV) {
        return (slot->opflags & ~(uint32_t)(MSG_WAITALL | MSG_TRUNC)) == 0;
    }
    return slot->operation != KULA__OP_CONNECT && slot->operation != KULA__OP_POLL;
}

/* Whether the last look found nothing there for this operation, and no edge has come since. */
static inline bool kula__epoll_is_drained(const struct kula__fd *record,
                                          const struct kula__slot *slot)
{
    return (record->backend_bits & (1u << kula__epoll_direction_of(slot))) != 0 &&
           kula__epoll_is_plain(slot);
}

/* ---- ready.c ---- */

/* epoll_ctl with `number` (registration << 32 | descriptor) as its data. 0 or a negative errno. */
int kula__epoll_control(int epoll_fd, int action, int fd, uint32_t events, uint64_t number);

/* Lets an operation that has been tried wait for readiness, registering its descriptor if that is not
 * yet done. 0; -EPERM: this file cannot be waited for; other errors: it cannot be registered. */
int kula__epoll_park(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record);

/* What epoll says of a descriptor: tries what waits for it. */
void kula__epoll_serve(struct kula_ring *ring, uint64_t number, uint32_t events);

int kula__epoll_cancel(struct kula_ring *ring, struct kula__slot *slot);
void kula__epoll_forget(struct kula_ring *ring, struct kula__fd *record, int fd);

/* ---- start.c ---- */

/* Tries an operation once: ends it, parks it, or gives it away. */
void kula__epoll_try(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record);

int kula__epoll_submit(struct kula_ring *ring);

/* ---- wait.c ---- */

int kula__epoll_wait(struct kula_ring *ring, int64_t timeout_ns);
int kula__epoll_pollable(struct kula_ring *ring);
void kula__epoll_settle(struct kula_ring *ring, int64_t expiry_ns);

/* Whether epoll_pwait2 is there. */
bool kula__epoll_is_precise(int epoll_fd);

/* Closes what embedded mode has opened. */
void kula__epoll_disembed(struct kula__epoll_state *state);

#endif
