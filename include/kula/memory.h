/* kula/memory.h - every kind of memory under one handle. Included by kula.h.
 *
 * kula_alloc gives ordinary memory of the ring's pool. What follows gives memory with an alignment,
 * on large pages, near a CPU, or known to the kernel in advance; and handles for memory that is not
 * the library's: adopted from the program (kula_vouch) or constant (kula_const). A handle is a
 * handle: all of them are handed over, taken, frozen and freed in the same way, on every ring.
 */
#ifndef KULA_MEMORY_H
#define KULA_MEMORY_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Memory of the library ---------------------------------------------------------------- */

/* What memory is wanted. All but the alignment is a wish: what cannot be had is said in the
 * report, and the memory is ordinary in that respect. */
enum kula_memory_flags {
    /* Pages of 2 MiB or what the system has: reserved ones, else transparent ones. */
    KULA_MEMORY_HUGE = 1 << 0,
    /* On the NUMA node `node`. */
    KULA_MEMORY_NODE = 1 << 1,
    /* Registered with the ring's kernel side once (fixed buffer), so that reads and writes of this
     * ring need not look the pages up each time. They use it by themselves. Elsewhere it is
     * ordinary memory. */
    KULA_MEMORY_REGISTERED = 1 << 2,
    /* Overwritten with zeros whenever it goes back to where it came from. Never refused. */
    KULA_MEMORY_WIPE = 1 << 3,
};

/* Start from KULA_MEMORY_INIT. */
struct kula_memory {
    size_t size;      /* sizeof(struct kula_memory): lets the struct grow; 0 is -EINVAL */
    size_t alignment; /* a power of two, bytes; 0 = as kula_alloc */
    uint32_t flags;   /* enum kula_memory_flags; an unknown bit is -EINVAL */
    int32_t node;     /* with KULA_MEMORY_NODE */
};

#define KULA_MEMORY_INIT                    \
    {                                       \
        sizeof(struct kula_memory), 0, 0, 0 \
    }

/* What came of it. */
struct kula_memory_report {
    uint32_t granted;      /* enum kula_memory_flags: which wishes were fulfilled */
    int32_t error;         /* 0, or why the first one that was not is not: a negative errno */
    size_t alignment;      /* of the first byte */
    size_t page_bytes;     /* the size of its pages */
    const char *shortfall; /* what was not fulfilled, why, and what to change; "" if nothing */
};

/* Gives you a buffer of special memory, as kula_alloc gives ordinary one. What is more than aligned to a
 * page, or wanted otherwise than wiped, gets whole pages of its own (huge ones if those are wanted),
 * and each registered buffer a place in the ring's table, which has 1024: for many small ones open a
 * kula_pool. Registered memory that is freed on another thread stays registered until the ring's own
 * makes or frees some, or closes the ring.
 *
 * Sizes:   size in bytes, 1 to 2^31-1; the alignment up to 2^30
 * Owner:   the buffer is yours; *ret_report (or NULL) is filled, also on failure; its text is static
 * Errors:  NULL: -EINVAL or -ENOMEM in the report; wrong thread (misuse)
 * Thread:  owner
 * Kernel:  MAP_HUGETLB, else MADV_HUGEPAGE; mbind(2); IORING_REGISTER_BUFFERS2 (5.13) with
 *          RLIMIT_MEMLOCK */
KULA_INLINE_ kula_buf kula_alloc_memory(struct kula_ring *ring,
                                        size_t size,
                                        const struct kula_memory *memory,
                                        struct kula_memory_report *ret_report) KULA_MUST_USE;
KULA_INLINE_ kula_buf kula_alloc_memory(struct kula_ring *ring,
                                        size_t size,
                                        const struct kula_memory *memory,
                                        struct kula_memory_report *ret_report)
{
    kula_buf buffer = kula_alloc_memory_(ring, size, memory, ret_report);
    KULA_ESCAPE_(
        ret_report); /* it is filled: clang 22 takes it that a producer changes nothing else */
    return buffer;
}

enum kula_direct_source {
    KULA_DIRECT_FROM_KERNEL = 1, /* statx(2) said so */
    KULA_DIRECT_FROM_PROBE =
        2, /* found by trying; of what cannot be tried, because the file is empty
                                  * or short, something that is enough */
};

/* What O_DIRECT wants of a file. */
struct kula_direct {
    uint32_t memory_alignment; /* of the address, bytes: for struct kula_memory */
    uint32_t offset_alignment; /* of positions and lengths, bytes */
    uint32_t source;           /* enum kula_direct_source */
};

/* Asks the kernel, or finds out by reading, how buffers, positions and lengths have to be aligned
 * for O_DIRECT on a file. The file's position and flags stay as they are.
 *
 * Sizes:   both in bytes, powers of two
 * Owner:   none
 * Errors:  0; -EOPNOTSUPP this file, or the system, has no O_DIRECT; -EBADF; -ENOTSUP not a regular
 *          file or block device; -EACCES it may not be read, or there is no /proc to open it anew,
 *          so that it cannot be tried; -EINVAL ret_direct is NULL; -ENOMEM; -EIO and the like from
 *          reading
 * Thread:  any
 * Kernel:  STATX_DIOALIGN (6.1), else reads with O_DIRECT through /proc/self/fd or the descriptor */
KULA_API int kula_direct_alignment(int fd, struct kula_direct *ret_direct);

/* ---- Memory of the program ---------------------------------------------------------------- */

/* Adopts memory of yours: you vouch that it stays where it is, and that nobody else writes it, until
 * `release` is called, which may be NULL if nobody wants to know. Not for the stack: a frame may be
 * gone before the kernel is done (debug builds refuse it); for that see kula/borrow.h.
 *
 * Sizes:   size in bytes, 1 to 2^31-1
 * Owner:   the buffer is yours, and the memory the buffer's; after kula_free, or whatever else ends it,
 *          `release` gives it back to you. With NULL nothing has happened, and release is not called
 * Errors:  NULL: memory is NULL or on the stack (misuse, debug builds), size out of range, out of
 *          memory, wrong thread (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_INLINE_ kula_buf kula_vouch(struct kula_ring *ring,
                                 void *memory,
                                 size_t size,
                                 kula_release_fn release,
                                 void *arg) KULA_MUST_USE;
KULA_INLINE_ kula_buf kula_vouch(struct kula_ring *ring,
                                 void *memory,
                                 size_t size,
                                 kula_release_fn release,
                                 void *arg)
{
    KULA_CHECK_LENGTH_(memory, size);
    KULA_ESCAPE_(memory);
    KULA_ESCAPE_(arg);
    return kula_vouch_(ring, memory, size, release, arg);
}

/* Makes a reference to memory that never changes and never goes away: a literal, a static table, a
 * file that was mapped for good. It can be written and sent, never read into, never thawed.
 *
 * Sizes:   size in bytes, 1 to 2^31-1
 * Owner:   the reference is yours, to be dropped or handed over; the memory is never released
 * Errors:  NULL: memory is NULL, size out of range, out of memory, wrong thread (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_INLINE_ kula_ref kula_const(struct kula_ring *ring, const void *memory, size_t size)
    KULA_MUST_USE;
KULA_INLINE_ kula_ref kula_const(struct kula_ring *ring, const void *memory, size_t size)
{
    KULA_CHECK_LENGTH_(memory, size);
    return kula_const_(ring, memory, size);
}

#ifdef __cplusplus
}
#endif

#endif
