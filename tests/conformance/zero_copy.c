/* kula_send with MSG_ZEROCOPY: where the kernel sends from the buffer itself, it may read it for longer than
 * the send takes, and the buffer comes back when it no longer does. Elsewhere the bytes are copied, and all
 * else is the same. */
#include "support/outcome.h"
#include "support/places.h"
#include "support/slow_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- On every backend ---- */

static void the_bytes_arrive_and_the_buffer_comes_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int kind = 0; kind < 3; kind++) {
        int fds[2];
        if (kind == 2) {
            make_datagram_pair(fds);
        } else {
            make_stream_pair(kind == 0 ? AF_INET : AF_UNIX, fds);
        }
        for (int round = 0; round < 4; round++) {
            /* the first one with a copy: from then on those go a shorter way */
            int flags = round == 0 ? 0 : MSG_ZEROCOPY;
            struct outcome done = { 0 };
            kula_buf buffer = buffer_pattern(ring, 1000, 3);
            done.op = kula_send(ring, fds[0], &buffer, 1000, flags, &done);
            expect_no_bytes(fds[1]); /* never early */
            await(ring, &done);
            assert_result(done.result, 1000);
            assert_int_equal(done.flags, 0);
            assert_int_equal(done.events, 1);
            expect_message(fds[1], 0, 1000);
            outcome_release(&done);
        }
        retire(ring, fds, 2);
    }
}

#ifdef SO_ZEROCOPY
static void the_sockets_own_way_of_telling_is_left_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int on = 1;
    make_stream_pair(AF_INET, fds);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on), 0);
    for (int i = 0; i < 3; i++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_pattern(ring, 1000, 3);
        kula_send(ring, fds[0], &buffer, 1000, MSG_ZEROCOPY, &done);
        await(ring, &done);
        assert_result(done.result, 1000);
        outcome_release(&done);
    }
    /* send(2) with this flag would have put its notifications here */
    struct msghdr header = { 0 };
    assert_int_equal(recvmsg(fds[0], &header, MSG_ERRQUEUE | MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    retire(ring, fds, 2);
}
#endif

static void shared_and_lent_bytes_go_the_same_way(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    kula_buf buffer = buffer_pattern(ring, 1000, 3);
    kula_ref ref = kula_freeze(&buffer);
    struct outcome done[3] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        kula_ref copy = kula_clone(ref);
        kula_send(ring, fds[0], &copy, 1000, MSG_ZEROCOPY, &done[i]);
    }
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        assert_result(done[i].result, 1000);
        expect_message(fds[1], 0, 1000);
    }
    assert_memory_equal(kula_ref_bytes(ref), (unsigned char[]){ pattern_byte(0, 3) }, 1);
    kula_drop(&ref);

    unsigned char lent[1000];
    fill_message(lent, sizeof lent);
    assert_result(kula_send_sync(ring, fds[0], lent, sizeof lent, MSG_ZEROCOPY, 0, PATIENCE_NS),
                  sizeof lent);
    expect_message(fds[1], 0, sizeof lent);
    retire(ring, fds, 2);
}

static void what_is_refused_comes_back_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int ends[2];
    make_stream_pair(AF_INET, fds);
    make_pipe(ends);
    assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
    int lonely = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct {
        int fd;
        int flags;
        size_t length;
        int32_t result;
    } cases[] = {
        { fds[0], 0, 10, -EPIPE },        { ends[1], 0, 10, -ENOTSOCK },
        { lonely, 0, 10, -EPIPE },        { -1, 0, 10, -EBADF },
        { 3000, 0, 10, -EBADF },          { fds[0], 0, 5000, -EINVAL },
        { fds[0], 1 << 30, 10, -EINVAL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 4096);
        int flags = cases[i].flags | MSG_ZEROCOPY;
        kula_send(ring, cases[i].fd, &buffer, cases[i].length, flags, &done);
        await_all(ring);
        assert_result(done.result, cases[i].result);
        outcome_release(&done);
    }
    retire(ring, &lonely, 1);
    retire(ring, ends, 2);
    retire(ring, fds, 2);
}

/* What the library tries first may fail where it will not: on a Unix socket, with -EOPNOTSUPP. */
static void ending_one_early_does_not_show_what_was_tried(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int closes = 0; closes < 2; closes++) {
        int fds[2];
        make_stream_pair(AF_UNIX, fds);
        struct outcome done = { 0 };
        struct outcome closed = { 0 };
        kula_buf buffer = buffer_pattern(ring, 1000, 3);
        kula_op op = kula_send(ring, fds[0], &buffer, 1000, MSG_ZEROCOPY, &done);
        assert_true(kula_submit(ring) >= 0);
        if (closes) {
            kula_close_fd(ring, fds[0], &closed);
        } else {
            kula_cancel(ring, op);
        }
        await_all(ring);
        assert_true(done.result == 1000 || done.result == -ECANCELED);
        outcome_release(&done);
        retire(ring, fds, closes ? 0 : 1);
        retire(ring, &fds[1], 1);
    }
}

#ifdef SYS_memfd_secret
static unsigned char *map_secret(size_t size)
{
    int fd = (int)syscall(SYS_memfd_secret, 0);
    if (fd < 0) {
        SKIP_BECAUSE("no memfd_secret: %s", strerror(errno));
    }
    void *bytes = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0) {
        bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int error = errno;
    close(fd);
    if (bytes == MAP_FAILED) {
        SKIP_BECAUSE("no secret memory (it counts as locked): %s", strerror(error));
    }
    return bytes;
}
#endif

/* Nobody but this process can look into such memory, so that no page of it can be given to the network. */
static void memory_that_cannot_be_pinned_is_copied(void **state)
{
    struct kula_ring *ring = harness_ring(state);
#ifdef SYS_memfd_secret
    unsigned char *bytes = map_secret(4096);
    fill_message(bytes, 1000);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct kula_scope scope;
    struct outcome done = { 0 };
    assert_int_equal(kula_scope_begin(ring, &scope), 0);
    kula_scope_send(&scope, fds[0], bytes, 1000, MSG_ZEROCOPY, &done);
    await(ring, &done);
    assert_result(done.result, 1000);
    assert_int_equal(kula_scope_end(&scope, PATIENCE_NS), 0);
    expect_message(fds[1], 0, 1000);
    munmap(bytes, 4096);
    retire(ring, fds, 2);
#else
    (void)ring;
    SKIP_BECAUSE("these headers do not know memfd_secret");
#endif
}

static void one_that_waits_for_room_can_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    fill(fds[0]);
    struct outcome done = { 0 };
    kula_op op = send_message(ring, fds[0], &done);
    assert_pending(ring, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void *read_all(void *arg)
{
    const int *fd = arg;
    expect_message(*fd, 0, 16u * MESSAGE_BYTES);
    return NULL;
}

static void a_full_send_goes_on_until_all_is_sent(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fds[2];
        make_slow_pair(fds);
        if (nonblocking) {
            assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        }
        pthread_t reader;
        struct outcome done = { 0 };
        kula_buf buffer = buffer_pattern(ring, 16u * MESSAGE_BYTES, 3);
        kula_op op = kula_send(ring, fds[0], &buffer, 16u * MESSAGE_BYTES, MSG_ZEROCOPY, &done);
        assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
        assert_pending(ring, &done);
        assert_int_equal(pthread_create(&reader, NULL, read_all, &fds[1]), 0);
        await(ring, &done);
        assert_int_equal(pthread_join(reader, NULL), 0);
        assert_result(done.result, 16 * (int32_t)MESSAGE_BYTES);
        assert_int_equal(done.flags, 0);
        outcome_release(&done);
        retire(ring, fds, 2);
    }
}

/* ---- Where memory may not be locked ---- */

/* In a child, since there is no way back from here: as nobody, who may lock no page more than the ring has. */
static int send_without_lockable_memory(void)
{
    if (geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
        return 2;
    }
    struct kula_config config = harness_config();
    struct kula_ring *ring;
    if (kula_open(&config, &ring) < 0) {
        return HARNESS_SKIPPED; /* the ring itself is beyond the limit */
    }
    struct rlimit none = { 0, 0 };
    int fds[2];
    make_stream_pair(AF_INET, fds);
    kula_buf buffer = kula_alloc(ring, MESSAGE_BYTES);
    if (!buffer || setrlimit(RLIMIT_MEMLOCK, &none) != 0) {
        return 3;
    }
    kula_send(ring, fds[0], &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, NULL);
    struct kula_event *event = kula_wait(ring, PATIENCE_NS) > 0 ? kula_next(ring) : NULL;
    if (!event || event->result <= 0) {
        return event ? 100 - event->result : 4;
    }
    return kula_close(&ring, PATIENCE_NS) < 0 ? 5 : 0;
}

static void where_no_page_may_be_locked_the_bytes_are_copied(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(send_without_lockable_memory());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == HARNESS_SKIPPED) {
        SKIP_WANTING("without privileges there is no memory for a ring");
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(the_bytes_arrive_and_the_buffer_comes_back),
#ifdef SO_ZEROCOPY
        PROVES(the_sockets_own_way_of_telling_is_left_alone),
#endif
        PROVES(shared_and_lent_bytes_go_the_same_way),
        PROVES(what_is_refused_comes_back_once),
        PROVES(ending_one_early_does_not_show_what_was_tried),
        PROVES(memory_that_cannot_be_pinned_is_copied),
        PROVES(one_that_waits_for_room_can_be_cancelled),
        PROVES(a_full_send_goes_on_until_all_is_sent),
        PROVES(where_no_page_may_be_locked_the_bytes_are_copied),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
