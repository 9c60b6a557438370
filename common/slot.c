/* slot.c - the process-wide table of records, and who has which chunk of it. */
#include "slot.h"

#include "system.h"

#include <pthread.h>

#define CHUNKS_PER_SLAB (KULA__SLAB_SLOTS / KULA__CHUNK_SLOTS)
#define CHUNK_COUNT     (KULA__SLAB_COUNT * CHUNKS_PER_SLAB)

struct kula__slot *_Atomic kula__slabs[KULA__SLAB_COUNT];
struct kula__cold *_Atomic kula__cold_slabs[KULA__SLAB_COUNT];

/* Static and zero: what is never used costs address space only. */
static struct {
    void *_Atomic home;
    uint32_t next_free;
} chunks[CHUNK_COUNT];

static pthread_mutex_t chunk_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint chunks_made = 1; /* chunk 0 holds index 0, which is never used */
static uint32_t chunk_free;         /* list through next_free; 0 = empty */

/* Stands where there is no slab, so that every index leads to a record and finding one is no question.
 * Its words are no handles: none of them names the index under which it is found. */
static struct kula__slot nobody[KULA__SLAB_SLOTS];

/* Before the program can call anything; the first 100 are the compiler's. */
__attribute__((__constructor__(101))) static void table_begin(void)
{
    /* Else the empty handle would be the name of index 0, as a buffer of the program. */
    atomic_init(&nobody[0].word, UINT64_MAX);
    for (uint32_t slab = 0; slab < KULA__SLAB_COUNT; slab++) {
        atomic_init(&kula__slabs[slab], nobody);
    }
}

static bool slab_exists(uint32_t slab)
{
    return atomic_load_explicit(&kula__slabs[slab], memory_order_relaxed) != nobody;
}

/* Makes sure that a slab exists. Slabs are never unmapped, so that any handle, however old or made up,
 * can be compared with something. Called with the lock, which it gives up while it maps: if another
 * thread was faster, its slab stays. */
static bool slab_make(uint32_t slab)
{
    if (slab_exists(slab)) {
        return true;
    }
    pthread_mutex_unlock(&chunk_mutex);
    struct kula__slot *slots = kula__pages_new(KULA__SLAB_SLOTS * sizeof *slots, 0);
    struct kula__cold *colds = kula__pages_new(KULA__SLAB_SLOTS * sizeof *colds, 0);
    pthread_mutex_lock(&chunk_mutex);
    if (slab_exists(slab) || !slots || !colds) {
        kula__pages_free(slots, KULA__SLAB_SLOTS * sizeof *slots);
        kula__pages_free(colds, KULA__SLAB_SLOTS * sizeof *colds);
        return slab_exists(slab);
    }
    if (slab == 0) {
        atomic_init(&slots[0].word, UINT64_MAX); /* as in table_begin() */
    }
    /* release: pairs with kula__slot_find(), which may be given an index that nobody published */
    atomic_store_explicit(&kula__cold_slabs[slab], colds, memory_order_release);
    atomic_store_explicit(&kula__slabs[slab], slots, memory_order_release);
    return true;
}

bool kula__slots_init(void)
{
    pthread_mutex_lock(&chunk_mutex);
    bool made = slab_make(0);
    pthread_mutex_unlock(&chunk_mutex);
    return made;
}

/* A chunk that nobody has; 0: there is no memory or no index left. Under the lock. */
static uint32_t chunk_find(void)
{
    for (;;) {
        uint32_t chunk = chunk_free;
        if (chunk) {
            chunk_free = chunks[chunk].next_free;
            return chunk;
        }
        uint32_t made = atomic_load_explicit(&chunks_made, memory_order_relaxed);
        if (made == CHUNK_COUNT) {
            return 0;
        }
        uint32_t slab = made / CHUNKS_PER_SLAB;
        if (slab_exists(slab)) {
            atomic_store_explicit(&chunks_made, made + 1, memory_order_release);
            return made;
        }
        if (!slab_make(slab)) {
            return 0;
        }
        /* others may have taken or returned some meanwhile: look again */
    }
}

uint32_t kula__chunk_take(void *home)
{
    pthread_mutex_lock(&chunk_mutex);
    uint32_t chunk = chunk_find();
    if (chunk) {
        atomic_store_explicit(&chunks[chunk].home, home, memory_order_release);
    }
    pthread_mutex_unlock(&chunk_mutex);
    return chunk * KULA__CHUNK_SLOTS;
}

void kula__chunk_return(uint32_t first_index)
{
    uint32_t chunk = first_index / KULA__CHUNK_SLOTS;
    pthread_mutex_lock(&chunk_mutex);
    atomic_store_explicit(&chunks[chunk].home, NULL, memory_order_relaxed);
    chunks[chunk].next_free = chunk_free;
    chunk_free = chunk;
    pthread_mutex_unlock(&chunk_mutex);
}

void *kula__slot_home(uint32_t index)
{
    return atomic_load_explicit(&chunks[index / KULA__CHUNK_SLOTS].home, memory_order_acquire);
}

struct kula__slot *kula__chunks_slot(struct kula__chunks *set, void *home)
{
    if (set->left == 0) {
        if (set->count == set->capacity) {
            uint32_t capacity = set->capacity ? set->capacity * 2 : 8;
            uint32_t *grown =
                kula__memory_resize(set->first_index, capacity * sizeof *set->first_index);
            if (!grown) {
                return NULL;
            }
            set->first_index = grown;
            set->capacity = capacity;
        }
        uint32_t first = kula__chunk_take(home);
        if (!first) {
            return NULL;
        }
        set->first_index[set->count++] = first;
        set->next = first;
        set->left = KULA__CHUNK_SLOTS;
    }
    struct kula__slot *slot = kula__slot_at(set->next);
    kula__word_begin(slot, set->next);
    set->next++;
    set->left--;
    return slot;
}

void kula__chunks_fini(struct kula__chunks *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        kula__chunk_return(set->first_index[i]);
    }
    kula__memory_free(set->first_index);
    *set = (struct kula__chunks){ 0 };
}

void kula__slots_visit(uint32_t ring_id,
                       void (*visit)(struct kula__slot *slot, void *arg),
                       void *arg)
{
    uint32_t made = atomic_load_explicit(&chunks_made, memory_order_acquire);
    for (uint32_t chunk = 1; chunk < made; chunk++) {
        if (!atomic_load_explicit(&chunks[chunk].home, memory_order_relaxed)) {
            continue;
        }
        struct kula__slot *slot = kula__slot_at(chunk * KULA__CHUNK_SLOTS);
        for (uint32_t i = 0; i < KULA__CHUNK_SLOTS; i++, slot++) {
            if (kula__slot_is_with(slot, ring_id)) {
                visit(slot, arg);
            }
        }
    }
}

void kula__slots_retire(void)
{
    const uint64_t nobodys = (uint64_t)KULA__HELD_BY_NOBODY << KULA__INDEX_BITS;
    uint32_t made = atomic_load_explicit(&chunks_made, memory_order_acquire);
    for (uint32_t chunk = 1; chunk < made; chunk++) {
        if (!atomic_load_explicit(&chunks[chunk].home, memory_order_relaxed)) {
            continue;
        }
        struct kula__slot *slot = kula__slot_at(chunk * KULA__CHUNK_SLOTS);
        for (uint32_t i = 0; i < KULA__CHUNK_SLOTS; i++, slot++) {
            /* read first: a page that is not written stays the parent's, too */
            uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
            if (word != 0 && (word & nobodys) != nobodys) {
                atomic_store_explicit(&slot->word, word | nobodys, memory_order_relaxed);
            }
        }
    }
}

void kula__slots_lock(void)
{
    pthread_mutex_lock(&chunk_mutex);
}

void kula__slots_unlock(void)
{
    pthread_mutex_unlock(&chunk_mutex);
}

#if UINTPTR_MAX != UINT64_MAX
uint64_t kula__handle_word(const void *handle)
{
    uint32_t bits = (uint32_t)(uintptr_t)handle;
    uint32_t index = bits & 0xffff;
    struct kula__slot *slot = kula__slot_find(index);
    uint64_t word = slot ? kula__slot_word(slot) : 0;
    if (index && (kula__word_generation(word) & 0xffff) == bits >> 16) {
        return word;
    }
    /* A word that no record has: its generation lies below the first one. */
    return (uint64_t)(bits >> 16) << KULA__INDEX_BITS | index;
}
#endif
