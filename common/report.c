/* report.c - what the environment is, and what was chosen. */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sched.h>
#endif

/* The first bytes of a small file, as text; false where there is none (no /proc). */
static bool read_text(const char *path, char *text, size_t text_bytes)
{
    int error = kula__fault("open", EMFILE);
    int fd = error < 0 ? error : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    int count = kula__sys_read(fd, text, text_bytes - 1);
    kula__sys_close(fd);
    text[count > 0 ? count : 0] = '\0';
    return count > 0;
}

static int32_t read_number(const char *path)
{
    char text[32];
    return read_text(path, text, sizeof text) ? (int32_t)strtol(text, NULL, 10) : -1;
}

static int32_t seccomp_mode(void)
{
    char text[4096];
    if (!read_text("/proc/self/status", text, sizeof text)) {
        return -1;
    }
    const char *line = strstr(text, "\nSeccomp:");
    return line ? (int32_t)strtol(line + sizeof "\nSeccomp:" - 1, NULL, 10) : -1;
}

static uint64_t soft_limit(int status, const struct rlimit *limit)
{
    if (status < 0 || limit->rlim_cur == RLIM_INFINITY) {
        return KULA_UNLIMITED;
    }
    return (uint64_t)limit->rlim_cur;
}

static uint32_t usable_cpus(void)
{
#if defined __linux__ && !defined KULA_NO_LINUX
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
#endif
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 0 ? (uint32_t)cpus : 1;
}

static void fill_system(struct kula_report *report)
{
    struct rlimit limit;
    struct utsname names;
    if (uname(&names) == 0) {
        snprintf(report->kernel, sizeof report->kernel, "%.64s", names.release);
        snprintf(report->machine, sizeof report->machine, "%.31s", names.machine);
    }
    report->cpu_count = usable_cpus();
    report->page_bytes = (uint32_t)kula__page_bytes();
    report->files_max = soft_limit(getrlimit(RLIMIT_NOFILE, &limit), &limit);
    report->memlock_bytes = KULA_UNLIMITED;
    report->processes_max = KULA_UNLIMITED;
#ifdef RLIMIT_MEMLOCK
    report->memlock_bytes = soft_limit(getrlimit(RLIMIT_MEMLOCK, &limit), &limit);
#endif
#ifdef RLIMIT_NPROC
    report->processes_max = soft_limit(getrlimit(RLIMIT_NPROC, &limit), &limit);
#endif
    report->uring_disabled = read_number("/proc/sys/kernel/io_uring_disabled");
    report->uring_group = read_number("/proc/sys/kernel/io_uring_group");
    report->seccomp_mode = seccomp_mode();
    report->user_id = (uint32_t)geteuid();
    report->huge_pages = read_number("/proc/sys/vm/nr_hugepages");
    if (read_text("/sys/devices/system/node/has_memory", report->nodes, sizeof report->nodes)) {
        report->nodes[strcspn(report->nodes, "\n")] = '\0';
    }
}

void kula__report_begin(struct kula_report *report, const struct kula__request *request)
{
    memset(report, 0, sizeof *report);
    report->size = sizeof *report;
    report->chosen = -1;
    snprintf(report->mask, sizeof report->mask, "%s", request->mask);
    snprintf(report->environment, sizeof report->environment, "%s", request->environment);
    fill_system(report);
    for (size_t i = 0; request->candidates[i] && i < KULA_CANDIDATES_MAX; i++) {
        struct kula_candidate *candidate = &report->candidates[report->candidate_count++];
        snprintf(candidate->name, sizeof candidate->name, "%s", request->candidates[i]->name);
    }
}

int kula__report_copy(struct kula_report *target, const struct kula_report *source)
{
    /* A program built with an older header has a shorter struct, and gets what it knows. */
    if (!target || target->size < offsetof(struct kula_report, setup) ||
        target->size > sizeof *target) {
        return -EINVAL;
    }
    size_t size = target->size;
    memcpy(target, source, size);
    target->size = size;
    return 0;
}

void kula__report_verdict(struct kula_candidate *candidate, int error)
{
    candidate->error = error;
    switch (error) {
    case 0:
        candidate->verdict = KULA_VERDICT_AVAILABLE;
        candidate->cause[0] = '\0';
        candidate->remedy[0] = '\0';
        break;
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EAGAIN:
        candidate->verdict = KULA_VERDICT_RESOURCES;
        break;
    default:
        if (candidate->verdict != KULA_VERDICT_NOT_BUILT) {
            candidate->verdict = KULA_VERDICT_UNAVAILABLE;
        }
        break;
    }
}

void kula__report_choice(struct kula_report *report,
                         const struct kula__request *request,
                         int32_t chosen)
{
    report->chosen = chosen;
    bool strict = request->settings.flags & KULA__SETTING_STRICT;
    if (chosen < 0) {
        snprintf(report->reason, sizeof report->reason,
                 strict ? "the only candidate that was allowed is not available"
                        : "no candidate is available");
    } else if (strict) {
        snprintf(report->reason, sizeof report->reason, "%s was asked for, and no other",
                 report->candidates[chosen].name);
    } else if (chosen == 0) {
        snprintf(report->reason, sizeof report->reason, "%s comes first and is available",
                 report->candidates[0].name);
    } else {
        snprintf(report->reason, sizeof report->reason,
                 "%s is the first that is available: %s is not (%.100s)",
                 report->candidates[chosen].name, report->candidates[0].name,
                 report->candidates[0].cause);
    }
}

/* ---- Names -------------------------------------------------------------------------------- */

uint32_t kula_operation_count(void)
{
    return KULA__OP_COUNT - 1;
}

const char *kula_operation_name(uint32_t index)
{
    /* the enum starts at 1, the report at 0 */
    return index < KULA__OP_COUNT - 1 ? kula__operation_facts[index + 1].name : NULL;
}

const char *kula_route_name(uint32_t route)
{
    static const char *const names[] = { "none", "ring", "ready", "pool", "inline", "library" };
    return route < sizeof names / sizeof names[0] ? names[route] : names[0];
}

static_assert(KULA__OP_COUNT - 1 <= KULA_OPERATIONS_MAX,
              "every operation has a route in the report");
static_assert(KULA__FEATURE_BITS <= 64, "every feature has a bit in the report");
