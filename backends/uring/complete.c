/* complete.c - completions that do not simply end an operation. */
#include "state.h"

#include "common/perform.h"

#include <errno.h>
#include <fcntl.h>

/* Codes from 512 on are the kernel's own; they leak into completions when a call was interrupted
 * (-512 after a cancel: seen on 6.1 and 6.18). */
#define KERNEL_INTERNAL (-512)

static bool was_asked_for(const struct kula__slot *slot)
{
    return slot->attention & (KULA__CANCEL | KULA__TIMED_OUT);
}

/* ---- What works ---------------------------------------------------------------------------- */

uint32_t kula__uring_proof_of(const struct kula_ring *ring, const struct kula__slot *slot)
{
    const struct kula__fd *record = kula__fd_peek(ring, slot->fd);
    if (record && kula__fd_is_socket(record)) {
        switch (slot->operation) {
        case KULA__OP_READ:
            return KULA__OP_RECV;
        case KULA__OP_WRITE:
            return KULA__OP_SEND;
        default:
            break;
        }
    }
    return slot->operation;
}

/* From its first success on an operation may go the short way, and a refusal is the program's. */
static void note_success(struct kula_ring *ring,
                         struct kula__uring_state *state,
                         const struct kula__slot *slot)
{
    static const uint32_t short_ways =
        1u << KULA__OP_READ | 1u << KULA__OP_WRITE | 1u << KULA__OP_RECV | 1u << KULA__OP_SEND;
    uint32_t bit = 1u << kula__uring_proof_of(ring, slot);
    state->unproven &= ~bit;
    kula__uring_allow(state, bit & short_ways);
}

/* ---- Results ------------------------------------------------------------------------------- */

/* "Not now", which a program only sees if it asked for it: kernels give it for descriptors with
 * O_NONBLOCK, and under load also for others (liburing#1601). */
static void not_now(struct kula_ring *ring,
                    struct kula__uring_state *state,
                    struct kula__slot *slot)
{
    const struct kula__fd *record = kula__fd_peek(ring, slot->fd);
    bool waits = record && record->kind != KULA__FD_FILE &&
                 record->kind != KULA__FD_DIRECTORY &&
                 kula__operation_facts[slot->operation].readiness;
    if (waits) {
        *kula__uring_marks(slot) |= KULA__URING_REDONE;
        kula__uring_redo(state, slot, true);
    } else {
        kula__uring_release(state, slot);
        kula__uring_reroute(ring, state, slot);
    }
}

/* What accept(2) passes on of a connection that died while it waited: it is gone, and the next one may
 * be there. */
static bool connection_died(int32_t result)
{
    switch (-result) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
        return true;
    default:
        return false;
    }
}

static bool is_under_way(int32_t result)
{
    return result == -EINPROGRESS || result == -EALREADY;
}

/* Whether a send without a copy has failed where one with a copy need not. Seen on 6.18: -EOPNOTSUPP of
 * sockets that cannot do it (Unix), -ENOMEM where the pages are beyond RLIMIT_MEMLOCK, -EFAULT of memory that
 * can be read and not be pinned (memfd_secret, devices). Nothing was sent, and the copy's own answer counts. */
static bool wants_a_copy(const struct kula__slot *slot, int32_t result)
{
    if (!kula__uring_without_copy(slot)) {
        return false;
    }
    switch (result) {
    case -EOPNOTSUPP:
    case -EINVAL:
    case -ENOMEM:
    case -ENOBUFS:
    case -EFAULT:
        return true;
    default:
        return false;
    }
}

/* Goes on with an operation whose result is not one. */
static bool goes_on(struct kula_ring *ring,
                    struct kula__uring_state *state,
                    struct kula__slot *slot,
                    int32_t result)
{
    if (wants_a_copy(slot, result)) {
        if (result == -EOPNOTSUPP) {
            kula__fd_known(ring, slot->fd)->backend_bits |= KULA__URING_COPIES;
        }
        slot->opflags &= ~(uint32_t)KULA__MSG_ZEROCOPY;
        kula__uring_redo(state, slot, false);
        return true;
    }
    if (result == -EAGAIN || (slot->operation == KULA__OP_CONNECT && is_under_way(result))) {
        not_now(ring, state, slot);
        return true;
    }
    if (result == -EINTR || result <= KERNEL_INTERNAL ||
        (slot->operation == KULA__OP_ACCEPT && connection_died(result))) {
        *kula__uring_marks(slot) |= KULA__URING_REDONE;
        kula__uring_redo(state, slot, false);
        return true;
    }
    if (result == -ECANCELED) {
        /* Nobody has asked: the kernel could not make a worker for it (RLIMIT_NPROC; 6.18, measured),
         * and has not begun. */
        kula__uring_release(state, slot);
        kula__uring_reroute(ring, state, slot);
        return true;
    }
    /* One that has never succeeded here is refused: what the kernel says it has need not work. Done in another
     * way it also shows whether its arguments were to blame; unless the refusal may have left something
     * behind, as O_CREAT does where O_DIRECT is then found not to be possible. */
    bool may_lack = (result == -EINVAL || result == -EOPNOTSUPP) &&
                    (state->unproven >> kula__uring_proof_of(ring, slot) & 1);
    bool creates = slot->operation == KULA__OP_OPENAT && (slot->opflags & O_CREAT);
    if (may_lack && !creates) {
        kula__uring_release(state, slot);
        kula__uring_reroute(ring, state, slot);
        return true;
    }
    return false;
}

/* Whether a close that has failed was one: then the number may be somebody else's by now, and must not be
 * closed again. What the file system says of its last write may be any errno; only that the kernel had no
 * worker for it (-ECANCELED, RLIMIT_NPROC) leaves the descriptor open. */
static bool has_closed(const struct kula__slot *slot, int32_t result)
{
    return result != -ECANCELED || !kula__sys_is_open(slot->fd);
}

/* What is left to say of an operation that was asked to end. */
static int32_t stopped(const struct kula__slot *slot, int32_t result)
{
    bool stopped_midway = result == -EINTR || result == -EAGAIN || result <= KERNEL_INTERNAL ||
                          (slot->operation == KULA__OP_CONNECT && is_under_way(result)) ||
                          (slot->operation == KULA__OP_ACCEPT && connection_died(result)) ||
                          wants_a_copy(slot, result);
    return stopped_midway ? -ECANCELED : result;
}

static void fail(struct kula_ring *ring,
                 struct kula__uring_state *state,
                 struct kula__slot *slot,
                 int32_t result)
{
    if (slot->operation == KULA__OP_CLOSE && has_closed(slot, result)) {
        /* interrupted means closed */
        result = result == -EINTR || result <= KERNEL_INTERNAL ? 0 : result;
    } else if (was_asked_for(slot)) {
        result = stopped(slot, result);
    } else if (slot->operation == KULA__OP_CONNECT && result == -EISCONN &&
               (kula__uring_marks_of(slot) & KULA__URING_REDONE)) {
        result = 0; /* by the try before this one */
    } else if (goes_on(ring, state, slot, result)) {
        return;
    }
    kula__uring_end(ring, state, slot, result);
}

/* A descriptor for which an operation waits is ready, or its poll was stopped. */
static void polled(struct kula_ring *ring,
                   struct kula__uring_state *state,
                   struct kula__slot *slot,
                   int32_t result)
{
    if (was_asked_for(slot)) {
        kula__uring_end(ring, state, slot, -ECANCELED);
    } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN &&
               result > KERNEL_INTERNAL) {
        kula__uring_end(ring, state, slot, result);
    } else {
        kula__uring_redo(state, slot, result < 0);
    }
}

static void ended(struct kula_ring *ring,
                  struct kula__uring_state *state,
                  struct kula__slot *slot,
                  int32_t result)
{
    if (result < 0) {
        fail(ring, state, slot, result);
        return;
    }
    if ((kula__uring_marks_of(slot) & KULA__URING_LOOK) && !kula__uring_without_copy(slot)) {
        note_success(ring, state, slot);
    }
    kula__uring_end(ring, state, slot, result);
}

/* ---- Sends without a copy ------------------------------------------------------------------ */

/* They have two completions, failed ones too (6.18, measured; none but this opcode has): the first with the
 * result, and the second when nothing in the kernel reads the memory any more, which may be as late as the
 * peer acknowledges the bytes. The first 6.0 kernels could tell the second one first. Whether both were
 * there, and then *result is that of the first. */
static bool was_the_last(struct kula_ring *ring,
                         struct kula__uring_state *state,
                         struct kula__slot *slot,
                         uint32_t flags,
                         int32_t *result)
{
    uint64_t *marks = kula__uring_marks(slot);
    struct kula__cold *cold = kula__cold_of(slot);
    if (flags & IORING_CQE_F_MORE) {
        state->second++;
        if (*marks & KULA__URING_TOLD) {
            *marks &= ~(uint64_t)KULA__URING_TOLD;
            return true;
        }
        *marks |= KULA__URING_SENT;
        cold->scratch[0] = (uint32_t)*result;
        kula__let_go(ring, slot, *result);
        return false;
    }
    if (!(*marks & KULA__URING_SENT)) {
        *marks |= KULA__URING_TOLD;
        return false;
    }
    *result = kula__uring_first_result(slot);
    *marks &= ~(uint64_t)KULA__URING_SENT;
    cold->scratch[0] = 0; /* as kula__attempt wants it */
    return true;
}

/* ---- Whose it is --------------------------------------------------------------------------- */

static void own(struct kula_ring *ring,
                struct kula__uring_state *state,
                uint64_t user_data,
                int32_t result)
{
    uint32_t number = (uint32_t)(user_data >> 32);
    switch ((enum kula__uring_token)(user_data >> KULA__INDEX_BITS & 0xff)) {
    case KULA__URING_WAKE:
        state->wake_armed = false;
        kula__signal_clear(&ring->wake);
        break;
    case KULA__URING_TIMER:
        if (number == state->timer_number) {
            state->armed_ns = INT64_MAX;
        }
        break;
    case KULA__URING_PROOF:
        state->proof = result;
        break;
    case KULA__URING_IGNORED:
        break;
    }
}

void kula__uring_complete(struct kula_ring *ring,
                          struct kula__uring_state *state,
                          uint64_t user_data,
                          int32_t result,
                          uint32_t flags)
{
    if (kula__word_index(user_data) == 0) {
        own(ring, state, user_data, result);
        return;
    }
    struct kula__slot *slot = kula__slot_find(user_data);
    uint64_t word = slot ? kula__slot_word(slot) : 0;
    if (kula__word_holder(word) != KULA__HELD_BY_RING) {
        return; /* the answer to a cancel of an operation that has ended meanwhile */
    }
    switch (user_data - word) {
    case 0:
        ended(ring, state, slot, result);
        break;
    case KULA__STEP:
        if (kula__uring_marks_of(slot) & KULA__URING_POLL) {
            *kula__uring_marks(slot) &= ~(uint64_t)KULA__URING_POLL;
            polled(ring, state, slot, result);
        } else if (!(flags & (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF)) ||
                   was_the_last(ring, state, slot, flags, &result)) {
            ended(ring, state, slot, result);
        }
        break;
    case 2 * KULA__STEP:
        kula__uring_cancel_answered(state, slot, result);
        break;
    default:
        break; /* likewise, and the record has another operation by now */
    }
}
