/* The edges of lengths and offsets, and transfers of nothing. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct edge {
    int64_t offset;
    int32_t result;
};

static void every_offset_has_one_answer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    const struct edge reads[] = {
        { INT64_MIN, -EINVAL },
        { -4096, -EINVAL },
        { -2, -EINVAL },
        { 0, 4 },
        { 6, 4 },
        { 7, 3 },
        { 9, 1 },
        { 10, 0 },
        { INT32_MAX, 0 },
        { UINT32_MAX, 0 },
        { (int64_t)1 << 40, 0 },
        { INT64_MAX - 4, 0 },
    };
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, fd, &buffer, 4, reads[i].offset, &done);
        await(ring, &done);
        assert_result(done.result, reads[i].result);
        outcome_release(&done);
    }
    retire(ring, &fd, 1);
}

/* offset + length beyond INT64_MAX: what the kernel says to pread(2) and pwrite(2) is the answer. */
static void an_offset_at_the_end_of_all_numbers_answers_as_pread_does(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    const int64_t offsets[] = { INT64_MAX, INT64_MAX - 1, INT64_MAX - 3 };
    for (size_t i = 0; i < 3; i++) {
        char byte[4] = "zzzz";
        ssize_t expected = pread(fd, byte, 4, offsets[i]);
        int32_t wanted = expected < 0 ? -errno : (int32_t)expected;
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, fd, &buffer, 4, offsets[i], &done);
        await(ring, &done);
        assert_result(done.result, wanted);
        outcome_release(&done);
        memset(&done, 0, sizeof done);
        expected = pwrite(fd, byte, 4, offsets[i]);
        wanted = expected < 0 ? -errno : (int32_t)expected;
        buffer = buffer_text(ring, "zzzz");
        kula_write(ring, fd, &buffer, 4, offsets[i], &done);
        await(ring, &done);
        assert_result(done.result, wanted);
        outcome_release(&done);
    }
    retire(ring, &fd, 1);
}

static void every_length_has_one_answer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    const struct {
        size_t length;
        int32_t result;
    } edges[] = {
        { 1, 1 },
        { 7, 7 },
        { 8, 8 },
        { 9, -EINVAL },
        { 4096, -EINVAL },
        { INT32_MAX, -EINVAL },
        { (size_t)INT32_MAX + 1, -EINVAL },
        { UINT32_MAX, -EINVAL },
        { (size_t)UINT32_MAX + 1, -EINVAL }, /* 0 when it is cut to 32 bits */
        { (size_t)UINT32_MAX + 9, -EINVAL }, /* 8 when it is cut to 32 bits */
        { SIZE_MAX, -EINVAL },
    };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        struct outcome done[4] = { { 0 } };
        kula_buf buffer = buffer_empty(ring, 8);
        kula_read(ring, fd, &buffer, edges[i].length, 0, &done[0]);
        buffer = buffer_text(ring, "01234567");
        kula_write(ring, fd, &buffer, edges[i].length, 0, &done[1]);
        buffer = buffer_text(ring, "01234567");
        kula_send(ring, fds[1], &buffer, edges[i].length, 0, &done[2]);
        await_all(ring);
        buffer = buffer_empty(ring, 8);
        kula_recv(ring, fds[0], &buffer, edges[i].length, 0, &done[3]);
        await_all(ring);
        for (int k = 0; k < 4; k++) {
            assert_result(done[k].result, edges[i].result);
            outcome_release(&done[k]);
        }
    }
    expect_content(fd, "0123456789");
    retire(ring, &fd, 1);
    retire(ring, fds, 2);
}

static void more_than_one_transfer_can_move_is_cut(void **state)
{
    if (harness_sanitized()) {
        SKIP_BECAUSE("a sanitizer would touch two gigabytes");
    }
    struct kula_ring *ring = harness_ring(state);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(null >= 0);
    kula_buf buffer = kula_alloc(ring, INT32_MAX);
    if (!buffer) {
        SKIP_BECAUSE("no address space for two gigabytes");
    }
    struct outcome done = { 0 };
    kula_write(ring, null, &buffer, INT32_MAX, KULA_CUR, &done);
    await(ring, &done);
    assert_result(done.result, KULA_TRANSFER_MAX);
    outcome_release(&done);
    retire(ring, &null, 1);
}

static void nothing_at_all_is_moved_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    const int readers[] = { file, pipes[0], sockets[0] };
    const int writers[] = { file, pipes[1], sockets[1] };
    for (size_t i = 0; i < 3; i++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_empty(ring, 8);
        kula_read(ring, readers[i], &buffer, 0, KULA_CUR, &done[0]);
        buffer = buffer_empty(ring, 8);
        kula_write(ring, writers[i], &buffer, 0, KULA_CUR, &done[1]);
        assert_null(kula_next(ring));
        await_all(ring);
        assert_result(done[0].result, 0);
        assert_result(done[1].result, 0);
        outcome_release(&done[0]);
        outcome_release(&done[1]);
    }
    struct outcome done[2] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_recv(ring, sockets[0], &buffer, 0, 0, &done[0]);
    buffer = buffer_empty(ring, 8);
    kula_send(ring, sockets[1], &buffer, 0, 0, &done[1]);
    await_all(ring);
    assert_result(done[0].result, 0);
    assert_result(done[1].result, 0);
    outcome_release(&done[0]);
    outcome_release(&done[1]);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 0);
    expect_no_bytes(pipes[0]);
    expect_no_bytes(sockets[0]);
    retire(ring, &file, 1);
    retire(ring, pipes, 2);
    retire(ring, sockets, 2);
}

static void nothing_at_all_needs_a_descriptor_nevertheless(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[6] = { { 0 } };
    int pipes[2];
    make_pipe(pipes);
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, 4000, &buffer, 0, 0, &done[0]);
    buffer = buffer_empty(ring, 8);
    kula_write(ring, -1, &buffer, 0, KULA_CUR, &done[1]);
    buffer = buffer_empty(ring, 8);
    kula_recv(ring, pipes[0], &buffer, 0, 0, &done[2]);
    buffer = buffer_empty(ring, 8);
    kula_read(ring, pipes[1], &buffer, 0, KULA_CUR, &done[3]);
    buffer = buffer_empty(ring, 8);
    kula_write(ring, pipes[0], &buffer, 0, KULA_CUR, &done[4]);
    buffer = buffer_empty(ring, 8);
    kula_read(ring, pipes[0], &buffer, 0, 0, &done[5]);
    await_all(ring);
    const int expected[] = { -EBADF, -EBADF, -ENOTSOCK, -EBADF, -EBADF, -ESPIPE };
    for (int i = 0; i < 6; i++) {
        assert_result(done[i].result, expected[i]);
        outcome_release(&done[i]);
    }
    retire(ring, pipes, 2);
}

static void an_empty_window_moves_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    assert_int_equal(kula_window(buffer, 8), 0);
    kula_read(ring, fd, &buffer, 0, 0, &done);
    await(ring, &done);
    assert_result(done.result, 0);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(every_offset_has_one_answer),
        PROVES(an_offset_at_the_end_of_all_numbers_answers_as_pread_does),
        PROVES(every_length_has_one_answer),
        PROVES(more_than_one_transfer_can_move_is_cut),
        PROVES(nothing_at_all_is_moved_at_once),
        PROVES(nothing_at_all_needs_a_descriptor_nevertheless),
        PROVES(an_empty_window_moves_nothing),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
