/* Opening, syncing, looking at and closing files. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int32_t open_file(struct kula_ring *ring,
                         int directory,
                         const char *path,
                         int flags,
                         uint32_t mode)
{
    struct outcome done = { 0 };
    kula_openat(ring, directory, path, flags, mode, &done);
    await(ring, &done);
    return done.result;
}

static void opening_makes_a_file_with_the_mode_that_was_asked_for(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    struct stat found;
    make_directory(path, sizeof path);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mode_t mask = umask(027);
    int fd = open_file(ring, directory, "made", O_CREAT | O_EXCL | O_RDWR, 0666);
    umask(mask);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0640);
    put(fd, "usable");
    expect_content(fd, "usable");
    assert_result(open_file(ring, directory, "made", O_CREAT | O_EXCL | O_RDWR, 0666), -EEXIST);
    retire(ring, (int[]){ directory, fd }, 2);
    remove_directory(path);
}

static void opening_what_is_not_there_says_why(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    char name[128];
    make_directory(path, sizeof path);
    snprintf(name, sizeof name, "%s/missing", path);
    assert_result(open_file(ring, AT_FDCWD, name, O_RDONLY, 0), -ENOENT);
    assert_result(open_file(ring, AT_FDCWD, "", O_RDONLY, 0), -ENOENT);
    assert_result(open_file(ring, AT_FDCWD, path, O_WRONLY, 0), -EISDIR);
    assert_result(open_file(ring, -1, "relative", O_RDONLY, 0), -EBADF);
    int file = make_file("");
    assert_result(open_file(ring, file, "relative", O_RDONLY, 0), -ENOTDIR);
    retire(ring, &file, 1);
    remove_directory(path);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static char path[4 * PATH_MAX];
    struct outcome looked = { 0 };
    memset(path, 'a', sizeof path - 1);
    for (size_t i = 100; i < sizeof path; i += 101) {
        path[i] = '/';
    }
    assert_result(open_file(ring, AT_FDCWD, path, O_RDONLY, 0), -ENAMETOOLONG);
    kula_statx(ring, AT_FDCWD, path, 0, &looked);
    await(ring, &looked);
    assert_result(looked.result, -ENAMETOOLONG);
    path[300] = '\0';
    memset(path, 'a', 300);
    assert_result(open_file(ring, AT_FDCWD, path, O_RDONLY, 0), -ENAMETOOLONG);
}

static void a_detached_open_closes_what_it_opened(void **state)
{
    (void)state;
    unsigned before = harness_fd_count();
    struct kula_ring *ring = harness_open(0);
    for (int i = 0; i < 20; i++) {
        kula_op op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
    }
    assert_int_equal(kula_outstanding(ring), 0);
    /* The ring's end waits for all of them; then, at the latest, every descriptor is closed. */
    harness_close(&ring);
    assert_int_equal(harness_fd_count(), before);
}

static void an_open_whose_event_is_not_pulled_is_closed_with_the_ring(void **state)
{
    (void)state;
    unsigned before = harness_fd_count();
    struct kula_ring *ring = harness_open(0);
    for (int i = 0; i < 5; i++) {
        kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
    }
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    harness_close(&ring);
    assert_int_equal(harness_fd_count(), before);
}

static void syncing_works_on_files_and_is_refused_on_streams(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int file = make_file("data");
    make_pipe(fds);
    struct outcome done[6] = { { 0 } };
    kula_fsync(ring, file, &done[0]);
    kula_fdatasync(ring, file, &done[1]);
    kula_fsync(ring, fds[1], &done[2]);
    kula_fdatasync(ring, fds[1], &done[3]);
    kula_fsync(ring, -1, &done[4]);
    kula_fdatasync(ring, 4000, &done[5]);
    await_all(ring);
    const int expected[] = { 0, 0, -EINVAL, -EINVAL, -EBADF, -EBADF };
    for (int i = 0; i < 6; i++) {
        assert_result(done[i].result, expected[i]);
    }
    retire(ring, (int[]){ file, fds[0], fds[1] }, 3);
}

static int64_t in_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * KULA_SECOND + time.tv_nsec;
}

static void expect_stat(const struct kula_stat *found, const struct stat *wanted)
{
    assert_int_equal(found->size_bytes, wanted->st_size);
    assert_int_equal(found->inode, wanted->st_ino);
    assert_int_equal(found->blocks_512, wanted->st_blocks);
    assert_int_equal(found->device, wanted->st_dev);
    assert_int_equal(found->special, wanted->st_rdev);
    /* following the link is an access, and the one that looks at it may come before or after */
    assert_true(found->accessed_ns >= in_ns(wanted->st_atim));
    assert_int_equal(found->modified_ns, in_ns(wanted->st_mtim));
    assert_int_equal(found->changed_ns, in_ns(wanted->st_ctim));
    assert_int_equal(found->mode, wanted->st_mode);
    assert_int_equal(found->links, wanted->st_nlink);
    assert_int_equal(found->uid, wanted->st_uid);
    assert_int_equal(found->gid, wanted->st_gid);
    assert_int_equal(found->block_bytes, wanted->st_blksize);
}

static void statx_says_what_stat_says(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    char link[128];
    make_directory(path, sizeof path);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = make_file("twelve bytes");
    struct stat wanted[5];
    struct outcome done[5] = { { 0 } };
    snprintf(link, sizeof link, "%s/link", path);
    assert_int_equal(symlink("/dev/null", link), 0);
    assert_int_equal(fstat(file, &wanted[0]), 0);
    assert_int_equal(stat(link, &wanted[2]), 0);
    assert_int_equal(fstatat(directory, "link", &wanted[1], AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(fstat(directory, &wanted[3]), 0);
    wanted[4] = wanted[0];
    kula_statx(ring, file, "", AT_EMPTY_PATH, &done[0]);
    kula_statx(ring, directory, "link", AT_SYMLINK_NOFOLLOW, &done[1]);
    kula_statx(ring, AT_FDCWD, link, 0, &done[2]);
    kula_statx(ring, AT_FDCWD, path, 0, &done[3]);
    kula_statx(ring, file, NULL, AT_EMPTY_PATH, &done[4]);
    await_all(ring);
    for (int i = 0; i < 5; i++) {
        assert_result(done[i].result, 0);
        expect_stat(&done[i].stat, &wanted[i]);
    }
    retire(ring, (int[]){ directory, file }, 2);
    remove_directory(path);
}

static void impossible_looks_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[5] = { { 0 } };
    kula_statx(ring, AT_FDCWD, NULL, 0, &done[0]);
    kula_statx(ring, AT_FDCWD, ".", 1 << 30, &done[1]);
    kula_statx(ring, AT_FDCWD, "does-not-exist", 0, &done[2]);
    kula_statx(ring, -1, "", AT_EMPTY_PATH, &done[3]);
    kula_statx(ring, AT_FDCWD, "", 0, &done[4]);
    await_all(ring);
    assert_result(done[0].result, -EINVAL);
    assert_result(done[1].result, -EINVAL);
    assert_result(done[2].result, -ENOENT);
    assert_result(done[3].result, -EBADF);
    assert_result(done[4].result, -ENOENT);
}

/* io_uring opens a FIFO for reading at once and refuses one for writing with ENXIO, where open(2)
 * waits for the other end (Linux 6.18): what open(2) does is what is wanted. */
static void opening_a_fifo_waits_for_its_peer_without_holding_up_the_rest(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    char name[128];
    make_directory(path, sizeof path);
    snprintf(name, sizeof name, "%s/fifo", path);
    assert_int_equal(mkfifo(name, 0600), 0);
    struct outcome writer = { 0 };
    struct outcome timer = { 0 };
    kula_openat(ring, AT_FDCWD, name, O_WRONLY, 0, &writer);
    kula_timer(ring, KULA_MILLISECOND, &timer);
    await(ring, &timer);
    assert_int_equal(writer.events, 0);
    int reader = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    await(ring, &writer);
    assert_true(writer.result >= 0);
    put(writer.result, "through");
    expect_bytes(reader, "through");
    retire(ring, (int[]){ reader, writer.result }, 2);
    remove_directory(path);
}

static void a_file_goes_through_its_whole_life_by_a_chain(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[4] = { { 0 } };
    int fd = make_file("");
    int keep = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    kula_buf buffer = buffer_text(ring, "durable");
    kula_op write_op = kula_write(ring, fd, &buffer, 7, 0, &done[0]);
    kula_op sync_op = kula_fsync(ring, fd, &done[1]);
    kula_op close_op = kula_close_fd(ring, fd, &done[2]);
    assert_int_equal(kula_after(ring, sync_op, write_op), 0);
    assert_int_equal(kula_after(ring, close_op, sync_op), 0);
    await_all(ring);
    assert_result(done[0].result, 7);
    assert_result(done[1].result, 0);
    assert_result(done[2].result, 0);
    assert_true(done[0].place < done[1].place && done[1].place < done[2].place);
    outcome_release(&done[0]);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    expect_content(keep, "durable");
    retire(ring, &keep, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(opening_makes_a_file_with_the_mode_that_was_asked_for),
        PROVES(opening_what_is_not_there_says_why),
        PROVES(a_path_that_is_too_long_is_refused),
        PROVES(a_detached_open_closes_what_it_opened),
        PROVES(an_open_whose_event_is_not_pulled_is_closed_with_the_ring),
        PROVES(syncing_works_on_files_and_is_refused_on_streams),
        PROVES(statx_says_what_stat_says),
        PROVES(impossible_looks_are_refused),
        PROVES(opening_a_fifo_waits_for_its_peer_without_holding_up_the_rest),
        PROVES(a_file_goes_through_its_whole_life_by_a_chain),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
