/* memory.c - counting the handles of shared memory, and what to do after the last. */
#include "memory.h"

#include "pool.h"

/* The record has no handle any more and nobody depends on it: its memory goes where it came from, and
 * the record to its pool. */
static void release(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    cold->traits = 0;
    cold->parent = NULL;
    switch (cold->memory) {
    case KULA__MEMORY_CLASSED:
        slot->kind = KULA__KIND_BUFFER;
        break;
    case KULA__MEMORY_LARGE:
        slot->kind = KULA__KIND_LARGE;
        break;
    default:
        slot->kind = KULA__KIND_VEC; /* bare */
        break;
    }
    kula__pool_give(slot);
}

void kula__memory_give(struct kula__slot *slot)
{
    if (slot->kind <= KULA__KIND_LARGE || slot->kind == KULA__KIND_VEC) {
        kula__pool_give(slot);
        return;
    }
    while (slot) {
        struct kula__cold *cold = kula__cold_of(slot);
        /* acq_rel: whoever is last has seen all that the others did with the memory */
        if ((cold->traits & KULA__SHARED) &&
            atomic_fetch_sub_explicit(&cold->users, 1, memory_order_acq_rel) != 1) {
            return;
        }
        struct kula__slot *parent = cold->parent;
        release(slot);
        slot = parent;
    }
}

void kula__memory_share(struct kula__slot *parent, struct kula__slot *child)
{
    struct kula__cold *root = kula__cold_of(parent);
    if (root->traits & KULA__SHARED) {
        /* relaxed: the caller's own handle keeps the count above 0 */
        atomic_fetch_add_explicit(&root->users, 1, memory_order_relaxed);
    } else {
        atomic_store_explicit(&root->users, 2, memory_order_relaxed);
        root->traits |= KULA__SHARED;
    }
    kula__cold_of(child)->memory = KULA__MEMORY_NONE;
    kula__cold_of(child)->parent = parent;
}
