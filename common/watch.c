/* watch.c - what each level of checked mode does when a buffer changes hands. */
#include "watch.h"

#include "misuse.h"
#include "pool.h"
#include "region.h"
#include "ring.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE         4096u /* what buffers of this size and more are aligned to */
#define MARGIN       64u   /* what smaller ones are aligned to */
#define CANARY_BYTES 64u

/* cold->away; 0: the buffer is not under way. */
enum away {
    AWAY_UNTOUCHED = 1, /* in a message: it belongs to whoever gets it */
    AWAY_TO_BE_WRITTEN,
    AWAY_TO_BE_READ,
    AWAY_IN_VEC, /* not yet known for what */
};

atomic_uint kula__watch_levels;

static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool started; /* under start_mutex */

static const struct {
    const char *word;
    unsigned level;
} words[] = {
    { "ownership", KULA__WATCH_OWNERSHIP },
    { "canary", KULA__WATCH_CANARY },
    { "checksum", KULA__WATCH_CHECKSUM },
    { "guard", KULA__WATCH_GUARD },
};

unsigned kula__watch_level(const char *word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i].word) == 0) {
            return words[i].level;
        }
    }
    return 0;
}

static bool on(unsigned levels)
{
    return kula__watching() & levels;
}

/* ---- Starting ----------------------------------------------------------------------------- */

static unsigned built_in(void)
{
    unsigned levels = KULA_DEBUG_BUILD ? KULA__WATCH_OWNERSHIP : 0;
    if (KULA__ASAN || KULA__TSAN || KULA__MSAN) {
        levels |= KULA__WATCH_SANITIZER;
    }
    return kula__on_valgrind() ? levels | KULA__WATCH_VALGRIND : levels;
}

/* The levels for which memory is mapped twice. */
#define TWICE ((unsigned)(KULA__WATCH_GUARD | KULA__WATCH_VALGRIND))

/* Whether it can be: not without Linux's mremap(2), and a filter may refuse it. 0 or a negative errno. */
static int try_mapping_twice(void)
{
    unsigned char *pages;
    ptrdiff_t alias;
    int error = kula__watch_pages_twice(PAGE, &pages, &alias);
    if (error == 0) {
        kula__watch_pages_free(pages, PAGE, alias);
    }
    return error;
}

static void tell(const struct kula__settings *settings, unsigned levels, int error)
{
    if (error < 0) {
        kula__log(settings, KULA_LOG_WARNING,
                  "KULA_DEBUG: memory cannot be mapped twice here (%s): no guard",
                  strerror(-error));
    } else if (levels & KULA__WATCH_GUARD) {
        kula__log(settings, KULA_LOG_INFO,
                  "KULA_DEBUG=guard: a SIGSEGV with an address inside a buffer comes from the "
                  "instruction that touched the buffer while a ring had it; "
                  "docs/checked-mode.md says how to find it");
    }
}

void kula__watch_start(const struct kula__settings *settings, unsigned levels)
{
    int error = 0;
    kula__watch_lock();
    bool first = !started;
    if (first) {
        started = true;
        levels |= built_in();
        error = levels & TWICE ? try_mapping_twice() : 0;
        levels = error < 0 ? levels & ~TWICE : levels;
        atomic_store_explicit(&kula__watch_levels, levels, memory_order_relaxed);
    }
    kula__watch_unlock();
    if (first) {
        tell(settings, levels, error); /* the sink is the program's: not under a lock of ours */
    }
}

void kula__watch_lock(void)
{
    pthread_mutex_lock(&start_mutex);
}

void kula__watch_unlock(void)
{
    pthread_mutex_unlock(&start_mutex);
}

/* ---- Extents ------------------------------------------------------------------------------ */

/* The program's bytes that go away with the handle. */
struct extent {
    unsigned char *bytes;
    size_t count;
};

static struct extent extent_of(const struct kula__slot *slot)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    if (slot->kind == KULA__KIND_REF) {
        return (struct extent){ slot->data + cold->alias, slot->capacity };
    }
    return (struct extent){ cold->base + cold->alias, cold->base_capacity };
}

/* Whether its memory came out of kula__watch_take or kula__watch_place. */
static bool owns_block(const struct kula__cold *cold)
{
    return (cold->memory == KULA__MEMORY_CLASSED || cold->memory == KULA__MEMORY_LARGE ||
            cold->memory == KULA__MEMORY_POOL) &&
           cold->whole > 0;
}

static size_t block_bytes(const struct kula__cold *cold)
{
    if (cold->memory == KULA__MEMORY_POOL) {
        const struct kula__region *region = cold->keeper;
        return region->stride;
    }
    return cold->memory == KULA__MEMORY_LARGE ? (size_t)cold->size_class * PAGE
                                              : kula__size_class_bytes(cold->size_class);
}

/* All of the memory that came with it, as the program sees it. */
static struct extent block_of(const struct kula__cold *cold)
{
    return (struct extent){ cold->base - cold->front + cold->alias, block_bytes(cold) };
}

/* ---- Pages -------------------------------------------------------------------------------- */

static uintptr_t page_down(const void *address)
{
    return (uintptr_t)address & ~(uintptr_t)(kula__page_bytes() - 1);
}

static uintptr_t page_up(const void *address)
{
    return page_down((const unsigned char *)address + kula__page_bytes() - 1);
}

/* Sets what the program may do with the pages of a buffer. Those that it shares with other parts of a
 * split buffer stay as they are. False: it could not be set, for a process has at most some 65,000
 * mappings. */
static bool set_access(const struct kula__slot *slot, int protection)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    if (!on(KULA__WATCH_GUARD) || cold->alias == 0) {
        return true;
    }
    struct extent extent = extent_of(slot);
    uintptr_t from = page_up(extent.bytes);
    uintptr_t to = page_down(extent.bytes + extent.count);
    if (owns_block(cold) && cold->base_capacity == cold->whole) {
        struct extent block = block_of(cold);
        uintptr_t first = page_up(block.bytes);
        uintptr_t end = page_down(block.bytes + block.count);
        from = page_down(extent.bytes);
        from = from > first ? from : first;
        to = page_up(extent.bytes + extent.count);
        to = to < end ? to : end;
    }
    return from >= to || mprotect((void *)from, to - from, protection) == 0;
}

/* The same for memory that has been given out: where it cannot be set it stays as it was, as that the
 * program can go on matters more. */
static void protect(const struct kula__slot *slot, int protection)
{
    (void)set_access(slot, protection);
}

/* ---- Canaries ----------------------------------------------------------------------------- */

static uint32_t front_canary(const struct kula__cold *cold)
{
    return cold->front < CANARY_BYTES ? cold->front : CANARY_BYTES;
}

static uint32_t back_canary(const struct kula__cold *cold)
{
    size_t behind = block_bytes(cold) - cold->front - cold->whole;
    return behind < CANARY_BYTES ? (uint32_t)behind : CANARY_BYTES;
}

/* No two neighbours are the same, and none is 0 or what memset is mostly called with. */
static inline unsigned char canary_byte(uint32_t position)
{
    return (unsigned char)(0xa9u + position * 37u);
}

/* These three use the kernel's address, which is always accessible where there are two. */
KULA__UNINSTRUMENTED static void canary_paint(unsigned char *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = canary_byte(i);
    }
}

KULA__UNINSTRUMENTED static bool canary_lives(const unsigned char *bytes, uint32_t count)
{
    unsigned char difference = 0;
    for (uint32_t i = 0; i < count; i++) {
        difference |= (unsigned char)(bytes[i] ^ canary_byte(i));
    }
    return difference == 0;
}

KULA__UNINSTRUMENTED static uint64_t checksum_of(const unsigned char *bytes, size_t count)
{
    uint64_t sum = count;
    for (; count >= sizeof sum; count -= sizeof sum, bytes += sizeof sum) {
        uint64_t word;
        __builtin_memcpy(&word, bytes, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
        sum ^= sum >> 32;
    }
    for (; count > 0; count--, bytes++) {
        sum = (sum ^ *bytes) * UINT64_C(0x9fb21c651e98df25);
    }
    kula__instruments_written(&sum, sizeof sum); /* whatever the bytes were */
    return sum;
}

static void paint_canaries(const struct kula__cold *cold)
{
    uint32_t front = front_canary(cold);
    canary_paint(cold->base - front, front);
    canary_paint(cold->base + cold->whole, back_canary(cold));
}

static void check_canaries(const struct kula__slot *slot, const char *function)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    if (!on(KULA__WATCH_CANARY) || !owns_block(cold)) {
        return;
    }
    uint32_t front = front_canary(cold);
    bool before = !canary_lives(cold->base - front, front);
    bool behind = !canary_lives(cold->base + cold->whole, back_canary(cold));
    if (before || behind) {
        paint_canaries(cold); /* told once */
        kula__misuse(function, kula__slot_word(slot),
                     before ? "something was written in front of the buffer"
                            : "something was written behind the end of the buffer");
    }
}

/* ---- Changes of hands --------------------------------------------------------------------- */

const char *kula__operation_function(enum kula__operation operation)
{
    static const char *const functions[] = {
        [KULA__OP_NONE] = "kula",
#define X(NAME, name, transfer, readiness, result, class) [KULA__OP_##NAME] = "kula_" #name,
        KULA__OPERATIONS(X)
#undef X
            [KULA__OP_MESSAGE] = "kula_post",
    };
    return functions[operation];
}

/* relaxed: a report may show what was true a moment ago, and that is all that it is for */
static void note(struct kula__slot *slot, const char *function, const void *place)
{
    struct kula__cold *cold = kula__cold_of(slot);
    atomic_store_explicit(&cold->last_function, function, memory_order_relaxed);
    atomic_store_explicit(&cold->last_place, on(KULA__WATCH_OWNERSHIP) ? (uintptr_t)place : 0,
                          memory_order_relaxed);
}

const char *kula__watch_last(const struct kula__slot *slot, const void **ret_place)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    *ret_place = (const void *)atomic_load_explicit(&cold->last_place, memory_order_relaxed);
    return atomic_load_explicit(&cold->last_function, memory_order_relaxed);
}

static bool is_watched(const struct kula__slot *slot)
{
    return (slot->kind == KULA__KIND_SPECIAL || slot->kind == KULA__KIND_REF) &&
           (kula__cold_of(slot)->traits & KULA__WATCHED);
}

/* The program may not touch the bytes. Valgrind looks at what system calls are given, also those of our
 * workers: so it is told only where they have another address for the same bytes. */
static void hide(const struct kula__slot *slot)
{
    struct extent extent = extent_of(slot);
    bool seen = kula__on_valgrind() && kula__cold_of(slot)->alias == 0;
    if (slot->kind != KULA__KIND_REF && !seen) {
        kula__instruments_hide(extent.bytes, extent.count);
    }
}

/* An operation begins to use the bytes. */
static void depart(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    struct extent extent = extent_of(slot);
    bool reads = cold->away == AWAY_TO_BE_READ;
    if (reads && on(KULA__WATCH_CHECKSUM)) {
        cold->checksum = checksum_of(slot->data, slot->capacity);
    }
    const char *function = atomic_load_explicit(&cold->last_function, memory_order_relaxed);
    cold->fiber = kula__instruments_depart(cold, extent.bytes, extent.count, !reads, function);
    /* Who has it may still read what is only read, and a part's or a reference's neighbours. */
    if (slot->kind != KULA__KIND_REF) {
        protect(slot, reads ? PROT_READ : PROT_NONE);
    }
}

void kula__watch_away(struct kula__slot *slot,
                      enum kula__transfer transfer,
                      const char *function,
                      const void *place)
{
    if (slot->kind == KULA__KIND_VEC || !is_watched(slot)) {
        note(slot, function, place);
        return;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    note(slot, function, place);
    check_canaries(slot, function);
    bool reads = transfer == KULA__TRANSFER_OUT || slot->kind == KULA__KIND_REF;
    cold->away = reads                           ? AWAY_TO_BE_READ
                 : transfer == KULA__TRANSFER_IN ? AWAY_TO_BE_WRITTEN
                                                 : AWAY_UNTOUCHED;
    depart(slot);
    hide(slot);
}

void kula__watch_vec(struct kula__slot *vec, enum kula__operation operation, const void *place)
{
    bool out = kula__operation_facts[operation].transfer == KULA__TRANSFER_OUT;
    struct kula__slot *member = kula__cold_of(vec)->vec_first;
    for (; member; member = member->next) {
        if (is_watched(member)) {
            note(member, kula__operation_function(operation), place);
            /* the kernel will not be let write shared bytes */
            bool reads = out || member->kind == KULA__KIND_REF;
            kula__cold_of(member)->away = reads ? AWAY_TO_BE_READ : AWAY_TO_BE_WRITTEN;
            depart(member);
        }
    }
}

void kula__watch_away_in_vec(struct kula__slot *member, const char *function, const void *place)
{
    note(member, function, place);
    if (!is_watched(member)) {
        return;
    }
    check_canaries(member, function);
    kula__cold_of(member)->away = AWAY_IN_VEC;
    if (member->kind != KULA__KIND_REF) {
        protect(member, PROT_READ);
        hide(member);
    }
}

/* Whoever had it is done with it. Returns what it was away for. */
static enum away arrive(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    enum away away = (enum away)cold->away;
    if (away == 0) {
        return away;
    }
    const char *function = atomic_load_explicit(&cold->last_function, memory_order_relaxed);
    cold->away = 0;
    kula__instruments_land(cold, cold->fiber);
    cold->fiber = 0;
    bool changed = away == AWAY_TO_BE_READ && on(KULA__WATCH_CHECKSUM) &&
                   cold->checksum != checksum_of(slot->data, slot->capacity);
    if (slot->kind != KULA__KIND_REF) {
        struct extent extent = extent_of(slot);
        protect(slot, PROT_READ | PROT_WRITE);
        kula__instruments_show(extent.bytes, extent.count);
    }
    check_canaries(slot, function);
    if (changed) {
        kula__misuse(function, kula__slot_word(slot),
                     "the bytes changed while they were being written or sent");
    }
    return away;
}

/* Of the `asked` bytes that the kernel was to write, it has written `count`. */
static void received(const struct kula__slot *slot, uint32_t asked, uint32_t count)
{
    unsigned char *bytes = slot->data + kula__cold_of(slot)->alias;
    asked = asked < slot->capacity ? asked : slot->capacity;
    count = count < asked ? count : asked;
    kula__instruments_written(bytes, count);
    kula__instruments_undefine(bytes + count, asked - count);
}

void kula__watch_home(struct kula__slot *slot)
{
    if (is_watched(slot) && arrive(slot) == AWAY_TO_BE_WRITTEN && slot->result >= 0) {
        received(slot, slot->length, (uint32_t)slot->result);
    }
}

void kula__watch_home_member(struct kula__slot *vec, struct kula__slot *member)
{
    struct kula__cold *cold = kula__cold_of(vec);
    uint32_t total = vec->result > 0 ? (uint32_t)vec->result : 0;
    uint32_t left = total - cold->vec_counted;
    uint32_t count = left < member->length ? left : member->length;
    cold->vec_counted += count;
    if (is_watched(member) && arrive(member) == AWAY_TO_BE_WRITTEN && vec->result >= 0) {
        received(member, member->length, count);
    }
}

void kula__watch_note(struct kula__slot *slot, const char *function, const void *place)
{
    if (kula__watching()) {
        note(slot, function, place);
    }
}

void kula__watch_leave(struct kula__slot *slot)
{
    if (!is_watched(slot)) {
        return;
    }
    (void)arrive(slot);
    const struct kula__cold *cold = kula__cold_of(slot);
    if (slot->kind == KULA__KIND_SPECIAL && cold->memory != KULA__MEMORY_VOUCHED) {
        struct extent extent = extent_of(slot);
        protect(slot, PROT_NONE);
        kula__instruments_hide(extent.bytes, extent.count);
    }
}

/* ---- Shared memory ------------------------------------------------------------------------ */

void kula__watch_share(const struct kula__slot *parent, struct kula__slot *child)
{
    if (!kula__watching()) {
        return;
    }
    const struct kula__cold *from = kula__cold_of(parent);
    struct kula__cold *cold = kula__cold_of(child);
    cold->traits |= from->traits & KULA__WATCHED;
    cold->alias = from->alias;
    cold->front = 0;
    cold->whole = 0;
    cold->away = 0;
    note(child, NULL, NULL);
}

void kula__watch_freeze(struct kula__slot *slot, const char *function, const void *place)
{
    if (kula__watching()) {
        note(slot, function, place);
        protect(slot, PROT_READ);
    }
}

void kula__watch_thaw(struct kula__slot *slot, const char *function, const void *place)
{
    if (kula__watching()) {
        note(slot, function, place);
        protect(slot, PROT_READ | PROT_WRITE);
    }
}

void kula__watch_join(struct kula__slot *part)
{
    kula__cold_of(part)->traits &= (uint8_t)~KULA__WATCHED;
}

/* ---- Memory ------------------------------------------------------------------------------- */

size_t kula__watch_lay_out(size_t size_bytes, bool paged, uint32_t *ret_front)
{
    size_t whole_pages = (size_bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (on(KULA__WATCH_GUARD)) {
        /* a page that is never accessible, then the bytes: as near to the next such page as their
         * alignment allows */
        size_t lines = (size_bytes + MARGIN - 1) & ~(size_t)(MARGIN - 1);
        *ret_front = (uint32_t)(PAGE + (paged ? 0 : PAGE - lines));
        return PAGE + whole_pages;
    }
    if (on(KULA__WATCH_CANARY | KULA__WATCH_VALGRIND) || KULA__ASAN) {
        *ret_front = paged ? PAGE : MARGIN;
        return *ret_front + size_bytes + MARGIN;
    }
    *ret_front = 0;
    return paged && size_bytes < PAGE ? PAGE : size_bytes;
}

static void begin(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    cold->whole = cold->base_capacity;
    cold->away = 0;
    note(slot, NULL, NULL);
    struct extent extent = extent_of(slot);
    kula__instruments_show(extent.bytes, extent.count);
    kula__instruments_undefine(extent.bytes, extent.count);
}

bool kula__watch_place(struct kula__slot *slot, uint32_t front)
{
    struct kula__cold *cold = kula__cold_of(slot);
    cold->base = slot->data;
    cold->base_capacity = cold->whole = slot->capacity;
    cold->front = front;
    cold->parent = NULL;
    cold->traits |= KULA__WATCHED;
    if (!set_access(slot, PROT_READ | PROT_WRITE)) {
        return false;
    }
    struct extent block = block_of(cold);
    kula__instruments_hide(block.bytes, block.count);
    begin(slot);
    if (on(KULA__WATCH_CANARY)) {
        paint_canaries(cold);
    }
    return true;
}

struct kula__slot *kula__watch_take(struct kula__pool *pool, size_t size_bytes, bool paged)
{
    uint32_t front;
    size_t bytes = kula__watch_lay_out(size_bytes, paged, &front);
    struct kula__slot *slot = kula__pool_take(pool, bytes);
    if (!slot) {
        return NULL;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    uint8_t plain_kind = slot->kind;
    slot->kind = KULA__KIND_SPECIAL;
    slot->data = cold->base + front;
    slot->capacity = (uint32_t)size_bytes;
    cold->traits = 0;
    if (!kula__watch_place(slot, front)) {
        cold->base -= front;
        cold->traits = 0;
        slot->kind = plain_kind;
        kula__pool_give(slot);
        return NULL;
    }
    return slot;
}

void kula__watch_adopt(struct kula__slot *slot, bool undefined)
{
    if (!kula__watching()) {
        return;
    }
    struct kula__cold *cold = kula__cold_of(slot);
    cold->traits |= KULA__WATCHED;
    cold->front = 0;
    cold->whole = cold->base_capacity;
    cold->away = 0;
    note(slot, NULL, NULL);
    if (undefined) {
        begin(slot);
    }
}

void kula__watch_end(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    if (cold->memory != KULA__MEMORY_NONE) {
        slot->kind = KULA__KIND_SPECIAL; /* no reference is left, and no part */
        cold->base_capacity = cold->whole;
    }
    if (owns_block(cold)) {
        const char *function = atomic_load_explicit(&cold->last_function, memory_order_relaxed);
        check_canaries(slot, function ? function : "kula_free");
        struct extent block = block_of(cold);
        kula__instruments_show(block.bytes, block.count);
        cold->base -= cold->front;
        cold->front = 0;
    } else if (cold->memory != KULA__MEMORY_NONE) {
        struct extent extent = extent_of(slot);
        kula__instruments_show(extent.bytes, extent.count);
    }
}

void kula__watch_rest(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    struct extent block = block_of(cold);
    cold->base_capacity = cold->whole = (uint32_t)block.count;
    protect(slot, PROT_NONE);
    kula__instruments_undefine(block.bytes, block.count);
    kula__instruments_hide(block.bytes, block.count);
}
