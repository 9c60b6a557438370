/* stock.c - the list of a pool's free buffers, and the ways to and from it. */
#include "stock.h"

#include "system.h"
#include "watch.h"

#include <errno.h>

/* In `returned`. The owner sleeps: whoever replaces this has to answer. It is the owner's to take back,
 * and while it cannot the owner stays for the answer, so that the pool is there to be answered. */
#define AWAITED ((struct kula__slot *)2)
/* The pool is closed. */
#define ORPHANED ((struct kula__slot *)1)

/* ---- The end of a pool ---------------------------------------------------------------------- */

void kula__stock_destroy(struct kula_pool *pool)
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
        kula__stock_destroy(pool);
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
                kula__stock_destroy(pool);
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

void kula__stock_give(struct kula__slot *slot, uint8_t traits)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    const struct kula__region *region = cold->keeper;
    struct kula_pool *pool = region->pool;
    if (traits & KULA__WIPED) {
        kula__wipe(region->pages.first + cold->size_class * region->stride, region->stride);
    }
    if (traits & KULA__WATCHED) {
        kula__watch_rest(slot);
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

uint64_t kula__stock_orphan(struct kula_pool *pool)
{
    struct kula__slot *slot =
        atomic_exchange_explicit(&pool->returned, ORPHANED, memory_order_acq_rel);
    for (; slot; slot = slot->next) {
        pool->held--;
    }
    /* From here on the pool may be ended by another thread, unless we are the last. */
    uint64_t held = pool->held;
    if (atomic_fetch_add_explicit(&pool->orphans, (int64_t)held, memory_order_acq_rel) ==
        -(int64_t)held) {
        kula__stock_destroy(pool);
        return 0;
    }
    return held;
}

/* ---- Growing -------------------------------------------------------------------------------- */

void kula__stock_lock(struct kula_pool *pool)
{
    if (pool->shared) {
        pthread_mutex_lock(&pool->mutex);
    } else {
        collect(pool);
    }
}

void kula__stock_unlock(struct kula_pool *pool)
{
    if (pool->shared) {
        pthread_mutex_unlock(&pool->mutex);
    }
}

size_t kula__stock_alignment(const struct kula_pool *pool)
{
    size_t usual = pool->buffer_bytes >= KULA__POOL_PAGE ? KULA__POOL_PAGE : KULA__POOL_LINE;
    return pool->wishes.alignment > usual ? pool->wishes.alignment : usual;
}

void kula__stock_lay_out(struct kula_pool *pool, bool group)
{
    size_t alignment = kula__stock_alignment(pool);
    size_t bytes = pool->buffer_bytes;
    bool ordinary = !group && !(pool->wishes.flags & ~(uint32_t)KULA_MEMORY_WIPE) &&
                    alignment <= KULA__POOL_PAGE;
    if (kula__watching() && ordinary) {
        bytes = kula__watch_lay_out(bytes, alignment > KULA__POOL_LINE, &pool->front);
    }
    pool->stride = (bytes + alignment - 1) & ~(alignment - 1);
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
        cold->alias = region->alias;
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
    size_t stride = pool->stride;
    if (count > SIZE_MAX / 2 / stride) {
        return NULL;
    }
    struct kula__region *region =
        pool->front > 0 ? kula__region_new_watched(stride * count, report)
                        : kula__region_new(pool->ring, stride * count, &pool->wishes, report);
    if (!region) {
        return NULL;
    }
    region->pool = pool;
    region->count = count;
    region->buffer_bytes = pool->buffer_bytes;
    region->stride = stride;
    region->front = pool->front;
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

/* How many to make now; 0: it is as large as it may be. Each region has its records to itself, in whole
 * chunks: a pool that grew by one buffer at a time would use up the records of the process. So a large
 * one takes larger steps. */
static uint32_t next_step(const struct kula_pool *pool)
{
    uint64_t step = pool->promised / 8 > pool->count ? pool->promised / 8 : pool->count;
    uint64_t left = pool->count_max - pool->promised;
    step = step < pool->step_max ? step : pool->step_max;
    return (uint32_t)(step < left ? step : left);
}

bool kula__stock_grow(struct kula_pool *pool)
{
    uint32_t count = next_step(pool);
    if (count == 0) {
        return false;
    }
    pool->promised += count;
    pool->growing++;
    kula__stock_unlock(pool);
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

/* NULL: checked mode cannot make it accessible. */
static kula_buf take(struct kula_pool *pool)
{
    struct kula__slot *slot = pool->free;
    struct kula__cold *cold = kula__cold_of(slot);
    const struct kula__region *region = cold->keeper;
    slot->data = region->pages.first + cold->size_class * region->stride + region->front;
    slot->capacity = pool->buffer_bytes;
    cold->base = slot->data;
    cold->base_capacity = pool->buffer_bytes;
    cold->traits = (uint8_t)(pool->traits | (region->registered ? KULA__REGISTERED : 0));
    if (kula__watching() && !kula__watch_place(slot, region->front)) {
        return NULL;
    }
    pool->free = slot->next;
    pool->stock--;
    pool->held++;
    pool->taken++;
    pool->peak = pool->held > pool->peak ? pool->held : pool->peak;
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

/* Whether there is something on the list now, or can be made. Under the lock. */
static bool stocked(struct kula_pool *pool)
{
    bool tried =
        false; /* once: when memory is short, two threads could wake each other for ever */
    while (!pool->free && !pool->closed) {
        if (!tried && pool->promised < pool->count_max) {
            tried = true;
            (void)kula__stock_grow(pool);
        } else if (pool->shared && pool->growing > 0) {
            /* What another thread makes is as good as there: it takes no longer than to make it. */
            await_others(pool, INT64_MAX);
        } else {
            return false;
        }
    }
    return pool->free != NULL;
}

kula_buf kula__stock_take(struct kula_pool *pool, bool patient, int64_t end_ns)
{
    kula_buf buffer = NULL;
    bool waited = false;
    while (!stocked(pool) && patient && !pool->closed) {
        waited = true;
        patient = await(pool, end_ns);
        collect(pool);
    }
    if (pool->free && !pool->closed) {
        buffer = take(pool);
        pool->waited += waited;
    }
    pool->failures += !buffer;
    if (!buffer && pool->shared && pool->free && pool->waiting > 0) {
        pthread_cond_signal(
            &pool->change); /* it may have been for this thread, and is not used up */
    }
    return buffer;
}
