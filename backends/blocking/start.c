/* start.c - what the ring hands over: done in place, or tried and then left to wait. */
#include "state.h"

#include "common/calls.h"
#include "common/perform.h"
#include "common/workers.h"

#include <assert.h>
#include <errno.h>

/* How many operations that end at once and set others going one flush follows, beyond those that it
 * was called for. */
#define FOLLOW_MAX 1024u

static void end(struct kula_ring *ring, struct kula__slot *slot, int32_t result)
{
    if (kula__finish_short(ring, slot, result)) {
        ring->in_flight--;
        ring->done_count++;
        return;
    }
    kula__finish(ring, slot, result);
}

static void do_in_place(struct kula_ring *ring,
                        struct kula__slot *slot,
                        const struct kula__fd *record)
{
    end(ring, slot, kula__perform(slot, record ? record->kind : KULA__FD_UNKNOWN));
}

/* Ends the operation, or gives it away, unless it has to wait: false. */
static bool try_once(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record)
{
    int32_t result = kula__attempt(ring, slot, record);
    if (result == -EAGAIN && !(slot->attention & KULA__NOWAIT)) {
        return false;
    }
    if (result != -EOPNOTSUPP || kula__can_be_tried(slot)) {
        end(ring, slot, result);
    } else if (slot->attention & KULA__NOWAIT) {
        end(ring, slot, -EAGAIN);
    } else if (slot->operation == KULA__OP_CONNECT) {
        /* poll(2) knows nothing of a Unix socket's full backlog */
        kula__workers_give(ring, slot, KULA__FD_UNKNOWN);
    } else {
        do_in_place(ring, slot, record);
    }
    return true;
}

bool kula__blocking_retry(struct kula_ring *ring, struct kula__slot *slot)
{
    return try_once(ring, slot, kula__fd_peek(ring, slot->fd));
}

static void start_offload(struct kula_ring *ring, struct kula__slot *slot)
{
    end(ring, slot, kula__call_offloaded(slot));
}

static void start(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__fd *record = slot->fd >= 0 ? kula__fd_peek(ring, slot->fd) : NULL;
    switch (slot->operation) {
    case KULA__OP_READ:
    case KULA__OP_WRITE:
    case KULA__OP_READV:
    case KULA__OP_WRITEV:
        assert(record); /* the ring lets no transfer in whose descriptor has no record */
        if (record->kind == KULA__FD_FILE && !(slot->attention & KULA__NOWAIT)) {
            do_in_place(ring, slot, record);
            return;
        }
        break;
    case KULA__OP_CONNECT:
        kula__cold_of(slot)->scratch[0] = 0;
        break;
    case KULA__OP_RECV:
    case KULA__OP_SEND:
    case KULA__OP_ACCEPT:
    case KULA__OP_POLL:
        break;
    case KULA__OP_OPENAT:
        if (kula__open_waits(slot)) {
            kula__workers_give(ring, slot, KULA__FD_UNKNOWN);
        } else {
            do_in_place(ring, slot, record);
        }
        return;
    case KULA__OP_OFFLOAD:
        start_offload(ring, slot);
        return;
    default:
        do_in_place(ring, slot, record);
        return;
    }
    if (!try_once(ring, slot, record)) {
        kula__blocking_add(ring, slot);
    }
}

static bool is_writing(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].transfer == KULA__TRANSFER_OUT;
}

int kula__blocking_submit(struct kula_ring *ring)
{
    struct kula__slot **last = ring->pending.tail; /* of those that it was called for */
    uint32_t more = FOLLOW_MAX;
    struct kula__slot *slot;
    struct kula__quiet quiet;
    bool is_quiet = false;
    while (ring->pending.head && (last || more-- > 0)) {
        slot = kula__list_pop(&ring->pending);
        if (&slot->next == last) {
            last = NULL;
        }
        if (is_quiet && slot->operation == KULA__OP_OFFLOAD) {
            kula__quiet_end(&quiet, false); /* the program's functions run with its own mask */
            is_quiet = false;
        } else if (!is_quiet && is_writing(slot)) {
            kula__quiet_begin(&quiet);
            is_quiet = true;
        }
        start(ring, slot);
    }
    if (is_quiet) {
        kula__quiet_end(&quiet, false);
    }
    return 0;
}
