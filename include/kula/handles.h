/* kula/handles.h - the handle types, and the by-value halves of the calls that consume them.
 *
 * Programs use the types and call the functions of kula.h and kula/operations.h. What stands
 * below with a trailing underscore is the other half of those inline wrappers: the wrapper copies
 * your variable, empties it and passes the copy on. For a compiler the function that receives the
 * copy is a deallocator of the handle, and that is how it follows ownership through your code.
 */
#ifndef KULA_HANDLES_H
#define KULA_HANDLES_H

#include "compiler.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kula_ring;
struct sockaddr;

/* An exclusive buffer: one owner. The value is an index and a generation, never an address:
 * copying it does not copy the buffer, and a copy is refused once the buffer has changed hands. */
typedef struct kula_buf_s *kula_buf;

/* A counted right to read memory that several share: one holder for each reference, and nobody who
 * writes. See kula/sharing.h. */
typedef struct kula_ref_s *kula_ref;

/* A list of buffers for one vectored operation; owns the buffers that were added to it. */
typedef struct kula_vec_s *kula_vec;

/* Names an operation. It owns nothing: ignore it, copy it, keep it as long as you like. A name
 * whose operation is over matches nothing (-ENOENT). 0 = no operation exists and no event comes. */
typedef uint64_t kula_op;

KULA_API void kula_free_(kula_buf buffer) KULA_TAKES_(1);
KULA_API void kula_vec_free_(kula_vec vec) KULA_TAKES_(1);
/* What a call does not consume is a pointer to const here, although it may change: the analyser takes
 * it that anything else lets the handle escape, and would not miss it any more. */
KULA_API void kula_vec_add_(const struct kula_vec_s *vec, kula_buf buffer, size_t length)
    KULA_TAKES_(2) KULA_NONNULL_(1) KULA_NONNULL_(2);
KULA_API kula_op kula_read_(struct kula_ring *ring,
                            int fd,
                            kula_buf buffer,
                            size_t length,
                            int64_t offset,
                            void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op kula_write_(struct kula_ring *ring,
                             int fd,
                             kula_buf buffer,
                             size_t length,
                             int64_t offset,
                             void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op
kula_readv_(struct kula_ring *ring, int fd, kula_vec vec, int64_t offset, void *user)
    KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op
kula_writev_(struct kula_ring *ring, int fd, kula_vec vec, int64_t offset, void *user)
    KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op kula_recv_(struct kula_ring *ring,
                            int fd,
                            kula_buf buffer,
                            size_t length,
                            int msg_flags,
                            void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op kula_send_(struct kula_ring *ring,
                            int fd,
                            kula_buf buffer,
                            size_t length,
                            int msg_flags,
                            void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API int kula_post_(struct kula_ring *ring, kula_buf buffer, int32_t value, void *pointer)
    KULA_TAKES_(2) KULA_NONNULL_(2);
KULA_API int kula_post_value_(struct kula_ring *ring, int32_t value, void *pointer);
KULA_API void kula_join_(const struct kula_buf_s *first, kula_buf second) KULA_TAKES_(2)
    KULA_NONNULL_(2);

KULA_API void kula_drop_(kula_ref ref) KULA_TAKES_(1);
KULA_API void kula_vec_add_ref_(const struct kula_vec_s *vec, kula_ref ref, size_t length)
    KULA_TAKES_(2) KULA_NONNULL_(1) KULA_NONNULL_(2);
KULA_API kula_op kula_write_ref_(struct kula_ring *ring,
                                 int fd,
                                 kula_ref ref,
                                 size_t length,
                                 int64_t offset,
                                 void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API kula_op kula_send_ref_(struct kula_ring *ring,
                                int fd,
                                kula_ref ref,
                                size_t length,
                                int msg_flags,
                                void *user) KULA_TAKES_(3) KULA_NONNULL_(3);
KULA_API int kula_post_ref_(struct kula_ring *ring, kula_ref ref, int32_t value, void *pointer)
    KULA_TAKES_(2) KULA_NONNULL_(2);

/* What a producer of a buffer, or of a vec, carries: "the caller owns the result, and these are
 * the ways to end that". One list, so that a new operation is added in one place. */
#define KULA_BUF_OWNED_                                                                     \
    KULA_MUST_USE KULA_GIVES_ KULA_ENDS_(kula_free_, 1) KULA_ENDS_(kula_vec_add_, 2)        \
        KULA_ENDS_(kula_read_, 3) KULA_ENDS_(kula_write_, 3) KULA_ENDS_(kula_recv_, 3)      \
            KULA_ENDS_(kula_send_, 3) KULA_ENDS_(kula_post_, 2) KULA_ENDS_(kula_freeze_, 1) \
                KULA_ENDS_(kula_join_, 2)
#define KULA_REF_OWNED_                                                                  \
    KULA_MUST_USE KULA_GIVES_ KULA_ENDS_(kula_drop_, 1) KULA_ENDS_(kula_vec_add_ref_, 2) \
        KULA_ENDS_(kula_write_ref_, 3) KULA_ENDS_(kula_send_ref_, 3)                     \
            KULA_ENDS_(kula_post_ref_, 2) KULA_ENDS_(kula_thaw_, 1)
#define KULA_VEC_OWNED_                                                                \
    KULA_MUST_USE KULA_GIVES_ KULA_ENDS_(kula_vec_free_, 1) KULA_ENDS_(kula_readv_, 3) \
        KULA_ENDS_(kula_writev_, 3)

/* These end one kind of handle and begin another. gcc wants to have seen an ender before a producer
 * names it, and these two are named by each other's producers: so the second declaration adds to the
 * first. NOLINTBEGIN(readability-redundant-declaration) */
KULA_API kula_ref kula_freeze_(kula_buf buffer) KULA_TAKES_(1) KULA_NONNULL_(1);
KULA_API kula_buf kula_thaw_(kula_ref ref) KULA_TAKES_(1) KULA_NONNULL_(1);
KULA_API kula_ref kula_freeze_(kula_buf buffer) KULA_REF_OWNED_;
KULA_API kula_buf kula_thaw_(kula_ref ref) KULA_BUF_OWNED_;
/* NOLINTEND(readability-redundant-declaration) */

/* These look at a handle and leave it where it is. A pointer to const tells the analyser that the
 * handle does not escape; pure tells the compiler. */
KULA_API kula_ref kula_clone_(const struct kula_ref_s *ref) KULA_REF_OWNED_ KULA_NONNULL_(1);
KULA_API kula_ref kula_slice_(const struct kula_ref_s *ref,
                              size_t offset,
                              size_t length) KULA_REF_OWNED_ KULA_NONNULL_(1);
KULA_API const unsigned char *kula_ref_bytes_(const struct kula_ref_s *ref) KULA_PURE_
    KULA_NONNULL_(1);
KULA_API size_t kula_ref_size_(const struct kula_ref_s *ref) KULA_PURE_ KULA_NONNULL_(1);
KULA_API int kula_ref_is_last_(const struct kula_ref_s *ref) KULA_NONNULL_(1);
KULA_API int kula_adjoins_(const struct kula_buf_s *first, const struct kula_buf_s *second)
    KULA_NONNULL_(1) KULA_NONNULL_(2);

/* Told that the library and the kernel are done with memory that was vouched for: exactly once, after
 * the last use. Runs on the thread that let go last, which may be any that frees, drops or
 * drives a ring. It must not call into the library except for kula_wake and kula_post. */
typedef void (*kula_release_fn)(void *arg, void *memory, size_t size);
struct kula_memory;
struct kula_memory_report;
KULA_API kula_buf kula_alloc_memory_(struct kula_ring *ring,
                                     size_t size,
                                     const struct kula_memory *memory,
                                     struct kula_memory_report *ret_report) KULA_BUF_OWNED_
    KULA_ALLOC_SIZE_(2);
KULA_API kula_buf kula_vouch_(struct kula_ring *ring,
                              void *memory,
                              size_t size,
                              kula_release_fn release,
                              void *arg) KULA_BUF_OWNED_;
KULA_API kula_ref kula_const_(struct kula_ring *ring,
                              const void *memory,
                              size_t size) KULA_REF_OWNED_;

/* Consuming calls want the address of a variable. Plain prototypes only warn about anything else
 * (before gcc 14 and clang 16); _Generic without a default makes it an error everywhere. */
#if !defined __cplusplus && defined __STDC_VERSION__ && __STDC_VERSION__ >= 201112L
#    define KULA_BUF_ADDRESS_(argument) _Generic((argument), kula_buf * : (argument))
#    define KULA_VEC_ADDRESS_(argument) _Generic((argument), kula_vec * : (argument))
#    define KULA_REF_ADDRESS_(argument) _Generic((argument), kula_ref * : (argument))
/* The half of a call that takes what `argument` is the address of. */
#    define KULA_BUF_OR_REF_(argument, for_buf, for_ref) \
        _Generic((argument), kula_buf * : (for_buf), kula_ref * : (for_ref))
#    define KULA_BUF_OR_REF_OR_NULL_(argument, for_buf, for_ref) \
        _Generic((argument), kula_buf * : (for_buf), void * : (for_buf), kula_ref * : (for_ref))
#else
#    define KULA_BUF_ADDRESS_(argument) (argument)
#    define KULA_VEC_ADDRESS_(argument) (argument)
#    define KULA_REF_ADDRESS_(argument) (argument)
#endif

#ifdef __cplusplus
}
#endif

#endif
