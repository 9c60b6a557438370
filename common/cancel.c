/* cancel.c - ending early: cancel, deadlines, detach. */
#include "finish.h"
#include "submit.h"

#include <errno.h>

struct kula__slot *kula__operation_find(const struct kula_ring *ring, kula_op op)
{
    struct kula__slot *slot = op ? kula__slot_find(op) : NULL;
    if (slot && kula__slot_is_with(slot, ring->id) && kula__slot_word(slot) == op &&
        kula__word_holder(op) == KULA__HELD_BY_RING && !(slot->attention & KULA__DETACHED)) {
        return slot;
    }
    return NULL;
}

/* kula_next marks the record whose event it gives out (kula__pulled_mark); so does whoever lands
 * one, and those are asked for elsewhere. */
struct kula__slot *kula__operation_done(const struct kula_ring *ring, kula_op op)
{
    struct kula__slot *slot = op ? kula__slot_find(op) : NULL;
    if (slot && kula__slot_is_with(slot, ring->id) &&
        kula__slot_word(slot) == op + KULA__STEP &&
        kula__word_holder(op) == KULA__HELD_BY_RING && !kula__is_pulled(slot)) {
        return slot;
    }
    return NULL;
}

int kula__cancel_slot(struct kula_ring *ring, struct kula__slot *slot, uint16_t why)
{
    if ((slot->attention & (KULA__CANCEL | KULA__TIMED_OUT)) ||
        slot->operation == KULA__OP_CLOSE || kula__is_let_go(slot)) {
        return -EALREADY;
    }
    if (ring->sift) {
        kula__sift(ring);
    }
    slot->attention |= why;
    if (slot->attention & KULA__AFTER) {
        kula__chain_leave(slot);
        kula__refuse(ring, slot, -ECANCELED);
    } else if (slot->attention & KULA__QUEUED) {
        kula__unqueue(ring, slot);
        kula__refuse(ring, slot, -ECANCELED);
    } else if (slot->operation == KULA__OP_TIMER) {
        kula__timers_remove(&ring->timers, slot);
        slot->attention &= (uint16_t)~KULA__DEADLINE;
        kula__refuse(ring, slot, -ECANCELED);
    } else if (kula__is_pending(ring, slot)) {
        ring->sift++;
    } else {
        return ring->backend->cancel(ring, slot);
    }
    return 0;
}

static bool list_has(const struct kula__list *list, const struct kula__slot *slot)
{
    for (const struct kula__slot *at = list->head; at; at = at->next) {
        if (at == slot) {
            return true;
        }
    }
    return false;
}

int kula_cancel(struct kula_ring *ring, kula_op op)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_cancel");
    }
    struct kula__slot *slot = kula__operation_find(ring, op);
    if (slot) {
        return kula__cancel_slot(ring, slot, KULA__CANCEL);
    }
    /* Some backends end a waiting operation as soon as they are asked; that is not seen before the
     * next flush, so until then the answer is the one that the others give. */
    slot = kula__operation_done(ring, op);
    return slot && list_has(&ring->early, slot) ? -EALREADY : -ENOENT;
}

/* Which operations of a ring are meant. */
struct matches {
    struct kula_ring *ring;
    int fd;                         /* -1: all */
    const struct kula__slot *scope; /* NULL: all */
    uint32_t asked;
};

static bool is_match(const struct matches *matches, const struct kula__slot *slot)
{
    return (matches->fd < 0 || slot->fd == matches->fd) &&
           (!matches->scope ||
            (slot->kind == KULA__KIND_LENT && kula__cold_of(slot)->keeper == matches->scope));
}

static void cancel_match(struct kula__slot *slot, void *arg)
{
    struct matches *matches = arg;
    if (kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_RING &&
        is_match(matches, slot) && kula__cancel_slot(matches->ring, slot, KULA__CANCEL) == 0) {
        matches->asked++;
    }
}

static uint32_t cancel_matches(struct matches *matches)
{
    struct kula_ring *ring = matches->ring;
    /* The pending ones in one walk: looking each of them up would be quadratic. */
    for (struct kula__slot *at = ring->pending.head; at; at = at->next) {
        if (at->operation != KULA__OP_CLOSE &&
            !(at->attention & (KULA__CANCEL | KULA__TIMED_OUT | KULA__AFTER)) &&
            is_match(matches, at)) {
            at->attention |= KULA__CANCEL;
            ring->sift++;
            matches->asked++;
        }
    }
    kula__slots_visit(ring->id, cancel_match, matches);
    return matches->asked;
}

uint32_t kula__cancel_everything(struct kula_ring *ring)
{
    struct matches everything = { .ring = ring, .fd = -1 };
    return ring->in_flight ? cancel_matches(&everything) : 0;
}

void kula__cancel_scope(struct kula_ring *ring, const struct kula__slot *scope)
{
    struct matches lent = { .ring = ring, .fd = -1, .scope = scope };
    cancel_matches(&lent);
}

static void cancel_again(struct kula__slot *slot, void *arg)
{
    struct matches *matches = arg;
    if (kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_RING &&
        slot->operation != KULA__OP_CLOSE && slot->operation != KULA__OP_TIMER &&
        !kula__is_let_go(slot) && !(slot->attention & (KULA__QUEUED | KULA__AFTER)) &&
        is_match(matches, slot)) {
        matches->ring->backend->cancel(matches->ring, slot);
    }
}

void kula__cancel_again(struct kula_ring *ring, const struct kula__slot *scope)
{
    struct matches asked = { .ring = ring, .fd = -1, .scope = scope };
    if (!ring->pending.head && !kula__has_chores(ring)) {
        kula__slots_visit(ring->id, cancel_again, &asked);
    }
}

int kula_cancel_fd(struct kula_ring *ring, int fd)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_cancel_fd");
    }
    if (fd < 0) {
        return -EBADF;
    }
    const struct kula__fd *record = kula__fd_peek(ring, fd);
    bool named = record && (record->pins > 0 || record->kind == KULA__FD_FILE);
    struct matches named_so = { .ring = ring, .fd = fd };
    return named ? (int)cancel_matches(&named_so) : 0;
}

int kula_cancel_all(struct kula_ring *ring)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_cancel_all");
    }
    return (int)kula__cancel_everything(ring);
}

/* ---- Timers and deadlines ----------------------------------------------------------------- */

static int64_t later(int64_t now_ns, int64_t timeout_ns)
{
    return timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}

void kula__timer_start(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    int64_t expiry_ns = later(kula__now_ns(), (int64_t)cold->scratch[0]);
    if (slot->attention & KULA__DEADLINE) {
        /* It waited for a predecessor with a deadline in the heap: one entry serves for both. */
        int64_t deadline_ns = cold->expiry_ns;
        kula__timers_remove(&ring->timers, slot);
        if (deadline_ns > expiry_ns) {
            slot->attention &= (uint16_t)~KULA__DEADLINE;
        } else {
            expiry_ns = deadline_ns;
        }
    }
    cold->scratch[1] = (uint64_t)expiry_ns;
    cold->scratch[2] = (uint64_t)INT64_MAX;
    if (kula__timers_reserve(&ring->timers) < 0) {
        slot->attention &= (uint16_t)~KULA__DEADLINE;
        kula__refuse(ring, slot, -ENOMEM);
        return;
    }
    kula__timers_add(&ring->timers, slot, expiry_ns);
}

/* A deadline of a timer that runs: the earlier of the two is in the heap, and the bit says which. */
static void timer_deadline(struct kula_ring *ring, struct kula__slot *slot, int64_t deadline_ns)
{
    struct kula__cold *cold = kula__cold_of(slot);
    int64_t own_ns = (int64_t)cold->scratch[1];
    cold->scratch[2] =
        (uint64_t)deadline_ns; /* if it has to wait for a predecessor yet, this one counts */
    kula__timers_remove(&ring->timers, slot);
    if (deadline_ns < own_ns) {
        slot->attention |= KULA__DEADLINE;
        kula__timers_add(&ring->timers, slot, deadline_ns);
    } else {
        slot->attention &= (uint16_t)~KULA__DEADLINE;
        kula__timers_add(&ring->timers, slot, own_ns);
    }
}

int kula_deadline(struct kula_ring *ring, kula_op op, int64_t timeout_ns)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_deadline");
    }
    struct kula__slot *slot = kula__operation_find(ring, op);
    if (!slot) {
        return -ENOENT;
    }
    if (timeout_ns < 0) {
        return -EINVAL;
    }
    if (slot->attention & (KULA__CANCEL | KULA__TIMED_OUT)) {
        return 0; /* it is ending as it is */
    }
    int64_t expiry_ns = later(kula__now_ns(), timeout_ns);
    if (slot->operation == KULA__OP_TIMER && !(slot->attention & KULA__AFTER)) {
        timer_deadline(ring, slot, expiry_ns);
        return 0;
    }
    if (slot->attention & KULA__DEADLINE) {
        kula__timers_remove(&ring->timers, slot);
        slot->attention &= (uint16_t)~KULA__DEADLINE;
    } else if (kula__timers_reserve(&ring->timers) < 0) {
        return -ENOMEM;
    }
    slot->attention |= KULA__DEADLINE;
    kula__timers_add(&ring->timers, slot, expiry_ns);
    return 0;
}

void kula__expire(struct kula_ring *ring)
{
    int64_t now_ns = kula__now_ns();
    struct kula__slot *slot;
    while ((slot = kula__timers_pop(&ring->timers, now_ns))) {
        bool deadline = slot->attention & KULA__DEADLINE;
        slot->attention &= (uint16_t)~KULA__DEADLINE;
        /* One that was refused (its predecessor failed) has its end before it, not here. */
        bool runs = slot->operation == KULA__OP_TIMER &&
                    !(slot->attention & (KULA__AFTER | KULA__CANCEL | KULA__TIMED_OUT));
        if (runs) {
            kula__finish(ring, slot, deadline ? -ETIME : 0);
        } else {
            /* -EALREADY: it runs and cannot be stopped. The mark makes its event KULA_EVENT_LATE. One that
             * was let go is not marked. */
            kula__cancel_slot(ring, slot, KULA__TIMED_OUT);
        }
    }
}

/* ---- Walking away ------------------------------------------------------------------------- */

struct kula__landed *kula__landed_find(const struct kula_ring *ring, kula_op op)
{
    for (struct kula__landed *at = ring->landed_next; at != ring->landed_end; at++) {
        if (at->op == op) {
            return at;
        }
    }
    return NULL;
}

struct kula__slot *kula__landed_slot(const struct kula__landed *landed)
{
    struct kula__slot *slot = kula__slot_find(landed->private_holder);
    return slot && kula__slot_word(slot) == landed->private_holder + KULA__STEP ? slot : NULL;
}

void kula__landed_drop(struct kula_ring *ring, const struct kula__landed *landed)
{
    struct kula__slot *slot = kula__landed_slot(landed);
    if (slot) {
        kula__recycle(ring, slot);
    }
}

/* Takes the event of an operation out of those that have landed; false when it is not there. */
static bool detach_landed(struct kula_ring *ring, kula_op op)
{
    struct kula__landed *landed = kula__landed_find(ring, op);
    if (!landed) {
        return false;
    }
    kula__landed_drop(ring, landed);
    ring->landed_end--;
    for (; landed != ring->landed_end; landed++) {
        *landed = landed[1];
    }
    return true;
}

int kula_detach(struct kula_ring *ring, kula_op op)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_detach");
    }
    struct kula__slot *slot = kula__operation_find(ring, op);
    if (slot) {
        slot->attention |= KULA__DETACHED;
        ring->detached++;
        return 0;
    }
    slot = kula__operation_done(ring, op);
    if (!slot) {
        return detach_landed(ring, op) ? 0 : -ENOENT;
    }
    if (!kula__list_remove(&ring->done, slot)) {
        kula__list_remove(&ring->early, slot);
    }
    ring->done_count--;
    kula__drop(ring, slot);
    return 0;
}
