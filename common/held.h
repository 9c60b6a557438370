/* held.h - the list of what is still out when a pool or a ring is closed. */
#ifndef KULA_COMMON_HELD_H
#define KULA_COMMON_HELD_H

#include "slot.h"

struct kula__settings;

struct kula__held {
    const struct kula__settings *settings; /* where the log is */
    uint64_t left;                         /* how many are out and have not been named */
    uint32_t lines;
};

/* Names those of `count` records from an index on that are out, as far as there are lines left. Others
 * may free some meanwhile. Thread: the one that takes records from there. */
void kula__held_list(struct kula__held *held, uint32_t first_index, uint32_t count);

/* Says how many have not been named. */
void kula__held_end(const struct kula__held *held);

/* How much memory a record stands for that has memory of its own; 0: it has none. */
size_t kula__held_bytes(const struct kula__cold *cold);

#endif
