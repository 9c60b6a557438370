/* print_text.c - the report in words, for people. */
#include "outcome.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VALUES 24 /* the column where values start */
#define WIDTH  96

/* ---- Words ---------------------------------------------------------------------------------- */

const char *verdict_name(int32_t verdict)
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

const char *seccomp_name(int32_t mode)
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

const char *chosen_name(const struct kula_report *report)
{
    return report->chosen >= 0 ? report->candidates[report->chosen].name : "";
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

/* ---- Lines: a name, and words behind it, as many lines as they need ------------------------- */

static size_t column; /* how far the current line has come */

static void begin(const char *name)
{
    printf("  %-*s", VALUES - 2, name);
    column = VALUES;
}

static void add_word(const char *word, size_t length)
{
    if (column > VALUES && column + 1 + length > WIDTH) {
        printf("\n%*s", VALUES, "");
        column = VALUES;
    }
    printf(" %.*s", (int)length, word);
    column += 1 + length;
}

static void add_words(const char *text)
{
    for (const char *word = text + strspn(text, " "); *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        add_word(word, length);
        word += length;
    }
}

static void end(void)
{
    putchar('\n');
}

static void print_line(const char *name, const char *value)
{
    begin(name);
    add_words(value);
    end();
}

static void print_count(const char *name, uint64_t value, const char *unit)
{
    char text[64] = "unlimited";
    if (value != KULA_UNLIMITED) {
        snprintf(text, sizeof text, "%" PRIu64 " %s", value, unit);
    }
    print_line(name, text);
}

/* ---- The report ------------------------------------------------------------------------------ */

static void print_candidate(const struct kula_candidate *candidate)
{
    print_line(candidate->name, verdict_name(candidate->verdict));
    if (candidate->cause[0]) {
        print_line("  because", candidate->cause);
    }
    if (candidate->error < 0) {
        char text[128];
        snprintf(text, sizeof text, "%s (%d)", strerror(-candidate->error), candidate->error);
        print_line("  error", text);
    }
    if (candidate->remedy[0]) {
        print_line("  remedy", candidate->remedy);
    }
}

static void print_switch(int32_t value)
{
    if (value >= 0) {
        char text[100];
        snprintf(text, sizeof text, "%d: %s", value, disabled_meaning(value));
        print_line("io_uring_disabled", text);
    } else {
        print_line("io_uring_disabled", disabled_meaning(value));
    }
}

static void print_environment(const struct kula_report *report)
{
    printf("\nEnvironment\n");
    begin("kernel");
    add_words(report->kernel);
    add_words(report->machine);
    end();
    print_count("CPUs for this process", report->cpu_count, "");
    print_count("page", report->page_bytes, "bytes");
    if (report->huge_pages >= 0) {
        print_count("huge pages reserved", (uint64_t)report->huge_pages, "");
    }
    if (report->nodes[0]) {
        print_line("nodes with memory", report->nodes);
    }
    print_count("locked memory", report->memlock_bytes, "bytes");
    print_count("open files", report->files_max, "");
    print_count("processes", report->processes_max, "");
    print_count("user", report->user_id, "");
    print_switch(report->uring_disabled);
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

static void print_features(uint64_t features)
{
    begin("features");
    for (uint32_t bit = 0; bit < 64; bit++) {
        const char *name = kula_feature_name(bit);
        if (name && (features >> bit & 1)) {
            add_words(name);
        }
    }
    if (column == VALUES) {
        add_words("none");
    }
    end();
}

static void print_operations(const struct kula_report *report)
{
    printf("\nOperations, by the way they are done\n");
    for (uint32_t route = KULA_ROUTE_NONE; route <= KULA_ROUTE_LIBRARY; route++) {
        bool any = false;
        for (uint32_t i = 0; i < kula_operation_count(); i++) {
            if (report->routes[i] == route) {
                if (!any) {
                    begin(kula_route_name(route));
                }
                any = true;
                add_words(kula_operation_name(i));
            }
        }
        if (any) {
            end();
        }
    }
}

void print_text(const struct outcome *outcome)
{
    const struct kula_report *report = &outcome->report;
    printf("kula %s\n\nA program gets: ", kula_version());
    if (report->chosen >= 0) {
        printf("%s\n", chosen_name(report));
    } else {
        printf("none (%s)\n", kula_explain(outcome->error));
    }
    if (report->reason[0]) {
        print_line("why", report->reason);
    }
    printf("\nBackends, best first\n");
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        print_candidate(&report->candidates[i]);
    }
    print_environment(report);
    if (report->chosen >= 0) {
        printf("\nWhat %s works with\n", chosen_name(report));
        if (report->setup[0]) {
            print_line("setup", report->setup);
        }
        print_features(report->features);
        print_operations(report);
    }
}
