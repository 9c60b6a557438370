/* close.c - closing and forgetting descriptors (law 6).
 *
 * A close goes through four states of the descriptor's record. CLOSING: announced, so whatever is
 * handed over later is refused; what was handed over before is started by the flush. CLOSE_ASKED:
 * all of that was asked to end. CLOSE_RUNS: the last pin is gone and close(2) is on its way; from
 * here on the number may already belong to a new file, so operations that name it wait in `late`
 * until the result is known. Then the record is as new.
 */
#include "finish.h"
#include "submit.h"

#include <errno.h>

/* The record that every descriptor has for its own close; NULL while an earlier close of the same
 * number has an event that nobody has pulled. */
static struct kula__slot *close_record(struct kula_ring *ring, int fd)
{
    uint32_t index = ring->fd_pages[(uint32_t)fd / KULA__FD_PAGE]->close_slots +
                     (uint32_t)fd % KULA__FD_PAGE;
    struct kula__slot *slot = kula__slot_at(index);
    kula__word_begin(slot, index);
    if (kula__word_holder(kula__slot_word(slot)) != KULA__HELD_BY_NOBODY) {
        return NULL;
    }
    slot->kind = KULA__KIND_OPERATION;
    kula__slot_claim(slot, ring->id);
    ring->in_flight++;
    return slot;
}

bool kula__close_owns(const struct kula_ring *ring, const struct kula__slot *slot)
{
    uint32_t index = kula__slot_index(slot);
    return index == ring->fd_pages[(uint32_t)slot->fd / KULA__FD_PAGE]->close_slots +
                        (uint32_t)slot->fd % KULA__FD_PAGE;
}

/* Descriptors that the program knows of, or could guess, and that are not its own. */
static bool is_the_rings(struct kula_ring *ring, int fd)
{
    return fd >= 0 && (fd == ring->wake.read_fd || fd == ring->wake.write_fd ||
                       (ring->embedded && fd == ring->backend->pollable(ring)));
}

kula_op kula_close_fd(struct kula_ring *ring, int fd, void *user)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, "kula_close_fd");
        return 0;
    }
    struct kula__fd *record = fd >= 0 ? kula__fd_get(ring, fd) : NULL;
    bool refused = fd < 0 || is_the_rings(ring, fd) || (record && kula__fd_is_going(record));
    /* What is refused goes home as an ordinary operation, and the descriptor's own record does not. */
    struct kula__slot *slot = record && !refused ? close_record(ring, fd) : NULL;
    if (!slot) {
        slot = kula__operation_make(ring, "kula_close_fd", true);
        if (!slot) {
            return 0;
        }
    }
    slot->operation = KULA__OP_CLOSE;
    slot->attention = 0;
    slot->fd = fd;
    slot->offset = 0;
    slot->user = user;
    kula__cold_of(slot)->epoch = ring->epoch;
    kula_op operation = kula__word_start(slot);
    if (refused) {
        kula__refuse_unpinned(ring, slot, -EBADF);
        return operation;
    }
    if (!record) {
        /* Not open, or no memory for its record. Either way this ring has no operation on it, so
         * there is nothing to wait for. */
        kula__refuse_unpinned(ring, slot, kula__sys_close(fd));
        return operation;
    }
    slot->kind = KULA__KIND_CLOSE;
    slot->attention = KULA__PINNED; /* it goes the long way home */
    kula__close_begin(ring, slot);
    return operation;
}

void kula__late_join(struct kula_ring *ring, struct kula__fd *record, struct kula__slot *slot)
{
    slot->attention |= KULA__QUEUED;
    slot->next = NULL;
    kula__cold_of(slot)->epoch = ring->epoch;
    if (record->late_head) {
        record->late_tail->next = slot;
    } else {
        record->late_head = slot;
    }
    record->late_tail = slot;
}

bool kula__fd_is_going(const struct kula__fd *record)
{
    return record->closing == KULA__FD_CLOSING || record->closing == KULA__FD_CLOSE_ASKED ||
           record->next_close;
}

/* A descriptor has one close at a time, from the moment that it is handed over, whatever it waits for; and
 * one more for the file that has the number next. A close comes here again when its predecessor in a
 * chain has ended. */
void kula__close_begin(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    if (record->next_close == slot) {
        return; /* its turn comes with the result of the close that runs */
    }
    if (record->close && record->close != slot) {
        record->next_close = slot;
        return;
    }
    record->closing = KULA__FD_CLOSING;
    kula__fd_note(ring, record, slot->fd);
    record->close = slot;
    kula__list_append(&ring->closing, slot);
}

struct pinning {
    struct kula__fd *record;
    int fd;
};

static void pin(struct kula__slot *slot, void *arg)
{
    struct pinning *pinning = arg;
    if (slot->fd == pinning->fd && !(slot->attention & KULA__PINNED) &&
        kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_RING) {
        slot->attention |= KULA__PINNED;
        pinning->record->pins++;
    }
}

/* Positional operations on files are not counted when they are handed over and when they end: every
 * one of them would pay for a question that is asked once in the life of a descriptor. They are found
 * when it is asked. */
void kula__fd_pin(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    if (record->kind == KULA__FD_FILE && ring->in_flight > 0) {
        struct pinning pinning = { .record = record, .fd = fd };
        kula__slots_visit(ring->id, pin, &pinning);
    }
}

struct asked_to_end {
    struct kula_ring *ring;
    int fd;
};

static void ask_to_end(struct kula__slot *slot, void *arg)
{
    struct asked_to_end *what = arg;
    if (slot->fd == what->fd && slot->operation != KULA__OP_CLOSE &&
        kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_RING) {
        kula__cancel_slot(what->ring, slot, KULA__CANCEL);
    }
}

/* Asks what is in a lane to end; returns how many that are. */
static uint32_t ask_lane(struct kula_ring *ring, struct kula__lane *lane)
{
    uint32_t asked = 0;
    while (lane->head) {
        kula__cancel_slot(ring, lane->head, KULA__CANCEL);
        asked++;
    }
    if (lane->busy) {
        kula__cancel_slot(ring, lane->busy, KULA__CANCEL);
        asked++;
    }
    return asked;
}

void kula__closing_ask(struct kula_ring *ring)
{
    struct kula__slot *slot;
    while ((slot = kula__list_pop(&ring->closing))) {
        struct kula__fd *record = kula__fd_known(ring, slot->fd);
        record->closing = KULA__FD_CLOSE_ASKED;
        kula__fd_pin(ring, record, slot->fd);
        record->pins++;               /* so that the close does not run in the middle of this */
        uint32_t pins = record->pins; /* before any of them is asked: some end at once */
        uint32_t asked = ask_lane(ring, &record->lane[0]) + ask_lane(ring, &record->lane[1]);
        if (pins > asked + 1) { /* somebody holds the descriptor who is in neither lane */
            struct asked_to_end what = { .ring = ring, .fd = slot->fd };
            kula__slots_visit(ring->id, ask_to_end, &what);
        }
        kula__unpin(ring, record, slot->fd);
    }
    if (ring->sift) {
        kula__sift(ring); /* what was asked before it has begun does not begin */
    }
}

void kula__close_run(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    ring->backend->forget(ring, record, fd);
    record->closing = KULA__FD_CLOSE_RUNS;
    kula__pend(ring, record->close);
}

/* The next close has been announced, and may wait for a predecessor, or have been refused meanwhile. */
static void promote_next_close(struct kula_ring *ring, struct kula__fd *record)
{
    struct kula__slot *next = record->next_close;
    record->next_close = NULL;
    record->close = next;
    if (next) {
        record->closing = KULA__FD_CLOSING;
        if (!(next->attention & (KULA__AFTER | KULA__CANCEL))) {
            kula__list_append(&ring->closing, next);
        }
    }
}

void kula__close_done(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    if (record->close != slot) { /* refused before its turn came */
        if (record->next_close == slot) {
            record->next_close = NULL;
        }
        return;
    }
    struct kula__slot *late = record->late_head;
    record->late_head = NULL;
    record->late_tail = NULL;
    if (record->closing == KULA__FD_CLOSE_RUNS) {
        record->kind = KULA__FD_UNKNOWN;
        record->no_nowait = 0;
    }
    record->closing = KULA__FD_OPEN;
    promote_next_close(ring, record);
    kula__fd_note(ring, record, slot->fd);
    while (late) { /* handed over before the next close, if there is one */
        struct kula__slot *next = late->next;
        late->attention &= (uint16_t)~KULA__QUEUED;
        kula__place(ring, late);
        late = next;
    }
}

int kula_forget_fd(struct kula_ring *ring, int fd)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_forget_fd");
    }
    if (fd < 0) {
        return -EBADF;
    }
    struct kula__fd *record = kula__fd_peek(ring, fd);
    if (!record) {
        return 0;
    }
    kula__fd_pin(ring, record, fd);
    if (record->pins > 0 || record->closing != KULA__FD_OPEN) {
        return -EBUSY;
    }
    ring->backend->forget(ring, record, fd);
    record->kind = KULA__FD_UNKNOWN;
    record->no_nowait = 0;
    kula__fd_note(ring, record, fd);
    return 0;
}
