/* pools.c - kula_pool, as programs see it. */
#include "pools.h"

#include "held.h"
#include "memory.h"
#include "misuse.h"
#include "process.h"
#include "stock.h"
#include "system.h"

#include <errno.h>

#define COUNT_MAX       (UINT32_C(1) << 23)
#define GROUP_COUNT_MAX (UINT32_C(1) << 15)

/* The kernel registers that much at a time. */
#define REGISTERED_MAX ((size_t)1 << 30)

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

kula_buf kula_pool_get(struct kula_pool *pool, int64_t timeout_ns)
{
    if (refuse(pool, "kula_pool_get") < 0) {
        return NULL;
    }
    int64_t end_ns = INT64_MAX;
    if (timeout_ns > 0) {
        int64_t now_ns = kula__now_ns();
        end_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    kula__stock_lock(pool);
    kula_buf buffer = kula__stock_take(pool, timeout_ns != 0, end_ns);
    kula__stock_unlock(pool);
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

static void configure(struct kula_pool *pool,
                      struct kula_ring *ring,
                      const struct kula_pool_config *config)
{
    pool->home.alive = kula__process_generation();
    if (config->memory.size != 0) {
        pool->wishes = config->memory; /* else none: the other fields mean nothing then */
    }
    pool->buffer_bytes = (uint32_t)config->buffer_bytes;
    pool->count = config->count;
    pool->step_max = UINT32_MAX;
    pool->count_max = config->count_max ? config->count_max : config->count;
    pool->traits = pool->wishes.flags & KULA_MEMORY_WIPE ? KULA__WIPED : 0;
    pool->shared = !ring;
    pool->thread = kula__pool_self();
    pool->report.granted = pool->wishes.flags;
    pool->report.alignment = kula__stock_alignment(pool);
    kula__stock_lay_out(pool, config->flags & KULA_POOL_GROUP);
    pool->report.page_bytes = SIZE_MAX;
    pool->report.shortfall = "";
    bool group = config->flags & KULA_POOL_GROUP; /* is one piece */
    if ((pool->wishes.flags & KULA_MEMORY_REGISTERED) && !group) {
        size_t most = REGISTERED_MAX / pool->stride;
        pool->step_max = most > 0 ? (uint32_t)most : 1;
    }
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

static bool make_first(struct kula_pool *pool)
{
    uint32_t count_max = pool->count_max;
    pool->count_max = pool->count;
    bool made = true;
    kula__stock_lock(pool);
    while (made && pool->capacity < pool->count) {
        made = kula__stock_grow(pool);
    }
    pool->count_max = count_max;
    kula__stock_unlock(pool);
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
    if (!make_first(pool)) {
        unlink_from_ring(pool);
        kula__stock_destroy(pool);
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
    /* The log of its ring, or of some ring of the thread that closes it. What was the log when the pool was
     * opened may be gone, with its argument. */
    static const struct kula__settings none;
    const struct kula_ring *ring = pool->ring ? pool->ring : kula__process_own_any();
    struct kula__held held = { .settings = ring ? &ring->settings : &none, .left = count };
    kula__log(held.settings, KULA_LOG_INFO,
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
    /* So that nobody ends the pool while it is waited for and listed here. The log is a function of the
     * program, and may free buffers. */
    pool->held++;
    pthread_cond_broadcast(&pool->change);
    while (pool->waiting > 0 || pool->growing > 0) {
        pthread_cond_wait(&pool->change, &pool->mutex);
    }
    uint64_t held = pool->held - 1;
    pthread_mutex_unlock(&pool->mutex);
    list_held(pool, held);
    pthread_mutex_lock(&pool->mutex);
    bool last = --pool->held == 0;
    pthread_mutex_unlock(&pool->mutex);
    if (last) {
        kula__stock_destroy(pool);
    }
    return (int)held;
}

static int close_own(struct kula_pool *pool)
{
    kula__stock_lock(pool);
    list_held(pool, pool->held);
    unlink_from_ring(pool);
    return (int)kula__stock_orphan(pool);
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
    kula__stock_lock(pool);
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
    kula__stock_unlock(pool);
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
