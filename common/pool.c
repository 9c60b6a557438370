/* pool.c - size classes, regions, and the list of what other threads freed. */
#include "pool.h"

#include "held.h"
#include "process.h"
#include "system.h"
#include "watch.h"

#include <errno.h>
#include <pthread.h>

#define PAGE          KULA__POOL_PAGE
#define SMALL_CLASSES 6u  /* 64, 128, ... 2048 */
#define CLASS_COUNT   34u /* and from 4096 on four steps to each doubling, up to 1 MiB */
#define REGION_BYTES  ((size_t)2 << 20)

struct region {
    struct region *next;
    unsigned char *pages;
    size_t bytes;
    ptrdiff_t alias; /* of all that is cut from it: see slot.h */
};

struct kula__pool {
    struct kula__home home;               /* its owner is 0 when the ring is gone */
    struct kula__slot *free[CLASS_COUNT]; /* records with memory */
    struct kula__slot *bare;              /* records without */
    struct kula__chunks chunks;
    struct region *regions;
    unsigned char *region_at; /* the unused rest of the newest region */
    size_t region_left;
    uint64_t out; /* handed out and not come back, as the owner knows it */

    /* What other threads freed, newest first; ORPHANED once the ring is gone. */
    _Alignas(64) _Atomic(struct kula__slot *) returned;
    /* After the ring is gone: how many are out. Frees that see ORPHANED before the closer has added
     * its number make it negative for a moment; whoever makes it 0 by subtracting ends the pool. */
    _Atomic int64_t orphans;
};

#define ORPHANED ((struct kula__slot *)1)

static _Thread_local char self_anchor;

uintptr_t kula__pool_self(void)
{
    return (uintptr_t)&self_anchor;
}

uint32_t kula__size_class(size_t size_bytes)
{
    if (size_bytes <= 2048) {
        uint32_t class = 0;
        while (((size_t)64 << class) < size_bytes) {
            class ++;
        }
        return class;
    }
    if (size_bytes > (size_t)1 << 20) {
        return KULA__CLASS_LARGE;
    }
    uint32_t pages = (uint32_t)((size_bytes + PAGE - 1) / PAGE); /* 1 to 256 */
    if (pages <= 4) {
        return SMALL_CLASSES + pages - 1;
    }
    /* pages is in (2^k, 2^(k+1)], k >= 2: four steps of 2^(k-2) pages */
    uint32_t k = 31u - (uint32_t)__builtin_clz(pages - 1);
    uint32_t step = 1u << (k - 2);
    uint32_t quarter = (pages - (1u << k) + step - 1) / step; /* 1 to 4 */
    return SMALL_CLASSES + 3 + (k - 2) * 4 + quarter;
}

size_t kula__size_class_bytes(uint32_t size_class)
{
    if (size_class < SMALL_CLASSES) {
        return (size_t)64 << size_class;
    }
    uint32_t number = size_class - SMALL_CLASSES;
    if (number < 4) {
        return (size_t)(number + 1) * PAGE;
    }
    uint32_t k = 2 + (number - 4) / 4;
    uint32_t quarter = (number - 4) % 4 + 1;
    return ((size_t)(1u << k) + quarter * ((size_t)1 << (k - 2))) * PAGE;
}

struct kula__pool *kula__pool_new(void)
{
    struct kula__pool *pool = kula__pages_new_wiped(sizeof *pool);
    if (pool) {
        pool->home.alive = kula__process_generation();
        atomic_store_explicit(&pool->home.owner, kula__pool_self(), memory_order_relaxed);
    }
    return pool;
}

static void destroy(struct kula__pool *pool)
{
    while (pool->regions) {
        struct region *region = pool->regions;
        pool->regions = region->next;
        kula__watch_pages_free(region->pages, region->bytes, region->alias);
        kula__memory_free(region);
    }
    kula__chunks_fini(&pool->chunks);
    kula__pages_free(pool, sizeof *pool);
}

static void list_push(struct kula__pool *pool, struct kula__slot *slot)
{
    struct kula__slot **list = slot->kind == KULA__KIND_BUFFER
                                   ? &pool->free[kula__cold_of(slot)->size_class]
                                   : &pool->bare;
    slot->next = *list;
    *list = slot;
}

/* Brings home what other threads freed. Owner only. */
static void collect(struct kula__pool *pool)
{
    if (!atomic_load_explicit(&pool->returned, memory_order_relaxed)) {
        return;
    }
    /* acquire: what the freeing thread wrote into the record is seen */
    struct kula__slot *slot =
        atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (slot) {
        struct kula__slot *next = slot->next;
        list_push(pool, slot);
        pool->out--;
        slot = next;
    }
}

/* Cuts memory from the newest region, or from a new one. The rest of an old one is lost to larger
 * classes only: it is less than one buffer of the class that did not fit. */
static unsigned char *cut(struct kula__pool *pool, size_t bytes)
{
    size_t align = bytes >= PAGE ? PAGE : 64;
    size_t skip = (size_t)(-(uintptr_t)pool->region_at & (align - 1));
    if (pool->region_left < skip + bytes) {
        struct region *region = kula__memory_new(sizeof *region);
        if (!region) {
            return NULL;
        }
        region->bytes = REGION_BYTES;
        region->pages = kula__watch_pages_new(region->bytes, &region->alias);
        if (!region->pages) {
            kula__memory_free(region);
            return NULL;
        }
        region->next = pool->regions;
        pool->regions = region;
        pool->region_at = region->pages;
        pool->region_left = region->bytes;
        skip = 0;
    }
    unsigned char *memory = pool->region_at + skip;
    pool->region_at = memory + bytes;
    pool->region_left -= skip + bytes;
    return memory;
}

struct kula__slot *kula__pool_take_bare(struct kula__pool *pool)
{
    collect(pool);
    struct kula__slot *slot = pool->bare;
    if (slot) {
        pool->bare = slot->next;
    } else {
        slot = kula__chunks_slot(&pool->chunks, pool);
    }
    if (slot) {
        slot->attention = 0;
        slot->fd = -1;
        kula__cold_of(slot)->memory = KULA__MEMORY_NONE;
        kula__cold_of(slot)->alias = 0;
        pool->out++;
    }
    return slot;
}

static void give_memory(struct kula__slot *slot,
                        enum kula__kind kind,
                        unsigned char *memory,
                        ptrdiff_t alias,
                        uint32_t size_class)
{
    struct kula__cold *cold = kula__cold_of(slot);
    slot->kind = (uint8_t)kind;
    cold->memory = kind == KULA__KIND_LARGE ? KULA__MEMORY_LARGE : KULA__MEMORY_CLASSED;
    cold->base = memory;
    cold->alias = alias;
    cold->size_class = size_class;
}

/* A buffer with a mapping of its own; size_class counts its pages. */
static struct kula__slot *take_large(struct kula__pool *pool, size_t size_bytes)
{
    size_t pages = (size_bytes + PAGE - 1) / PAGE;
    struct kula__slot *slot = kula__pool_take_bare(pool);
    if (!slot) {
        return NULL;
    }
    ptrdiff_t alias;
    unsigned char *memory = kula__watch_pages_new(pages * PAGE, &alias);
    if (!memory) {
        slot->kind = KULA__KIND_VEC; /* bare */
        list_push(pool, slot);
        pool->out--;
        return NULL;
    }
    give_memory(slot, KULA__KIND_LARGE, memory, alias, (uint32_t)pages);
    return slot;
}

static struct kula__slot *take_classed(struct kula__pool *pool, uint32_t class)
{
    struct kula__slot *slot = pool->free[class];
    if (!slot) {
        collect(pool);
        slot = pool->free[class];
    }
    if (slot) {
        pool->free[class] = slot->next;
        pool->out++;
        return slot;
    }
    slot = kula__pool_take_bare(pool);
    if (!slot) {
        return NULL;
    }
    unsigned char *memory = cut(pool, kula__size_class_bytes(class));
    if (!memory) {
        slot->kind = KULA__KIND_VEC; /* bare */
        list_push(pool, slot);
        pool->out--;
        return NULL;
    }
    give_memory(slot, KULA__KIND_BUFFER, memory, pool->regions->alias, class);
    return slot;
}

struct kula__slot *kula__pool_take(struct kula__pool *pool, size_t size_bytes)
{
    uint32_t class = kula__size_class(size_bytes);
    struct kula__slot *slot =
        class == KULA__CLASS_LARGE ? take_large(pool, size_bytes) : take_classed(pool, class);
    if (slot) {
        struct kula__cold *cold = kula__cold_of(slot);
        slot->data = cold->base;
        slot->capacity = (uint32_t)size_bytes;
        cold->base_capacity = (uint32_t)size_bytes;
    }
    return slot;
}

/* ---- Bare records for any thread ------------------------------------------------------------ */

/* A pool that nobody owns, so that what is given back to it goes on its lock-free list, and whose
 * chunks are never returned. Whoever has the mutex may take. A child of fork() finds that it is the
 * parent's and makes another one. */
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kula__pool *shared;

static struct kula__pool *shared_pool(void)
{
    if (!shared || shared->home.alive != kula__process_generation()) {
        shared = kula__pool_new();
        if (shared) {
            atomic_store_explicit(&shared->home.owner, 0, memory_order_relaxed);
        }
    }
    return shared;
}

/* A chunk at a time goes on its list: it keeps no account of chunks that it would never use. */
static void stock_up(struct kula__pool *pool)
{
    uint32_t first = kula__chunk_take(pool);
    for (uint32_t i = 0; first && i < KULA__CHUNK_SLOTS; i++) {
        struct kula__slot *slot = kula__slot_at(first + i);
        kula__word_begin(slot, first + i);
        slot->kind = KULA__KIND_VEC; /* bare */
        list_push(pool, slot);
    }
}

struct kula__slot *kula__pool_take_relative(const struct kula__slot *relative)
{
    struct kula__home *home = kula__slot_home(kula__slot_index(relative));
    /* relaxed: only the owner's own write can make it equal. A kula_pool is nobody's in this sense. */
    if (atomic_load_explicit(&home->owner, memory_order_relaxed) == kula__pool_self()) {
        return kula__pool_take_bare((struct kula__pool *)home);
    }
    struct kula__slot *slot = NULL;
    pthread_mutex_lock(&shared_mutex);
    struct kula__pool *pool = shared_pool();
    if (pool) {
        collect(pool);
        if (!pool->bare) {
            stock_up(pool);
        }
        slot = pool->bare ? kula__pool_take_bare(pool) : NULL;
    }
    pthread_mutex_unlock(&shared_mutex);
    return slot;
}

void kula__pool_lock_shared(void)
{
    pthread_mutex_lock(&shared_mutex);
}

void kula__pool_unlock_shared(void)
{
    pthread_mutex_unlock(&shared_mutex);
}

void kula__pool_give(struct kula__slot *slot)
{
    struct kula__pool *pool = kula__slot_home(kula__slot_index(slot));
    if (slot->kind == KULA__KIND_LARGE) {
        struct kula__cold *cold = kula__cold_of(slot);
        kula__watch_pages_free(cold->base, (size_t)cold->size_class * PAGE, cold->alias);
    }
    /* relaxed: only the owner's own write can make it equal */
    if (atomic_load_explicit(&pool->home.owner, memory_order_relaxed) == kula__pool_self()) {
        list_push(pool, slot);
        pool->out--;
        return;
    }
    struct kula__slot *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        if (head == ORPHANED) {
            /* It goes into no list, and must not look as if it were pulled. */
            slot->next = NULL;
            /* acq_rel: the one that ends the pool sees all that the others did */
            if (atomic_fetch_sub_explicit(&pool->orphans, 1, memory_order_acq_rel) == 1) {
                destroy(pool);
            }
            return;
        }
        slot->next = head;
        /* release: the owner sees the record as we left it; acquire: ORPHANED is followed by
         * reading what the closer wrote */
    } while (!atomic_compare_exchange_weak_explicit(
        &pool->returned, &head, slot, memory_order_acq_rel, memory_order_acquire));
}

uint64_t kula__pool_held(const struct kula__pool *pool)
{
    uint64_t returned = 0;
    const struct kula__slot *slot = atomic_load_explicit(&pool->returned, memory_order_acquire);
    for (; slot; slot = slot->next) {
        returned++;
    }
    return pool->out - returned;
}

void kula__pool_list(const struct kula__pool *pool, const struct kula__settings *settings)
{
    struct kula__held held = { .settings = settings, .left = kula__pool_held(pool) };
    for (uint32_t i = 0; i < pool->chunks.count; i++) {
        uint32_t first = pool->chunks.first_index[i];
        bool newest = i + 1 == pool->chunks.count;
        uint32_t count = newest ? pool->chunks.next - first : KULA__CHUNK_SLOTS;
        kula__held_list(&held, first, count);
    }
    kula__held_end(&held);
}

uint64_t kula__pool_close(struct kula__pool *pool)
{
    atomic_store_explicit(&pool->home.owner, 0, memory_order_relaxed);
    struct kula__slot *slot =
        atomic_exchange_explicit(&pool->returned, ORPHANED, memory_order_acq_rel);
    uint64_t out = pool->out;
    for (; slot; slot = slot->next) {
        out--;
    }
    /* From here on the pool may be ended by another thread, unless we are the last. */
    if (atomic_fetch_add_explicit(&pool->orphans, (int64_t)out, memory_order_acq_rel) ==
        -(int64_t)out) {
        destroy(pool);
        return 0;
    }
    return out;
}

bool kula__pool_is_of_parent(const struct kula__slot *slot)
{
    const struct kula__home *home = kula__slot_home(kula__slot_index(slot));
    return !home || home->alive != kula__process_generation();
}
