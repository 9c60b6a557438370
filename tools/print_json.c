/* print_json.c - the report as JSON, for programs. */
#include "outcome.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

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
    add_number(object, "huge_pages", report->huge_pages);
    add_text(object, "nodes", report->nodes);
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

int print_json(const struct outcome *outcome)
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
