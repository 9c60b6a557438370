/* Every descriptor that the library makes is close-on-exec, and those of the program keep their
 * flags. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_cloexec(int fd)
{
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void results_that_are_descriptors_are_close_on_exec(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 4);
    int client = make_connection(&address, length);
    struct outcome done[3] = { { 0 } };
    kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, &done[0]);
    kula_socket(ring, AF_INET, SOCK_STREAM, 0, &done[1]);
    kula_accept(ring, listener, &done[2]);
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        expect_cloexec(done[i].result);
        assert_int_equal(fcntl(done[i].result, F_GETFL) & O_NONBLOCK, 0);
    }
    retire(ring, (int[]){ listener, client, done[0].result, done[1].result, done[2].result },
           5);
}

static void the_pollable_descriptor_is_close_on_exec(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    expect_cloexec(kula_pollable(ring));
    assert_int_equal(kula_pollable(ring), kula_pollable(ring));
}

static int32_t answer(void *arg)
{
    (void)arg;
    return 7;
}

/* Everything that a ring may open by itself, all at once. */
static void nothing_of_the_library_stays_open_across_exec(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done[3] = { { 0 } };
    struct kula_ring *other = harness_open(4);
    assert_true(kula_pollable(ring) >= 0);
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done[0]);
    kula_timer(ring, 3600 * KULA_SECOND, &done[1]);
    kula_offload(ring, answer, NULL, &done[2]);
    await(ring, &done[2]);
    kula_wake(ring);
    assert_int_equal(kula_post(other, NULL, 1, NULL), 0);
    /* What whoever started the test left open is not ours. */
    int inherited = 0;
    for (int fd = fds[0]; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !(flags & FD_CLOEXEC)) {
            assert_true(harness_fd_was_open(fd));
            inherited++;
        }
    }

    /* And so says a program that was started: it sees what it inherited. */
    int report[2];
    make_pipe(report);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char script[160];
        dup2(report[1], 1);
        snprintf(script, sizeof script,
                 "n=0; i=%d; while [ $i -lt 1024 ]; do [ -e /dev/fd/$i ] && n=$((n+1)); "
                 "i=$((i+1)); done; echo $n",
                 fds[0]);
        execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    retire(ring, &report[1], 1);
    char text[16] = "";
    assert_true(read(report[0], text, sizeof text - 1) > 0);
    if (access("/dev/fd/0", F_OK) == 0) {
        assert_int_equal(atoi(text), inherited);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    retire(ring, &report[0], 1);
    kula_cancel_all(ring);
    await_all(ring);
    outcome_release(&done[0]);
    harness_close(&other);
    retire(ring, fds, 2);
}

static void expect_flags(int fd, int flags)
{
    assert_int_equal(fcntl(fd, F_GETFL), flags);
}

/* The flag is on the open file, which others may share: not even for a moment may it change
 * while the program can look. */
static void the_flags_of_the_descriptors_of_the_program_stay(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int streams[6];
        make_pipe(streams);
        make_stream_pair(AF_UNIX, streams + 2);
        make_stream_pair(AF_INET, streams + 4);
        int flags[6];
        struct outcome done[6] = { { 0 } };
        for (int i = 0; i < 6; i++) {
            flags[i] = fcntl(streams[i], F_GETFL);
            if (nonblocking) {
                flags[i] |= O_NONBLOCK;
                assert_int_equal(fcntl(streams[i], F_SETFL, flags[i]), 0);
            }
        }
        for (int i = 0; i < 6; i += 2) {
            kula_buf buffer = buffer_empty(ring, 4);
            kula_read(ring, streams[i], &buffer, 4, KULA_CUR, &done[i]);
        }
        for (int round = 0; round < 3; round++) {
            pump(ring, KULA_MILLISECOND);
            for (int i = 0; i < 6; i++) {
                expect_flags(streams[i], flags[i]);
            }
        }
        for (int i = 1; i < 6; i += 2) {
            kula_buf buffer = buffer_text(ring, "data");
            kula_write(ring, streams[i], &buffer, 4, KULA_CUR, &done[i]);
        }
        await_all(ring);
        for (int i = 0; i < 6; i++) {
            expect_flags(streams[i], flags[i]);
            assert_result(done[i].result, 4);
            outcome_release(&done[i]);
            assert_result(kula_forget_fd(ring, streams[i]), 0);
        }
        retire(ring, streams, 6);
    }
}

static void connecting_and_accepting_leave_the_flags(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct sockaddr_storage address;
        socklen_t length;
        int listener = make_listener(&address, &length, 4);
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int flags = O_RDWR | (nonblocking ? O_NONBLOCK : 0);
        assert_int_equal(fcntl(listener, F_SETFL, flags), 0);
        assert_int_equal(fcntl(client, F_SETFL, flags), 0);
        struct outcome accepted = { 0 };
        struct outcome connected = { 0 };
        kula_accept(ring, listener, &accepted);
        assert_pending(ring, &accepted);
        kula_connect(ring, client, (struct sockaddr *)&address, length, &connected);
        await_all(ring);
        assert_result(connected.result, 0);
        assert_true(accepted.result >= 0);
        expect_flags(listener, flags);
        expect_flags(client, flags);
        assert_int_equal(fcntl(accepted.result, F_GETFL) & O_NONBLOCK, 0);
        assert_result(kula_forget_fd(ring, listener), 0);
        assert_result(kula_forget_fd(ring, client), 0);
        retire(ring, (int[]){ listener, client, accepted.result }, 3);
    }
}

static void a_refused_connection_leaves_the_flags(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 1);
    retire(ring, &listener, 1);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int flags = O_RDWR | (nonblocking ? O_NONBLOCK : 0);
        assert_int_equal(fcntl(client, F_SETFL, flags), 0);
        struct outcome connected = { 0 };
        kula_connect(ring, client, (struct sockaddr *)&address, length, &connected);
        await(ring, &connected);
        assert_result(connected.result, -ECONNREFUSED);
        expect_flags(client, flags);
        assert_result(kula_forget_fd(ring, client), 0);
        retire(ring, &client, 1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(results_that_are_descriptors_are_close_on_exec),
        PROVES(the_pollable_descriptor_is_close_on_exec),
        PROVES(nothing_of_the_library_stays_open_across_exec),
        PROVES(the_flags_of_the_descriptors_of_the_program_stay),
        PROVES(connecting_and_accepting_leave_the_flags),
        PROVES(a_refused_connection_leaves_the_flags),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
