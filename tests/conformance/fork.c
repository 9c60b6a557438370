/* A child after fork() is refused by every call, and the parent does not notice it. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct family {
    struct kula_ring *ring;
    kula_op pending;
    kula_buf held;
    struct kula_scope scope;
    int fd;
};

/* Runs in the child; returns the number of the first question that was answered wrong, or 0. cmocka
 * would jump out into the parent's test, so nothing here asserts. */
typedef int (*child_body)(struct family *family);

static int run_child(struct family *family, child_body body)
{
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(body(family));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status)) {
        fail_msg("the child was ended by signal %d", WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}

/* Every call once. Buffers are kept until the child exits, so its variables are empty after it. */
static int ask_everything(struct family *family)
{
    struct kula_ring *ring = family->ring;
    unsigned before = harness_misuses();
    int number = 0;
    struct kula_scope scope;
    static struct kula_memory memory = KULA_MEMORY_INIT;
    struct kula_pool_config pool_config = KULA_POOL_INIT;
    struct kula_pool *pool = NULL;
    const bool right[] = {
        kula_submit(ring) == -EOWNERDEAD,
        kula_wait(ring, 0) == -EOWNERDEAD,
        kula_wait(ring, KULA_FOREVER) == -EOWNERDEAD,
        kula_next(ring) == NULL,
        kula_outstanding(ring) == 0,
        kula_alloc(ring, 64) == NULL,
        kula_vec_new(ring) == NULL,
        kula_alloc_memory(ring, 64, &memory, NULL) == NULL,
        kula_vouch(ring, &memory, sizeof memory, NULL, NULL) == NULL,
        kula_const(ring, "constant", 8) == NULL,
        kula_pool_open(ring, &pool_config, &pool) == -EOWNERDEAD,
        pool == NULL,
        kula_nop(ring, NULL) == 0,
        kula_timer(ring, 0, NULL) == 0,
        kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL) == 0,
        kula_accept(ring, family->fd, NULL) == 0,
        kula_poll(ring, family->fd, POLLIN, NULL) == 0,
        kula_fsync(ring, family->fd, NULL) == 0,
        kula_close_fd(ring, family->fd, NULL) == 0,
        kula_cancel(ring, family->pending) == -EOWNERDEAD,
        kula_cancel_fd(ring, family->fd) == -EOWNERDEAD,
        kula_cancel_all(ring) == -EOWNERDEAD,
        kula_detach(ring, family->pending) == -EOWNERDEAD,
        kula_deadline(ring, family->pending, 1) == -EOWNERDEAD,
        kula_option(ring, family->pending, KULA_FULL) == -EOWNERDEAD,
        kula_forget_fd(ring, family->fd) == -EOWNERDEAD,
        kula_pollable(ring) == -EOWNERDEAD,
        kula_after(ring, family->pending, family->pending) == -EOWNERDEAD,
        kula_post(ring, NULL, 1, NULL) == -EOWNERDEAD,
        kula_wake(ring) == -EOWNERDEAD, /* which is not told to the hook */
        kula_read(ring, family->fd, &family->held, 1, 0, NULL) == 0,
        family->held == NULL,
        kula_read_sync(ring, family->fd, &number, 1, 0, 0, 0) == -EOWNERDEAD,
        kula_send_sync(ring, family->fd, &number, 1, 0, 0, 0) == -EOWNERDEAD,
        kula_scope_begin(ring, &scope) == -EOWNERDEAD,
        kula_scope_read(&family->scope, family->fd, &number, 1, 0, NULL) == 0,
        kula_scope_end(&family->scope, 0) == -EOWNERDEAD,
        kula_close(&ring, 0) == -EOWNERDEAD,
        ring == family->ring,
        kula_abandon(&ring) == -EOWNERDEAD,
        ring == family->ring,
        fcntl(family->fd, F_GETFD) >= 0,
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0] && number == 0; i++) {
        number = right[i] ? 0 : (int)i + 1;
    }
    /* each was reported: all but five of the questions are calls that are */
    return number != 0 ? number : harness_misuses() - before < 35 ? 100 : 0;
}

static void every_call_of_a_child_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome pending = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    struct family family = { .ring = ring, .fd = fds[0] };
    family.pending = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &pending);
    family.held = buffer_text(ring, "parent's");
    kula_buf mine = family.held;
    assert_int_equal(kula_scope_begin(ring, &family.scope), 0);
    assert_pending(ring, &pending);
    assert_int_equal(run_child(&family, ask_everything), 0);

    /* The parent goes on as if nothing had been. */
    assert_int_equal(harness_misuses(), 0);
    assert_result(kula_scope_end(&family.scope, 0), 0);
    assert_memory_equal(kula_bytes(mine), "parent's", 8);
    put(fds[1], "data");
    await(ring, &pending);
    assert_read_text(&pending, "data");
    outcome_release(&pending);
    kula_free(&mine);
    retire(ring, fds, 2);
}

static int look_at_the_payload(struct family *family)
{
    unsigned char *bytes = (unsigned char *)(uintptr_t)family->pending;
    unsigned char vector[2];
    /* mincore(2) knows which pages are mapped, without a fault */
    uintptr_t page = (uintptr_t)bytes & ~(uintptr_t)4095;
    if (mincore((void *)page, 4096, vector) == 0) {
        return 1;
    }
    return errno == ENOMEM ? 0 : 2;
}

static void a_child_does_not_get_the_payload(void **state)
{
#ifdef KULA_NO_LINUX
    SKIP_BECAUSE("keeping pages from children is Linux's (MADV_DONTFORK)");
#endif
    struct kula_ring *ring = harness_ring(state);
    kula_buf secret = buffer_pattern(ring, 8192, 1);
    struct family family = { .ring = ring };
    family.pending = (kula_op)(uintptr_t)kula_bytes(secret);
    assert_int_equal(run_child(&family, look_at_the_payload), 0);
    assert_int_equal(kula_bytes(secret)[8191], pattern_byte(8191, 1));
    kula_free(&secret);
}

static int open_an_own_ring(struct family *family)
{
    (void)family;
    struct kula_config config = harness_config();
    struct kula_ring *ring = NULL;
    if (kula_open(&config, &ring) != 0) {
        return 1;
    }
    int fds[2];
    if (pipe(fds) != 0) {
        return 2;
    }
    kula_buf buffer = kula_alloc(ring, 4);
    if (!buffer) {
        return 3;
    }
    memcpy(kula_bytes(buffer), "mine", 4);
    kula_write(ring, fds[1], &buffer, 4, KULA_CUR, NULL);
    int result = 0;
    while (kula_outstanding(ring) > 0 && kula_wait(ring, PATIENCE_NS) > 0) {
        for (struct kula_event *event; (event = kula_next(ring));) {
            result = event->result;
        }
    }
    if (result != 4) {
        return 4;
    }
    char found[4];
    if (read(fds[0], found, 4) != 4 || memcmp(found, "mine", 4) != 0) {
        return 5;
    }
    return kula_close(&ring, -1) == 0 ? 0 : 6;
}

static void a_child_may_open_a_ring_of_its_own(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct family family = { .ring = ring };
    int fd = make_file("x");
    kula_buf buffer = buffer_empty(ring, 1);
    kula_read(ring, fd, &buffer, 1, 0, NULL);
    await_all(ring);
    assert_int_equal(run_child(&family, open_an_own_ring), 0);
    retire(ring, &fd, 1);
}

static void hear_of_release(void *arg, void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ++*(int *)arg;
}

static int use_the_parents_handles(struct family *family)
{
    struct kula_config config = harness_config();
    struct kula_ring *ring = NULL;
    unsigned before = harness_misuses();
    if (kula_open(&config, &ring) != 0) {
        return 1;
    }
    /* Of the size and the alignment of the parent's, so that it may well lie in its place. */
    kula_buf mine = kula_alloc(ring, 8192);
    memset(kula_bytes(mine), 'c', 8192);
    kula_buf parents = family->held;
    const bool right[] = {
        kula_bytes(parents) == NULL,
        kula_read(ring, family->fd, &parents, 10, 0, NULL) == 0,
        kula_outstanding(ring) == 0,
        kula_cancel(ring, family->pending) == -ENOENT,
        harness_misuses() - before == 2,
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        if (!right[i]) {
            return 2 + (int)i;
        }
    }
    for (int i = 0; i < 8192; i++) {
        if (kula_bytes(mine)[i] != 'c') {
            return 20;
        }
    }
    kula_free(&mine);
    return kula_close(&ring, KULA_FOREVER) == 0 ? 0 : 21;
}

/* Where the parent's memory was a child has a hole, and its own next mapping may fill it. */
static void a_ring_of_the_child_does_not_take_the_parents_buffers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct family family = { .ring = ring };
    static unsigned char memory[8192];
    int releases = 0;
    family.fd = make_file("of the parent");
    kula_buf buffers[2] = { buffer_pattern(ring, 8192, 1),
                            kula_vouch(ring, memory, sizeof memory, hear_of_release,
                                       &releases) };
    family.pending = kula_timer(ring, PATIENCE_NS, NULL);
    for (int i = 0; i < 2; i++) {
        family.held = buffers[i];
        assert_int_equal(run_child(&family, use_the_parents_handles), 0);
    }
    assert_int_equal(kula_bytes(buffers[0])[8191], pattern_byte(8191, 1));
    assert_int_equal(releases, 0);
    for (int i = 0; i < 2; i++) {
        kula_free(&buffers[i]);
    }
    assert_int_equal(releases, 1);
    assert_int_equal(kula_cancel(ring, family.pending), 0);
    retire(ring, &family.fd, 1);
}

static int leave(struct family *family)
{
    (void)family;
    return 0;
}

static void operations_under_way_end_in_the_parent(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct family family = { .ring = ring };
    int fds[2];
    int file = make_file("content of the file");
    make_pipe(fds);
    for (int round = 0; round < 10; round++) {
        struct outcome streams[2] = { { 0 } };
        struct outcome files[8] = { { 0 } };
        struct outcome timer = { 0 };
        for (int i = 0; i < 2; i++) {
            kula_buf buffer = buffer_empty(ring, 3);
            kula_read(ring, fds[0], &buffer, 3, KULA_CUR, &streams[i]);
        }
        for (int i = 0; i < 8; i++) {
            kula_buf buffer = buffer_empty(ring, 7);
            kula_read(ring, file, &buffer, 7, 0, &files[i]);
        }
        kula_timer(ring, KULA_MILLISECOND, &timer);
        if (round % 2) {
            assert_true(kula_submit(ring) >= 0);
        }
        assert_int_equal(run_child(&family, leave), 0);
        put(fds[1], "onetwo");
        await_all(ring);
        assert_read_text(&streams[0], "one");
        assert_read_text(&streams[1], "two");
        for (int i = 0; i < 8; i++) {
            assert_read_text(&files[i], "content");
            outcome_release(&files[i]);
        }
        outcome_release(&streams[0]);
        outcome_release(&streams[1]);
    }
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

/* ---- While other threads are inside the library ---- */

static void hear_nothing(void *arg, const struct kula_misuse *misuse)
{
    (void)arg;
    (void)misuse;
}

struct noise {
    uintptr_t stale;
    atomic_bool over;
};

static void *misuse_for_ever(void *arg)
{
    struct noise *noise = arg;
    while (!atomic_load(&noise->over)) {
        kula_buf stale = (kula_buf)noise->stale;
        kula_free(&stale);
    }
    return NULL;
}

static int ask_once(struct family *family)
{
    alarm(
        20); /* a lock that somebody had when the process was copied would never be given back */
    return kula_nop(family->ring, NULL) == 0 ? 0 : 1;
}

static void a_child_does_not_wait_for_threads_that_it_does_not_have(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct family family = { .ring = ring };
    kula_buf buffer = buffer_empty(ring, 64);
    struct noise noise = { .stale = (uintptr_t)buffer };
    kula_free(&buffer);
    kula_on_misuse(hear_nothing, NULL);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, misuse_for_ever, &noise), 0);
    }
    int wrong = 0;
    for (int i = 0; i < 100 && wrong == 0; i++) {
        wrong = run_child(&family, ask_once);
    }
    atomic_store(&noise.over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(every_call_of_a_child_is_refused),
        PROVES(a_child_does_not_get_the_payload),
        PROVES(a_child_may_open_a_ring_of_its_own),
        PROVES(a_ring_of_the_child_does_not_take_the_parents_buffers),
        PROVES(operations_under_way_end_in_the_parent),
        PROVES(a_child_does_not_wait_for_threads_that_it_does_not_have),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
