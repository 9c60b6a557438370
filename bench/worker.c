/* worker.c - measures one subject once, in a process of its own, and prints one line.
 *
 *   bench-worker list
 *   bench-worker nop|read|handover|sleep SUBJECT DEPTH BATCHES [FILE]
 *   bench-worker read-threaded|handover-threaded SUBJECT DEPTH BATCHES [FILE]
 *   bench-worker echo SUBJECT CONNECTIONS MESSAGES
 *
 * "-threaded": a second thread stands by, and does nothing. The library hands buffers over in another
 * way as soon as there can be two that do.
 *
 * The line is "operations=N wall_ns=N cpu_ns=N"; for echo, cpu_ns is the server's. Exit status 77
 * means that this machine does not offer what the subject needs. */
#include "echo_client.h"
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A subject that hangs must not take the whole bench with it. */
#define TIME_LIMIT_SECONDS 60
#define WARM_UP_OPERATIONS 2000

static const struct bench_batch_subject *const nop_subjects[] = {
    bench_nop_uring,
    bench_nop_kula,
    NULL,
};

static const struct bench_batch_subject *const read_subjects[] = {
    bench_read_uring,
    bench_read_plain,
    bench_read_kula,
#if BENCH_HAVE_LIBUV
    bench_read_uv,
#endif
    NULL,
};

static const struct bench_batch_subject *const handover_subjects[] = {
    bench_handover_kula,
    NULL,
};

static const struct bench_batch_subject *const sleep_subjects[] = {
    bench_sleep_uring,
    bench_sleep_kula,
    NULL,
};

static const struct bench_echo_subject *const echo_subjects[] = {
    bench_echo_epoll,
    bench_echo_uring,
    bench_echo_kula,
#if BENCH_HAVE_LIBUV
    bench_echo_uv,
#endif
#if BENCH_HAVE_LIBEVENT
    bench_echo_event,
#endif
    NULL,
};

static const struct {
    const char *name;
    const struct bench_batch_subject *const *subjects;
    bool sleeps;
    bool threaded;
} batch_workloads[] = {
    { "nop", nop_subjects, false, false },
    { "read", read_subjects, false, false },
    { "read-threaded", read_subjects, false, true },
    { "handover", handover_subjects, false, false },
    { "handover-threaded", handover_subjects, false, true },
    { "sleep", sleep_subjects, true, false },
};
#define BATCH_WORKLOAD_COUNT (sizeof(batch_workloads) / sizeof(batch_workloads[0]))

static const struct bench_batch_subject *find_batch(
    const struct bench_batch_subject *const *lists,
    const char *name)
{
    for (; *lists; lists++) {
        for (const struct bench_batch_subject *subject = *lists; subject->name; subject++) {
            if (strcmp(subject->name, name) == 0) {
                return subject;
            }
        }
    }
    return NULL;
}

static const struct bench_echo_subject *find_echo(const char *name)
{
    for (const struct bench_echo_subject *const *list = echo_subjects; *list; list++) {
        for (const struct bench_echo_subject *subject = *list; subject->name; subject++) {
            if (strcmp(subject->name, name) == 0) {
                return subject;
            }
        }
    }
    return NULL;
}

static void print_list(void)
{
    for (size_t i = 0; i < BATCH_WORKLOAD_COUNT; i++) {
        const struct bench_batch_subject *const *list = batch_workloads[i].subjects;
        for (; *list; list++) {
            for (const struct bench_batch_subject *subject = *list; subject->name; subject++) {
                (void)printf("%s %s\n", batch_workloads[i].name, subject->name);
            }
        }
    }
    for (const struct bench_echo_subject *const *list = echo_subjects; *list; list++) {
        for (const struct bench_echo_subject *subject = *list; subject->name; subject++) {
            (void)printf("echo %s\n", subject->name);
        }
    }
}

static void print_result(uint64_t operations, uint64_t wall_ns, uint64_t cpu_ns)
{
    (void)printf("operations=%" PRIu64 " wall_ns=%" PRIu64 " cpu_ns=%" PRIu64 "\n", operations,
                 wall_ns, cpu_ns);
}

/* Reads the whole file once, so that its pages are cached. */
static int open_cached(const char *path)
{
    unsigned char block[BENCH_BLOCK_BYTES];
    int fd = bench_checked(open(path, O_RDONLY | O_CLOEXEC), path);
    for (unsigned i = 0; i < BENCH_FILE_BLOCKS; i++) {
        ssize_t result = pread(fd, block, sizeof(block), (off_t)i * BENCH_BLOCK_BYTES);
        if (result != BENCH_BLOCK_BYTES) {
            bench_fail(path, result < 0 ? -errno : -ENODATA);
        }
    }
    return fd;
}

static void *stand_by(void *nothing)
{
    for (;;) {
        (void)pause();
    }
    return nothing;
}

/* It is never joined: the C library may take a process whose last thread ended for one of a single
 * thread again. */
static void start_second_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, stand_by, NULL);
    if (error != 0) {
        bench_fail("pthread_create", -error);
    }
}

static void measure_batches(const struct bench_batch_subject *subject,
                            unsigned depth,
                            uint64_t batches,
                            uint64_t warm_up_batches,
                            int fd)
{
    void *state = subject->open(subject, depth, fd);
    subject->run(state, warm_up_batches);
    uint64_t wall_ns = bench_wall_ns();
    uint64_t cpu_ns = bench_process_cpu_ns(getpid());
    subject->run(state, batches);
    cpu_ns = bench_process_cpu_ns(getpid()) - cpu_ns;
    wall_ns = bench_wall_ns() - wall_ns;
    subject->close(state);
    print_result(batches * depth, wall_ns, cpu_ns);
}

/* A server that has stopped by itself is dead long before this. */
#define SERVER_GRACE_NS 200000000L

static pid_t server_process;

/* When the server goes, the client sees reset connections; the server's own message and exit status
 * are the ones that say why. */
static void at_exit_end_server(void)
{
    const struct timespec grace = { 0, SERVER_GRACE_NS };
    int status = 0;
    if (server_process <= 0) {
        return;
    }
    (void)nanosleep(&grace, NULL);
    (void)kill(server_process, SIGKILL);
    if (waitpid(server_process, &status, 0) == server_process && WIFEXITED(status) &&
        WEXITSTATUS(status) != 0) {
        _exit(WEXITSTATUS(status));
    }
}

static void wait_for_server(void)
{
    int status = 0;
    (void)bench_checked(waitpid(server_process, &status, 0), "waitpid");
    server_process = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        bench_fail("the server ended badly", -ECHILD);
    }
}

static void measure_echo(const struct bench_echo_subject *subject,
                         unsigned connections,
                         uint64_t messages)
{
    uint16_t port;
    int listen_fd = bench_echo_listen(&port);
    pid_t parent = getpid();
    server_process = bench_checked(fork(), "fork");
    if (server_process == 0) {
        (void)alarm(TIME_LIMIT_SECONDS);
        (void)bench_checked(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
        if (getppid() == parent) {
            subject->serve(subject->backend, listen_fd, connections);
        }
        exit(EXIT_SUCCESS);
    }
    (void)close(listen_fd);
    (void)atexit(at_exit_end_server);
    struct bench_echo_result result =
        bench_echo_drive(port, server_process, connections, messages);
    wait_for_server();
    print_result(messages, result.wall_ns, result.server_cpu_ns);
}

static uint64_t parse_count(const char *text, uint64_t most)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value == 0 || value > most) {
        bench_fail(text, -EINVAL);
    }
    return value;
}

static int usage(void)
{
    (void)fprintf(
        stderr,
        "usage: bench-worker list\n"
        "       bench-worker nop|read|handover|sleep SUBJECT DEPTH BATCHES [FILE]\n"
        "       bench-worker read-threaded|handover-threaded SUBJECT DEPTH BATCHES [FILE]\n"
        "       bench-worker echo SUBJECT CONNECTIONS MESSAGES\n");
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    (void)alarm(TIME_LIMIT_SECONDS);
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        print_list();
        return EXIT_SUCCESS;
    }
    if (argc < 5) {
        return usage();
    }
    unsigned width = (unsigned)parse_count(argv[3], 4096);
    uint64_t length = parse_count(argv[4], UINT64_C(1) << 40);
    if (strcmp(argv[1], "echo") == 0) {
        const struct bench_echo_subject *subject = find_echo(argv[2]);
        if (!subject) {
            return usage();
        }
        measure_echo(subject, width, length);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < BATCH_WORKLOAD_COUNT; i++) {
        if (strcmp(argv[1], batch_workloads[i].name) != 0) {
            continue;
        }
        const struct bench_batch_subject *subject =
            find_batch(batch_workloads[i].subjects, argv[2]);
        if (!subject) {
            return usage();
        }
        uint64_t warm_up = batch_workloads[i].sleeps ? 1 : WARM_UP_OPERATIONS / width + 1;
        int fd = argc > 5 ? open_cached(argv[5]) : -1;
        if (batch_workloads[i].threaded) {
            start_second_thread();
        }
        measure_batches(subject, width, length, warm_up, fd);
        return EXIT_SUCCESS;
    }
    return usage();
}
