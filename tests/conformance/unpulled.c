/* Operations that are over and whose events nobody has pulled yet. Backends keep what completes at once
 * in forms of their own; none of them may show. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A backend that proves each operation with its first success goes the short way from the second on. */
static void warm_up(struct kula_ring *ring, int fd)
{
    for (int round = 0; round < 2; round++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_empty(ring, 1);
        kula_read(ring, fd, &buffer, 1, 0, &done[0]);
        await(ring, &done[0]);
        buffer = alias_of(done[0].buffer);
        kula_write(ring, fd, &buffer, 1, 0, &done[1]);
        await(ring, &done[1]);
        assert_result(done[0].result, 1);
        assert_result(done[1].result, 1);
        outcome_release(&done[1]);
    }
}

/* Waits until so many events may be pulled, and pulls none. */
static void await_ready(struct kula_ring *ring, int count)
{
    int64_t end_ns = harness_now_ns() + PATIENCE_NS;
    int ready;
    while ((ready = kula_wait(ring, PATIENCE_NS)) < count) {
        assert_true(ready > 0);
        assert_true(harness_now_ns() < end_ns);
        harness_sleep_ns(100 * KULA_MICROSECOND);
    }
}

/* Sets the flag behind `arg` when a ring says at its close that buffers of its pool are still out. */
static void hear(void *arg, int level, const char *text)
{
    bool *buffers_are_out = arg;
    (void)level;
    if (strstr(text, "still holds")) {
        *buffers_are_out = true;
    }
}

static struct kula_ring *open_heard(bool *buffers_are_out)
{
    struct kula_config config = harness_config();
    config.log = hear;
    config.log_arg = buffers_are_out;
    *buffers_are_out = false;
    struct kula_ring *ring = NULL;
    assert_result(kula_open(&config, &ring), 0);
    return ring;
}

static void a_ring_says_which_buffers_are_out(void **state)
{
    bool buffers_are_out;
    struct kula_ring *ring = open_heard(&buffers_are_out);
    kula_buf buffer = buffer_empty(ring, 100);
    harness_close(&ring);
    assert_true(buffers_are_out); /* or the next tests would show nothing */
    kula_free(&buffer);
    (void)state;
}

static void a_large_batch_of_many_sorts_comes_home_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 700
    };
    static struct outcome done[COUNT];
    int fd = make_file("0123456789");
    warm_up(ring, fd);
    for (unsigned run = 1; run <= 4;
         run++) { /* of one, two, ... of a sort one after the other */
        memset(done, 0, sizeof done);
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned digit = i % 10;
            kula_buf buffer = NULL;
            switch (i / run % 4) {
            case 0:
                buffer = buffer_empty(ring, 4);
                done[i].op = kula_read(ring, fd, &buffer, 1, digit, &done[i]);
                break;
            case 1:
                buffer = buffer_empty(ring, 4);
                kula_bytes(buffer)[0] = (unsigned char)('0' + digit);
                done[i].op = kula_write(ring, fd, &buffer, 1, digit, &done[i]);
                break;
            case 2:
                done[i].op = kula_nop(ring, &done[i]);
                break;
            default: /* one that fails among those that do not */
                buffer = buffer_empty(ring, 4);
                done[i].op = kula_read(ring, fd, &buffer, 5, digit, &done[i]);
                break;
            }
        }
        await_all(ring);
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned sort = i / run % 4;
            assert_int_equal(done[i].events, 1);
            assert_int_equal(done[i].flags, 0);
            assert_int_equal(done[i].error, 0);
            assert_result(done[i].result, sort == 2 ? 0 : sort == 3 ? -EINVAL : 1);
            if (sort == 0) {
                assert_int_equal(kula_bytes(done[i].buffer)[0], '0' + i % 10);
            }
            if (sort != 2) {
                outcome_release(&done[i]);
            }
        }
    }
    expect_content(fd, "0123456789");
    retire(ring, &fd, 1);
}

static void a_read_that_is_over_may_be_detached_and_its_buffer_goes_home(void **state)
{
    bool buffers_are_out;
    struct kula_ring *ring = open_heard(&buffers_are_out);
    int fd = make_file("abcd");
    warm_up(ring, fd);
    for (int round = 0; round < 3; round++) {
        struct outcome done[4] = { { 0 } };
        kula_buf aliases[4];
        for (int i = 0; i < 4; i++) {
            kula_buf buffer = buffer_empty(ring, 1 << 18);
            aliases[i] = alias_of(buffer);
            done[i].op = kula_read(ring, fd, &buffer, 1, i, &done[i]);
        }
        await_ready(ring, 4);
        assert_int_equal(kula_detach(ring, done[1].op), 0);
        assert_int_equal(kula_detach(ring, done[3].op), 0);
        assert_result(kula_detach(ring, done[3].op), -ENOENT);
        assert_result(kula_cancel(ring, done[0].op), -ENOENT);
        assert_int_equal(kula_outstanding(ring), 2);
        await_all(ring);
        assert_read_text(&done[0], "a");
        assert_read_text(&done[2], "c");
        outcome_release(&done[0]);
        outcome_release(&done[2]);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(done[i].events, i % 2 ? 0 : 1);
            assert_null(kula_bytes(aliases[i]));
        }
    }
    harness_context(state)->misuses_expected = 3 * 4;
    retire(ring, &fd, 1);
    harness_close(&ring);
    assert_false(buffers_are_out);
}

static void a_short_read_that_is_over_lets_nothing_start_after_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("abcd");
    warm_up(ring, fd);
    struct outcome reads[2] = { { 0 } };
    struct outcome after[3] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 10);
    reads[0].op = kula_read(ring, fd, &buffer, 10, 0, &reads[0]);
    buffer = buffer_empty(ring, 4);
    reads[1].op = kula_read(ring, fd, &buffer, 4, 0, &reads[1]);
    await_ready(ring, 2);
    for (int i = 0; i < 3; i++) {
        after[i].op = kula_nop(ring, &after[i]);
    }
    assert_int_equal(kula_after(ring, after[0].op, reads[0].op), 0);
    assert_int_equal(kula_option(ring, after[1].op, KULA_REGARDLESS), 0);
    assert_int_equal(kula_after(ring, after[1].op, reads[0].op), 0);
    assert_int_equal(kula_after(ring, after[2].op, reads[1].op), 0);
    await_all(ring);
    assert_read_text(&reads[0], "abcd");
    assert_read_text(&reads[1], "abcd");
    assert_result(after[0].result, -ECANCELED);
    assert_result(after[1].result, 0);
    assert_result(after[2].result, 0);
    outcome_release(&reads[0]);
    outcome_release(&reads[1]);
    retire(ring, &fd, 1);
}

static void what_nobody_pulls_is_consumed_by_the_close(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    int fd = make_file("abcd");
    for (int left = 0; left <= 8; left++) {
        bool buffers_are_out;
        struct kula_ring *ring = open_heard(&buffers_are_out);
        warm_up(ring, fd);
        for (int i = 0; i < 8; i++) {
            kula_buf buffer = buffer_empty(ring, 100);
            kula_read(ring, fd, &buffer, 1, 0, NULL);
            kula_nop(ring, NULL);
        }
        await_ready(ring, 16);
        for (int pulled = 0; pulled < 2 * left; pulled++) {
            assert_non_null(kula_next(ring)); /* the last one keeps its buffer */
        }
        harness_close(&ring);
        assert_false(buffers_are_out);
    }
    retire(outer, &fd, 1);
}

static void an_error_is_not_shown_again_by_later_events(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        SIZE = 1 << 20
    };
    int fd = make_file("abcd");
    warm_up(ring, fd);
    int fds[2];
    make_pipe(fds);
    struct outcome broken = { 0 };
    kula_buf buffer = buffer_pattern(ring, SIZE, 2);
    kula_op op = kula_write(ring, fds[1], &buffer, SIZE, KULA_CUR, &broken);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    assert_pending(ring, &broken);
    retire(ring, &fds[0], 1);
    await(ring, &broken);
    assert_result(broken.error, -EPIPE);
    outcome_release(&broken);
    for (int round = 0; round < 3; round++) {
        struct outcome done[2] = { { 0 } };
        buffer = buffer_empty(ring, 4);
        kula_read(ring, fd, &buffer, 4, 0, &done[0]);
        kula_nop(ring, &done[1]);
        await_all(ring);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(done[i].flags, 0);
            assert_int_equal(done[i].error, 0);
        }
        outcome_release(&done[0]);
    }
    retire(ring, &fds[1], 1);
    retire(ring, &fd, 1);
}

static void a_guessed_event_gives_a_buffer_at_most_once_and_never_early(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("abcd");
    warm_up(ring, fd);
    for (int round = 0; round < 3; round++) {
        kula_buf buffer = buffer_empty(ring, 100);
        struct kula_event guessed = { 0 };
        guessed.private_holder = kula_read(ring, fd, &buffer, 4, 0, NULL);
        assert_true(kula_take(&guessed) == NULL); /* the ring has it */
        await_ready(ring, 1);
        kula_buf guess = kula_take(&guessed);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_result(event->result, 4);
        kula_buf taken = kula_take(event);
        assert_true((guess == NULL) != (taken == NULL));
        buffer = guess ? guess : taken;
        assert_memory_equal(kula_bytes(buffer), "abcd", 4);
        assert_null(kula_next(ring));
        assert_memory_equal(kula_bytes(buffer), "abcd", 4);
        kula_free(&buffer);
    }
    harness_context(state)->misuses_expected = 3 * 2;
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_ring_says_which_buffers_are_out),
        PROVES(a_large_batch_of_many_sorts_comes_home_whole),
        PROVES(a_read_that_is_over_may_be_detached_and_its_buffer_goes_home),
        PROVES(a_short_read_that_is_over_lets_nothing_start_after_it),
        PROVES(what_nobody_pulls_is_consumed_by_the_close),
        PROVES(an_error_is_not_shown_again_by_later_events),
        PROVES(a_guessed_event_gives_a_buffer_at_most_once_and_never_early),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
