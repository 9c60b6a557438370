/* kula/sharing.h - one memory, several holders. Included by kula.h.
 *
 * A kula_buf has one holder, who may write. When the same bytes are to be sent to many, freeze the
 * buffer: a kula_ref is a counted right to read it. Each ref has one holder, like a buffer, and is
 * handed over like a buffer; what is shared is the memory behind it, which nobody can write until
 * all refs but one are gone and that one is thawed.
 *
 *     kula_ref page = kula_freeze(&buffer);
 *     for (size_t i = 0; i < count; i++) {
 *         kula_ref copy = kula_clone(page);              // counts; no byte is copied
 *         kula_send(ring, sockets[i], &copy, length, 0, NULL);
 *     }
 *     kula_drop(&page);                                  // the memory stays until the last send
 *
 * kula_write, kula_send, kula_vec_add and kula_post take the address of a kula_ref where they take
 * the address of a kula_buf. kula_read and kula_recv do not: that is a compile error. A ref comes
 * back with its event, through kula_take_ref; not taking it drops it, which is the usual thing to do.
 *
 * A buffer can also be cut into parts that different operations may write at the same time:
 * kula_split and kula_join.
 */
#ifndef KULA_SHARING_H
#define KULA_SHARING_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

struct kula_event;

/* ---- References --------------------------------------------------------------------------- */

/* Turns a buffer into the first reference to it. What the reference shows is what kula_bytes and
 * kula_capacity showed: from the window on.
 *
 * Sizes:   none
 * Owner:   *buffer is NULL; the reference is yours until kula_drop, kula_thaw or a hand-over
 * Errors:  NULL: an empty, stale or forged handle (misuse); never for a buffer of yours
 * Thread:  the one that holds the buffer
 * Kernel:  none */
KULA_INLINE_ kula_ref kula_freeze(kula_buf *buffer) KULA_MUST_USE;
KULA_INLINE_ kula_ref kula_freeze(kula_buf *buffer)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    *buffer = NULL;
    return kula_freeze_(held);
}

/* Gives you another reference to the same bytes.
 *
 * Sizes:   one record of 64 bytes and its cold part; no byte is copied
 * Owner:   both references are yours, each to be dropped, thawed or handed over
 * Errors:  NULL: out of memory; an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_INLINE_ kula_ref kula_clone(kula_ref ref) KULA_MUST_USE;
KULA_INLINE_ kula_ref kula_clone(kula_ref ref)
{
    KULA_CHECK_LIVE_(ref);
    return kula_clone_(ref);
}

/* Gives you a reference to a part of what `ref` shows. Slices of slices are slices of the same
 * memory, which stays as long as any of them; `ref` may go first.
 *
 * Sizes:   offset and length in bytes; offset counts from the start of what `ref` shows;
 *          offset + length at most kula_ref_size(ref)
 * Owner:   as kula_clone
 * Errors:  NULL: the part is not within `ref`, out of memory; an empty, stale or forged handle
 *          (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_INLINE_ kula_ref kula_slice(kula_ref ref, size_t offset, size_t length) KULA_MUST_USE;
KULA_INLINE_ kula_ref kula_slice(kula_ref ref, size_t offset, size_t length)
{
    KULA_CHECK_LIVE_(ref);
    return kula_slice_(ref, offset, length);
}

/* Gives a reference up and empties your variable. The last one to go gives the memory back to where
 * it came from. NULL inside is fine.
 *
 * Sizes:   none
 * Owner:   the reference was yours; afterwards it is nobody's
 * Errors:  a stale or forged handle is refused through the misuse hook and nothing is dropped
 * Thread:  the one that holds the reference; any may
 * Kernel:  none */
KULA_INLINE_ void kula_drop(kula_ref *ref)
{
    kula_ref held = *ref;
    *ref = NULL;
    kula_drop_(held);
}

/* Gives the address of the bytes, which nobody may write while they are shared.
 *
 * Sizes:   kula_ref_size() bytes from here on
 * Owner:   unchanged
 * Errors:  NULL for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_INLINE_ const unsigned char *kula_ref_bytes(kula_ref ref)
{
    KULA_CHECK_LIVE_(ref);
    return KULA_BYTES_(const unsigned char, ref, kula_ref_bytes_(ref));
}

/* Says how many bytes a reference shows.
 *
 * Sizes:   bytes
 * Owner:   unchanged
 * Errors:  0 for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_INLINE_ size_t kula_ref_size(kula_ref ref)
{
    KULA_CHECK_LIVE_(ref);
    return kula_ref_size_(ref);
}

/* Says how many references there are to the memory, this one included: those of other threads and
 * those that rings hold too. With 1 nobody can make it more but the holder of this one; any other
 * number may be less by the time you look at it.
 *
 * Sizes:   a count
 * Owner:   unchanged
 * Errors:  0 for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_API uint32_t kula_ref_count(const struct kula_ref_s *ref) KULA_NONNULL_(1);

/* Makes the only reference an exclusive buffer again: the whole of what was frozen, with the same
 * window, whichever part the reference showed.
 *
 * Sizes:   none
 * Owner:   *ref is NULL and the buffer is yours; or NULL comes back and *ref is still yours
 * Errors:  NULL: there are other references, or the memory is constant (kula_const); an empty, stale
 *          or forged handle (misuse)
 * Thread:  the one that holds the reference
 * Kernel:  none */
KULA_INLINE_ kula_buf kula_thaw(kula_ref *ref) KULA_MUST_USE;
KULA_INLINE_ kula_buf kula_thaw(kula_ref *ref)
{
    kula_ref held = *ref;
    KULA_CHECK_LIVE_(held);
    if (!kula_ref_is_last_(held)) {
        return NULL;
    }
    *ref = NULL;
    kula_buf buffer = kula_thaw_(held);
    KULA_ANALYZER_ASSUME_(buffer !=
                          NULL); /* else the reference is gone where NULL comes back */
    return buffer;
}

/* Takes a reference out of an event, as kula_take takes a buffer: each of the two gives NULL when what
 * comes next is of the other kind.
 *
 * Sizes:   none
 * Owner:   the reference is yours
 * Errors:  NULL: no reference (left); stale or forged event (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API kula_ref kula_take_ref(struct kula_event *event) KULA_REF_OWNED_;

/* ---- Parts -------------------------------------------------------------------------------- */

/* Cuts a buffer in two. `buffer` keeps the first `at` bytes of what it shows; what comes after is the
 * new buffer. The two have nothing to do with each other any more: they may be read into, sent,
 * frozen, split and freed each by itself, also at the same time. The memory goes back when all
 * parts are free.
 *
 * Sizes:   at in bytes from kula_bytes(buffer) on, 1 to kula_capacity(buffer) - 1
 * Owner:   both are yours
 * Errors:  NULL, and nothing has changed: `at` is out of range, out of memory; an empty, stale or
 *          forged handle (misuse)
 * Thread:  the one that holds the buffer
 * Kernel:  none */
KULA_API kula_buf kula_split(const struct kula_buf_s *buffer, size_t at) KULA_BUF_OWNED_
    KULA_NONNULL_(1);

/* Puts a part back: `first` grows by `second`, which must begin where `first` ends and come from the
 * same memory. The bytes of both stay.
 *
 * Sizes:   none
 * Owner:   0: *second is NULL and its bytes are at the end of `first`; else both are as they were
 * Errors:  -EINVAL the two are not neighbours; -EBADF an empty, stale or forged handle (misuse)
 * Thread:  the one that holds both
 * Kernel:  none */
KULA_INLINE_ int kula_join(kula_buf first, kula_buf *second)
{
    kula_buf held = *second;
    KULA_CHECK_LIVE_(first);
    KULA_CHECK_LIVE_(held);
    int error = kula_adjoins_(first, held);
    if (error < 0) {
        return error;
    }
    *second = NULL;
    kula_join_(first, held);
    return 0;
}

#define kula_freeze(buffer)      kula_freeze(KULA_BUF_ADDRESS_(buffer))
#define kula_drop(ref)           kula_drop(KULA_REF_ADDRESS_(ref))
#define kula_thaw(ref)           kula_thaw(KULA_REF_ADDRESS_(ref))
#define kula_join(first, second) kula_join(first, KULA_BUF_ADDRESS_(second))

#ifdef __cplusplus
}
#endif

#endif
