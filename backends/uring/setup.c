/* setup.c - opening, or why not; what goes which way; closing. */
#include "uring.h"

#include "state.h"

#include "common/perform.h"
#include "common/system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define ENTRIES_MIN 32u

/* How long closing waits for what the backend itself has in the kernel: polls, which end at once. */
#define CLOSE_TRIES   20u
#define CLOSE_STEP_NS (100 * KULA_MILLISECOND)

#define REQUIRED                                                                        \
    (KULA__FEATURE(NODROP) | KULA__FEATURE(SUBMIT_STABLE) | KULA__FEATURE(RW_CUR_POS) | \
     KULA__FEATURE(FAST_POLL) | KULA__FEATURE(EXT_ARG))

/* ---- Verdicts ------------------------------------------------------------------------------ */

/* sysctl kernel.io_uring_disabled (6.6): 0, 1, 2; -1 where there is none. */
static int sysctl_disabled(void)
{
    int value = -1;
    int fd = kula__fault("open", EMFILE)
                 ? -1
                 : open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        char text = '\0';
        if (kula__sys_read(fd, &text, 1) == 1 && text >= '0' && text <= '9') {
            value = text - '0';
        }
        kula__sys_close(fd);
    }
    return value;
}

#define ALLOW_CALLS "io_uring_setup, io_uring_enter and io_uring_register"

static void explain_refusal(struct kula_candidate *verdict, const char *call)
{
    int disabled = sysctl_disabled();
    if (disabled >= 2) {
        snprintf(verdict->cause, sizeof verdict->cause,
                 "%s: EPERM: kernel.io_uring_disabled is %d: switched off for everybody", call,
                 disabled);
        snprintf(verdict->remedy, sizeof verdict->remedy,
                 "set the sysctl kernel.io_uring_disabled to 0 (or to 1 and join the group in "
                 "kernel.io_uring_group)");
    } else if (disabled == 1) {
        snprintf(verdict->cause, sizeof verdict->cause,
                 "%s: EPERM: kernel.io_uring_disabled is 1, or a seccomp filter refuses it",
                 call);
        snprintf(
            verdict->remedy, sizeof verdict->remedy,
            "join the group in kernel.io_uring_group, or have CAP_SYS_ADMIN, or set the sysctl "
            "to 0; under a filter: a profile that allows " ALLOW_CALLS);
    } else {
        snprintf(verdict->cause, sizeof verdict->cause,
                 "%s: EPERM: a seccomp filter refuses it, as Docker's default profile does",
                 call);
        snprintf(verdict->remedy, sizeof verdict->remedy,
                 "run with a seccomp profile that allows " ALLOW_CALLS
                 "; capabilities do not help");
    }
}

static void explain_memory(struct kula_candidate *verdict, const char *call)
{
    struct rlimit limit = { .rlim_cur = 0 };
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    char current[32];
    if (limit.rlim_cur == RLIM_INFINITY) {
        snprintf(current, sizeof current, "unlimited");
    } else {
        snprintf(current, sizeof current, "%" PRIu64 " bytes", (uint64_t)limit.rlim_cur);
    }
    snprintf(verdict->cause, sizeof verdict->cause,
             "%s: ENOMEM even with %u entries; RLIMIT_MEMLOCK is %s, and rings count", call,
             ENTRIES_MIN, current);
    snprintf(verdict->remedy, sizeof verdict->remedy,
             "raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=, memlock in limits.conf, --ulimit "
             "memlock=), have CAP_IPC_LOCK, or close other rings of this user");
}

/* Says in the verdict which call answered what, and what would help. */
static int refuse(struct kula_candidate *verdict, const char *call, int error)
{
    verdict->error = error;
    snprintf(verdict->cause, sizeof verdict->cause, "%s: %s", call, strerror(-error));
    const char *remedy = "";
    switch (error) {
    case -ENOSYS:
        snprintf(
            verdict->cause, sizeof verdict->cause,
            "%s: ENOSYS: the kernel has no io_uring (before 5.1, or built without it), or a "
            "seccomp filter hides it, as podman's does",
            call);
        remedy = "a kernel with CONFIG_IO_URING; in a container a seccomp profile that "
                 "allows " ALLOW_CALLS;
        break;
    case -EPERM:
        explain_refusal(verdict, call);
        return error;
    case -EACCES:
        remedy = "a security module or a restricted ring refuses it: allow " ALLOW_CALLS;
        break;
    case -EINVAL:
        remedy =
            "this kernel's io_uring is too old to be asked what it can do (before 5.6), or a "
            "filter answers for it: use a newer kernel";
        break;
    case -ENOMEM:
        explain_memory(verdict, call);
        return error;
    case -EMFILE:
        remedy = "the process has no descriptors left: close some, or raise RLIMIT_NOFILE "
                 "(ulimit -n)";
        break;
    case -ENFILE:
        remedy = "the system has no descriptors left: raise the sysctl fs.file-max";
        break;
    default:
        break;
    }
    snprintf(verdict->remedy, sizeof verdict->remedy, "%s", remedy);
    return error;
}

static int refuse_features(struct kula_candidate *verdict, uint64_t missing)
{
    verdict->error = -EOPNOTSUPP;
    int used = snprintf(verdict->cause, sizeof verdict->cause, "features are missing:");
    for (uint32_t bit = 0; bit < KULA__FEATURE_BITS; bit++) {
        if ((missing >> bit & 1) && used > 0 && (size_t)used < sizeof verdict->cause) {
            used += snprintf(verdict->cause + used, sizeof verdict->cause - (size_t)used, " %s",
                             kula_feature_name(bit));
        }
    }
    snprintf(
        verdict->remedy, sizeof verdict->remedy,
        "Linux 5.11 and later have them (and a mask may take them away); strict:uring works "
        "with less");
    return -EOPNOTSUPP;
}

/* ---- The ladder ---------------------------------------------------------------------------- */

static const struct flag {
    unsigned flag;
    uint64_t feature;
    const char *name;
} setup_flags[] = {
    { IORING_SETUP_SINGLE_ISSUER, KULA__FEATURE(SINGLE_ISSUER), "SINGLE_ISSUER" },
    { IORING_SETUP_DEFER_TASKRUN, KULA__FEATURE(DEFER_TASKRUN), "DEFER_TASKRUN" },
    { IORING_SETUP_COOP_TASKRUN, KULA__FEATURE(COOP_TASKRUN), "COOP_TASKRUN" },
    { IORING_SETUP_TASKRUN_FLAG, KULA__FEATURE(TASKRUN_FLAG), "TASKRUN_FLAG" },
    { IORING_SETUP_SUBMIT_ALL, KULA__FEATURE(SUBMIT_ALL), "SUBMIT_ALL" },
    { IORING_SETUP_CLAMP, 0, "CLAMP" },
};
#define FLAGS (sizeof setup_flags / sizeof setup_flags[0])

/* Newest first; a kernel that does not know a flag answers -EINVAL, and the next rung has one kind
 * less. Deferred work is announced by nothing but the flag in the ring, and never by the ring's own
 * descriptor (6.18, measured), so it takes TASKRUN_FLAG and a wait with a time-out. */
static const struct {
    unsigned flags;
    uint64_t also; /* features that must not be masked */
} rungs[] = {
    { IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
          IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP,
      KULA__FEATURE(EXT_ARG) },
    { IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
          IORING_SETUP_CLAMP,
      0 },
    { IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP, 0 },
    { IORING_SETUP_CLAMP, 0 },
    { 0, 0 },
};
#define RUNGS (sizeof rungs / sizeof rungs[0])

static uint64_t features_of_flags(unsigned flags)
{
    uint64_t features = 0;
    for (size_t i = 0; i < FLAGS; i++) {
        features |= flags & setup_flags[i].flag ? setup_flags[i].feature : 0;
    }
    return features;
}

/* One try with fewer and fewer entries: rings count against RLIMIT_MEMLOCK before 5.12 and again on
 * 6.18 (64 KiB: 64 entries). */
static int set_up_with(struct kula_ring *ring,
                       struct kula__uring_state *state,
                       struct io_uring_params *params,
                       unsigned flags)
{
    unsigned entries = ring->settings.entries;
    for (;;) {
        *params = (struct io_uring_params){ .flags = flags };
        int error = kula__fault("io_uring_setup", ENOMEM);
        if (error == 0) {
            error = io_uring_queue_init_params(entries, &state->ring, params);
        }
        if (error != -ENOMEM || entries <= ENTRIES_MIN) {
            return error;
        }
        entries = entries / 2 > ENTRIES_MIN ? entries / 2 : ENTRIES_MIN;
        kula__log(&ring->settings, KULA_LOG_WARNING,
                  "uring: no memory for the queues (RLIMIT_MEMLOCK?): trying %u entries",
                  entries);
    }
}

static int set_up(struct kula_ring *ring,
                  struct kula__uring_state *state,
                  struct io_uring_params *params)
{
    uint64_t off = ring->settings.features_off;
    if (kula__on_valgrind()) {
        off |= KULA__FEATURE(DEFER_TASKRUN) |
               KULA__FEATURE(COOP_TASKRUN); /* see kula__uring_enter */
    }
    int error = -EINVAL;
    for (size_t i = 0; i < RUNGS && error == -EINVAL; i++) {
        unsigned flags = rungs[i].flags;
        if (off & KULA__FEATURE(SUBMIT_ALL)) {
            flags &= ~IORING_SETUP_SUBMIT_ALL;
        }
        if (off & (features_of_flags(flags) | rungs[i].also)) {
            continue;
        }
        error = set_up_with(ring, state, params, flags);
    }
    return error;
}

static void report_setup(struct kula_report *report, const struct io_uring_params *params)
{
    char text[sizeof report->setup] = "";
    for (size_t i = 0; i < FLAGS; i++) {
        if (params->flags & setup_flags[i].flag) {
            strncat(text, text[0] ? "|" : "", sizeof text - strlen(text) - 1);
            strncat(text, setup_flags[i].name, sizeof text - strlen(text) - 1);
        }
    }
    snprintf(report->setup, sizeof report->setup, "%.80s%s%u entries", text,
             text[0] ? ", " : "no flags, ", params->sq_entries);
}

static uint64_t features_of(const struct io_uring_params *params)
{
    static const struct {
        unsigned kernel;
        uint64_t feature;
    } told[] = {
        { IORING_FEAT_NODROP, KULA__FEATURE(NODROP) },
        { IORING_FEAT_SUBMIT_STABLE, KULA__FEATURE(SUBMIT_STABLE) },
        { IORING_FEAT_RW_CUR_POS, KULA__FEATURE(RW_CUR_POS) },
        { IORING_FEAT_FAST_POLL, KULA__FEATURE(FAST_POLL) },
        { IORING_FEAT_EXT_ARG, KULA__FEATURE(EXT_ARG) },
    };
    uint64_t features = features_of_flags(params->flags);
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        features |= params->features & told[i].kernel ? told[i].feature : 0;
    }
    return features;
}

/* liburing maps and unmaps without the C library, where nobody who watches the threads sees it. */
static void take_down(struct kula__uring_state *state)
{
    kula__addresses_leave();
    io_uring_queue_exit(&state->ring);
}

/* ---- What it can do ------------------------------------------------------------------------ */

#define PROBED_MAX 256

static bool supports(const struct io_uring_probe *probe, int opcode)
{
    return opcode >= 0 && opcode < probe->ops_len &&
           (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED);
}

static int probe_operations(struct kula__uring_state *state, struct io_uring_probe *probe)
{
    int error = kula__fault("io_uring_register", EINVAL);
    return error < 0 ? error : io_uring_register_probe(&state->ring, probe, PROBED_MAX);
}

static void route_operations(struct kula_ring *ring,
                             struct kula__uring_state *state,
                             const struct io_uring_probe *probe)
{
    state->messages = supports(probe, IORING_OP_SENDMSG) && supports(probe, IORING_OP_RECVMSG);
    /* Without NODROP all completions to come are counted, and a second one would not be. */
    if (supports(probe, IORING_OP_SEND_ZC) && (ring->features & KULA__FEATURE(NODROP))) {
        ring->features |= KULA__FEATURE(SEND_ZC) & ~ring->settings.features_off;
    }
    for (uint32_t i = 1; i < KULA__OP_COUNT; i++) {
        enum kula__operation operation = (enum kula__operation)i;
        if (operation == KULA__OP_TIMER) {
            ring->routes[i] = KULA_ROUTE_LIBRARY;
        } else if (!(ring->settings.operations_off >> i & 1) &&
                   supports(probe, kula__uring_opcode(operation))) {
            ring->routes[i] = KULA_ROUTE_RING;
            state->unproven |= 1u << i;
        } else {
            ring->routes[i] = kula__uring_detour(operation);
        }
    }
}

/* Without the probe nobody knows what the ring can do: a kernel that lacks it (before 5.6) also lacks
 * what is required, and a filter that denies it denies what is registered next. */
static int learn_operations(struct kula_ring *ring, struct kula__uring_state *state)
{
    struct io_uring_probe *probe =
        kula__memory_new(sizeof *probe + PROBED_MAX * sizeof probe->ops[0]);
    if (!probe) {
        return -ENOMEM;
    }
    int error = probe_operations(state, probe);
    if (error == 0) {
        route_operations(ring, state, probe);
    }
    kula__memory_free(probe);
    return error;
}

/* Registers what makes the ring faster and safer; none of it is needed. */
static void register_extras(struct kula_ring *ring, struct kula__uring_state *state)
{
    uint64_t off = ring->settings.features_off;
    if (!(off & KULA__FEATURE(REGISTERED_RING)) && !kula__fault("io_uring_register", EBUSY) &&
        io_uring_register_ring_fd(&state->ring) == 1) {
        /* also immune to a program that closes a descriptor which is not its own */
        state->enter_fd = state->ring.enter_ring_fd;
        state->enter_flags = IORING_ENTER_REGISTERED_RING;
        ring->features |= KULA__FEATURE(REGISTERED_RING);
    }
    /* The bounded workers are for storage, and for opens that may wait; the others for what cannot
     * be polled. Without a limit the latter are as many as RLIMIT_NPROC allows. */
    unsigned limits[2] = { ring->settings.threads_max, ring->settings.threads_max };
    uint32_t bounded =
        state->sq_entries < 4 ? state->sq_entries : 4; /* at least, before 5.15 */
    if (!(off & KULA__FEATURE(WORKER_LIMIT)) && !kula__fault("io_uring_register", EINVAL) &&
        io_uring_register_iowq_max_workers(&state->ring, limits) == 0) {
        ring->features |= KULA__FEATURE(WORKER_LIMIT);
        bounded = ring->settings.threads_max;
    }
    uint32_t kept = bounded / 4 > 0 ? bounded / 4 : 1;
    state->opens_max = bounded > kept ? bounded - kept : 1;
}

/* ---- The proof ----------------------------------------------------------------------------- */

static void adopt_queues(struct kula__uring_state *state)
{
    const struct io_uring *ring = &state->ring;
    /* liburing has mapped them by calls of its own, perhaps where other memory was before */
    kula__instruments_forget(ring->sq.ring_ptr, ring->sq.ring_sz);
    kula__instruments_forget(ring->cq.ring_ptr, ring->cq.ring_sz);
    kula__instruments_forget(ring->sq.sqes, *ring->sq.kring_entries * sizeof ring->sq.sqes[0]);
    state->sqes = ring->sq.sqes;
    state->sq_tail = ring->sq.ktail;
    state->sq_head = ring->sq.khead;
    state->sq_flags = ring->sq.kflags;
    state->sq_mask = *ring->sq.kring_mask;
    state->sq_entries = *ring->sq.kring_entries;
    state->sqes_end = state->sqes + state->sq_entries;
    state->tail = *ring->sq.ktail;
    state->cqes = ring->cq.cqes;
    state->cq_head = ring->cq.khead;
    state->cq_tail = ring->cq.ktail;
    state->cq_mask = *ring->cq.kring_mask;
    state->cq_entries = *ring->cq.kring_entries;
    state->cqes_end = state->cqes + state->cq_entries;
    state->head = *ring->cq.khead;
    state->enter_fd = ring->ring_fd;
    /* entries are always submitted in the order in which they stand */
    for (uint32_t i = 0; i < state->sq_entries; i++) {
        ring->sq.array[i] = i;
    }
}

/* One no-operation there and back, through the very calls that everything else goes through: a filter
 * may deny io_uring_enter alone. */
static int round_trip(struct kula_ring *ring, struct kula__uring_state *state)
{
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    sqe->opcode = IORING_OP_NOP;
    sqe->fd = -1;
    sqe->user_data = kula__uring_token(KULA__URING_PROOF, 0);
    state->proof = 1;
    int error = 0;
    for (unsigned i = 0; i < CLOSE_TRIES && state->proof == 1; i++) {
        error = kula__uring_enter(state, 1, CLOSE_STEP_NS);
        if (error < 0 && error != -EINTR && error != -ETIME && error != -EAGAIN) {
            return error;
        }
        kula__uring_harvest(ring, state);
    }
    return state->proof == 1 ? -ETIMEDOUT : state->proof;
}

/* ---- Opening and closing ------------------------------------------------------------------- */

static int prove(struct kula_ring *ring,
                 struct kula__uring_state *state,
                 struct kula_candidate *verdict)
{
    int error = kula__fault("madvise", ENOMEM);
    if (error == 0) {
        error = io_uring_ring_dontfork(&state->ring);
    }
    if (error < 0) {
        return refuse(verdict, "madvise(MADV_DONTFORK) of the queues", error);
    }
    error = learn_operations(ring, state);
    if (error < 0) {
        return refuse(verdict, "io_uring_register(PROBE)", error);
    }
    register_extras(ring, state);
    ring->features |= kula__uring_memory_features(state) & ~ring->settings.features_off;
    error = round_trip(ring, state);
    if (error < 0) {
        return refuse(verdict, "io_uring_enter(NOP)", error);
    }
    if (ring->routes[KULA__OP_NOP] == KULA_ROUTE_RING) {
        kula__uring_allow(state, 1u << KULA__OP_NOP);
        state->unproven &= ~(1u << KULA__OP_NOP);
    }
    return 0;
}

static int uring_open(struct kula_ring *ring, struct kula_candidate *verdict)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    state->armed_ns = INT64_MAX;
    struct io_uring_params params;
    int error = set_up(ring, state, &params);
    if (error < 0) {
        return refuse(verdict, "io_uring_setup", error);
    }
    kula__addresses_arrive();
    uint64_t features = features_of(&params) | kula__perform_features();
    if (ring->wake.read_fd == ring->wake.write_fd) {
        features |= KULA__FEATURE(EVENTFD);
    }
    ring->features = features & ~ring->settings.features_off;
    uint64_t missing = REQUIRED & ~ring->features;
    if (missing && !(ring->settings.flags & KULA__SETTING_STRICT)) {
        take_down(state);
        return refuse_features(verdict, missing);
    }
    adopt_queues(state);
    state->timed_enter = (ring->features & KULA__FEATURE(EXT_ARG)) && !kula__on_valgrind();
    /* Without NODROP a completion that finds no room is lost: no more may be under way than fit. */
    state->in_kernel = ring->features & KULA__FEATURE(NODROP) ? 0 : state->cq_entries;
    state->kept = (state->in_kernel + 3) / 4;
    error = prove(ring, state, verdict);
    if (error < 0) {
        take_down(state);
        return error;
    }
    report_setup(ring->report, &params);
    return 0;
}

static void cancel_token(struct kula__uring_state *state,
                         enum kula__uring_token token,
                         uint32_t number)
{
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    if (sqe) {
        sqe->opcode =
            token == KULA__URING_TIMER ? IORING_OP_TIMEOUT_REMOVE : IORING_OP_ASYNC_CANCEL;
        sqe->fd = -1;
        sqe->addr = kula__uring_token(token, number);
        sqe->user_data = kula__uring_token(KULA__URING_IGNORED, 0);
    }
}

/* When as many completions have come as were to come, the kernel has nothing of ours. It
 * would go on using it after the ring's descriptor is closed (6.18: 283 of 300 rounds). */
static void uring_close(struct kula_ring *ring)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    if (state->wake_armed) {
        cancel_token(state, KULA__URING_WAKE, 0);
    }
    if (state->armed_ns != INT64_MAX) {
        cancel_token(state, KULA__URING_TIMER, state->timer_number);
    }
    for (unsigned i = 0; i < CLOSE_TRIES && state->tail + state->second != state->head; i++) {
        int result = kula__uring_enter(state, 1, CLOSE_STEP_NS);
        if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN &&
            result != -EBUSY) {
            break;
        }
        kula__uring_harvest(ring, state);
    }
    kula__uring_memory_close(state);
    take_down(state);
}

static void uring_forget(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    (void)ring;
    (void)fd;
    record->backend_bits = 0;
}

const struct kula__backend kula__backend_uring = {
    .name = "uring",
    .state_bytes = sizeof(struct kula__uring_state),
    .flags = KULA__BACKEND_WORKERS | KULA__BACKEND_CONFORMS_AUTO,
    .open = uring_open,
    .close = uring_close,
    .submit = kula__uring_submit,
    .wait = kula__uring_wait,
    .round = kula__uring_round,
    .cancel = kula__uring_cancel,
    .forget = uring_forget,
    .pollable = kula__uring_pollable,
    .settle = kula__uring_settle,
    .memory = kula__uring_memory,
};
