/* submit.h - from the program's call to the pending list.
 *
 * kula_read and its like take the record (take_*), fill it in, and admit it. Admitting checks the
 * descriptor, pins it, and finds the operation its place: pending, a lane of its descriptor, or, when
 * something is wrong, the list of the refused, whose events come like all others.
 */
#ifndef KULA_COMMON_SUBMIT_H
#define KULA_COMMON_SUBMIT_H

#include "ring.h"
#include "watch.h"

/* A record for an operation without a buffer, held by the ring and counted; NULL when the ring's limit
 * is reached, there is no memory, or the caller is not the owner (reported). For close_fd `reserved`
 * may use the last few that are kept back. Slow part of kula__operation_take. */
struct kula__slot *kula__operation_make(struct kula_ring *ring,
                                        const char *name,
                                        bool reserved);

static inline struct kula__slot *kula__operation_take(struct kula_ring *ring, const char *name)
{
    struct kula__slot *slot;
    if (kula__unlikely(!kula__is_owner(ring) || !(slot = ring->free_operations))) {
        return kula__operation_make(ring, name, false);
    }
    ring->free_operations = slot->next;
    ring->in_flight++;
    return slot;
}

/* What becomes of a hand-over that cannot be: reported, and if a live buffer is at stake it travels to
 * the ring's inbox and comes out there with -EPERM. Returns what the public call returns. */
kula_op kula__hand_over_refused(struct kula_ring *ring,
                                uint64_t word,
                                enum kula__operation operation,
                                void *user);

/* Takes whatever the handle names from the program; NULL: it is not the program's. Only then is the
 * record ours to look at, and what is of the wrong kind has to be handed back. */
static inline struct kula__slot *kula__slot_take(uint64_t word)
{
    struct kula__slot *slot = kula__slot_find(word);
    if (kula__unlikely(
            (KULA__VALIDATES && (!slot || kula__word_holder(word) != KULA__HELD_BY_PROGRAM)) ||
            !kula__word_hand_over(slot, word))) {
        return NULL;
    }
    return slot;
}

/* What there is to do with one that is no plain buffer; false: it is of the wrong kind. */
bool kula__hand_over_special(struct kula__slot *slot,
                             enum kula__kind wanted,
                             enum kula__operation operation,
                             const void *place);

/* Takes a buffer, reference or vec from the program for an operation, at `place` (KULA__PLACE); NULL: use
 * kula__hand_over_refused. */
static inline struct kula__slot *kula__hand_over(struct kula_ring *ring,
                                                 uint64_t word,
                                                 enum kula__kind wanted,
                                                 enum kula__operation operation,
                                                 const void *place)
{
    struct kula__slot *slot;
    if (kula__unlikely(!kula__is_owner(ring) || !(slot = kula__slot_take(word)))) {
        return NULL;
    }
    if (kula__unlikely((wanted != KULA__KIND_BUFFER || slot->kind > KULA__KIND_LARGE) &&
                       !kula__hand_over_special(slot, wanted, operation, place))) {
        kula__word_hand_back(slot, word);
        return NULL;
    }
    kula__slot_claim(slot, ring->id);
    ring->in_flight++;
    return slot;
}

/* Puts an operation that may start on the pending list. */
static inline void kula__pend(struct kula_ring *ring, struct kula__slot *slot)
{
    kula__list_append(&ring->pending, slot);
}

/* Ends an operation that nobody has started: its event comes after the next flush. From here on it
 * cannot be cancelled or time out any more. */
void kula__refuse(struct kula_ring *ring, struct kula__slot *slot, int32_t error);

/* Same, for one that names a descriptor which it has not pinned. */
void kula__refuse_unpinned(struct kula_ring *ring, struct kula__slot *slot, int32_t error);

/* An operation of the descriptor of `record` is over: the last one starts a close that waits. */
void kula__unpin(struct kula_ring *ring, struct kula__fd *record, int fd);

/* Takes what must not start (cancelled, or waiting for a predecessor) out of the pending list. */
void kula__sift(struct kula_ring *ring);

/* Checks and pins slot->fd and admits the operation. With a transfer (facts.transfer) the rules for
 * positions, zero length and lanes are applied. */
void kula__admit(struct kula_ring *ring, struct kula__slot *slot);

/* What is left to do for a transfer whose record is filled in, except for its length: checks that and
 * the offset, and admits it. Returns `operation`, its name. (operations.c) */
kula_op kula__admit_transfer(struct kula_ring *ring,
                             struct kula__slot *slot,
                             size_t length,
                             kula_op operation);

/* What recv and send have for an offset: one that no transfer has makes the refusal for unknown
 * msg_flags the one for bad offsets. (operations.c) */
int64_t kula__message_offset(enum kula__operation operation, int msg_flags);

/* Whether msg_flags ask for everything. Newer rings go on by themselves for MSG_WAITALL, readiness loops
 * cannot: the library does it for all of them, as KULA_FULL. Peeking moves nothing, so there is nothing to
 * go on with. (operations.c) */
bool kula__message_is_full(enum kula__operation operation, int msg_flags);

/* Finds a place for an operation that is pinned and waits for nothing more: start of a timer, of a
 * close, a lane, or pending. */
void kula__place(struct kula_ring *ring, struct kula__slot *slot);

/* Gives a record of the operation table back; its word says free. */
static inline void kula__operation_free(struct kula_ring *ring, struct kula__slot *slot)
{
    /* A ring that is being closed has no free ones, so that handing over goes the slow way. */
    struct kula__slot **list =
        kula__unlikely(ring->closing_down) ? &ring->spare_operations : &ring->free_operations;
    slot->next = *list;
    *list = slot;
}

/* Takes an operation out of its lane or the late list (KULA__QUEUED). */
void kula__unqueue(struct kula_ring *ring, struct kula__slot *slot);

/* The transfer under way in a lane is over: the next one gets its turn. */
void kula__lane_release(struct kula_ring *ring, struct kula__slot *slot);

/* Whether an operation is on the pending list. Slow but for the newest. */
bool kula__is_pending(const struct kula_ring *ring, const struct kula__slot *slot);

/* Whether an operation has been handed over since the last flush, or waits for something and was. */
bool kula__is_fresh(const struct kula_ring *ring, const struct kula__slot *slot);

/* Everything that a flush has to do before the backend starts the pending ones. */
void kula__chores(struct kula_ring *ring);

/* ---- wait.c ---- */
/* One round of the machine: what the flush has to do, the backend's turn, what other threads
 * brought. Timers are the caller's. 0 or -EBADR. */
int kula__drive(struct kula_ring *ring, int64_t sleep_ns);
/* Embedded mode, before the program's own loop sleeps for us: whoever pushes from now on signals, and
 * the descriptor is readable exactly if there is something to come for. */
void kula__rest(struct kula_ring *ring);
/* Ends the event that was pulled last, as the next kula_next would. */
void kula__event_end(struct kula_ring *ring);

/* ---- close.c ---- */
/* Lets an operation wait for the result of the close of its descriptor that runs. */
void kula__late_join(struct kula_ring *ring, struct kula__fd *record, struct kula__slot *slot);
/* Whether a close was handed over, so that what is handed over after it ends in -EBADF. */
bool kula__fd_is_going(const struct kula__fd *record);
/* A close that waits for nothing more is announced. */
void kula__close_begin(struct kula_ring *ring, struct kula__slot *slot);
void kula__close_run(struct kula_ring *ring, struct kula__fd *record, int fd);
void kula__close_done(struct kula_ring *ring, struct kula__slot *slot);
/* Pins the operations that were admitted without: positional ones on files. */
void kula__fd_pin(struct kula_ring *ring, struct kula__fd *record, int fd);
void kula__closing_ask(struct kula_ring *ring); /* asks the operations of new closes to end */

/* ---- chain.c ---- */
void kula__chain_end(struct kula_ring *ring, struct kula__slot *slot, bool well);
void kula__chain_leave(struct kula__slot *slot);

/* ---- cancel.c ---- */
/* `why` is KULA__CANCEL or KULA__TIMED_OUT. 0 or -EALREADY. */
int kula__cancel_slot(struct kula_ring *ring, struct kula__slot *slot, uint16_t why);
uint32_t kula__cancel_everything(struct kula_ring *ring);
/* Asks for the end of all operations on memory that is lent to a scope. */
void kula__cancel_scope(struct kula_ring *ring, const struct kula__slot *scope);
/* Asks once more for what the backend was asked before: a cancel that comes while the kernel moves an
 * operation from one queue to another finds nothing (-ENOENT), and must not be the last word. A NULL
 * scope: all operations of the ring. Not while there is something that the backend has not seen. */
void kula__cancel_again(struct kula_ring *ring, const struct kula__slot *scope);
void kula__expire(struct kula_ring *ring);
/* Starts the clock of a timer operation (scratch[0] = its duration). */
void kula__timer_start(struct kula_ring *ring, struct kula__slot *slot);

/* The operation that `op` names in this ring, in flight and not detached; or finished and not pulled
 * (done); or NULL. */
struct kula__slot *kula__operation_find(const struct kula_ring *ring, kula_op op);
struct kula__slot *kula__operation_done(const struct kula_ring *ring, kula_op op);

/* What has landed of an operation, not pulled yet; NULL when it is not there. */
struct kula__landed *kula__landed_find(const struct kula_ring *ring, kula_op op);

/* The record of its buffer; NULL when it had none, or somebody has guessed its name and taken it. */
struct kula__slot *kula__landed_slot(const struct kula__landed *landed);

/* Its event will not be pulled: its buffer goes home. */
void kula__landed_drop(struct kula_ring *ring, const struct kula__landed *landed);

#endif
