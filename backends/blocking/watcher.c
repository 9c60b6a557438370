/* watcher.c - embedded mode: one descriptor that tells a foreign loop of everything.
 *
 * poll(2) gives no descriptor that stands for its set, so a thread polls a copy of it while the
 * foreign loop sleeps. The pollable descriptor is ring->wake: whoever wakes the ring makes it
 * readable anyway, and the watcher only joins them.
 *
 *     settle   hands an order over: the copy, and the next expiry; kicks the watcher if it looks
 *              at an older one
 *     watcher  polls; the first thing that is there signals ring->wake and ends the order, for the
 *              owner will look at everything and settle again
 *
 * Readiness is a state, not an event, so nothing that happens between two orders is lost: the next
 * poll(2) sees it. A signal too many wakes the loop once for nothing.
 *
 * While the watcher polls a descriptor the kernel keeps its file, and closing the number would not
 * close it: forget() takes the order back first, and waits until the watcher has let go.
 */
#include "state.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

struct order {
    struct pollfd *polled; /* entry 0 is the watcher's own, for the kick */
    uint32_t count;
    uint32_t capacity;
    int64_t expiry_ns; /* monotonic; INT64_MAX: none */
};

struct kula__blocking_watcher {
    pthread_t thread;
    struct kula__signal kick;
    const struct kula__signal *wake;

    pthread_mutex_t mutex; /* for all that follows, but for `taken` */
    pthread_cond_t let_go;
    struct order next; /* what the owner writes */
    bool ordered;      /* `next` has not been taken */
    bool watching;     /* the watcher may be in poll(2) with descriptors of the program */
    bool recalled;     /* it has to come back */
    bool ending;
    int64_t expiry_ns; /* of the order that was given last */

    struct order taken; /* the watcher's */
};

/* ---- The watcher's side -------------------------------------------------------------------- */

/* Waits for a kick (false), or for what the order names. */
static bool look(struct kula__blocking_watcher *watcher, const struct order *order)
{
    int64_t timeout_ns = -1;
    if (order->expiry_ns != INT64_MAX) {
        timeout_ns = order->expiry_ns - kula__now_ns();
        timeout_ns = timeout_ns > 0 ? timeout_ns : 0;
    }
    order->polled[0] = (struct pollfd){ .fd = watcher->kick.read_fd, .events = POLLIN };
    int ready = kula__sys_poll(order->polled, order->count, timeout_ns);
    if (ready < 0 && ready != -EINTR) {
        /* The set is too large for now; see look_in_pieces(), which the owner is sent to. */
        ready = kula__sys_poll(order->polled, 1, KULA__BLOCKING_NAP_NS);
        return ready <= 0;
    }
    bool kicked = ready > 0 && order->polled[0].revents != 0;
    if (kicked) {
        kula__signal_clear(&watcher->kick);
    }
    return ready - kicked > 0 || ready == 0;
}

static void *watch(void *arg)
{
    struct kula__blocking_watcher *watcher = arg;
    struct pollfd kick;
    const struct order idle = { .polled = &kick, .count = 1, .expiry_ns = INT64_MAX };
    pthread_mutex_lock(&watcher->mutex);
    while (!watcher->ending) {
        if (watcher->ordered) {
            struct order spent = watcher->taken;
            watcher->taken = watcher->next;
            watcher->next = spent;
            watcher->ordered = false;
            watcher->watching = true;
        }
        const struct order *order = watcher->watching ? &watcher->taken : &idle;
        pthread_mutex_unlock(&watcher->mutex);
        bool found = look(watcher, order);
        pthread_mutex_lock(&watcher->mutex);
        if (watcher->watching && (found || watcher->recalled)) {
            /* with a newer order there, what the older one found is looked for once more */
            if (!watcher->recalled && !watcher->ordered) {
                kula__signal_send(watcher->wake);
            }
            watcher->watching = false;
            pthread_cond_signal(&watcher->let_go);
        }
    }
    pthread_mutex_unlock(&watcher->mutex);
    return NULL;
}

/* ---- The owner's side ---------------------------------------------------------------------- */

static int thread_make(struct kula__blocking_watcher *watcher)
{
    int error = kula__fault("pthread_create", EAGAIN);
    if (error < 0) {
        return error;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&watcher->thread, NULL, watch, watcher);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static int order_open(struct order *order)
{
    order->polled = kula__memory_new(sizeof(struct pollfd));
    order->capacity = order->polled ? 1 : 0;
    return order->polled ? 0 : -ENOMEM;
}

static void watcher_delete(struct kula__blocking_watcher *watcher)
{
    kula__signal_close(&watcher->kick);
    kula__memory_free(watcher->next.polled);
    kula__memory_free(watcher->taken.polled);
    kula__memory_free(watcher);
}

static int watcher_new(struct kula_ring *ring, struct kula__blocking_watcher **ret_watcher)
{
    struct kula__blocking_watcher *watcher = kula__memory_new(sizeof *watcher);
    if (!watcher) {
        return -ENOMEM;
    }
    watcher->wake = &ring->wake;
    watcher->kick = (struct kula__signal){ -1, -1 };
    watcher->expiry_ns = INT64_MAX;
    int error = order_open(&watcher->next);
    if (error == 0) {
        error = order_open(&watcher->taken);
    }
    if (error == 0) {
        error = kula__signal_open(&watcher->kick);
    }
    if (error < 0) {
        watcher_delete(watcher);
        return error;
    }
    if (pthread_mutex_init(&watcher->mutex, NULL) != 0) {
        error = -ENOMEM;
    } else if (pthread_cond_init(&watcher->let_go, NULL) != 0) {
        pthread_mutex_destroy(&watcher->mutex);
        error = -ENOMEM;
    } else if ((error = thread_make(watcher)) < 0) {
        pthread_cond_destroy(&watcher->let_go);
        pthread_mutex_destroy(&watcher->mutex);
    }
    if (error < 0) {
        watcher_delete(watcher);
        return error;
    }
    *ret_watcher = watcher;
    return 0;
}

void kula__blocking_watcher_free(struct kula__blocking_watcher *watcher)
{
    if (!watcher) {
        return;
    }
    pthread_mutex_lock(&watcher->mutex);
    watcher->ending = true;
    pthread_mutex_unlock(&watcher->mutex);
    kula__signal_send(&watcher->kick);
    pthread_join(watcher->thread, NULL);
    pthread_cond_destroy(&watcher->let_go);
    pthread_mutex_destroy(&watcher->mutex);
    watcher_delete(watcher);
}

int kula__blocking_pollable(struct kula_ring *ring)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    if (!state->watcher) {
        int error = watcher_new(ring, &state->watcher);
        if (error < 0) {
            return error;
        }
        state->grown = true;
    }
    return ring->wake.read_fd;
}

/* Copies the set. Without memory for all of it the owner will come by soon and look itself. */
static void write_order(const struct kula__blocking_state *state,
                        struct order *order,
                        int64_t expiry_ns)
{
    bool whole = !state->unpolled.head;
    if (order->capacity < state->count) {
        uint32_t capacity = state->capacity;
        struct pollfd *polled =
            kula__memory_resize(order->polled, capacity * sizeof(struct pollfd));
        if (polled) {
            order->polled = polled;
            order->capacity = capacity;
        }
    }
    order->count = 1;
    for (uint32_t i = 1; i < state->count; i++) {
        if (order->count == order->capacity) {
            whole = false;
            break;
        }
        if (state->waiting[i]) {
            order->polled[order->count++] = state->polled[i];
        }
    }
    int64_t soon_ns = whole ? INT64_MAX : kula__now_ns() + KULA__BLOCKING_NAP_NS;
    order->expiry_ns = expiry_ns < soon_ns ? expiry_ns : soon_ns;
}

static void give_order(struct kula__blocking_state *state, int64_t expiry_ns)
{
    struct kula__blocking_watcher *watcher = state->watcher;
    pthread_mutex_lock(&watcher->mutex);
    bool under_way = watcher->ordered || watcher->watching;
    /* What has left the set since can only wake the loop for nothing. */
    bool good_enough = under_way && !state->grown && watcher->expiry_ns <= expiry_ns;
    if (!good_enough) {
        write_order(state, &watcher->next, expiry_ns);
        watcher->expiry_ns = watcher->next.expiry_ns;
        watcher->ordered = true;
        state->grown = false;
    }
    pthread_mutex_unlock(&watcher->mutex);
    if (!good_enough) {
        kula__signal_send(&watcher->kick);
    }
}

void kula__blocking_settle(struct kula_ring *ring, int64_t expiry_ns)
{
    struct kula__blocking_state *state = kula__blocking_state_of(ring);
    bool due = kula__is_due(ring);
    if (!due) {
        /* First quiet, then the question: from here on whoever adds to the inbox signals again. */
        kula__signal_clear(&ring->wake);
        due = !kula__sleep_begin(ring);
    }
    if (due) {
        kula__signal_send(&ring->wake);
        return;
    }
    give_order(state, expiry_ns);
}

void kula__blocking_forget(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    (void)fd;
    struct kula__blocking_watcher *watcher = kula__blocking_state_of(ring)->watcher;
    if (record->backend_bits && watcher) {
        pthread_mutex_lock(&watcher->mutex);
        watcher->ordered = false;
        if (watcher->watching) {
            watcher->recalled = true;
            kula__signal_send(&watcher->kick);
            while (watcher->watching) {
                pthread_cond_wait(&watcher->let_go, &watcher->mutex);
            }
            watcher->recalled = false;
        }
        pthread_mutex_unlock(&watcher->mutex);
        kula__blocking_state_of(ring)->grown = true;
    }
    record->backend_bits = 0;
}
