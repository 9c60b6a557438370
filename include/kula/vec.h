/* kula/vec.h - lists of buffers for one vectored operation. Included by kula.h.
 *
 * A vec is filled while it is yours and handed over as a whole, to kula_readv or kula_writev
 * (kula/operations.h). The vec itself is used up by that; its buffers come back one by one, in order.
 */
#ifndef KULA_VEC_H
#define KULA_VEC_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Makes an empty list of buffers for kula_readv or kula_writev.
 *
 * Sizes:   up to 1024 buffers (IOV_MAX on Linux)
 * Owner:   the vec is yours until it is handed over or freed
 * Errors:  NULL: out of memory, or the wrong thread (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API kula_vec kula_vec_new(struct kula_ring *ring) KULA_VEC_OWNED_;

/* Moves a buffer to the end of a vec. It always takes the buffer: what is wrong (more than 1024
 * buffers, a length beyond the capacity) becomes the result of the operation that the vec is
 * handed to, -EINVAL, and the buffer comes back from that event.
 *
 * Sizes:   length in bytes, how much of this buffer takes part, 0 to its capacity
 * Owner:   the vec holds the buffer afterwards, also on error
 * Errors:  misuse only (empty, stale or forged handles); with a dead vec a live buffer goes back to
 *          its pool
 * Thread:  the one that holds both
 * Kernel:  none */
KULA_INLINE_ void kula_vec_add(kula_vec vec, kula_buf *buffer, size_t length)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    KULA_CHECK_LENGTH_(held, length);
    *buffer = NULL;
    kula_vec_add_(vec, held, length);
}

/* Says how many buffers a vec holds.
 *
 * Sizes:   a count
 * Owner:   unchanged
 * Errors:  0 for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the vec
 * Kernel:  none */
KULA_API size_t kula_vec_count(kula_vec vec) KULA_PURE_ KULA_NONNULL_(1);

/* Frees a vec that was not handed over, and gives its buffers back to their pools. NULL is fine.
 *
 * Sizes:   none
 * Owner:   the vec and its buffers were yours; afterwards they are nobody's
 * Errors:  a stale or forged handle is refused through the misuse hook
 * Thread:  any
 * Kernel:  none */
KULA_INLINE_ void kula_vec_free(kula_vec *vec)
{
    kula_vec held = *vec;
    *vec = NULL;
    kula_vec_free_(held);
}

/* kula_vec_add of shared bytes (kula/sharing.h): in C11 and C++ the plain name takes the address of a
 * kula_ref as well. Such a vec can be written; kula_readv of it ends in -EINVAL.
 *
 * Sizes:   length in bytes, 0 to kula_ref_size()
 * Owner:   the vec holds the reference afterwards; it comes back through kula_take_ref
 * Errors:  as kula_vec_add
 * Thread:  the one that holds both
 * Kernel:  none */
KULA_INLINE_ void kula_vec_add_ref(kula_vec vec, kula_ref *ref, size_t length)
{
    kula_ref held = *ref;
    KULA_CHECK_LIVE_(held);
    *ref = NULL;
    kula_vec_add_ref_(vec, held, length);
}

#define kula_vec_free(vec) kula_vec_free(KULA_VEC_ADDRESS_(vec))
#if defined __cplusplus
extern "C++" {
KULA_INLINE_ void kula_vec_add(kula_vec vec, kula_ref *ref, size_t length)
{
    kula_vec_add_ref(vec, ref, length);
}
}
#elif defined KULA_BUF_OR_REF_
#    define kula_vec_add(vec, buffer, length) \
        KULA_BUF_OR_REF_(buffer, kula_vec_add, kula_vec_add_ref)(vec, buffer, length)
#endif

#ifdef __cplusplus
}
#endif

#endif
