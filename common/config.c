/* config.c - config and environment. */
#include "config.h"

#include "misuse.h"
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sys/auxv.h>
#endif

static const char *const feature_names[] = {
#define X(NAME, name) #name,
    KULA__FEATURES(X)
#undef X
};

const char *kula_feature_name(uint32_t bit)
{
    return bit < KULA__FEATURE_BITS ? feature_names[bit] : NULL;
}

/* Variables that change what a privileged program does must not come from whoever started it. */
static bool environment_is_trusted(void)
{
#if defined __linux__ && !defined KULA_NO_LINUX
    return getauxval(AT_SECURE) == 0;
#else
    return getuid() == geteuid() && getgid() == getegid();
#endif
}

/* Copies the next item of a comma list; false at its end. */
static bool next_item(const char **list, char *item, size_t item_bytes)
{
    while (**list == ',' || **list == ' ') {
        (*list)++;
    }
    size_t length = strcspn(*list, ", ");
    if (length == 0) {
        return false;
    }
    snprintf(item, item_bytes, "%.*s", (int)length, *list);
    *list += length;
    return true;
}

static bool mask_item(const char *item, struct kula__settings *settings)
{
    if (strncmp(item, "op:", 3) == 0) {
        for (uint32_t op = KULA__OP_NONE + 1; op < KULA__OP_COUNT; op++) {
            if (strcmp(kula__operation_facts[op].name, item + 3) == 0) {
                settings->operations_off |= UINT64_C(1) << op;
                return true;
            }
        }
    } else if (strncmp(item, "feat:", 5) == 0) {
        for (uint32_t bit = 0; bit < KULA__FEATURE_BITS; bit++) {
            if (strcmp(feature_names[bit], item + 5) == 0) {
                settings->features_off |= UINT64_C(1) << bit;
                return true;
            }
        }
    }
    return strcmp(item, "none") == 0;
}

int kula__mask_parse(const char *mask,
                     struct kula__settings *settings,
                     char *ret_bad,
                     size_t bad_bytes)
{
    char item[64];
    while (next_item(&mask, item, sizeof item)) {
        if (!mask_item(item, settings)) {
            snprintf(ret_bad, bad_bytes, "%s", item);
            return -EINVAL;
        }
    }
    return 0;
}

static const struct kula__backend *backend_named(const char *name)
{
    if (strcmp(name, "stub") == 0) {
        name = "blocking";
    }
    for (size_t i = 0; kula__backends[i]; i++) {
        if (strcmp(kula__backends[i]->name, name) == 0) {
            return kula__backends[i];
        }
    }
    return NULL;
}

static void add_candidate(struct kula__request *request, const struct kula__backend *backend)
{
    size_t i = 0;
    while (request->candidates[i]) {
        if (request->candidates[i] == backend) {
            return;
        }
        i++;
    }
    if (i + 1 < KULA__CANDIDATES) {
        request->candidates[i] = backend;
    }
}

/* "auto", "a,b", "strict:a": the named ones first, then, unless strict, all others. */
static int choose_candidates(struct kula__request *request,
                             const char *choice,
                             const char *source)
{
    bool strict = strncmp(choice, "strict:", 7) == 0;
    const char *list = strict ? choice + 7 : choice;
    char item[64];
    while (next_item(&list, item, sizeof item)) {
        const struct kula__backend *backend = backend_named(item);
        if (backend) {
            add_candidate(request, backend);
        } else if (strcmp(item, "auto") != 0) {
            char known[100] = "auto";
            for (size_t i = 0; kula__backends[i]; i++) {
                strncat(known, ", ", sizeof known - strlen(known) - 1);
                strncat(known, kula__backends[i]->name, sizeof known - strlen(known) - 1);
            }
            kula__log(&request->settings, KULA_LOG_ERROR,
                      "%s names a backend that this library does not have: \"%s\"; it has %s",
                      source, item, known);
            return -EINVAL;
        }
    }
    if (strict && !request->candidates[0]) {
        kula__log(&request->settings, KULA_LOG_ERROR, "%s: strict needs the name of a backend",
                  source);
        return -EINVAL;
    }
    if (strict) {
        request->settings.flags |= KULA__SETTING_STRICT;
        return 0;
    }
    for (size_t i = 0; kula__backends[i]; i++) {
        add_candidate(request, kula__backends[i]);
    }
    return 0;
}

static int check_limit(struct kula__request *request,
                       const char *field,
                       uint32_t value,
                       uint32_t most)
{
    if (value > most) {
        kula__log(&request->settings, KULA_LOG_ERROR, "config.%s is %u: at most %u is possible",
                  field, value, most);
        return -EINVAL;
    }
    return 0;
}

static uint32_t default_threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    long threads = 2 * cpus;
    return threads < 4 ? 4 : threads > 32 ? 32 : (uint32_t)threads;
}

#define ENTRIES_DEFAULT  256u
#define ENTRIES_MOST     32768u
#define THREADS_MOST     1024u
#define MESSAGES_DEFAULT 4096u

static int resolve_numbers(const struct kula_config *config, struct kula__request *request)
{
    struct kula__settings *settings = &request->settings;
    settings->entries = ENTRIES_DEFAULT;
    settings->threads_max = default_threads();
    settings->messages_max = MESSAGES_DEFAULT;
    if (!config) {
        return 0;
    }
    if (config->flags & ~(uint32_t)KULA_CONFIG_IGNORE_ENV) {
        kula__log(settings, KULA_LOG_ERROR, "config.flags has unknown bits: 0x%x",
                  config->flags);
        return -EINVAL;
    }
    if (check_limit(request, "entries", config->entries, ENTRIES_MOST) < 0 ||
        check_limit(request, "threads_max", config->threads_max, THREADS_MOST) < 0) {
        return -EINVAL;
    }
    settings->flags = config->flags;
    if (config->entries) {
        settings->entries = config->entries;
    }
    if (config->threads_max) {
        settings->threads_max = config->threads_max;
    }
    if (config->messages_max) {
        settings->messages_max = config->messages_max;
    }
    settings->operations_max = config->operations_max;
    return 0;
}

/* A variable's value if the environment may be heeded and it is set; notes that it was. */
static const char *heed(struct kula__request *request, const char *name)
{
    if ((request->settings.flags & KULA_CONFIG_IGNORE_ENV) || !environment_is_trusted()) {
        return NULL;
    }
    const char *value = getenv(name);
    if (!value || !*value) {
        return NULL;
    }
    size_t used = strlen(request->environment);
    snprintf(request->environment + used, sizeof request->environment - used, "%s%s=%s",
             used ? " " : "", name, value);
    return value;
}

/* KULA_DEBUG, or NULL. A word that is not known is no reason to refuse a ring. */
static void resolve_debug(struct kula__request *request, const char *list)
{
    unsigned levels = 0;
    char word[64];
    char unknown[64] = "";
    while (list && next_item(&list, word, sizeof word)) {
        unsigned level = kula__watch_level(word);
        levels |= level;
        if (strcmp(word, "quiet") == 0) {
            request->settings.quiet = true;
        } else if (strcmp(word, "abort") == 0) {
            kula__misuse_abort();
        } else if (level == 0) {
            snprintf(unknown, sizeof unknown, "%s", word);
        }
    }
    if (unknown[0]) {
        kula__log(&request->settings, KULA_LOG_WARNING,
                  "KULA_DEBUG: \"%s\" is not known: there are abort, quiet, ownership, canary, "
                  "checksum and guard",
                  unknown);
    }
    kula__watch_start(&request->settings, levels);
}

static int resolve_threads(struct kula__request *request, const char *text)
{
    char *end;
    errno = 0;
    unsigned long threads = strtoul(text, &end, 10);
    if (errno != 0 || *end || threads == 0 || threads > THREADS_MOST) {
        kula__log(&request->settings, KULA_LOG_ERROR,
                  "KULA_THREADS is \"%s\": a number from 1 to %u is wanted", text,
                  THREADS_MOST);
        return -EINVAL;
    }
    request->settings.threads_max = (uint32_t)threads;
    return 0;
}

static int resolve_mask(struct kula__request *request, const char *mask, const char *source)
{
    char bad[64];
    if (kula__mask_parse(mask, &request->settings, bad, sizeof bad) < 0) {
        kula__log(
            &request->settings, KULA_LOG_ERROR,
            "%s: \"%s\" is not known: use op:NAME and feat:NAME with the names that kula-info "
            "prints, or none",
            source, bad);
        return -EINVAL;
    }
    snprintf(request->mask, sizeof request->mask, "%s", mask);
    return 0;
}

int kula__config_resolve(const struct kula_config *config, struct kula__request *ret_request)
{
    struct kula__request request = { 0 };
    if (config && config->size == sizeof *config) {
        request.settings.log = config->log;
        request.settings.log_arg = config->log_arg;
    } else if (config) {
        kula__log(&request.settings, KULA_LOG_ERROR,
                  "config.size is %zu: start from KULA_CONFIG_INIT", config->size);
        return -EINVAL;
    }
    int error = resolve_numbers(config, &request);
    if (error < 0) {
        return error;
    }
    resolve_debug(&request, heed(&request, "KULA_DEBUG"));
    const char *threads = heed(&request, "KULA_THREADS");
    if (threads) {
        error = resolve_threads(&request, threads);
    }
    const char *mask = heed(&request, "KULA_MASK");
    if (error == 0 && mask) {
        error = resolve_mask(&request, mask, "KULA_MASK");
    } else if (error == 0 && config && config->mask) {
        error = resolve_mask(&request, config->mask, "config.mask");
    }
    const char *backend = heed(&request, "KULA_BACKEND");
    if (error == 0 && backend) {
        error = choose_candidates(&request, backend, "KULA_BACKEND");
    } else if (error == 0) {
        error = choose_candidates(
            &request, config && config->backend ? config->backend : "auto", "config.backend");
    }
    if (error == 0) {
        *ret_request = request;
    }
    return error;
}
