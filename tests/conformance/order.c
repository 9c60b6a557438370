/* Stream transfers on one descriptor and direction run in the order in which they were handed
 * over; nothing else waits for them. Raw io_uring gave two reads on one pipe as 'B','A', and four
 * receives out of order 2000 of 2000 times (Linux 6.18). */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static void two_reads_on_one_pipe_stay_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 500; round++) {
        int fds[2];
        make_pipe(fds);
        struct outcome done[2] = { { 0 } };
        for (int i = 0; i < 2; i++) {
            kula_buf buffer = buffer_empty(ring, 1);
            kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &done[i]);
        }
        if (round % 2) {
            pump(ring, 0);
        }
        put(fds[1], "AB");
        await_all(ring);
        assert_read_text(&done[0], "A");
        assert_read_text(&done[1], "B");
        assert_true(done[0].place < done[1].place);
        outcome_release(&done[0]);
        outcome_release(&done[1]);
        assert_result(kula_forget_fd(ring, fds[0]), 0);
        retire(ring, fds, 2);
    }
}

static void a_hundred_reads_and_a_hundred_writes_share_one_socket_pair(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 100,
        SIZE = 1000
    };
    for (int reads_first = 0; reads_first < 2; reads_first++) {
        static struct outcome reads[2][COUNT];
        static struct outcome writes[2][COUNT];
        memset(reads, 0, sizeof reads);
        memset(writes, 0, sizeof writes);
        int fds[2];
        make_stream_pair(AF_UNIX, fds);
        for (int half = 0; half < 2; half++) {
            bool reading = half == !reads_first;
            for (unsigned i = 0; i < COUNT; i++) {
                for (unsigned side = 0; side < 2; side++) {
                    kula_buf buffer = buffer_pattern(ring, SIZE, side * COUNT + i);
                    struct outcome *done = reading ? &reads[side][i] : &writes[side][i];
                    kula_op op = reading ? kula_recv(ring, fds[side], &buffer, SIZE, 0, done)
                                         : kula_send(ring, fds[side], &buffer, SIZE, 0, done);
                    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
                }
            }
            pump(ring, 0);
        }
        await_all(ring);
        for (unsigned i = 0; i < COUNT; i++) {
            for (unsigned side = 0; side < 2; side++) {
                assert_result(writes[side][i].result, SIZE);
                assert_result(reads[side][i].result, SIZE);
                const unsigned char *bytes = kula_bytes(reads[side][i].buffer);
                for (size_t k = 0; k < SIZE; k++) {
                    assert_int_equal(bytes[k], pattern_byte(k, (1 - side) * COUNT + i));
                }
                outcome_release(&writes[side][i]);
                outcome_release(&reads[side][i]);
            }
        }
        assert_result(kula_forget_fd(ring, fds[0]), 0);
        assert_result(kula_forget_fd(ring, fds[1]), 0);
        retire(ring, fds, 2);
    }
}

static void transfers_at_the_own_position_of_a_file_stay_in_order_in_both_directions(
    void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 60
    };
    struct outcome done[COUNT] = { { 0 } };
    int fd = make_file("");
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(pwrite(fd, (char[]){ (char)('a' + i % 26) }, 1, i), 1);
    }
    /* read one, write one over the next, and so on: only in order do the even ones survive */
    for (int i = 0; i < COUNT; i++) {
        kula_buf buffer = buffer_text(ring, "#");
        if (i % 2 == 0) {
            kula_read(ring, fd, &buffer, 1, KULA_CUR, &done[i]);
        } else {
            kula_write(ring, fd, &buffer, 1, KULA_CUR, &done[i]);
        }
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        char there;
        assert_result(done[i].result, 1);
        assert_int_equal(pread(fd, &there, 1, i), 1);
        if (i % 2 == 0) {
            assert_int_equal(kula_bytes(done[i].buffer)[0], 'a' + i % 26);
            assert_int_equal(there, 'a' + i % 26);
        } else {
            assert_int_equal(there, '#');
        }
        outcome_release(&done[i]);
    }
    retire(ring, &fd, 1);
}

static void the_two_directions_of_a_stream_do_not_wait_for_each_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome read = { 0 };
    struct outcome written = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &read);
    buffer = buffer_text(ring, "ping");
    kula_send(ring, fds[0], &buffer, 4, 0, &written);
    await(ring, &written);
    assert_result(written.result, 4);
    assert_pending(ring, &read);
    expect_bytes(fds[1], "ping");
    put(fds[1], "pong");
    await(ring, &read);
    assert_read_text(&read, "pong");
    outcome_release(&read);
    outcome_release(&written);
    retire(ring, fds, 2);
}

static void other_operations_pass_a_waiting_read(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome read = { 0 };
    struct outcome polled = { 0 };
    struct outcome refused = { 0 };
    struct outcome shut = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &read);
    assert_pending(ring, &read);
    kula_poll(ring, fds[0], POLLOUT, &polled);
    await(ring, &polled);
    assert_true(polled.result & POLLOUT);
    buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, 0, &refused);
    await(ring, &refused);
    assert_result(refused.result, -ESPIPE);
    assert_int_equal(read.events, 0);
    kula_shutdown(ring, fds[0], SHUT_RDWR, &shut);
    await_all(ring);
    assert_result(shut.result, 0);
    assert_result(read.result, 0);
    outcome_release(&read);
    outcome_release(&refused);
    retire(ring, fds, 2);
}

static void positional_transfers_pass_those_at_the_own_position(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    int fd = make_file("0123456789");
    struct outcome gate = { 0 };
    struct outcome stream = { 0 };
    struct outcome positional = { 0 };
    kula_buf buffer = buffer_empty(ring, 1);
    kula_op first = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &gate);
    buffer = buffer_empty(ring, 3);
    kula_op second = kula_read(ring, fd, &buffer, 3, KULA_CUR, &stream);
    assert_int_equal(kula_after(ring, second, first), 0);
    buffer = buffer_empty(ring, 3);
    kula_read(ring, fd, &buffer, 3, 5, &positional);
    await(ring, &positional);
    assert_read_text(&positional, "567");
    assert_int_equal(stream.events, 0);
    put(fds[1], "x");
    await_all(ring);
    assert_read_text(&stream, "012");
    outcome_release(&gate);
    outcome_release(&stream);
    outcome_release(&positional);
    retire(ring, &fd, 1);
    retire(ring, fds, 2);
}

/* "While it waits it holds no place in a descriptor's order." */
static void an_operation_that_waits_for_another_does_not_hold_up_the_stream(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome timer = { 0 };
    struct outcome held = { 0 };
    struct outcome free_one = { 0 };
    kula_op first = kula_timer(ring, 3600 * KULA_SECOND, &timer);
    kula_buf buffer = buffer_empty(ring, 1);
    kula_op second = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &held);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_option(ring, second, KULA_REGARDLESS), 0);
    buffer = buffer_empty(ring, 1);
    kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &free_one);
    put(fds[1], "AB");
    await(ring, &free_one);
    assert_read_text(&free_one, "A");
    assert_int_equal(held.events, 0);
    assert_int_equal(kula_cancel(ring, first), 0);
    await_all(ring);
    assert_read_text(&held, "B");
    outcome_release(&held);
    outcome_release(&free_one);
    retire(ring, fds, 2);
}

static void unordered_transfers_do_not_wait_for_earlier_ones(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome waiting = { 0 };
    struct outcome passing = { 0 };
    /* Both want a byte. The one that is cancelled is the one whose turn it would be, and while it
     * is there an ordered second one could not even fail. */
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &waiting);
    buffer = buffer_empty(ring, 4);
    kula_op op = kula_recv(ring, fds[0], &buffer, 4, 0, &passing);
    assert_int_equal(kula_option(ring, op, KULA_UNORDERED | KULA_NOWAIT), 0);
    await(ring, &passing);
    assert_result(passing.result, -EAGAIN);
    assert_int_equal(waiting.events, 0);
    outcome_release(&passing);
    memset(&passing, 0, sizeof passing);

    buffer = buffer_empty(ring, 4);
    op = kula_recv(ring, fds[0], &buffer, 4, 0, &passing);
    assert_int_equal(kula_option(ring, op, KULA_UNORDERED), 0);
    pump(ring, 0);
    put(fds[1], "one");
    while (waiting.events + passing.events == 0) {
        pump(ring, KULA_SECOND);
    }
    put(fds[1], "two");
    await_all(ring);
    assert_result(waiting.result, 3);
    assert_result(passing.result, 3);
    outcome_release(&waiting);
    outcome_release(&passing);
    retire(ring, fds, 2);
}

static void a_cancelled_turn_passes_to_the_next(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done[5] = { { 0 } };
    for (int i = 0; i < 5; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        done[i].op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &done[i]);
    }
    pump(ring, 0);
    assert_int_equal(kula_cancel(ring, done[0].op), 0); /* the one whose turn it is */
    assert_int_equal(kula_cancel(ring, done[2].op), 0); /* one in the middle */
    assert_int_equal(kula_cancel(ring, done[4].op), 0); /* the last one */
    await_count(ring, 3);
    put(fds[1], "13");
    await_all(ring);
    assert_result(done[0].result, -ECANCELED);
    assert_read_text(&done[1], "1");
    assert_result(done[2].result, -ECANCELED);
    assert_read_text(&done[3], "3");
    assert_result(done[4].result, -ECANCELED);
    for (int i = 0; i < 5; i++) {
        outcome_release(&done[i]);
    }
    retire(ring, fds, 2);
}

static void a_failed_turn_passes_to_the_next(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done[3] = { { 0 } };
    put(fds[1], "ok");
    kula_buf buffer = buffer_empty(ring, 1);
    kula_read(ring, fds[0], &buffer, 2, KULA_CUR, &done[0]); /* longer than its buffer */
    buffer = buffer_empty(ring, 1);
    kula_recv(ring, fds[0], &buffer, 1, 0, &done[1]); /* not a socket */
    buffer = buffer_empty(ring, 2);
    kula_read(ring, fds[0], &buffer, 2, KULA_CUR, &done[2]);
    await_all(ring);
    assert_result(done[0].result, -EINVAL);
    assert_result(done[1].result, -ENOTSOCK);
    assert_read_text(&done[2], "ok");
    for (int i = 0; i < 3; i++) {
        outcome_release(&done[i]);
    }
    retire(ring, fds, 2);
}

static void messages_of_a_writer_arrive_in_the_order_of_the_writes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 400
    };
    int fds[2];
    make_pipe(fds);
    for (unsigned i = 0; i < COUNT; i++) {
        kula_buf buffer = buffer_empty(ring, 2);
        kula_bytes(buffer)[0] = (unsigned char)(i >> 8);
        kula_bytes(buffer)[1] = (unsigned char)(i & 0xff);
        kula_write(ring, fds[1], &buffer, 2, KULA_CUR, NULL);
    }
    await_all(ring);
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned char found[2];
        assert_int_equal(read(fds[0], found, 2), 2);
        assert_int_equal(found[0] << 8 | found[1], i);
    }
    retire(ring, fds, 2);
}

/* The last in the queue leaves it, and somebody else becomes the last. */
static void what_comes_after_a_cancelled_last_one_has_its_turn(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[4] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        done[i].op = kula_recv(ring, fds[0], &buffer, 1, 0, &done[i]);
    }
    assert_pending(ring, &done[0]);
    assert_int_equal(kula_cancel(ring, done[2].op), 0);
    await(ring, &done[2]);
    assert_result(done[2].result, -ECANCELED);
    kula_buf buffer = buffer_empty(ring, 1);
    kula_recv(ring, fds[0], &buffer, 1, 0, &done[3]);
    put(fds[1], "abc");
    await_all(ring);
    assert_read_text(&done[0], "a");
    assert_read_text(&done[1], "b");
    assert_read_text(&done[3], "c");
    for (int i = 0; i < 4; i++) {
        outcome_release(&done[i]);
    }
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(two_reads_on_one_pipe_stay_in_order),
        PROVES(a_hundred_reads_and_a_hundred_writes_share_one_socket_pair),
        PROVES(transfers_at_the_own_position_of_a_file_stay_in_order_in_both_directions),
        PROVES(the_two_directions_of_a_stream_do_not_wait_for_each_other),
        PROVES(other_operations_pass_a_waiting_read),
        PROVES(positional_transfers_pass_those_at_the_own_position),
        PROVES(an_operation_that_waits_for_another_does_not_hold_up_the_stream),
        PROVES(unordered_transfers_do_not_wait_for_earlier_ones),
        PROVES(a_cancelled_turn_passes_to_the_next),
        PROVES(a_failed_turn_passes_to_the_next),
        PROVES(messages_of_a_writer_arrive_in_the_order_of_the_writes),
        PROVES(what_comes_after_a_cancelled_last_one_has_its_turn),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
