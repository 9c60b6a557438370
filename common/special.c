/* special.c - buffers of other than plain memory: kula_alloc_memory, kula_vouch, kula_const. */
#include "memory.h"
#include "misuse.h"
#include "pool.h"
#include "region.h"
#include "ring.h"
#include "watch.h"

#include <errno.h>

#if defined __linux__ && !defined KULA_NO_LINUX && KULA_DEBUG_BUILD
#    define KNOWS_STACK 1
#else
#    define KNOWS_STACK 0
#endif

#define FLAGS         (KULA_MEMORY_HUGE | KULA_MEMORY_NODE | KULA_MEMORY_REGISTERED | KULA_MEMORY_WIPE)
#define ALIGNMENT_MAX ((size_t)1 << 30)

bool kula__memory_is_valid(const struct kula_memory *memory)
{
    return memory->size == sizeof *memory && !(memory->flags & ~(uint32_t)FLAGS) &&
           memory->alignment <= ALIGNMENT_MAX &&
           (memory->alignment & (memory->alignment - 1)) == 0;
}

/* ---- Memory of the library ------------------------------------------------------------------ */

/* What a buffer of this size and more is aligned to without a wish. */
static size_t usual_alignment(size_t size)
{
    return size >= KULA__POOL_PAGE ? KULA__POOL_PAGE : KULA__POOL_LINE;
}

/* Memory of the ring's pool, where that is good enough. */
static struct kula__slot *take_usual(struct kula_ring *ring,
                                     size_t size,
                                     const struct kula_memory *wishes,
                                     struct kula_memory_report *report)
{
    bool page = wishes->alignment > usual_alignment(size);
    struct kula__slot *slot =
        kula__watching() ? kula__watch_take(ring->pool, size, page || size >= KULA__POOL_PAGE)
                         : kula__pool_take(ring->pool, page ? KULA__POOL_PAGE : size);
    if (!slot) {
        return NULL;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    slot->capacity = (uint32_t)size;
    cold->base_capacity = (uint32_t)size;
    report->alignment = page ? KULA__POOL_PAGE : usual_alignment(size);
    report->page_bytes = kula__page_bytes();
    if (wishes->flags & KULA_MEMORY_WIPE) {
        if (slot->kind != KULA__KIND_SPECIAL) {
            slot->kind = KULA__KIND_SPECIAL;
            cold->traits = 0;
            cold->parent = NULL;
        }
        cold->traits |= KULA__WIPED;
    }
    return slot;
}

/* A region of its own. */
static struct kula__slot *take_region(struct kula_ring *ring,
                                      size_t size,
                                      const struct kula_memory *wishes,
                                      struct kula_memory_report *report)
{
    struct kula__slot *slot = kula__pool_take_bare(ring->pool);
    if (!slot) {
        return NULL;
    }
    struct kula__region *region = kula__region_new(ring, size, wishes, report);
    if (!region) {
        slot->kind = KULA__KIND_VEC; /* bare */
        kula__pool_give(slot);
        return NULL;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    slot->kind = KULA__KIND_SPECIAL;
    slot->data = region->pages.first;
    slot->capacity = (uint32_t)size;
    cold->base = slot->data;
    cold->base_capacity = (uint32_t)size;
    cold->memory = KULA__MEMORY_REGION;
    cold->size_class = (uint32_t)(region->pages.bytes / KULA__POOL_PAGE);
    cold->traits = (uint8_t)((region->registered ? KULA__REGISTERED : 0) |
                             (wishes->flags & KULA_MEMORY_WIPE ? KULA__WIPED : 0));
    cold->parent = NULL;
    cold->keeper = region;
    kula__watch_adopt(slot, true);
    return slot;
}

static struct kula__slot *take(struct kula_ring *ring,
                               size_t size,
                               const struct kula_memory *wishes,
                               struct kula_memory_report *report)
{
    size_t plenty =
        usual_alignment(size) > KULA__POOL_PAGE ? usual_alignment(size) : KULA__POOL_PAGE;
    bool usual = !(wishes->flags & ~(uint32_t)KULA_MEMORY_WIPE) && wishes->alignment <= plenty;
    struct kula__slot *slot = usual ? take_usual(ring, size, wishes, report)
                                    : take_region(ring, size, wishes, report);
    if (slot) {
        report->granted |= wishes->flags & KULA_MEMORY_WIPE;
    } else {
        *report =
            (struct kula_memory_report){ .error = -ENOMEM, .shortfall = "there is no memory" };
    }
    return slot;
}

kula_buf kula_alloc_memory_(struct kula_ring *ring,
                            size_t size,
                            const struct kula_memory *memory,
                            struct kula_memory_report *ret_report)
{
    struct kula_memory_report unwanted;
    struct kula_memory_report *report = ret_report ? ret_report : &unwanted;
    *report = (struct kula_memory_report){ .shortfall = "" };
    if (!kula__is_owner(ring)) {
        report->error = kula__not_owner(ring, "kula_alloc_memory");
        report->shortfall = "the ring is not this thread's";
        return NULL;
    }
    if (!memory || !kula__memory_is_valid(memory) || size == 0 || size > INT32_MAX) {
        report->error = -EINVAL;
        report->shortfall = "the size, the alignment or a flag is impossible";
        return NULL;
    }
    struct kula__slot *slot = take(ring, size, memory, report);
    return slot ? kula__word_handle(kula__word_allocate(slot)) : NULL;
}

/* ---- Memory of the program ------------------------------------------------------------------ */

#if KNOWS_STACK
/* Asking costs microseconds, and for the main thread it reads /proc/self/maps: once for each thread. */
static bool is_on_stack(const void *memory, size_t size)
{
    static _Thread_local uintptr_t low;
    static _Thread_local uintptr_t high; /* 0: not asked, or nobody knows */
    static _Thread_local bool asked;
    if (!asked) {
        asked = true;
        pthread_attr_t attributes;
        void *first;
        size_t bytes;
        if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
            if (pthread_attr_getstack(&attributes, &first, &bytes) == 0) {
                low = (uintptr_t)first;
                high = low + bytes;
            }
            pthread_attr_destroy(&attributes);
        }
    }
    uintptr_t address = (uintptr_t)memory;
    return address < high && address + size > low;
}
#else
static bool is_on_stack(const void *memory, size_t size)
{
    (void)memory;
    (void)size;
    return false;
}
#endif

/* A record for memory that is not the library's, its kind and everything about its end to be filled in. */
static struct kula__slot *adopt(struct kula_ring *ring, unsigned char *memory, size_t size)
{
    struct kula__slot *slot = kula__pool_take_bare(ring->pool);
    if (slot) {
        struct kula__cold *cold = kula__cold_of(slot);
        slot->data = memory;
        slot->capacity = (uint32_t)size;
        cold->base = memory;
        cold->base_capacity = (uint32_t)size;
        cold->traits = 0;
        cold->parent = NULL;
    }
    return slot;
}

/* Whether memory can be adopted; if not, and somebody is to blame, that is reported. */
static bool is_adoptable(const struct kula_ring *ring,
                         const void *memory,
                         size_t size,
                         const char *operation)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, operation);
        return false;
    }
    if (!memory) {
        kula__misuse(operation, 0, "the memory is NULL");
        return false;
    }
    return size > 0 && size <= INT32_MAX;
}

kula_buf kula_vouch_(struct kula_ring *ring,
                     void *memory,
                     size_t size,
                     kula_release_fn release,
                     void *arg)
{
    if (!is_adoptable(ring, memory, size, "kula_vouch")) {
        return NULL;
    }
    if (is_on_stack(memory, size)) {
        kula__misuse("kula_vouch", 0,
                     "the memory is on the stack, which goes when the function returns: "
                     "allocate it, or see kula/borrow.h");
        return NULL;
    }
    struct kula__slot *slot = adopt(ring, memory, size);
    if (!slot) {
        return NULL;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    slot->kind = KULA__KIND_SPECIAL;
    cold->memory = KULA__MEMORY_VOUCHED;
    cold->keeper = arg;
    cold->release = release;
    cold->size_class = (uint32_t)size;
    kula__watch_adopt(slot, false);
    return kula__word_handle(kula__word_allocate(slot));
}

kula_ref kula_const_(struct kula_ring *ring, const void *memory, size_t size)
{
    if (!is_adoptable(ring, memory, size, "kula_const")) {
        return NULL;
    }
    /* the kind is what keeps everybody from writing */
    struct kula__slot *slot = adopt(ring, (unsigned char *)(uintptr_t)memory, size);
    if (!slot) {
        return NULL;
    }
    slot->kind = KULA__KIND_REF;
    kula__watch_adopt(slot, false);
    return kula__word_handle(kula__word_allocate(slot));
}
