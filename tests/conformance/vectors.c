/* Vectored reads and writes: many buffers, one operation, all of them back in order. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define VEC_MAX 1024

static void add_text(struct kula_ring *ring, kula_vec vec, const char *text)
{
    kula_buf buffer = strlen(text) > 0 ? buffer_text(ring, text) : buffer_empty(ring, 4);
    kula_vec_add(vec, &buffer, strlen(text));
}

static void add_room(struct kula_ring *ring, kula_vec vec, size_t size)
{
    kula_buf buffer = buffer_empty(ring, size);
    kula_vec_add(vec, &buffer, size);
}

static void free_buffers(kula_buf *buffers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        kula_free(&buffers[i]);
    }
}

static void a_vec_is_written_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_buf back[3];
    struct outcome done = { .more = back, .more_max = 3 };
    kula_vec vec = kula_vec_new(ring);
    add_text(ring, vec, "one,");
    add_text(ring, vec, "two,");
    add_text(ring, vec, "three");
    kula_writev(ring, fd, &vec, 0, &done);
    await(ring, &done);
    assert_result(done.result, 13);
    assert_int_equal(done.buffers, 3);
    assert_memory_equal(kula_bytes(back[0]), "one,", 4);
    assert_memory_equal(kula_bytes(back[1]), "two,", 4);
    assert_memory_equal(kula_bytes(back[2]), "three", 5);
    expect_content(fd, "one,two,three");
    free_buffers(back, 3);
    retire(ring, &fd, 1);
}

static void a_vec_is_filled_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("abcdefghij");
    kula_buf back[3];
    struct outcome done = { .more = back, .more_max = 3 };
    kula_vec vec = kula_vec_new(ring);
    add_room(ring, vec, 2);
    add_room(ring, vec, 3);
    add_room(ring, vec, 100);
    kula_readv(ring, fd, &vec, 1, &done);
    await(ring, &done);
    assert_result(done.result, 9);
    assert_int_equal(done.buffers, 3);
    assert_memory_equal(kula_bytes(back[0]), "bc", 2);
    assert_memory_equal(kula_bytes(back[1]), "def", 3);
    assert_memory_equal(kula_bytes(back[2]), "ghij", 4);
    free_buffers(back, 3);
    retire(ring, &fd, 1);
}

static void an_empty_member_is_passed_over(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_buf back[4];
    struct outcome done = { .more = back, .more_max = 4 };
    kula_vec vec = kula_vec_new(ring);
    add_text(ring, vec, "");
    add_text(ring, vec, "a");
    add_text(ring, vec, "");
    add_text(ring, vec, "b");
    kula_writev(ring, fd, &vec, 0, &done);
    await(ring, &done);
    assert_result(done.result, 2);
    assert_int_equal(done.buffers, 4);
    expect_content(fd, "ab");
    free_buffers(back, 4);
    retire(ring, &fd, 1);
}

static void only_the_length_that_was_added_takes_part(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    kula_buf back[2];
    struct outcome done = { .more = back, .more_max = 2 };
    kula_vec vec = kula_vec_new(ring);
    kula_buf buffer = buffer_text(ring, "~~~~~~");
    assert_int_equal(kula_window(buffer, 1), 0);
    kula_vec_add(vec, &buffer, 3);
    buffer = buffer_text(ring, "~~~~~~");
    kula_vec_add(vec, &buffer, 2);
    kula_readv(ring, fd, &vec, 0, &done);
    await(ring, &done);
    assert_result(done.result, 5);
    assert_int_equal(kula_window(back[0], 0), 0);
    assert_memory_equal(kula_bytes(back[0]), "~012~~", 6);
    assert_memory_equal(kula_bytes(back[1]), "34~~~~", 6);
    free_buffers(back, 2);
    retire(ring, &fd, 1);
}

static void as_many_buffers_as_the_limit_says_go_through(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static kula_buf back[VEC_MAX];
    int fd = make_file("");
    for (int reading = 0; reading < 2; reading++) {
        struct outcome done = { .more = back, .more_max = VEC_MAX };
        kula_vec vec = kula_vec_new(ring);
        for (unsigned i = 0; i < VEC_MAX; i++) {
            kula_buf buffer = buffer_empty(ring, 2);
            kula_bytes(buffer)[0] = reading ? 0 : (unsigned char)(i & 0xff);
            kula_bytes(buffer)[1] = reading ? 0 : (unsigned char)(i >> 8);
            kula_vec_add(vec, &buffer, 2);
        }
        assert_int_equal(kula_vec_count(vec), VEC_MAX);
        if (reading) {
            kula_readv(ring, fd, &vec, 0, &done);
        } else {
            kula_writev(ring, fd, &vec, 0, &done);
        }
        await(ring, &done);
        assert_result(done.result, 2 * VEC_MAX);
        assert_int_equal(done.buffers, VEC_MAX);
        for (unsigned i = 0; i < VEC_MAX; i++) {
            assert_int_equal(kula_bytes(back[i])[0], i & 0xff);
            assert_int_equal(kula_bytes(back[i])[1], i >> 8);
        }
        free_buffers(back, VEC_MAX);
    }
    retire(ring, &fd, 1);
}

static void one_buffer_too_many_is_refused_and_all_come_back_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static kula_buf back[VEC_MAX + 3];
    struct outcome done = { .more = back, .more_max = VEC_MAX + 3 };
    int fd = make_file("");
    kula_vec vec = kula_vec_new(ring);
    for (unsigned i = 0; i < VEC_MAX + 3; i++) {
        kula_buf buffer = buffer_empty(ring, 2);
        kula_bytes(buffer)[0] = (unsigned char)(i & 0xff);
        kula_bytes(buffer)[1] = (unsigned char)(i >> 8);
        kula_vec_add(vec, &buffer, 2);
        assert_true(buffer == NULL);
    }
    kula_writev(ring, fd, &vec, 0, &done);
    await(ring, &done);
    assert_result(done.result, -EINVAL);
    assert_int_equal(done.buffers, VEC_MAX + 3);
    for (unsigned i = 0; i < VEC_MAX + 3; i++) {
        assert_int_equal(kula_bytes(back[i])[0], i & 0xff);
        assert_int_equal(kula_bytes(back[i])[1], i >> 8);
    }
    expect_content(fd, "");
    free_buffers(back, VEC_MAX + 3);
    retire(ring, &fd, 1);
}

static void a_member_longer_than_its_buffer_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_buf back[2];
    struct outcome done = { .more = back, .more_max = 2 };
    kula_vec vec = kula_vec_new(ring);
    add_text(ring, vec, "fine");
    kula_buf buffer = buffer_text(ring, "long");
    kula_vec_add(vec, &buffer, 5);
    assert_true(buffer == NULL);
    kula_writev(ring, fd, &vec, 0, &done);
    await(ring, &done);
    assert_result(done.result, -EINVAL);
    assert_int_equal(done.buffers, 2);
    expect_content(fd, "");
    free_buffers(back, 2);
    retire(ring, &fd, 1);
}

static void an_empty_vec_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    struct outcome done[2] = { { 0 } };
    kula_vec vec = kula_vec_new(ring);
    kula_readv(ring, fd, &vec, 0, &done[0]);
    vec = kula_vec_new(ring);
    kula_writev(ring, fd, &vec, 0, &done[1]);
    await_all(ring);
    assert_result(done[0].result, -EINVAL);
    assert_result(done[1].result, -EINVAL);
    assert_int_equal(done[0].buffers + done[1].buffers, 0);
    retire(ring, &fd, 1);
}

static void a_refused_vec_brings_its_buffers_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pipes[2];
    make_pipe(pipes);
    const struct {
        int fd;
        int64_t offset;
        int result;
    } refusals[] = {
        { -1, 0, -EBADF },         { 4000, KULA_CUR, -EBADF },     { pipes[1], 0, -ESPIPE },
        { pipes[1], -2, -EINVAL }, { pipes[0], KULA_CUR, -EBADF },
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        kula_buf back[2];
        struct outcome done = { .more = back, .more_max = 2 };
        kula_vec vec = kula_vec_new(ring);
        add_text(ring, vec, "first");
        add_text(ring, vec, "second");
        kula_writev(ring, refusals[i].fd, &vec, refusals[i].offset, &done);
        await(ring, &done);
        assert_result(done.result, refusals[i].result);
        assert_int_equal(done.buffers, 2);
        assert_memory_equal(kula_bytes(back[0]), "first", 5);
        assert_memory_equal(kula_bytes(back[1]), "second", 6);
        free_buffers(back, 2);
    }
    retire(ring, pipes, 2);
}

static void vectored_streams_keep_their_place_in_the_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    kula_buf back[2];
    struct outcome first = { 0 };
    struct outcome middle = { .more = back, .more_max = 2 };
    struct outcome last = { 0 };
    kula_buf buffer = buffer_empty(ring, 2);
    kula_read(ring, fds[0], &buffer, 2, KULA_CUR, &first);
    kula_vec vec = kula_vec_new(ring);
    add_room(ring, vec, 1);
    add_room(ring, vec, 3);
    kula_readv(ring, fds[0], &vec, KULA_CUR, &middle);
    buffer = buffer_empty(ring, 2);
    kula_recv(ring, fds[0], &buffer, 2, 0, &last);
    pump(ring, 0);
    put(fds[1], "abcdefgh");
    await_all(ring);
    assert_read_text(&first, "ab");
    assert_result(middle.result, 4);
    assert_memory_equal(kula_bytes(back[0]), "c", 1);
    assert_memory_equal(kula_bytes(back[1]), "def", 3);
    assert_read_text(&last, "gh");
    outcome_release(&first);
    outcome_release(&last);
    free_buffers(back, 2);
    retire(ring, fds, 2);
}

static void a_waiting_vec_is_cancelled_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    kula_buf back[3];
    struct outcome done = { .more = back, .more_max = 3 };
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; i < 3; i++) {
        add_room(ring, vec, 8);
    }
    kula_op op = kula_readv(ring, fds[0], &vec, KULA_CUR, &done);
    assert_pending(ring, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    assert_int_equal(done.buffers, 3);
    free_buffers(back, 3);
    retire(ring, fds, 2);
}

static void untaken_members_of_a_vec_are_recycled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("abcdef");
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; i < 3; i++) {
        add_room(ring, vec, 2);
    }
    kula_readv(ring, fd, &vec, 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_result(event->result, 6);
    kula_buf one = kula_take(event);
    assert_memory_equal(kula_bytes(one), "ab", 2);
    assert_null(kula_next(ring));
    assert_memory_equal(kula_bytes(one), "ab", 2);
    kula_free(&one);
    retire(ring, &fd, 1);
}

static void a_vec_that_is_not_handed_over_is_freed_with_its_buffers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 100; round++) {
        kula_vec vec = kula_vec_new(ring);
        assert_true(vec != NULL);
        assert_int_equal(kula_vec_count(vec), 0);
        add_room(ring, vec, 100000);
        add_room(ring, vec, 1);
        assert_int_equal(kula_vec_count(vec), 2);
        kula_vec_free(&vec);
        assert_true(vec == NULL);
    }
}

static void full_vectors_go_on_after_a_short_transfer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    kula_buf back[3];
    struct outcome done = { .more = back, .more_max = 3 };
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; i < 3; i++) {
        add_room(ring, vec, 3);
    }
    kula_op op = kula_readv(ring, fds[0], &vec, KULA_CUR, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(done.events, 0);
        assert_int_equal(write(fds[1], &"abcdefghi"[i], 1), 1);
        pump(ring, 2 * KULA_MILLISECOND);
    }
    await(ring, &done);
    assert_result(done.result, 9);
    assert_memory_equal(kula_bytes(back[0]), "abc", 3);
    assert_memory_equal(kula_bytes(back[1]), "def", 3);
    assert_memory_equal(kula_bytes(back[2]), "ghi", 3);
    free_buffers(back, 3);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_vec_is_written_in_order),
        PROVES(a_vec_is_filled_in_order),
        PROVES(an_empty_member_is_passed_over),
        PROVES(only_the_length_that_was_added_takes_part),
        PROVES(as_many_buffers_as_the_limit_says_go_through),
        PROVES(one_buffer_too_many_is_refused_and_all_come_back_in_order),
        PROVES(a_member_longer_than_its_buffer_is_refused),
        PROVES(an_empty_vec_is_refused),
        PROVES(a_refused_vec_brings_its_buffers_back),
        PROVES(vectored_streams_keep_their_place_in_the_order),
        PROVES(a_waiting_vec_is_cancelled_whole),
        PROVES(untaken_members_of_a_vec_are_recycled),
        PROVES(a_vec_that_is_not_handed_over_is_freed_with_its_buffers),
        PROVES(full_vectors_go_on_after_a_short_transfer),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
