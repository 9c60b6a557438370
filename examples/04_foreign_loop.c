/* 04_foreign_loop - a ring inside somebody else's event loop.
 *
 *     04_foreign_loop < COMMANDS
 *
 * The loop here is poll(2) over standard input; libuv, GLib, libevent or epoll would do the same
 * with the same descriptor. It reads commands, one a line, and answers as they end, not in the order
 * in which they came:
 *
 *     read PATH     the first line of a file
 *     wait MS       a timer of so many milliseconds
 *     quit          end what is under way and leave
 *
 * New here, and the whole protocol:
 *
 *  1. kula_pollable gives one descriptor to watch for input, the same for every backend.
 *  2. Before the loop sleeps: kula_submit, because nobody calls kula_wait to do it.
 *  3. When the descriptor is readable: kula_wait(ring, 0), then kula_next until NULL. Never read the
 *     descriptor itself.
 */
#include <kula.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 512

enum step {
    STEP_OPEN = 1,
    STEP_READ,
    STEP_WAIT,
};

/* One command under way. */
struct job {
    enum step step;
    int fd;
    char text[LINE_BYTES]; /* the command's argument */
};

struct shell {
    struct kula_ring *ring;
    bool quitting;
    bool failed;
    size_t line_length;
    char line[LINE_BYTES];
};

static void end_job(struct shell *shell, struct job *job, const char *outcome)
{
    printf("%s %s: %s\n", job->step == STEP_WAIT ? "wait" : "read", job->text, outcome);
    fflush(stdout);
    if (job->fd >= 0) {
        kula_close_fd(shell->ring, job->fd, NULL);
    }
    free(job);
}

/* ---- Commands: what the foreign loop does when there is input ------------------------------- */

static void start_job(struct shell *shell, enum step step, const char *argument)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        fprintf(stderr, "04_foreign_loop: %s\n", strerror(ENOMEM));
        shell->failed = true;
        return;
    }
    job->step = step;
    job->fd = -1;
    snprintf(job->text, sizeof job->text, "%s", argument);
    kula_op op;
    if (step == STEP_OPEN) {
        op = kula_openat(shell->ring, AT_FDCWD, job->text, O_RDONLY, 0, job);
    } else {
        op = kula_timer(shell->ring, strtol(argument, NULL, 10) * KULA_MILLISECOND, job);
    }
    if (op == 0) {
        end_job(shell, job, strerror(ENOMEM));
    }
}

static void run_command(struct shell *shell, const char *line)
{
    if (strncmp(line, "read ", 5) == 0) {
        start_job(shell, STEP_OPEN, line + 5);
    } else if (strncmp(line, "wait ", 5) == 0) {
        start_job(shell, STEP_WAIT, line + 5);
    } else if (strcmp(line, "quit") == 0) {
        shell->quitting = true;
        kula_cancel_all(shell->ring);
    } else if (*line) {
        fprintf(stderr, "04_foreign_loop: what is \"%s\"?\n", line);
        shell->failed = true;
    }
}

/* Takes in what there is on standard input; false at its end. */
static bool read_commands(struct shell *shell)
{
    size_t room = sizeof shell->line - 1 - shell->line_length;
    ssize_t count = read(STDIN_FILENO, shell->line + shell->line_length, room);
    if (count <= 0) {
        return count < 0 && errno == EINTR;
    }
    shell->line_length += (size_t)count;
    shell->line[shell->line_length] = '\0';
    char *start = shell->line;
    for (char *end; (end = strchr(start, '\n')); start = end + 1) {
        *end = '\0';
        run_command(shell, start);
    }
    shell->line_length = strlen(start);
    if (shell->line_length == sizeof shell->line - 1) {
        shell->line_length = 0; /* longer than any command */
    }
    memmove(shell->line, start, shell->line_length);
    return true;
}

/* ---- Events: what the foreign loop does when the ring has some ------------------------------ */

static void on_open(struct shell *shell, struct job *job, struct kula_event *event)
{
    job->fd = event->result;
    kula_buf buffer = job->fd >= 0 ? kula_alloc(shell->ring, LINE_BYTES) : NULL;
    if (!buffer) {
        end_job(shell, job, job->fd < 0 ? kula_explain(event->result) : strerror(ENOMEM));
        return;
    }
    job->step = STEP_READ;
    kula_read(shell->ring, job->fd, &buffer, LINE_BYTES - 1, KULA_CUR, job);
}

static void on_read(struct shell *shell, struct job *job, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (event->result < 0) {
        end_job(shell, job, kula_explain(event->result));
    } else {
        char *text = (char *)kula_bytes(buffer);
        text[event->result] = '\0';
        text[strcspn(text, "\n")] = '\0';
        end_job(shell, job, text);
    }
    kula_free(&buffer);
}

static void on_event(struct shell *shell, struct kula_event *event)
{
    struct job *job = event->user;
    if (!job) {
        return; /* a descriptor has been closed */
    }
    switch (job->step) {
    case STEP_OPEN:
        on_open(shell, job, event);
        break;
    case STEP_READ:
        on_read(shell, job, event);
        break;
    case STEP_WAIT:
        end_job(shell, job, event->result < 0 ? kula_explain(event->result) : "done");
        break;
    }
}

static int drain(struct shell *shell)
{
    int ready = kula_wait(shell->ring, 0);
    for (struct kula_event *event; (event = kula_next(shell->ring));) {
        on_event(shell, event);
    }
    return ready < 0 ? ready : 0;
}

/* ---- The foreign loop ----------------------------------------------------------------------- */

static int loop(struct shell *shell, int pollable)
{
    struct pollfd watched[] = {
        { .fd = pollable, .events = POLLIN },
        { .fd = STDIN_FILENO, .events = POLLIN },
    };
    bool more_input = true;
    for (;;) {
        more_input = more_input && !shell->quitting;
        if (!more_input && kula_outstanding(shell->ring) == 0) {
            return 0;
        }
        int error = kula_submit(shell->ring);
        if (error < 0) {
            return error;
        }
        watched[1].fd = more_input ? STDIN_FILENO : -1;
        if (poll(watched, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        if (watched[0].revents && (error = drain(shell)) < 0) {
            return error;
        }
        if (watched[1].revents) {
            more_input = read_commands(shell);
        }
    }
}

int main(void)
{
    struct shell shell = { .line_length = 0 };
    int error = kula_open(NULL, &shell.ring);
    if (error < 0) {
        fprintf(stderr, "04_foreign_loop: kula_open: %s\n", kula_explain(error));
        return 1;
    }
    int pollable = kula_pollable(shell.ring);
    error = pollable < 0 ? pollable : loop(&shell, pollable);
    if (error < 0) {
        fprintf(stderr, "04_foreign_loop: %s\n", kula_explain(error));
    }
    int left = kula_close(&shell.ring, KULA_SECOND);
    return error < 0 || left < 0 || shell.failed;
}
