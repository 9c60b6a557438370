/* timer.c - the 4-ary heap. Four children share a cache line of entries, and the tree is half as deep
 * as a binary one. */
#include "timer.h"

#include "system.h"

#include <errno.h>

#define CHILDREN 4u

static void place(struct kula__timers *timers,
                  uint32_t position,
                  struct kula__timer_entry entry)
{
    timers->heap[position] = entry;
    kula__cold_of(entry.slot)->heap_position = position;
}

static void sift_up(struct kula__timers *timers,
                    uint32_t position,
                    struct kula__timer_entry entry)
{
    while (position > 0) {
        uint32_t parent = (position - 1) / CHILDREN;
        if (timers->heap[parent].expiry_ns <= entry.expiry_ns) {
            break;
        }
        place(timers, position, timers->heap[parent]);
        position = parent;
    }
    place(timers, position, entry);
}

static void sift_down(struct kula__timers *timers,
                      uint32_t position,
                      struct kula__timer_entry entry)
{
    for (;;) {
        uint32_t first = position * CHILDREN + 1;
        if (first >= timers->count) {
            break;
        }
        uint32_t end = timers->count - first < CHILDREN ? timers->count : first + CHILDREN;
        uint32_t least = first;
        for (uint32_t child = first + 1; child < end; child++) {
            if (timers->heap[child].expiry_ns < timers->heap[least].expiry_ns) {
                least = child;
            }
        }
        if (timers->heap[least].expiry_ns >= entry.expiry_ns) {
            break;
        }
        place(timers, position, timers->heap[least]);
        position = least;
    }
    place(timers, position, entry);
}

int kula__timers_reserve(struct kula__timers *timers)
{
    if (timers->count < timers->capacity) {
        return 0;
    }
    uint32_t capacity = timers->capacity ? timers->capacity * 2 : 64;
    struct kula__timer_entry *grown =
        kula__memory_resize(timers->heap, capacity * sizeof *timers->heap);
    if (!grown) {
        return -ENOMEM;
    }
    timers->heap = grown;
    timers->capacity = capacity;
    return 0;
}

void kula__timers_add(struct kula__timers *timers, struct kula__slot *slot, int64_t expiry_ns)
{
    assert(timers->count < timers->capacity);
    kula__cold_of(slot)->expiry_ns = expiry_ns;
    sift_up(timers, timers->count++,
            (struct kula__timer_entry){ .expiry_ns = expiry_ns, .slot = slot });
}

void kula__timers_remove(struct kula__timers *timers, struct kula__slot *slot)
{
    uint32_t position = kula__cold_of(slot)->heap_position;
    assert(position < timers->count && timers->heap[position].slot == slot);
    struct kula__timer_entry last = timers->heap[--timers->count];
    if (last.slot == slot) {
        return;
    }
    if (position > 0 && timers->heap[(position - 1) / CHILDREN].expiry_ns > last.expiry_ns) {
        sift_up(timers, position, last);
    } else {
        sift_down(timers, position, last);
    }
}

struct kula__slot *kula__timers_pop(struct kula__timers *timers, int64_t now_ns)
{
    if (timers->count == 0 || timers->heap[0].expiry_ns > now_ns) {
        return NULL;
    }
    struct kula__slot *slot = timers->heap[0].slot;
    kula__timers_remove(timers, slot);
    return slot;
}

void kula__timers_fini(struct kula__timers *timers)
{
    kula__memory_free(timers->heap);
    *timers = (struct kula__timers){ 0 };
}
