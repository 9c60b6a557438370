/* wait.c - flushing, waiting, pulling events, taking buffers. */
#include "block.h"
#include "buffer.h"
#include "finish.h"
#include "misuse.h"
#include "perform.h"
#include "process.h"
#include "submit.h"

#include <errno.h>

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
        if (ring->done.head) {
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
    if (ring->done.head) {
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
static int wait_on(struct kula_ring *ring, int64_t timeout_ns)
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
        if (ring->done.head) {
            return (int)ring->done_count;
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

/* Embedded mode, before the program's own loop sleeps for us: whoever pushes from now on signals, and
 * the descriptor is readable exactly if there is something to come for. */
static void rest(struct kula_ring *ring)
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

int kula_wait(struct kula_ring *ring, int64_t timeout_ns)
{
    if (kula__unlikely(!kula__is_owner(ring) || ring->broken)) {
        return refuse_to_drive(ring, "kula_wait");
    }
    ring->inside = true;
    ring->epoch++;
    int result = 0;
    /* With a time-out the first round goes without a clock: what completes at once is the common
     * case. */
    bool first_round = timeout_ns > 0 && ring->timers.count == 0 && ring->pending.head;
    if (first_round) {
        result = kula__drive(ring, 0);
    }
    if (result == 0) {
        bool enough = first_round && ring->done.head;
        result = enough ? (int)ring->done_count : wait_on(ring, timeout_ns);
    }
    ring->inside = false;
    if (kula__unlikely(ring->embedded && result >= 0)) {
        rest(ring);
    }
    return result;
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
    int flushed = (int)ring->pending_count;
    int error = ring->pending.head ? ring->backend->submit(ring) : 0;
    if (error == 0 && ring->closing.head) {
        kula__closing_ask(ring);
        flushed += (int)ring->pending_count;
        error = ring->pending.head ? ring->backend->submit(ring) : 0;
    }
    ring->inside = false;
    if (ring->embedded && error == 0) {
        rest(ring);
    }
    return error < 0 ? error : flushed;
}

/* ---- Events ------------------------------------------------------------------------------- */

/* The event that was pulled last is over: what it still holds goes back. */
static inline void end_event(struct kula_ring *ring)
{
    struct kula__slot *slot = ring->event_slot;
    ring->event_slot = NULL;
    uint64_t holder = ring->event.private_holder;
    if (kula__slot_word(slot) != holder + KULA__STEP) {
        return; /* its buffer was taken, and may be anywhere by now */
    }
    if (kula__likely(slot->kind == KULA__KIND_OPERATION &&
                     !(slot->attention & (KULA__BLOCK | KULA__SPECIAL)))) {
        kula__word_recycle(slot, holder);
        slot->next = ring->free_operations;
        ring->free_operations = slot;
        return;
    }
    if (slot->kind <= KULA__KIND_LARGE && slot->kind != KULA__KIND_OPERATION) {
        ring->untaken++;
    }
    kula__recycle(ring, slot);
}

static void fill_message(struct kula_ring *ring)
{
    ring->event.op = 0;
    ring->done_messages--;
}

void kula__event_end(struct kula_ring *ring)
{
    if (ring->event_slot) {
        end_event(ring);
    }
}

struct kula_event *kula_next(struct kula_ring *ring)
{
    if (kula__unlikely(!kula__is_owner(ring))) {
        kula__not_owner(ring, "kula_next");
        return NULL;
    }
    if (ring->event_slot) {
        end_event(ring);
    }
    struct kula__slot *slot = kula__list_pop(&ring->done);
    if (kula__unlikely(!slot)) {
        if (ring->embedded) {
            rest(ring);
        }
        return NULL;
    }
    uint64_t holder = kula__slot_word(slot) - KULA__STEP;
    struct kula_event *event = &ring->event;
    ring->done_count--;
    ring->event_slot = slot;
    slot->next = slot; /* pulled: kula_take may have it */
    event->op = holder;
    event->result = slot->result;
    event->flags = slot->event_flags;
    event->user = slot->user;
    event->error = 0;
    event->private_index = kula__word_index(holder);
    event->private_holder = holder;
    if (kula__unlikely(slot->event_flags)) {
        if (slot->event_flags & KULA_EVENT_MESSAGE) {
            fill_message(ring);
        } else if (slot->event_flags & KULA_EVENT_ERROR) {
            event->error = kula__cold_of(slot)->error;
        }
    }
    return event;
}

kula_buf kula_take(struct kula_event *event)
{
    if (!event) {
        return NULL;
    }
    uint64_t holder = event->private_holder;
    struct kula__slot *slot = kula__slot_find(holder);
    uint64_t word = slot ? atomic_load_explicit(&slot->word, memory_order_acquire) : 0;
    if (kula__unlikely(word != holder + KULA__STEP || word == KULA__STEP ||
                       slot->next != slot)) {
        if (word != holder + 3 * KULA__STEP || !slot) { /* else it was taken a moment ago */
            kula__misuse("kula_take", holder, "the event is over, copied or forged");
        }
        return NULL;
    }
    switch (slot->kind) {
    case KULA__KIND_BUFFER:
    case KULA__KIND_LARGE:
        kula__slot_claim(slot, 0);
        return kula__word_handle(kula__word_take(slot, holder));
    case KULA__KIND_VEC: {
        struct kula__slot *member = kula__vec_take_member(slot);
        if (!member) {
            return NULL;
        }
        uint64_t member_word = kula__slot_word(member);
        kula__word_finish(member, member_word);
        return kula__word_handle(kula__word_take(member, member_word));
    }
    default:
        return NULL;
    }
}

/* The record of an event that is current; NULL for one that is over, copied late or forged. */
static struct kula__slot *current(const struct kula_event *event)
{
    struct kula__slot *slot = event ? kula__slot_find(event->private_holder) : NULL;
    if (!slot || kula__slot_word(slot) != event->private_holder + KULA__STEP ||
        slot->next != slot) {
        return NULL;
    }
    return slot;
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
    return (size_t)ring->in_flight - ring->detached + ring->done_count - ring->done_messages;
}

int kula_pollable(struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_pollable");
    }
    int fd = ring->backend->pollable(ring);
    if (fd >= 0 && !ring->embedded) {
        ring->embedded = true;
        rest(ring);
    }
    return fd;
}
