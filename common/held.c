/* held.c - one line in the log for each buffer that is out. */
#include "held.h"

#include "pool.h"
#include "process.h"
#include "region.h"

#include <inttypes.h>
#include <stdio.h>

#define LINES_MAX 32u

size_t kula__held_bytes(const struct kula__cold *cold)
{
    /* Of what others may be freeing only the record may be looked at, and of a kula_pool the regions: they
     * stay while it is listed. */
    switch ((enum kula__memory)cold->memory) {
    case KULA__MEMORY_CLASSED:
        return kula__size_class_bytes(cold->size_class);
    case KULA__MEMORY_LARGE:
    case KULA__MEMORY_REGION:
        return (size_t)cold->size_class * KULA__POOL_PAGE;
    case KULA__MEMORY_VOUCHED:
        return cold->size_class;
    case KULA__MEMORY_POOL:
        return ((const struct kula__region *)cold->keeper)->buffer_bytes;
    case KULA__MEMORY_NONE:
        break;
    }
    return 0;
}

/* Who has a record. Only what the calling thread's own rings have may be looked at. */
static void describe_holder(const struct kula__slot *slot,
                            uint64_t word,
                            char *text,
                            size_t text_bytes)
{
    if (kula__word_holder(word) == KULA__HELD_BY_PROGRAM) {
        snprintf(text, text_bytes, "held by the program");
        return;
    }
    if (kula__word_holder(word) == KULA__HELD_BY_EVENT) {
        snprintf(text, text_bytes, "in an event that was not taken");
        return;
    }
    /* relaxed: it may change, unless it is one of ours */
    uint32_t ring_id = atomic_load_explicit(&slot->ring_id, memory_order_relaxed);
    if (ring_id == 0) {
        snprintf(text, text_bytes, "in a vec, or on its way to a ring");
    } else if (kula__process_own(ring_id) && kula__is_let_go(slot)) {
        snprintf(text, text_bytes, "with the kernel: sent, and still being read");
    } else if (kula__process_own(ring_id)) {
        snprintf(text, text_bytes, "with a ring: %s on descriptor %d",
                 slot->operation < KULA__OP_COUNT ? kula__operation_facts[slot->operation].name
                                                  : "a message",
                 slot->fd);
    } else {
        snprintf(text, text_bytes, "with a ring of another thread");
    }
}

void kula__held_list(struct kula__held *held, uint32_t first_index, uint32_t count)
{
    for (uint32_t i = 0; i < count && held->left > 0 && held->lines < LINES_MAX; i++) {
        const struct kula__slot *slot = kula__slot_at(first_index + i);
        /* relaxed: an old answer is as good as any, others may hold it */
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
        if (kula__word_holder(word) == KULA__HELD_BY_NOBODY) {
            continue;
        }
        char holder[80];
        char memory[48] = "a vec, a part or a reference";
        describe_holder(slot, word, holder, sizeof holder);
        size_t bytes = kula__held_bytes(kula__cold_of(slot));
        if (bytes > 0) {
            snprintf(memory, sizeof memory, "%zu bytes", bytes);
        }
        kula__log(held->settings, KULA_LOG_INFO,
                  "still out: buffer %" PRIu32 ", generation %" PRIu64 ", %s, %s",
                  first_index + i, kula__word_generation(word), memory, holder);
        held->lines++;
        held->left--;
    }
}

void kula__held_end(const struct kula__held *held)
{
    if (held->left > 0) {
        kula__log(held->settings, KULA_LOG_INFO,
                  "still out: %" PRIu64 " more, or kept by references to them or parts of them",
                  held->left);
    }
}
