/* Calls that wait inside although poll(2) has said "ready", or that wait for what never comes: they do not
 * hold up the ring, they can be stopped, and they end as the call of the same name ends. */
#include "support/outcome.h"
#include "support/places.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALIGNMENT 4096

/* What is left to say of a ring that is not held up: something else ends on it. */
static void assert_goes_on(struct kula_ring *ring, const struct outcome *waiting)
{
    struct outcome timer = { 0 };
    struct outcome nothing = { 0 };
    kula_timer(ring, KULA_MILLISECOND, &timer);
    kula_nop(ring, &nothing);
    await(ring, &timer);
    await(ring, &nothing);
    assert_result(timer.result, 0);
    assert_int_equal(waiting->events, 0);
}

/* ---- Terminals ----------------------------------------------------------------------------- */

static void expect_pattern_from(struct kula_ring *ring, int fd, int32_t count)
{
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, (size_t)count);
    kula_op op = kula_read(ring, fd, &buffer, (size_t)count, KULA_CUR, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    await(ring, &done);
    assert_result(done.result, count);
    const unsigned char *bytes = kula_bytes(done.buffer);
    for (size_t i = 0; i < (size_t)count; i++) {
        if (bytes[i] != pattern_byte(i, 6)) {
            fail_msg("byte %zu of %d is wrong", i, count);
        }
    }
    outcome_release(&done);
}

/* Linux 6.18: a ring's WRITE to a terminal sleeps in the call that submitted it. */
static void a_write_to_a_terminal_that_nobody_reads_does_not_hold_up_the_ring(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const size_t size = 1 << 18; /* no terminal takes that much */
    for (int side = 0; side < 2; side++) {
        int terminal[2];
        make_terminal(terminal);
        struct outcome done = { 0 };
        kula_buf buffer = buffer_pattern(ring, size, 6);
        kula_op op = kula_write(ring, terminal[side], &buffer, size, KULA_CUR, &done);
        assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
        assert_true(kula_submit(ring) >= 0);
        assert_goes_on(ring, &done);
        assert_int_equal(kula_cancel(ring, op), 0);
        await(ring, &done);
        assert_true(done.result > 0 && done.result < (int32_t)size);
        assert_int_equal(done.flags, KULA_EVENT_CANCELLED);
        outcome_release(&done);
        expect_pattern_from(ring, terminal[1 - side], done.result);
        retire(ring, terminal, 2);
    }
}

/* ---- Numbers ------------------------------------------------------------------------------- */

#define MOST UINT64_C(0xfffffffffffffffe)

static kula_op write_number(struct kula_ring *ring,
                            int fd,
                            uint64_t number,
                            struct outcome *done)
{
    kula_buf buffer = buffer_empty(ring, sizeof number);
    memcpy(kula_bytes(buffer), &number, sizeof number);
    return kula_write(ring, fd, &buffer, sizeof number, KULA_CUR, done);
}

static void expect_number(int fd, uint64_t expected)
{
    uint64_t found = 0;
    assert_int_equal(read(fd, &found, sizeof found), sizeof found);
    assert_true(found == expected);
}

static void a_number_that_does_not_fit_waits_and_its_deadline_ends_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    int fd = eventfd(5, EFD_CLOEXEC);
    int flags = fcntl(fd, F_GETFL);
    kula_op op = write_number(ring, fd, MOST, &done);
    assert_true(kula_submit(ring) >= 0);
    assert_goes_on(ring, &done);
    assert_int_equal(kula_deadline(ring, op, KULA_MILLISECOND), 0);
    await(ring, &done);
    assert_result(done.result, -ETIME);
    outcome_release(&done);
    assert_int_equal(fcntl(fd, F_GETFL), flags);
    expect_number(fd, 5);
    retire(ring, &fd, 1);
}

static void a_number_that_does_not_fit_is_written_once_there_is_room(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    int fd = eventfd(5, EFD_CLOEXEC);
    write_number(ring, fd, MOST, &done);
    assert_true(kula_submit(ring) >= 0);
    assert_goes_on(ring, &done);
    expect_number(fd, 5);
    await(ring, &done);
    assert_result(done.result, sizeof(uint64_t));
    outcome_release(&done);
    expect_number(fd, MOST);
    retire(ring, &fd, 1);
}

/* ---- Shut down ----------------------------------------------------------------------------- */

enum kind {
    UDP,
    UNIX_DATAGRAM,
    UNIX_STREAM,
    UNIX_SEQPACKET,
    KINDS,
};

/* Linux tells only with POLLRDHUP, which POSIX does not have, that a datagram socket was shut down. */
static bool has_an_end(enum kind kind)
{
#if defined KULA_NO_LINUX
    return kind == UNIX_STREAM || kind == UNIX_SEQPACKET;
#else
    (void)kind;
    return true;
#endif
}

static void make_pair(enum kind kind, int ret_fds[2])
{
    static const int types[KINDS] = { 0, SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET };
    if (kind == UDP) {
        make_datagram_pair(ret_fds);
    } else {
        assert_int_equal(socketpair(AF_UNIX, types[kind] | SOCK_CLOEXEC, 0, ret_fds), 0);
    }
}

static void receive(struct kula_ring *ring, int fd, bool by_read, struct outcome *done)
{
    kula_buf buffer = buffer_empty(ring, 16);
    if (by_read) {
        kula_read(ring, fd, &buffer, 16, KULA_CUR, done);
    } else {
        kula_recv(ring, fd, &buffer, 16, 0, done);
    }
}

static void shut(struct kula_ring *ring, int fd)
{
    struct outcome done = { 0 };
    kula_shutdown(ring, fd, SHUT_RD, &done);
    await(ring, &done);
    assert_result(done.result, 0);
}

/* As recv(2) does it when it waits; without waiting it says EAGAIN of a datagram socket, for ever. */
static void a_receive_that_waits_ends_with_the_shutdown(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int variant = 0; variant < 2 * KINDS; variant++) {
        if (!has_an_end((enum kind)(variant / 2))) {
            continue;
        }
        int fds[2];
        struct outcome done = { 0 };
        make_pair((enum kind)(variant / 2), fds);
        receive(ring, fds[0], variant % 2, &done);
        assert_pending(ring, &done);
        shut(ring, fds[0]);
        await(ring, &done);
        assert_result(done.result, 0);
        outcome_release(&done);
        retire(ring, fds, 2);
    }
}

static void a_receive_after_the_shutdown_ends_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int variant = 0; variant < 2 * KINDS; variant++) {
        if (!has_an_end((enum kind)(variant / 2))) {
            continue;
        }
        int fds[2];
        struct outcome done[2] = { { 0 } };
        make_pair((enum kind)(variant / 2), fds);
        shut(ring, fds[0]);
        for (int i = 0; i < 2; i++) {
            receive(ring, fds[0], variant % 2, &done[i]);
            await(ring, &done[i]);
            assert_result(done[i].result, 0);
            outcome_release(&done[i]);
        }
        retire(ring, fds, 2);
    }
}

/* ---- Connections --------------------------------------------------------------------------- */

static int32_t connect_to(struct kula_ring *ring,
                          int fd,
                          const struct sockaddr_storage *address)
{
    struct outcome done = { 0 };
    kula_connect(ring, fd, (const struct sockaddr *)address, sizeof(struct sockaddr_in), &done);
    await(ring, &done);
    return done.result;
}

static void connecting_what_is_connected_is_eisconn(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int types[] = { SOCK_STREAM, SOCK_STREAM | SOCK_NONBLOCK };
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 4);
    for (size_t i = 0; i < 2; i++) {
        int fd = socket(AF_INET, types[i] | SOCK_CLOEXEC, 0);
        assert_result(connect_to(ring, fd, &address), 0);
        assert_result(connect_to(ring, fd, &address), -EISCONN);
        assert_result(connect_to(ring, fd, &address), -EISCONN);
        retire(ring, &fd, 1);
    }
    retire(ring, &listener, 1);
}

static void a_refused_connection_is_refused_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int types[] = { SOCK_STREAM, SOCK_STREAM | SOCK_NONBLOCK };
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof address;
    struct sockaddr_in any = { .sin_family = AF_INET };
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int silent =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* has a port, and listens not */
    assert_int_equal(bind(silent, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&address, &length), 0);
    for (size_t i = 0; i < 2; i++) {
        int fd = socket(AF_INET, types[i] | SOCK_CLOEXEC, 0);
        for (int round = 0; round < 3; round++) {
            assert_result(connect_to(ring, fd, &address), -ECONNREFUSED);
        }
        retire(ring, &fd, 1);
    }
    retire(ring, &silent, 1);
}

/* ---- Limits -------------------------------------------------------------------------------- */

static kula_buf aligned(struct kula_ring *ring, size_t size)
{
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.alignment = ALIGNMENT;
    kula_buf buffer = kula_alloc_memory(ring, size, &memory, NULL);
    assert_non_null(buffer);
    memset(kula_bytes(buffer), 'x', size);
    return buffer;
}

static void write_direct(struct kula_ring *ring, int fd, int64_t offset, struct outcome *done)
{
    kula_buf buffer = aligned(ring, ALIGNMENT);
    kula_write(ring, fd, &buffer, ALIGNMENT, offset, done);
    await(ring, done);
}

static void writev_direct(struct kula_ring *ring, int fd, int64_t offset, struct outcome *done)
{
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; i < 2; i++) {
        kula_buf buffer = aligned(ring, ALIGNMENT);
        kula_vec_add(vec, &buffer, ALIGNMENT);
    }
    kula_writev(ring, fd, &vec, offset, done);
    await(ring, done);
}

/* SIGXFSZ keeps its default action, which is to kill: that nothing happens is the proof. While the limit
 * holds, nothing is asserted: what an assertion prints may be beyond it. */
static void a_direct_write_beyond_the_limit_is_efbig_and_never_a_signal(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int64_t limit = 4 * ALIGNMENT;
    enum {
        WRITES = 8
    };
    int fd = make_file_flags("", O_DIRECT);
    if (fd < 0) {
        SKIP_WANTING("the build's file system refuses O_DIRECT: %s", strerror(errno));
    }
    kula_buf parts[WRITES][2];
    struct outcome done[WRITES] = { { 0 } };
    for (int i = 0; i < WRITES; i++) {
        done[i].more = parts[i];
        done[i].more_max = 2;
    }
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = { (rlim_t)limit, before.rlim_max };
    assert_true(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
    write_direct(ring, fd, 0, &done[0]);
    bool possible = done[0].result == ALIGNMENT; /* alignment may be more elsewhere */
    if (possible) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        write_direct(ring, fd, ALIGNMENT, &done[1]);
        writev_direct(ring, fd, 2 * ALIGNMENT, &done[2]);
        write_direct(ring, fd, limit, &done[3]);
        write_direct(ring, fd, 4 * limit, &done[4]);
        writev_direct(ring, fd, limit, &done[5]);
        writev_direct(ring, fd, 4 * limit, &done[6]);
        writev_direct(ring, fd, limit - ALIGNMENT, &done[7]); /* half of it is within */
        setrlimit(RLIMIT_FSIZE, &before);
    }
    static const int32_t expected[WRITES] = { ALIGNMENT, ALIGNMENT, 2 * ALIGNMENT, -EFBIG,
                                              -EFBIG,    -EFBIG,    -EFBIG,        ALIGNMENT };
    for (int i = 0; i < WRITES; i++) {
        for (unsigned part = 0; part < done[i].buffers; part++) {
            kula_free(&parts[i][part]);
        }
    }
    off_t end = lseek(fd, 0, SEEK_END);
    retire(ring, &fd, 1);
    if (!possible) {
        SKIP_WANTING("O_DIRECT cannot write here: %s", strerror(-done[0].result));
    }
    for (int i = 0; i < WRITES; i++) {
        assert_int_equal(done[i].events, 1);
        assert_result(done[i].result, expected[i]);
    }
    assert_int_equal(end, limit);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_write_to_a_terminal_that_nobody_reads_does_not_hold_up_the_ring),
        PROVES(a_number_that_does_not_fit_waits_and_its_deadline_ends_it),
        PROVES(a_number_that_does_not_fit_is_written_once_there_is_room),
        PROVES(a_receive_that_waits_ends_with_the_shutdown),
        PROVES(a_receive_after_the_shutdown_ends_at_once),
        PROVES(connecting_what_is_connected_is_eisconn),
        PROVES(a_refused_connection_is_refused_again),
        PROVES(a_direct_write_beyond_the_limit_is_efbig_and_never_a_signal),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
