/* embed.c - the pollable descriptor.
 *
 * It is ring->wake, an eventfd, which is registered with the ring as well: with DEFER_TASKRUN the
 * ring's own descriptor says nothing of work that waits (6.18: 0 of 3; a registered eventfd 3 of 3).
 * Registered plainly: the ASYNC form tells only of what kernel workers complete, so not of a socket.
 * A second eventfd, with ring->wake polled by the ring, does not do: the kernel does not signal an
 * eventfd from inside the signal of another one but puts it off (6.18: now and then for ever). The
 * earliest expiry is a timeout in the kernel, and what is left over, settle() signals itself.
 */
#include "state.h"

#include <errno.h>

int kula__uring_pollable(struct kula_ring *ring)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    if (!state->eventfd_registered) {
        if (ring->wake.read_fd != ring->wake.write_fd) {
            return -EMFILE; /* a pipe, for want of an eventfd; the ring signals only those */
        }
        int error = kula__fault("io_uring_register", ENOMEM);
        if (error == 0) {
            error = io_uring_register_eventfd(&state->ring, ring->wake.write_fd);
        }
        if (error < 0) {
            return error;
        }
        state->eventfd_registered = true;
    }
    return ring->wake.read_fd;
}

/* Room for one may have to be made: a queue may have a single entry. */
static struct io_uring_sqe *entry(struct kula_ring *ring, struct kula__uring_state *state)
{
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    if (!sqe && kula__uring_flush(ring, state) == 0) {
        sqe = kula__uring_entry(state);
    }
    return sqe;
}

/* Puts a timer for the earliest expiry into the kernel. One that expires too early does no harm: the
 * loop wakes up, finds nothing, and comes here again. So only an earlier one is worth an entry. */
static bool arm_timer(struct kula_ring *ring,
                      struct kula__uring_state *state,
                      int64_t expiry_ns)
{
    if (expiry_ns >= state->armed_ns) {
        return true;
    }
    if (state->armed_ns != INT64_MAX) {
        struct io_uring_sqe *removal = entry(ring, state);
        if (!removal) {
            return false;
        }
        removal->opcode = IORING_OP_TIMEOUT_REMOVE;
        removal->fd = -1;
        removal->addr = kula__uring_token(KULA__URING_TIMER, state->timer_number);
        removal->user_data = kula__uring_token(KULA__URING_IGNORED, 0);
    }
    struct io_uring_sqe *sqe = entry(ring, state);
    if (!sqe) {
        state->armed_ns = INT64_MAX; /* what there was is being taken back */
        return false;
    }
    int64_t at_ns = expiry_ns > 0 ? expiry_ns : 0;
    state->timer_time.tv_sec = at_ns / KULA_SECOND;
    state->timer_time.tv_nsec = at_ns % KULA_SECOND;
    state->timer_number++;
    state->armed_ns = expiry_ns;
    sqe->opcode = IORING_OP_TIMEOUT;
    sqe->fd = -1;
    sqe->addr = (uint64_t)(uintptr_t)&state->timer_time;
    sqe->len = 1;
    sqe->timeout_flags = IORING_TIMEOUT_ABS; /* of the monotonic clock */
    sqe->user_data = kula__uring_token(KULA__URING_TIMER, state->timer_number);
    return true;
}

void kula__uring_settle(struct kula_ring *ring, int64_t expiry_ns)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    bool due = kula__is_due(ring) || ring->broken;
    if (!due) {
        /* Nothing is pending, so nothing of the program's starts here; but what the kernel gives back on
         * the way has its event at once. */
        ring->inside = true;
        int64_t pause_ns = kula__uring_patience(state, -1);
        if (pause_ns >= 0 && kula__now_ns() + pause_ns < expiry_ns) {
            expiry_ns = kula__now_ns() + pause_ns;
        }
        bool armed = arm_timer(ring, state, expiry_ns);
        due = kula__uring_flush(ring, state) < 0 || !armed || kula__is_due(ring);
        ring->inside = false;
    }
    /* First quiet, then a look: what comes between the two makes it readable again. */
    kula__signal_clear(&ring->wake);
    if (!due) {
        /* whoever adds to the inbox from here on signals ring->wake */
        due = !kula__sleep_begin(ring);
    }
    if (due || kula__has_events(ring) || kula__uring_has_completions(state) ||
        kula__uring_has_more(ring, state)) {
        kula__signal_send(&ring->wake);
    }
}
