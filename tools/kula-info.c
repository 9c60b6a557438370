/* kula-info - tells what this environment offers to kula, which backend a program gets, and why.
 *
 * Everything that is printed comes from kula_probe. The probe runs in a child process, because a
 * seccomp filter may kill instead of refusing: then the parent lives to tell, and looks at what is
 * left without io_uring.
 */
#include <kula.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
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

/* What came of a probe in a child. */
struct outcome {
    int error; /* 0, or why no backend can be had */
    struct kula_report report;
};

static const char usage[] =
    "usage: kula-info [--json] [--require BACKEND] [--backend LIST] [--mask MASK]\n"
    "\n"
    "Tells which backend a program that uses kula gets here, why, and what would have to "
    "change\n"
    "for a better one.\n"
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

static int ask(const struct request *request,
               const char *backend,
               struct kula_report *ret_report)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = backend;
    config.mask = request->mask;
    config.log = ignore_log; /* the report says the same, and more */
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
        outcome->error = ask(request, backend, &outcome->report);
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

/* ---- Words ---------------------------------------------------------------------------------- */

static const char *verdict_name(int32_t verdict)
{
    switch (verdict) {
    case KULA_VERDICT_AVAILABLE:
        return "available";
    case KULA_VERDICT_UNAVAILABLE:
        return "unavailable";
    case KULA_VERDICT_RESOURCES:
        return "out of resources";
    case KULA_VERDICT_NOT_BUILT:
        return "not built";
    default:
        return "not tried";
    }
}

static const char *disabled_meaning(int32_t value)
{
    switch (value) {
    case 0:
        return "everybody may use io_uring";
    case 1:
        return "only CAP_SYS_ADMIN and kernel.io_uring_group may use io_uring";
    case 2:
        return "nobody may use io_uring";
    default:
        return "this kernel has no such switch, or it cannot be read";
    }
}

static const char *seccomp_name(int32_t mode)
{
    switch (mode) {
    case 0:
        return "none";
    case 1:
        return "strict";
    case 2:
        return "filter";
    default:
        return "unknown";
    }
}

static const char *chosen_name(const struct kula_report *report)
{
    return report->chosen >= 0 ? report->candidates[report->chosen].name : "";
}

/* ---- Text ----------------------------------------------------------------------------------- */

static void print_line(const char *name, const char *value)
{
    printf("  %-22s %s\n", name, value);
}

static void print_count(const char *name, uint64_t value, const char *unit)
{
    if (value == KULA_UNLIMITED) {
        print_line(name, "unlimited");
    } else {
        printf("  %-22s %" PRIu64 "%s\n", name, value, unit);
    }
}

static void print_candidates(const struct kula_report *report)
{
    printf("\nBackends, best first\n");
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        const struct kula_candidate *candidate = &report->candidates[i];
        print_line(candidate->name, verdict_name(candidate->verdict));
        if (candidate->cause[0]) {
            printf("  %22s because %s\n", "", candidate->cause);
        }
        if (candidate->error < 0) {
            printf("  %22s error   %s (%d)\n", "", strerror(-candidate->error),
                   candidate->error);
        }
        if (candidate->remedy[0]) {
            printf("  %22s remedy  %s\n", "", candidate->remedy);
        }
    }
}

static void print_environment(const struct kula_report *report)
{
    printf("\nEnvironment\n");
    printf("  %-22s %s %s\n", "kernel", report->kernel, report->machine);
    print_count("CPUs for this process", report->cpu_count, "");
    print_count("page", report->page_bytes, " bytes");
    print_count("locked memory", report->memlock_bytes, " bytes");
    print_count("open files", report->files_max, "");
    print_count("processes", report->processes_max, "");
    print_count("user", report->user_id, "");
    if (report->uring_disabled >= 0) {
        printf("  %-22s %d: %s\n", "io_uring_disabled", report->uring_disabled,
               disabled_meaning(report->uring_disabled));
    } else {
        print_line("io_uring_disabled", disabled_meaning(report->uring_disabled));
    }
    if (report->uring_group >= 0) {
        print_count("io_uring_group", (uint64_t)report->uring_group, "");
    }
    print_line("seccomp", seccomp_name(report->seccomp_mode));
    if (report->environment[0]) {
        print_line("variables", report->environment);
    }
    if (report->mask[0]) {
        print_line("mask", report->mask);
    }
}

/* How far a line of words has come. */
struct word_line {
    size_t column;
};

static void print_word(struct word_line *line, const char *word)
{
    size_t length = strlen(word) + 1;
    if (line->column > 0 && line->column + length > 92) {
        printf("\n%24s", "");
        line->column = 24;
    }
    printf(" %s", word);
    line->column += length;
}

static void print_operations(const struct kula_report *report)
{
    printf("\nOperations, by the way they are done\n");
    for (uint32_t route = KULA_ROUTE_NONE; route <= KULA_ROUTE_LIBRARY; route++) {
        struct word_line line = { 0 };
        for (uint32_t i = 0; i < kula_operation_count(); i++) {
            if (report->routes[i] != route) {
                continue;
            }
            if (line.column == 0) {
                printf("  %-22s", kula_route_name(route));
                line.column = 24;
            }
            print_word(&line, kula_operation_name(i));
        }
        if (line.column > 0) {
            printf("\n");
        }
    }
}

static void print_text(const struct outcome *outcome)
{
    const struct kula_report *report = &outcome->report;
    printf("kula %s\n\n", kula_version());
    if (report->chosen >= 0) {
        printf("A program gets: %s\n", chosen_name(report));
    } else {
        printf("A program gets: none (%s)\n", kula_explain(outcome->error));
    }
    if (report->reason[0]) {
        printf("  %s\n", report->reason);
    }
    print_candidates(report);
    print_environment(report);
    if (report->chosen < 0) {
        return;
    }
    printf("\nWhat %s works with\n", chosen_name(report));
    if (report->setup[0]) {
        print_line("setup", report->setup);
    }
    printf("  %-22s", "features");
    struct word_line line = { .column = 24 };
    for (uint32_t bit = 0; bit < 64; bit++) {
        const char *name = kula_feature_name(bit);
        if (name && (report->features >> bit & 1)) {
            print_word(&line, name);
        }
    }
    printf("%s\n", line.column == 24 ? " none" : "");
    print_operations(report);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* cJSON answers NULL or false when memory is short; the finished text is checked once, at the end,
 * so a member that is missing has to be noticed here. */
static bool json_failed;

static void add_text(cJSON *object, const char *name, const char *text)
{
    json_failed |= !cJSON_AddStringToObject(object, name, text);
}

static void add_number(cJSON *object, const char *name, double number)
{
    json_failed |= !cJSON_AddNumberToObject(object, name, number);
}

/* null means that there is no limit. */
static void add_limit(cJSON *object, const char *name, uint64_t limit)
{
    if (limit == KULA_UNLIMITED) {
        json_failed |= !cJSON_AddNullToObject(object, name);
    } else {
        add_number(object, name, (double)limit);
    }
}

static cJSON *add_object(cJSON *parent)
{
    cJSON *object = cJSON_CreateObject();
    if (!object || !cJSON_AddItemToArray(parent, object)) {
        cJSON_Delete(object);
        json_failed = true;
        return NULL;
    }
    return object;
}

static void add_candidates(cJSON *root, const struct kula_report *report)
{
    cJSON *list = cJSON_AddArrayToObject(root, "backends");
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        const struct kula_candidate *candidate = &report->candidates[i];
        cJSON *object = add_object(list);
        add_text(object, "name", candidate->name);
        add_text(object, "verdict", verdict_name(candidate->verdict));
        add_number(object, "error", candidate->error);
        add_text(object, "cause", candidate->cause);
        add_text(object, "remedy", candidate->remedy);
    }
}

static void add_environment(cJSON *root, const struct kula_report *report)
{
    cJSON *object = cJSON_AddObjectToObject(root, "environment");
    add_text(object, "kernel", report->kernel);
    add_text(object, "machine", report->machine);
    add_number(object, "cpus", report->cpu_count);
    add_number(object, "page_bytes", report->page_bytes);
    add_limit(object, "memlock_bytes", report->memlock_bytes);
    add_limit(object, "files_max", report->files_max);
    add_limit(object, "processes_max", report->processes_max);
    add_number(object, "user_id", report->user_id);
    add_number(object, "io_uring_disabled", report->uring_disabled);
    add_number(object, "io_uring_group", report->uring_group);
    add_text(object, "seccomp", seccomp_name(report->seccomp_mode));
    add_text(object, "variables", report->environment);
    add_text(object, "mask", report->mask);
}

static void add_details(cJSON *root, const struct kula_report *report)
{
    add_text(root, "setup", report->setup);
    cJSON *features = cJSON_AddArrayToObject(root, "features");
    for (uint32_t bit = 0; bit < 64; bit++) {
        const char *name = kula_feature_name(bit);
        if (name && (report->features >> bit & 1)) {
            cJSON *item = cJSON_CreateString(name);
            if (!item || !cJSON_AddItemToArray(features, item)) {
                cJSON_Delete(item);
                json_failed = true;
            }
        }
    }
    cJSON *operations = cJSON_AddObjectToObject(root, "operations");
    for (uint32_t i = 0; i < kula_operation_count(); i++) {
        add_text(operations, kula_operation_name(i), kula_route_name(report->routes[i]));
    }
}

static int print_json(const struct outcome *outcome)
{
    const struct kula_report *report = &outcome->report;
    cJSON *root = cJSON_CreateObject();
    add_text(root, "version", kula_version());
    if (report->chosen >= 0) {
        add_text(root, "chosen", chosen_name(report));
    } else {
        json_failed |= !cJSON_AddNullToObject(root, "chosen");
    }
    add_number(root, "error", outcome->error);
    add_text(root, "reason", report->reason);
    add_candidates(root, report);
    add_environment(root, report);
    add_details(root, report);
    char *text = json_failed ? NULL : cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) {
        return -ENOMEM;
    }
    puts(text);
    cJSON_free(text);
    return 0;
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
        fprintf(stderr, "kula-info: --backend, --mask or a KULA_ variable is not understood\n");
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
