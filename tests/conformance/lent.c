/* Memory that is lent for one call: kula_read_sync and its like. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* Somebody else, who does something a little later. */
struct helper {
    pthread_t thread;
    struct kula_ring *ring;
    int fd;
    const char *text; /* what to write */
    int64_t delay_ns;
    bool wakes; /* kula_wake, before the text */
    bool posts; /* a message, before the text */
};

static void *help(void *arg)
{
    struct helper *helper = arg;
    harness_sleep_ns(helper->delay_ns);
    if (helper->wakes) {
        kula_wake(helper->ring);
    }
    if (helper->posts) {
        kula_post(helper->ring, NULL, 7, NULL);
    }
    harness_sleep_ns(helper->delay_ns);
    put(helper->fd, helper->text);
    return NULL;
}

static void helper_start(struct helper *helper)
{
    assert_int_equal(pthread_create(&helper->thread, NULL, help, helper), 0);
}

static void helper_join(struct helper *helper)
{
    assert_int_equal(pthread_join(helper->thread, NULL), 0);
}

/* ---- What it does -------------------------------------------------------------------------- */

static void memory_on_the_stack_is_read_and_written(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("0123456789");
    char bytes[16] = "................";
    assert_result(kula_read_sync(ring, file, bytes, 4, 3, 0, KULA_FOREVER), 4);
    assert_memory_equal(bytes, "3456............", 16);
    assert_result(kula_write_sync(ring, file, "abc", 3, 8, 0, PATIENCE_NS), 3);
    expect_content(file, "01234567abc");
    assert_result(kula_read_sync(ring, file, bytes, 16, 0, 0, KULA_FOREVER), 11);
    assert_memory_equal(bytes, "01234567abc.....", 16);
    assert_result(kula_read_sync(ring, file, bytes, 16, 11, 0, KULA_FOREVER), 0);
    assert_int_equal(kula_outstanding(ring), 0);
    retire(ring, &file, 1);
}

static void the_files_own_position_moves_as_with_other_operations(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("onetwothree");
    char bytes[6];
    assert_int_equal(lseek(file, 0, SEEK_SET), 0);
    assert_result(kula_read_sync(ring, file, bytes, 3, KULA_CUR, 0, KULA_FOREVER), 3);
    assert_memory_equal(bytes, "one", 3);
    assert_result(kula_read_sync(ring, file, bytes, 3, KULA_CUR, 0, KULA_FOREVER), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(lseek(file, 0, SEEK_CUR), 6);
    retire(ring, &file, 1);
}

static void sockets_and_pipes_take_and_give(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int sockets[2];
    int pipes[2];
    char bytes[8] = { 0 };
    make_stream_pair(AF_UNIX, sockets);
    make_pipe(pipes);
    assert_result(kula_send_sync(ring, sockets[0], "hello", 5, 0, 0, KULA_FOREVER), 5);
    assert_result(kula_recv_sync(ring, sockets[1], bytes, 3, MSG_PEEK, 0, KULA_FOREVER), 3);
    assert_result(kula_recv_sync(ring, sockets[1], bytes, 8, 0, 0, KULA_FOREVER), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_result(kula_write_sync(ring, pipes[1], "pipe", 4, KULA_CUR, 0, KULA_FOREVER), 4);
    assert_result(kula_read_sync(ring, pipes[0], bytes, 8, KULA_CUR, 0, KULA_FOREVER), 4);
    assert_memory_equal(bytes, "pipe", 4);
    retire(ring, sockets, 2);
    retire(ring, pipes, 2);
}

static void a_call_waits_for_what_comes_later(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[8] = { 0 };
    make_stream_pair(AF_UNIX, fds);
    struct helper helper = { .fd = fds[1], .text = "later", .delay_ns = 2 * KULA_MILLISECOND };
    helper_start(&helper);
    int32_t result = kula_recv_sync(ring, fds[0], bytes, 5, MSG_WAITALL, 0, KULA_FOREVER);
    helper_join(&helper);
    assert_result(result, 5);
    assert_memory_equal(bytes, "later", 5);
    retire(ring, fds, 2);
}

static void everything_moves_with_kula_full(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[9] = "........";
    make_pipe(fds);
    put(fds[1], "one");
    struct helper helper = { .fd = fds[1], .text = "two!!", .delay_ns = KULA_MILLISECOND };
    helper_start(&helper);
    int32_t result = kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, KULA_FULL, KULA_FOREVER);
    helper_join(&helper);
    assert_result(result, 8);
    assert_string_equal(bytes, "onetwo!!");
    retire(ring, fds, 2);
}

/* It is one of the descriptor's stream transfers, and the last in their order. */
static void a_call_takes_its_turn_behind_earlier_transfers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    struct outcome first = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &first);
    assert_pending(ring, &first);
    put(fds[1], "11112222");
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, KULA_FOREVER), 4);
    assert_memory_equal(bytes, "2222", 4);
    assert_int_equal(first.events, 0);
    await(ring, &first);
    assert_read_text(&first, "1111");
    outcome_release(&first);
    retire(ring, fds, 2);
}

static void a_call_flushes_what_was_handed_over_before(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    int fds[2];
    char bytes[7];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[2] = { { 0 } };
    kula_op ops[2];
    for (int i = 0; i < 2; i++) {
        kula_buf buffer = buffer_empty(ring, 4);
        ops[i] = kula_recv(ring, fds[0], &buffer, 4, 0, &done[i]);
    }
    assert_result(kula_option(ring, ops[1], KULA_FULL), 0);
    assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), 7);
    assert_result(kula_option(ring, ops[0], KULA_FULL), -EALREADY);
    assert_result(kula_option(ring, ops[1], KULA_FULL), -EALREADY);
    put(fds[1], "1111");
    put(fds[1], "2222");
    await_all(ring);
    assert_read_text(&done[0], "1111");
    assert_read_text(&done[1], "2222");
    outcome_release(&done[0]);
    outcome_release(&done[1]);
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

/* ---- Time-outs ----------------------------------------------------------------------------- */

/* Bytes come after the call has returned; nobody may put them into its memory. */
static void nothing_is_written_after_a_time_out(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 50; round++) {
        int fds[2];
        unsigned char bytes[64];
        if (round % 2) {
            make_pipe(fds);
        } else {
            make_stream_pair(AF_UNIX, fds);
        }
        memset(bytes, 0xa5, sizeof bytes);
        int64_t timeout_ns = round % 5 * (KULA_MILLISECOND / 4);
        int64_t before_ns = harness_now_ns();
        assert_result(
            kula_read_sync(ring, fds[0], bytes, sizeof bytes, KULA_CUR, 0, timeout_ns), -ETIME);
        assert_true(harness_now_ns() - before_ns >= timeout_ns);
        put(fds[1], "too late for the one who asked");
        kula_nop(ring, NULL);
        await_all(ring);
        for (size_t i = 0; i < sizeof bytes; i++) {
            assert_int_equal(bytes[i], 0xa5);
        }
        expect_bytes(fds[0], "too late for the one who asked");
        retire(ring, fds, 2);
    }
}

static void what_moved_before_the_time_out_is_the_result(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[9] = "........";
    make_pipe(fds);
    put(fds[1], "12345");
    assert_result(
        kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, KULA_FULL, 5 * KULA_MILLISECOND), 5);
    assert_string_equal(bytes, "12345...");
    put(fds[1], "678");
    assert_result(kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, 0, KULA_FOREVER), 3);
    assert_string_equal(bytes, "67845...");
    retire(ring, fds, 2);
}

static void a_call_without_time_does_what_can_be_done_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, 0), -ETIME);
    put(fds[1], "here");
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, 0), 4);
    assert_memory_equal(bytes, "here", 4);
    retire(ring, fds, 2);
}

static void a_time_out_in_the_queue_leaves_the_one_in_front_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4] = "....";
    make_stream_pair(AF_UNIX, fds);
    struct outcome first = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &first);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, KULA_MILLISECOND), -ETIME);
    put(fds[1], "mine");
    await(ring, &first);
    assert_read_text(&first, "mine");
    assert_memory_equal(bytes, "....", 4);
    outcome_release(&first);
    retire(ring, fds, 2);
}

static atomic_uint signals_seen;

static void note_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static void signals_only_restart_a_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[8] = "........";
    make_pipe(fds);
    atomic_store(&signals_seen, 0);
    struct sigaction action = { .sa_handler = note_signal };
    struct sigaction old;
    struct itimerval often = { .it_interval = { 0, 500 }, .it_value = { 0, 500 } };
    struct itimerval never = { .it_value = { 0, 0 } };
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    int64_t before_ns = harness_now_ns();
    int32_t late = kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, 0, 30 * KULA_MILLISECOND);
    int64_t took_ns = harness_now_ns() - before_ns;
    put(fds[1], "there");
    int32_t there = kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, 0, KULA_FOREVER);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_result(late, -ETIME);
    assert_true(took_ns >= 30 * KULA_MILLISECOND);
    assert_result(there, 5);
    assert_memory_equal(bytes, "there...", 8);
    assert_true(atomic_load(&signals_seen) > 0);
    retire(ring, fds, 2);
}

/* ---- The others' events -------------------------------------------------------------------- */

static void events_of_others_keep_their_order_and_are_all_there(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 300 /* in each of four parts */
    };
    int file = make_file("content");
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    static struct outcome nops[4 * COUNT];
    memset(nops, 0, sizeof nops);
    struct outcome read = { 0 };
    char bytes[8];
    for (int i = 0; i < 4 * COUNT; i++) {
        kula_nop(ring, &nops[i]);
        if (i == COUNT) {
            assert_true(kula_wait(ring, KULA_FOREVER) > 0);
            kula_buf buffer = buffer_empty(ring, 7);
            kula_read(ring, file, &buffer, 7, 0, &read);
        } else if (i == 2 * COUNT || i == 3 * COUNT) {
            assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), 7);
        }
    }
    assert_result(kula_recv_sync(ring, fds[0], bytes, 8, 0, 0, KULA_MILLISECOND), -ETIME);
    assert_int_equal(kula_outstanding(ring), 4 * COUNT + 1);
    assert_int_equal(nops[0].events + read.events, 0);
    await_all(ring);
    for (int i = 0; i < 4 * COUNT; i++) {
        assert_int_equal(nops[i].events, 1);
        assert_true(i == 0 || nops[i].place > nops[i - 1].place);
    }
    assert_true(read.place > nops[COUNT].place);
    assert_read_text(&read, "content");
    outcome_release(&read);
    retire(ring, &file, 1);
    retire(ring, fds, 2);
}

static void the_current_event_still_gives_its_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    char bytes[7];
    kula_buf buffer = buffer_empty(ring, 7);
    kula_read(ring, file, &buffer, 7, 0, NULL);
    assert_true(kula_wait(ring, KULA_FOREVER) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    for (int i = 0; i < 3; i++) {
        kula_nop(ring, NULL);
        assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), 7);
    }
    assert_result(event->result, 7);
    buffer = kula_take(event);
    assert_non_null(buffer);
    assert_memory_equal(kula_bytes(buffer), "content", 7);
    kula_free(&buffer);
    await_all(ring);
    retire(ring, &file, 1);
}

static void timers_deadlines_and_chains_go_on_during_a_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int other[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    make_stream_pair(AF_UNIX, other);
    struct outcome timer = { 0 };
    struct outcome after = { 0 };
    struct outcome limited = { 0 };
    kula_op first = kula_timer(ring, KULA_MILLISECOND, &timer);
    kula_op second = kula_nop(ring, &after);
    assert_int_equal(kula_after(ring, second, first), 0);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op op = kula_recv(ring, other[0], &buffer, 4, 0, &limited);
    assert_int_equal(kula_deadline(ring, op, 2 * KULA_MILLISECOND), 0);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, 20 * KULA_MILLISECOND), -ETIME);
    /* The timer's event takes no wait: its time had passed before that of the call. */
    for (struct kula_event *event; (event = kula_next(ring));) {
        outcome_store(event);
    }
    assert_int_equal(timer.events, 1);
    await_all(ring);
    assert_result(timer.result, 0);
    assert_result(after.result, 0);
    assert_result(limited.result, -ETIME);
    outcome_release(&limited);
    retire(ring, fds, 2);
    retire(ring, other, 2);
}

static void a_wake_during_a_call_is_the_next_waits(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    for (int round = 0; round < 20; round++) {
        struct helper helper = { .ring = ring,
                                 .fd = fds[1],
                                 .text = "data",
                                 .delay_ns = KULA_MILLISECOND / 2,
                                 .wakes = true };
        helper_start(&helper);
        int32_t result = kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, PATIENCE_NS);
        helper_join(&helper);
        assert_result(result, 4);
        int64_t before_ns = harness_now_ns();
        assert_result(kula_wait(ring, PATIENCE_NS), 0);
        assert_true(harness_now_ns() - before_ns < PATIENCE_NS);
        assert_result(kula_wait(ring, 0), 0);
    }
    retire(ring, fds, 2);
}

static void a_message_during_a_call_is_pulled_afterwards(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    struct helper helper = {
        .ring = ring, .fd = fds[1], .text = "data", .delay_ns = KULA_MILLISECOND, .posts = true
    };
    helper_start(&helper);
    int32_t result = kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, PATIENCE_NS);
    helper_join(&helper);
    assert_result(result, 4);
    assert_result(kula_wait(ring, PATIENCE_NS), 1);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_true(event->flags & KULA_EVENT_MESSAGE);
    assert_result(event->result, 7);
    assert_null(kula_next(ring));
    retire(ring, fds, 2);
}

static bool is_ready(int fd, int timeout_ms)
{
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    return poll(&polled, 1, timeout_ms) == 1;
}

/* The kernel signals some things late (eventfd by RCU callback, 6.18); but that comes to an end. */
static void await_quiet(struct kula_ring *ring, int pollable)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (is_ready(pollable, 0)) {
        assert_result(kula_wait(ring, 0), 0);
        assert_null(kula_next(ring));
        harness_sleep_ns(200 * KULA_MICROSECOND);
        assert_true(harness_now_ns() < limit);
    }
}

static void the_pollable_descriptor_tells_of_what_a_call_left(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4];
    make_stream_pair(AF_UNIX, fds);
    int pollable = kula_pollable(ring);
    if (pollable == -EMFILE) {
        SKIP_BECAUSE("no eventfd, as masked");
    }
    assert_true(pollable >= 0);
    put(fds[1], "1234");
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, PATIENCE_NS), 4);
    await_quiet(ring, pollable);
    struct outcome nop = { 0 };
    kula_nop(ring, &nop);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, KULA_MILLISECOND), -ETIME);
    assert_true(is_ready(pollable, 60000));
    await(ring, &nop);
    struct outcome received = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &received);
    assert_result(kula_write_sync(ring, fds[1], "5678", 4, KULA_CUR, 0, PATIENCE_NS), 4);
    assert_true(is_ready(pollable, 60000));
    await(ring, &received);
    assert_read_text(&received, "5678");
    outcome_release(&received);
    kula_wake(ring);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 4, 0, 0, 0), -ETIME);
    assert_true(is_ready(pollable, 60000));
    assert_result(kula_wait(ring, PATIENCE_NS), 0);
    retire(ring, fds, 2);
}

/* Under MemorySanitizer and valgrind: what the kernel has written is initialised. */
static void a_program_may_depend_on_what_was_read_into_lent_memory(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("xy");
    char bytes[2];
    assert_result(kula_read_sync(ring, fd, bytes, 2, 0, 0, KULA_FOREVER), 2);
    if (bytes[0] != 'x' || bytes[1] != 'y') {
        fail_msg("read %c%c", bytes[0], bytes[1]);
    }
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(memory_on_the_stack_is_read_and_written),
        PROVES(the_files_own_position_moves_as_with_other_operations),
        PROVES(sockets_and_pipes_take_and_give),
        PROVES(a_call_waits_for_what_comes_later),
        PROVES(everything_moves_with_kula_full),
        PROVES(a_call_takes_its_turn_behind_earlier_transfers),
        PROVES(a_call_flushes_what_was_handed_over_before),
        PROVES(nothing_is_written_after_a_time_out),
        PROVES(what_moved_before_the_time_out_is_the_result),
        PROVES(a_call_without_time_does_what_can_be_done_at_once),
        PROVES(a_time_out_in_the_queue_leaves_the_one_in_front_alone),
        PROVES(signals_only_restart_a_call),
        PROVES(events_of_others_keep_their_order_and_are_all_there),
        PROVES(the_current_event_still_gives_its_buffer),
        PROVES(timers_deadlines_and_chains_go_on_during_a_call),
        PROVES(a_wake_during_a_call_is_the_next_waits),
        PROVES(a_message_during_a_call_is_pulled_afterwards),
        PROVES(the_pollable_descriptor_tells_of_what_a_call_left),
        PROVES(a_program_may_depend_on_what_was_read_into_lent_memory),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
