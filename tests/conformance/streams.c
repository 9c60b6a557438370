/* Pipes, sockets and terminals: waiting, ends, and the flags of the descriptors. Each test runs
 * over every kind of stream, with and without O_NONBLOCK on the descriptors. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum kind {
    PIPE,
    UNIX_SOCKETS,
    TCP,
    TERMINAL,
    KINDS
};

/* [0] is read from, [1] is written to. */
static void make_stream(enum kind kind, bool nonblocking, int fds[2])
{
    switch (kind) {
    case PIPE:
        make_pipe(fds);
        break;
    case UNIX_SOCKETS:
        make_stream_pair(AF_UNIX, fds);
        break;
    case TCP:
        make_stream_pair(AF_INET, fds);
        break;
    default:
        make_terminal(fds);
        break;
    }
    for (int i = 0; nonblocking && i < 2; i++) {
        int flags = fcntl(fds[i], F_GETFL);
        assert_int_equal(fcntl(fds[i], F_SETFL, flags | O_NONBLOCK), 0);
    }
}

typedef void (*stream_test)(struct kula_ring *ring, enum kind kind, int fds[2]);

static void over_all_streams(void **state, stream_test test)
{
    for (int kind = 0; kind < KINDS; kind++) {
        for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
            int fds[2];
            make_stream((enum kind)kind, nonblocking, fds);
            int before[2] = { fcntl(fds[0], F_GETFL), fcntl(fds[1], F_GETFL) };
            test(harness_ring(state), (enum kind)kind, fds);
            for (int i = 0; i < 2; i++) {
                int after = fcntl(fds[i], F_GETFL);
                if (after >= 0) {
                    assert_int_equal(after, before[i]);
                    assert_result(kula_forget_fd(harness_ring(state), fds[i]), 0);
                    close(fds[i]);
                }
            }
        }
    }
}

static void read_waits(struct kula_ring *ring, enum kind kind, int fds[2])
{
    (void)kind;
    int flags = fcntl(fds[0], F_GETFL);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 32);
    kula_read(ring, fds[0], &buffer, 32, KULA_CUR, &done);
    assert_pending(ring, &done);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    put(fds[1], "here it is");
    await(ring, &done);
    assert_read_text(&done, "here it is");
    outcome_release(&done);
}

static void a_read_waits_for_bytes_whatever_o_nonblock_says(void **state)
{
    over_all_streams(state, read_waits);
}

static void read_takes_what_is_there(struct kula_ring *ring, enum kind kind, int fds[2])
{
    (void)kind;
    struct outcome done = { 0 };
    put(fds[1], "abcdef");
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &done);
    await(ring, &done);
    assert_read_text(&done, "abcd");
    outcome_release(&done);
    memset(&done, 0, sizeof done);
    buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &done);
    await(ring, &done);
    assert_read_text(&done, "ef");
    outcome_release(&done);
}

static void a_read_ends_with_what_is_there(void **state)
{
    over_all_streams(state, read_takes_what_is_there);
}

static void write_waits(struct kula_ring *ring, enum kind kind, int fds[2])
{
    if (kind == TERMINAL) {
        return; /* how much a terminal takes is not a matter of room alone */
    }
    int flags = fcntl(fds[1], F_GETFL);
    size_t filled = fill(fds[1]);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "more");
    kula_op op = kula_write(ring, fds[1], &buffer, 4, KULA_CUR, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    assert_pending(ring, &done);
    assert_int_equal(fcntl(fds[1], F_GETFL), flags);
    static char drain[1 << 16];
    size_t have = 0;
    while (have < filled + 4) {
        if (is_readable(fds[0])) {
            ssize_t got = read(fds[0], drain, sizeof drain);
            assert_true(got > 0);
            have += (size_t)got;
            if (have == filled + 4) {
                assert_memory_equal(drain + got - 4, "more", 4);
            }
        } else {
            pump(ring, KULA_MILLISECOND);
        }
    }
    await(ring, &done);
    assert_result(done.result, 4);
    outcome_release(&done);
}

static void a_write_waits_for_room_whatever_o_nonblock_says(void **state)
{
    over_all_streams(state, write_waits);
}

static void stream_ends(struct kula_ring *ring, enum kind kind, int fds[2])
{
    if (kind == TERMINAL) {
        return;
    }
    struct outcome done[2] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done[0]);
    assert_pending(ring, &done[0]);
    retire(ring, &fds[1], 1);
    await(ring, &done[0]);
    assert_result(done[0].result, 0);
    outcome_release(&done[0]);
    buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done[1]);
    await(ring, &done[1]);
    assert_result(done[1].result, 0);
    outcome_release(&done[1]);
}

static void the_end_of_a_stream_is_0_and_stays_0(void **state)
{
    over_all_streams(state, stream_ends);
}

static void bytes_before_the_end_are_not_lost(struct kula_ring *ring,
                                              enum kind kind,
                                              int fds[2])
{
    if (kind == TERMINAL) {
        return;
    }
    struct outcome done[2] = { { 0 } };
    put(fds[1], "tail");
    retire(ring, &fds[1], 1);
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done[0]);
    buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done[1]);
    await_all(ring);
    assert_read_text(&done[0], "tail");
    assert_result(done[1].result, 0);
    outcome_release(&done[0]);
    outcome_release(&done[1]);
}

static void what_was_written_before_the_end_is_read_first(void **state)
{
    over_all_streams(state, bytes_before_the_end_are_not_lost);
}

static void much_goes_through(struct kula_ring *ring, enum kind kind, int fds[2])
{
    enum {
        SIZE = 300000
    };
    if (kind == TERMINAL) {
        return;
    }
    struct outcome written = { 0 };
    struct outcome read = { 0 };
    kula_buf buffer = buffer_pattern(ring, SIZE, 9);
    kula_op op = kula_write(ring, fds[1], &buffer, SIZE, KULA_CUR, &written);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    buffer = buffer_empty(ring, SIZE);
    op = kula_read(ring, fds[0], &buffer, SIZE, KULA_CUR, &read);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    await_all(ring);
    assert_result(written.result, SIZE);
    assert_result(read.result, SIZE);
    const unsigned char *bytes = kula_bytes(read.buffer);
    for (size_t i = 0; i < SIZE; i++) {
        if (bytes[i] != pattern_byte(i, 9)) {
            fail_msg("byte %zu differs", i);
        }
    }
    outcome_release(&written);
    outcome_release(&read);
}

static void more_than_a_stream_holds_goes_through_whole(void **state)
{
    over_all_streams(state, much_goes_through);
}

/* Linux: the controlling side of a terminal answers EIO once the other side is closed. */
static void a_terminal_that_is_hung_up_says_eio(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_terminal(fds);
    struct outcome done = { 0 };
    retire(ring, &fds[1], 1);
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
    await(ring, &done);
    assert_result(done.result, -EIO);
    outcome_release(&done);
    retire(ring, &fds[0], 1);
}

static void positional_transfers_on_a_terminal_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_terminal(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "x");
    kula_write(ring, fds[1], &buffer, 1, 3, &done);
    await(ring, &done);
    assert_result(done.result, -ESPIPE);
    outcome_release(&done);
    retire(ring, fds, 2);
}

/* Linux answers RWF_NOWAIT on an eventfd with EINVAL: it must not become the result. */
static void an_eventfd_is_read_when_it_is_raised(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = eventfd(0, EFD_CLOEXEC);
    assert_true(fd >= 0);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fd, &buffer, 8, KULA_CUR, &done);
    assert_pending(ring, &done);
    uint64_t value = 5;
    assert_int_equal(write(fd, &value, 8), 8);
    await(ring, &done);
    assert_result(done.result, 8);
    assert_memory_equal(kula_bytes(done.buffer), &value, 8);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

/* Another reader of the same pipe may win between "ready" and "read". */
static void a_reader_that_loses_the_bytes_goes_on_waiting(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    int fds[2];
    make_pipe(fds);
    struct outcome mine = { 0 };
    struct outcome theirs = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &mine);
    buffer = buffer_empty(other, 8);
    kula_read(other, fds[0], &buffer, 8, KULA_CUR, &theirs);
    pump(ring, 0);
    pump(other, 0);
    put(fds[1], "one");
    while (mine.events + theirs.events == 0) {
        pump(ring, KULA_MILLISECOND);
        pump(other, KULA_MILLISECOND);
    }
    pump(ring, 2 * KULA_MILLISECOND);
    pump(other, 2 * KULA_MILLISECOND);
    assert_int_equal(mine.events + theirs.events, 1);
    put(fds[1], "two");
    await(mine.events ? other : ring, mine.events ? &theirs : &mine);
    assert_result(mine.result, 3);
    assert_result(theirs.result, 3);
    outcome_release(&mine);
    outcome_release(&theirs);
    harness_close(&other);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_read_waits_for_bytes_whatever_o_nonblock_says),
        PROVES(a_read_ends_with_what_is_there),
        PROVES(a_write_waits_for_room_whatever_o_nonblock_says),
        PROVES(the_end_of_a_stream_is_0_and_stays_0),
        PROVES(what_was_written_before_the_end_is_read_first),
        PROVES(more_than_a_stream_holds_goes_through_whole),
        PROVES(a_terminal_that_is_hung_up_says_eio),
        PROVES(positional_transfers_on_a_terminal_are_refused),
        PROVES(an_eventfd_is_read_when_it_is_raised),
        PROVES(a_reader_that_loses_the_bytes_goes_on_waiting),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
