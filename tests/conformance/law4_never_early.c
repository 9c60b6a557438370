/* Law 4: a completion is seen only through kula_next, and nothing starts inside the call that hands
 * an operation over. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static void nothing_is_seen_before_the_flush(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    kula_buf buffer = buffer_empty(ring, 7);
    kula_nop(ring, NULL);
    assert_null(kula_next(ring));
    kula_read(ring, fd, &buffer, 7, 0, NULL);
    assert_null(kula_next(ring));
    kula_statx(ring, AT_FDCWD, ".", 0, NULL);
    assert_null(kula_next(ring));
    kula_timer(ring, 0, NULL);
    assert_null(kula_next(ring));
    harness_sleep_ns(2 * KULA_MILLISECOND);
    assert_null(kula_next(ring));
    assert_int_equal(kula_outstanding(ring), 4);
    await_all(ring);
    retire(ring, &fd, 1);
}

static void a_refused_operation_is_not_early_either(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[4] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, -1, &buffer, 4, 0, &done[0]);
    assert_null(kula_next(ring));
    buffer = buffer_empty(ring, 4);
    kula_write(ring, 1, &buffer, 5, 0, &done[1]);
    assert_null(kula_next(ring));
    kula_timer(ring, -7, &done[2]);
    assert_null(kula_next(ring));
    kula_close_fd(ring, -1, &done[3]);
    assert_null(kula_next(ring));
    assert_int_equal(kula_outstanding(ring), 4);
    await_all(ring);
    assert_result(done[0].result, -EBADF);
    assert_result(done[1].result, -EINVAL);
    assert_result(done[2].result, -EINVAL);
    assert_result(done[3].result, -EBADF);
    outcome_release(&done[0]);
    outcome_release(&done[1]);
}

static void a_cancelled_operation_is_not_early_either(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_op op = kula_timer(ring, 3600 * KULA_SECOND, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    assert_null(kula_next(ring));
    assert_int_equal(kula_outstanding(ring), 1);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
}

static void bytes_do_not_move_before_the_flush(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    int fd = make_file("unchanged");
    kula_buf buffer = buffer_text(ring, "one");
    kula_write(ring, pipes[1], &buffer, 3, KULA_CUR, NULL);
    buffer = buffer_text(ring, "two");
    kula_send(ring, sockets[1], &buffer, 3, 0, NULL);
    buffer = buffer_text(ring, "re");
    kula_write(ring, fd, &buffer, 2, 0, NULL);
    harness_sleep_ns(5 * KULA_MILLISECOND);
    expect_no_bytes(pipes[0]);
    expect_no_bytes(sockets[0]);
    expect_content(fd, "unchanged");
    assert_true(kula_submit(ring) >= 0);
    await_all(ring);
    expect_bytes(pipes[0], "one");
    expect_bytes(sockets[0], "two");
    expect_content(fd, "rechanged");
    retire(ring, pipes, 2);
    retire(ring, sockets, 2);
    retire(ring, &fd, 1);
}

static void files_are_not_made_before_the_flush(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    char name[128];
    make_directory(path, sizeof path);
    snprintf(name, sizeof name, "%s/file", path);
    struct outcome done = { 0 };
    kula_openat(ring, AT_FDCWD, name, O_CREAT | O_RDWR, 0600, &done);
    harness_sleep_ns(5 * KULA_MILLISECOND);
    assert_int_equal(access(name, F_OK), -1);
    await(ring, &done);
    assert_true(done.result >= 0);
    assert_int_equal(access(name, F_OK), 0);
    retire(ring, &done.result, 1);
    remove_directory(path);
}

static int32_t count_up(void *arg)
{
    return atomic_fetch_add((atomic_int *)arg, 1);
}

static void an_offloaded_function_does_not_start_before_the_flush(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    atomic_int runs = 0;
    kula_offload(ring, count_up, &runs, &done);
    harness_sleep_ns(5 * KULA_MILLISECOND);
    assert_int_equal(atomic_load(&runs), 0);
    await(ring, &done);
    assert_int_equal(atomic_load(&runs), 1);
}

static void pulling_neither_flushes_nor_waits(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pipes[2];
    make_pipe(pipes);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "x");
    kula_write(ring, pipes[1], &buffer, 1, KULA_CUR, &done);
    for (int i = 0; i < 1000; i++) {
        assert_null(kula_next(ring));
    }
    expect_no_bytes(pipes[0]);
    await(ring, &done);
    outcome_release(&done);
    retire(ring, pipes, 2);
}

static void submit_says_how_many_it_flushed(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_int_equal(kula_submit(ring), 0);
    for (int i = 0; i < 5; i++) {
        kula_nop(ring, NULL);
    }
    assert_int_equal(kula_submit(ring), 5);
    assert_int_equal(kula_submit(ring), 0);
    assert_int_equal(kula_outstanding(ring), 5);
    await_count(ring, 5);
}

static void an_event_of_one_pull_does_not_change_with_later_calls(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int marker;
    kula_op first = kula_nop(ring, &marker);
    kula_nop(ring, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) >= 1);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    bool is_first = event->op == first;
    struct kula_event copy = *event;
    kula_nop(ring, NULL);
    assert_true(kula_submit(ring) >= 0);
    assert_true(kula_wait(ring, 0) >= 0);
    assert_memory_equal(event, &copy, sizeof copy);
    assert_ptr_equal(event->user, is_first ? &marker : NULL);
    while (kula_outstanding(ring) > 0) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
        while (kula_next(ring)) {
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(nothing_is_seen_before_the_flush),
        PROVES(a_refused_operation_is_not_early_either),
        PROVES(a_cancelled_operation_is_not_early_either),
        PROVES(bytes_do_not_move_before_the_flush),
        PROVES(files_are_not_made_before_the_flush),
        PROVES(an_offloaded_function_does_not_start_before_the_flush),
        PROVES(pulling_neither_flushes_nor_waits),
        PROVES(submit_says_how_many_it_flushed),
        PROVES(an_event_of_one_pull_does_not_change_with_later_calls),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
