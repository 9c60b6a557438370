/* chain.c - kula_after: an operation starts when another has ended well.
 *
 * Run by the library on every backend, so that a short transfer breaks a chain in the same way
 * everywhere, and because a linked operation looks its descriptor up late in the kernel (6.18: the
 * wrong file 500 times of 500 when the number was reused).
 */
#include "finish.h"
#include "submit.h"

#include <errno.h>

/* Takes an operation that is to wait out of wherever it stood; kula__place finds it a place again. */
static void stand_aside(struct kula_ring *ring, struct kula__slot *slot)
{
    if (slot->attention & KULA__QUEUED) {
        kula__unqueue(ring, slot);
        return;
    }
    if (slot->operation == KULA__OP_TIMER) {
        int64_t deadline_ns = (int64_t)kula__cold_of(slot)->scratch[2];
        kula__timers_remove(&ring->timers, slot);
        slot->attention &= (uint16_t)~KULA__DEADLINE;
        if (deadline_ns != INT64_MAX) { /* a deadline goes on counting */
            slot->attention |= KULA__DEADLINE;
            kula__timers_add(&ring->timers, slot, deadline_ns);
        }
        return;
    }
    if (slot->operation == KULA__OP_CLOSE) {
        struct kula__slot *at = ring->closing.head;
        kula__list_init(&ring->closing);
        while (at) {
            struct kula__slot *next = at->next;
            if (at != slot) {
                kula__list_append(&ring->closing, at);
            }
            at = next;
        }
        return;
    }
    if (slot->attention & KULA__ORDERED) {
        kula__lane_release(ring, slot);
    }
    ring->sift++;
}

static bool would_wait_for_itself(const struct kula__slot *slot, const struct kula__slot *other)
{
    if (slot != other && !(slot->attention & KULA__BEFORE)) {
        return false; /* nothing waits for it: a chain that grows at its end stays linear */
    }
    for (const struct kula__slot *at = other; at; at = kula__cold_of(at)->predecessor) {
        if (at == slot) {
            return true;
        }
        if (!(at->attention & KULA__AFTER)) {
            return false;
        }
    }
    return false;
}

static void append_successor(struct kula__slot *other, struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(other);
    if (!(other->attention & KULA__BEFORE)) {
        other->attention |= KULA__BEFORE;
        cold->successors = NULL;
    }
    struct kula__slot **link = &cold->successors;
    while (*link) {
        link = &kula__cold_of(*link)->next_successor;
    }
    *link = slot;
    kula__cold_of(slot)->next_successor = NULL;
    kula__cold_of(slot)->predecessor = other;
}

/* What an operation that has not ended yet may depend on, and how an ended one came out. */
enum fate {
    UNKNOWN, /* no such operation, or its event has been pulled */
    UNDER_WAY,
    ENDED_WELL,
    ENDED_BADLY,
};

static enum fate fate_of(const struct kula_ring *ring, kula_op op)
{
    if (kula__operation_find(ring, op)) {
        return UNDER_WAY;
    }
    const struct kula__slot *done = kula__operation_done(ring, op);
    if (done) {
        return kula__ended_well(done, done->result) ? ENDED_WELL : ENDED_BADLY;
    }
    const struct kula__landed *landed = kula__landed_find(ring, op);
    if (!landed) {
        return UNKNOWN;
    }
    const struct kula__slot *slot = kula__landed_slot(landed);
    return !slot || kula__ended_well(slot, landed->result) ? ENDED_WELL : ENDED_BADLY;
}

int kula_after(struct kula_ring *ring, kula_op op, kula_op other)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_after");
    }
    struct kula__slot *slot = kula__operation_find(ring, op);
    enum fate fate = fate_of(ring, other);
    if (!slot || fate == UNKNOWN) {
        return -ENOENT;
    }
    if (!kula__is_fresh(ring, slot) || (slot->attention & KULA__AFTER)) {
        return -EALREADY;
    }
    if (slot->attention & (KULA__CANCEL | KULA__TIMED_OUT)) {
        return 0; /* it has its result already, and starts nothing */
    }
    if (fate == ENDED_BADLY && !(slot->attention & KULA__REGARDLESS)) {
        if (slot->operation == KULA__OP_CLOSE) { /* which is not cancelled otherwise */
            stand_aside(ring, slot);
            kula__refuse(ring, slot, -ECANCELED);
            return 0;
        }
        return kula__cancel_slot(ring, slot, KULA__CANCEL);
    }
    if (fate != UNDER_WAY) {
        return 0;
    }
    struct kula__slot *first = kula__operation_find(ring, other);
    if (would_wait_for_itself(slot, first)) {
        return -ELOOP;
    }
    stand_aside(ring, slot);
    slot->attention |= KULA__AFTER;
    kula__cold_of(slot)->epoch = ring->epoch;
    append_successor(first, slot);
    return 0;
}

void kula__chain_leave(struct kula__slot *slot)
{
    struct kula__slot *other = kula__cold_of(slot)->predecessor;
    struct kula__slot **link = &kula__cold_of(other)->successors;
    while (*link != slot) {
        link = &kula__cold_of(*link)->next_successor;
    }
    *link = kula__cold_of(slot)->next_successor;
    slot->attention &= (uint16_t)~KULA__AFTER;
}

void kula__chain_end(struct kula_ring *ring, struct kula__slot *slot, bool well)
{
    if (ring->sift) {
        kula__sift(
            ring); /* a successor may still stand where it stood when it was handed over */
    }
    struct kula__slot *next = kula__cold_of(slot)->successors;
    while (next) {
        struct kula__slot *successor = next;
        next = kula__cold_of(successor)->next_successor;
        successor->attention &= (uint16_t)~KULA__AFTER;
        if (ring->closing_down && successor->operation != KULA__OP_CLOSE) {
            kula__refuse(ring, successor, -ECANCELED);
        } else if (well || (successor->attention & KULA__REGARDLESS)) {
            kula__place(ring, successor);
        } else {
            kula__refuse(ring, successor, -ECANCELED);
        }
    }
}
