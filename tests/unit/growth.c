/* A shared pool that grows while others use it: mapping memory may take long, and holds up nobody. */
#include "unit.h"

#include "common/fault.h"

#include <kula.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define BUFFERS     4u
#define PATIENCE_MS 20000

/* ---- A mapping that takes as long as the test wants ---- */

static _Thread_local bool is_held_up;
static atomic_bool inside;
static atomic_bool may_go;

static void sleep_ms(long duration_ms)
{
    struct timespec duration = { .tv_nsec = duration_ms * 1000000 };
    nanosleep(&duration, NULL);
}

static bool becomes_true(atomic_bool *flag)
{
    for (int i = 0; i < PATIENCE_MS && !atomic_load(flag); i++) {
        sleep_ms(1);
    }
    return atomic_load(flag);
}

static void hold_up(void)
{
    if (is_held_up) {
        atomic_store(&inside, true);
        (void)becomes_true(&may_go);
    }
}

/* ---- Threads that take a buffer each ---- */

struct taker {
    pthread_t thread;
    struct kula_pool *pool;
    kula_buf buffer;
    bool grows;
    atomic_bool done;
};

static void *take_one(void *arg)
{
    struct taker *taker = arg;
    is_held_up = taker->grows;
    taker->buffer = kula_pool_get(taker->pool, KULA_FOREVER);
    atomic_store(&taker->done, true);
    return NULL;
}

static void start(struct taker *taker, struct kula_pool *pool, bool grows)
{
    taker->pool = pool;
    taker->grows = grows;
    assert_int_equal(pthread_create(&taker->thread, NULL, take_one, taker), 0);
}

/* A pool all of whose buffers are out, so that the next who wants one makes it grow. */
static struct kula_pool *open_used_up(kula_buf out[BUFFERS])
{
    struct kula_pool_config config = KULA_POOL_INIT;
    struct kula_pool *pool = NULL;
    config.buffer_bytes = 4096;
    config.count = BUFFERS;
    config.count_max = 2 * BUFFERS;
    assert_int_equal(kula_pool_open(NULL, &config, &pool), 0);
    for (unsigned i = 0; i < BUFFERS; i++) {
        out[i] = kula_pool_get(pool, 0);
        assert_non_null(out[i]);
    }
    atomic_store(&inside, false);
    atomic_store(&may_go, false);
    kula__fault_call("mmap", hold_up);
    return pool;
}

static void finish(struct taker *taker)
{
    assert_int_equal(pthread_join(taker->thread, NULL), 0);
    assert_non_null(taker->buffer);
    kula_free(&taker->buffer);
}

static void finish_pool(struct kula_pool *pool, kula_buf out[BUFFERS])
{
    kula__fault_call("mmap", NULL);
    for (unsigned i = 0; i < BUFFERS; i++) {
        kula_free(&out[i]);
    }
    assert_int_equal(kula_pool_close(&pool), 0);
}

/* ---- The tests ---- */

struct other {
    struct kula_pool *pool;
    kula_buf *out;
    atomic_bool done;
};

/* All that a thread can want of pools but growth of this one. */
static void *use_meanwhile(void *arg)
{
    struct other *other = arg;
    struct kula_pool_statistics statistics;
    kula_free(&other->out[0]);
    other->out[0] = kula_pool_get(other->pool, 0);
    bool right = other->out[0] && kula_pool_describe(other->pool, &statistics) == 0 &&
                 statistics.capacity == BUFFERS && statistics.held == BUFFERS;

    struct kula_pool_config config = KULA_POOL_INIT;
    struct kula_pool *second = NULL;
    config.buffer_bytes = 4096;
    config.count = BUFFERS;
    right = right && kula_pool_open(NULL, &config, &second) == 0;
    kula_buf buffer = right ? kula_pool_get(second, 0) : NULL;
    right = right && buffer;
    kula_free(&buffer);
    right = right && kula_pool_close(&second) == 0;
    atomic_store(&other->done, right);
    return NULL;
}

static void others_free_take_and_make_pools_while_one_grows(void **state)
{
    (void)state;
    kula_buf out[BUFFERS];
    struct kula_pool *pool = open_used_up(out);
    struct taker grower = { .buffer = NULL };
    start(&grower, pool, true);
    assert_true(becomes_true(&inside));
    struct other other = { .pool = pool, .out = out };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_meanwhile, &other), 0);
    bool not_held_up = becomes_true(&other.done);
    bool still_inside = !atomic_load(&grower.done);
    atomic_store(&may_go, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(not_held_up);
    assert_true(still_inside);
    finish(&grower);
    finish_pool(pool, out);
}

static uint32_t waiting_at(struct kula_pool *pool)
{
    struct kula_pool_statistics statistics;
    assert_int_equal(kula_pool_describe(pool, &statistics), 0);
    return statistics.waiting;
}

static void who_waits_while_another_thread_grows_gets_of_what_that_makes(void **state)
{
    (void)state;
    kula_buf out[BUFFERS];
    struct kula_pool *pool = open_used_up(out);
    struct taker takers[BUFFERS] = { { .buffer = NULL } };
    start(&takers[0], pool, true);
    assert_true(becomes_true(&inside));
    for (unsigned i = 1; i < BUFFERS; i++) {
        start(&takers[i], pool, false);
    }
    for (int i = 0; i < PATIENCE_MS && waiting_at(pool) < BUFFERS - 1; i++) {
        sleep_ms(1);
    }
    assert_int_equal(waiting_at(pool), BUFFERS - 1);
    atomic_store(&may_go, true);
    for (unsigned i = 0; i < BUFFERS; i++) {
        assert_true(becomes_true(&takers[i].done));
    }
    for (unsigned i = 0; i < BUFFERS; i++) {
        finish(&takers[i]);
    }
    finish_pool(pool, out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_free_take_and_make_pools_while_one_grows),
        cmocka_unit_test(who_waits_while_another_thread_grows_gets_of_what_that_makes),
    };
    return UNIT_MAIN(tests);
}
