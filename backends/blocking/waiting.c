/* waiting.c - the set of operations that wait, and the poll(2) that looks at them. */
#include "state.h"

#include "common/perform.h"
#include "common/workers.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MIN 64u

/* As many as poll(2) looks at without asking for memory. */
#define PIECE_MAX 16u

/* A descriptor may be ready for ever for something else than what is waited for: a socket with
 * timestamps in its error queue, for example. After that many false alarms we slow down. */
#define FALSE_ALARMS_MAX 16u

/* ---- The set ------------------------------------------------------------------------------ */

static int grow(struct kula__blocking_state *state)
{
    uint32_t capacity = state->capacity ? state->capacity * 2 : CAPACITY_MIN;
    struct pollfd *polled =
        kula__memory_resize(state->polled, capacity * sizeof(struct pollfd));
    if (!polled) {
        return -ENOMEM;
    }
    state->polled = polled;
    struct kula__slot **waiting =
        kula__memory_resize(state->waiting, capacity * sizeof(struct kula__slot *));
    if (!waiting) {
        return -ENOMEM;
    }
    state->waiting = waiting;
    state->capacity = capacity;
    return 0;
}

int kula__blocking_set_open(struct kula_ring *ring)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    kula__list_init(&state->unpolled);
    if (grow(state) < 0) {
        kula__blocking_set_close(state);
        return -ENOMEM;
    }
    state->polled[0] = (struct pollfd){ .fd = ring->wake.read_fd, .events = POLLIN };
    state->waiting[0] = NULL;
    state->count = 1;
    return 0;
}

void kula__blocking_set_close(struct kula__blocking_state *state)
{
    kula__memory_free(state->polled);
    kula__memory_free(state->waiting);
    state->polled = NULL;
    state->waiting = NULL;
    state->capacity = 0;
}

static bool put(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    if (state->count == state->capacity && grow(state) < 0) {
        return false;
    }
    uint32_t place = state->count++;
    state->polled[place] = (struct pollfd){ .fd = slot->fd, .events = kula__wanted(slot) };
    state->waiting[place] = slot;
    state->grown = true;
    kula__cold_of(slot)->scratch[1] = place;
    kula__fd_peek(ring, slot->fd)->backend_bits = 1; /* see kula__blocking_forget */
    return true;
}

void kula__blocking_add(struct kula_ring *ring, struct kula__slot *slot)
{
    if (!put(ring, slot)) {
        kula__cold_of(slot)->scratch[1] = 0;
        kula__list_append(&kula__blocking_state_of(ring)->unpolled, slot);
    }
}

static void make_hole(struct kula__blocking_state *state, uint32_t place)
{
    state->polled[place] = (struct pollfd){ .fd = -1 };
    state->waiting[place] = NULL;
    state->holes++;
    while (state->count > 1 && !state->waiting[state->count - 1]) {
        state->count--;
        state->holes--;
    }
}

/* Closes the holes once they are the larger part, so that this costs nothing on average. */
static void compact(struct kula__blocking_state *state)
{
    if (state->holes <= state->count / 2) {
        return;
    }
    uint32_t count = 1;
    for (uint32_t i = 1; i < state->count; i++) {
        if (state->waiting[i]) {
            state->polled[count] = state->polled[i];
            state->waiting[count] = state->waiting[i];
            kula__cold_of(state->waiting[count])->scratch[1] = count;
            count++;
        }
    }
    state->count = count;
    state->holes = 0;
}

/* ---- Looking ------------------------------------------------------------------------------ */

/* For a set that poll(2) does not take as a whole: it has no memory for it, or the limit of
 * descriptors (RLIMIT_NOFILE, which bounds the entries as well) was lowered. A piece that is refused
 * as well passes for ready: trying never waits. Only the pause keeps this from being a busy loop. */
static int look_in_pieces(struct kula__blocking_state *state, int64_t timeout_ns)
{
    if (timeout_ns != 0) {
        bool shorter = timeout_ns > 0 && timeout_ns < KULA__BLOCKING_NAP_NS;
        (void)kula__sys_poll(NULL, 0, shorter ? timeout_ns : KULA__BLOCKING_NAP_NS);
    }
    int ready = 0;
    for (uint32_t at = 0; at < state->count; at += PIECE_MAX) {
        uint32_t left = state->count - at;
        uint32_t count = left < PIECE_MAX ? left : PIECE_MAX;
        int found = kula__sys_poll(&state->polled[at], count, 0);
        for (uint32_t i = at; found < 0 && i < at + count; i++) {
            state->polled[i].revents = state->polled[i].events;
        }
        ready += found < 0 ? (int)count : found;
    }
    return ready;
}

static int look(struct kula__blocking_state *state, int64_t timeout_ns)
{
    int ready = kula__sys_poll(state->polled, state->count, timeout_ns);
    if (ready == -ENOMEM || ready == -EINVAL) {
        return look_in_pieces(state, timeout_ns);
    }
    return ready;
}

/* Tries everything that is ready, once. Nothing is added to the set meanwhile: what the ends of these
 * set going is started by the next flush. */
static bool serve(struct kula_ring *ring, int ready)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    bool any = false;
    for (uint32_t i = 1; i < state->count && ready > 0; i++) {
        if (state->polled[i].revents == 0) {
            continue;
        }
        ready--;
        state->polled[i].revents = 0;
        struct kula__slot *slot = state->waiting[i];
        if (slot && kula__blocking_retry(ring, slot)) {
            make_hole(state, i);
            any = true;
        }
    }
    return any;
}

/* Operations outside the set are tried whenever we come by, until there is memory again. */
static void serve_unpolled(struct kula_ring *ring)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    struct kula__slot *slot = state->unpolled.head;
    kula__list_init(&state->unpolled);
    while (slot) {
        struct kula__slot *next = slot->next;
        if (!kula__blocking_retry(ring, slot)) {
            kula__blocking_add(ring, slot);
        }
        slot = next;
    }
}

static int64_t shorter_of(int64_t timeout_ns, int64_t limit_ns)
{
    return timeout_ns < 0 || timeout_ns > limit_ns ? limit_ns : timeout_ns;
}

static int reap(struct kula_ring *ring, int64_t timeout_ns)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    compact(state);
    if (state->unpolled.head) {
        serve_unpolled(ring);
        timeout_ns = kula__has_events(ring) ? 0 : shorter_of(timeout_ns, KULA__BLOCKING_NAP_NS);
    }
    bool sleeps = timeout_ns != 0;
    if (sleeps && !kula__sleep_begin(ring)) {
        timeout_ns = 0;
    }
    if (timeout_ns != 0 && state->false_alarms > FALSE_ALARMS_MAX) {
        (void)kula__sys_poll(state->polled, 1, shorter_of(timeout_ns, KULA__BLOCKING_NAP_NS));
        timeout_ns = 0;
    }
    int ready = look(state, timeout_ns);
    if (sleeps) {
        kula__sleep_end(ring);
    }
    if (ready <= 0) {
        return 0; /* a signal: the caller looks at the clock and comes again */
    }
    short woken = state->polled[0].revents;
    state->polled[0].revents = 0;
    if (woken & POLLNVAL) {
        return -EBADR; /* the program has closed our descriptor */
    }
    if (woken) {
        kula__signal_clear(&ring->wake);
        ready--;
    }
    bool any = serve(ring, ready);
    state->false_alarms = ready == 0 || any ? 0 : state->false_alarms + 1;
    return 0;
}

static void drain_inbox(struct kula_ring *ring)
{
    /* relaxed: a look; whoever adds something after it, wakes us when we sleep */
    if (atomic_load_explicit(&ring->inbox, memory_order_relaxed)) {
        kula__inbox_drain(ring);
    }
}

int kula__blocking_wait(struct kula_ring *ring, int64_t timeout_ns)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    kula__blocking_submit(ring);
    drain_inbox(ring);

    bool sleeps = timeout_ns != 0 && !kula__has_events(ring) && !ring->pending.head;
    if (sleeps || state->count > 1 || state->unpolled.head) {
        int error = reap(ring, sleeps ? timeout_ns : 0);
        if (error < 0) {
            return error;
        }
        drain_inbox(ring);
    }
    /* What has become possible starts now: the program may be away for long. */
    return kula__blocking_submit(ring);
}

/* ---- Ending early ------------------------------------------------------------------------- */

/* Takes an operation out of the set. False: it is not there. */
static bool remove_waiting(struct kula__blocking_state *state, struct kula__slot *slot)
{
    uint64_t place = kula__cold_of(slot)->scratch[1];
    if (place > 0 && place < state->count && state->waiting[place] == slot) {
        make_hole(state, (uint32_t)place);
        return true;
    }
    struct kula__slot *at = state->unpolled.head;
    bool found = false;
    kula__list_init(&state->unpolled);
    while (at) {
        struct kula__slot *next = at->next;
        if (at == slot) {
            found = true;
        } else {
            kula__list_append(&state->unpolled, at);
        }
        at = next;
    }
    return found;
}

int kula__blocking_cancel(struct kula_ring *ring, struct kula__slot *slot)
{
    if (slot->attention & KULA__POOLED) {
        return kula__workers_cancel(ring, slot);
    }
    if (!remove_waiting(kula__blocking_state_of(ring), slot)) {
        return -EALREADY;
    }
    kula__finish(ring, slot, -ECANCELED);
    return 0;
}
