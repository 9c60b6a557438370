/* The kernel may hold any number of operations, and nothing is refused for want of room. */
#include "support/outcome.h"
#include "support/places.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define IDLE 512

static void raise_descriptor_limit(rlim_t wanted)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < wanted) {
        if (limit.rlim_max < wanted) {
            SKIP_WANTING("at most %llu descriptors", (unsigned long long)limit.rlim_max);
        }
        limit.rlim_cur = wanted;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

static void idle_receives_never_keep_another_one_from_being_armed(void **state)
{
    (void)state;
    raise_descriptor_limit(2 * IDLE + 64);
    struct kula_ring *ring = harness_open(8);
    static int fds[IDLE + 1][2];
    static struct outcome done[IDLE + 1];
    memset(done, 0, sizeof done);
    for (int i = 0; i <= IDLE; i++) {
        make_stream_pair(AF_UNIX, fds[i]);
        kula_buf buffer = buffer_empty(ring, 16);
        kula_recv(ring, fds[i][0], &buffer, 16, 0, &done[i]);
    }
    assert_pending(ring, &done[IDLE]);
    put(fds[IDLE][1], "the last");
    await(ring, &done[IDLE]);
    assert_read_text(&done[IDLE], "the last");
    outcome_release(&done[IDLE]);
    assert_int_equal(kula_outstanding(ring), IDLE);

    /* All of them at once, into a completion queue that is much smaller. */
    for (int i = 0; i < IDLE; i++) {
        put(fds[i][1], "wake up");
    }
    await_all(ring);
    for (int i = 0; i < IDLE; i++) {
        assert_read_text(&done[i], "wake up");
        outcome_release(&done[i]);
    }
    for (int i = 0; i <= IDLE; i++) {
        retire(ring, fds[i], 2);
    }
    harness_close(&ring);
}

static void idle_receives_on_one_socket_are_as_many_as_one_likes(void **state)
{
    (void)state;
    struct kula_ring *ring = harness_open(8);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    static struct outcome done[IDLE];
    memset(done, 0, sizeof done);
    for (int i = 0; i < IDLE; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        kula_recv(ring, fds[0], &buffer, 1, 0, &done[i]);
    }
    pump(ring, 0);
    for (int i = 0; i < IDLE; i++) {
        unsigned char byte = (unsigned char)i;
        assert_int_equal(write(fds[1], &byte, 1), 1);
        if (i % 64 == 63) {
            await(ring, &done[i]); /* a socket holds only so many pieces, however small */
        }
    }
    await_all(ring);
    for (int i = 0; i < IDLE; i++) {
        assert_result(done[i].result, 1);
        assert_int_equal(kula_bytes(done[i].buffer)[0], i & 0xff);
        outcome_release(&done[i]);
    }
    retire(ring, fds, 2);
    harness_close(&ring);
}

/* Ten times what the completion queue holds: NODROP keeps what overflows. */
static void completions_that_nobody_pulls_are_kept(void **state)
{
    (void)state;
    enum {
        ENTRIES = 8,
        COUNT = 10 * 2 * ENTRIES
    };
    struct kula_ring *ring = harness_open(ENTRIES);
    struct outcome done[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        done[i].op = kula_nop(ring, &done[i]);
        assert_true(kula_submit(ring) >= 0);
    }
    assert_int_equal(kula_outstanding(ring), COUNT);
    await_count(ring, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        assert_result(done[i].result, 0);
    }
    assert_int_equal(pump(ring, 0), 0);
    harness_close(&ring);
}

static void ten_thousand_operations_go_in_one_batch(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 10000
    };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    int fd = make_file("0123456789abcdef");
    for (int i = 0; i < COUNT; i++) {
        if (i % 4 == 0) {
            kula_buf buffer = buffer_empty(ring, 1);
            kula_read(ring, fd, &buffer, 1, i / 4 % 16, &done[i]);
        } else {
            kula_nop(ring, &done[i]);
        }
    }
    assert_int_equal(kula_outstanding(ring), COUNT);
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        if (i % 4 == 0) {
            assert_int_equal(kula_bytes(done[i].buffer)[0], "0123456789abcdef"[i / 4 % 16]);
            outcome_release(&done[i]);
        }
    }
    retire(ring, &fd, 1);
}

static void the_smallest_ring_does_everything(void **state)
{
    (void)state;
    for (uint32_t entries = 1; entries <= 4; entries *= 2) {
        struct kula_ring *ring = harness_open(entries);
        enum {
            COUNT = 100
        };
        struct outcome reads[COUNT] = { { 0 } };
        struct outcome writes[COUNT] = { { 0 } };
        int fds[2];
        make_pipe(fds);
        for (int i = 0; i < COUNT; i++) {
            kula_buf buffer = buffer_empty(ring, 2);
            kula_read(ring, fds[0], &buffer, 2, KULA_CUR, &reads[i]);
            buffer = buffer_empty(ring, 2);
            kula_bytes(buffer)[0] = kula_bytes(buffer)[1] = (unsigned char)i;
            kula_write(ring, fds[1], &buffer, 2, KULA_CUR, &writes[i]);
        }
        await_all(ring);
        for (int i = 0; i < COUNT; i++) {
            assert_result(reads[i].result, 2);
            assert_int_equal(kula_bytes(reads[i].buffer)[0], i);
            outcome_release(&reads[i]);
            outcome_release(&writes[i]);
        }
        retire(ring, fds, 2);
        harness_close(&ring);
    }
}

/* A starved read, or recursion through completions that are there at once, shows in this loop. */
static void a_chatty_descriptor_does_not_starve_the_others(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int chatty[2];
    int quiet[2];
    make_stream_pair(AF_UNIX, chatty);
    make_stream_pair(AF_UNIX, quiet);
    struct outcome read = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_recv(ring, quiet[0], &buffer, 8, 0, &read);
    unsigned long rounds = 0;
    put(quiet[1], "quiet");
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (read.events == 0 && harness_now_ns() < limit) {
        struct outcome sent = { 0 };
        struct outcome received = { 0 };
        buffer = buffer_text(ring, "noise");
        kula_send(ring, chatty[1], &buffer, 5, 0, &sent);
        buffer = buffer_empty(ring, 8);
        kula_recv(ring, chatty[0], &buffer, 8, 0, &received);
        await(ring, &sent);
        await(ring, &received);
        outcome_release(&sent);
        outcome_release(&received);
        rounds++;
    }
    assert_read_text(&read, "quiet");
    assert_true(rounds < 100);
    outcome_release(&read);
    retire(ring, chatty, 2);
    retire(ring, quiet, 2);
}

static void a_long_chain_uses_no_stack(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 100000
    };
    kula_op before = kula_nop(ring, NULL);
    for (int i = 1; i < COUNT; i++) {
        kula_op op = kula_nop(ring, NULL);
        assert_int_equal(kula_after(ring, op, before), 0);
        before = op;
    }
    await_all(ring);
    before = kula_timer(ring, 3600 * KULA_SECOND, NULL);
    kula_op head = before;
    for (int i = 1; i < COUNT; i++) {
        kula_op op = kula_nop(ring, NULL);
        assert_int_equal(kula_after(ring, op, before), 0);
        before = op;
    }
    assert_int_equal(kula_cancel(ring, head), 0);
    await_all(ring);
}

/* Many more completions at once than the queue holds: the kernel keeps them, and gives them to those who come
 * for them, which a wait that does not sleep has to do as well. */
static void what_overflows_comes_without_sleeping(void **state)
{
    enum {
        MANY = 64
    };
    (void)state;
    struct kula_ring *ring = harness_open(2);
    static int fds[MANY][2];
    static struct outcome done[MANY];
    memset(done, 0, sizeof done);
    for (int i = 0; i < MANY; i++) {
        make_stream_pair(AF_UNIX, fds[i]);
        kula_buf buffer = buffer_empty(ring, 8);
        kula_recv(ring, fds[i][0], &buffer, 8, 0, &done[i]);
    }
    pump(ring, 0);
    for (int i = 0; i < MANY; i++) {
        put(fds[i][1], "come");
    }
    unsigned came = 0;
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (came < MANY && harness_now_ns() < limit) {
        came += pump(ring, 0);
    }
    assert_int_equal(came, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_read_text(&done[i], "come");
        outcome_release(&done[i]);
        retire(ring, fds[i], 2);
    }
    harness_close(&ring);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(idle_receives_never_keep_another_one_from_being_armed),
        PROVES(idle_receives_on_one_socket_are_as_many_as_one_likes),
        PROVES(completions_that_nobody_pulls_are_kept),
        PROVES(ten_thousand_operations_go_in_one_batch),
        PROVES(the_smallest_ring_does_everything),
        PROVES(a_chatty_descriptor_does_not_starve_the_others),
        PROVES(a_long_chain_uses_no_stack),
        PROVES(what_overflows_comes_without_sleeping),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
