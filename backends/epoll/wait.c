/* wait.c - sleeping, what wakes us, and the pollable descriptor.
 *
 * The epoll descriptor is itself pollable, which is all that a foreign loop needs: embedded mode
 * only adds to the set what is not in it otherwise, a timer and a signal for "there are events".
 */
#include "state.h"

#include "common/instruments.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 128

/* What epoll_pwait2 takes, with 64 bits everywhere. */
struct timespec64 {
    int64_t tv_sec;
    int64_t tv_nsec;
};

/* The C library has no function for it before glibc 2.35. */
static int pwait2(int epoll_fd, struct epoll_event *events, int count, int64_t timeout_ns)
{
#ifdef SYS_epoll_pwait2
    struct timespec64 timeout = { .tv_sec = timeout_ns / KULA_SECOND,
                                  .tv_nsec = timeout_ns % KULA_SECOND };
    return (int)syscall(SYS_epoll_pwait2, epoll_fd, events, count, &timeout, NULL, 0);
#else
    (void)epoll_fd;
    (void)events;
    (void)count;
    (void)timeout_ns;
    errno = ENOSYS;
    return -1;
#endif
}

bool kula__epoll_is_precise(int epoll_fd)
{
    struct epoll_event event;
    return kula__fault("epoll_pwait2", ENOSYS) == 0 && pwait2(epoll_fd, &event, 1, 0) >= 0;
}

/* As epoll_wait, with nanoseconds where the kernel has them, else rounded up to milliseconds. */
static int wait_events(const struct kula__epoll_state *state,
                       struct epoll_event *events,
                       int64_t timeout_ns)
{
    int error = kula__fault("epoll_wait", EINTR);
    if (error < 0) {
        return error;
    }
    int count;
    if (timeout_ns > 0 && state->precise) {
        count = pwait2(state->epoll_fd, events, EVENTS_MAX, timeout_ns);
    } else {
        int64_t timeout_ms =
            timeout_ns < 0 ? -1 : timeout_ns / 1000000 + (timeout_ns % 1000000 > 0);
        count = epoll_wait(state->epoll_fd, events, EVENTS_MAX,
                           timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);
    }
    return count < 0 ? -errno : count;
}

static void serve_own(struct kula_ring *ring, uint32_t which)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    switch ((enum kula__epoll_own)which) {
    case KULA__EPOLL_WAKE:
        kula__signal_clear(&ring->wake);
        break;
    case KULA__EPOLL_READY:
        /* Left over when the program pulled the last event and went on to sleep here. */
        if (!kula__has_events(ring) && state->raised) {
            kula__signal_clear(&state->ready);
            state->raised = false;
        }
        break;
    case KULA__EPOLL_TIMER: {
        uint64_t expirations;
        (void)kula__sys_read(state->timer_fd, &expirations, sizeof expirations);
        state->armed_ns = INT64_MAX;
        break;
    }
    }
}

/* One epoll_wait and all that it tells. Sleeps up to timeout_ns. */
static int reap(struct kula_ring *ring, int64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    bool sleeps = timeout_ns != 0;
    if (sleeps && !kula__sleep_begin(ring)) {
        timeout_ns = 0;
    }
    int count = wait_events(kula__epoll_state_of(ring), events, timeout_ns);
    if (sleeps) {
        kula__sleep_end(ring);
    }
    if (count < 0) {
        /* A signal: the caller looks at the clock and comes again. Anything else means that the
         * descriptor is not ours any more: the program has closed it. */
        return count == -EINTR ? 0 : -EBADR;
    }
    /* the call that takes nanoseconds is newer than what the C library, and its watchers, know */
    kula__instruments_written(events, (size_t)count * sizeof events[0]);
    for (int i = 0; i < count; i++) {
        uint64_t number = events[i].data.u64;
        if (number >> 32 == 0) {
            serve_own(ring, (uint32_t)number);
        } else {
            kula__epoll_serve(ring, number, events[i].events);
        }
    }
    return 0;
}

int kula__epoll_wait(struct kula_ring *ring, int64_t timeout_ns)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    if (state->announced) {
        kula__sleep_end(ring);
        state->announced = false;
    }
    kula__epoll_submit(ring);
    kula__inbox_drain(ring);

    bool sleeps = timeout_ns != 0 && !kula__has_events(ring) && !ring->pending.head;
    /* With nothing that waits for readiness there is nothing that the kernel could tell. A foreign
     * loop watches the kernel's list, though: whatever is on it has to be taken off. */
    if (sleeps || state->waiting > 0 || state->embedded) {
        int error = reap(ring, sleeps ? timeout_ns : 0);
        if (error < 0) {
            return error;
        }
        kula__inbox_drain(ring);
    }
    /* What has become possible starts now: the program may be away for long. */
    return kula__epoll_submit(ring);
}

void kula__epoll_disembed(struct kula__epoll_state *state)
{
    if (state->timer_fd >= 0) {
        kula__sys_close(state->timer_fd);
        state->timer_fd = -1;
    }
    if (state->ready.read_fd >= 0) {
        kula__signal_close(&state->ready);
        state->ready = (struct kula__signal){ -1, -1 };
    }
}

/* Opens and registers what embedded mode adds. */
static int embed(struct kula__epoll_state *state)
{
    int error = kula__fault("timerfd_create", EMFILE);
    if (error < 0) {
        return error;
    }
    state->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (state->timer_fd < 0) {
        return -errno;
    }
    error = kula__signal_open(&state->ready);
    if (error < 0) {
        state->ready = (struct kula__signal){ -1, -1 };
        return error;
    }
    error = kula__epoll_control(state->epoll_fd, EPOLL_CTL_ADD, state->timer_fd, EPOLLIN,
                                KULA__EPOLL_TIMER);
    if (error < 0) {
        return error;
    }
    return kula__epoll_control(state->epoll_fd, EPOLL_CTL_ADD, state->ready.read_fd, EPOLLIN,
                               KULA__EPOLL_READY);
}

int kula__epoll_pollable(struct kula_ring *ring)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    if (!state->embedded) {
        int error = embed(state);
        if (error < 0) {
            kula__epoll_disembed(state); /* closing them takes them out of the set as well */
            return error;
        }
        state->armed_ns = INT64_MAX;
        state->embedded = true;
    }
    return state->epoll_fd;
}

static void arm(struct kula__epoll_state *state, int64_t expiry_ns)
{
    struct itimerspec setting = { .it_value = { 0, 0 } }; /* off */
    if (expiry_ns != INT64_MAX) {
        int64_t at_ns = expiry_ns > 0 ? expiry_ns : 1;
        setting.it_value.tv_sec = (time_t)(at_ns / KULA_SECOND);
        setting.it_value.tv_nsec = (long)(at_ns % KULA_SECOND);
    }
    /* it can only fail for arguments that these are not */
    (void)kula__fault("timerfd_settime", 0);
    timerfd_settime(state->timer_fd, TFD_TIMER_ABSTIME, &setting, NULL);
    state->armed_ns = expiry_ns;
}

void kula__epoll_settle(struct kula_ring *ring, int64_t expiry_ns)
{
    struct kula__epoll_state *state = kula__epoll_state_of(ring);
    bool due = kula__is_due(ring);
    if (!due && !state->announced) {
        /* From here on whoever adds to the inbox signals ring->wake, which is in the set. */
        state->announced = kula__sleep_begin(ring);
        if (!state->announced) {
            kula__sleep_end(ring);
            due = true;
        }
    }
    if (due != state->raised) {
        if (due) {
            kula__signal_send(&state->ready);
        } else {
            kula__signal_clear(&state->ready);
        }
        state->raised = due;
    }
    if (expiry_ns != state->armed_ns) {
        arm(state, expiry_ns);
    }
}
