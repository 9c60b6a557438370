/* wait.c - flushing, waiting, pulling events, taking buffers. */
#include "block.h"
#include "buffer.h"
#include "finish.h"
#include "misuse.h"
#include "perform.h"
#include "process.h"
#include "submit.h"
#include "watch.h"

#include <errno.h>
#include <string.h>

int kula__drive(struct kula_ring *ring, int64_t sleep_ns)
{
    if (kula__unlikely(kula__has_chores(ring))) {
        kula__chores(ring);
        if (ring->closing.head) {
            /* what was handed over before a close gets its start before it is asked to end */
            int error = ring->backend->submit(ring);
            if (error < 0) {
                return error;
            }
            kula__closing_ask(ring);
        }
        /* ending one operation may have refused others: their events are due as well */
        if (kula__has_events(ring) || kula__has_chores(ring)) {
            sleep_ns = 0;
        }
    }
    int error = ring->backend->wait(ring, sleep_ns);
    kula__inbox_drain(ring);
    return error;
}

/* How long a round may sleep: not at all with something to show, and not past the next expiry. */
static int64_t bounded_sleep(const struct kula_ring *ring, int64_t sleep_ns)
{
    if (kula__has_events(ring)) {
        return 0;
    }
    int64_t next_ns = kula__timers_next_ns(&ring->timers);
    if (next_ns == INT64_MAX) {
        return sleep_ns;
    }
    int64_t left_ns = next_ns - kula__now_ns();
    if (left_ns < 0) {
        left_ns = 0;
    }
    return sleep_ns < 0 || left_ns < sleep_ns ? left_ns : sleep_ns;
}

/* Rounds that a wait without time left may still make for what the last one has put on the list. */
#define EXTRA_ROUNDS 8

/* Goes round until there is something, the time has passed, or somebody wakes us. */
static __attribute__((__noinline__)) int wait_on(struct kula_ring *ring, int64_t timeout_ns)
{
    int64_t end_ns = INT64_MAX;
    if (timeout_ns > 0) {
        int64_t now_ns = kula__now_ns();
        end_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    int64_t left_ns = timeout_ns;
    int extra = EXTRA_ROUNDS;
    for (;;) {
        int error = kula__drive(ring, bounded_sleep(ring, left_ns));
        if (error < 0) {
            return error;
        }
        if (ring->timers.count > 0) {
            kula__expire(ring);
        }
        if (kula__has_events(ring)) {
            return (int)kula__event_count(ring);
        }
        if (atomic_load_explicit(&ring->woken, memory_order_relaxed) &&
            atomic_exchange(&ring->woken, 0)) {
            return 0;
        }
        if (timeout_ns < 0) {
            continue;
        }
        left_ns = timeout_ns > 0 ? end_ns - kula__now_ns() : 0;
        if (left_ns <= 0) {
            if (extra-- == 0 || (!ring->pending.head && !kula__has_chores(ring))) {
                return 0;
            }
            left_ns = 0;
        }
    }
}

void kula__rest(struct kula_ring *ring)
{
    if (!kula__sleep_begin(ring)) {
        kula__signal_send(&ring->wake);
    }
    ring->backend->settle(ring, kula__timers_next_ns(&ring->timers));
}

static int refuse_to_drive(struct kula_ring *ring, const char *operation)
{
    return kula__is_owner(ring) ? -EBADR : kula__not_owner(ring, operation);
}

int kula__wait_slowly(struct kula_ring *ring, int64_t timeout_ns)
{
    if (!kula__is_owner(ring) || ring->broken) {
        return refuse_to_drive(ring, "kula_wait");
    }
    ring->inside = true;
    ring->epoch++;
    int result = 0;
    /* What completes at once needs neither a clock nor a sleep. */
    if (!kula__has_chores(ring) && ring->timers.count == 0 && ring->pending.head) {
        result = ring->backend->wait(ring, 0);
        kula__inbox_drain(ring);
        if (result == 0) {
            result = (int)kula__event_count(ring);
        }
    }
    if (result == 0) {
        result = wait_on(ring, timeout_ns);
    }
    ring->inside = false;
    if (ring->embedded && result >= 0) {
        kula__rest(ring);
    }
    return result;
}

/* Whether a wait has to look after more than what is pending. */
static inline bool is_hindered(const struct kula_ring *ring)
{
    /* one branch: every wait asks */
    return ((uintptr_t)ring->refused.head | (uintptr_t)ring->early.head |
            (uintptr_t)ring->closing.head | ring->hindrances | ring->timers.count) != 0;
}

int kula_wait(struct kula_ring *ring, int64_t timeout_ns)
{
    if (kula__unlikely(!kula__is_owner(ring) || is_hindered(ring))) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    return ring->backend->round(ring, timeout_ns);
}

static int pending_length(const struct kula_ring *ring)
{
    int length = 0;
    for (const struct kula__slot *slot = ring->pending.head; slot; slot = slot->next) {
        length++;
    }
    return length;
}

int kula_submit(struct kula_ring *ring)
{
    if (kula__unlikely(!kula__is_owner(ring) || ring->broken)) {
        return refuse_to_drive(ring, "kula_submit");
    }
    ring->inside = true;
    ring->epoch++;
    if (kula__has_chores(ring)) {
        kula__chores(ring);
    }
    int flushed = pending_length(ring);
    int error = ring->pending.head ? ring->backend->submit(ring) : 0;
    if (error == 0 && ring->closing.head) {
        kula__closing_ask(ring);
        flushed += pending_length(ring);
        error = ring->pending.head ? ring->backend->submit(ring) : 0;
    }
    ring->inside = false;
    if (ring->embedded && error == 0) {
        kula__rest(ring);
    }
    return error < 0 ? error : flushed;
}

/* ---- Events ------------------------------------------------------------------------------- */

/* The record whose event has been pulled, or has landed, and is not over; NULL: there is none for this
 * thread, and if there was a buffer it was taken and may be anywhere by now. */
static struct kula__slot *pulled(uint64_t holder)
{
    struct kula__slot *slot = kula__slot_find(holder);
    /* acquire: the event may be a copy that another thread has brought here */
    uint64_t word = slot ? atomic_load_explicit(&slot->word, memory_order_acquire) : 0;
    bool done = word == holder + KULA__STEP && kula__word_holder(word) == KULA__HELD_BY_EVENT;
    return done && kula__is_pulled(slot) ? slot : NULL;
}

void kula__event_end(struct kula_ring *ring)
{
    struct kula__slot *slot = pulled(ring->event.private_holder);
    ring->event.private_holder = 0;
    /* The event has been in the program's hands: what it names now may be another ring's. */
    if (!slot || !kula__slot_is_with(slot, ring->id)) {
        return;
    }
    if (slot->kind <= KULA__KIND_SPECIAL) {
        ring->untaken++;
    }
    kula__recycle(ring, slot);
}

/* Takes the oldest record off the done list. Until it is over, an event keeps its record, which
 * kula_take and others look at. */
static inline struct kula_event *pull(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula_event *event = &ring->event;
    uint64_t operation = kula__slot_word(slot) - KULA__STEP;
    ring->done.head = slot->next;
    if (!ring->done.head) {
        ring->done.tail = &ring->done.head;
    }
    ring->done_count--;
    event->op = operation;
    memcpy(&event->result, &slot->result, sizeof event->result + sizeof event->flags);
    event->user = slot->user;
    event->error = 0;
    ring->grounded = false;
    event->private_holder = operation;
    slot->next = kula__pulled_mark(); /* kula_take may have it */
    return event;
}

/* None of these comes after an event that has its `error`, so that it is 0 as it should be. */
static inline struct kula_event *pull_landed(struct kula_ring *ring,
                                             struct kula__landed *landed)
{
    ring->landed_next = landed + 1;
    struct kula_event *event = &ring->event;
    memcpy(event, landed, offsetof(struct kula__landed, user));
    memcpy(&event->user, &landed->user, sizeof *landed - offsetof(struct kula__landed, user));
    return event;
}

/* Whatever kula_next does not do itself. */
static __attribute__((__noinline__)) struct kula_event *next_slowly(struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, "kula_next");
        return NULL;
    }
    kula__event_end(ring);
    if (ring->landed_next != ring->landed_end) {
        return pull_landed(ring, ring->landed_next);
    }
    struct kula__slot *slot = ring->done.head;
    if (!slot) {
        if (ring->embedded) {
            kula__rest(ring);
        }
        return NULL;
    }
    struct kula_event *event = pull(ring, slot);
    if (slot->event_flags & KULA_EVENT_MESSAGE) {
        event->op = 0;
        ring->done_messages--;
    } else if (slot->event_flags & KULA_EVENT_ERROR) {
        event->error = kula__cold_of(slot)->error;
        ring->grounded = true;
    }
    return event;
}

struct kula_event *kula_next(struct kula_ring *ring)
{
    if (kula__unlikely(!kula__is_owner(ring))) {
        return next_slowly(ring);
    }
    struct kula_event *event = &ring->event;
    /* Taking a buffer has left its holder at 0: then it may be anywhere, and the event is over. */
    if (kula__unlikely(event->private_holder != 0)) {
        return next_slowly(ring);
    }
    struct kula__landed *landed = ring->landed_next;
    if (landed != ring->landed_end) {
        return pull_landed(ring, landed);
    }
    struct kula__slot *slot = ring->done.head;
    if (!slot && kula__likely(!ring->embedded)) {
        return NULL;
    }
    return kula__unlikely(!slot || slot->event_flags) ? next_slowly(ring) : pull(ring, slot);
}

/* The buffer leaves its event, and the mark that the record was pulled goes with it: else an event with a
 * made-up holder could find the record again, in a state that is not "done". */
static inline void leave_event(struct kula__slot *slot)
{
    slot->next = NULL;
    kula__slot_claim(slot, 0);
}

/* Whatever kula_take does not do itself; `wanted` is BUFFER or REF. */
static __attribute__((__noinline__)) void *take_slowly(struct kula_event *event,
                                                       enum kula__kind wanted)
{
    uint64_t holder = event->private_holder;
    if (holder == 0) {
        return NULL;
    }
    struct kula__slot *slot = pulled(holder);
    if (!slot) {
        kula__misuse("kula_take", holder,
                     "the event is over, copied or forged, or of a ring of another thread");
        return NULL;
    }
    if (slot->kind == wanted ||
        (wanted == KULA__KIND_BUFFER && slot->kind == KULA__KIND_SPECIAL)) {
        event->private_holder = 0;
        if (kula__watching()) {
            kula__watch_home(slot);
        }
        leave_event(slot);
        return kula__word_handle(kula__word_take(slot, holder));
    }
    struct kula__slot *member =
        slot->kind == KULA__KIND_VEC ? kula__vec_take_member(slot, wanted) : NULL;
    if (!member) {
        return NULL;
    }
    if (kula__watching()) {
        kula__watch_home_member(slot, member);
    }
    uint64_t member_word = kula__slot_word(member);
    kula__word_finish(member, member_word);
    return kula__word_handle(kula__word_take(member, member_word));
}

kula_ref kula_take_ref(struct kula_event *event)
{
    return event ? take_slowly(event, KULA__KIND_REF) : NULL;
}

kula_buf kula_take(struct kula_event *event)
{
    if (!event) {
        return NULL;
    }
    uint64_t holder = event->private_holder; /* 0 names a record that is nobody's */
    struct kula__slot *slot = kula__slot_find(holder);
    /* acquire: the event may be a copy that another thread has brought here */
    if (kula__unlikely(
            (KULA__VALIDATES &&
             (!slot ||
              atomic_load_explicit(&slot->word, memory_order_acquire) != holder + KULA__STEP ||
              !kula__is_pulled(slot))) ||
            slot->kind > KULA__KIND_LARGE)) {
        return take_slowly(event, KULA__KIND_BUFFER);
    }
    event->private_holder = 0; /* asking again is in order, and gets nothing */
    leave_event(slot);
    return kula__word_handle(kula__word_take(slot, holder));
}

/* The record of an event that is current; NULL for one that is over, copied late or forged. */
static struct kula__slot *current(const struct kula_event *event)
{
    return event ? pulled(event->private_holder) : NULL;
}

const struct sockaddr *kula_event_address(const struct kula_event *event, uint32_t *ret_length)
{
    const struct kula__slot *slot = current(event);
    const struct kula__address_block *block = NULL;
    if (slot && slot->operation == KULA__OP_ACCEPT && slot->result >= 0 &&
        (slot->attention & KULA__BLOCK)) {
        block = kula__cold_of(slot)->block;
    }
    if (ret_length) {
        *ret_length = block ? block->length : 0;
    }
    return block && block->length > 0 ? (const struct sockaddr *)&block->address : NULL;
}

const struct kula_stat *kula_event_stat(const struct kula_event *event)
{
    struct kula__slot *slot = current(event);
    if (!slot || slot->operation != KULA__OP_STATX || slot->result < 0 ||
        !(slot->attention & KULA__BLOCK)) {
        return NULL;
    }
    struct kula__stat_block *block = kula__cold_of(slot)->block;
#if defined __linux__ && !defined KULA_NO_LINUX
    if (block->raw_filled) {
        kula__stat_convert(slot);
    }
#endif
    return &block->stat;
}

size_t kula_outstanding(const struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, "kula_outstanding");
        return 0;
    }
    return (size_t)ring->in_flight - ring->detached + kula__event_count(ring) -
           ring->done_messages;
}

int kula_pollable(struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_pollable");
    }
    int fd = ring->backend->pollable(ring);
    if (fd >= 0 && !ring->embedded) {
        ring->embedded = true;
        kula__rest(ring);
    }
    return fd;
}
