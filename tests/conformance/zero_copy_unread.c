/* kula_send with MSG_ZEROCOPY while the peer does not read: what waits for the buffer and what does not. */
#include "support/outcome.h"
#include "support/places.h"
#include "support/slow_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static kula_op send_and_leave_unread(struct kula_ring *ring,
                                     const int fds[2],
                                     struct outcome *done)
{
    kula_op op = send_message(ring, fds[0], done);
    assert_out(ring, done);
    assert_true(is_readable(fds[1]));
    return op;
}

static void nobody_gets_the_buffer_while_the_kernel_still_reads_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    expect_message(fds[1], 0, 1); /* it has been sent, and the first byte has arrived */
    assert_out(ring, &done);
    assert_int_equal(kula_outstanding(ring), sends_in_place(ring) ? 1 : 0);
    expect_message(fds[1], 1, MESSAGE_BYTES - 1);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void the_next_send_does_not_wait_for_the_buffer_of_the_first(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome first = { 0 };
    struct outcome second = { 0 };
    send_and_leave_unread(ring, fds, &first);
    kula_buf buffer = buffer_pattern(ring, 100, 3);
    kula_send(ring, fds[0], &buffer, 100, 0, &second);
    await(ring, &second);
    assert_result(second.result, 100);
    assert_int_equal(first.events, sends_in_place(ring) ? 0 : 1);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    expect_message(fds[1], 0, 100);
    await(ring, &first);
    assert_result(first.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&first);
    outcome_release(&second);
    retire(ring, fds, 2);
}

static void what_has_been_sent_cannot_be_cancelled_and_is_not_late(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    kula_op op = send_and_leave_unread(ring, fds, &done);
    bool in_place = sends_in_place(ring);
    assert_result(kula_deadline(ring, op, KULA_MILLISECOND), in_place ? 0 : -ENOENT);
    assert_out(ring, &done);
    assert_result(kula_cancel(ring, op), in_place ? -EALREADY : -ENOENT);
    assert_result(kula_cancel_fd(ring, fds[0]), 0);
    assert_result(kula_cancel_all(ring), 0);
    assert_out(ring, &done);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    retire(ring, fds, 2);
}

enum ending {
    BY_CANCEL,
    BY_DEADLINE,
    BY_CLOSE,
    ENDINGS
};

static void a_full_send_that_is_to_end_does_not_keep_its_socket(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int ending = 0; ending < ENDINGS; ending++) {
        int fds[2];
        make_slow_pair(fds);
        struct outcome done = { 0 };
        struct outcome next = { 0 };
        kula_buf buffer = buffer_pattern(ring, 16u * MESSAGE_BYTES, 3);
        kula_op op = kula_send(ring, fds[0], &buffer, 16u * MESSAGE_BYTES, MSG_ZEROCOPY, &done);
        assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
        assert_pending(ring, &done); /* a piece is sent, and there is no room for another */
        switch ((enum ending)ending) {
        case BY_CANCEL:
            assert_int_equal(kula_cancel(ring, op), 0);
            kula_nop(ring, &next);
            break;
        case BY_DEADLINE:
            assert_int_equal(kula_deadline(ring, op, KULA_MILLISECOND), 0);
            kula_timer(ring, 2 * KULA_MILLISECOND, &next);
            break;
        default:
            kula_close_fd(ring, fds[0], &next);
            break;
        }
        await(ring, &next);
        assert_result(next.result, 0);
        assert_out(ring, &done);
        if (ending != BY_CLOSE) { /* which has closed it already */
            assert_result(kula_forget_fd(ring, fds[0]), 0);
            close(fds[0]);
        }
        close(fds[1]); /* unread */
        await(ring, &done);
        assert_true(done.result > 0);
        assert_true(done.result < 16 * (int32_t)MESSAGE_BYTES);
        assert_int_equal(done.flags,
                         ending == BY_DEADLINE ? KULA_EVENT_TIMED_OUT : KULA_EVENT_CANCELLED);
        outcome_release(&done);
    }
}

static void closing_the_socket_does_not_wait_for_the_peer_to_read(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    struct outcome closed = { 0 };
    send_and_leave_unread(ring, fds, &done);
    kula_close_fd(ring, fds[0], &closed);
    await(ring, &closed);
    assert_result(closed.result, 0);
    assert_result(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(done.events, sends_in_place(ring) ? 0 : 1);

    /* The number may be another file's now: what is left of the send has nothing to do with it. */
    int again[2];
    make_pipe(again);
    assert_true(again[0] == fds[0] || again[1] == fds[0]);
    assert_result(kula_cancel_fd(ring, fds[0]), 0);
    assert_result(kula_forget_fd(ring, fds[0]), 0);
    close(again[0]);
    close(again[1]);

    expect_message(fds[1], 0, MESSAGE_BYTES);
    assert_int_equal(read(fds[1], &(char){ 0 }, 1), 0);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
    close(fds[1]);
}

static void a_socket_can_be_forgotten_while_its_last_buffer_is_out(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    assert_result(kula_forget_fd(ring, fds[0]), 0);
    close(fds[0]);
    close(fds[1]); /* unread: a reset, and nobody will ever read the bytes */
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
}

static void a_ring_does_not_close_under_the_kernels_reading(void **state)
{
    struct kula_ring *ring = harness_open(0);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    if (sends_in_place(ring)) {
        harness_context(state)->warnings_expected = true;
        assert_result(kula_close(&ring, 20 * KULA_MILLISECOND), -EBUSY);
        assert_non_null(ring);
        assert_non_null(strstr(harness_last_warning(), "send without a copy"));
        expect_message(fds[1], 0, MESSAGE_BYTES);
        await(ring, &done);
    }
    outcome_release(&done);
    harness_close(&ring);
    close(fds[0]);
    close(fds[1]);
}

/* A message in the only buffer of a pool. */
static kula_buf take_only_buffer(struct kula_ring *ring, struct kula_pool **ret_pool)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = MESSAGE_BYTES;
    config.count = 1;
    assert_int_equal(kula_pool_open(ring, &config, ret_pool), 0);
    kula_buf buffer = kula_pool_get(*ret_pool, 0);
    assert_non_null(buffer);
    unsigned char *bytes = kula_bytes(buffer);
    fill_message(bytes, MESSAGE_BYTES);
    return buffer;
}

static void a_detached_send_keeps_its_buffer_until_then(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct kula_pool *pool;
    kula_buf buffer = take_only_buffer(ring, &pool);
    kula_op op = kula_send(ring, fds[0], &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, NULL);
    assert_true(kula_submit(ring) >= 0);
    assert_int_equal(kula_detach(ring, op), 0);
    if (sends_in_place(ring)) {
        pump(ring, 30 * KULA_MILLISECOND);
        assert_null(kula_pool_get(pool, 0));
    }
    expect_message(fds[1], 0, MESSAGE_BYTES);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (!(buffer = kula_pool_get(pool, 0)) && harness_now_ns() < limit) {
        pump(ring, KULA_MILLISECOND);
    }
    assert_non_null(buffer);
    kula_free(&buffer);
    assert_int_equal(kula_pool_close(&pool), 0);
    retire(ring, fds, 2);
}

static void note_holder(void *arg, int level, const char *text)
{
    unsigned *lines = arg;
    (void)level;
    *lines += strstr(text, "with the kernel: sent, and still being read") != NULL;
}

static void a_pool_that_closes_meanwhile_says_where_its_buffer_is(void **state)
{
    (void)state;
    unsigned lines = 0;
    struct kula_config config = harness_config();
    config.log = note_holder;
    config.log_arg = &lines;
    struct kula_ring *ring;
    assert_int_equal(kula_open(&config, &ring), 0);
    int fds[2];
    make_slow_pair(fds);
    struct kula_pool *pool;
    struct outcome done = { 0 };
    kula_buf buffer = take_only_buffer(ring, &pool);
    kula_send(ring, fds[0], &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, &done);
    assert_out(ring, &done);
    assert_int_equal(kula_pool_close(&pool), 1);
    assert_int_equal(lines, sends_in_place(ring) ? 1 : 0);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &done);
    outcome_release(&done);
    harness_close(&ring);
    close(fds[0]);
    close(fds[1]);
}

static void a_successor_starts_when_the_buffer_is_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    struct outcome next = { 0 };
    kula_op op = send_message(ring, fds[0], &done);
    kula_op successor = kula_nop(ring, &next);
    assert_int_equal(kula_after(ring, successor, op), 0);
    assert_out(ring, &next);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &next);
    assert_result(next.result, 0);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
    retire(ring, fds, 2);
}

#define LATER_NS (50 * KULA_MILLISECOND)

static void *read_later(void *arg)
{
    const int *fd = arg;
    harness_sleep_ns(LATER_NS);
    expect_message(*fd, 0, MESSAGE_BYTES);
    return NULL;
}

/* It could not return before the peer acknowledges the bytes, and its time-out would be none. */
static void one_call_copies(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    static unsigned char lent[MESSAGE_BYTES];
    fill_message(lent, sizeof lent);
    int32_t result = kula_send_sync(ring, fds[0], lent, sizeof lent, MSG_ZEROCOPY, 0, 0);
    assert_true(result > 0);
    memset(lent, 0, sizeof lent);
    expect_message(fds[1], 0, (size_t)result);
    retire(ring, fds, 2);
}

static void lent_memory_is_not_given_back_in_a_hurry(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    static unsigned char lent[MESSAGE_BYTES];
    fill_message(lent, sizeof lent);
    struct kula_scope scope;
    struct outcome done = { 0 };
    assert_int_equal(kula_scope_begin(ring, &scope), 0);
    done.op = kula_scope_send(&scope, fds[0], lent, sizeof lent, MSG_ZEROCOPY, &done);
    assert_out(ring, &done);
    pthread_t reader;
    int64_t start_ns = harness_now_ns();
    assert_int_equal(pthread_create(&reader, NULL, read_later, &fds[1]), 0);
    int32_t result = kula_scope_end(&scope, KULA_MILLISECOND);
    if (sends_in_place(ring)) {
        assert_result(result, -ETIME);
        assert_true(harness_now_ns() - start_ns >= LATER_NS);
    } else {
        assert_result(result, 0);
    }
    await(ring, &done);
    assert_result(done.result, (int32_t)sizeof lent);
    assert_int_equal(pthread_join(reader, NULL), 0);
    retire(ring, fds, 2);
}

static void count_release(void *arg, void *memory, size_t size)
{
    unsigned *times = arg;
    (void)memory;
    (void)size;
    ++*times;
}

static void memory_of_an_abandoned_ring_is_released_when_nobody_reads_it(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    struct kula_ring *ring = harness_open(0);
    bool in_place = sends_in_place(ring);
    static unsigned char memory[MESSAGE_BYTES];
    unsigned released = 0;
    int fds[2];
    make_slow_pair(fds);
    fill_message(memory, sizeof memory);
    kula_buf buffer = kula_vouch(ring, memory, sizeof memory, count_release, &released);
    kula_send(ring, fds[0], &buffer, sizeof memory, MSG_ZEROCOPY, NULL);
    assert_true(kula_submit(ring) >= 0);
    if (in_place) {
        pump(ring, 10 * KULA_MILLISECOND);
        harness_context(state)->warnings_expected = true;
        assert_result(kula_close(&ring, 0), -EBUSY);
        assert_int_equal(kula_abandon(&ring), 0);
        assert_int_equal(released, 0);
    } else {
        harness_close(&ring);
        assert_int_equal(released, 1);
    }
    expect_message(fds[1], 0, sizeof memory);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (released == 0 && harness_now_ns() < limit) {
        struct kula_ring *other = harness_open(0); /* looks after what was given up */
        harness_close(&other);
        harness_sleep_ns(KULA_MILLISECOND);
    }
    assert_int_equal(released, 1);
    retire(outer, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(nobody_gets_the_buffer_while_the_kernel_still_reads_it),
        PROVES(the_next_send_does_not_wait_for_the_buffer_of_the_first),
        PROVES(what_has_been_sent_cannot_be_cancelled_and_is_not_late),
        PROVES(a_full_send_that_is_to_end_does_not_keep_its_socket),
        PROVES(closing_the_socket_does_not_wait_for_the_peer_to_read),
        PROVES(a_socket_can_be_forgotten_while_its_last_buffer_is_out),
        PROVES(a_ring_does_not_close_under_the_kernels_reading),
        PROVES(a_detached_send_keeps_its_buffer_until_then),
        PROVES(a_pool_that_closes_meanwhile_says_where_its_buffer_is),
        PROVES(a_successor_starts_when_the_buffer_is_back),
        PROVES(one_call_copies),
        PROVES(memory_of_an_abandoned_ring_is_released_when_nobody_reads_it),
        PROVES(lent_memory_is_not_given_back_in_a_hurry),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
