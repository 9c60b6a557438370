/* The end of a kula_pool: who is told of what is out, and that it ends once, whoever is last. */
#include "support/outcome.h"
#include "support/places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct kula_pool *open_pool(struct kula_ring *ring, size_t bytes, uint32_t count)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = bytes;
    config.count = count;
    struct kula_pool *pool = NULL;
    assert_int_equal(kula_pool_open(ring, &config, &pool), 0);
    return pool;
}

/* ---- The list -------------------------------------------------------------------------------- */

struct lines {
    unsigned count;
    char text[64][200];
};

static void keep_line(void *arg, int level, const char *text)
{
    struct lines *lines = arg;
    if (level <= KULA_LOG_INFO && lines->count < 64) {
        snprintf(lines->text[lines->count++], sizeof lines->text[0], "%s", text);
    }
}

static unsigned lines_with(const struct lines *lines, const char *text)
{
    unsigned count = 0;
    for (unsigned i = 0; i < lines->count; i++) {
        count += strstr(lines->text[i], text) != NULL;
    }
    return count;
}

static void closing_lists_what_is_out_and_with_whom(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    static struct lines lines;
    lines.count = 0;
    struct kula_config config = harness_config();
    config.log = keep_line;
    config.log_arg = &lines;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    struct kula_pool *pool = open_pool(ring, 4000, 8);
    int pipes[2];
    make_pipe(pipes);
    int file = make_file("x");
    kula_buf held = kula_pool_get(pool, 0);
    kula_buf in_flight = kula_pool_get(pool, 0);
    kula_buf finished = kula_pool_get(pool, 0);
    struct outcome pending = { 0 };
    kula_read(ring, file, &finished, 1, 0, NULL);
    kula_read(ring, pipes[0], &in_flight, 100, KULA_CUR, &pending);
    while (kula_wait(ring, PATIENCE_NS) < 1) {
    }
    assert_int_equal(kula_pool_close(&pool), 3);
    char expected[80];
    snprintf(expected, sizeof expected, "4000 bytes, with a ring: read on descriptor %d",
             pipes[0]);
    assert_int_equal(lines_with(&lines, "3 of its buffers are out"), 1);
    assert_int_equal(lines_with(&lines, "4000 bytes, held by the program"), 1);
    assert_int_equal(lines_with(&lines, expected), 1);
    assert_int_equal(lines_with(&lines, "4000 bytes, in an event"), 1);
    assert_int_equal(lines_with(&lines, "still out: "), 3);

    /* The ring lists what it gave out itself, in the same way, and no more than some tens. */
    static kula_buf many[100];
    for (int i = 0; i < 100; i++) {
        many[i] = kula_alloc(ring, 5000);
    }
    lines.count = 0;
    harness_close(&ring);
    assert_int_equal(lines_with(&lines, "the program still holds 100 of its buffers"), 1);
    const char *size = harness_keeps_buffers_apart() ? "bytes, held" : "8192 bytes, held";
    assert_int_equal(lines_with(&lines, size), 32);
    assert_int_equal(lines_with(&lines, "still out: 68 more"), 1);
    for (int i = 0; i < 100; i++) {
        kula_free(&many[i]);
    }
    kula_free(&held);
    retire(outer, (int[]){ pipes[0], pipes[1], file }, 3);
}

/* The log of a pool is that of whoever closes it: what it was when the pool was opened may be gone. */
static void a_shared_pool_does_not_keep_the_log_of_a_ring(void **state)
{
    static struct lines gone;
    static struct lines lines;
    gone.count = 0;
    lines.count = 0;
    struct kula_config config = harness_config();
    config.log = keep_line;
    config.log_arg = &gone;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    struct kula_pool *pools[2] = { open_pool(NULL, 100, 2), open_pool(ring, 100, 2) };
    kula_buf held[2] = { kula_pool_get(pools[0], 0), kula_pool_get(pools[1], 0) };
    harness_close(&ring);
    unsigned told = gone.count;
    config.log_arg = &lines;
    assert_int_equal(kula_open(&config, &ring), 0);
    for (int i = 0; i < 2; i++) {
        lines.count = 0;
        assert_int_equal(kula_pool_close(&pools[i]), 1);
        assert_int_equal(lines_with(&lines, "1 of its buffers are out"), 1);
        assert_int_equal(lines_with(&lines, "100 bytes, held by the program"), 1);
        kula_free(&held[i]);
    }
    assert_int_equal(gone.count, told);
    harness_close(&ring);
    (void)state;
}

struct race {
    struct kula_pool *pool;
    kula_buf held;
    atomic_bool go;
    unsigned spins;
};

static void *wait_for_a_buffer(void *arg)
{
    struct race *race = arg;
    kula_buf buffer = kula_pool_get(race->pool, KULA_FOREVER);
    kula_free(&buffer);
    return NULL;
}

static void *free_the_last(void *arg)
{
    struct race *race = arg;
    while (!atomic_load(&race->go)) {
    }
    for (volatile unsigned i = 0; i < race->spins; i++) {
    }
    kula_free(&race->held);
    return NULL;
}

/* The closer sends away those who wait, and must not find the pool gone when they have left. */
static void a_pool_ends_once_when_its_last_buffer_is_freed_during_the_close(void **state)
{
    enum {
        WAITERS = 2
    };
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct race race = { .pool = open_pool(NULL, 4096, 1), .spins = round * 37 % 6000 };
        race.held = kula_pool_get(race.pool, 0);
        pthread_t waiters[WAITERS];
        pthread_t freer;
        for (int i = 0; i < WAITERS; i++) {
            assert_int_equal(pthread_create(&waiters[i], NULL, wait_for_a_buffer, &race), 0);
        }
        struct kula_pool_statistics statistics = { 0 };
        while (statistics.waiting < WAITERS) {
            harness_sleep_ns(20 * KULA_MICROSECOND);
            assert_int_equal(kula_pool_describe(race.pool, &statistics), 0);
        }
        assert_int_equal(pthread_create(&freer, NULL, free_the_last, &race), 0);
        struct kula_pool *closing = race.pool;
        atomic_store(&race.go, true);
        int out = kula_pool_close(&closing);
        assert_true(out == 0 || out == 1);
        for (int i = 0; i < WAITERS; i++) {
            pthread_join(waiters[i], NULL);
        }
        pthread_join(freer, NULL);
    }
}

static void *free_one(void *arg)
{
    kula_buf *buffer = arg;
    kula_free(buffer);
    return NULL;
}

/* What is listed may be going while it is listed: also memory that is unmapped when it goes. */
static void a_list_does_not_look_at_what_another_thread_frees(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    for (int round = 0; round < 100; round++) {
        struct kula_ring *ring = harness_open(0);
        struct kula_memory memory = KULA_MEMORY_INIT;
        memory.alignment = 1 << 16;
        kula_buf buffer = kula_alloc_memory(ring, 10000, &memory, NULL);
        assert_non_null(buffer);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_one, &buffer), 0);
        harness_close(&ring);
        pthread_join(thread, NULL);
    }
    (void)outer;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(closing_lists_what_is_out_and_with_whom),
        PROVES(a_shared_pool_does_not_keep_the_log_of_a_ring),
        PROVES(a_pool_ends_once_when_its_last_buffer_is_freed_during_the_close),
        PROVES(a_list_does_not_look_at_what_another_thread_frees),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
