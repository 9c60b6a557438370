/* Pools: how many there are, who may take one, what happens when they are used up, and what is left when
 * a pool is closed. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kula_pool *open_pool(struct kula_ring *ring,
                                   size_t buffer_bytes,
                                   uint32_t count,
                                   uint32_t count_max)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = buffer_bytes;
    config.count = count;
    config.count_max = count_max;
    struct kula_pool *pool = NULL;
    assert_int_equal(kula_pool_open(ring, &config, &pool), 0);
    assert_non_null(pool);
    return pool;
}

static struct kula_pool_statistics describe(struct kula_pool *pool)
{
    struct kula_pool_statistics found;
    assert_int_equal(kula_pool_describe(pool, &found), 0);
    assert_int_equal(found.free + found.held, found.capacity);
    assert_true(found.held <= found.peak);
    return found;
}

/* Every test that is the same for a pool of a ring and for a shared one. */
static struct kula_ring *owner(void **state, int shared)
{
    return shared ? NULL : harness_ring(state);
}

static void a_pool_gives_what_it_has_and_grows_to_its_limit(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 1000, 16, 50);
        assert_int_equal(describe(pool).capacity, 16);
        assert_int_equal(describe(pool).capacity_max, 50);
        kula_buf held[50];
        for (int i = 0; i < 50; i++) {
            held[i] = kula_pool_get(pool, 0);
            assert_non_null(held[i]);
            assert_int_equal(kula_capacity(held[i]), 1000);
            assert_int_equal((uintptr_t)kula_bytes(held[i]) % 64, 0);
            memset(kula_bytes(held[i]), i, 1000);
            assert_int_equal(describe(pool).held, i + 1);
        }
        assert_null(kula_pool_get(pool, 0));
        assert_null(kula_pool_get(pool, KULA_MILLISECOND));
        struct kula_pool_statistics found = describe(pool);
        assert_int_equal(found.capacity, 50);
        assert_int_equal(found.failures, 2);
        assert_int_equal(found.taken, 50);
        assert_int_equal(found.waited, 0);
        assert_int_equal(found.under_pressure, 1);
        for (int i = 0; i < 50; i++) {
            for (int k = 0; k < 1000; k++) {
                if (kula_bytes(held[i])[k] != i) {
                    fail_msg("byte %d of buffer %d belongs to another, too", k, i);
                }
            }
            kula_free(&held[i]);
        }
        found = describe(pool);
        assert_int_equal(found.held, 0);
        assert_int_equal(found.peak, 50);
        assert_int_equal(found.under_pressure, 0);
        assert_int_equal(kula_pool_close(&pool), 0);
        assert_null(pool);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

static void pressure_begins_where_an_eighth_is_left(void **state)
{
    struct kula_pool *pool = open_pool(harness_ring(state), 64, 64, 0);
    kula_buf held[64];
    for (uint32_t i = 0; i < 64; i++) {
        held[i] = kula_pool_get(pool, 0);
        assert_int_equal(describe(pool).under_pressure, i + 1 >= 56);
    }
    for (uint32_t i = 0; i < 64; i++) {
        kula_free(&held[i]);
    }
    assert_int_equal(kula_pool_close(&pool), 0);
}

static void what_is_impossible_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_pool *pool = NULL;
    struct kula_pool_config good = KULA_POOL_INIT;
    good.buffer_bytes = 100;
    good.count = 4;
    struct kula_pool_config wrong[14];
    for (size_t i = 0; i < 14; i++) {
        wrong[i] = good;
    }
    wrong[0].size = 0;
    wrong[1].buffer_bytes = 0;
    wrong[2].buffer_bytes = (size_t)INT32_MAX + 1;
    wrong[3].count = 0;
    wrong[4].count = (1u << 23) + 1;
    wrong[5].count_max = 3;
    wrong[6].flags = 1u << 1;
    wrong[7].reserved = 1;
    wrong[8].memory.size = 1;
    wrong[9].memory = (struct kula_memory)KULA_MEMORY_INIT;
    wrong[9].memory.alignment = 24;
    wrong[10].flags = KULA_POOL_GROUP;
    wrong[10].count = 3;
    wrong[11].flags = KULA_POOL_GROUP;
    wrong[11].count = 1u << 16;
    wrong[12].flags = KULA_POOL_GROUP;
    wrong[12].count_max = 8;
    wrong[13].memory = (struct kula_memory)KULA_MEMORY_INIT;
    wrong[13].memory.flags = 1u << 20;
    for (size_t i = 0; i < 14; i++) {
        int error = kula_pool_open(ring, &wrong[i], &pool);
        if (error != -EINVAL || pool) {
            fail_msg("config %zu was answered with %d", i, error);
        }
    }
    good.flags = KULA_POOL_GROUP;
    assert_result(kula_pool_open(NULL, &good, &pool), -EINVAL);
    assert_result(kula_pool_open(ring, NULL, &pool), -EINVAL);
    assert_result(kula_pool_open(ring, &good, NULL), -EINVAL);
    assert_result(kula_pool_close(NULL), -EINVAL);
    struct kula_pool_statistics statistics;
    struct kula_memory_report report;
    assert_result(kula_pool_describe(NULL, &statistics), -EINVAL);
    assert_result(kula_pool_memory(NULL, &report), -EINVAL);
    assert_null(kula_pool_get(NULL, 0));
    harness_context(state)->misuses_expected = 1;
}

static void its_buffers_are_written_and_read_like_any_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 6000, 2, 4);
        int file = make_file("in the file");
        struct outcome done = { 0 };
        kula_buf buffer = kula_pool_get(pool, 0);
        assert_int_equal((uintptr_t)kula_bytes(buffer) % 4096, 0);
        kula_read(ring, file, &buffer, 6000, 0, &done);
        await(ring, &done);
        assert_read_text(&done, "in the file");
        assert_int_equal(kula_window(done.buffer, 3), 0);
        assert_int_equal(kula_capacity(done.buffer), 5997);
        outcome_release(&done);
        buffer = kula_pool_get(pool, 0); /* the same one, and the window is gone */
        assert_int_equal(kula_capacity(buffer), 6000);
        kula_read(ring, file, &buffer, 6000, 0, NULL);
        while (kula_outstanding(ring) > 0) {
            assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
            while (kula_next(ring)) {
            }
        }
        assert_int_equal(describe(pool).held, 0); /* not taken, so it went home */
        assert_int_equal(kula_pool_close(&pool), 0);
        retire(ring, &file, 1);
    }
}

static void a_buffer_that_was_freed_is_refused_also_when_it_is_out_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 100, 1, 0);
        kula_buf buffer = kula_pool_get(pool, 0);
        kula_buf alias = alias_of(buffer);
        kula_free(&buffer);
        kula_buf again = alias_of(alias);
        kula_free(&alias); /* returned twice */
        assert_int_equal(describe(pool).free, 1);
        buffer = kula_pool_get(pool, 0);
        assert_non_null(buffer);
        kula_free(&again); /* the name of the one before */
        assert_int_equal(describe(pool).held, 1);
        assert_non_null(kula_bytes(buffer));
        kula_free(&buffer);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
    (void)ring;
    harness_context(state)->misuses_expected = 4;
}

/* ---- Memory --------------------------------------------------------------------------------- */

static void a_pool_wipes_what_comes_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = 5000;
        config.count = 1;
        config.memory = (struct kula_memory)KULA_MEMORY_INIT;
        config.memory.flags = KULA_MEMORY_WIPE;
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(shared ? NULL : ring, &config, &pool), 0);
        struct kula_memory_report report;
        assert_int_equal(kula_pool_memory(pool, &report), 0);
        assert_int_equal(report.granted, KULA_MEMORY_WIPE);
        kula_buf buffer = kula_pool_get(pool, 0);
        memset(kula_bytes(buffer), 0x5a, 5000);
        const unsigned char *place = kula_bytes(buffer);
        kula_free(&buffer);
        buffer = kula_pool_get(pool, 0);
        assert_ptr_equal(kula_bytes(buffer), place);
        for (size_t i = 0; i < 5000; i++) {
            assert_int_not_equal(kula_bytes(buffer)[i], 0x5a);
        }
        kula_free(&buffer);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

static void a_pool_tells_of_what_it_is_made(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (uint32_t flags = 0; flags < 16; flags++) {
        for (int shared = 0; shared < 2; shared++) {
            struct kula_pool_config config = KULA_POOL_INIT;
            config.buffer_bytes = 3000;
            config.count = 8;
            config.count_max = 20;
            config.memory = (struct kula_memory)KULA_MEMORY_INIT;
            config.memory.flags = flags;
            config.memory.alignment = 1 << 13;
            struct kula_pool *pool = NULL;
            assert_int_equal(kula_pool_open(shared ? NULL : ring, &config, &pool), 0);
            kula_buf held[20];
            for (int i = 0; i < 20; i++) {
                held[i] = kula_pool_get(pool, 0);
                assert_non_null(held[i]);
                assert_int_equal((uintptr_t)kula_bytes(held[i]) % (1 << 13), 0);
            }
            struct kula_memory_report report;
            assert_int_equal(kula_pool_memory(pool, &report), 0);
            assert_int_equal(report.granted & ~flags, 0);
            assert_int_equal(report.error < 0, report.granted != flags);
            assert_int_equal(report.shortfall[0] != '\0', report.granted != flags);
            assert_int_equal(report.alignment, 1 << 13);
            assert_true(!shared || !(report.granted & KULA_MEMORY_REGISTERED));
            int file = make_file("");
            struct outcome done = { 0 };
            memset(kula_bytes(held[19]), 'k', 3000);
            kula_write(ring, file, &held[19], 4, 0, &done);
            await(ring, &done);
            assert_result(done.result, 4);
            expect_content(file, "kkkk");
            held[19] = done.buffer;
            for (int i = 0; i < 20; i++) {
                kula_free(&held[i]);
            }
            assert_int_equal(kula_pool_close(&pool), 0);
            retire(ring, &file, 1);
        }
    }
}

static void a_group_gives_from_its_stock_and_gets_it_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (uint32_t count = 1; count <= 1u << 15; count *= 32) {
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = 200;
        config.count = count;
        config.flags = KULA_POOL_GROUP;
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(ring, &config, &pool), 0);
        struct kula_memory_report report;
        assert_int_equal(kula_pool_memory(pool, &report), 0);
        if (!harness_backend_is("uring")) {
            assert_result(report.error, -EOPNOTSUPP);
        }
        assert_int_equal(report.error < 0, strncmp(report.shortfall, "group:", 6) == 0);
        kula_buf first = kula_pool_get(pool, 0);
        assert_non_null(first);
        assert_int_equal(describe(pool).free, count - 1);
        kula_free(&first);
        assert_int_equal(describe(pool).free, count);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

#define THREADS 4

struct crowd {
    struct kula_pool *pool;
    unsigned rounds;
    atomic_uint torn; /* a buffer that two threads had */
    atomic_uint taken;
    atomic_bool over;
};

static void *take_and_free(void *arg)
{
    struct crowd *crowd = arg;
    unsigned mark = atomic_fetch_add(&crowd->taken, 1) + 1;
    atomic_fetch_sub(&crowd->taken, 1);
    for (unsigned i = 0; i < crowd->rounds; i++) {
        kula_buf held[3] = { NULL };
        for (unsigned k = 0; k < 1 + i % 3; k++) {
            held[k] = kula_pool_get(crowd->pool, i % 7 == 0 ? 0 : KULA_MILLISECOND);
            if (held[k]) {
                memset(kula_bytes(held[k]), (int)(mark + k), 64);
                atomic_fetch_add(&crowd->taken, 1);
            }
        }
        for (unsigned k = 0; k < 3; k++) {
            if (held[k]) {
                unsigned char expected = (unsigned char)(mark + k);
                if (kula_bytes(held[k])[0] != expected || kula_bytes(held[k])[63] != expected) {
                    atomic_fetch_add(&crowd->torn, 1);
                }
                kula_free(&held[k]);
            }
        }
    }
    return NULL;
}

static void *watch(void *arg)
{
    struct crowd *crowd = arg;
    while (!atomic_load(&crowd->over)) {
        struct kula_pool_statistics now;
        kula_pool_describe(crowd->pool, &now);
        if (now.free + now.held != now.capacity || now.capacity > now.capacity_max ||
            now.held > now.peak) {
            return "the numbers are not of one moment";
        }
    }
    return NULL;
}

static void four_threads_share_a_pool_and_nothing_is_lost(void **state)
{
    (void)state;
    struct crowd crowd = { .pool = open_pool(NULL, 64, 2, 9),
                           .rounds = harness_sanitized() ? 10000 : 50000 };
    pthread_t threads[THREADS];
    pthread_t watcher;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_free, &crowd), 0);
    }
    assert_int_equal(pthread_create(&watcher, NULL, watch, &crowd), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&crowd.over, true);
    void *complaint = NULL;
    pthread_join(watcher, &complaint);
    assert_null(complaint);
    assert_int_equal(atomic_load(&crowd.torn), 0);
    struct kula_pool_statistics found = describe(crowd.pool);
    assert_int_equal(found.held, 0);
    assert_int_equal(found.waiting, 0);
    assert_int_equal(found.taken, atomic_load(&crowd.taken));
    assert_true(found.peak <= 9);
    assert_int_equal(kula_pool_close(&crowd.pool), 0);
}

static void *free_slowly(void *arg)
{
    kula_buf *buffer = arg;
    harness_sleep_ns(20 * KULA_MILLISECOND);
    kula_free(buffer);
    return NULL;
}

static void a_buffer_that_another_thread_frees_ends_the_waiting(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 100, 1, 0);
        for (int round = 0; round < 5; round++) {
            kula_buf held = kula_pool_get(pool, 0);
            assert_non_null(held);
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, free_slowly, &held), 0);
            kula_buf got = kula_pool_get(pool, round % 2 ? -1 : PATIENCE_NS);
            assert_non_null(got);
            pthread_join(thread, NULL);
            kula_free(&got);
        }
        struct kula_pool_statistics found = describe(pool);
        assert_true(found.waited > 0);
        assert_int_equal(found.failures, 0);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

static void waiting_ends_when_the_time_has_passed_and_not_before(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 100, 1, 0);
        kula_buf held = kula_pool_get(pool, 0);
        int64_t begin = harness_now_ns();
        assert_null(kula_pool_get(pool, 30 * KULA_MILLISECOND));
        assert_true(harness_now_ns() - begin >= 30 * KULA_MILLISECOND);
        kula_free(&held);
        held = kula_pool_get(pool, 0);
        assert_non_null(held);
        kula_free(&held);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

struct waiter {
    struct kula_pool *pool;
    kula_buf got;
};

static void *wait_for_ever(void *arg)
{
    struct waiter *waiter = arg;
    waiter->got = kula_pool_get(waiter->pool, -1);
    return NULL;
}

static void closing_sends_away_those_who_wait(void **state)
{
    (void)state;
    struct kula_pool *pool = open_pool(NULL, 100, 1, 0);
    kula_buf held = kula_pool_get(pool, 0);
    kula_buf trap = held;
    struct waiter waiters[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){ .pool = pool, .got = trap };
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_ever, &waiters[i]), 0);
    }
    while (describe(pool).waiting < 3) {
        harness_sleep_ns(KULA_MILLISECOND);
    }
    assert_int_equal(kula_pool_close(&pool), 1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_null(waiters[i].got);
    }
    memset(kula_bytes(held), 1, 100);
    kula_free(&held);
}

static void *free_half(void *arg)
{
    kula_buf *held = arg;
    for (int i = 0; i < 1000; i += 2) {
        kula_free(&held[i]);
    }
    return NULL;
}

static void buffers_outlive_their_pool_and_their_ring_on_any_thread(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct kula_ring *ring = harness_open(0);
        struct kula_pool *pool = open_pool(shared ? NULL : ring, 500, 100, 1000);
        static kula_buf held[1000];
        for (int i = 0; i < 1000; i++) {
            held[i] = kula_pool_get(pool, 0);
            assert_non_null(held[i]);
        }
        if (shared) {
            assert_int_equal(kula_pool_close(&pool), 1000);
            harness_close(&ring);
        } else {
            harness_close(&ring);
            kula_free(&held[999]);
            held[999] = kula_pool_get(pool, 0); /* the pool goes on without its ring */
            assert_non_null(held[999]);
            assert_int_equal(kula_pool_close(&pool), 1000);
        }
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_half, held), 0);
        for (int i = 1; i < 1000; i += 2) {
            memset(kula_bytes(held[i]), i, 500);
            kula_free(&held[i]);
        }
        pthread_join(thread, NULL);
    }
}

static void *use_anothers(void *arg)
{
    struct kula_pool *pool = arg;
    struct kula_pool_statistics statistics;
    bool refused = !kula_pool_get(pool, 0) && kula_pool_describe(pool, &statistics) == -EPERM &&
                   kula_pool_close(&pool) == -EPERM && pool == arg;
    return refused ? NULL : "a pool of a ring worked on another thread";
}

static void a_pool_of_a_ring_is_its_threads(void **state)
{
    struct kula_pool *pool = open_pool(harness_ring(state), 100, 1, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, use_anothers, pool), 0);
    void *complaint = NULL;
    pthread_join(thread, &complaint);
    assert_null(complaint);
    harness_context(state)->misuses_expected = 3;
    assert_int_equal(kula_pool_close(&pool), 0);
}

static void a_child_is_refused(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool *pool = open_pool(owner(state, shared), 100, 2, 0);
        kula_buf held = kula_pool_get(pool, 0);
        fflush(stdout);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct kula_pool_statistics statistics;
            struct kula_memory_report report;
            struct kula_pool *same = pool;
            bool refused = !kula_pool_get(pool, 0) &&
                           kula_pool_describe(pool, &statistics) == -EOWNERDEAD &&
                           kula_pool_memory(pool, &report) == -EOWNERDEAD &&
                           kula_pool_close(&same) == -EOWNERDEAD && same == pool;
            unsigned before = harness_misuses();
            kula_free(&held);
            _exit(refused && harness_misuses() == before + 1 ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(describe(pool).held, 1);
        kula_free(&held);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

/* What a field says that is not looked at is not looked at. */
static void without_a_size_the_wish_for_memory_is_none(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = 100;
        config.count = 2;
        config.memory.flags = UINT32_MAX;
        config.memory.alignment = SIZE_MAX;
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(owner(state, shared), &config, &pool), 0);
        kula_buf buffer = kula_pool_get(pool, 0);
        assert_int_equal((uintptr_t)kula_bytes(buffer) % 64, 0);
        kula_free(&buffer);
        struct kula_memory_report report;
        assert_int_equal(kula_pool_memory(pool, &report), 0);
        assert_int_equal(report.granted, 0);
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

static void a_pool_keeps_its_alignment_when_it_is_followed(void **state)
{
    for (size_t alignment = 64; alignment <= 8192; alignment *= 2) {
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = 100;
        config.count = 8;
        config.memory = (struct kula_memory)KULA_MEMORY_INIT;
        config.memory.alignment = alignment;
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(harness_ring(state), &config, &pool), 0);
        kula_buf held[8];
        for (int i = 0; i < 8; i++) {
            held[i] = kula_pool_get(pool, 0);
            assert_int_equal((uintptr_t)kula_bytes(held[i]) % alignment, 0);
        }
        for (int i = 0; i < 8; i++) {
            kula_free(&held[i]);
        }
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

/* Each step takes records for 256 buffers at least; there are 2^24 in the process. */
static void a_pool_that_starts_with_one_buffer_may_become_large(void **state)
{
    enum {
        MANY = 100000
    };
    (void)state;
    if (harness_keeps_buffers_apart()) {
        SKIP_BECAUSE("checked mode needs more mappings than a process may have");
    }
    static kula_buf held[MANY];
    struct kula_pool *pool = open_pool(NULL, 16, 1, MANY);
    for (int i = 0; i < MANY; i++) {
        held[i] = kula_pool_get(pool, 0);
        assert_non_null(held[i]);
    }
    assert_null(kula_pool_get(pool, 0));
    assert_int_equal(describe(pool).capacity, MANY);
    for (int i = 0; i < MANY; i++) {
        kula_free(&held[i]);
    }
    assert_int_equal(kula_pool_close(&pool), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_pool_gives_what_it_has_and_grows_to_its_limit),
        PROVES(pressure_begins_where_an_eighth_is_left),
        PROVES(what_is_impossible_is_refused),
        PROVES(its_buffers_are_written_and_read_like_any_other),
        PROVES(a_buffer_that_was_freed_is_refused_also_when_it_is_out_again),
        PROVES(a_pool_wipes_what_comes_back),
        PROVES(a_pool_tells_of_what_it_is_made),
        PROVES(a_group_gives_from_its_stock_and_gets_it_back),
        PROVES(four_threads_share_a_pool_and_nothing_is_lost),
        PROVES(a_buffer_that_another_thread_frees_ends_the_waiting),
        PROVES(waiting_ends_when_the_time_has_passed_and_not_before),
        PROVES(closing_sends_away_those_who_wait),
        PROVES(buffers_outlive_their_pool_and_their_ring_on_any_thread),
        PROVES(a_pool_of_a_ring_is_its_threads),
        PROVES(a_child_is_refused),
        PROVES(without_a_size_the_wish_for_memory_is_none),
        PROVES(a_pool_keeps_its_alignment_when_it_is_followed),
        PROVES(a_pool_that_starts_with_one_buffer_may_become_large),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
