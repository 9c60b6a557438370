/* kula/pool.h - buffers of one size, made in advance. Included by kula.h.
 *
 * Every ring has a pool of its own, which kula_alloc uses and nobody needs to know about. A
 * kula_pool is for programs that want to know: how many buffers there are at most, how many are
 * out, what happens when they are used up, who may take one.
 */
#ifndef KULA_POOL_H
#define KULA_POOL_H

#include "handles.h"
#include "memory.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kula_pool;

enum kula_pool_flags {
    /* The kernel will choose from these buffers (a group): with a ring only. They are laid out and
     * registered as it wants them. */
    KULA_POOL_GROUP = 1 << 0,
};

/* Start from KULA_POOL_INIT and set buffer_bytes and count. */
struct kula_pool_config {
    size_t size; /* sizeof(struct kula_pool_config): lets the struct grow; 0 is -EINVAL */
    size_t buffer_bytes; /* the capacity of each buffer, 1 to 2^31-1 */
    uint32_t count; /* how many are made at once, 1 to 2^23; a group: a power of two to 2^15 */
    uint32_t count_max;        /* how many there may be; 0 = count: it does not grow */
    uint32_t flags;            /* enum kula_pool_flags; an unknown bit is -EINVAL */
    uint32_t reserved;         /* 0 */
    struct kula_memory memory; /* what memory; size 0 = ordinary */
};

#define KULA_POOL_INIT                                  \
    {                                                   \
        sizeof(struct kula_pool_config), 0, 0, 0, 0, 0, \
        {                                               \
            0, 0, 0, 0                                  \
        }                                               \
    }

/* Opens a pool. With a ring it belongs to the ring's thread and costs no lock; without (NULL) any
 * thread may take and free, under a lock that is never held while memory is being mapped.
 *
 * Sizes:   count buffers at once; it grows by regions of as many, or of an eighth of what
 *          there is when that is more, up to count_max
 * Owner:   *ret_pool is yours until kula_pool_close; it may outlive its ring
 * Errors:  -EINVAL a field is impossible, or a group without a ring; -ENOMEM; -EPERM, -EOWNERDEAD
 *          (misuse)
 * Thread:  with a ring its owner; without any
 * Kernel:  a group on uring: IORING_REGISTER_PBUF_RING (5.19), else the library chooses */
KULA_API KULA_MUST_USE int kula_pool_open(struct kula_ring *ring,
                                          const struct kula_pool_config *config,
                                          struct kula_pool **ret_pool);

/* Closes a pool: nobody can take from it any more. Buffers that are out stay valid, are listed in the
 * log, and go back to memory that lives until the last of them is free. Those who wait in
 * kula_pool_get by then get NULL; nobody may begin to. A NULL *pool is fine.
 *
 * Sizes:   a count
 * Owner:   *pool is NULL
 * Errors:  >= 0 how many buffers are out; -EPERM, -EOWNERDEAD (misuse), and the pool stays
 * Thread:  with a ring its owner; without any, once nobody else begins to use it
 * Kernel:  none */
KULA_API int kula_pool_close(struct kula_pool **pool);

/* Takes a buffer, and waits for one to be freed if there is none and there can be no more. What can
 * be waited for is other threads: a ring does not move meanwhile, so that on its thread buffers
 * that are with the ring do not come back by waiting.
 *
 * Sizes:   timeout_ns in nanoseconds; 0 = do not wait; negative = for ever
 * Owner:   the buffer is yours
 * Errors:  NULL: none within the time, out of memory, the pool was closed; wrong thread (misuse)
 * Thread:  with a ring its owner; without any
 * Kernel:  none */
KULA_API kula_buf kula_pool_get(struct kula_pool *pool, int64_t timeout_ns) KULA_BUF_OWNED_;

/* A pool at one moment: free + held = capacity. */
struct kula_pool_statistics {
    uint64_t capacity;     /* buffers that exist */
    uint64_t capacity_max; /* that may exist */
    uint64_t free;
    uint64_t held;           /* out: with programs, rings, events, references */
    uint64_t peak;           /* the most that have ever been held at a time */
    uint64_t taken;          /* how often one was taken */
    uint64_t waited;         /* of those: how often after waiting */
    uint64_t failures;       /* how often none was to be had */
    uint32_t waiting;        /* threads that wait now */
    uint32_t under_pressure; /* 1: an eighth or less of capacity_max is left */
};

/* Tells how a pool stands, all numbers of one moment.
 *
 * Sizes:   counts
 * Owner:   none
 * Errors:  0; -EINVAL a NULL argument; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  with a ring its owner; without any
 * Kernel:  none */
KULA_API int kula_pool_describe(struct kula_pool *pool,
                                struct kula_pool_statistics *ret_statistics);

/* Tells what memory the pool's buffers are made of, as kula_alloc_memory does: what was granted for all
 * of them. A group that is not one for the kernel is told here as well.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  0; -EINVAL a NULL argument; -EOWNERDEAD (misuse)
 * Thread:  any
 * Kernel:  none */
KULA_API int kula_pool_memory(struct kula_pool *pool, struct kula_memory_report *ret_report);

#ifdef __cplusplus
}
#endif

#endif
