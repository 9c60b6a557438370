/* A number has one close at a time, and one more for its next file: closes that are refused, that wait in
 * a chain, or that come while another one of the same number runs (law 6). */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A file that the ring knows to be one. */
static int make_known_file(struct kula_ring *ring, const char *content)
{
    struct outcome read = { 0 };
    int fd = make_file(content);
    kula_buf buffer = buffer_empty(ring, 16);
    kula_read(ring, fd, &buffer, 16, 0, &read);
    await(ring, &read);
    assert_read_text(&read, content);
    outcome_release(&read);
    return fd;
}

static int make_number(struct kula_ring *ring, int round)
{
    return round % 2 ? make_known_file(ring, "first")
                     : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Has the ring close a descriptor, and makes its number another name of `next` as soon as it is free,
 * before the ring looks at the result: the close may have run anywhere. */
static void hand_on(struct kula_ring *ring, int number, struct outcome *closed, int next)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    closed->op = kula_close_fd(ring, number, closed);
    assert_true(kula_submit(ring) >= 0);
    for (int fd; (fd = fcntl(next, F_DUPFD_CLOEXEC, number)) != number;) {
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        assert_true(harness_now_ns() < limit);
        harness_sleep_ns(50 * KULA_MICROSECOND);
    }
}

/* A predecessor that fails when the ring is flushed. */
static void hand_over_failure(struct kula_ring *ring, struct outcome *failed)
{
    kula_buf buffer = buffer_empty(ring, 1);
    failed->op = kula_write(ring, -1, &buffer, 1, KULA_CUR, failed);
}

/* Hands over a close that is refused, and sees to its event by flushes alone: they do not look at what
 * else has completed. */
static void refuse_a_close(struct kula_ring *ring, int fd)
{
    struct outcome failed = { 0 };
    struct outcome closed = { 0 };
    hand_over_failure(ring, &failed);
    closed.op = kula_close_fd(ring, fd, &closed);
    assert_int_equal(kula_after(ring, closed.op, failed.op), 0);
    for (int flushes = 0; failed.events + closed.events < 2; flushes++) {
        assert_true(flushes < 100 && kula_submit(ring) >= 0);
        for (struct kula_event *event; (event = kula_next(ring));) {
            outcome_store(event);
        }
    }
    assert_result(failed.result, -EBADF);
    assert_result(closed.result, -ECANCELED);
    assert_true(is_open(fd));
    outcome_release(&failed);
}

static void a_close_that_is_refused_leaves_what_waits_as_it_was(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome reads[2] = { { 0 } };
    struct outcome timer = { 0 };
    for (int i = 0; i < 2; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        reads[i].op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &reads[i]);
    }
    assert_pending(ring, &reads[0]);
    refuse_a_close(ring, fds[0]);
    assert_int_equal(reads[0].events + reads[1].events, 0);
    put(fds[1], "a");
    await(ring, &reads[0]);
    assert_read_text(&reads[0], "a");
    assert_result(kula_forget_fd(ring, fds[0]), -EBUSY);
    kula_timer(ring, KULA_MILLISECOND, &timer); /* the second read does not hold up the ring */
    await(ring, &timer);
    assert_int_equal(reads[1].events, 0);
    assert_int_equal(kula_cancel(ring, reads[1].op), 0);
    await(ring, &reads[1]);
    assert_result(reads[1].result, -ECANCELED);
    outcome_release(&reads[0]);
    outcome_release(&reads[1]);
    retire(ring, fds, 2);
}

/* The event of the failure has not been pulled: kula_after looks at how it came out. */
static void a_close_after_what_has_failed_already_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_known_file(ring, "stays");
    struct outcome failed = { 0 };
    struct outcome closed = { 0 };
    struct outcome read = { 0 };
    hand_over_failure(ring, &failed);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    closed.op = kula_close_fd(ring, fd, &closed);
    assert_int_equal(kula_after(ring, closed.op, failed.op), 0);
    await_all(ring);
    assert_result(failed.result, -EBADF);
    assert_result(closed.result, -ECANCELED);
    kula_buf buffer = buffer_empty(ring, 16);
    kula_read(ring, fd, &buffer, 16, 0, &read);
    await(ring, &read);
    assert_read_text(&read, "stays");
    outcome_release(&failed);
    outcome_release(&read);
    retire(ring, &fd, 1);
}

/* Positional reads are not counted while they run: the close that was refused made them be missed. */
static void a_close_after_one_that_was_refused_waits_for_a_read_that_runs(void **state)
{
    enum {
        SIZE = 16 << 20
    };
    (void)state;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        SKIP_WANTING("there is no /dev/urandom, which is read slowly");
    }
    struct kula_config config = harness_config();
    struct kula_ring *ring = NULL;
    config.mask = "feat:rwf_nowait"; /* so that more backends do not read in place */
    assert_result(kula_open(&config, &ring), 0);
    struct outcome known = { 0 };
    struct outcome read = { 0 };
    struct outcome closed = { 0 };
    kula_buf buffer = buffer_empty(ring, 1);
    kula_read(ring, fd, &buffer, 1, 0, &known);
    await(ring, &known);
    buffer = buffer_empty(ring, SIZE);
    kula_read(ring, fd, &buffer, SIZE, 0, &read);
    assert_true(kula_submit(ring) >= 0);
    refuse_a_close(ring, fd);
    if (read.events == 0) {
        assert_result(kula_forget_fd(ring, fd), -EBUSY);
    }
    closed.op = kula_close_fd(ring, fd, &closed);
    await_all(ring);
    assert_result(closed.result, 0);
    assert_true(read.place < closed.place);
    outcome_release(&known);
    outcome_release(&read);
    harness_close(&ring);
}

/* A detached read's end has no event; the one that waits behind it is refused with it. */
static void close_under_two_reads(struct kula_ring *ring,
                                  int fd,
                                  struct outcome *second,
                                  struct outcome *closed)
{
    kula_buf buffer = buffer_empty(ring, 16);
    kula_op first = kula_recv(ring, fd, &buffer, 16, 0, NULL);
    buffer = buffer_empty(ring, 16);
    kula_recv(ring, fd, &buffer, 16, 0, second);
    assert_pending(ring, second);
    assert_int_equal(kula_detach(ring, first), 0);
    closed->op = kula_close_fd(ring, fd, closed);
}

static void assert_closed_after(struct outcome *second, const struct outcome *closed)
{
    assert_result(second->result, -ECANCELED);
    assert_result(closed->result, 0);
    assert_true(second->place < closed->place);
    outcome_release(second);
}

/* A wait that sleeps brings the alarm's event. */
static void a_wait_does_not_sleep_over_what_a_close_has_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome alarm = { 0 };
    struct outcome second = { 0 };
    struct outcome closed = { 0 };
    alarm.op = kula_timer(ring, PATIENCE_NS / 2, &alarm);
    close_under_two_reads(ring, fds[0], &second, &closed);
    while (closed.events == 0) {
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        pump(ring, 0);
        assert_int_equal(alarm.events, 0);
    }
    assert_closed_after(&second, &closed);
    assert_int_equal(kula_cancel(ring, alarm.op), 0);
    await(ring, &alarm);
    retire(ring, &fds[1], 1);
}

static void a_foreign_loop_does_not_sleep_over_what_a_close_has_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct pollfd entry = { .fd = kula_pollable(ring), .events = POLLIN };
    struct outcome second = { 0 };
    struct outcome closed = { 0 };
    close_under_two_reads(ring, fds[0], &second, &closed);
    while (closed.events == 0) {
        assert_true(kula_submit(ring) >= 0);
        assert_int_equal(poll(&entry, 1, (int)(PATIENCE_NS / KULA_MILLISECOND)), 1);
        pump(ring, 0);
    }
    assert_closed_after(&second, &closed);
    retire(ring, &fds[1], 1);
}

/* KULA_REGARDLESS starts it when its predecessor is cancelled, and that is because of the close. */
static void a_close_cancels_what_would_start_because_of_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int watched = 0; watched < 2; watched++) {
        int fds[2];
        make_stream_pair(AF_UNIX, fds);
        struct outcome done[2] = { { 0 } };
        struct outcome polled = { 0 };
        struct outcome closed = { 0 };
        for (int i = 0; i < 2; i++) {
            kula_buf buffer = buffer_empty(ring, 1);
            done[i].op = kula_recv(ring, fds[0], &buffer, 1, 0, &done[i]);
        }
        assert_int_equal(kula_option(ring, done[1].op, KULA_REGARDLESS), 0);
        assert_int_equal(kula_after(ring, done[1].op, done[0].op), 0);
        if (watched) {
            kula_poll(ring, fds[0], POLLPRI, &polled);
        }
        assert_pending(ring, &done[0]);
        closed.op = kula_close_fd(ring, fds[0], &closed);
        await(ring, &closed);
        for (int i = 0; i < 2; i++) {
            assert_result(done[i].result, -ECANCELED);
            assert_true(done[i].place < closed.place);
            outcome_release(&done[i]);
        }
        assert_result(closed.result, 0);
        if (watched) {
            assert_result(polled.result, -ECANCELED);
            assert_true(polled.place < closed.place);
        }
        assert_int_equal(kula_outstanding(ring), 0);
        retire(ring, &fds[1], 1);
    }
}

static void the_next_file_of_a_number_whose_close_runs_is_closed_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int next = make_file("next");
    for (int round = 0; round < 10; round++) {
        int number = make_number(ring, round);
        struct outcome closed[4] = { { 0 } };
        struct outcome read = { 0 };
        hand_on(ring, number, &closed[0], next);
        for (int i = 1; i < 4; i++) {
            closed[i].op = kula_close_fd(ring, number, &closed[i]);
        }
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, number, &buffer, 4, 0, &read);
        await_all(ring);
        assert_result(closed[0].result, 0);
        assert_result(closed[1].result, 0);
        assert_result(closed[2].result, -EBADF);
        assert_result(closed[3].result, -EBADF);
        assert_result(read.result, -EBADF);
        assert_true(closed[0].place < closed[1].place);
        assert_false(is_open(number));
        outcome_release(&read);
    }
    retire(ring, &next, 1);
}

/* It waits for its predecessor longer than for the close before it. */
static void a_close_that_waits_in_a_chain_has_the_next_file_to_itself(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    int next = make_file("next");
    int number = make_known_file(ring, "first");
    struct outcome read = { 0 };
    struct outcome refused = { 0 };
    struct outcome closed[3] = { { 0 } };
    hand_on(ring, number, &closed[0], next);
    kula_buf buffer = buffer_empty(ring, 1);
    read.op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &read);
    closed[1].op = kula_close_fd(ring, number, &closed[1]);
    assert_int_equal(kula_after(ring, closed[1].op, read.op), 0);
    await(ring, &closed[0]);
    assert_result(closed[0].result, 0);
    buffer = buffer_text(ring, "late");
    kula_write(ring, number, &buffer, 4, 0, &refused);
    closed[2].op = kula_close_fd(ring, number, &closed[2]);
    await(ring, &refused);
    await(ring, &closed[2]);
    assert_result(refused.result, -EBADF);
    assert_result(closed[2].result, -EBADF);
    assert_true(is_open(number));
    expect_content(next, "next");
    assert_pending(ring, &closed[1]);
    put(fds[1], "x");
    await(ring, &closed[1]);
    assert_result(closed[1].result, 0);
    assert_false(is_open(number));
    outcome_release(&read);
    outcome_release(&refused);
    retire(ring, fds, 2);
    retire(ring, &next, 1);
}

static void a_close_that_is_refused_while_another_one_runs_leaves_the_number_to_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int next = make_file("next");
    for (int round = 0; round < 10; round++) {
        int number = make_number(ring, round);
        struct outcome closed[2] = { { 0 } };
        struct outcome read = { 0 };
        hand_on(ring, number, &closed[0], next);
        refuse_a_close(ring, number);
        if (closed[0].events == 0) {
            assert_result(kula_forget_fd(ring, number), -EBUSY);
        }
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, number, &buffer, 4, 0, &read);
        closed[1].op = kula_close_fd(ring, number, &closed[1]);
        await_all(ring);
        assert_result(closed[0].result, 0);
        assert_true(read.result == 4 || read.result == -ECANCELED);
        assert_result(closed[1].result, 0);
        assert_true(closed[0].place < closed[1].place && read.place < closed[1].place);
        assert_false(is_open(number));
        outcome_release(&read);
    }
    retire(ring, &next, 1);
}

/* The chain ends in the round in which the earlier close may not have come home yet. */
static void a_chained_close_waits_for_the_close_of_the_file_before(void **state)
{
    (void)state;
    struct sockaddr_un nowhere = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
    for (uint32_t entries = 1; entries <= 64; entries *= 8) {
        struct kula_ring *ring = harness_open(entries);
        int next = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct outcome closed[2] = { { 0 } };
        struct outcome connected = { 0 };
        struct outcome nothing[2] = { { 0 } };
        hand_on(ring, number, &closed[0], next);
        connected.op = kula_connect(ring, number, (void *)&nowhere, sizeof nowhere, &connected);
        closed[1].op = kula_close_fd(ring, number, &closed[1]);
        assert_int_equal(kula_after(ring, closed[1].op, connected.op), 0);
        assert_int_equal(kula_option(ring, closed[1].op, KULA_REGARDLESS), 0);
        assert_int_equal(kula_cancel(ring, connected.op), 0);
        kula_nop(ring, &nothing[0]);
        kula_nop(ring, &nothing[1]);
        await_all(ring);
        assert_result(closed[0].result, 0);
        assert_result(connected.result, -ECANCELED);
        assert_result(closed[1].result, 0);
        assert_true(closed[0].place < closed[1].place);
        assert_false(is_open(number));
        retire(ring, &next, 1);
        harness_close(&ring);
    }
}

/* What the ring knew of the number was true of the file that is being closed. */
static void what_waits_for_a_close_starts_as_what_its_number_is_then(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int way = 0; way < 3; way++) {
        bool unordered = way == 1;
        bool chained = way == 2;
        int fds[2];
        make_stream_pair(AF_UNIX, fds);
        int number = make_known_file(ring, "file");
        struct outcome closed = { 0 };
        struct outcome nothing = { 0 };
        struct outcome reads[2] = { { 0 } };
        hand_on(ring, number, &closed, fds[0]);
        kula_op before = kula_nop(ring, &nothing);
        for (int i = 0; i < 2; i++) {
            kula_buf buffer = buffer_empty(ring, 16);
            reads[i].op = kula_read(ring, number, &buffer, 16, KULA_CUR, &reads[i]);
            if (unordered) {
                assert_int_equal(kula_option(ring, reads[i].op, KULA_UNORDERED), 0);
            } else if (chained) {
                assert_int_equal(kula_after(ring, reads[i].op, before), 0);
            }
        }
        await(ring, &closed);
        assert_result(closed.result, 0);
        assert_pending(ring, &reads[0]);
        assert_int_equal(reads[1].events, 0);
        assert_int_equal(kula_cancel(ring, reads[1].op), 0);
        await(ring, &reads[1]);
        assert_result(reads[1].result, -ECANCELED);
        put(fds[1], "socket");
        await(ring, &reads[0]);
        assert_read_text(&reads[0], "socket");
        outcome_release(&reads[0]);
        outcome_release(&reads[1]);
        retire(ring, (int[]){ number, fds[0], fds[1] }, 3);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_close_that_is_refused_leaves_what_waits_as_it_was),
        PROVES(a_close_after_what_has_failed_already_is_refused),
        PROVES(a_close_after_one_that_was_refused_waits_for_a_read_that_runs),
        PROVES(a_wait_does_not_sleep_over_what_a_close_has_cancelled),
        PROVES(a_foreign_loop_does_not_sleep_over_what_a_close_has_cancelled),
        PROVES(a_close_cancels_what_would_start_because_of_it),
        PROVES(the_next_file_of_a_number_whose_close_runs_is_closed_once),
        PROVES(a_close_that_waits_in_a_chain_has_the_next_file_to_itself),
        PROVES(a_close_that_is_refused_while_another_one_runs_leaves_the_number_to_it),
        PROVES(a_chained_close_waits_for_the_close_of_the_file_before),
        PROVES(what_waits_for_a_close_starts_as_what_its_number_is_then),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
