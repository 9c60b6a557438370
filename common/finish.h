/* finish.h - what becomes of a record whose operation is over. */
#ifndef KULA_COMMON_FINISH_H
#define KULA_COMMON_FINISH_H

#include "ring.h"

/* The event of a done record is over, or there will be none: its block goes back to the ring, the
 * record or buffer to where it came from. */
void kula__recycle(struct kula_ring *ring, struct kula__slot *slot);

/* The same for one that nobody has seen: a descriptor in its result is closed first. */
void kula__drop(struct kula_ring *ring, struct kula__slot *slot);

/* Whether a successor of an operation that ended with this result may start: nothing failed and
 * nothing was left over. */
bool kula__ended_well(const struct kula__slot *slot, int32_t result);

/* Whether this record belongs to a descriptor's record and is not in the ring's operation table. */
bool kula__close_owns(const struct kula_ring *ring, const struct kula__slot *slot);

/* Gives the record of a message back to the ring's quota. `operation` is its word less one step. */
void kula__message_return(struct kula_ring *ring, struct kula__slot *slot, uint64_t operation);

#endif
