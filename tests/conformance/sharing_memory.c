/* Every kind of memory can be shared and split, and goes home as its kind wants it, once, after the last
 * of those who have a part in it. */
#include "support/outcome.h"
#include "support/places.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What a release function was told. */
struct released {
    atomic_uint count;
    void *memory;
    size_t size;
};

static void on_release(void *arg, void *memory, size_t size)
{
    struct released *released = arg;
    released->memory = memory;
    released->size = size;
    atomic_fetch_add(&released->count, 1);
}

static void assert_released(struct released *released, const void *memory, size_t size)
{
    assert_int_equal(atomic_load(&released->count), 1);
    assert_ptr_equal(released->memory, memory);
    assert_int_equal(released->size, size);
}

static void *drop_it(void *arg)
{
    kula_ref *ref = arg;
    kula_drop(ref);
    return NULL;
}

static void vouched_memory_is_released_once_after_its_last_reference(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static unsigned char memory[100] = "vouched for";
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct released released = { 0 };
        kula_buf buffer = kula_vouch(ring, memory, sizeof memory, on_release, &released);
        assert_int_equal(kula_window(buffer, 8), 0);
        kula_ref root = kula_freeze(&buffer);
        kula_ref slice = kula_slice(root, 0, 3);
        kula_ref clone = kula_clone(slice);
        kula_drop(&root);
        kula_drop(&slice);
        assert_memory_equal(kula_ref_bytes(clone), "for", 3);
        buffer = kula_thaw(&clone); /* and it is whole again */
        assert_ptr_equal(kula_bytes(buffer), memory + 8);
        root = kula_freeze(&buffer);
        slice = kula_slice(root, 1, 1);
        kula_drop(&root);
        assert_int_equal(atomic_load(&released.count), 0);
        if (elsewhere) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, drop_it, &slice), 0);
            pthread_join(thread, NULL);
        } else {
            kula_drop(&slice);
        }
        assert_released(&released, memory, sizeof memory);
    }
}

static void vouched_memory_is_released_whole_after_its_last_part(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static unsigned char memory[4096];
    for (size_t last = 0; last < 3; last++) {
        struct released released = { 0 };
        kula_buf parts[3];
        parts[0] = kula_vouch(ring, memory, sizeof memory, on_release, &released);
        parts[1] = kula_split(parts[0], 1000);
        parts[2] = kula_split(parts[1], 1000);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(atomic_load(&released.count), 0);
            kula_free(&parts[(last + 1 + i) % 3]);
        }
        assert_released(&released, memory, sizeof memory);
    }
}

static void a_constant_is_shared_and_never_thawed(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    static const char text[] = "constant";
    for (int cloned = 0; cloned < 2; cloned++) {
        kula_ref root = kula_const(ring, text, sizeof text - 1);
        assert_ptr_equal(kula_ref_bytes(root), text);
        assert_int_equal(kula_ref_count(root), 1);
        assert_true(kula_thaw(&root) == NULL);
        assert_true(root != NULL);
        if (cloned) {
            kula_ref slice = kula_slice(root, 3, 5);
            assert_int_equal(kula_ref_count(root), 2);
            kula_drop(&root);
            assert_int_equal(kula_ref_count(slice), 1);
            assert_true(kula_thaw(&slice) == NULL);
            assert_memory_equal(kula_ref_bytes(slice), "stant", 5);
            root = slice;
        }
        struct outcome done = { .keeps_ref = true };
        size_t size = kula_ref_size(root);
        kula_write(ring, fd, &root, size, 0, &done);
        await(ring, &done);
        assert_result(done.result, size);
        expect_content(fd, cloned ? "stantant" : "constant");
        assert_true(kula_thaw(&done.ref) == NULL);
        kula_drop(&done.ref);
    }
    assert_int_equal(harness_misuses(), 0);
    retire(ring, &fd, 1);
}

static void assert_held(struct kula_pool *pool, uint64_t held)
{
    struct kula_pool_statistics statistics;
    assert_int_equal(kula_pool_describe(pool, &statistics), 0);
    assert_int_equal(statistics.held, held);
    assert_int_equal(statistics.free + statistics.held, statistics.capacity);
}

static void a_pools_buffer_is_held_until_the_last_reference_or_part_is_gone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int of_ring = 0; of_ring < 2; of_ring++) {
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = 3000;
        config.count = 4;
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(of_ring ? ring : NULL, &config, &pool), 0);
        kula_buf buffer = kula_pool_get(pool, 0);
        kula_buf part = kula_split(buffer, 1000);
        kula_buf rest = kula_split(part, 1000);
        kula_ref root = kula_freeze(&part);
        kula_ref slice = kula_slice(root, 1, 1);
        assert_held(pool, 1);
        kula_free(&buffer);
        kula_free(&rest);
        kula_drop(&root);
        assert_held(pool, 1);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, drop_it, &slice), 0);
        pthread_join(thread, NULL);
        assert_held(pool, 0);

        /* parts that are joined are the pool's buffer again */
        buffer = kula_pool_get(pool, 0);
        part = kula_split(buffer, 1);
        assert_int_equal(kula_join(buffer, &part), 0);
        assert_int_equal(kula_capacity(buffer), 3000);
        root = kula_freeze(&buffer);
        harness_context(state)->warnings_expected = true; /* of what is out */
        assert_int_equal(kula_pool_close(&pool), 1);
        slice = kula_slice(root, 2999, 1); /* the pool's memory lives */
        kula_drop(&root);
        buffer = kula_thaw(&slice);
        memset(kula_bytes(buffer), 'z', 3000);
        kula_free(&buffer);
    }
}

static void shared_and_split_memory_is_wiped_as_a_whole_on_its_way_home(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory wishes = KULA_MEMORY_INIT;
    wishes.flags = KULA_MEMORY_WIPE;
    for (int frozen = 0; frozen < 2; frozen++) {
        kula_buf first = kula_alloc_memory(ring, 8192, &wishes, NULL);
        const unsigned char *memory = kula_bytes(first);
        memset(kula_bytes(first), 's', 8192);
        kula_buf second = kula_split(first, 100);
        kula_ref ref = frozen ? kula_freeze(&second) : NULL;
        kula_free(&first);
        kula_free(&second);
        kula_drop(&ref);
        kula_buf again = buffer_empty(ring, 8192);
        assert_ptr_equal(kula_bytes(again), memory);
        for (size_t i = 0; i < 8192; i++) {
            assert_int_equal(memory[i], 0);
        }
        kula_free(&again);
    }
}

static void slices_and_parts_of_registered_memory_move_the_right_bytes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("................");
    struct kula_memory wishes = KULA_MEMORY_INIT;
    wishes.flags = KULA_MEMORY_REGISTERED;
    struct kula_memory_report report;
    kula_buf buffer = kula_alloc_memory(ring, 4096, &wishes, &report);
    assert_true(buffer != NULL);
    memcpy(kula_bytes(buffer), "0123456789abcdef", 16);
    kula_ref root = kula_freeze(&buffer);
    kula_ref slice = kula_slice(root, 10, 6);
    kula_drop(&root);
    struct outcome done = { .keeps_ref = true };
    kula_write(ring, fd, &slice, 6, 2, &done);
    await(ring, &done);
    assert_result(done.result, 6);
    expect_content(fd, "..abcdef........");
    buffer = kula_thaw(&done.ref);

    kula_buf part = kula_split(buffer, 4000);
    struct outcome parts[2] = { 0 };
    kula_read(ring, fd, &buffer, 4, 0, &parts[0]);
    kula_read(ring, fd, &part, 5, 2, &parts[1]);
    await_all(ring);
    assert_read_text(&parts[0], "..ab");
    assert_read_text(&parts[1], "abcde");
    assert_ptr_equal(kula_bytes(parts[0].buffer) + 4000, kula_bytes(parts[1].buffer));
    assert_int_equal(kula_join(parts[0].buffer, &parts[1].buffer), 0);
    assert_int_equal(kula_capacity(parts[0].buffer), 4096);
    kula_free(&parts[0].buffer);
    print_message("the memory was %sregistered\n",
                  report.granted & KULA_MEMORY_REGISTERED ? "" : "not ");
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(vouched_memory_is_released_once_after_its_last_reference),
        PROVES(vouched_memory_is_released_whole_after_its_last_part),
        PROVES(a_constant_is_shared_and_never_thawed),
        PROVES(a_pools_buffer_is_held_until_the_last_reference_or_part_is_gone),
        PROVES(shared_and_split_memory_is_wiped_as_a_whole_on_its_way_home),
        PROVES(slices_and_parts_of_registered_memory_move_the_right_bytes),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
