/* finish.c - the end of an operation: from a raw result to an event. */
#include "finish.h"

#include "block.h"
#include "borrow.h"
#include "buffer.h"
#include "submit.h"

#include <errno.h>

/* Linux keeps codes from 512 on for itself; they leak into completions after a cancel (-512 seen on
 * 6.1 and 6.18). */
#define KERNEL_INTERNAL (-512)

static void vec_advance(struct kula__slot *slot, uint32_t bytes)
{
    struct iovec *parts = kula__cold_of(slot)->block;
    uint32_t whole = 0;
    while (whole < slot->length && bytes >= parts[whole].iov_len) {
        bytes -= (uint32_t)parts[whole].iov_len;
        whole++;
    }
    slot->length -= whole;
    for (uint32_t i = 0; i < slot->length; i++) {
        parts[i] = parts[i + whole];
    }
    if (slot->length > 0) {
        parts[0].iov_base = (unsigned char *)parts[0].iov_base + bytes;
        parts[0].iov_len -= bytes;
    }
}

/* Whether this result of a KULA_FULL transfer leaves something that is still wanted. */
static bool has_rest(const struct kula__slot *slot, int32_t result)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    return result > 0 && !(slot->attention & (KULA__CANCEL | KULA__TIMED_OUT)) &&
           cold->progress + (uint32_t)result < cold->transfer_length;
}

/* KULA_FULL: puts the rest of a short transfer back on the pending list; it keeps its lane. */
static bool goes_on(struct kula_ring *ring, struct kula__slot *slot, int32_t result)
{
    struct kula__cold *cold = kula__cold_of(slot);
    if (!has_rest(slot, result)) {
        return false;
    }
    struct kula__fd *record = kula__fd_known(ring, slot->fd);
    if (record->kind == KULA__FD_UNKNOWN) {
        kula__fd_classify(ring, record, slot->fd); /* failing, it stays unknown: as a stream */
    }
    if (record->kind == KULA__FD_DATAGRAM) {
        return false; /* a datagram is a whole, however short */
    }
    cold->progress += (uint32_t)result;
    if (slot->kind == KULA__KIND_VEC) {
        vec_advance(slot, (uint32_t)result);
    } else {
        slot->data += result;
        slot->length -= (uint32_t)result;
    }
    if (slot->offset >= 0) {
        slot->offset += result;
    }
    slot->attention &= (uint16_t)~KULA__POOLED;
    kula__pend(ring, slot);
    return true;
}

static int32_t normalise(const struct kula__slot *slot, int32_t result)
{
    if (result >= 0) {
        return result;
    }
    /* A function of the program may return what it likes. */
    bool from_kernel = slot->operation != KULA__OP_OFFLOAD;
    bool asked = slot->attention & (KULA__CANCEL | KULA__TIMED_OUT);
    /* A call that a cancel interrupts inside the kernel says so in one of these ways. */
    if (asked && from_kernel && (result == -EINTR || result <= KERNEL_INTERNAL)) {
        result = -ECANCELED;
    }
    if (result == -ECANCELED && (slot->attention & KULA__TIMED_OUT)) {
        return -ETIME;
    }
    return from_kernel && result <= KERNEL_INTERNAL ? -ECANCELED : result;
}

static uint32_t stop_flag(int32_t result)
{
    switch (result) {
    case -ETIME:
        return KULA_EVENT_TIMED_OUT;
    case -ECANCELED:
        return KULA_EVENT_CANCELLED;
    default:
        return KULA_EVENT_ERROR;
    }
}

/* What earlier pieces of a KULA_FULL transfer moved is never hidden by how the last one ended. */
static int32_t total_of_pieces(struct kula__slot *slot, int32_t result, uint32_t *flags)
{
    struct kula__cold *cold = kula__cold_of(slot);
    uint32_t progress = cold->progress;
    if (slot->kind != KULA__KIND_VEC) {
        slot->data -= progress;
        slot->length += progress;
    }
    if (result >= 0) {
        uint32_t total = progress + (uint32_t)result;
        if (result > 0 && total < cold->transfer_length &&
            (slot->attention & (KULA__CANCEL | KULA__TIMED_OUT))) {
            *flags |=
                slot->attention & KULA__TIMED_OUT ? KULA_EVENT_TIMED_OUT : KULA_EVENT_CANCELLED;
        }
        return (int32_t)total;
    }
    if (progress == 0) {
        return result;
    }
    *flags |= stop_flag(result);
    cold->error = result;
    return (int32_t)progress;
}

bool kula__ended_well(const struct kula__slot *slot, int32_t result)
{
    if (result < 0) {
        return false;
    }
    if (kula__operation_facts[slot->operation].result != KULA__RESULT_COUNT) {
        return true;
    }
    uint32_t wanted =
        slot->kind == KULA__KIND_VEC ? kula__cold_of(slot)->transfer_length : slot->length;
    return (uint32_t)result == wanted;
}

/* A number that the kernel has just given out is a new file's, whatever it was before. */
static void descriptor_is_new(struct kula_ring *ring, int fd)
{
    struct kula__fd *record = kula__fd_peek(ring, fd);
    if (record && record->pins == 0 && record->closing == KULA__FD_OPEN) {
        ring->backend->forget(ring, record, fd);
        record->kind = KULA__FD_UNKNOWN;
        record->no_nowait = 0;
        kula__fd_note(ring, record, fd);
    }
}

static void leave_descriptor(struct kula_ring *ring, struct kula__slot *slot)
{
    if (slot->attention & KULA__ORDERED) {
        kula__lane_release(ring, slot);
    }
    kula__unpin(ring, kula__fd_known(ring, slot->fd), slot->fd);
}

void kula__let_go(struct kula_ring *ring, struct kula__slot *slot, int32_t result)
{
    bool goes_on = (slot->attention & KULA__FULL) && has_rest(slot, result);
    if (result >= 0 && !goes_on && (slot->attention & KULA__PINNED)) {
        leave_descriptor(ring, slot);
        slot->attention &= (uint16_t)~KULA__PINNED;
        slot->fd = KULA__FD_LET_GO;
    }
}

void kula__finish(struct kula_ring *ring, struct kula__slot *slot, int32_t result)
{
    uint16_t attention = slot->attention;
    if ((attention & KULA__FULL) && goes_on(ring, slot, result)) {
        return;
    }
    uint32_t flags = 0;
    result = normalise(slot, result);
    if (slot->operation == KULA__OP_POLL && result > 0) {
        /* the ring tells of POLLRDHUP without being asked (6.18) */
        int32_t asked = result & (int32_t)(slot->opflags | POLLERR | POLLHUP | POLLNVAL);
        result = asked ? asked : result;
    }
    if (attention & KULA__FULL) {
        result = total_of_pieces(slot, result, &flags);
    }
    if ((attention & KULA__TIMED_OUT) && result >= 0 && flags == 0) {
        flags |= KULA_EVENT_LATE;
    }
    if (attention & KULA__DEADLINE) {
        kula__timers_remove(&ring->timers, slot);
    }
    if (attention & KULA__AFTER) {
        kula__chain_leave(slot);
    }
    if (slot->kind == KULA__KIND_CLOSE) {
        kula__close_done(ring, slot);
    } else if (attention & KULA__PINNED) {
        leave_descriptor(ring, slot);
    }
    if ((attention & KULA__DESCRIPTOR) && result >= 0) {
        descriptor_is_new(ring, result);
    }
    slot->result = result;
    slot->event_flags = flags;
    kula__word_finish(slot, kula__slot_word(slot));
    ring->in_flight--;
    if (attention & KULA__BEFORE) {
        kula__chain_end(ring, slot, kula__ended_well(slot, result));
    }
    if (slot->kind == KULA__KIND_LENT) {
        kula__lent_end(slot);
    }
    if (attention & KULA__DETACHED) {
        ring->detached--;
        kula__drop(ring, slot);
        return;
    }
    ring->done_count++;
    kula__list_append(ring->inside ? &ring->done : &ring->early, slot);
}

void kula__recycle(struct kula_ring *ring, struct kula__slot *slot)
{
    uint64_t operation = kula__slot_word(slot) - KULA__STEP;
    if (slot->attention & KULA__BLOCK) {
        kula__block_free(ring, slot);
    }
    switch (slot->kind) {
    case KULA__KIND_CLOSE:
        kula__word_recycle(slot, operation);
        if (!kula__close_owns(ring, slot)) {
            slot->kind = KULA__KIND_OPERATION;
            kula__operation_free(ring, slot);
        }
        break;
    case KULA__KIND_LENT:
        slot->kind = KULA__KIND_OPERATION;
        kula__word_recycle(slot, operation);
        kula__operation_free(ring, slot);
        break;
    case KULA__KIND_OPERATION:
        kula__word_recycle(slot, operation);
        kula__operation_free(ring, slot);
        break;
    case KULA__KIND_MESSAGE:
        kula__message_return(ring, slot, operation);
        break;
    default:
        slot->next =
            NULL; /* a root that references keep goes into no list: not "pulled" any more */
        kula__slot_claim(slot, 0);
        kula__slot_return(slot, operation);
        break;
    }
}

void kula__drop(struct kula_ring *ring, struct kula__slot *slot)
{
    if ((slot->attention & KULA__DESCRIPTOR) && slot->result >= 0) {
        kula__sys_close(slot->result);
    }
    kula__recycle(ring, slot);
}
