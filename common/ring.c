/* ring.c - opening, closing and giving up rings; choosing a backend. */
#include "ring.h"

#include "aside.h"
#include "block.h"
#include "borrow.h"
#include "finish.h"
#include "pool.h"
#include "pools.h"
#include "process.h"
#include "region.h"
#include "report.h"
#include "submit.h"
#include "workers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT(number)                 #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *kula_version(void)
{
    return VERSION(KULA_VERSION_MAJOR, KULA_VERSION_MINOR, KULA_VERSION_PATCH);
}

/* ---- Making and unmaking ------------------------------------------------------------------- */

/* Frees what ring_make made; nothing may be in flight, and no backend open. */
static void ring_free(struct kula_ring *ring)
{
    if (ring->pool) {
        kula__pool_close(ring->pool);
    }
    kula__fds_fini(ring);
    kula__blocks_fini(ring);
    kula__timers_fini(&ring->timers);
    kula__chunks_fini(&ring->operations);
    kula__chunks_fini(&ring->messages);
    pthread_mutex_destroy(&ring->message_mutex);
    if (ring->wake.read_fd >= 0) {
        kula__signal_close(&ring->wake);
    }
    kula__memory_free(ring->report);
    kula__pages_free(ring, sizeof *ring);
}

/* Everything but the backend. 0 or a negative errno. */
static int ring_make(const struct kula__request *request, struct kula_ring **ret_ring)
{
    struct kula_ring *ring = kula__pages_new_wiped(sizeof *ring);
    if (!ring) {
        return -ENOMEM;
    }
    ring->id = kula__process_ring_id();
    ring->settings = request->settings;
    kula__list_init(&ring->pending);
    kula__list_init(&ring->done);
    kula__list_init(&ring->early);
    kula__list_init(&ring->refused);
    kula__list_init(&ring->closing);
    ring->landed_next = ring->landed;
    ring->landed_end = ring->landed;
    ring->wake.read_fd = -1;
    bool mutex = pthread_mutex_init(&ring->message_mutex, NULL) ==
                 0; /* it needs no memory, says glibc */
    ring->report = kula__memory_new(sizeof *ring->report);
    ring->pool = kula__pool_new();
    bool memory = mutex && ring->report && ring->pool && kula__slots_init();
    int error = memory ? kula__signal_open(&ring->wake) : -ENOMEM;
    if (error < 0) {
        ring_free(ring);
        return error;
    }
    atomic_store_explicit(&ring->owner, kula__thread_self(), memory_order_relaxed);
    *ret_ring = ring;
    return 0;
}

static void backend_leave(struct kula_ring *ring)
{
    if (ring->state) {
        kula__pages_free(ring->state, ring->backend->state_bytes);
    }
    ring->state = NULL;
    ring->backend = NULL;
    ring->features = 0;
    memset(ring->routes, 0, sizeof ring->routes);
    ring->report->setup[0] = '\0';
}

static int backend_open(struct kula_ring *ring,
                        const struct kula__backend *backend,
                        struct kula_candidate *verdict)
{
    ring->backend = backend;
    ring->state = kula__pages_new_wiped(backend->state_bytes);
    int error = -ENOMEM;
    if (ring->state) {
        error = backend->open(ring, verdict);
    } else {
        strncpy(verdict->cause, "no memory for the backend's state", sizeof verdict->cause - 1);
        strncpy(verdict->remedy, "raise the process's memory limit",
                sizeof verdict->remedy - 1);
    }
    kula__report_verdict(verdict, error);
    if (error < 0) {
        backend_leave(ring);
    }
    return error;
}

static void log_verdict(const struct kula_ring *ring, const struct kula_candidate *candidate)
{
    bool strict = ring->settings.flags & KULA__SETTING_STRICT;
    int level = strict                                         ? KULA_LOG_ERROR
                : candidate->verdict == KULA_VERDICT_RESOURCES ? KULA_LOG_WARNING
                                                               : KULA_LOG_INFO;
    kula__log(&ring->settings, level, "%s is not available: %s; remedy: %s", candidate->name,
              candidate->cause, candidate->remedy);
}

static void report_ring(struct kula_report *report, const struct kula_ring *ring)
{
    report->features = ring->features;
    for (uint32_t op = KULA__OP_NONE + 1; op < KULA__OP_COUNT; op++) {
        report->routes[op - 1] = ring->routes[op];
    }
}

/* Tries the candidates in order until one opens. 0, or the last one's error. */
static int choose(struct kula_ring *ring, const struct kula__request *request)
{
    struct kula_report *report = ring->report;
    int error = -ENOSYS;
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        error = backend_open(ring, request->candidates[i], &report->candidates[i]);
        if (error == 0) {
            kula__report_choice(report, request, (int32_t)i);
            report_ring(report, ring);
            kula__log(&ring->settings, KULA_LOG_INFO, "%s", report->reason);
            return 0;
        }
        log_verdict(ring, &report->candidates[i]);
        if (request->settings.flags & KULA__SETTING_STRICT) {
            break;
        }
    }
    kula__report_choice(report, request, -1);
    return error;
}

static void sweep_graveyard(void);

/* Opens a ring for a request that was resolved. 0 or a negative errno. */
static int open_resolved(const struct kula__request *request,
                         struct kula_report *report,
                         struct kula_ring **ret_ring)
{
    struct kula_ring *ring = NULL;
    int error = ring_make(request, &ring);
    if (error < 0) {
        kula__log(&request->settings, KULA_LOG_ERROR, "no resources for a ring: %s",
                  kula_explain(error));
        return error;
    }
    kula__report_begin(ring->report, request);
    error = choose(ring, request);
    kula__report_copy(report, ring->report);
    if (error < 0) {
        ring_free(ring);
        return error;
    }
    kula__process_add(ring);
    *ret_ring = ring;
    return 0;
}

int kula_open(const struct kula_config *config, struct kula_ring **ret_ring)
{
    if (!ret_ring) {
        return -EINVAL;
    }
    struct kula_report report = { .size = sizeof report, .chosen = -1 };
    struct kula__request request;
    int error = kula__config_resolve(config, &request);
    if (error == 0) {
        kula__report_begin(&report, &request);
        error = kula__process_init();
    }
    if (error == 0) {
        sweep_graveyard();
        error = open_resolved(&request, &report, ret_ring);
    }
    if (config && config->size == sizeof *config && config->report) {
        if (error < 0 && !report.reason[0]) {
            snprintf(report.reason, sizeof report.reason, "no candidate was tried: %s",
                     kula_explain(error));
        }
        kula__report_copy(config->report, &report);
    }
    return error;
}

int kula_probe(const struct kula_config *config, struct kula_report *ret_report)
{
    struct kula__request request;
    int error = kula__config_resolve(config, &request);
    if (error < 0) {
        return error;
    }
    struct kula_ring *ring = NULL;
    error = kula__process_init();
    if (error < 0) {
        return error;
    }
    error = ring_make(&request, &ring);
    if (error < 0) {
        return error;
    }
    struct kula_report *report = ring->report;
    kula__report_begin(report, &request);
    int32_t chosen = -1;
    int last = -ENOSYS;
    char setup[sizeof report->setup] = "";
    for (uint32_t i = 0; i < report->candidate_count; i++) {
        int answer = backend_open(ring, request.candidates[i], &report->candidates[i]);
        if (answer < 0) {
            last = answer;
            continue;
        }
        if (chosen < 0) {
            chosen = (int32_t)i;
            report_ring(report, ring);
            memcpy(setup, report->setup, sizeof setup);
        }
        ring->backend->close(ring);
        backend_leave(ring);
    }
    memcpy(report->setup, setup, sizeof setup);
    kula__report_choice(report, &request, chosen);
    error = kula__report_copy(ret_report, report);
    ring_free(ring);
    return error < 0 ? error : chosen < 0 ? last : 0;
}

int kula_describe(const struct kula_ring *ring, struct kula_report *ret_report)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_describe");
    }
    return kula__report_copy(ret_report, ring->report);
}

const char *kula_backend_name(const struct kula_ring *ring)
{
    return ring && ring->backend ? ring->backend->name : "";
}

/* ---- Closing ------------------------------------------------------------------------------- */

#define PATIENT_ROUNDS 4 /* before the first sleep: most cancels are answered at once */
#define ROUND_NS       (10 * KULA_MILLISECOND) /* how long to sleep before asking again */

/* From here on operations are refused, which only the slow way of handing over does. */
static void stop_accepting(struct kula_ring *ring)
{
    if (!ring->closing_down) {
        ring->closing_down = true;
        ring->fd_plain_count = 0;
        ring->spare_operations = ring->free_operations;
        ring->free_operations = NULL;
    }
}

/* Cancels everything and reaps until nothing is in flight or the time has passed. */
static void drain(struct kula_ring *ring, int64_t drain_ns)
{
    int64_t end_ns = INT64_MAX;
    if (drain_ns >= 0) {
        int64_t now_ns = kula__now_ns();
        end_ns = drain_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + drain_ns;
    }
    struct kula__aside aside;
    kula__aside_begin(ring, &aside);
    for (int round = 0;; round++) {
        kula__cancel_everything(ring);
        if (round > PATIENT_ROUNDS) {
            kula__cancel_again(ring, NULL);
        }
        kula__aside_more(ring, &aside);
        if ((ring->in_flight == 0 && !kula__has_chores(ring)) || ring->broken) {
            break;
        }
        int64_t left_ns = end_ns == INT64_MAX ? ROUND_NS : end_ns - kula__now_ns();
        if (left_ns <= 0 && round >= PATIENT_ROUNDS) {
            break;
        }
        int64_t sleep_ns = left_ns < ROUND_NS ? left_ns : ROUND_NS;
        if (round < PATIENT_ROUNDS || sleep_ns < 0) {
            sleep_ns = 0;
        }
        if (kula__drive(ring, sleep_ns) < 0) {
            break;
        }
    }
    kula__aside_end(ring, &aside);
}

static void drop_all(struct kula_ring *ring, struct kula__list *list)
{
    struct kula__slot *slot;
    while ((slot = kula__list_pop(list))) {
        kula__drop(ring, slot);
    }
}

/* Buffers outlive their ring: what the program still has, others may be freeing meanwhile. */
static void list_held(const struct kula_ring *ring)
{
    uint64_t held = kula__pool_held(ring->pool);
    if (held > 0) {
        kula__log(&ring->settings, KULA_LOG_INFO,
                  "the ring is closed; the program still holds %llu of its buffers",
                  (unsigned long long)held);
        kula__pool_list(ring->pool, &ring->settings);
    }
}

/* Nothing is in flight: consumes what nobody pulled, and frees everything. */
static void destroy(struct kula_ring *ring)
{
    ring->inside = true;
    kula__scopes_end(ring);
    kula__event_end(ring);
    kula__inbox_drain(ring);
    for (; ring->landed_next != ring->landed_end; ring->landed_next++) {
        kula__landed_drop(ring, ring->landed_next);
    }
    drop_all(ring, &ring->early);
    drop_all(ring, &ring->done);
    kula__workers_close(ring);
    ring->backend->close(ring);
    kula__regions_leave(ring);
    kula__pools_leave(ring);
    list_held(ring);
    struct kula__settings settings = ring->settings;
    kula__process_remove(ring);
    kula__pages_free(ring->state, ring->backend->state_bytes);
    uint64_t untaken = ring->untaken;
    ring_free(ring);
    if (untaken > 0) {
        kula__log(&settings, KULA_LOG_DEBUG,
                  "%llu buffers were not taken from their events and went back to their pools",
                  (unsigned long long)untaken);
    }
}

struct listing {
    const struct kula_ring *ring;
    int left;
};

static void list_one(struct kula__slot *slot, void *arg)
{
    struct listing *listing = arg;
    if (kula__word_holder(kula__slot_word(slot)) != KULA__HELD_BY_RING ||
        listing->left-- <= 0) {
        return;
    }
    if (kula__is_let_go(slot)) {
        kula__log(&listing->ring->settings, KULA_LOG_WARNING,
                  "still in flight: %s without a copy: what it has sent is read until the "
                  "peer acknowledges it or the connection ends",
                  kula__operation_facts[slot->operation].name);
        return;
    }
    kula__log(
        &listing->ring->settings, KULA_LOG_WARNING, "still in flight: %s on descriptor %d%s%s",
        kula__operation_facts[slot->operation].name, slot->fd,
        slot->kind == KULA__KIND_LENT ? ", with memory that is lent to it" : "",
        slot->attention & KULA__POOLED ? ", in a worker's call that cannot be stopped" : "");
}

static void list_what_is_left(const struct kula_ring *ring)
{
    struct listing listing = { .ring = ring, .left = 16 };
    kula__log(&ring->settings, KULA_LOG_WARNING,
              "kula_close: %u operations have not ended; nothing was freed", ring->in_flight);
    kula__slots_visit(ring->id, list_one, &listing);
}

int kula_close(struct kula_ring **ring, int64_t drain_ns)
{
    if (!ring || !*ring) {
        return ring ? 0 : -EINVAL;
    }
    struct kula_ring *closing = *ring;
    if (!kula__is_owner(closing)) {
        return kula__not_owner(closing, "kula_close");
    }
    kula__scopes_report(closing, "kula_close");
    stop_accepting(closing);
    drain(closing, drain_ns);
    if (closing->in_flight > 0) {
        list_what_is_left(closing);
        return -EBUSY;
    }
    destroy(closing);
    *ring = NULL;
    sweep_graveyard();
    return 0;
}

int kula_abandon(struct kula_ring **ring)
{
    if (!ring || !*ring) {
        return ring ? 0 : -EINVAL;
    }
    struct kula_ring *abandoned = *ring;
    if (!kula__is_owner(abandoned)) {
        return kula__not_owner(abandoned, "kula_abandon");
    }
    kula__scopes_report(abandoned, "kula_abandon");
    sweep_graveyard();
    stop_accepting(abandoned);
    drain(abandoned, 0);
    *ring = NULL;
    if (abandoned->in_flight == 0) {
        destroy(abandoned);
        return 0;
    }
    list_what_is_left(abandoned);
    kula__process_remove(abandoned);
    kula__graveyard_put(abandoned);
    return 0;
}

/* Looks at the calling thread's abandoned rings again, and frees those that have become empty. */
static void sweep_graveyard(void)
{
    for (uint32_t count = kula__graveyard_count(); count > 0; count--) {
        struct kula_ring *ring = kula__graveyard_take();
        if (!ring) {
            return;
        }
        drain(ring, 0);
        if (ring->in_flight == 0) {
            destroy(ring);
        } else {
            kula__graveyard_put(ring);
        }
    }
}
