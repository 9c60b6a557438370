/* 03_cancel_deadline - asks several servers at once and takes the one that speaks first.
 *
 *     03_cancel_deadline [-t SECONDS] HOST:PORT...
 *
 * For servers that greet, such as SSH, SMTP or FTP: the first greeting is printed, then what became
 * of the others. The exit status is 1 when nobody has spoken in time.
 *
 * New here:
 *
 *  - kula_deadline makes "not later than" a property of an operation. There is no timer to keep, and
 *    no race to lose: the operation ends once, with -ETIME if time was up first.
 *  - kula_cancel is a request. Whatever it answers, the operation's own event says how it ended: a
 *    loser that spoke just before it was cancelled ends with its greeting.
 *  - Until that event the buffer is the ring's. Here that costs no line of code.
 *  - kula_event_explain says in words what a result means.
 */
#include <kula.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GREETING_BYTES 512
#define RUNNERS_MAX    64

struct runner {
    const char *name;
    int fd;
    kula_op op; /* the connect, then the receive */
    bool connected;
    bool over;
};

struct race {
    struct kula_ring *ring;
    struct runner runners[RUNNERS_MAX];
    int runner_count;
    const struct runner *winner;
    int64_t end_ns; /* when time is up */
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * KULA_SECOND + now.tv_nsec;
}

/* Gives an operation what is left of the time. */
static void limit(struct race *race, kula_op op)
{
    int64_t left_ns = race->end_ns - now_ns();
    kula_deadline(race->ring, op, left_ns > 0 ? left_ns : 0);
}

static void leave(struct race *race, struct runner *runner, const char *how)
{
    printf("  %-30s %s\n", runner->name, how);
    runner->over = true;
    if (runner->fd >= 0) {
        kula_close_fd(race->ring, runner->fd, NULL);
    }
}

static void declare_winner(struct race *race, struct runner *winner, const char *greeting)
{
    race->winner = winner;
    printf("%s speaks first: %s\n", winner->name, greeting);
    for (int i = 0; i < race->runner_count; i++) {
        struct runner *runner = &race->runners[i];
        if (runner != winner && !runner->over) {
            kula_cancel(race->ring, runner->op);
        }
    }
}

static void on_connect(struct race *race, struct runner *runner, struct kula_event *event)
{
    kula_buf buffer = NULL;
    if (event->result == 0 && !race->winner) {
        buffer = kula_alloc(race->ring, GREETING_BYTES);
    }
    if (!buffer) {
        leave(race, runner, event->result < 0 ? kula_event_explain(event) : "not heard");
        return;
    }
    runner->connected = true;
    runner->op = kula_recv(race->ring, runner->fd, &buffer, GREETING_BYTES - 1, 0, runner);
    limit(race, runner->op);
}

static void on_greeting(struct race *race, struct runner *runner, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (event->result <= 0) {
        leave(race, runner, event->result < 0 ? kula_event_explain(event) : "hung up");
    } else if (race->winner) {
        leave(race, runner, "spoke too late");
    } else {
        char *text = (char *)kula_bytes(buffer);
        text[event->result] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        declare_winner(race, runner, text);
        leave(race, runner, "won");
    }
    kula_free(&buffer);
}

/* Looks a runner up and starts its connect. Looking up takes plain calls: see kula_offload for how
 * to keep even those from holding up the ring. */
static void start(struct race *race, struct runner *runner, const char *host_and_port)
{
    runner->name = host_and_port;
    runner->fd = -1;
    char host[256];
    const char *port = strrchr(host_and_port, ':');
    if (!port || (size_t)(port - host_and_port) >= sizeof host) {
        leave(race, runner, "is not HOST:PORT");
        return;
    }
    memcpy(host, host_and_port, (size_t)(port - host_and_port));
    host[port - host_and_port] = '\0';

    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host, port + 1, &hints, &found);
    if (failure) {
        leave(race, runner, gai_strerror(failure));
        return;
    }
    runner->fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (runner->fd < 0) {
        leave(race, runner, strerror(errno));
    } else {
        runner->op = kula_connect(race->ring, runner->fd, found->ai_addr,
                                  (uint32_t)found->ai_addrlen, runner);
        if (runner->op == 0) {
            leave(race, runner, strerror(ENOMEM));
        }
        limit(race, runner->op);
    }
    freeaddrinfo(found);
}

static int run(struct race *race)
{
    while (kula_outstanding(race->ring) > 0) {
        int ready = kula_wait(race->ring, KULA_FOREVER);
        if (ready < 0) {
            fprintf(stderr, "03_cancel_deadline: kula_wait: %s\n", kula_explain(ready));
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(race->ring));) {
            struct runner *runner = event->user;
            if (runner && runner->connected) {
                on_greeting(race, runner, event);
            } else if (runner) {
                on_connect(race, runner, event);
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = 3;
    bool usable = true;
    for (int option; (option = getopt(argc, argv, "t:")) != -1;) {
        char *end = NULL;
        seconds = option == 't' ? strtod(optarg, &end) : 0;
        usable = usable && end && end != optarg && !*end && seconds > 0 && seconds < 1e6;
    }
    int count = argc - optind;
    if (!usable || count < 1 || count > RUNNERS_MAX) {
        fprintf(stderr, "usage: %s [-t SECONDS] HOST:PORT...\n", argv[0]);
        return 2;
    }
    struct race race = { .runner_count = count };
    int error = kula_open(NULL, &race.ring);
    if (error < 0) {
        fprintf(stderr, "03_cancel_deadline: kula_open: %s\n", kula_explain(error));
        return 1;
    }
    race.end_ns = now_ns() + (int64_t)(seconds * (double)KULA_SECOND);
    for (int i = 0; i < count; i++) {
        start(&race, &race.runners[i], argv[optind + i]);
    }
    error = run(&race);
    if (!race.winner) {
        printf("nobody has spoken in time\n");
    }
    int left = kula_close(&race.ring, KULA_SECOND);
    return error < 0 || left < 0 || !race.winner;
}
