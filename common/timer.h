/* timer.h - timers and deadlines of a ring: a 4-ary heap in user space, on every backend.
 *
 * A kernel timer for each would cost ten times as much to start, and removing one scans a list.
 */
#ifndef KULA_COMMON_TIMER_H
#define KULA_COMMON_TIMER_H

#include "slot.h"

struct kula__timer_entry {
    int64_t expiry_ns; /* monotonic */
    struct kula__slot *slot;
};

struct kula__timers {
    struct kula__timer_entry *heap;
    uint32_t count;
    uint32_t capacity;
};

/* Makes sure that one more fits. 0 or -ENOMEM. */
int kula__timers_reserve(struct kula__timers *timers);

/* Adds a record that is not in the heap; kula__timers_reserve must have said 0. Equal times keep the
 * order in which they were added as long as the heap is small: no promise. */
void kula__timers_add(struct kula__timers *timers, struct kula__slot *slot, int64_t expiry_ns);
void kula__timers_remove(struct kula__timers *timers, struct kula__slot *slot);

/* The earliest expiry, or INT64_MAX. */
static inline int64_t kula__timers_next_ns(const struct kula__timers *timers)
{
    return timers->count ? timers->heap[0].expiry_ns : INT64_MAX;
}

/* Takes the earliest out if it is not after now; else NULL. */
struct kula__slot *kula__timers_pop(struct kula__timers *timers, int64_t now_ns);

void kula__timers_fini(struct kula__timers *timers);

#endif
