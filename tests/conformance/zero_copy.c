/* kula_send with MSG_ZEROCOPY: where the kernel sends from the buffer itself, it may read it for longer than
 * the send takes, and the buffer comes back when it no longer does. Elsewhere the bytes are copied, and all
 * else is the same. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Goes into the sending side at once, and does not fit into the receiving one. (That of the least size would
 * have TCP wait for its own timers all the time.) */
#define MESSAGE_BYTES 262144u
#define RECEIVE_BYTES 32768
#define SEND_BYTES    (4 * (int)MESSAGE_BYTES) /* as far as net.core.wmem_max allows */

static bool has_feature(const struct kula_report *report, const char *name)
{
    for (uint32_t bit = 0; kula_feature_name(bit); bit++) {
        if (strcmp(kula_feature_name(bit), name) == 0) {
            return report->features >> bit & 1;
        }
    }
    fail_msg("there is no feature of that name");
    return false;
}

/* Whether this ring sends without a copy at all. */
static bool sends_in_place(struct kula_ring *ring)
{
    struct kula_report report = { .size = sizeof report };
    assert_int_equal(kula_describe(ring, &report), 0);
    for (uint32_t op = 1; kula_operation_name(op); op++) {
        if (strcmp(kula_operation_name(op), "send") == 0 &&
            report.routes[op] != KULA_ROUTE_RING) {
            return false;
        }
    }
    return has_feature(&report, "send_zc");
}

/* A TCP connection whose second end takes a part of a message and then nothing, until it is read. */
static void make_slow_pair(int ret_fds[2])
{
    struct sockaddr_storage address;
    socklen_t length;
    int little = RECEIVE_BYTES;
    int enough = SEND_BYTES;
    int listener = make_listener(&address, &length, 1);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    ret_fds[0] = make_connection(&address, length);
    ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ret_fds[1] >= 0);
    assert_int_equal(setsockopt(ret_fds[0], SOL_SOCKET, SO_SNDBUF, &enough, sizeof enough), 0);
    close(listener);
}

static kula_op send_message(struct kula_ring *ring, int fd, struct outcome *done)
{
    kula_buf buffer = buffer_pattern(ring, MESSAGE_BYTES, 3);
    done->op = kula_send(ring, fd, &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, done);
    return done->op;
}

/* What a test can see of a send that has gone out and that the peer has not read. */
static void assert_out(struct kula_ring *ring, const struct outcome *done)
{
    if (sends_in_place(ring)) {
        assert_pending(ring, done);
    } else {
        await(ring, done); /* the bytes were copied: nobody reads the buffer */
    }
}

static kula_op send_and_leave_unread(struct kula_ring *ring,
                                     const int fds[2],
                                     struct outcome *done)
{
    kula_op op = send_message(ring, fds[0], done);
    assert_out(ring, done);
    assert_true(is_readable(fds[1]));
    return op;
}

/* Reads so many bytes of the pattern. */
static void expect_message(int fd, size_t from, size_t count)
{
    static unsigned char bytes[4096];
    for (size_t at = 0; at < count;) {
        size_t wanted = count - at < sizeof bytes ? count - at : sizeof bytes;
        ssize_t got = read(fd, bytes, wanted);
        assert_true(got > 0);
        for (size_t i = 0; i < (size_t)got; i++) {
            assert_int_equal(bytes[i], pattern_byte(from + at + i, 3));
        }
        at += (size_t)got;
    }
}

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
    for (size_t i = 0; i < sizeof lent; i++) {
        lent[i] = pattern_byte(i, 3);
    }
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

/* ---- While the peer does not read ---- */

static void nobody_gets_the_buffer_while_the_kernel_still_reads_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    expect_message(fds[1], 0, 1); /* it has been sent, and the first byte has arrived */
    assert_out(ring, &done);
    assert_int_equal(kula_outstanding(ring), sends_in_place(ring) ? 1 : 0);
    expect_message(fds[1], 1, MESSAGE_BYTES - 1);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void the_next_send_does_not_wait_for_the_buffer_of_the_first(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome first = { 0 };
    struct outcome second = { 0 };
    send_and_leave_unread(ring, fds, &first);
    kula_buf buffer = buffer_pattern(ring, 100, 3);
    kula_send(ring, fds[0], &buffer, 100, 0, &second);
    await(ring, &second);
    assert_result(second.result, 100);
    assert_int_equal(first.events, sends_in_place(ring) ? 0 : 1);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    expect_message(fds[1], 0, 100);
    await(ring, &first);
    assert_result(first.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&first);
    outcome_release(&second);
    retire(ring, fds, 2);
}

static void what_has_been_sent_cannot_be_cancelled_and_is_not_late(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    kula_op op = send_and_leave_unread(ring, fds, &done);
    bool in_place = sends_in_place(ring);
    assert_result(kula_deadline(ring, op, KULA_MILLISECOND), in_place ? 0 : -ENOENT);
    assert_out(ring, &done);
    assert_result(kula_cancel(ring, op), in_place ? -EALREADY : -ENOENT);
    assert_result(kula_cancel_fd(ring, fds[0]), 0);
    assert_result(kula_cancel_all(ring), 0);
    assert_out(ring, &done);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void closing_the_socket_does_not_wait_for_the_peer_to_read(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    struct outcome closed = { 0 };
    send_and_leave_unread(ring, fds, &done);
    kula_close_fd(ring, fds[0], &closed);
    await(ring, &closed);
    assert_result(closed.result, 0);
    assert_result(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(done.events, sends_in_place(ring) ? 0 : 1);

    /* The number may be another file's now: what is left of the send has nothing to do with it. */
    int again[2];
    make_pipe(again);
    assert_true(again[0] == fds[0] || again[1] == fds[0]);
    assert_result(kula_cancel_fd(ring, fds[0]), 0);
    assert_result(kula_forget_fd(ring, fds[0]), 0);
    close(again[0]);
    close(again[1]);

    expect_message(fds[1], 0, MESSAGE_BYTES);
    assert_int_equal(read(fds[1], &(char){ 0 }, 1), 0);
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
    close(fds[1]);
}

static void a_socket_can_be_forgotten_while_its_last_buffer_is_out(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    assert_result(kula_forget_fd(ring, fds[0]), 0);
    close(fds[0]);
    close(fds[1]); /* unread: a reset, and nobody will ever read the bytes */
    await(ring, &done);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
}

static void a_ring_does_not_close_under_the_kernels_reading(void **state)
{
    struct kula_ring *ring = harness_open(0);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    send_and_leave_unread(ring, fds, &done);
    if (sends_in_place(ring)) {
        harness_context(state)->warnings_expected = true;
        assert_result(kula_close(&ring, 20 * KULA_MILLISECOND), -EBUSY);
        assert_non_null(ring);
        assert_non_null(strstr(harness_last_warning(), "send without a copy"));
        expect_message(fds[1], 0, MESSAGE_BYTES);
        await(ring, &done);
    }
    outcome_release(&done);
    harness_close(&ring);
    close(fds[0]);
    close(fds[1]);
}

/* A message in the only buffer of a pool. */
static kula_buf take_only_buffer(struct kula_ring *ring, struct kula_pool **ret_pool)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = MESSAGE_BYTES;
    config.count = 1;
    assert_int_equal(kula_pool_open(ring, &config, ret_pool), 0);
    kula_buf buffer = kula_pool_get(*ret_pool, 0);
    assert_non_null(buffer);
    unsigned char *bytes = kula_bytes(buffer);
    for (size_t i = 0; i < MESSAGE_BYTES; i++) {
        bytes[i] = pattern_byte(i, 3);
    }
    return buffer;
}

static void a_detached_send_keeps_its_buffer_until_then(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct kula_pool *pool;
    kula_buf buffer = take_only_buffer(ring, &pool);
    kula_op op = kula_send(ring, fds[0], &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, NULL);
    assert_true(kula_submit(ring) >= 0);
    assert_int_equal(kula_detach(ring, op), 0);
    if (sends_in_place(ring)) {
        pump(ring, 30 * KULA_MILLISECOND);
        assert_null(kula_pool_get(pool, 0));
    }
    expect_message(fds[1], 0, MESSAGE_BYTES);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (!(buffer = kula_pool_get(pool, 0)) && harness_now_ns() < limit) {
        pump(ring, KULA_MILLISECOND);
    }
    assert_non_null(buffer);
    kula_free(&buffer);
    assert_int_equal(kula_pool_close(&pool), 0);
    retire(ring, fds, 2);
}

static void note_holder(void *arg, int level, const char *text)
{
    unsigned *lines = arg;
    (void)level;
    *lines += strstr(text, "with the kernel: sent, and not acknowledged") != NULL;
}

static void a_pool_that_closes_meanwhile_says_where_its_buffer_is(void **state)
{
    (void)state;
    unsigned lines = 0;
    struct kula_config config = harness_config();
    config.log = note_holder;
    config.log_arg = &lines;
    struct kula_ring *ring;
    assert_int_equal(kula_open(&config, &ring), 0);
    int fds[2];
    make_slow_pair(fds);
    struct kula_pool *pool;
    struct outcome done = { 0 };
    kula_buf buffer = take_only_buffer(ring, &pool);
    kula_send(ring, fds[0], &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, &done);
    assert_out(ring, &done);
    assert_int_equal(kula_pool_close(&pool), 1);
    assert_int_equal(lines, sends_in_place(ring) ? 1 : 0);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &done);
    outcome_release(&done);
    harness_close(&ring);
    close(fds[0]);
    close(fds[1]);
}

static void a_successor_starts_when_the_buffer_is_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    struct outcome done = { 0 };
    struct outcome next = { 0 };
    kula_op op = send_message(ring, fds[0], &done);
    kula_op successor = kula_nop(ring, &next);
    assert_int_equal(kula_after(ring, successor, op), 0);
    assert_out(ring, &next);
    expect_message(fds[1], 0, MESSAGE_BYTES);
    await(ring, &next);
    assert_result(next.result, 0);
    assert_result(done.result, (int32_t)MESSAGE_BYTES);
    outcome_release(&done);
    retire(ring, fds, 2);
}

#define LATER_NS (50 * KULA_MILLISECOND)

static void *read_later(void *arg)
{
    const int *fd = arg;
    harness_sleep_ns(LATER_NS);
    expect_message(*fd, 0, MESSAGE_BYTES);
    return NULL;
}

static void lent_memory_is_not_given_back_in_a_hurry(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_slow_pair(fds);
    static unsigned char lent[MESSAGE_BYTES];
    for (size_t i = 0; i < sizeof lent; i++) {
        lent[i] = pattern_byte(i, 3);
    }
    struct kula_scope scope;
    struct outcome done = { 0 };
    assert_int_equal(kula_scope_begin(ring, &scope), 0);
    done.op = kula_scope_send(&scope, fds[0], lent, sizeof lent, MSG_ZEROCOPY, &done);
    assert_out(ring, &done);
    pthread_t reader;
    int64_t start_ns = harness_now_ns();
    assert_int_equal(pthread_create(&reader, NULL, read_later, &fds[1]), 0);
    int32_t result = kula_scope_end(&scope, KULA_MILLISECOND);
    if (sends_in_place(ring)) {
        assert_result(result, -ETIME);
        assert_true(harness_now_ns() - start_ns >= LATER_NS);
    } else {
        assert_result(result, 0);
    }
    await(ring, &done);
    assert_result(done.result, (int32_t)sizeof lent);
    assert_int_equal(pthread_join(reader, NULL), 0);
    retire(ring, fds, 2);
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
        PROVES(one_that_waits_for_room_can_be_cancelled),
        PROVES(a_full_send_goes_on_until_all_is_sent),
        PROVES(nobody_gets_the_buffer_while_the_kernel_still_reads_it),
        PROVES(the_next_send_does_not_wait_for_the_buffer_of_the_first),
        PROVES(what_has_been_sent_cannot_be_cancelled_and_is_not_late),
        PROVES(closing_the_socket_does_not_wait_for_the_peer_to_read),
        PROVES(a_socket_can_be_forgotten_while_its_last_buffer_is_out),
        PROVES(a_ring_does_not_close_under_the_kernels_reading),
        PROVES(a_detached_send_keeps_its_buffer_until_then),
        PROVES(a_pool_that_closes_meanwhile_says_where_its_buffer_is),
        PROVES(a_successor_starts_when_the_buffer_is_back),
        PROVES(lent_memory_is_not_given_back_in_a_hurry),
        PROVES(where_no_page_may_be_locked_the_bytes_are_copied),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
