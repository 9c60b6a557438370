/* epoll.c - opening, with a real round trip; what goes which way; closing. */
#include "epoll.h"

#include "state.h"

#include "common/perform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* What would help against an error of the calls that set the backend up. */
static const char *remedy_of(int error)
{
    switch (error) {
    case -ENOSYS:
        return "this kernel was built without CONFIG_EPOLL, or a filter hides it: use another "
               "backend, or allow epoll_create1, epoll_ctl and epoll_wait";
    case -EPERM:
    case -EACCES:
        return "a seccomp filter refuses it: allow epoll_create1, epoll_ctl and epoll_wait";
    case -EMFILE:
        return "the process has no descriptors left: close some, or raise RLIMIT_NOFILE "
               "(ulimit -n)";
    case -ENFILE:
        return "the system has no descriptors left: raise the sysctl fs.file-max";
    case -ENOSPC:
        return "the user watches too many descriptors: raise the sysctl "
               "fs.epoll.max_user_watches";
    case -ENOMEM:
        return "the kernel has no memory for it: free some, or raise the memory cgroup's limit";
    default:
        return "";
    }
}

static int refuse(struct kula_candidate *verdict, const char *call, int error)
{
    verdict->error = error;
    snprintf(verdict->cause, sizeof verdict->cause, "%s: %s", call, strerror(-error));
    snprintf(verdict->remedy, sizeof verdict->remedy, "%s", remedy_of(error));
    return error;
}

static int create(void)
{
    int error = kula__fault("epoll_create1", EMFILE);
    if (error < 0) {
        return error;
    }
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Sends the ring's own signal and sees it arrive: every call that the backend lives on has then been
 * made once, since a filter may refuse any of them. */
static int round_trip(struct kula_ring *ring)
{
    struct epoll_event event;
    int count;
    kula__signal_send(&ring->wake);
    do {
        count = kula__fault("epoll_wait", EINTR);
        if (count == 0) {
            count = epoll_wait(kula__epoll_state_of(ring)->epoll_fd, &event, 1, 0);
            count = count < 0 ? -errno : count;
        }
    } while (count == -EINTR);
    kula__signal_clear(&ring->wake);
    if (count < 0) {
        return count;
    }
    return count == 1 && event.data.u64 == KULA__EPOLL_WAKE ? 0 : -EIO;
}

static enum kula_route route_of(enum kula__operation operation, bool masked)
{
    switch (operation) {
    case KULA__OP_NONE:
    case KULA__OP_COUNT:
        return KULA_ROUTE_NONE;
    case KULA__OP_NOP:
    case KULA__OP_TIMER:
        return KULA_ROUTE_LIBRARY;
    case KULA__OP_READ:
    case KULA__OP_WRITE:
    case KULA__OP_READV:
    case KULA__OP_WRITEV:
        return masked ? KULA_ROUTE_POOL : KULA_ROUTE_READY;
    case KULA__OP_RECV:
    case KULA__OP_SEND:
    case KULA__OP_ACCEPT:
    case KULA__OP_CONNECT:
    case KULA__OP_POLL:
        return KULA_ROUTE_READY; /* a worker that waits for a peer could not be called back */
    case KULA__OP_SOCKET:
    case KULA__OP_BIND:
    case KULA__OP_LISTEN:
    case KULA__OP_SHUTDOWN:
        return masked ? KULA_ROUTE_POOL : KULA_ROUTE_INLINE;
    case KULA__OP_OPENAT:
    case KULA__OP_CLOSE:
    case KULA__OP_FSYNC:
    case KULA__OP_FDATASYNC:
    case KULA__OP_STATX:
    case KULA__OP_OFFLOAD:
        return KULA_ROUTE_POOL;
    }
    return KULA_ROUTE_NONE;
}

static void describe(struct kula_ring *ring)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    uint64_t features = kula__perform_features();
    if (ring->wake.read_fd == ring->wake.write_fd) {
        features |= KULA__FEATURE(EVENTFD);
    }
    if (kula__epoll_is_precise(state->epoll_fd)) {
        features |= KULA__FEATURE(PRECISE_EPOLL);
    }
    ring->features = features & ~ring->settings.features_off;
    state->precise = (ring->features & KULA__FEATURE(PRECISE_EPOLL)) != 0;

    for (int operation = 0; operation < KULA__OP_COUNT; operation++) {
        bool masked = (ring->settings.operations_off & UINT64_C(1) << operation) != 0;
        ring->routes[operation] = (uint8_t)route_of((enum kula__operation)operation, masked);
    }
    snprintf(ring->report->setup, sizeof ring->report->setup,
             "edge-triggered, %s, up to %u worker threads",
             state->precise ? "epoll_pwait2" : "epoll_wait", ring->settings.threads_max);
}

static int epoll_open(struct kula_ring *ring, struct kula_candidate *verdict)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    state->timer_fd = -1;
    state->ready = (struct kula__signal){ -1, -1 };
    state->armed_ns = INT64_MAX;
    state->epoll_fd = create();
    if (state->epoll_fd < 0) {
        return refuse(verdict, "epoll_create1", state->epoll_fd);
    }
    const char *call = "epoll_ctl";
    int error = kula__epoll_control(state->epoll_fd, EPOLL_CTL_ADD, ring->wake.read_fd, EPOLLIN,
                                    KULA__EPOLL_WAKE);
    if (error == 0) {
        call = "epoll_wait";
        error = round_trip(ring);
    }
    if (error < 0) {
        kula__sys_close(state->epoll_fd);
        state->epoll_fd = -1;
        return refuse(verdict, call, error);
    }
    describe(ring);
    return 0;
}

static void epoll_close(struct kula_ring *ring)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    kula__epoll_disembed(state);
    kula__sys_close(state->epoll_fd);
    state->epoll_fd = -1;
}

const struct kula__backend kula__backend_epoll = {
    .name = "epoll",
    .state_bytes = sizeof(struct kula__epoll_state),
    .flags = KULA__BACKEND_WORKERS | KULA__BACKEND_CONFORMS_AUTO,
    .open = epoll_open,
    .close = epoll_close,
    .submit = kula__epoll_submit,
    .wait = kula__epoll_wait,
    .round = kula__wait_slowly,
    .cancel = kula__epoll_cancel,
    .forget = kula__epoll_forget,
    .pollable = kula__epoll_pollable,
    .settle = kula__epoll_settle,
    .memory = kula__memory_unknown,
};
