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

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kula_ring;
struct sockaddr;

/* An exclusive buffer: one owner. The value is an index and a generation, never an address:
 * copying it does not copy the buffer, and a copy is refused once the buffer has changed hands. */
typedef struct kula_buf_s *kula_buf;

/* A list of buffers for one vectored operation; owns the buffers that were added to it. */
typedef struct kula_vec_s *kula_vec;

/* Names an operation. It owns nothing: ignore it, copy it, keep it as long as you like. A name
 * whose operation is over matches nothing (-ENOENT). 0 = no operation exists and no event comes. */
typedef uint64_t kula_op;

KULA_API void kula_free_(kula_buf buffer) KULA_TAKES_(1);
KULA_API void kula_vec_free_(kula_vec vec) KULA_TAKES_(1);
KULA_API void kula_vec_add_(kula_vec vec, kula_buf buffer, size_t length) KULA_TAKES_(2)
    KULA_NONNULL_(2);
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
    KULA_TAKES_(2);

/* What a producer of a buffer, or of a vec, carries: "the caller owns the result, and these are
 * the ways to end that". One list, so that a new operation is added in one place. */
#define KULA_BUF_OWNED_                                                                \
    KULA_MUST_USE KULA_GIVES_ KULA_ENDS_(kula_free_, 1) KULA_ENDS_(kula_vec_add_, 2)   \
        KULA_ENDS_(kula_read_, 3) KULA_ENDS_(kula_write_, 3) KULA_ENDS_(kula_recv_, 3) \
            KULA_ENDS_(kula_send_, 3) KULA_ENDS_(kula_post_, 2)
#define KULA_VEC_OWNED_                                                                \
    KULA_MUST_USE KULA_GIVES_ KULA_ENDS_(kula_vec_free_, 1) KULA_ENDS_(kula_readv_, 3) \
        KULA_ENDS_(kula_writev_, 3)

/* Consuming calls want the address of a variable. Plain prototypes only warn about anything else
 * (before gcc 14 and clang 16); _Generic without a default makes it an error everywhere. */
#if !defined __cplusplus && defined __STDC_VERSION__ && __STDC_VERSION__ >= 201112L
#    define KULA_BUF_ADDRESS_(argument) _Generic((argument), kula_buf * : (argument))
#    define KULA_BUF_ADDRESS_OR_NULL_(argument) \
        _Generic((argument), kula_buf * : (argument), void * : (argument))
#    define KULA_VEC_ADDRESS_(argument) _Generic((argument), kula_vec * : (argument))
#else
#    define KULA_BUF_ADDRESS_(argument)         (argument)
#    define KULA_BUF_ADDRESS_OR_NULL_(argument) (argument)
#    define KULA_VEC_ADDRESS_(argument)         (argument)
#endif

#ifdef __cplusplus
}
#endif

#endif
