/* Functions of the program that the library calls find the ring locked: the log sink and the misuse hook
 * (kula_offload has offload.c, release functions vouched.c). They may wake and post. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one call of such a function tries; each question is misuse, but for the last two. */
struct attempt {
    struct kula_ring *ring;
    unsigned calls;
    unsigned wrong; /* the number of the first question that was answered wrong */
};

enum {
    QUESTIONS_REFUSED = 9
};

static void try_everything(struct attempt *attempt)
{
    struct kula_ring *ring = attempt->ring;
    if (!ring) {
        return; /* before kula_open has returned it */
    }
    attempt->calls++;
    const bool right[] = {
        kula_submit(ring) == -EDEADLK,
        kula_wait(ring, 0) == -EDEADLK,
        kula_next(ring) == NULL,
        kula_nop(ring, NULL) == 0,
        kula_alloc(ring, 64) == NULL,
        kula_cancel_all(ring) == -EDEADLK,
        kula_close(&ring, 0) == -EDEADLK,
        kula_abandon(&ring) == -EDEADLK,
        kula_outstanding(ring) == 0,
        ring == attempt->ring,
        kula_wake(ring) == 0,
        kula_post(ring, NULL, 7, NULL) == 0,
    };
    for (unsigned i = 0; i < sizeof right / sizeof right[0] && attempt->wrong == 0; i++) {
        attempt->wrong = right[i] ? 0 : i + 1;
    }
}

static void hook(void *arg, const struct kula_misuse *misuse)
{
    (void)misuse;
    try_everything(arg);
}

/* Pulls everything there is; returns how many messages there were. */
static unsigned pull_messages(struct kula_ring *ring)
{
    unsigned messages = 0;
    while (kula_wait(ring, 0) > 0) {
        for (struct kula_event *event; (event = kula_next(ring));) {
            assert_int_equal(event->flags, KULA_EVENT_MESSAGE);
            assert_result(event->result, 7);
            messages++;
        }
    }
    return messages;
}

static void the_misuse_hook_may_wake_and_post_and_nothing_else(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct attempt attempt = { .ring = ring };
    uint64_t before = kula_misuse_count();
    kula_buf buffer = kula_alloc(ring, 64);
    volatile uintptr_t copied = (uintptr_t)buffer;
    kula_free(&buffer);
    kula_on_misuse(hook, &attempt);
    kula_buf stale = (kula_buf)copied;
    kula_free(&stale); /* the one thing that it is told */
    kula_on_misuse(NULL, NULL);
    assert_int_equal(attempt.calls, 1);
    assert_int_equal(attempt.wrong, 0);
    assert_int_equal(kula_misuse_count() - before, 1 + QUESTIONS_REFUSED);
    assert_int_equal(pull_messages(ring), 1);
    struct outcome done = { 0 };
    assert_true(kula_nop(ring, &done) != 0);
    await(ring, &done);
    assert_result(done.result, 0);
}

static void sink(void *arg, int level, const char *text)
{
    (void)level;
    (void)text;
    try_everything(arg);
}

/* A ring whose log goes to try_everything. */
static struct kula_ring *open_talkative(struct attempt *attempt, const char *mask)
{
    struct kula_config config = harness_config();
    config.mask = mask;
    config.flags = KULA_CONFIG_IGNORE_ENV; /* KULA_MASK would win */
    config.log = sink;
    config.log_arg = attempt;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    attempt->ring = ring;
    return ring;
}

static void the_log_sink_may_not_drive_a_ring_that_is_being_closed(void **state)
{
    struct attempt attempt = { 0 };
    struct kula_ring *ring = open_talkative(&attempt, NULL);
    kula_buf kept = buffer_text(ring, "kept");
    assert_int_equal(kula_close(&ring, KULA_FOREVER), 0);
    assert_true(attempt.calls > 0); /* the buffer was listed */
    assert_int_equal(attempt.wrong, 0);
    assert_memory_equal(kula_bytes(kept), "kept", 4);
    kula_free(&kept);
    harness_context(state)->misuses_expected = attempt.calls * QUESTIONS_REFUSED;
}

/* Opening a FIFO waits for its peer in a thread, where nothing can stop it: on uring only where the
 * kernel's ring has no such operation. A thread that has not begun yet can be stopped. */
static void the_log_sink_may_not_drive_a_ring_that_cannot_be_closed(void **state)
{
    char folder[64];
    char path[80];
    make_directory(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct attempt attempt = { 0 };
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    int error;
    struct kula_ring *ring;
    do {
        ring = open_talkative(&attempt, "op:openat");
        kula_openat(ring, AT_FDCWD, path, O_RDONLY, 0, NULL);
        assert_true(kula_submit(ring) >= 0);
        harness_sleep_ns(10 * KULA_MILLISECOND);
        error = kula_close(&ring, 0);
    } while (error == 0 && harness_now_ns() < limit);
    assert_result(error, -EBUSY);
    assert_true(attempt.calls > 0);
    assert_int_equal(attempt.wrong, 0);
    int peer = open(path, O_RDWR | O_CLOEXEC);
    assert_true(peer >= 0);
    assert_int_equal(kula_close(&ring, KULA_FOREVER), 0);
    close(peer);
    remove_directory(folder);
    harness_context(state)->misuses_expected = attempt.calls * QUESTIONS_REFUSED;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(the_misuse_hook_may_wake_and_post_and_nothing_else),
        PROVES(the_log_sink_may_not_drive_a_ring_that_is_being_closed),
        PROVES(the_log_sink_may_not_drive_a_ring_that_cannot_be_closed),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
