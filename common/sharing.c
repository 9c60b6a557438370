/* sharing.c - references and parts: freeze, clone, slice, drop, thaw; split, join.
 *
 * Whatever changes a count or a pool takes the handle out of the program's hands first and gives it
 * back afterwards, often under the same name. So a copy of it that is used on another thread at
 * that moment is refused, and cannot end the memory under the call's feet.
 */
#include "buffer.h"
#include "memory.h"
#include "misuse.h"
#include "pool.h"
#include "submit.h"

#include <errno.h>

/* The record of a handle that the program holds, if it is of the wanted kind; else reports. */
static struct kula__slot *held(const void *handle,
                               enum kula__kind wanted,
                               const char *operation)
{
    uint64_t word = kula__handle_word(handle);
    struct kula__slot *slot = kula__held_by_program(word);
    if (kula__unlikely(!slot || !kula__kind_fits(slot, wanted))) {
        kula__misuse(operation, word, kula__misuse_reason(word));
        return NULL;
    }
    return slot;
}

/* Gives a record that was withdrawn back to the program, as something else under another name. */
static void *issue_again(struct kula__slot *slot)
{
    uint64_t word = kula__slot_word(slot);
    kula__word_finish(slot, word);
    return kula__word_handle(kula__word_take(slot, word));
}

/* ---- References --------------------------------------------------------------------------- */

/* The record that was frozen: it counts. */
static struct kula__slot *root_of(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    return (cold->traits & KULA__SHARED) || !cold->parent ? slot : cold->parent;
}

/* A constant that was never cloned is not counted: it has this one reference. */
static uint32_t count_references(const struct kula__slot *root)
{
    return kula__cold_of(root)->traits & KULA__SHARED ? kula__memory_references(root) : 1;
}

static bool is_constant(const struct kula__slot *root)
{
    const struct kula__cold *cold = kula__cold_of(root);
    return cold->memory == KULA__MEMORY_NONE && !(cold->traits & KULA__PART);
}

kula_ref kula_freeze_(kula_buf buffer)
{
    struct kula__slot *slot =
        kula__withdraw(kula__handle_word(buffer), KULA__KIND_BUFFER, "kula_freeze");
    if (!slot) {
        return NULL;
    }
    kula__watch_freeze(slot, "kula_freeze", KULA__PLACE);
    kula__memory_count(slot);
    slot->kind = KULA__KIND_REF;
    return issue_again(slot);
}

static kula_ref share(struct kula__slot *slot, size_t offset, size_t length)
{
    struct kula__slot *root = root_of(slot);
    struct kula__slot *child = kula__pool_take_relative(root);
    if (!child) {
        return NULL;
    }
    child->kind = KULA__KIND_REF;
    child->data = slot->data + offset;
    child->capacity = (uint32_t)length;
    kula__memory_share(root, child, /* traits= */ 0);
    return kula__word_handle(kula__word_allocate(child));
}

kula_ref kula_clone_(const struct kula_ref_s *ref)
{
    uint64_t word = kula__handle_word(ref);
    struct kula__slot *slot = kula__withdraw(word, KULA__KIND_REF, "kula_clone");
    if (!slot) {
        return NULL;
    }
    kula_ref clone = share(slot, 0, slot->capacity);
    kula__word_hand_back(slot, word);
    return clone;
}

kula_ref kula_slice_(const struct kula_ref_s *ref, size_t offset, size_t length)
{
    uint64_t word = kula__handle_word(ref);
    struct kula__slot *slot = kula__withdraw(word, KULA__KIND_REF, "kula_slice");
    if (!slot) {
        return NULL;
    }
    bool within = offset <= slot->capacity && length <= slot->capacity - offset;
    kula_ref slice = within ? share(slot, offset, length) : NULL;
    kula__word_hand_back(slot, word);
    return slice;
}

void kula_drop_(kula_ref ref)
{
    kula__handle_free(kula__handle_word(ref), KULA__KIND_REF, "kula_drop", KULA__PLACE);
}

const unsigned char *kula_ref_bytes_(const struct kula_ref_s *ref)
{
    const struct kula__slot *slot = held(ref, KULA__KIND_REF, "kula_ref_bytes");
    return slot ? slot->data + kula__cold_of(slot)->alias : NULL;
}

size_t kula_ref_size_(const struct kula_ref_s *ref)
{
    const struct kula__slot *slot = held(ref, KULA__KIND_REF, "kula_ref_size");
    return slot ? slot->capacity : 0;
}

uint32_t kula_ref_count(const struct kula_ref_s *ref)
{
    struct kula__slot *slot = held(ref, KULA__KIND_REF, "kula_ref_count");
    return slot ? count_references(root_of(slot)) : 0;
}

int kula_ref_is_last_(const struct kula_ref_s *ref)
{
    struct kula__slot *slot = held(ref, KULA__KIND_REF, "kula_thaw");
    if (!slot) {
        return 0;
    }
    const struct kula__slot *root = root_of(slot);
    return !is_constant(root) && count_references(root) == 1;
}

kula_buf kula_thaw_(kula_ref ref)
{
    uint64_t word = kula__handle_word(ref);
    struct kula__slot *slot = kula__withdraw(word, KULA__KIND_REF, "kula_thaw");
    if (!slot) {
        return NULL;
    }
    struct kula__slot *root = root_of(slot);
    if (is_constant(root) || count_references(root) != 1) {
        kula__word_hand_back(slot, word);
        kula__misuse("kula_thaw", word,
                     "others share the memory, or it is constant: it stays as it is");
        return NULL;
    }
    if (slot == root) {
        kula__memory_settle(root);
        kula__watch_thaw(root, "kula_thaw", KULA__PLACE);
        return issue_again(root);
    }
    /* The root's own handle has gone before, and its record waits for this reference: it gets a new
     * one, which takes over the place in the count. */
    kula__cold_of(slot)->parent = NULL;
    kula__slot_return_unfinished(slot);
    kula__memory_settle(root);
    kula__watch_thaw(root, "kula_thaw", KULA__PLACE);
    return kula__word_handle(kula__word_allocate(root));
}

/* ---- References in operations --------------------------------------------------------------- */

static kula_op transfer(struct kula_ring *ring,
                        enum kula__operation operation,
                        int fd,
                        kula_ref ref,
                        size_t length,
                        int64_t offset,
                        uint32_t opflags,
                        void *user,
                        const void *place)
{
    uint64_t word = kula__handle_word(ref);
    struct kula__slot *slot = kula__hand_over(ring, word, KULA__KIND_REF, operation, place);
    if (!slot) {
        return kula__hand_over_refused(ring, word, operation, user);
    }
    slot->operation = (uint8_t)operation;
    slot->attention = 0;
    slot->fd = fd;
    slot->offset = offset;
    slot->opflags = opflags;
    slot->user = user;
    return kula__admit_transfer(ring, slot, length, word + KULA__STEP);
}

kula_op kula_write_ref_(struct kula_ring *ring,
                        int fd,
                        kula_ref ref,
                        size_t length,
                        int64_t offset,
                        void *user)
{
    return transfer(ring, KULA__OP_WRITE, fd, ref, length, offset, 0, user, KULA__PLACE);
}

kula_op kula_send_ref_(struct kula_ring *ring,
                       int fd,
                       kula_ref ref,
                       size_t length,
                       int msg_flags,
                       void *user)
{
    int64_t offset = kula__message_offset(KULA__OP_SEND, msg_flags);
    return transfer(ring, KULA__OP_SEND, fd, ref, length, offset, (uint32_t)msg_flags, user,
                    KULA__PLACE);
}

/* ---- Parts -------------------------------------------------------------------------------- */

/* The record that the memory came with: parts of parts are its parts. */
static struct kula__slot *whole_of(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    return cold->traits & KULA__PART ? cold->parent : slot;
}

static kula_buf cut(struct kula__slot *slot, size_t at)
{
    struct kula__slot *whole = whole_of(slot);
    struct kula__slot *rest = kula__pool_take_relative(whole);
    if (!rest) {
        return NULL;
    }
    rest->kind = KULA__KIND_SPECIAL;
    rest->data = slot->data + at;
    rest->capacity = slot->capacity - (uint32_t)at;
    kula__memory_share(whole, rest, KULA__PART);
    slot->kind = KULA__KIND_SPECIAL;
    slot->capacity = (uint32_t)at;
    kula__cold_of(slot)->base_capacity -= rest->capacity;
    return kula__word_handle(kula__word_allocate(rest));
}

kula_buf kula_split(const struct kula_buf_s *buffer, size_t at)
{
    uint64_t word = kula__handle_word(buffer);
    struct kula__slot *slot = kula__withdraw(word, KULA__KIND_BUFFER, "kula_split");
    if (!slot) {
        return NULL;
    }
    kula_buf part = at > 0 && at < slot->capacity ? cut(slot, at) : NULL;
    kula__word_hand_back(slot, word);
    return part;
}

static bool adjoin(struct kula__slot *first, struct kula__slot *second)
{
    const struct kula__cold *one = kula__cold_of(first);
    return whole_of(first) == whole_of(second) &&
           one->base + one->base_capacity == kula__cold_of(second)->base;
}

int kula_adjoins_(const struct kula_buf_s *first, const struct kula_buf_s *second)
{
    struct kula__slot *one = held(first, KULA__KIND_BUFFER, "kula_join");
    struct kula__slot *other = held(second, KULA__KIND_BUFFER, "kula_join");
    if (!one || !other) {
        return -EBADF;
    }
    return adjoin(one, other) ? 0 : -EINVAL;
}

void kula_join_(const struct kula_buf_s *first, kula_buf second)
{
    uint64_t word = kula__handle_word(first);
    uint64_t other_word = kula__handle_word(second);
    struct kula__slot *one = kula__withdraw(word, KULA__KIND_BUFFER, "kula_join");
    if (!one) {
        return;
    }
    struct kula__slot *other = kula__withdraw(other_word, KULA__KIND_BUFFER, "kula_join");
    if (other && adjoin(one, other)) {
        uint32_t grown = kula__cold_of(other)->base_capacity;
        one->capacity += grown;
        kula__cold_of(one)->base_capacity += grown;
        kula__watch_join(other);
        kula__slot_return_unfinished(other);
        kula__memory_settle(one);
    } else if (other) {
        kula__word_hand_back(other, other_word);
        kula__misuse("kula_join", other_word,
                     "the buffers are not neighbours: they stay as they are");
    }
    kula__word_hand_back(one, word);
}
