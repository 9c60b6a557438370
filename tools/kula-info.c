/* kula-info - tells what this environment offers to kula, which backend a program gets, and why.
 *
 * Everything that is printed comes from kula_probe. The probe runs in a child process, because a
 * seccomp filter may kill instead of refusing: then the parent lives to tell, and looks at what is
 * left without io_uring.
 */
#include "outcome.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum exit_status {
    EXIT_AVAILABLE = 0,
    EXIT_UNAVAILABLE = 1,
    EXIT_USAGE = 2,
};

struct request {
    const char *backend;
    const char *mask;
    const char *require;
    bool json;
};

static const char usage[] =
    "usage: kula-info [--json] [--require BACKEND] [--backend LIST] [--mask MASK]\n"
    "\n"
    "Tells which backend a program that uses kula gets here, why, and what would have to\n"
    "change for a better one.\n"
    "\n"
    "  --json             print JSON\n"
    "  --require BACKEND  print nothing; exit with 0 if BACKEND can be had, 1 if not\n"
    "  --backend LIST     ask as a program that asks for LIST, such as \"strict:uring\"\n"
    "  --mask MASK        take features away first, such as \"feat:ext_arg,op:statx\"\n"
    "  --version          print the version and exit\n"
    "  --help             print this and exit\n"
    "\n"
    "The environment variables KULA_BACKEND and KULA_MASK come before --backend and --mask.\n"
    "Exit status: 0 a backend can be had, 1 none can (or not the required one), 2 usage.\n";

/* ---- Asking --------------------------------------------------------------------------------- */

static void ignore_log(void *arg, int level, const char *text)
{
    (void)arg;
    (void)level;
    (void)text;
}

static void print_error(void *arg, int level, const char *text)
{
    (void)arg;
    if (level == KULA_LOG_ERROR) {
        fprintf(stderr, "kula-info: %s\n", text);
    }
}

static int ask(const struct request *request,
               const char *backend,
               kula_log_fn log,
               struct kula_report *ret_report)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = backend;
    config.mask = request->mask;
    config.log = log;
    return kula_probe(&config, ret_report);
}

static bool transfer_all(bool sending, int fd, void *data, size_t length)
{
    char *bytes = data;
    while (length > 0) {
        ssize_t count = sending ? write(fd, bytes, length) : read(fd, bytes, length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

/* Probes in a child. Returns the signal that killed it, or 0, or a negative errno. */
static int ask_in_child(const struct request *request,
                        const char *backend,
                        struct outcome *outcome)
{
    int ends[2];
    if (pipe(ends) < 0) {
        return -errno;
    }
    pid_t child = fork();
    if (child < 0) {
        int error = -errno;
        close(ends[0]);
        close(ends[1]);
        return error;
    }
    if (child == 0) {
        close(ends[0]);
        outcome->error = ask(request, backend, ignore_log, &outcome->report);
        bool told = transfer_all(true, ends[1], outcome, sizeof *outcome);
        _exit(told ? 0 : 1);
    }
    close(ends[1]);
    struct outcome heard;
    bool complete = transfer_all(false, ends[0], &heard, sizeof heard);
    close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (complete) {
        *outcome = heard;
        return 0;
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : -EIO;
}

static struct kula_candidate *find_candidate(struct kula_report *report, const char *name)
{
    if (strcmp(name, "stub") == 0) {
        name = "blocking";
    }
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        if (strcmp(report->candidates[i].name, name) == 0) {
            return &report->candidates[i];
        }
    }
    return NULL;
}

/* What to say of io_uring where trying it is deadly. */
static void describe_killed(struct kula_candidate *candidate, int killer)
{
    *candidate =
        (struct kula_candidate){ .verdict = KULA_VERDICT_UNAVAILABLE, .error = -EPERM };
    snprintf(candidate->name, sizeof candidate->name, "uring");
    snprintf(candidate->cause, sizeof candidate->cause,
             "the process that tried it was killed by signal %d (%s)", killer,
             strsignal(killer));
    snprintf(
        candidate->remedy, sizeof candidate->remedy,
        "set KULA_BACKEND=strict:epoll so that programs do not try it, or have the seccomp "
        "filter answer io_uring_setup with an errno instead of killing");
}

/* Looks at the others one by one: a list would end with io_uring, and so would the process. */
static int find_out_without_uring(const struct request *request,
                                  int killer,
                                  struct outcome *outcome)
{
    static const char *const harmless[] = { "strict:epoll", "strict:blocking" };
    struct kula_candidate found[KULA_CANDIDATES_MAX] = { 0 };
    uint32_t count = 1;
    describe_killed(&found[0], killer);
    unsetenv("KULA_BACKEND"); /* it may name the one that is deadly, and would win */
    outcome->report.chosen = -1;
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        struct outcome one = { .report.size = sizeof one.report };
        int error = ask_in_child(request, harmless[i], &one);
        if (error != 0) {
            return error < 0 ? error : -EPERM;
        }
        if (one.report.candidate_count == 0) {
            continue; /* not built */
        }
        found[count] = one.report.candidates[0];
        if (outcome->report.chosen < 0) {
            *outcome = one;
            outcome->report.chosen = one.error == 0 ? (int32_t)count : -1;
        }
        count++;
    }
    outcome->report.candidate_count = count;
    memcpy(outcome->report.candidates, found, sizeof found);
    snprintf(outcome->report.reason, sizeof outcome->report.reason,
             "a program that tries io_uring here does not live to tell");
    return 0;
}

/* Probes, and lives on where that is answered with a signal. */
static int find_out(const struct request *request, struct outcome *outcome)
{
    outcome->report.size = sizeof outcome->report;
    int killer = ask_in_child(request, request->backend, outcome);
    return killer <= 0 ? killer : find_out_without_uring(request, killer, outcome);
}

/* ---- The command line ----------------------------------------------------------------------- */

static int parse(int argc, char **argv, struct request *request, bool *ret_over)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "require", required_argument, NULL, 'r' },
        { "backend", required_argument, NULL, 'b' },
        { "mask", required_argument, NULL, 'm' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'j':
            request->json = true;
            break;
        case 'r':
            request->require = optarg;
            break;
        case 'b':
            request->backend = optarg;
            break;
        case 'm':
            request->mask = optarg;
            break;
        case 'v':
            *ret_over = true;
            printf("kula-info %s\n", kula_version());
            return EXIT_AVAILABLE;
        case 'h':
            *ret_over = true;
            fputs(usage, stdout);
            return EXIT_AVAILABLE;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "kula-info: what is \"%s\"?\n%s", argv[optind], usage);
        return EXIT_USAGE;
    }
    return EXIT_AVAILABLE;
}

static int answer_requirement(const char *name, struct kula_report *report)
{
    static const char *const known[] = { "uring", "epoll", "blocking", "stub" };
    const struct kula_candidate *candidate = find_candidate(report, name);
    if (candidate) {
        return candidate->verdict == KULA_VERDICT_AVAILABLE ? EXIT_AVAILABLE : EXIT_UNAVAILABLE;
    }
    /* Known, and not a candidate: not asked for by --backend or KULA_BACKEND, or not built. */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], name) == 0) {
            return EXIT_UNAVAILABLE;
        }
    }
    fprintf(stderr, "kula-info: there is no backend \"%s\"\n", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct request request = { 0 };
    bool over = false;
    int status = parse(argc, argv, &request, &over);
    if (over || status != EXIT_AVAILABLE) {
        return status;
    }
    static struct outcome outcome;
    int error = find_out(&request, &outcome);
    if (error < 0) {
        fprintf(stderr, "kula-info: cannot probe: %s\n", strerror(-error));
        return EXIT_UNAVAILABLE;
    }
    if (outcome.error == -EINVAL) {
        /* asked again, here, to hear why: what is impossible is refused before anything is tried */
        (void)ask(&request, request.backend, print_error, &outcome.report);
        return EXIT_USAGE;
    }
    if (request.require) {
        return answer_requirement(request.require, &outcome.report);
    }
    if (!request.json) {
        print_text(&outcome);
    } else if (print_json(&outcome) < 0) {
        fprintf(stderr, "kula-info: %s\n", strerror(ENOMEM));
        return EXIT_UNAVAILABLE;
    }
    return outcome.error < 0 ? EXIT_UNAVAILABLE : EXIT_AVAILABLE;
}
