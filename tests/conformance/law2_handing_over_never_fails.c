/* Law 2: submitting always takes the buffer; what is wrong is the result of the event. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* An operation that cannot work came back with its buffer, and nothing in it was touched. */
static void expect_refusal(struct kula_ring *ring,
                           kula_op op,
                           struct outcome *done,
                           int expected)
{
    assert_true(op != 0);
    done->op = op;
    assert_int_equal(kula_outstanding(ring), 1);
    await(ring, done);
    assert_result(done->result, expected);
    assert_int_equal(done->flags, 0);
    assert_int_equal(kula_capacity(done->buffer), 8);
    assert_memory_equal(kula_bytes(done->buffer), "precious", 8);
    outcome_release(done);
    assert_int_equal(kula_outstanding(ring), 0);
}

static void a_descriptor_that_is_not_open_costs_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int bad[] = { -1, -100, 4000, INT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct outcome done[6] = { { 0 } };
        kula_buf buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_read(ring, bad[i], &buffer, 8, 0, &done[0]), &done[0],
                       -EBADF);
        buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_read(ring, bad[i], &buffer, 8, KULA_CUR, &done[1]), &done[1],
                       -EBADF);
        buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_write(ring, bad[i], &buffer, 8, 0, &done[2]), &done[2],
                       -EBADF);
        buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_write(ring, bad[i], &buffer, 8, KULA_CUR, &done[3]), &done[3],
                       -EBADF);
        buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_recv(ring, bad[i], &buffer, 8, 0, &done[4]), &done[4],
                       -EBADF);
        buffer = buffer_text(ring, "precious");
        expect_refusal(ring, kula_send(ring, bad[i], &buffer, 8, 0, &done[5]), &done[5],
                       -EBADF);
    }
}

static void an_impossible_length_or_offset_costs_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("file");
    const size_t lengths[] = { 9, 4096, (size_t)UINT32_MAX + 9, SIZE_MAX };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_text(ring, "precious");
        kula_op op = kula_read(ring, fd, &buffer, lengths[i], 0, &done[0]);
        expect_refusal(ring, op, &done[0], -EINVAL);
        buffer = buffer_text(ring, "precious");
        op = kula_write(ring, fd, &buffer, lengths[i], 0, &done[1]);
        expect_refusal(ring, op, &done[1], -EINVAL);
    }
    const int64_t offsets[] = { -2, -4096, INT64_MIN };
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_text(ring, "precious");
        kula_op op = kula_read(ring, fd, &buffer, 8, offsets[i], &done[0]);
        expect_refusal(ring, op, &done[0], -EINVAL);
        buffer = buffer_text(ring, "precious");
        op = kula_write(ring, fd, &buffer, 8, offsets[i], &done[1]);
        expect_refusal(ring, op, &done[1], -EINVAL);
    }
    expect_content(fd, "file");
    retire(ring, &fd, 1);
}

static void a_descriptor_of_the_wrong_kind_costs_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[7] = { { 0 } };
    int fds[2];
    make_pipe(fds);
    int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int write_only = open("/dev/null", O_WRONLY | O_CLOEXEC);
    kula_buf buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_recv(ring, fds[0], &buffer, 8, 0, &done[0]), &done[0], -ENOTSOCK);
    buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_send(ring, fds[1], &buffer, 8, 0, &done[1]), &done[1], -ENOTSOCK);
    buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_read(ring, directory, &buffer, 8, 0, &done[2]), &done[2],
                   -EISDIR);
    buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_read(ring, write_only, &buffer, 8, 0, &done[3]), &done[3],
                   -EBADF);
    buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_write(ring, read_only, &buffer, 8, 0, &done[4]), &done[4],
                   -EBADF);
    buffer = buffer_text(ring, "precious");
    kula_op op = kula_read(ring, fds[1], &buffer, 8, KULA_CUR, &done[5]);
    expect_refusal(ring, op, &done[5], -EBADF);
    buffer = buffer_text(ring, "precious");
    op = kula_write(ring, fds[0], &buffer, 8, KULA_CUR, &done[6]);
    expect_refusal(ring, op, &done[6], -EBADF);
    retire(ring, (int[]){ fds[0], fds[1], directory, read_only, write_only }, 5);
}

static void unknown_message_flags_cost_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[4] = { { 0 } };
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    kula_buf buffer = buffer_text(ring, "precious");
    kula_op op = kula_recv(ring, fds[0], &buffer, 8, MSG_DONTWAIT, &done[0]);
    expect_refusal(ring, op, &done[0], -EINVAL);
    buffer = buffer_text(ring, "precious");
    op = kula_send(ring, fds[0], &buffer, 8, MSG_DONTWAIT, &done[1]);
    expect_refusal(ring, op, &done[1], -EINVAL);
    buffer = buffer_text(ring, "precious");
    op = kula_recv(ring, fds[0], &buffer, 8, 1 << 29, &done[2]);
    expect_refusal(ring, op, &done[2], -EINVAL);
    buffer = buffer_text(ring, "precious");
    op = kula_send(ring, fds[0], &buffer, 8, 1 << 29, &done[3]);
    expect_refusal(ring, op, &done[3], -EINVAL);
    retire(ring, fds, 2);
}

static void positional_transfers_on_a_stream_cost_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    put(pipes[1], "12345678");
    const int streams[] = { pipes[0], sockets[0] };
    for (size_t i = 0; i < 2; i++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_text(ring, "precious");
        kula_op op = kula_read(ring, streams[i], &buffer, 8, 0, &done[0]);
        expect_refusal(ring, op, &done[0], -ESPIPE);
        buffer = buffer_text(ring, "precious");
        op = kula_write(ring, i == 0 ? pipes[1] : sockets[1], &buffer, 8, 5, &done[1]);
        expect_refusal(ring, op, &done[1], -ESPIPE);
    }
    expect_bytes(pipes[0], "12345678");
    expect_no_bytes(pipes[0]);
    expect_no_bytes(sockets[0]);
    retire(ring, pipes, 2);
    retire(ring, sockets, 2);
}

static void a_broken_pipe_costs_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[3] = { { 0 } };
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    close(pipes[0]);
    close(sockets[0]);
    kula_buf buffer = buffer_text(ring, "precious");
    kula_op op = kula_write(ring, pipes[1], &buffer, 8, KULA_CUR, &done[0]);
    expect_refusal(ring, op, &done[0], -EPIPE);
    buffer = buffer_text(ring, "precious");
    op = kula_write(ring, sockets[1], &buffer, 8, KULA_CUR, &done[1]);
    expect_refusal(ring, op, &done[1], -EPIPE);
    buffer = buffer_text(ring, "precious");
    expect_refusal(ring, kula_send(ring, sockets[1], &buffer, 8, 0, &done[2]), &done[2],
                   -EPIPE);
    retire(ring, (int[]){ pipes[1], sockets[1] }, 2);
}

static void a_refusal_keeps_the_window(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "0123456789");
    assert_int_equal(kula_window(buffer, 3), 0);
    kula_write(ring, -1, &buffer, 7, 0, &done);
    await(ring, &done);
    assert_result(done.result, -EBADF);
    assert_int_equal(kula_capacity(done.buffer), 7);
    assert_memory_equal(kula_bytes(done.buffer), "3456789", 7);
    outcome_release(&done);
}

static void operations_without_a_buffer_are_refused_by_their_event_too(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[8] = { { 0 } };
    struct sockaddr_storage address = { .ss_family = AF_INET };
    int fd = make_file("");
    kula_timer(ring, -1, &done[0]);
    kula_fsync(ring, -1, &done[1]);
    kula_accept(ring, fd, &done[2]);
    kula_connect(ring, fd, (struct sockaddr *)&address, 0x1000, &done[3]);
    kula_openat(ring, AT_FDCWD, NULL, O_RDONLY, 0, &done[4]);
    kula_offload(ring, NULL, NULL, &done[5]);
    kula_poll(ring, fd, 0, &done[6]);
    kula_close_fd(ring, -1, &done[7]);
    assert_int_equal(kula_outstanding(ring), 8);
    await_all(ring);
    const int expected[] = { -EINVAL, -EBADF,  -ENOTSOCK, -EINVAL,
                             -EINVAL, -EINVAL, -EINVAL,   -EBADF };
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(done[i].events, 1);
        assert_result(done[i].result, expected[i]);
    }
    retire(ring, &fd, 1);
}

static void only_a_full_table_makes_an_operation_without_a_buffer_return_0(void **state)
{
    (void)state;
    struct kula_config config = harness_config();
    config.operations_max = 4;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    int fd = make_file("x");
    kula_op timers[5];
    for (int i = 0; i < 5; i++) {
        timers[i] = kula_timer(ring, 3600 * KULA_SECOND, NULL);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(timers[i] != 0);
    }
    assert_true(timers[4] == 0);
    assert_int_equal(kula_outstanding(ring), 4);

    /* A transfer's record belongs to its buffer, and closing never fails for want of room. */
    struct outcome done[2] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 1);
    assert_true(kula_read(ring, fd, &buffer, 1, 0, &done[0]) != 0);
    await(ring, &done[0]);
    assert_read_text(&done[0], "x");
    outcome_release(&done[0]);
    assert_true(kula_close_fd(ring, fd, &done[1]) != 0);
    await(ring, &done[1]);
    assert_result(done[1].result, 0);

    assert_int_equal(kula_cancel(ring, timers[0]), 0);
    await_count(ring, 1);
    assert_true(kula_nop(ring, NULL) != 0);
    harness_close(&ring);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_descriptor_that_is_not_open_costs_no_buffer),
        PROVES(an_impossible_length_or_offset_costs_no_buffer),
        PROVES(a_descriptor_of_the_wrong_kind_costs_no_buffer),
        PROVES(unknown_message_flags_cost_no_buffer),
        PROVES(positional_transfers_on_a_stream_cost_no_buffer),
        PROVES(a_broken_pipe_costs_no_buffer),
        PROVES(a_refusal_keeps_the_window),
        PROVES(operations_without_a_buffer_are_refused_by_their_event_too),
        PROVES(only_a_full_table_makes_an_operation_without_a_buffer_return_0),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
