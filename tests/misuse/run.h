/* run.h - what the cases share that are run as well: a ring on the backend under test and a
 * connected pair of sockets. Every misuse is written down where the runner can read it, also when
 * the program dies of it: an accessor that refuses gives NULL, and that is not the runner's fault.
 */
#ifndef KULA_TESTS_RUN_H
#define KULA_TESTS_RUN_H

#include <kula.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RUN_SKIPPED = 77
};

struct run {
    struct kula_ring *ring;
    int fds[2]; /* what is sent into one of them is received from the other */
};

static inline void run_say(const char *what, const char *outcome)
{
    printf("%s: %s\n", what, outcome);
    fflush(stdout);
}

static inline void run_hear_misuse(void *arg, const struct kula_misuse *misuse)
{
    (void)arg;
    printf("misuse: %s: %s\n", misuse->operation, misuse->reason);
    fflush(stdout);
}

static inline void run_hear_log(void *arg, int level, const char *text)
{
    (void)arg;
    (void)level;
    run_say("log", text);
}

static inline void run_check(int is_true, const char *what)
{
    if (!is_true) {
        run_say("cannot run", what);
        exit(2);
    }
}

static inline struct kula_ring *run_open(void)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.log = run_hear_log;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    if (error < 0) {
        run_say("no ring", strerror(-error));
        exit(RUN_SKIPPED);
    }
    return ring;
}

static inline struct run run_begin(void)
{
    struct run run;
    kula_on_misuse(run_hear_misuse, NULL);
    run.ring = run_open();
    run_check(socketpair(AF_UNIX, SOCK_STREAM, 0, run.fds) == 0, "socketpair");
    return run;
}

static inline void run_put(const struct run *run, const char *text)
{
    run_check(write(run->fds[1], text, strlen(text)) == (ssize_t)strlen(text), "write");
}

/* Waits for the next event, which has to come. */
static inline struct kula_event *run_event(struct kula_ring *ring)
{
    struct kula_event *event = NULL;
    while (!event && kula_wait(ring, KULA_FOREVER) >= 0) {
        event = kula_next(ring);
    }
    run_check(event != NULL, "an event");
    return event;
}

static inline int run_end(struct run *run)
{
    while (run->ring && kula_next(run->ring)) {
        continue;
    }
    int error = kula_close(&run->ring, KULA_FOREVER);
    close(run->fds[0]);
    close(run->fds[1]);
    run_say("end", error < 0 ? strerror(-error) : "closed");
    return error < 0;
}

#endif
