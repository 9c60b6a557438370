/* Memory that a ring's kernel side knows: the data is right wherever the buffer goes, and whatever becomes
 * of the ring, the memory and its place in the ring's table. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static kula_buf alloc_registered(struct kula_ring *ring,
                                 size_t size,
                                 struct kula_memory_report *report)
{
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED;
    kula_buf buffer = kula_alloc_memory(ring, size, &memory, report);
    assert_non_null(buffer);
    assert_int_equal(report->granted == 0, report->error < 0);
    return buffer;
}

static void put_pattern(kula_buf buffer, unsigned seed)
{
    unsigned char *bytes = kula_bytes(buffer);
    for (size_t i = 0; i < kula_capacity(buffer); i++) {
        bytes[i] = pattern_byte(i, seed);
    }
}

static void expect_pattern(const unsigned char *bytes, size_t from, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != pattern_byte(from + i, seed)) {
            fail_msg("byte %zu of %zu is not what it should be", i, count);
        }
    }
}

/* Writes a buffer that has its pattern, and reads it back into itself. */
static void round_trip(struct kula_ring *ring, int fd, kula_buf *buffer, unsigned seed)
{
    size_t size = kula_capacity(*buffer);
    struct outcome written = { 0 };
    put_pattern(*buffer, seed);
    kula_write(ring, fd, buffer, size, 0, &written);
    await(ring, &written);
    assert_result(written.result, (int64_t)size);
    memset(kula_bytes(written.buffer), 0, size);
    struct outcome got = { 0 };
    kula_read(ring, fd, &written.buffer, size, 0, &got);
    await(ring, &got);
    assert_result(got.result, (int64_t)size);
    expect_pattern(kula_bytes(got.buffer), 0, size, seed);
    *buffer = got.buffer;
}

static void uring_grants_it_where_nothing_forbids_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    kula_buf buffer = alloc_registered(ring, 100, &report);
    if (!harness_backend_is("uring")) {
        assert_result(report.error, -EOPNOTSUPP);
    } else if (!getenv("KULA_MASK") && report.error != -ENOMEM && report.error != -EOPNOTSUPP) {
        /* not a limit, not a kernel before 5.13 */
        assert_int_equal(report.granted, KULA_MEMORY_REGISTERED);
    }
    kula_free(&buffer);
}

static void every_part_of_it_can_be_read_and_written(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    int fd = make_file("");
    kula_buf buffer = alloc_registered(ring, 100000, &report);
    round_trip(ring, fd, &buffer, 3);
    for (unsigned i = 0; i < 200; i++) {
        size_t offset = (i * 7919u) % 100000;
        size_t length = (i * 104729u) % (100000 - offset) + 1;
        struct outcome done = { 0 };
        assert_int_equal(kula_window(buffer, offset), 0);
        memset(kula_bytes(buffer), 0, length);
        kula_read(ring, fd, &buffer, length, (int64_t)offset, &done);
        await(ring, &done);
        assert_result(done.result, (int64_t)length);
        expect_pattern(kula_bytes(done.buffer), offset, length, 3);
        buffer = done.buffer;
    }
    assert_int_equal(kula_window(buffer, 0), 0);
    expect_pattern(kula_bytes(buffer), 0, 100000, 3);
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void pipes_sockets_and_lists_take_it_too(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    struct outcome done = { 0 };
    kula_buf buffer = alloc_registered(ring, 64, &report);
    memcpy(kula_bytes(buffer), "through a pipe", 14);
    kula_write(ring, pipes[1], &buffer, 14, KULA_CUR, &done);
    await(ring, &done);
    struct outcome got = { 0 };
    kula_op op = kula_read(ring, pipes[0], &done.buffer, 20, KULA_CUR, &got);
    kula_option(ring, op, KULA_FULL); /* in two pieces, the second one later */
    assert_pending(ring, &got);
    put(pipes[1], " again");
    await(ring, &got);
    assert_read_text(&got, "through a pipe again");
    struct outcome sent = { 0 };
    kula_send(ring, sockets[0], &got.buffer, 7, 0, &sent);
    await(ring, &sent);
    assert_result(sent.result, 7);
    struct outcome received = { 0 };
    kula_read(ring, sockets[1], &sent.buffer, 64, KULA_CUR, &received);
    await(ring, &received);
    assert_read_text(&received, "through");
    kula_vec vec = kula_vec_new(ring);
    kula_vec_add(vec, &received.buffer, 7);
    struct outcome listed = { 0 };
    kula_writev(ring, pipes[1], &vec, KULA_CUR, &listed);
    await(ring, &listed);
    expect_bytes(pipes[0], "through");
    outcome_release(&listed);
    retire(ring, (int[]){ pipes[0], pipes[1], sockets[0], sockets[1] }, 4);
}

static void plain_memory_is_right_between_and_after(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    int file = make_file("0123456789abcdef");
    for (int round = 0; round < 40; round++) {
        struct outcome done[16] = { 0 };
        for (int i = 0; i < 16; i++) {
            bool registered = (i + round) % 3 == 0;
            kula_buf buffer =
                registered ? alloc_registered(ring, 64, &report) : buffer_empty(ring, 64);
            kula_read(ring, file, &buffer, 1, i, &done[i]);
            if (i % 5 == 0) {
                kula_nop(ring, NULL);
            }
        }
        await_all(ring);
        for (int i = 0; i < 16; i++) {
            assert_result(done[i].result, 1);
            assert_int_equal(kula_bytes(done[i].buffer)[0], "0123456789abcdef"[i]);
            outcome_release(&done[i]);
        }
    }
    retire(ring, &file, 1);
}

/* A kernel that stops at the first entry that it refuses (before 5.18) has not seen the ones behind it. */
static void what_a_bad_entry_stops_is_read_into_it_all_the_same(void **state)
{
    (void)state;
    enum {
        BUFFERS = 4
    };
    struct kula_config config = harness_config();
    config.mask = "feat:submit_all";
    config.flags = KULA_CONFIG_IGNORE_ENV;
    struct kula_ring *ring = NULL;
    assert_result(kula_open(&config, &ring), 0);
    struct kula_memory_report report;
    int fd = make_file("");
    kula_buf held[BUFFERS];
    for (unsigned i = 0; i < BUFFERS; i++) {
        held[i] = alloc_registered(ring, 4096, &report);
        round_trip(ring, fd, &held[i], 5);
    }
    for (int between = 0; between < 6; between++) {
        struct outcome done[BUFFERS] = { 0 };
        struct outcome bad = { 0 };
        for (int i = 0; i < BUFFERS; i++) {
            memset(kula_bytes(held[i]), 0, 4096);
            if (i == between % BUFFERS) {
                kula_openat(ring, AT_FDCWD, "", O_RDONLY | O_DIRECTORY, 0, &bad);
            }
            for (int k = 0; k < between; k++) {
                kula_nop(ring, NULL);
            }
            kula_read(ring, fd, &held[i], 4096, 0, &done[i]);
        }
        await_all(ring);
        assert_result(bad.result, -ENOENT);
        for (int i = 0; i < BUFFERS; i++) {
            assert_result(done[i].result, 4096);
            expect_pattern(kula_bytes(done[i].buffer), 0, 4096, 5);
            held[i] = done[i].buffer;
        }
    }
    for (int i = 0; i < BUFFERS; i++) {
        kula_free(&held[i]);
    }
    retire(ring, &fd, 1);
    harness_close(&ring);
}

static void another_ring_uses_it_as_ordinary_memory(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct kula_memory_report report;
    int fd = make_file("");
    kula_buf ours = alloc_registered(ring, 5000, &report);
    kula_buf theirs = alloc_registered(other, 5000, &report); /* under the same number, maybe */
    round_trip(other, fd, &ours, 1);
    round_trip(ring, fd, &theirs, 2);
    round_trip(ring, fd, &ours, 3);
    expect_pattern(kula_bytes(theirs), 0, 5000, 2);
    harness_close(&other);
    round_trip(ring, fd, &theirs, 4);
    kula_free(&theirs);
    kula_free(&ours);
    retire(ring, &fd, 1);
}

/* 6.18: a registered buffer keeps its old pages when its address gets new ones. */
static void memory_at_the_same_address_is_new_memory(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    int fd = make_file("");
    unsigned again = 0;
    const unsigned char *before = NULL;
    for (unsigned round = 0; round < 50; round++) {
        kula_buf buffer = alloc_registered(ring, 20000, &report);
        again += kula_bytes(buffer) == before;
        before = kula_bytes(buffer);
        round_trip(ring, fd, &buffer, round);
        kula_free(&buffer);
    }
    print_message("the same address again: %u of 50\n", again);
    retire(ring, &fd, 1);
}

static void more_than_a_table_holds_is_told_and_works(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        MANY = 1030
    };
    static kula_buf held[MANY];
    int fd = make_file("");
    for (int round = 0; round < 2; round++) {
        struct kula_memory_report report;
        unsigned granted = 0;
        for (int i = 0; i < MANY; i++) {
            held[i] = alloc_registered(ring, 64, &report);
            granted += report.granted != 0;
        }
        if (granted > 0) {
            assert_true(granted < MANY);
            assert_non_null(strstr(report.shortfall, "registered:"));
        }
        print_message("%u of %d are registered\n", granted, MANY);
        for (int i = 0; i < MANY; i += 103) {
            round_trip(ring, fd, &held[i], (unsigned)i);
        }
        for (int i = 0; i < MANY; i++) {
            kula_free(&held[i]);
        }
    }
    retire(ring, &fd, 1);
}

static void *free_there(void *arg)
{
    kula_buf *held = arg;
    for (int i = 0; i < 10; i++) {
        kula_free(&held[i]);
    }
    return NULL;
}

static void it_may_be_freed_on_another_thread_before_and_after_the_ring(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++) {
        struct kula_ring *ring = harness_open(0);
        struct kula_memory_report report;
        kula_buf held[10];
        int fd = make_file("");
        for (int i = 0; i < 10; i++) {
            held[i] = alloc_registered(ring, 3000, &report);
            round_trip(ring, fd, &held[i], (unsigned)i);
        }
        retire(ring, &fd, 1);
        if (after) {
            harness_close(&ring);
            expect_pattern(kula_bytes(held[9]), 0, 3000, 9);
        }
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, free_there, held), 0);
        pthread_join(thread, NULL);
        if (!after) {
            kula_buf next = alloc_registered(ring, 3000, &report); /* the ring comes by */
            kula_free(&next);
            harness_close(&ring);
        }
    }
}

static void a_pool_registers_many_as_one(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 512;
    config.count = 700;
    config.count_max = 2100;
    config.memory = (struct kula_memory)KULA_MEMORY_INIT;
    config.memory.flags = KULA_MEMORY_REGISTERED;
    struct kula_pool *pool = NULL;
    assert_int_equal(kula_pool_open(ring, &config, &pool), 0);
    static kula_buf held[2100];
    int fd = make_file("");
    for (unsigned i = 0; i < 2100; i++) {
        held[i] = kula_pool_get(pool, 0);
        assert_non_null(held[i]);
        if (i % 97 == 0) {
            round_trip(ring, fd, &held[i], i);
        }
    }
    struct kula_memory_report report;
    assert_int_equal(kula_pool_memory(pool, &report), 0);
    assert_int_equal(report.granted == 0, report.error < 0);
    for (unsigned i = 0; i < 2100; i += 97) {
        expect_pattern(kula_bytes(held[i]), 0, 512, i);
    }
    assert_int_equal(kula_pool_close(&pool), 2100);
    round_trip(ring, fd, &held[5],
               1); /* the memory is there, and known, until the last is free */
    for (unsigned i = 0; i < 2100; i++) {
        kula_free(&held[i]);
    }
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(uring_grants_it_where_nothing_forbids_it),
        PROVES(every_part_of_it_can_be_read_and_written),
        PROVES(pipes_sockets_and_lists_take_it_too),
        PROVES(plain_memory_is_right_between_and_after),
        PROVES(what_a_bad_entry_stops_is_read_into_it_all_the_same),
        PROVES(another_ring_uses_it_as_ordinary_memory),
        PROVES(memory_at_the_same_address_is_new_memory),
        PROVES(more_than_a_table_holds_is_told_and_works),
        PROVES(it_may_be_freed_on_another_thread_before_and_after_the_ring),
        PROVES(a_pool_registers_many_as_one),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
