/* state.h - what the files of this folder share.
 *
 * The way of an operation: start.c does it in place, or tries it; what has to wait stands in the set
 * of waiting.c, which poll(2) looks at; watcher.c looks at a copy of it from another thread while a
 * foreign loop sleeps.
 */
#ifndef KULA_BACKENDS_BLOCKING_STATE_H
#define KULA_BACKENDS_BLOCKING_STATE_H

#include "common/ring.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* How long we sleep at most when what we wait for cannot wake us: the set does not fit into one
 * poll(2), or into memory. */
#define KULA__BLOCKING_NAP_NS KULA_MILLISECOND

struct kula__blocking_watcher;

struct kula__blocking_state {
    /* The set. Entry 0 is ring->wake. An operation knows its place by cold->scratch[1]. A place that
     * has become free is a hole, so that the others keep their order: who waits longest is served
     * first. */
    struct pollfd *polled;       /* hole: fd -1 */
    struct kula__slot **waiting; /* hole: NULL */
    uint32_t count;              /* entries, with holes */
    uint32_t holes;
    uint32_t capacity;
    struct kula__list unpolled; /* waiting operations that the set had no memory for */
    uint32_t false_alarms;      /* wake-ups in a row with which nothing could be done */

    /* embedded mode */
    struct kula__blocking_watcher *watcher;
    bool grown; /* the set has entries that the watcher has not been given */
};

static inline struct kula__blocking_state *kula__blocking_state_of(const struct kula_ring *ring)
{
    return ring->state;
}

/* ---- start.c ---- */

int kula__blocking_submit(struct kula_ring *ring);

/* Tries an operation that waits once more. False: it goes on waiting. */
bool kula__blocking_retry(struct kula_ring *ring, struct kula__slot *slot);

/* ---- waiting.c ---- */

int kula__blocking_set_open(struct kula_ring *ring);
void kula__blocking_set_close(struct kula__blocking_state *state);

/* Lets an operation wait. Without memory it waits nevertheless, if not so well. */
void kula__blocking_add(struct kula_ring *ring, struct kula__slot *slot);

int kula__blocking_wait(struct kula_ring *ring, int64_t timeout_ns);
int kula__blocking_cancel(struct kula_ring *ring, struct kula__slot *slot);

/* ---- watcher.c ---- */

int kula__blocking_pollable(struct kula_ring *ring);
void kula__blocking_settle(struct kula_ring *ring, int64_t expiry_ns);
void kula__blocking_forget(struct kula_ring *ring, struct kula__fd *record, int fd);
void kula__blocking_watcher_free(struct kula__blocking_watcher *watcher);

#endif
