/* borrow.h - what the rest of the ring has to know of memory that is lent. */
#ifndef KULA_COMMON_BORROW_H
#define KULA_COMMON_BORROW_H

#include "ring.h"

/* An operation on lent memory has its result: nobody has the memory any more. */
void kula__lent_end(const struct kula__slot *slot);

/* The ring is being closed or given up: scopes that the program has not ended are reported. */
void kula__scopes_report(const struct kula_ring *ring, const char *operation);

/* Nothing is in flight, and the ring is about to go: the scopes that are left end. */
void kula__scopes_end(struct kula_ring *ring);

#endif
