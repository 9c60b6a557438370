/* Where buffers come from: size classes, alignment, reuse, and frees from other threads. */
#include "unit.h"

#include "common/pool.h"

#include <pthread.h>
#include <string.h>

static void every_size_fits_its_class_and_not_the_one_below(void **state)
{
    (void)state;
    size_t last = 0;
    for (size_t size = 1; size <= (1 << 20) + 4096; size += size < 5000 ? 1 : 509) {
        uint32_t class = kula__size_class(size);
        if (size > 1 << 20) {
            assert_int_equal(class, KULA__CLASS_LARGE);
            continue;
        }
        size_t bytes = kula__size_class_bytes(class);
        assert_true(bytes >= size);
        assert_true(class == 0 || kula__size_class_bytes(class - 1) < size);
        assert_int_equal(kula__size_class(bytes), class);
        assert_true(bytes >= last);
        /* no more than a quarter is wasted from a page on, half below */
        assert_true(size < 4096 || bytes - size < bytes / 4 + 4096);
        last = bytes;
    }
}

static void sizes_of_a_page_and_more_are_page_aligned(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 1 << 20; size = size * 2 + 1) {
        size_t bytes = kula__size_class_bytes(kula__size_class(size));
        assert_int_equal(bytes % (size >= 4096 ? 4096 : 64), 0);
    }
}

/* The bookkeeping that kula_alloc and kula_free do around the pool. */
static struct kula__slot *take(struct kula__pool *pool, size_t size)
{
    struct kula__slot *slot = kula__pool_take(pool, size);
    assert_non_null(slot);
    kula__word_allocate(slot);
    return slot;
}

static void give(struct kula__slot *slot)
{
    assert_true(kula__word_free(slot, kula__slot_word(slot)));
    kula__pool_give(slot);
}

static void what_is_out_does_not_overlap_and_is_counted(void **state)
{
    (void)state;
    enum {
        COUNT = 500
    };
    struct kula__pool *pool = kula__pool_new();
    struct kula__slot *out[COUNT];
    size_t sizes[COUNT];
    uint64_t seed = 3;
    for (int i = 0; i < COUNT; i++) {
        sizes[i] = (size_t)(unit_random(&seed) % (i % 50 == 0 ? 3000000 : 20000)) + 1;
        out[i] = take(pool, sizes[i]);
        assert_int_equal(out[i]->capacity, sizes[i]);
        memset(out[i]->data, i & 0xff, sizes[i]);
        assert_int_equal(kula__pool_held(pool), i + 1);
    }
    for (int i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            if (out[i]->data[k] != (i & 0xff)) {
                fail_msg("byte %zu of buffer %d belongs to another, too", k, i);
            }
        }
        give(out[i]);
    }
    assert_int_equal(kula__pool_held(pool), 0);
    assert_int_equal(kula__pool_close(pool), 0);
}

static void memory_that_came_back_is_used_again(void **state)
{
    (void)state;
    struct kula__pool *pool = kula__pool_new();
    struct kula__slot *first = take(pool, 5000);
    const unsigned char *data = first->data;
    give(first);
    struct kula__slot *again = take(pool, 8000); /* the same class */
    assert_ptr_equal(again->data, data);
    assert_int_equal(again->capacity, 8000);
    give(again);
    assert_int_equal(kula__pool_close(pool), 0);
}

static void *give_all(void *arg)
{
    struct kula__slot **slots = arg;
    for (int i = 0; i < 1000; i++) {
        give(slots[i]);
    }
    return NULL;
}

static void four_threads_give_back_while_the_owner_takes(void **state)
{
    (void)state;
    struct kula__pool *pool = kula__pool_new();
    static struct kula__slot *out[4][1000];
    pthread_t threads[4];
    for (int t = 0; t < 4; t++) {
        for (int i = 0; i < 1000; i++) {
            out[t][i] = take(pool, (size_t)(64 << (i % 4)));
        }
    }
    for (int t = 0; t < 4; t++) {
        assert_int_equal(pthread_create(&threads[t], NULL, give_all, out[t]), 0);
    }
    for (int i = 0; i < 20000; i++) {
        struct kula__slot *mine = take(pool, 64);
        memset(mine->data, 0x11, 64);
        give(mine);
    }
    for (int t = 0; t < 4; t++) {
        pthread_join(threads[t], NULL);
    }
    assert_int_equal(kula__pool_held(pool), 0);
    assert_int_equal(kula__pool_close(pool), 0);
}

static void a_closed_pool_lives_until_its_last_buffer_comes_back(void **state)
{
    (void)state;
    for (int threads_used = 0; threads_used <= 4; threads_used++) {
        struct kula__pool *pool = kula__pool_new();
        static struct kula__slot *out[4][1000];
        pthread_t threads[4];
        for (int t = 0; t < threads_used; t++) {
            for (int i = 0; i < 1000; i++) {
                out[t][i] = take(pool, 64);
            }
        }
        struct kula__slot *last = take(pool, 100000);
        memset(last->data, 0x77, 100000);
        for (int t = 0; t < threads_used; t++) {
            assert_int_equal(pthread_create(&threads[t], NULL, give_all, out[t]), 0);
        }
        assert_true(kula__pool_close(pool) >= 1);
        for (int t = 0; t < threads_used; t++) {
            pthread_join(threads[t], NULL);
        }
        assert_int_equal(last->data[99999], 0x77);
        give(last); /* a leak checker sees whether the pool went with it */
    }
}

struct racer {
    pthread_t thread;
    kula_buf handle;
    pthread_barrier_t *start;
};

static void *free_it(void *arg)
{
    struct racer *racer = arg;
    pthread_barrier_wait(racer->start);
    kula_free(&racer->handle);
    return NULL;
}

static void count(void *arg, const struct kula_misuse *misuse)
{
    (void)misuse;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

/* The ring is gone, so whoever frees the buffer ends its pool, and the other one must not look at it
 * (found by tests/model/rings.pml). */
static void two_threads_free_the_last_buffer_of_a_closed_ring_and_one_is_refused(void **state)
{
    (void)state;
    enum {
        ROUNDS = 2000
    };
    atomic_uint refused = 0;
    kula_on_misuse(count, &refused);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kula_config config = KULA_CONFIG_INIT;
        config.backend = "strict:blocking";
        struct kula_ring *ring = NULL;
        assert_int_equal(kula_open(&config, &ring), 0);
        kula_buf buffer = kula_alloc(ring, 64);
        assert_non_null(buffer);
        assert_int_equal(kula_close(&ring, 0), 0);
        pthread_barrier_t start;
        pthread_barrier_init(&start, NULL, 2);
        struct racer racers[2];
        for (int i = 0; i < 2; i++) {
            racers[i] = (struct racer){ .handle = buffer, .start = &start };
            assert_int_equal(pthread_create(&racers[i].thread, NULL, free_it, &racers[i]), 0);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(racers[i].thread, NULL);
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(refused, round + 1);
    }
    kula_on_misuse(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_fits_its_class_and_not_the_one_below),
        cmocka_unit_test(sizes_of_a_page_and_more_are_page_aligned),
        cmocka_unit_test(what_is_out_does_not_overlap_and_is_counted),
        cmocka_unit_test(memory_that_came_back_is_used_again),
        cmocka_unit_test(four_threads_give_back_while_the_owner_takes),
        cmocka_unit_test(a_closed_pool_lives_until_its_last_buffer_comes_back),
        cmocka_unit_test(two_threads_free_the_last_buffer_of_a_closed_ring_and_one_is_refused),
    };
    return UNIT_MAIN(tests);
}
