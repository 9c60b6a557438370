/* No thread can be had, as under RLIMIT_NPROC or a cgroup's pids.max: what ends by itself is done all the
 * same, and what would wait for somebody else is refused, for nothing could stop it then. */
#include "common/fault.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A ring that would need a thread for what a kernel's ring does by itself. */
static struct kula_ring *open_ring(const char *mask)
{
    struct kula_config config = harness_config();
    config.mask = mask;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    kula__fault_arm_point("pthread_create");
    return ring;
}

static void close_ring(struct kula_ring **ring)
{
    kula__fault_disarm();
    harness_close(ring);
}

static int32_t open_at(struct kula_ring *ring, const char *path, int flags)
{
    struct outcome done = { 0 };
    kula_op op = kula_openat(ring, AT_FDCWD, path, flags, 0, &done);
    assert_int_equal(kula_deadline(ring, op, PATIENCE_NS), 0);
    await(ring, &done);
    if (done.result >= 0) {
        retire(ring, &done.result, 1);
    }
    return done.result;
}

static void a_fifo_that_would_wait_for_its_peer_is_refused(void **state)
{
    (void)state;
    char folder[64];
    char path[80];
    make_directory(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    struct kula_ring *ring = open_ring("op:openat");
    assert_result(open_at(ring, path, O_RDONLY), -ENOMEM);
    assert_result(open_at(ring, path, O_WRONLY), -ENOMEM);
    assert_result(open_at(ring, path, O_WRONLY | O_NONBLOCK), -ENXIO);
    assert_true(open_at(ring, path, O_RDONLY | O_NONBLOCK) >= 0);
    assert_true(open_at(ring, path, O_RDWR) >= 0);
    close_ring(&ring);
    remove_directory(folder);
}

static void files_are_opened_all_the_same(void **state)
{
    (void)state;
    struct kula_ring *ring = open_ring("op:openat");
    assert_true(open_at(ring, "/dev/null", O_WRONLY) >= 0);
    assert_true(open_at(ring, ".", O_RDONLY) >= 0);
    assert_result(open_at(ring, "there-is-no-such-file", O_RDONLY), -ENOENT);
    close_ring(&ring);
}

static int connect_now(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return connect(fd, (const struct sockaddr *)address, sizeof *address) == 0
               ? fd
               : (close(fd), -1);
}

/* poll(2) does not tell when a Unix socket's backlog has room again. */
static void a_connect_that_would_wait_for_a_backlog_is_refused(void **state)
{
    (void)state;
    char folder[64];
    make_directory(folder, sizeof folder);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%.60s/socket", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    int held[8];
    size_t count = 0;
    while (count < 8 && (held[count] = connect_now(&address)) >= 0) {
        count++;
    }
    assert_true(count < 8);

    struct kula_ring *ring = open_ring("op:connect");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct outcome done = { 0 };
    kula_connect(ring, fd, (struct sockaddr *)&address, sizeof address, &done);
    await(ring, &done);
    assert_result(done.result, -ENOMEM);
    retire(ring, &fd, 1);
    close_ring(&ring);
    while (count > 0) {
        close(held[--count]);
    }
    close(listener);
    remove_directory(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_fifo_that_would_wait_for_its_peer_is_refused),
        PROVES(files_are_opened_all_the_same),
        PROVES(a_connect_that_would_wait_for_a_backlog_is_refused),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
