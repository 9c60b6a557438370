/* stock.h - the buffers of a kula_pool: taking, giving back, growing, waiting.
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
#ifndef KULA_COMMON_STOCK_H
#define KULA_COMMON_STOCK_H

#include "pool.h"
#include "region.h"
#include "ring.h"

struct kula_pool {
    struct kula__home home; /* its owner is 0: to the records of references it is nobody's */

    /* --- as opened --- */
    struct kula_memory wishes;
    uint32_t buffer_bytes;
    uint32_t count;    /* by how many it grows, at least */
    uint32_t step_max; /* at most */
    uint32_t count_max;
    uint8_t traits; /* of every buffer */
    bool shared;
    size_t stride;          /* from one buffer to the next */
    uint32_t front;         /* of that, what checked mode has before the buffer; 0: nothing */
    uintptr_t thread;       /* of the ring's owner */
    struct kula_ring *ring; /* NULL: shared, or gone */
    struct kula_pool *next; /* in ring->pools */

    /* --- the owner's, or under the mutex --- */
    struct kula__slot *free;
    uint64_t stock; /* on the list */
    uint64_t held;
    uint64_t capacity;
    uint64_t promised; /* capacity, and what is being made */
    uint64_t peak;
    uint64_t taken;
    uint64_t waited;
    uint64_t failures;
    uint32_t waiting;
    uint32_t growing; /* threads that make a region */
    bool closed;
    bool answered; /* of a ring: what the owner waits for has been returned */

    /* --- always under the mutex --- */
    struct kula__region *regions;
    struct kula_memory_report report;
    pthread_mutex_t mutex;
    pthread_cond_t change; /* monotonic */

    /* --- of a ring: what other threads freed, newest first, or one of the two below --- */
    _Alignas(64) _Atomic(struct kula__slot *) returned;
    _Atomic int64_t orphans; /* as in pool.c */
};

/* Before and after all that follows, but for giving: takes the lock of a shared pool, and brings home
 * what other threads have freed of a ring's. */
void kula__stock_lock(struct kula_pool *pool);
void kula__stock_unlock(struct kula_pool *pool);

/* What each buffer's address is a multiple of. */
size_t kula__stock_alignment(const struct kula_pool *pool);

/* Decides how far it is from one buffer to the next, once, and before the first region. A group's buffers
 * lie as the kernel wants them. */
void kula__stock_lay_out(struct kula_pool *pool, bool group);

/* Makes the pool larger. The lock is held before and after, and not while memory is mapped: what other
 * threads free meanwhile can be taken meanwhile. False: it is as large as it may be, or no memory. */
bool kula__stock_grow(struct kula_pool *pool);

/* Takes a buffer; waits until end_ns (monotonic; INT64_MAX = for ever) if `patient`. NULL: none. */
kula_buf kula__stock_take(struct kula_pool *pool, bool patient, int64_t end_ns);

/* Gives back the record of a buffer whose word already says "free", and which had these traits until now.
 * Thread: any, without the lock. */
void kula__stock_give(struct kula__slot *slot, uint8_t traits);

/* A ring's pool is closed: from here on the last buffer that is freed ends it. Returns how many are out;
 * with 0 it has ended. Without the lock. */
uint64_t kula__stock_orphan(struct kula_pool *pool);

/* Frees everything. */
void kula__stock_destroy(struct kula_pool *pool);

#endif
