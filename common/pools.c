/* pools.c - kula_pool: taking, giving back, growing, waiting, closing. */
#include "pools.h"

#include "held.h"
#include "memory.h"
#include "misuse.h"
#include "pool.h"
#include "process.h"
#include "region.h"
#include "system.h"
#include "watch.h"

#include <errno.h>

#define COUNT_MAX       (UINT32_C(1) << 23)
#define GROUP_COUNT_MAX (UINT32_C(1) << 15)

struct kula_pool {
    struct kula__home home; /* its owner is 0: to the records of references it is nobody's */

    /* --- as opened --- */
    struct kula_memory wishes;
    uint32_t buffer_bytes;
    uint32_t count; /* by how many it grows */
    uint32_t count_max;
    uint8_t traits; /* of every buffer */
    bool shared;
    uintptr_t thread;               /* of the ring's owner */
    struct kula_ring *ring;         /* NULL: shared, or gone */
    struct kula_pool *next;         /* in ring->pools */
    struct kula__settings settings; /* for the log */

    /* --- the owner's, or under the mutex --- */
    struct kula__slot *free;
    uint64_t stock; /* on the list */
    uint64_t held;
    uint64_t capacity;
    uint64_t promised; /* capacity, and what is being made */
    uint64_t peak;
    uint64_t taken;
    uint64_t waited;
    uint64_t failures;
    uint32_t waiting;
    uint32_t growing; /* threads that make a region */
    bool closed;
    bool answered; /* of a ring: what the owner waits for has been returned */

    /* --- always under the mutex --- */
    struct kula__region *regions;
    struct kula_memory_report report;
    pthread_mutex_t mutex;
    pthread_cond_t change; /* monotonic */

    /* --- of a ring: what other threads freed, newest first, or one of the two below --- */
    _Alignas(64) _Atomic(struct kula__slot *) returned;
    _Atomic int64_t orphans; /* as in pool.c */
};

/* In `returned`. The owner sleeps: whoever replaces this has to answer. It is the owner's to take back,
 * and while it cannot the owner stays for the answer, so that the pool is there to be answered. */
#define AWAITED ((struct kula__slot *)2)
/* The pool is closed. */
#define ORPHANED ((struct kula__slot *)1)

/* ---- The end of a pool ---------------------------------------------------------------------- */

static void destroy(struct kula_pool *pool)
{
    while (pool->regions) {
        struct kula__region *region = pool->regions;
        pool->regions = region->next_in_pool;
        kula__region_free(region);
    }
    pthread_cond_destroy(&pool->change);
    pthread_mutex_destroy(&pool->mutex);
    kula__pages_free(pool, sizeof *pool);
}

/* ---- Giving back --------------------------------------------------------------------------- */

static void push(struct kula_pool *pool, struct kula__slot *slot)
{
    slot->next = pool->free;
    pool->free = slot;
    pool->stock++;
    pool->held--;
}

static void give_shared(struct kula_pool *pool, struct kula__slot *slot)
{
    pthread_mutex_lock(&pool->mutex);
    push(pool, slot);
    bool last = pool->closed && pool->held == 0;
    if (pool->waiting > 0) {
        pthread_cond_signal(&pool->change);
    }
    pthread_mutex_unlock(&pool->mutex);
    if (last) {
        destroy(pool);
    }
}

static void answer(struct kula_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->answered = true;
    pthread_cond_signal(&pool->change);
    pthread_mutex_unlock(&pool->mutex);
}

static void give_from_afar(struct kula_pool *pool, struct kula__slot *slot)
{
    struct kula__slot *head = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do {
        if (head == ORPHANED) {
            /* acq_rel: the one that ends the pool sees all that the others did */
            if (atomic_fetch_sub_explicit(&pool->orphans, 1, memory_order_acq_rel) == 1) {
                destroy(pool);
            }
            return;
        }
        slot->next = head == AWAITED ? NULL : head;
        /* release: the owner sees the record as we left it; acquire: ORPHANED is followed by
         * reading what the closer wrote */
    } while (!atomic_compare_exchange_weak_explicit(
        &pool->returned, &head, slot, memory_order_acq_rel, memory_order_acquire));
    if (head == AWAITED) {
        answer(pool);
    }
}

void kula__pools_give(struct kula__slot *slot, bool wiped)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    const struct kula__region *region = cold->keeper;
    struct kula_pool *pool = region->pool;
    if (wiped) {
        kula__wipe(region->pages.first + cold->size_class * region->stride, region->stride);
    }
    slot->kind = KULA__KIND_SPECIAL;
    if (pool->shared) {
        give_shared(pool, slot);
    } else if (pool->thread == kula__pool_self() &&
               atomic_load_explicit(&pool->returned, memory_order_relaxed) != ORPHANED) {
        /* relaxed: only this thread closes the pool */
        push(pool, slot);
    } else {
        give_from_afar(pool, slot);
    }
}

/* Brings home what other threads freed. Owner only. */
static void collect(struct kula_pool *pool)
{
    if (pool->shared || !atomic_load_explicit(&pool->returned, memory_order_relaxed)) {
        return;
    }
    /* acquire: what the freeing thread wrote into the record is seen */
    struct kula__slot *slot =
        atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    while (slot) {
        struct kula__slot *next = slot->next;
        push(pool, slot);
        slot = next;
    }
}

/* ---- Growing -------------------------------------------------------------------------------- */

static void lock(struct kula_pool *pool)
{
    if (pool->shared) {
        pthread_mutex_lock(&pool->mutex);
    } else {
        collect(pool);
    }
}

static void unlock(struct kula_pool *pool)
{
    if (pool->shared) {
        pthread_mutex_unlock(&pool->mutex);
    }
}

static size_t alignment_of(const struct kula_pool *pool)
{
    size_t usual = pool->buffer_bytes >= KULA__POOL_PAGE ? KULA__POOL_PAGE : KULA__POOL_LINE;
    return pool->wishes.alignment > usual ? pool->wishes.alignment : usual;
}

static size_t stride_of(const struct kula_pool *pool)
{
    size_t alignment = alignment_of(pool);
    return (pool->buffer_bytes + alignment - 1) & ~(alignment - 1);
}

/* Gives each piece of a region its record. Returns them as a list, or NULL: no memory. */
static struct kula__slot *make_records(struct kula_pool *pool, struct kula__region *region)
{
    struct kula__slot *list = NULL;
    for (uint32_t i = region->count; i-- > 0;) {
        struct kula__slot *slot = kula__chunks_slot(&region->records, pool);
        if (!slot) {
            return NULL;
        }
        struct kula__cold *cold = kula__cold_of(slot);
        slot->kind = KULA__KIND_SPECIAL;
        slot->attention = 0;
        slot->fd = -1;
        cold->memory = KULA__MEMORY_POOL;
        cold->traits = 0;
        cold->parent = NULL;
        cold->keeper = region;
        cold->size_class = i;
        slot->next = list;
        list = slot;
    }
    return list;
}

static struct kula__region *make_region(struct kula_pool *pool,
                                        uint32_t count,
                                        struct kula_memory_report *report,
                                        struct kula__slot **ret_records)
{
    size_t stride = stride_of(pool);
    if (count > SIZE_MAX / 2 / stride) {
        return NULL;
    }
    struct kula__region *region =
        kula__region_new(pool->ring, stride * count, &pool->wishes, report);
    if (!region) {
        return NULL;
    }
    region->pool = pool;
    region->count = count;
    region->buffer_bytes = pool->buffer_bytes;
    region->stride = stride;
    *ret_records = make_records(pool, region);
    if (!*ret_records) {
        kula__region_free(region);
        return NULL;
    }
    return region;
}

/* What holds of all regions holds of the pool. */
static void merge_report(struct kula_pool *pool, const struct kula_memory_report *report)
{
    pool->report.granted &= report->granted | KULA_MEMORY_WIPE;
    if (report->page_bytes < pool->report.page_bytes) {
        pool->report.page_bytes = report->page_bytes;
    }
    if (report->error < 0) {
        kula__wish_failed(&pool->report, report->error, report->shortfall);
    }
}

static void add_region(struct kula_pool *pool,
                       struct kula__region *region,
                       struct kula__slot *records)
{
    region->next_in_pool = pool->regions;
    pool->regions = region;
    pool->capacity += region->count;
    pool->stock += region->count;
    struct kula__slot *last = records;
    while (last->next) {
        last = last->next;
    }
    last->next = pool->free;
    pool->free = records;
}

/* Makes the pool larger. The lock is held before and after, and not while memory is mapped: what other
 * threads free meanwhile can be taken meanwhile. False: it is as large as it may be, or no memory. */
static bool grow(struct kula_pool *pool)
{
    uint64_t left = pool->count_max - pool->promised;
    uint32_t count = left < pool->count ? (uint32_t)left : pool->count;
    if (count == 0) {
        return false;
    }
    pool->promised += count;
    pool->growing++;
    unlock(pool);
    struct kula_memory_report report = { .shortfall = "" };
    struct kula__slot *records = NULL;
    struct kula__region *region = make_region(pool, count, &report, &records);
    pthread_mutex_lock(&pool->mutex);
    if (region) {
        add_region(pool, region, records);
        merge_report(pool, &report);
    } else {
        pool->promised -= count;
    }
    pool->growing--;
    pthread_cond_broadcast(&pool->change); /* there is some, or nobody makes any more */
    if (!pool->shared) {
        pthread_mutex_unlock(&pool->mutex);
    }
    return region != NULL;
}

/* ---- Taking --------------------------------------------------------------------------------- */

static kula_buf take(struct kula_pool *pool)
{
    struct kula__slot *slot = pool->free;
    struct kula__cold *cold = kula__cold_of(slot);
    const struct kula__region *region = cold->keeper;
    pool->free = slot->next;
    pool->stock--;
    pool->held++;
    pool->taken++;
    pool->peak = pool->held > pool->peak ? pool->held : pool->peak;
    slot->data = region->pages.first + cold->size_class * region->stride;
    slot->capacity = pool->buffer_bytes;
    cold->base = slot->data;
    cold->base_capacity = pool->buffer_bytes;
    cold->traits = (uint8_t)(pool->traits | (region->registered ? KULA__REGISTERED : 0));
    kula__watch_adopt(slot, true);
    return kula__word_handle(kula__word_allocate(slot));
}

/* Waits until something changes; false when the time has passed. end_ns = INT64_MAX: for ever. */
static bool await_change(struct kula_pool *pool, int64_t end_ns)
{
    if (end_ns == INT64_MAX) {
        pthread_cond_wait(&pool->change, &pool->mutex);
        return true;
    }
    struct timespec end = { .tv_sec = (time_t)(end_ns / KULA_SECOND),
                            .tv_nsec = (long)(end_ns % KULA_SECOND) };
    return pthread_cond_timedwait(&pool->change, &pool->mutex, &end) != ETIMEDOUT;
}

/* The same in a shared pool, whose closer waits until nobody waits any more. */
static bool await_others(struct kula_pool *pool, int64_t end_ns)
{
    pool->waiting++;
    bool in_time = await_change(pool, end_ns);
    pool->waiting--;
    if (pool->closed) {
        pthread_cond_broadcast(&pool->change);
    }
    return in_time;
}

/* A shared pool, under its lock: false when the time has passed or the pool was closed. */
static bool await_shared(struct kula_pool *pool, int64_t end_ns)
{
    bool in_time = true;
    while (in_time && !pool->free && !pool->closed) {
        in_time = await_others(pool, end_ns);
    }
    return in_time && !pool->closed;
}

/* A ring's pool: the same. */
static bool await_returns(struct kula_pool *pool, int64_t end_ns)
{
    struct kula__slot *nothing = NULL;
    pool->answered = false;
    /* release: `answered` is seen as it is here by whoever sets it */
    if (!atomic_compare_exchange_strong_explicit(&pool->returned, &nothing, AWAITED,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        return true;
    }
    pthread_mutex_lock(&pool->mutex);
    while (!pool->answered && await_change(pool, end_ns)) {
    }
    struct kula__slot *awaited = AWAITED;
    if (!pool->answered &&
        !atomic_compare_exchange_strong_explicit(&pool->returned, &awaited, NULL,
                                                 memory_order_acq_rel, memory_order_acquire)) {
        while (!pool->answered) { /* it is on its way */
            await_change(pool, INT64_MAX);
        }
    }
    bool answered = pool->answered;
    pthread_mutex_unlock(&pool->mutex);
    return answered;
}

/* Lets time pass until there may be something to take. */
static bool await(struct kula_pool *pool, int64_t end_ns)
{
    return pool->shared ? await_shared(pool, end_ns) : await_returns(pool, end_ns);
}

static int refuse(const struct kula_pool *pool, const char *operation)
{
    if (!pool) {
        kula__misuse(operation, 0, "the pool is NULL");
        return -EINVAL;
    }
    if (pool->home.alive != kula__process_generation()) {
        kula__misuse(operation, 0,
                     "the pool belongs to the parent process: open one in the child");
        return -EOWNERDEAD;
    }
    if (kula__in_program_function()) {
        kula__misuse(operation, 0, "called from inside a function that the library called");
        return -EDEADLK;
    }
    if (!pool->shared && pool->thread != kula__pool_self()) {
        kula__misuse(operation, 0, "the pool belongs to the thread of its ring");
        return -EPERM;
    }
    return 0;
}

/* Whether there is something on the list now, or can be made. Under the lock. */
static bool stocked(struct kula_pool *pool)
{
    bool tried =
        false; /* once: when memory is short, two threads could wake each other for ever */
    while (!pool->free && !pool->closed) {
        if (!tried && pool->promised < pool->count_max) {
            tried = true;
            (void)grow(pool);
        } else if (pool->shared && pool->growing > 0) {
            /* What another thread makes is as good as there: it takes no longer than to make it. */
            await_others(pool, INT64_MAX);
        } else {
            return false;
        }
    }
    return pool->free != NULL;
}

kula_buf kula_pool_get(struct kula_pool *pool, int64_t timeout_ns)
{
    if (refuse(pool, "kula_pool_get") < 0) {
        return NULL;
    }
    lock(pool);
    kula_buf buffer = NULL;
    bool waited = false;
    int64_t end_ns = INT64_MAX;
    if (timeout_ns > 0) {
        int64_t now_ns = kula__now_ns();
        end_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    bool in_time = timeout_ns != 0;
    while (!stocked(pool) && in_time && !pool->closed) {
        waited = true;
        in_time = await(pool, end_ns);
        collect(pool);
    }
    if (pool->free && !pool->closed) {
        buffer = take(pool);
        pool->waited += waited;
    }
    pool->failures += !buffer;
    unlock(pool);
    return buffer;
}

/* ---- Opening -------------------------------------------------------------------------------- */

static bool is_valid(const struct kula_pool_config *config, const struct kula_ring *ring)
{
    const struct kula_memory *memory = &config->memory;
    if (config->size != sizeof *config || config->reserved != 0 ||
        (memory->size != 0 && !kula__memory_is_valid(memory)) ||
        (config->flags & ~(uint32_t)KULA_POOL_GROUP) || config->buffer_bytes == 0 ||
        config->buffer_bytes > INT32_MAX || config->count == 0 || config->count > COUNT_MAX ||
        config->count_max > COUNT_MAX ||
        (config->count_max != 0 && config->count_max < config->count)) {
        return false;
    }
    if (config->flags & KULA_POOL_GROUP) {
        return ring && (config->count & (config->count - 1)) == 0 &&
               config->count <= GROUP_COUNT_MAX &&
               (config->count_max == 0 || config->count_max == config->count);
    }
    return true;
}

static int init_waiting(struct kula_pool *pool)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error == 0) {
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* it exists */
        error = kula__fault("pthread_cond_init", ENOMEM);
        if (error == 0) {
            error = pthread_cond_init(&pool->change, &attributes);
        }
        pthread_condattr_destroy(&attributes);
    }
    if (error != 0) {
        return -ENOMEM;
    }
    error = pthread_mutex_init(&pool->mutex, NULL);
    if (error != 0) {
        pthread_cond_destroy(&pool->change);
        return -ENOMEM;
    }
    return 0;
}

/* Where a pool's log is: its ring's, or that of some ring of the thread that opens it. */
static void choose_log(struct kula_pool *pool, const struct kula_ring *ring)
{
    const struct kula_ring *any = ring ? ring : kula__process_own_any();
    if (any) {
        pool->settings = any->settings;
    }
}

static void configure(struct kula_pool *pool,
                      struct kula_ring *ring,
                      const struct kula_pool_config *config)
{
    pool->home.alive = kula__process_generation();
    pool->wishes = config->memory;
    pool->buffer_bytes = (uint32_t)config->buffer_bytes;
    pool->count = config->count;
    pool->count_max = config->count_max ? config->count_max : config->count;
    pool->traits = pool->wishes.flags & KULA_MEMORY_WIPE ? KULA__WIPED : 0;
    pool->shared = !ring;
    pool->thread = kula__pool_self();
    pool->report.granted = pool->wishes.flags;
    pool->report.alignment = alignment_of(pool);
    pool->report.page_bytes = SIZE_MAX;
    pool->report.shortfall = "";
    choose_log(pool, ring);
    if (ring) {
        pool->ring = ring;
        pool->next = ring->pools;
        ring->pools = pool;
    }
}

static void unlink_from_ring(struct kula_pool *pool)
{
    if (pool->ring) {
        struct kula_pool **link = &pool->ring->pools;
        while (*link != pool) {
            link = &(*link)->next;
        }
        *link = pool->next;
        pool->ring = NULL;
    }
}

/* The kernel registers 1 GiB at a time; a group is one piece. */
#define REGISTERED_MAX ((size_t)1 << 30)

static bool make_first(struct kula_pool *pool, uint32_t flags)
{
    uint32_t wanted = pool->count;
    size_t stride = stride_of(pool);
    if (pool->wishes.flags & KULA_MEMORY_REGISTERED && !(flags & KULA_POOL_GROUP) &&
        wanted > REGISTERED_MAX / stride) {
        pool->count = stride < REGISTERED_MAX ? (uint32_t)(REGISTERED_MAX / stride) : 1;
    }
    uint32_t count_max = pool->count_max;
    pool->count_max = wanted;
    bool made = true;
    lock(pool);
    while (made && pool->capacity < wanted) {
        made = grow(pool);
    }
    pool->count_max = count_max;
    unlock(pool);
    return made;
}

static void make_group(struct kula_pool *pool)
{
    int error = kula__region_group(pool->ring, pool->regions, pool->count);
    if (error < 0) {
        kula__wish_failed(&pool->report, error,
                          "group: this ring's backend, its kernel (before 5.19), a limit or a "
                          "mask has no groups: the library chooses from the buffers");
    }
}

int kula_pool_open(struct kula_ring *ring,
                   const struct kula_pool_config *config,
                   struct kula_pool **ret_pool)
{
    if (ring && !kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_pool_open");
    }
    if (!config || !ret_pool || !is_valid(config, ring)) {
        return -EINVAL;
    }
    int error = kula__process_init();
    if (error < 0 || !kula__slots_init()) {
        return -ENOMEM;
    }
    struct kula_pool *pool = kula__pages_new_wiped(sizeof *pool);
    if (!pool) {
        return -ENOMEM;
    }
    error = init_waiting(pool);
    if (error < 0) {
        kula__pages_free(pool, sizeof *pool);
        return error;
    }
    configure(pool, ring, config);
    if (!make_first(pool, config->flags)) {
        unlink_from_ring(pool);
        destroy(pool);
        return -ENOMEM;
    }
    if (config->flags & KULA_POOL_GROUP) {
        make_group(pool);
    }
    *ret_pool = pool;
    return 0;
}

void kula__pools_leave(struct kula_ring *ring)
{
    while (ring->pools) {
        struct kula_pool *pool = ring->pools;
        ring->pools = pool->next;
        pool->ring = NULL;
    }
}

/* ---- Closing -------------------------------------------------------------------------------- */

static void list_held(const struct kula_pool *pool, uint64_t count)
{
    if (count == 0) {
        return;
    }
    struct kula__held held = { .settings = &pool->settings, .left = count };
    kula__log(&pool->settings, KULA_LOG_INFO,
              "the pool is closed; %llu of its buffers are out: their memory stays until the "
              "last is free",
              (unsigned long long)count);
    for (const struct kula__region *region = pool->regions; region;
         region = region->next_in_pool) {
        uint32_t left = region->count;
        for (uint32_t i = 0; i < region->records.count; i++) {
            uint32_t count_here = left < KULA__CHUNK_SLOTS ? left : KULA__CHUNK_SLOTS;
            kula__held_list(&held, region->records.first_index[i], count_here);
            left -= count_here;
        }
    }
    kula__held_end(&held);
}

static int close_shared(struct kula_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    pool->closed = true;
    pthread_cond_broadcast(&pool->change);
    while (pool->waiting > 0 || pool->growing > 0) {
        pthread_cond_wait(&pool->change, &pool->mutex);
    }
    uint64_t held = pool->held;
    pool->held++; /* so that nobody ends the pool while it is listed; the log is a function of the
                   * program, and it may free buffers */
    pthread_mutex_unlock(&pool->mutex);
    list_held(pool, held);
    pthread_mutex_lock(&pool->mutex);
    bool last = --pool->held == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (last) {
        destroy(pool);
    }
    return (int)held;
}

static int close_own(struct kula_pool *pool)
{
    unlink_from_ring(pool);
    collect(pool);
    list_held(pool, pool->held);
    struct kula__slot *slot =
        atomic_exchange_explicit(&pool->returned, ORPHANED, memory_order_acq_rel);
    for (; slot; slot = slot->next) {
        pool->held--;
    }
    /* From here on the pool may be ended by another thread, unless we are the last. */
    int64_t held = (int64_t)pool->held;
    if (atomic_fetch_add_explicit(&pool->orphans, held, memory_order_acq_rel) == -held) {
        destroy(pool);
        return 0;
    }
    return (int)held;
}

int kula_pool_close(struct kula_pool **pool)
{
    if (!pool || !*pool) {
        return pool ? 0 : -EINVAL;
    }
    int error = refuse(*pool, "kula_pool_close");
    if (error < 0) {
        return error;
    }
    struct kula_pool *closing = *pool;
    *pool = NULL;
    return closing->shared ? close_shared(closing) : close_own(closing);
}

/* ---- Telling -------------------------------------------------------------------------------- */

int kula_pool_describe(struct kula_pool *pool, struct kula_pool_statistics *ret_statistics)
{
    if (!pool || !ret_statistics) {
        return -EINVAL;
    }
    int error = refuse(pool, "kula_pool_describe");
    if (error < 0) {
        return error;
    }
    lock(pool);
    *ret_statistics = (struct kula_pool_statistics){
        .capacity = pool->capacity,
        .capacity_max = pool->count_max,
        .free = pool->stock,
        .held = pool->held,
        .peak = pool->peak,
        .taken = pool->taken,
        .waited = pool->waited,
        .failures = pool->failures,
        .waiting = pool->waiting,
        .under_pressure = (pool->count_max - pool->held) * 8 <= pool->count_max,
    };
    unlock(pool);
    return 0;
}

int kula_pool_memory(struct kula_pool *pool, struct kula_memory_report *ret_report)
{
    if (!pool || !ret_report) {
        return -EINVAL;
    }
    if (pool->home.alive != kula__process_generation()) {
        return refuse(pool, "kula_pool_memory");
    }
    pthread_mutex_lock(&pool->mutex); /* also a ring's pool: it may be growing */
    *ret_report = pool->report;
    pthread_mutex_unlock(&pool->mutex);
    return 0;
}
