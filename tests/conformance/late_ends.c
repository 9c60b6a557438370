/* What the kernel or a worker is slow to give back, or refuses, ends all the same: once, with the first
 * answer, and without holding up what is behind it. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A ring that has few workers, whatever the machine has processors. */
static struct kula_ring *open_with_few_workers(void)
{
    struct kula_config config = harness_config();
    config.threads_max = 4;
    struct kula_ring *ring = NULL;
    assert_result(kula_open(&config, &ring), 0);
    return ring;
}

/* ---- Connecting to a full backlog ---------------------------------------------------------- */

struct crowd {
    char directory[64];
    struct sockaddr_un address;
    int listener;
    int waiting[8]; /* what fills the backlog */
    size_t waiting_count;
};

static int connect_now(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        assert_int_equal(errno, EAGAIN);
        close(fd);
        return -1;
    }
    return fd;
}

static void crowd_begin(struct crowd *crowd)
{
    make_directory(crowd->directory, sizeof crowd->directory);
    crowd->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(crowd->address.sun_path, sizeof crowd->address.sun_path, "%s/socket",
             crowd->directory);
    crowd->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        bind(crowd->listener, (struct sockaddr *)&crowd->address, sizeof crowd->address), 0);
    assert_int_equal(listen(crowd->listener, 1), 0);
    crowd->waiting_count = 0;
    for (int fd; (fd = connect_now(&crowd->address)) >= 0; crowd->waiting_count++) {
        assert_true(crowd->waiting_count < 8);
        crowd->waiting[crowd->waiting_count] = fd;
    }
}

/* Whoever still waits for the listener is refused from here on. */
static void crowd_leave(struct crowd *crowd)
{
    close(crowd->listener);
    while (crowd->waiting_count > 0) {
        close(crowd->waiting[--crowd->waiting_count]);
    }
}

/* Linux 6.18 does not find such a connect for a while, and answers -ENOENT to those who ask for it. */
static void a_cancelled_connect_to_a_full_backlog_ends(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        CONNECTS = 8
    };
    for (int round = 0; round < 4; round++) {
        struct crowd crowd;
        crowd_begin(&crowd);
        int fds[CONNECTS];
        int answers[CONNECTS];
        struct outcome done[CONNECTS] = { { 0 } };
        for (int i = 0; i < CONNECTS; i++) {
            fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            done[i].op = kula_connect(ring, fds[i], (struct sockaddr *)&crowd.address,
                                      sizeof crowd.address, &done[i]);
        }
        assert_true(kula_submit(ring) >= 0);
        for (int i = 0; i < round; i++) {
            assert_int_equal(pump(ring, 0), 0);
        }
        for (int i = 0; i < CONNECTS; i++) {
            answers[i] = kula_cancel(ring, done[i].op);
            assert_true(answers[i] == 0 || answers[i] == -EALREADY);
        }
        for (int i = 0; i < CONNECTS; i++) {
            if (answers[i] == 0) {
                await(ring, &done[i]); /* nobody helps */
                assert_result(done[i].result, -ECANCELED);
            }
        }
        crowd_leave(&crowd);
        await_all(ring);
        remove_directory(crowd.directory);
        for (int i = 0; i < CONNECTS; i++) {
            assert_int_equal(done[i].events, 1);
            assert_result(done[i].result, answers[i] == 0 ? -ECANCELED : -ECONNREFUSED);
        }
        retire(ring, fds, CONNECTS);
    }
}

/* ---- Opening ------------------------------------------------------------------------------- */

/* An open that ends in -EINVAL, by what the program asks for: nothing has O_DIRECT there. */
#define REFUSING "/dev/null"

static void need_refusals(void)
{
    int fd = open(REFUSING, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd >= 0 || errno != EINVAL) {
        if (fd >= 0) {
            close(fd);
        }
        SKIP_WANTING("O_DIRECT is not refused for %s", REFUSING);
    }
}

static void opens_behind_refused_ones_all_end(void **state)
{
    (void)state;
    enum {
        OPENS = 24,
        REFUSED = 8
    };
    need_refusals();
    struct kula_ring *ring = open_with_few_workers();
    struct outcome done[OPENS] = { { 0 } };
    for (int i = 0; i < OPENS; i++) {
        int flags = O_RDONLY | (i < REFUSED ? O_DIRECT : 0) | (i % 2 ? O_CREAT : 0);
        kula_openat(ring, AT_FDCWD, REFUSING, flags, 0600, &done[i]);
    }
    await_all(ring);
    for (int i = 0; i < OPENS; i++) {
        assert_int_equal(done[i].events, 1);
        if (i < REFUSED) {
            assert_result(done[i].result, -EINVAL);
        } else {
            assert_true(done[i].result >= 0);
            retire(ring, &done[i].result, 1);
        }
    }
    harness_close(&ring);
}

struct fifo {
    char directory[64];
    char path[80];
    int both_ends; /* -1: opening one end waits for somebody */
};

static void fifo_make(struct fifo *fifo)
{
    make_directory(fifo->directory, sizeof fifo->directory);
    snprintf(fifo->path, sizeof fifo->path, "%s/fifo", fifo->directory);
    assert_int_equal(mkfifo(fifo->path, 0600), 0);
    fifo->both_ends = -1;
}

/* Lets go whatever waits for a peer, or begins to. */
static void fifo_let_go(struct fifo *fifo)
{
    fifo->both_ends = open(fifo->path, O_RDWR | O_CLOEXEC);
    assert_true(fifo->both_ends >= 0);
}

static void fifo_remove(struct fifo *fifo)
{
    close(fifo->both_ends);
    remove_directory(fifo->directory);
}

static bool opens_go_by_the_ring(const struct kula_ring *ring)
{
    struct kula_report report = { .size = sizeof report };
    assert_int_equal(kula_describe(ring, &report), 0);
    for (uint32_t i = 0; i < kula_operation_count(); i++) {
        if (strcmp(kula_operation_name(i), "openat") == 0) {
            return report.routes[i] == KULA_ROUTE_RING;
        }
    }
    fail_msg("there is no openat");
    return false;
}

/* An open that waits for its peer, cancelled: whether that is possible is a matter of the way that it goes. */
static void expect_cancellable(struct kula_ring *ring, bool by_the_ring)
{
    struct fifo fifo;
    struct outcome done = { 0 };
    fifo_make(&fifo);
    kula_op op = kula_openat(ring, AT_FDCWD, fifo.path, O_RDONLY, 0, &done);
    assert_pending(ring, &done);
    int answer = kula_cancel(ring, op);
    assert_true(answer == 0 || answer == -EALREADY);
    if (by_the_ring) {
        assert_result(answer, 0);
    }
    if (answer == 0) {
        await(ring, &done);
        assert_result(done.result, -ECANCELED);
    }
    fifo_let_go(&fifo);
    await(ring, &done);
    if (answer != 0) {
        assert_true(done.result >= 0);
        retire(ring, &done.result, 1);
    }
    fifo_remove(&fifo);
}

static void bad_arguments_of_the_program_do_not_change_the_way_of_an_open(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    need_refusals();
    bool by_the_ring = opens_go_by_the_ring(ring);
    expect_cancellable(ring, by_the_ring);
    for (int i = 0; i < 8; i++) {
        struct outcome done = { 0 };
        kula_openat(ring, AT_FDCWD, REFUSING, O_RDONLY | O_DIRECT, 0, &done);
        await(ring, &done);
        assert_result(done.result, -EINVAL);
    }
    expect_cancellable(ring, by_the_ring);
}

/* The kernel's workers are a thread's, and not a ring's. */
static void opens_that_wait_on_two_rings_do_not_keep_storage_from_ending(void **state)
{
    (void)state;
    enum {
        RINGS = 2,
        OPENS = 8
    };
    struct fifo fifo;
    struct kula_ring *rings[RINGS] = { open_with_few_workers(), open_with_few_workers() };
    struct outcome opened[RINGS][OPENS] = { { { 0 } } };
    int file = make_file("content");
    fifo_make(&fifo);
    for (int r = 0; r < RINGS; r++) {
        for (int i = 0; i < OPENS; i++) {
            kula_openat(rings[r], AT_FDCWD, fifo.path, O_RDONLY, 0, &opened[r][i]);
        }
        assert_pending(rings[r], &opened[r][0]);
    }
    for (int r = 0; r < RINGS; r++) {
        struct outcome synced = { 0 };
        struct outcome looked = { 0 };
        kula_fsync(rings[r], file, &synced);
        kula_statx(rings[r], AT_FDCWD, ".", 0, &looked);
        await(rings[r], &synced);
        await(rings[r], &looked);
        assert_result(synced.result, 0);
        assert_result(looked.result, 0);
    }
    fifo_let_go(&fifo);
    for (int r = 0; r < RINGS; r++) {
        await_all(rings[r]);
        for (int i = 0; i < OPENS; i++) {
            assert_true(opened[r][i].result >= 0);
            retire(rings[r], &opened[r][i].result, 1);
        }
        retire(rings[r], &file, r == RINGS - 1 ? 1 : 0);
        harness_close(&rings[r]);
    }
    fifo_remove(&fifo);
}

/* A ramfs has no O_DIRECT, and finds out when the file is there: -EEXIST would be a second try's. */
static void an_open_that_leaves_a_file_behind_is_tried_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC;
    char directory[64];
    char path[2][96];
    make_directory(directory, sizeof directory);
    if (mount("kula-test", directory, "ramfs", 0, NULL) != 0) {
        int error = errno;
        remove_directory(directory);
        SKIP_WANTING("a ramfs cannot be mounted: %s", strerror(error));
    }
    snprintf(path[0], sizeof path[0], "%s/by-open", directory);
    snprintf(path[1], sizeof path[1], "%s/by-the-ring", directory);
    int fd = open(path[0], flags, 0600);
    int32_t expected = fd >= 0 ? 0 : -errno;
    struct outcome done = { 0 };
    kula_openat(ring, AT_FDCWD, path[1], flags, 0600, &done);
    await(ring, &done);
    bool there = access(path[0], F_OK) == 0 && access(path[1], F_OK) == 0;
    if (fd >= 0) {
        close(fd);
    }
    if (done.result >= 0) {
        retire(ring, &done.result, 1);
    }
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (umount(directory) != 0 && errno == EBUSY && harness_now_ns() < limit) {
        pump(ring, KULA_MILLISECOND); /* see full.c */
    }
    remove_directory(directory);
    if (expected != -EINVAL || !there) {
        SKIP_WANTING("this ramfs does not refuse O_DIRECT after the fact");
    }
    assert_result(done.result, -EINVAL);
}

/* ---- Descriptors of the ring --------------------------------------------------------------- */

static void closing_the_descriptor_of_the_ring_is_refused_and_the_ring_goes_on(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int own = kula_pollable(ring);
    assert_true(own >= 0);
    for (int round = 0; round < 3; round++) {
        struct outcome closed = { 0 };
        struct outcome got = { 0 };
        int fds[2];
        kula_close_fd(ring, own, &closed);
        await(ring, &closed);
        assert_result(closed.result, -EBADF);
        assert_true(fcntl(own, F_GETFD) >= 0);
        assert_int_equal(kula_pollable(ring), own);

        make_pipe(fds);
        kula_buf buffer = buffer_empty(ring, 16);
        kula_read(ring, fds[0], &buffer, 16, KULA_CUR, &got);
        assert_pending(ring, &got);
        put(fds[1], "goes on");
        struct pollfd entry = { .fd = own, .events = POLLIN };
        assert_int_equal(poll(&entry, 1, (int)(PATIENCE_NS / KULA_MILLISECOND)), 1);
        await(ring, &got);
        assert_read_text(&got, "goes on");
        outcome_release(&got);
        retire(ring, fds, 2);
    }
}

/* What is refused must not use, and give back, the record that is kept for the descriptor's own close. */
static void a_refused_close_leaves_every_record_to_one_operation(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int own = kula_pollable(ring);
    assert_true(own >= 0);
    for (int round = 1; round <= 4; round++) {
        struct outcome closed = { 0 };
        struct outcome other[16] = { { 0 } };
        int more = 4 * round; /* than before: every record that is free is used */
        closed.op = kula_close_fd(ring, own, &closed);
        for (int i = 0; i < more; i++) {
            other[i].op = kula_nop(ring, &other[i]);
        }
        await_all(ring);
        assert_int_equal(closed.events, 1);
        assert_result(closed.result, -EBADF);
        for (int i = 0; i < more; i++) {
            assert_int_equal(other[i].events, 1);
            assert_result(other[i].result, 0);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_cancelled_connect_to_a_full_backlog_ends),
        PROVES(opens_behind_refused_ones_all_end),
        PROVES(bad_arguments_of_the_program_do_not_change_the_way_of_an_open),
        PROVES(opens_that_wait_on_two_rings_do_not_keep_storage_from_ending),
        PROVES(an_open_that_leaves_a_file_behind_is_tried_once),
        PROVES(closing_the_descriptor_of_the_ring_is_refused_and_the_ring_goes_on),
        PROVES(a_refused_close_leaves_every_record_to_one_operation),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
