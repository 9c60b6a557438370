/* memory.c - counting the handles of shared memory, and what to do after the last. */
#include "memory.h"

#include "held.h"
#include "pages.h"
#include "pool.h"
#include "pools.h"
#include "process.h"
#include "region.h"

/* Memory that the program vouched for: its function is told. By now the record is somebody else's. */
static void tell(kula_release_fn function, void *arg, unsigned char *memory, uint32_t bytes)
{
    if (function) {
        bool outermost = kula__program_begin();
        function(arg, memory, bytes);
        kula__program_end(outermost);
    }
}

/* Gives a record without memory back to its pool. */
static void give_bare(struct kula__slot *slot)
{
    slot->kind = KULA__KIND_VEC;
    kula__pool_give(slot);
}

/* The record has no handle any more and nobody depends on it: its memory goes where it came from, and
 * the record to its pool. */
static void release(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    bool wiped = cold->traits & KULA__WIPED;
    cold->traits = 0;
    cold->parent = NULL;
    switch ((enum kula__memory)cold->memory) {
    case KULA__MEMORY_CLASSED:
    case KULA__MEMORY_LARGE:
        if (wiped) {
            kula__wipe(cold->base, kula__held_bytes(cold));
        }
        slot->kind = cold->memory == KULA__MEMORY_LARGE ? KULA__KIND_LARGE : KULA__KIND_BUFFER;
        kula__pool_give(slot);
        break;
    case KULA__MEMORY_REGION: {
        struct kula__region *region = cold->keeper;
        if (wiped) {
            kula__wipe(region->pages.first, region->pages.bytes);
        }
        give_bare(slot);
        kula__region_free(region);
        break;
    }
    case KULA__MEMORY_POOL:
        kula__pools_give(slot, wiped);
        break;
    case KULA__MEMORY_VOUCHED: {
        kula_release_fn function = cold->release;
        void *arg = cold->keeper;
        unsigned char *memory = cold->base;
        uint32_t bytes = cold->size_class;
        give_bare(slot);
        tell(function, arg, memory, bytes);
        break;
    }
    case KULA__MEMORY_NONE:
        give_bare(slot);
        break;
    }
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
