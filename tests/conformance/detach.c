/* Walking away from an operation: it goes on, no event comes, and nothing is lost. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void drain(struct kula_ring *ring)
{
    struct outcome fence = { 0 };
    kula_timer(ring, 10 * KULA_MILLISECOND, &fence);
    await(ring, &fence);
}

static void a_detached_write_is_still_done(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = buffer_text(ring, "done anyway");
    kula_op op = kula_write(ring, fds[1], &buffer, 11, KULA_CUR, NULL);
    assert_int_equal(kula_detach(ring, op), 0);
    assert_int_equal(kula_outstanding(ring), 0);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (!is_readable(fds[0]) && harness_now_ns() < limit) {
        assert_int_equal(pump(ring, KULA_MILLISECOND), 0);
    }
    expect_bytes(fds[0], "done anyway");
    drain(ring);
    retire(ring, fds, 2);
}

static void a_detached_operation_brings_no_event_in_any_state(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome silent = { 0 };

    /* before the flush */
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &silent);
    assert_int_equal(kula_detach(ring, op), 0);
    assert_result(kula_detach(ring, op), -ENOENT);
    assert_result(kula_cancel(ring, op), -ENOENT);
    assert_int_equal(kula_outstanding(ring), 0);
    assert_int_equal(pump(ring, 2 * KULA_MILLISECOND), 0);
    put(fds[1], "1111");
    drain(ring);

    /* while it waits */
    buffer = buffer_empty(ring, 4);
    op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &silent);
    pump(ring, 2 * KULA_MILLISECOND);
    assert_int_equal(kula_detach(ring, op), 0);
    put(fds[1], "2222");
    drain(ring);

    /* in the queue behind another one */
    struct outcome first = { 0 };
    struct outcome third = { 0 };
    buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &first);
    buffer = buffer_empty(ring, 4);
    op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &silent);
    buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &third);
    pump(ring, 2 * KULA_MILLISECOND);
    assert_int_equal(kula_detach(ring, op), 0);
    put(fds[1], "aaaabbbbcccc");
    await_all(ring);
    assert_read_text(&first, "aaaa");
    assert_read_text(&third, "cccc");
    outcome_release(&first);
    outcome_release(&third);

    /* done, but not pulled */
    struct outcome pulled = { 0 };
    kula_op two[2];
    two[0] = kula_nop(ring, &pulled);
    two[1] = kula_nop(ring, &silent);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    int detached = kula_detach(ring, two[1]);
    assert_true(detached == 0);
    await_all(ring);
    assert_int_equal(pulled.events, 1);
    assert_int_equal(silent.events, 0);
    assert_int_equal(kula_outstanding(ring), 0);
    retire(ring, fds, 2);
}

static void a_finished_operation_cannot_be_detached(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_op op = kula_nop(ring, &done);
    await(ring, &done);
    assert_result(kula_detach(ring, op), -ENOENT);
    assert_result(kula_detach(ring, 0), -ENOENT);
    assert_result(kula_detach(ring, UINT64_MAX), -ENOENT);
}

static void a_cancelled_operation_may_be_detached(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome silent = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &silent);
    pump(ring, KULA_MILLISECOND);
    assert_int_equal(kula_cancel(ring, op), 0);
    assert_int_equal(kula_detach(ring, op), 0);
    drain(ring);
    assert_int_equal(silent.events, 0);
    put(fds[1], "left");
    expect_bytes(fds[0], "left");
    retire(ring, fds, 2);
}

static void the_alias_of_a_detached_buffer_is_dead(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_buf alias = alias_of(buffer);
    kula_op op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, NULL);
    assert_int_equal(kula_detach(ring, op), 0);
    assert_null(kula_bytes(alias));
    put(fds[1], "data");
    drain(ring);
    assert_null(kula_bytes(alias));
    kula_free(&alias);
    harness_context(state)->misuses_expected = 3;
    retire(ring, fds, 2);
}

static void many_detached_operations_leave_nothing_behind(void **state)
{
    int fds[2];
    make_pipe(fds);
    unsigned before = harness_fd_count();
    struct kula_ring *ring = harness_open(0);
    for (int i = 0; i < 300; i++) {
        kula_buf buffer = buffer_empty(ring, 1000);
        kula_op op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
        op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
        op = kula_socket(ring, AF_INET, SOCK_STREAM, 0, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
        op = kula_timer(ring, KULA_MILLISECOND, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
    }
    for (int i = 0; i < 300; i++) {
        put(fds[1], "x");
        pump(ring, 0);
    }
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (is_readable(fds[0]) && harness_now_ns() < limit) {
        pump(ring, KULA_MILLISECOND);
    }
    expect_no_bytes(fds[0]);
    /* The ring's end waits for all of them; then, at the latest, every descriptor is closed. */
    harness_close(&ring);
    assert_int_equal(harness_fd_count(), before);
    retire(harness_ring(state), fds, 2);
}

static void a_ring_closes_with_detached_operations_under_way(void **state)
{
    struct kula_ring *ring = harness_open(0);
    int fds[2];
    make_pipe(fds);
    for (int i = 0; i < 20; i++) {
        kula_buf buffer = buffer_empty(ring, 100);
        kula_op op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, NULL);
        if (i % 2) {
            pump(ring, 0);
        }
        assert_int_equal(kula_detach(ring, op), 0);
    }
    harness_close(&ring);
    put(fds[1], "left");
    expect_bytes(fds[0], "left");
    retire(harness_ring(state), fds, 2);
}

/* Detached after it has ended, and before its event was pulled: nobody will get the descriptor. */
static void the_descriptor_of_a_detached_event_is_closed(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome timer = { 0 };
    unsigned before = harness_fd_count();
    for (int i = 0; i < 20; i++) {
        kula_op op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while (kula_wait(ring, PATIENCE_NS) < 1 && harness_now_ns() < limit) {
        }
        assert_int_equal(harness_fd_count(), before + 1);
        assert_int_equal(kula_detach(ring, op), 0);
        assert_int_equal(harness_fd_count(), before);
        assert_int_equal(kula_outstanding(ring), 0);
    }
    kula_timer(ring, 0, &timer);
    await(ring, &timer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_detached_write_is_still_done),
        PROVES(a_detached_operation_brings_no_event_in_any_state),
        PROVES(a_finished_operation_cannot_be_detached),
        PROVES(a_cancelled_operation_may_be_detached),
        PROVES(the_alias_of_a_detached_buffer_is_dead),
        PROVES(many_detached_operations_leave_nothing_behind),
        PROVES(a_ring_closes_with_detached_operations_under_way),
        PROVES(the_descriptor_of_a_detached_event_is_closed),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
