/* blocking.c - opening, with a real round trip; what goes which way; closing. */
#include "blocking.h"

#include "state.h"

#include "common/perform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int refuse(struct kula_candidate *verdict, const char *call, int error)
{
    verdict->error = error;
    snprintf(verdict->cause, sizeof verdict->cause, "%s: %s", call, strerror(-error));
    snprintf(verdict->remedy, sizeof verdict->remedy, "%s",
             error == -ENOMEM
                 ? "the process has no memory for a few pages: free some, or raise "
                   "RLIMIT_AS or the memory cgroup's limit"
                 : "a filter refuses poll(2) or write(2), which every program needs");
    return error;
}

/* Sends the ring's own signal and sees it arrive. */
static int round_trip(struct kula_ring *ring)
{
    struct pollfd *wake = kula__blocking_state_of(ring)->polled;
    int ready;
    kula__signal_send(&ring->wake);
    do {
        ready = kula__sys_poll(wake, 1, 0);
    } while (ready == -EINTR);
    bool arrived = ready == 1 && wake->revents == POLLIN;
    wake->revents = 0;
    kula__signal_clear(&ring->wake);
    if (ready < 0) {
        return ready;
    }
    return arrived ? 0 : -EIO;
}

static enum kula_route route_of(enum kula__operation operation)
{
    switch (operation) {
    case KULA__OP_NONE:
    case KULA__OP_COUNT:
        return KULA_ROUTE_NONE;
    case KULA__OP_NOP:
    case KULA__OP_TIMER:
        return KULA_ROUTE_LIBRARY;
    case KULA__OP_RECV:
    case KULA__OP_SEND:
    case KULA__OP_ACCEPT:
    case KULA__OP_CONNECT:
    case KULA__OP_POLL:
        return KULA_ROUTE_READY;
    default:
        return KULA_ROUTE_INLINE; /* reading and writing as well, but for what has to wait */
    }
}

static void describe(struct kula_ring *ring)
{
    uint64_t features = kula__perform_features();
    if (ring->wake.read_fd == ring->wake.write_fd) {
        features |= KULA__FEATURE(EVENTFD);
    }
    ring->features = features & ~ring->settings.features_off;
    for (int operation = 0; operation < KULA__OP_COUNT; operation++) {
        /* A mask takes away what there is a way around; here there is none. */
        ring->routes[operation] = (uint8_t)route_of((enum kula__operation)operation);
    }
    snprintf(ring->report->setup, sizeof ring->report->setup, "poll, plain calls in place");
}

static int blocking_open(struct kula_ring *ring, struct kula_candidate *verdict)
{
    int error = kula__blocking_set_open(ring);
    if (error < 0) {
        return refuse(verdict, "malloc", error);
    }
    error = round_trip(ring);
    if (error < 0) {
        kula__blocking_set_close(kula__blocking_state_of(ring));
        return refuse(verdict, "poll", error);
    }
    describe(ring);
    return 0;
}

static void blocking_close(struct kula_ring *ring)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    kula__blocking_watcher_free(state->watcher);
    state->watcher = NULL;
    kula__blocking_set_close(state);
}

const struct kula__backend kula__backend_blocking = {
    .name = "blocking",
    .state_bytes = sizeof(struct kula__blocking_state),
    .flags = KULA__BACKEND_CONFORMS_AUTO,
    .open = blocking_open,
    .close = blocking_close,
    .submit = kula__blocking_submit,
    .wait = kula__blocking_wait,
    .round = kula__wait_slowly,
    .cancel = kula__blocking_cancel,
    .forget = kula__blocking_forget,
    .pollable = kula__blocking_pollable,
    .settle = kula__blocking_settle,
    .memory = kula__memory_unknown,
};
