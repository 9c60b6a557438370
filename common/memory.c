/* memory.c - counting the handles of shared memory, and what to do after the last. */
#include "memory.h"

#include "held.h"
#include "pages.h"
#include "pool.h"
#include "process.h"
#include "region.h"
#include "stock.h"
#include "watch.h"

#define ONE_PART       (UINT64_C(1) << 32)
#define REFERENCE_MASK (ONE_PART - 1)

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
    uint8_t traits = cold->traits;
    bool wiped = traits & KULA__WIPED;
    bool watched = traits & KULA__WATCHED;
    if (watched) {
        kula__watch_end(slot);
    }
    cold->traits = 0;
    cold->parent = NULL;
    switch ((enum kula__memory)cold->memory) {
    case KULA__MEMORY_CLASSED:
    case KULA__MEMORY_LARGE:
        if (wiped) {
            kula__wipe(cold->base, kula__held_bytes(cold));
        }
        if (watched) {
            kula__watch_rest(slot);
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
        kula__stock_give(slot, traits);
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
    uint64_t share = 1; /* of the record's own handle; then of the record in its parent */
    kula__watch_leave(slot);
    while (slot) {
        struct kula__cold *cold = kula__cold_of(slot);
        /* acq_rel: whoever is last has seen all that the others did with the memory */
        if ((cold->traits & KULA__SHARED) &&
            atomic_fetch_sub_explicit(&cold->users, share, memory_order_acq_rel) != share) {
            return;
        }
        struct kula__slot *parent = cold->parent;
        share = cold->traits & KULA__PART ? ONE_PART : 1;
        release(slot);
        slot = parent;
    }
}

void kula__memory_count(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    /* The kind is its holder's to change, and he may be another than the caller. */
    if (!(cold->traits & KULA__SHARED)) {
        /* relaxed: nobody else knows of it before a handle is handed to him */
        atomic_store_explicit(&cold->users, 1, memory_order_relaxed);
        cold->traits |= KULA__SHARED;
    }
}

void kula__memory_share(struct kula__slot *parent, struct kula__slot *child, uint8_t traits)
{
    struct kula__cold *cold = kula__cold_of(child);
    cold->memory = KULA__MEMORY_NONE;
    cold->traits = traits;
    cold->parent = parent;
    cold->base = child->data;
    cold->base_capacity = child->capacity;
    kula__watch_share(parent, child);
    kula__memory_count(parent);
    /* relaxed: what the caller holds keeps the count above 0 */
    atomic_fetch_add_explicit(&kula__cold_of(parent)->users, traits & KULA__PART ? ONE_PART : 1,
                              memory_order_relaxed);
}

uint32_t kula__memory_references(const struct kula__slot *slot)
{
    /* acquire: with the answer 1 the caller may write, after all that the others have read */
    return (uint32_t)(atomic_load_explicit(&kula__cold_of(slot)->users, memory_order_acquire) &
                      REFERENCE_MASK);
}

void kula__memory_settle(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    /* acquire: whoever was there before has read what is written now */
    if ((cold->traits & KULA__SHARED) &&
        atomic_load_explicit(&cold->users, memory_order_acquire) == 1) {
        cold->traits &= (uint8_t)~KULA__SHARED;
    }
    if (cold->traits == 0 && cold->memory == KULA__MEMORY_CLASSED) {
        slot->kind = KULA__KIND_BUFFER;
    } else if (cold->traits == 0 && cold->memory == KULA__MEMORY_LARGE) {
        slot->kind = KULA__KIND_LARGE;
    } else {
        slot->kind = KULA__KIND_SPECIAL;
    }
}
