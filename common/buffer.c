/* buffer.c - kula_alloc, kula_free and what a program may ask of a buffer or a vec that it holds. */
#include "buffer.h"

#include "memory.h"
#include "misuse.h"
#include "pool.h"
#include "ring.h"
#include "watch.h"

#include <errno.h>

static struct kula__slot *held_buffer(const struct kula_buf_s *buffer, const char *operation)
{
    uint64_t word = kula__handle_word(buffer);
    struct kula__slot *slot = kula__held_by_program(word);
    if (kula__unlikely(!slot || slot->kind > KULA__KIND_SPECIAL)) {
        kula__misuse(operation, word, kula__misuse_reason(word));
        return NULL;
    }
    return slot;
}

static struct kula__slot *held_vec(const struct kula_vec_s *vec, const char *operation)
{
    uint64_t word = kula__handle_word(vec);
    struct kula__slot *slot = kula__held_by_program(word);
    if (kula__unlikely(!slot || slot->kind != KULA__KIND_VEC)) {
        kula__misuse(operation, word, kula__misuse_reason(word));
        return NULL;
    }
    return slot;
}

struct kula__slot *kula__withdraw(uint64_t word, enum kula__kind wanted, const char *operation)
{
    struct kula__slot *slot = kula__held_by_program(word);
    if (!slot || !kula__word_hand_over(slot, word)) {
        kula__misuse(operation, word, kula__misuse_reason(word));
        return NULL;
    }
    /* Only now is the record ours to look at. */
    if (!kula__kind_fits(slot, wanted)) {
        kula__word_hand_back(slot, word);
        kula__misuse(operation, word, kula__misuse_reason(word));
        return NULL;
    }
    if (kula__pool_is_of_parent(slot)) {
        kula__word_hand_back(slot, word);
        kula__misuse(operation, word, "the buffer belongs to the parent process");
        return NULL;
    }
    return slot;
}

kula_buf kula_alloc(struct kula_ring *ring, size_t size)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, "kula_alloc");
        return NULL;
    }
    if (size == 0 || size > INT32_MAX) {
        return NULL;
    }
    struct kula__slot *slot = kula__unlikely(kula__watching())
                                  ? kula__watch_take(ring->pool, size, size >= KULA__POOL_PAGE)
                                  : kula__pool_take(ring->pool, size);
    return slot ? kula__word_handle(kula__word_allocate(slot)) : NULL;
}

void kula__slot_return(struct kula__slot *slot, uint64_t word)
{
    if (slot->kind == KULA__KIND_VEC) {
        kula__vec_return_members(slot);
    }
    kula__word_recycle(slot, word);
    kula__memory_give(slot);
}

void kula__handle_free(uint64_t word,
                       enum kula__kind wanted,
                       const char *operation,
                       const void *place)
{
    if (word == 0) {
        return;
    }
    struct kula__slot *slot = kula__held_by_program(word);
    if (!slot || !kula__word_free(slot, word)) {
        kula__misuse(operation, word, kula__misuse_reason(word));
        return;
    }
    /* Only now is the record ours to look at. */
    if (!kula__kind_fits(slot, wanted)) {
        kula__word_hand_back(slot, word);
        kula__misuse(operation, word, kula__misuse_reason(word));
        return;
    }
    /* Not before the record is ours: until then another thread with a second handle may free the last
     * buffer of a pool whose ring is gone, and the pool with it. In a child the record stays free and
     * in no list. */
    if (kula__pool_is_of_parent(slot)) {
        kula__misuse(operation, word, "the buffer belongs to the parent process");
        return;
    }
    kula__watch_note(slot, operation, place);
    if (slot->kind == KULA__KIND_VEC) {
        kula__vec_return_members(slot);
    }
    kula__memory_give(slot);
}

void kula_free_(kula_buf buffer)
{
    kula__handle_free(kula__handle_word(buffer), KULA__KIND_BUFFER, "kula_free", KULA__PLACE);
}

unsigned char *kula_bytes_(kula_buf buffer)
{
    const struct kula__slot *slot = held_buffer(buffer, "kula_bytes");
    if (kula__unlikely(!slot)) {
        return NULL;
    }
    return kula__likely(slot->kind <= KULA__KIND_LARGE)
               ? slot->data
               : slot->data + kula__cold_of(slot)->alias;
}

size_t kula_capacity_(kula_buf buffer)
{
    const struct kula__slot *slot = held_buffer(buffer, "kula_capacity");
    return slot ? slot->capacity : 0;
}

int kula_window(const struct kula_buf_s *buffer, size_t offset)
{
    struct kula__slot *slot = held_buffer(buffer, "kula_window");
    if (!slot) {
        return -EBADF;
    }
    const struct kula__cold *cold = kula__cold_of(slot);
    if (offset > cold->base_capacity) {
        return -EINVAL;
    }
    slot->data = cold->base + offset;
    slot->capacity = cold->base_capacity - (uint32_t)offset;
    return 0;
}

/* ---- Vecs --------------------------------------------------------------------------------- */

kula_vec kula_vec_new(struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, "kula_vec_new");
        return NULL;
    }
    struct kula__slot *slot = kula__pool_take_bare(ring->pool);
    if (!slot) {
        return NULL;
    }
    slot->kind = KULA__KIND_VEC;
    struct kula__cold *cold = kula__cold_of(slot);
    cold->vec_first = NULL;
    cold->vec_last = NULL;
    cold->vec_count = 0;
    cold->vec_error = 0;
    cold->vec_counted = 0;
    return kula__word_handle(kula__word_allocate(slot));
}

static void vec_add(const struct kula_vec_s *vec,
                    uint64_t word,
                    enum kula__kind wanted,
                    size_t length,
                    const void *place)
{
    struct kula__slot *member = kula__withdraw(word, wanted, "kula_vec_add");
    if (!member) {
        return;
    }
    struct kula__slot *slot = held_vec(vec, "kula_vec_add");
    if (!slot) {
        kula__slot_return_unfinished(member);
        return;
    }
    if (kula__watching()) {
        kula__watch_away_in_vec(member, "kula_vec_add", place);
    }
    struct kula__cold *cold = kula__cold_of(slot);
    kula__slot_claim(member, 0); /* a member is no operation: its word names none */
    member->next = NULL;
    member->length = length > member->capacity ? 0 : (uint32_t)length;
    if (length > member->capacity || cold->vec_count >= KULA__VEC_MAX) {
        cold->vec_error = -EINVAL;
    }
    if (cold->vec_last) {
        cold->vec_last->next = member;
    } else {
        cold->vec_first = member;
    }
    cold->vec_last = member;
    cold->vec_count++;
}

void kula_vec_add_(const struct kula_vec_s *vec, kula_buf buffer, size_t length)
{
    vec_add(vec, kula__handle_word(buffer), KULA__KIND_BUFFER, length, KULA__PLACE);
}

void kula_vec_add_ref_(const struct kula_vec_s *vec, kula_ref ref, size_t length)
{
    vec_add(vec, kula__handle_word(ref), KULA__KIND_REF, length, KULA__PLACE);
}

size_t kula_vec_count(kula_vec vec)
{
    const struct kula__slot *slot = held_vec(vec, "kula_vec_count");
    return slot ? kula__cold_of(slot)->vec_count : 0;
}

void kula_vec_free_(kula_vec vec)
{
    kula__handle_free(kula__handle_word(vec), KULA__KIND_VEC, "kula_vec_free", KULA__PLACE);
}

struct kula__slot *kula__vec_take_member(struct kula__slot *vec, enum kula__kind wanted)
{
    struct kula__cold *cold = kula__cold_of(vec);
    struct kula__slot *member = cold->vec_first;
    if (!member || (wanted != KULA__KIND_NONE && !kula__kind_fits(member, wanted))) {
        return NULL;
    }
    cold->vec_first = member->next;
    cold->vec_count--;
    return member;
}

static void give_unfinished(struct kula__slot *slot)
{
    kula__slot_claim(slot, 0);
    kula__word_undo(slot, kula__slot_word(slot));
    kula__memory_give(slot);
}

void kula__slot_return_unfinished(struct kula__slot *slot)
{
    if (slot->kind == KULA__KIND_VEC) {
        kula__vec_return_members(slot);
    }
    give_unfinished(slot);
}

/* Its members are buffers and references, never vecs. */
void kula__vec_return_members(struct kula__slot *vec)
{
    struct kula__slot *member;
    while ((member = kula__vec_take_member(vec, KULA__KIND_NONE))) {
        give_unfinished(member);
    }
}
