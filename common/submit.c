/* submit.c - admitting operations: records, pins, lanes, and what is refused. */
#include "submit.h"

#include "buffer.h"
#include "misuse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Records that only kula_close_fd may use, so that closing does not fail for want of room. */
#define CLOSE_RESERVE 16u

struct kula__slot *kula__operation_make(struct kula_ring *ring, const char *name, bool reserved)
{
    if (!kula__is_owner(ring)) {
        kula__not_owner(ring, name);
        return NULL;
    }
    struct kula__slot **list =
        ring->free_operations ? &ring->free_operations : &ring->spare_operations;
    struct kula__slot *slot = *list;
    if (slot) {
        *list = slot->next;
        ring->in_flight++;
        return slot;
    }
    uint64_t limit = ring->settings.operations_max ? ring->settings.operations_max : UINT32_MAX;
    if (ring->operations_made >= limit + (reserved ? CLOSE_RESERVE : 0)) {
        return NULL;
    }
    slot = kula__chunks_slot(&ring->operations, ring);
    if (slot) {
        slot->kind = KULA__KIND_OPERATION;
        kula__slot_claim(slot, ring->id);
        ring->operations_made++;
        ring->in_flight++;
    }
    return slot;
}

bool kula__hand_over_special(struct kula__slot *slot,
                             enum kula__kind wanted,
                             enum kula__operation operation,
                             const void *place)
{
    if (!kula__kind_fits(slot, wanted)) {
        return false;
    }
    if (kula__watching()) {
        kula__watch_away(slot, (enum kula__transfer)kula__operation_facts[operation].transfer,
                         kula__operation_function(operation), place);
        if (slot->kind == KULA__KIND_VEC) {
            kula__watch_vec(slot, operation, place);
        }
    }
    return true;
}

kula_op kula__hand_over_refused(struct kula_ring *ring,
                                uint64_t word,
                                enum kula__operation operation,
                                void *user)
{
    const char *name = kula__operation_function(operation);
    struct kula__slot *slot = kula__slot_find(word);
    if (word == 0 || !slot || kula__word_holder(word) != KULA__HELD_BY_PROGRAM ||
        kula__is_owner(ring)) {
        kula__misuse(name, word, kula__misuse_reason(word));
        return 0;
    }
    /* The handle may be good and the caller is not the owner: a live buffer is at stake. */
    int error = kula__not_owner_for(ring, name, word);
    if (!kula__word_hand_over(slot, word)) {
        kula__misuse(name, word, kula__misuse_reason(word));
        return 0;
    }
    /* Only now is the record ours to look at. */
    if (slot->kind > KULA__KIND_VEC) {
        kula__word_hand_back(slot, word); /* a scope */
        kula__misuse(name, word,
                     "a handle of another kind: not a buffer, a reference or a vec");
        return 0;
    }
    if (error == -EINVAL) {
        kula__slot_return_unfinished(
            slot); /* no ring that could give it back: home to its pool */
        return 0;
    }
    if (error == -EOWNERDEAD) {
        return 0; /* its pool is the parent's: kept until the child exits */
    }
    if (kula__watching()) {
        /* for no operation: none will touch it */
        kula__watch_away(slot, KULA__TRANSFER_NONE, kula__operation_function(operation), NULL);
    }
    slot->operation = (uint8_t)operation;
    slot->attention = 0;
    slot->fd = -1;
    slot->user = user;
    slot->length = 0;
    slot->result = -EPERM;
    slot->event_flags = 0;
    kula__inbox_push(ring, slot);
    return word + KULA__STEP;
}

void kula__refuse(struct kula_ring *ring, struct kula__slot *slot, int32_t error)
{
    slot->attention |= KULA__CANCEL;
    slot->result = error;
    kula__list_append(&ring->refused, slot);
}

void kula__refuse_unpinned(struct kula_ring *ring, struct kula__slot *slot, int32_t error)
{
    slot->fd = -1;
    kula__refuse(ring, slot, error);
}

void kula__unpin(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    if (--record->pins == 0 && record->closing == KULA__FD_CLOSE_ASKED) {
        kula__close_run(ring, record, fd);
    }
}

/* ---- Lanes -------------------------------------------------------------------------------- */

static struct kula__lane *lane_of(struct kula__fd *record, const struct kula__slot *slot)
{
    if (slot->attention & KULA__UNORDERED) {
        return NULL;
    }
    if (record->kind == KULA__FD_FILE) {
        return slot->offset == KULA_CUR ? &record->lane[0] : NULL;
    }
    return &record->lane[kula__operation_facts[slot->operation].transfer == KULA__TRANSFER_OUT];
}

static void lane_join(struct kula_ring *ring, struct kula__lane *lane, struct kula__slot *slot)
{
    if (!lane->busy) {
        lane->busy = slot;
        slot->attention |= KULA__ORDERED;
        kula__pend(ring, slot);
        return;
    }
    slot->attention |= KULA__QUEUED;
    slot->next = NULL;
    kula__cold_of(slot)->epoch = ring->epoch;
    if (lane->head) {
        lane->tail->next = slot;
    } else {
        lane->head = slot;
    }
    lane->tail = slot;
}

void kula__lane_release(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    struct kula__lane *lane =
        record->lane[0].busy == slot ? &record->lane[0] : &record->lane[1];
    assert(lane->busy == slot);
    struct kula__slot *next = lane->head;
    slot->attention &= (uint16_t)~KULA__ORDERED;
    lane->busy = next;
    if (next) {
        lane->head = next->next;
        next->attention = (uint16_t)((next->attention & ~KULA__QUEUED) | KULA__ORDERED);
        kula__pend(ring, next);
    }
}

static bool queue_remove(struct kula__slot **head,
                         struct kula__slot **tail,
                         const struct kula__slot *slot)
{
    struct kula__slot *previous = NULL;
    for (struct kula__slot *at = *head; at; previous = at, at = at->next) {
        if (at == slot) {
            *(previous ? &previous->next : head) = at->next;
            if (*tail == at) {
                *tail = previous;
            }
            return true;
        }
    }
    return false;
}

void kula__unqueue(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    bool found = queue_remove(&record->lane[0].head, &record->lane[0].tail, slot) ||
                 queue_remove(&record->lane[1].head, &record->lane[1].tail, slot) ||
                 queue_remove(&record->late_head, &record->late_tail, slot);
    assert(found);
    (void)found;
    slot->attention &= (uint16_t)~KULA__QUEUED;
}

/* ---- Admission ---------------------------------------------------------------------------- */

static bool is_message_call(const struct kula__slot *slot)
{
    return slot->operation == KULA__OP_RECV || slot->operation == KULA__OP_SEND;
}

static uint64_t transfer_bytes(const struct kula__slot *slot)
{
    return slot->kind == KULA__KIND_VEC ? kula__cold_of(slot)->transfer_length : slot->length;
}

/* Whether a descriptor is open for this direction: asked only where no call will be made. */
static int check_mode(int fd, enum kula__transfer transfer)
{
    int flags = kula__sys_status_flags(fd);
    if (flags < 0) {
        return flags;
    }
    int wrong = transfer == KULA__TRANSFER_IN ? O_WRONLY : O_RDONLY;
    return (flags & O_ACCMODE) == wrong ? -EBADF : 0;
}

/* The rules for transfers that are the same everywhere, whatever a backend's calls would say.
 * Positive: go on; 0 or negative: the operation's result. */
static int check_transfer(struct kula_ring *ring,
                          struct kula__slot *slot,
                          struct kula__fd *record)
{
    enum kula__transfer transfer = kula__operation_facts[slot->operation].transfer;
    bool empty = transfer_bytes(slot) == 0;
    /* recv and send say by themselves that they mean a socket: no question to the kernel for them */
    if (record->kind == KULA__FD_UNKNOWN && (empty || !is_message_call(slot))) {
        int error = kula__fd_classify(ring, record, slot->fd);
        if (error < 0) {
            return error;
        }
    }
    if (is_message_call(slot)) {
        if (record->kind != KULA__FD_UNKNOWN && !kula__fd_is_socket(record)) {
            return -ENOTSOCK;
        }
        return empty && record->kind == KULA__FD_STREAM ? 0 : 1;
    }
    if (record->kind == KULA__FD_DIRECTORY) {
        return transfer == KULA__TRANSFER_IN ? -EISDIR : -EBADF;
    }
    if (slot->offset >= 0 && record->kind != KULA__FD_FILE) {
        return -ESPIPE;
    }
    if (empty && record->kind != KULA__FD_FILE && record->kind != KULA__FD_DATAGRAM) {
        return check_mode(slot->fd, transfer);
    }
    return 1;
}

/* A file is ready to be read and written, and is nothing else, ever; backends have no common way of waiting
 * for that. */
static bool never_happens(struct kula_ring *ring,
                          const struct kula__slot *slot,
                          struct kula__fd *record)
{
    if (slot->opflags & (POLLIN | POLLOUT)) {
        return false;
    }
    if (record->kind == KULA__FD_UNKNOWN) {
        kula__fd_classify(ring, record, slot->fd); /* failing, it is no file */
    }
    return record->kind == KULA__FD_FILE || record->kind == KULA__FD_DIRECTORY;
}

void kula__place(struct kula_ring *ring, struct kula__slot *slot)
{
    if (slot->operation == KULA__OP_TIMER) {
        kula__timer_start(ring, slot);
        return;
    }
    if (slot->operation == KULA__OP_CLOSE) {
        kula__close_begin(ring, slot);
        return;
    }
    if (slot->fd < 0 || !(slot->attention & KULA__PINNED)) {
        kula__pend(ring, slot);
        return;
    }
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    if (record->closing ==
        KULA__FD_CLOSE_RUNS) { /* it has waited elsewhere, for something else */
        kula__late_join(ring, record, slot);
        return;
    }
    if (record->closing == KULA__FD_CLOSE_ASKED) {
        kula__refuse(ring, slot, -ECANCELED);
        return;
    }
    if (kula__operation_facts[slot->operation].transfer == KULA__TRANSFER_NONE) {
        if (slot->operation == KULA__OP_POLL && never_happens(ring, slot, record)) {
            kula__refuse(ring, slot, -EINVAL);
        } else {
            kula__pend(ring, slot);
        }
        return;
    }
    int verdict = check_transfer(ring, slot, record);
    struct kula__lane *lane = lane_of(record, slot);
    if (verdict <= 0) {
        kula__refuse(ring, slot, verdict);
    } else if (lane) {
        lane_join(ring, lane, slot);
    } else {
        kula__pend(ring, slot);
    }
}

void kula__admit(struct kula_ring *ring, struct kula__slot *slot)
{
    if (ring->closing_down || ring->broken) {
        kula__refuse_unpinned(ring, slot, -ECANCELED);
        return;
    }
    if (slot->fd < 0) {
        kula__refuse_unpinned(ring, slot, -EBADF);
        return;
    }
    struct kula__fd *record = kula__fd_get(ring, slot->fd);
    if (!record) {
        kula__refuse_unpinned(ring, slot, kula__fd_missing(slot->fd));
        return;
    }
    if (kula__fd_is_going(record)) {
        kula__refuse_unpinned(ring, slot, -EBADF);
        return;
    }
    record->pins++;
    slot->attention |= KULA__PINNED;
    if (record->closing == KULA__FD_CLOSE_RUNS) {
        kula__late_join(ring, record, slot);
        return;
    }
    kula__place(ring, slot);
}

/* ---- Before the flush --------------------------------------------------------------------- */

bool kula__is_pending(const struct kula_ring *ring, const struct kula__slot *slot)
{
    if (ring->pending.tail == &slot->next) {
        return true;
    }
    for (const struct kula__slot *at = ring->pending.head; at; at = at->next) {
        if (at == slot) {
            return true;
        }
    }
    return false;
}

bool kula__is_fresh(const struct kula_ring *ring, const struct kula__slot *slot)
{
    if ((slot->attention & (KULA__QUEUED | KULA__AFTER)) || slot->operation == KULA__OP_TIMER ||
        slot->operation == KULA__OP_CLOSE) {
        return kula__cold_of(slot)->epoch == ring->epoch;
    }
    if (kula__is_pending(ring, slot)) {
        return true;
    }
    for (const struct kula__slot *at = ring->refused.head; at; at = at->next) {
        if (at == slot) {
            return true;
        }
    }
    return false;
}

void kula__sift(struct kula_ring *ring)
{
    ring->sift = 0;
    struct kula__slot *slot = ring->pending.head;
    kula__list_init(&ring->pending);
    while (slot) {
        struct kula__slot *next = slot->next;
        if (slot->attention & (KULA__CANCEL | KULA__TIMED_OUT)) {
            kula__refuse(ring, slot, -ECANCELED);
        } else if (!(slot->attention & KULA__AFTER)) {
            kula__pend(ring, slot);
        }
        slot = next;
    }
}

void kula__chores(struct kula_ring *ring)
{
    if (ring->sift) {
        kula__sift(ring);
    }
    kula__list_splice(&ring->done, &ring->early);
    /* Ending one may refuse others (a chain): only those that are here now, so that this ends. */
    struct kula__slot *slot = ring->refused.head;
    kula__list_init(&ring->refused);
    while (slot) {
        struct kula__slot *next = slot->next;
        kula__finish(ring, slot, slot->result);
        slot = next;
    }
}
