/* cancel.c - asking operations to end.
 *
 * A cancel is a request, and its answer is only an answer: the operation's own completion tells what
 * came of it. -ENOENT does not say that it has ended (6.18: said of 2000 of 2000 direct reads that then
 * completed), and an operation on its way from one state to another is not found either; so it is
 * asked again, for as long as that can be the reason.
 */
#include "state.h"

#include "common/workers.h"

#include <errno.h>

/* An operation on its way somewhere has arrived after one more turn of the kernel's task work, as a rule.
 * Those that are not found after as many asks are left alone for a while each time: a connect to a Unix
 * socket with a full backlog was found after 42 (6.18, DEFER_TASKRUN), and what runs in a worker of the
 * kernel (-EALREADY) may take as long as it likes. */
#define ASK_MAX  16u
#define PAUSE_NS (4 * KULA_MILLISECOND)

/* ---- Lines --------------------------------------------------------------------------------- */

void kula__uring_line_append(struct kula__uring_line *line, struct kula__slot *slot)
{
    slot->next = NULL;
    kula__cold_of(slot)->previous = line->tail;
    if (line->tail) {
        line->tail->next = slot;
    } else {
        line->head = slot;
    }
    line->tail = slot;
}

void kula__uring_line_remove(struct kula__uring_line *line, struct kula__slot *slot)
{
    struct kula__slot *previous = kula__cold_of(slot)->previous;
    if (previous) {
        previous->next = slot->next;
    } else {
        line->head = slot->next;
    }
    if (slot->next) {
        kula__cold_of(slot->next)->previous = previous;
    } else {
        line->tail = previous;
    }
}

/* ---- Asking -------------------------------------------------------------------------------- */

static void queue_cancel(struct kula__uring_state *state, struct kula__slot *slot)
{
    *kula__uring_marks(slot) |= KULA__URING_UNSENT;
    kula__uring_line_append(&state->cancels, slot);
}

int kula__uring_cancel(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    if (slot->attention & KULA__POOLED) {
        return kula__workers_cancel(ring, slot);
    }
    state->calm = false;
    uint64_t marks = kula__uring_marks_of(slot);
    if (marks & (KULA__URING_AGAIN | KULA__URING_HELD)) { /* the kernel does not have it */
        kula__uring_line_remove(marks & KULA__URING_HELD ? &state->held : &state->again, slot);
        kula__uring_end(ring, state, slot, -ECANCELED);
        return 0;
    }
    if (marks & KULA__URING_SENT) {
        /* What it has sent is the last of it, and its descriptor need not wait for the buffer. Or it has
         * failed, and the second completion is about to come. */
        kula__let_go(ring, slot, kula__uring_first_result(slot));
        return 0;
    }
    /* The caller has marked it (KULA__CANCEL or KULA__TIMED_OUT), so that it does not end the short way
     * while it is in a line. */
    if (!(marks & (KULA__URING_UNSENT | KULA__URING_LATER))) {
        queue_cancel(state, slot);
    }
    return 0;
}

void kula__uring_look_again(struct kula__uring_state *state)
{
    struct kula__slot *slot;
    while ((slot = state->later.head)) {
        kula__uring_line_remove(&state->later, slot);
        *kula__uring_marks(slot) &= ~(uint64_t)KULA__URING_LATER;
        queue_cancel(state, slot);
    }
    kula__uring_let_open(state);
}

int64_t kula__uring_patience(const struct kula__uring_state *state, int64_t timeout_ns)
{
    bool only_time_helps = state->later.head || (state->held.head && state->opens == 0);
    return only_time_helps && (timeout_ns < 0 || timeout_ns > PAUSE_NS) ? PAUSE_NS : timeout_ns;
}

void kula__uring_send_cancels(struct kula__uring_state *state)
{
    struct kula__slot *slot;
    while ((slot = state->cancels.head)) {
        struct io_uring_sqe *sqe = kula__uring_entry(state);
        if (!sqe) {
            return;
        }
        kula__uring_line_remove(&state->cancels, slot);
        uint64_t *marks = kula__uring_marks(slot);
        *marks &= ~(uint64_t)KULA__URING_UNSENT;
        uint64_t word = kula__slot_word(slot);
        sqe->opcode = IORING_OP_ASYNC_CANCEL;
        sqe->fd = -1;
        sqe->addr = word + (*marks & KULA__URING_LOOK ? KULA__STEP : 0);
        sqe->user_data = word + 2 * KULA__STEP;
    }
}

void kula__uring_cancel_answered(struct kula__uring_state *state,
                                 struct kula__slot *slot,
                                 int32_t result)
{
    if (result != -ENOENT && result != -EALREADY) {
        return;
    }
    uint64_t marks = kula__uring_marks_of(slot);
    const uint64_t elsewhere = KULA__URING_AGAIN | KULA__URING_HELD | KULA__URING_UNSENT |
                               KULA__URING_LATER | KULA__URING_SENT;
    if ((slot->attention & KULA__POOLED) || (marks & elsewhere)) {
        return;
    }
    if (kula__uring_count(slot) <= ASK_MAX) {
        queue_cancel(state, slot);
    } else {
        *kula__uring_marks(slot) |= KULA__URING_LATER;
        kula__uring_line_append(&state->later, slot);
    }
}
