/* state.h - what the files of this folder share.
 *
 * Every entry that goes to the kernel is answered by exactly one completion (nothing here is
 * multishot), but that of a send without a copy, whose first may announce a second one (`second` counts
 * those). So with no operation in flight the kernel has nothing of ours when tail + second of the queues
 * is head.
 *
 * What a completion answers to is in its user_data:
 *
 *     word                an operation, and its result ends it
 *     word + STEP         an operation whose result has to be looked at: see MARK_LOOK
 *     word + 2 * STEP     the answer to a cancel of that operation
 *     index part zero     the backend's own: enum kula__uring_token
 *
 * The word of an operation in flight is 1 modulo 4 in its generation, so that of a record that is in
 * flight none of the first three can mean another operation than the one it was meant for.
 */
#ifndef KULA_BACKENDS_URING_STATE_H
#define KULA_BACKENDS_URING_STATE_H

#include "common/calls.h"
#include "common/instruments.h"
#include "common/ring.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* Operations in an order, any of which can leave: linked by slot->next and cold->previous. */
struct kula__uring_line {
    struct kula__slot *head;
    struct kula__slot *tail;
};

/* How many regions and groups a ring can know at a time. The kernel's table has a pointer for each. */
#define KULA__URING_REGIONS_MAX 1024u
#define KULA__URING_GROUPS_MAX  256u

struct kula__uring_state {
    /* --- the submission queue --- */
    struct io_uring_sqe *sqes;
    unsigned *sq_tail; /* the kernel's view, as all pointers here */
    unsigned *sq_head;
    unsigned *sq_flags;
    uint32_t sq_mask;
    uint32_t sq_entries;
    uint32_t tail; /* ours: what has been written */
    uint32_t
        in_kernel;   /* most entries that may be without an answer: 0, no limit, with NODROP */
    uint32_t kept;   /* of these: how many are not for operations, see limit_of() */
    uint32_t direct; /* operations that fill() prepares itself: bit 1 << enum kula__operation */
    uint32_t
        nop_run; /* the natures (entry.h) of those that a round starts; 0: not one of them */
    uint32_t read_run;
    uint32_t write_run;
    /* A round may begin: no entry is unsent or has to be cleared, no line but `held` has anything, and
     * nothing limits what may be in the kernel. As wait() has left it; what may change it says so. */
    bool calm;
    const struct io_uring_sqe *sqes_end;
    int enter_fd;
    uint32_t enter_flags;

    /* --- the completion queue --- */
    uint32_t head;   /* ours: what has been harvested */
    uint32_t second; /* of these: how many had, or have, a second one to follow */
    struct io_uring_cqe *cqes;
    const struct io_uring_cqe *cqes_end;
    unsigned *cq_head;
    unsigned *cq_tail;
    uint32_t cq_mask;
    uint32_t cq_entries;

    /* --- seen less often --- */
    struct kula__uring_line again;   /* to be started again, at the next flush */
    struct kula__uring_line cancels; /* whose cancel has not been sent */
    struct kula__uring_line later;   /* asked to end often enough for now: see cancel.c */
    struct kula__uring_line held;    /* opens that wait for one to end */
    uint32_t opens;                  /* opens that may wait in the kernel's workers */
    uint32_t opens_max;              /* of all rings of the thread */
    uint32_t
        unproven;    /* operations that have not succeeded on this ring yet: bits as `direct` */
    uint8_t writes;  /* enum kula__uring_writes: of this flush */
    bool messages;   /* SENDMSG and RECVMSG are there */
    bool wake_armed; /* ring->wake is being polled */
    bool timed_enter; /* EXT_ARG */
    int32_t proof;    /* the result of the round trip at open; 1: none yet */

    /* --- memory that the kernel knows (fixed.c) --- */
    uint32_t
        fixed_first; /* the first entry that names such memory since they were last cleared */
    bool fixed_entries;                             /* there are some */
    bool table_registered;                          /* the table of regions is there */
    uint64_t fixed_count;                           /* entries that named such memory so far */
    uint64_t numbers[KULA__URING_REGIONS_MAX / 64]; /* of the table: 1 = taken */
    uint64_t groups[KULA__URING_GROUPS_MAX / 64];   /* of the groups: likewise */

    /* --- embedded mode --- */
    bool eventfd_registered;
    int64_t armed_ns;      /* when the newest timer in the kernel expires; INT64_MAX: none */
    uint32_t timer_number; /* tells the newest from those that were taken back */
    struct __kernel_timespec timer_time;

    struct io_uring ring;
};

static inline struct kula__uring_state *kula__uring_state_of(const struct kula_ring *ring)
{
    return ring->state;
}

/* ---- The backend's own completions --------------------------------------------------------- */

enum kula__uring_token {
    KULA__URING_PROOF = 1, /* the round trip at open */
    KULA__URING_WAKE,      /* ring->wake is readable */
    KULA__URING_TIMER,     /* the earliest expiry, in embedded mode */
    KULA__URING_IGNORED,   /* answers to what is asked of the above */
};

static inline uint64_t kula__uring_token(enum kula__uring_token token, uint32_t number)
{
    return (uint64_t)number << 32 | (uint64_t)token << KULA__INDEX_BITS;
}

/* ---- Marks: what this backend knows of a single operation ----------------------------------- */

/* They are kept in cold->scratch[1], and valid only while scratch[2] is the operation's word, so that
 * an operation that goes the short way never touches its cold record. The two that something else
 * depends on, UNSENT and OPEN, belong to operations that cannot end the short way: one is cancelled,
 * the result of the other is a descriptor. */
enum kula__uring_mark {
    KULA__URING_LOOK = 1 << 0,   /* the kernel knows it as word + STEP */
    KULA__URING_POLL = 1 << 1,   /* and what the kernel has is a poll for it, not itself */
    KULA__URING_AGAIN = 1 << 2,  /* it is in state->again */
    KULA__URING_UNSENT = 1 << 3, /* it is in state->cancels */
    KULA__URING_HELD = 1 << 4,   /* it is in state->held */
    KULA__URING_OPEN = 1 << 5,   /* it counts in state->opens */
    KULA__URING_TRIED = 1 << 6,  /* kula__attempt may have left something behind */
    KULA__URING_REDONE = 1 << 7, /* the kernel has had it before */
    KULA__URING_LATER = 1 << 8,  /* it is in state->later */
    KULA__URING_SENT = 1 << 9,   /* its first completion was there: scratch[0] is the result */
    KULA__URING_TOLD = 1 << 10,  /* its second one was there, before the first */
};
#define KULA__URING_COUNT_SHIFT \
    32 /* above: how often it had to be started or cancelled again */

static inline uint64_t kula__uring_marks_of(const struct kula__slot *slot)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    return cold->scratch[2] == kula__slot_word(slot) ? cold->scratch[1] : 0;
}

static inline uint64_t *kula__uring_marks(struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    if (cold->scratch[2] != kula__slot_word(slot)) {
        cold->scratch[2] = kula__slot_word(slot);
        cold->scratch[1] = 0;
        cold->scratch[0] = 0; /* as kula__attempt wants it */
    }
    return &cold->scratch[1];
}

/* The result of an operation that is marked SENT. */
static inline int32_t kula__uring_first_result(const struct kula__slot *slot)
{
    return (int32_t)(uint32_t)kula__cold_of(slot)->scratch[0];
}

/* One more start or cancel; how many that makes. */
static inline uint32_t kula__uring_count(struct kula__slot *slot)
{
    uint64_t *marks = kula__uring_marks(slot);
    *marks += UINT64_C(1) << KULA__URING_COUNT_SHIFT;
    return (uint32_t)(*marks >> KULA__URING_COUNT_SHIFT);
}

/* Whether the kernel has something for us that it will only do in a call that waits. */
static inline bool kula__uring_wants_us(const struct kula__uring_state *state)
{
    return IO_URING_READ_ONCE(*state->sq_flags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* Whether a send goes to the ring without a copy: only one that can still has the flag there. */
static inline bool kula__uring_without_copy(const struct kula__slot *slot)
{
    return slot->operation == KULA__OP_SEND && (slot->opflags & KULA__MSG_ZEROCOPY);
}

/* kula__fd.backend_bits */
#define KULA__URING_COPIES 1u /* this socket has said that it can only send copies */

/* How many entries have been written and not been taken. */
static inline uint32_t kula__uring_unsent(const struct kula__uring_state *state)
{
    /* a plain load: the kernel moves its head only while we are inside enter */
    return state->tail - IO_URING_READ_ONCE(*state->sq_head);
}

/* Whether writes may meet a limit for the size of files (RLIMIT_FSIZE): asked once for each flush that has
 * some. */
enum kula__uring_writes {
    KULA__URING_WRITES_UNKNOWN,
    KULA__URING_WRITES_FREE,
    KULA__URING_WRITES_LIMITED,
};

/* ---- round.c ---- */

int kula__uring_round(struct kula_ring *ring, int64_t timeout_ns);

/* Lands what can be landed of the completions before `tail`. */
void kula__uring_land(struct kula_ring *ring, struct kula__uring_state *state, uint32_t tail);

/* ---- queue.c ---- */

/* From now on these operations (bits as `direct`) need no more than their entry. */
void kula__uring_allow(struct kula__uring_state *state, uint32_t operations);

/* A zeroed entry at the tail of the submission queue, or NULL when that is full. The caller fills it,
 * and it goes out with the next enter. */
struct io_uring_sqe *kula__uring_entry(struct kula__uring_state *state);

/* The flags of an entry that writes to a file. */
uint8_t kula__uring_write_flags(struct kula__uring_state *state);

/* How many entries the submission queue has room for. */
uint32_t kula__uring_room(const struct kula__uring_state *state);

/* io_uring_enter for what is in the submission queue. Returns what the call does; what was consumed is
 * told by the queue's head. timeout_ns as in wait(); 0 does not sleep. */
int kula__uring_enter(struct kula__uring_state *state,
                      uint32_t min_complete,
                      int64_t timeout_ns);

/* Ends what has completed. */
void kula__uring_harvest(struct kula_ring *ring, struct kula__uring_state *state);

/* Sends everything that is pending or queued. 0, or -EBADR. */
int kula__uring_flush(struct kula_ring *ring, struct kula__uring_state *state);

/* Whether there is something for the kernel, or something that it would have us come for. */
bool kula__uring_has_more(const struct kula_ring *ring, const struct kula__uring_state *state);
bool kula__uring_has_completions(const struct kula__uring_state *state);

/* Polls ring->wake if that is not yet so. False: no room in the queue now. */
bool kula__uring_watch_wake(struct kula_ring *ring, struct kula__uring_state *state);

int kula__uring_submit(struct kula_ring *ring);
int kula__uring_wait(struct kula_ring *ring, int64_t timeout_ns);

/* ---- prepare.c ---- */

/* The opcode that an operation needs, or -1 if it never goes to the ring. */
int kula__uring_opcode(enum kula__operation operation);

/* Fills an entry for an operation, but for its user_data. */
void kula__uring_prepare(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe);

/* ---- start.c ---- */

/* Starts the operation at the head of ring->pending in whatever way it goes. There must be room for
 * one entry. */
void kula__uring_start(struct kula_ring *ring, struct kula__uring_state *state);

/* Sends what waits in the backend's own lines, as far as there is room. */
void kula__uring_resume(struct kula_ring *ring, struct kula__uring_state *state);

/* Lets an operation that the kernel has given back start again: itself, or a poll for it first. */
void kula__uring_redo(struct kula__uring_state *state,
                      struct kula__slot *slot,
                      bool poll_first);

/* Gives an operation that the ring could not do to the next best: readiness, a worker, this thread. */
void kula__uring_reroute(struct kula_ring *ring,
                         struct kula__uring_state *state,
                         struct kula__slot *slot);

/* The kernel is done with an operation, whatever comes next: drops its marks. */
void kula__uring_release(struct kula__uring_state *state, struct kula__slot *slot);

/* Lets an open that was held start, if there may be one more now. */
void kula__uring_let_open(struct kula__uring_state *state);

/* Releases an operation and ends it. */
void kula__uring_end(struct kula_ring *ring,
                     struct kula__uring_state *state,
                     struct kula__slot *slot,
                     int32_t result);

/* The way that an operation goes where it cannot go to the ring, an enum kula_route. */
uint8_t kula__uring_detour(enum kula__operation operation);

/* Whether an open may have to wait for somebody else: see prepare_openat. */
bool kula__uring_open_may_wait(const struct kula__slot *slot);

/* ---- fixed.c ---- */

/* What the kernel can do with memory that it knows: bits for ring->features. */
uint64_t kula__uring_memory_features(struct kula__uring_state *state);

/* The backend's entry `memory`. */
int kula__uring_memory(struct kula_ring *ring,
                       enum kula__memory_notice notice,
                       struct kula__region *region);

/* Gives up everything that was registered. Nothing may be in flight. */
void kula__uring_memory_close(struct kula__uring_state *state);

/* Turns the entry of a read or a write at the tail of the queue into one that names registered memory, if
 * the operation's is. */
void kula__uring_use_fixed(const struct kula_ring *ring,
                           const struct kula__slot *slot,
                           struct io_uring_sqe *sqe);

/* Clears what such entries have behind user_data, once the kernel has read them. */
void kula__uring_clear_fixed(struct kula__uring_state *state);

/* ---- complete.c ---- */

/* The operation whose success shows that what this one needs of the kernel works: a read of a socket
 * is a receive. */
uint32_t kula__uring_proof_of(const struct kula_ring *ring, const struct kula__slot *slot);

/* A completion that harvest() could not deal with itself. */
void kula__uring_complete(struct kula_ring *ring,
                          struct kula__uring_state *state,
                          uint64_t user_data,
                          int32_t result,
                          uint32_t flags);

/* ---- cancel.c ---- */

int kula__uring_cancel(struct kula_ring *ring, struct kula__slot *slot);

/* Writes the entries of the cancels that have not been sent, as far as there is room. */
void kula__uring_send_cancels(struct kula__uring_state *state);

/* Looks again after what only time helps: cancels that find nothing, opens that others of the thread keep
 * from starting. Once for each wait. */
void kula__uring_look_again(struct kula__uring_state *state);

/* How long a wait may sleep before that has to be done again; `timeout_ns` if not at all. */
int64_t kula__uring_patience(const struct kula__uring_state *state, int64_t timeout_ns);

/* What the kernel said to one. */
void kula__uring_cancel_answered(struct kula__uring_state *state,
                                 struct kula__slot *slot,
                                 int32_t result);

void kula__uring_line_append(struct kula__uring_line *line, struct kula__slot *slot);
void kula__uring_line_remove(struct kula__uring_line *line, struct kula__slot *slot);

/* ---- embed.c ---- */

int kula__uring_pollable(struct kula_ring *ring);
void kula__uring_settle(struct kula_ring *ring, int64_t expiry_ns);

#endif
