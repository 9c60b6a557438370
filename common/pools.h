/* pools.h - the inside of kula_pool: buffers of one size, made in advance.
 *
 * A pool's records have the pool for their home, and never leave it: with one goes the same piece of a
 * region each time. A pool is the ring's thread's, or shared by all threads:
 *
 *                    taking              freeing
 *     of a ring      the list, no lock   the owner: the list; others: a lock-free list of returns
 *     shared         the list, under     the list, under the lock
 *                    the lock
 *
 * After kula_pool_close the memory stays until the last buffer is free. Whoever frees that ends the
 * pool, as with a ring's own (pool.c).
 *
 * A pool with KULA_POOL_GROUP is the stock from which a kernel's group is filled; region.h says what
 * is there for that. Nothing takes from the stock for the kernel yet, so kula_pool_get has it all.
 */
#ifndef KULA_COMMON_POOLS_H
#define KULA_COMMON_POOLS_H

#include "slot.h"

struct kula_ring;

/* Gives back the record of a buffer whose word already says "free"; wiped first if it is to be. Thread:
 * any. */
void kula__pools_give(struct kula__slot *slot, bool wiped);

/* The ring goes: its pools live on, and make ordinary memory when they grow. Thread: owner. */
void kula__pools_leave(struct kula_ring *ring);

#endif
