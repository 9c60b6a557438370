/* slot.h - records: every buffer, and every operation under way, is one of them.
 *
 * All records of the process live in one two-level table that is never unmapped, so that any 64-bit
 * value at all can be checked without touching memory that is not ours. The state of a record is
 * one word, and that word *is* the only handle that is valid at the moment:
 *
 *     word = generation << 24 | index          index 1..2^24-1, 0 is never used
 *
 * The generation grows by one at every change of hands and says, modulo 4, who has the record:
 *
 *     0  the program        its kula_buf or kula_vec is this very word
 *     1  the ring           its kula_op is this word; for uring it is user_data as well
 *     2  done, not taken    the event has been, or will be, pulled
 *     3  nobody             free
 *
 * So to validate a handle is to compare it with the word, and to hand it over is one
 * compare-and-swap from w to w + KULA__STEP. Two values would not do: with "done" told apart from
 * "in flight", a forged or early event can never give out memory that the kernel still has.
 * The generation stands above the index so that it wraps by itself; it starts at 2^39, which makes
 * a handle an address that no program can own.
 *
 *     alloc      3 -> 0            submit   0 -> 1       finish        1 -> 2
 *     operation  3 -> 1            take     2 -> 0       recycle       2 -> 3
 *     free       0 -> 3            undo     1 -> 3 (a vec's member that goes straight home),
 *                                           1 -> 0 (a handle of the wrong kind)
 *
 * These arrows are the functions kula__word_*() below. Nothing else writes the word but what makes the table
 * (slot.c), and what a child of fork() does to all of its parent's at once (kula__slots_retire).
 */
#ifndef KULA_COMMON_SLOT_H
#define KULA_COMMON_SLOT_H

#include "operation.h"

#include <kula.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether glibc (2.32 and later) says that no second thread has ever been started. A locked instruction
 * takes about 18 cycles, whatever stands around it, and without a second thread it finds nothing
 * that a compare does not. Frama-C proves both ways. */
#if defined __has_include && !defined KULA_NO_LINUX && !defined __FRAMAC__
#    if __has_include(<sys/single_threaded.h>)
#        include <sys/single_threaded.h>
#        define KULA__SINGLE_THREADED (__libc_single_threaded != 0)
#    endif
#endif
#ifndef KULA__SINGLE_THREADED
#    define KULA__SINGLE_THREADED false
#endif

#define KULA__INDEX_BITS 24
#define KULA__STEP       (UINT64_C(1) << KULA__INDEX_BITS)
#define KULA__INDEX_MASK (KULA__STEP - 1)

#define kula__likely(condition)   __builtin_expect(!!(condition), 1)
#define kula__unlikely(condition) __builtin_expect(!!(condition), 0)

/* The run-time check, which is always on. The bench alone has a library without it (KULA_UNCHECKED), to
 * show what it costs: there the questions below have the answer that a right program gets. */
#ifdef KULA_UNCHECKED
#    define KULA__VALIDATES false
#else
#    define KULA__VALIDATES true
#endif

enum kula__holder {
    KULA__HELD_BY_PROGRAM = 0,
    KULA__HELD_BY_RING = 1,
    KULA__HELD_BY_EVENT = 2,
    KULA__HELD_BY_NOBODY = 3,
};

/* What a record is. Zero: never used. The kinds of exclusive buffers come first, the plain ones before
 * the others, so that a short way asks one question. */
enum kula__kind {
    KULA__KIND_NONE = 0,
    KULA__KIND_BUFFER, /* a plain buffer of a size class; home: its pool */
    KULA__KIND_LARGE,  /* a plain buffer with a mapping of its own; home: its pool */
    KULA__KIND_SPECIAL, /* an exclusive buffer of any other sort: see cold->memory, cold->traits */
    KULA__KIND_REF,     /* a counted reference to memory that is shared; home: a pool */
    KULA__KIND_VEC,     /* a list of buffers; home: its pool */
    KULA__KIND_OPERATION, /* an operation without a buffer; home: the ring's operation table */
    KULA__KIND_MESSAGE,   /* a message without a buffer; home: the receiving ring */
    KULA__KIND_CLOSE, /* the close of a descriptor; home: its descriptor, or as an operation */
    KULA__KIND_LENT,  /* a transfer of memory that is lent (borrow.c); home: as an operation */
    KULA__KIND_SCOPE, /* a kula_scope, held by the program; home: as an operation */
};

/* What has to be looked at when an operation ends, or is cancelled. No bit set and a result that is
 * not negative: the short way home. */
enum kula__attention {
    KULA__ORDERED = 1 << 0,   /* it is the stream transfer under way in its descriptor's lane */
    KULA__QUEUED = 1 << 1,    /* it waits its turn in that lane */
    KULA__FULL = 1 << 2,      /* KULA_FULL: cold->progress counts what has moved */
    KULA__NOWAIT = 1 << 3,    /* KULA_NOWAIT */
    KULA__UNORDERED = 1 << 4, /* KULA_UNORDERED */
    KULA__REGARDLESS = 1 << 5,  /* KULA_REGARDLESS */
    KULA__AFTER = 1 << 6,       /* it waits for cold->predecessor */
    KULA__BEFORE = 1 << 7,      /* others wait for it: cold->successors */
    KULA__DEADLINE = 1 << 8,    /* it is in the timer heap at cold->heap_position */
    KULA__TIMED_OUT = 1 << 9,   /* its deadline has asked for its end */
    KULA__CANCEL = 1 << 10,     /* the program has asked for its end */
    KULA__DETACHED = 1 << 11,   /* no event: recycle when it ends */
    KULA__DESCRIPTOR = 1 << 12, /* a result that is not negative is a descriptor */
    KULA__BLOCK = 1 << 13,      /* cold->block belongs to it */
    KULA__POOLED = 1 << 14,     /* a worker has it, or will: cancel goes there */
    KULA__PINNED = 1 << 15,     /* it counts in its descriptor's pins */
};
#define KULA__ATTENTION_AT_END                                                                 \
    (KULA__ORDERED | KULA__QUEUED | KULA__FULL | KULA__AFTER | KULA__BEFORE | KULA__DEADLINE | \
     KULA__TIMED_OUT | KULA__CANCEL | KULA__DETACHED | KULA__DESCRIPTOR | KULA__PINNED)

/* In the place of a send's descriptor: its result is certain, it names no descriptor any more, and only the
 * kernel's use of the memory keeps it from its end. See kula__let_go(). */
#define KULA__FD_LET_GO (-2)

/* How the memory of a buffer goes home (memory.c). */
enum kula__memory {
    KULA__MEMORY_NONE = 0, /* it is the parent's, or constant: nothing to do */
    KULA__MEMORY_CLASSED,  /* cut from a region of its home pool, stays with the record */
    KULA__MEMORY_LARGE,    /* a mapping of its own */
    KULA__MEMORY_VOUCHED,  /* the program's: a function is told */
    KULA__MEMORY_REGION,   /* a region of its own */
    KULA__MEMORY_POOL,     /* cut from a region of a kula_pool */
};

/* What else there is to know about it. */
enum kula__trait {
    KULA__SHARED = 1 << 0,     /* `users` counts: parts and references depend on it */
    KULA__WATCHED = 1 << 1,    /* checked mode follows it */
    KULA__REGISTERED = 1 << 2, /* a ring's kernel side knows it */
    KULA__WIPED = 1 << 3,      /* zeroed on its way home */
    KULA__PART = 1 << 4,       /* cut off its parent by kula_split */
};

/* The hot record: one cache line. While it is in flight `next` is whoever's list it is in: pending,
 * a lane of a descriptor, a backend's own, the workers', done. */
struct kula__slot {
    _Atomic uint64_t word; /* see above */
    uint8_t operation;     /* enum kula__operation */
    uint8_t kind;          /* enum kula__kind */
    uint16_t attention;    /* enum kula__attention */
    int32_t fd;            /* descriptor, -1, or KULA__FD_LET_GO */
    union {
        int64_t offset; /* in flight: KULA_CUR or a position; socket: the protocol */
        struct {        /* done */
            int32_t result;
            uint32_t event_flags;
        };
    };
    union {
        unsigned char *data; /* buffers: first byte after the window; LENT: the program's */
        kula_offload_fn function; /* offload */
    };
    uint32_t
        length; /* bytes to move; readv, writev: count of cold->block's iovecs; openat: mode;
                       * bind, connect: bytes of the address; socket: domain; SCOPE: how many of
                       * its operations are not over */
    uint32_t
        opflags; /* recv, send: msg_flags; openat, statx: flags; poll: events; socket: type;
                       * listen: backlog; shutdown: how */
    void *user;
    struct kula__slot *next;
    uint32_t capacity; /* buffers: bytes from data on */
    _Atomic uint32_t
        ring_id; /* the ring that has it, else 0: written by that ring's owner only, so
                               * that the owner may look for its own among everybody's records */
};

#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct kula__slot) == 64, "a record is one cache line");
#endif

/* By the operation as well: an open may have any negative number for its directory. */
static inline bool kula__is_let_go(const struct kula__slot *slot)
{
    return slot->operation == KULA__OP_SEND && slot->fd == KULA__FD_LET_GO;
}

/* Whether a record may stand where `wanted` is: BUFFER stands for all exclusive buffers. */
static inline bool kula__kind_fits(const struct kula__slot *slot, enum kula__kind wanted)
{
    return wanted == KULA__KIND_BUFFER ? slot->kind <= KULA__KIND_SPECIAL
                                       : slot->kind == wanted;
}

/* Whether it may lie in memory that a ring's kernel side knows: see kula__region_known(). */
static inline bool kula__kind_may_be_known(const struct kula__slot *slot)
{
    return slot->kind == KULA__KIND_SPECIAL || slot->kind == KULA__KIND_REF;
}

/* The cold record, under the same index: only what an attention bit, or the kind, says is valid. */
struct kula__cold {
    void *block;                   /* BLOCK: address, path, iovecs, stat (see block.h) */
    void *argument;                /* offload: its argument */
    struct kula__slot *successors; /* BEFORE: linked by next_successor */
    struct kula__slot *next_successor;
    struct kula__slot *predecessor; /* AFTER */
    int64_t expiry_ns;              /* DEADLINE or timer: when, monotonic */
    uint32_t heap_position;
    uint32_t progress;        /* FULL: bytes moved by earlier pieces */
    int32_t error;            /* done with KULA_EVENT_ERROR */
    uint32_t transfer_length; /* FULL, and vectored: bytes that were asked for at first */
    uint32_t epoch;           /* QUEUED, AFTER: the flush before which it was handed over */

    unsigned char *base;    /* buffers: first byte of the whole */
    uint32_t base_capacity; /* buffers: what was asked for, less what was cut off */
    uint8_t memory;         /* buffers, references: enum kula__memory */
    uint8_t traits;         /* enum kula__trait; none in a plain buffer, or in a pool */
    _Atomic uint64_t users; /* SHARED: who depends on this record: see memory.h */
    struct kula__slot *
        parent; /* whose memory it is, when it is not its own, else NULL; it counts in its users */
    void *
        keeper; /* VOUCHED: the function's argument; REGION, POOL: the region; LENT: the record of its
                   * scope, or NULL */
    kula_release_fn release; /* VOUCHED: the function, or NULL */
    uint32_t
        size_class; /* CLASSED: which list of the pool; LARGE, REGION: bytes mapped / 4096; VOUCHED: bytes;
                     * POOL: the how-manieth of its region */

    struct kula__slot *vec_first; /* VEC: members, linked by next */
    struct kula__slot *vec_last;
    uint32_t vec_count;
    int32_t vec_error; /* VEC: 0, or what the operation will end in */

    uint64_t scratch[3]; /* the backend's, while it has the operation; undefined at the start */
    atomic_bool stop;    /* connect: a worker that waits to try again shall not */
    struct kula__slot *previous; /* the backend's: a second link where a list needs one */

    /* buffers, references: from the kernel's address of a byte to the program's. Not 0 only where
     * checked mode maps memory twice */
    ptrdiff_t alias;
    /* checked mode, see watch.c */
    const char
        *_Atomic last_function; /* what the last hand-over was, and where: any thread reads */
    _Atomic uintptr_t last_place;
    uint64_t checksum;    /* of the bytes, while they are being written or sent */
    uint32_t front;       /* bytes before base that belong to it as well */
    uint32_t whole;       /* base_capacity, before anything was split off */
    uint32_t vec_counted; /* VEC: bytes of the result that are in members taken so far */
    uint16_t fiber;       /* away, with ThreadSanitizer */
    uint8_t away;         /* enum kula__transfer, and one more */
};

/* ---- The table ---------------------------------------------------------------------------- */

#if UINTPTR_MAX == UINT64_MAX
#    define KULA__SLAB_COUNT 4096u
#else
#    define KULA__SLAB_COUNT 16u /* a handle has 16 bits of index */
#endif
#define KULA__SLAB_SLOTS  4096u
#define KULA__CHUNK_SLOTS 256u /* records are given to rings and pools in chunks */

extern struct kula__slot *_Atomic kula__slabs[KULA__SLAB_COUNT];
extern struct kula__cold *_Atomic kula__cold_slabs[KULA__SLAB_COUNT];

static inline uint32_t kula__word_index(uint64_t word)
{
    return (uint32_t)(word & KULA__INDEX_MASK);
}

static inline uint64_t kula__word_generation(uint64_t word)
{
    return word >> KULA__INDEX_BITS;
}

static inline enum kula__holder kula__word_holder(uint64_t word)
{
    return (enum kula__holder)((word >> KULA__INDEX_BITS) & 3);
}

/* The record of an index that is known to exist. */
static inline struct kula__slot *kula__slot_at(uint32_t index)
{
    /* relaxed: the index was published after its slab, by whoever handed it to this thread */
    struct kula__slot *slab =
        atomic_load_explicit(&kula__slabs[index / KULA__SLAB_SLOTS], memory_order_relaxed);
    return slab + index % KULA__SLAB_SLOTS;
}

/* The record that any 64-bit value at all would name. It may be free, another's or nobody's, and then its
 * word is another. NULL only for an index that this machine's table does not have, which none with 64
 * bits does: there the compiler knows it. */
static inline struct kula__slot *kula__slot_find(uint64_t word)
{
    uint32_t index = kula__word_index(word);
    if (kula__unlikely(index / KULA__SLAB_SLOTS >= KULA__SLAB_COUNT)) {
        return NULL;
    }
    /* acquire: pairs with the release that published the slab; the index may be made up */
    struct kula__slot *slab =
        atomic_load_explicit(&kula__slabs[index / KULA__SLAB_SLOTS], memory_order_acquire);
    if (!slab) {
        __builtin_unreachable(); /* see table_begin() */
    }
    return slab + index % KULA__SLAB_SLOTS;
}

/* relaxed: whoever asks has the record, so nobody else is writing its word */
static inline uint64_t kula__slot_word(const struct kula__slot *slot)
{
    return atomic_load_explicit(&slot->word, memory_order_relaxed);
}

static inline uint32_t kula__slot_index(const struct kula__slot *slot)
{
    return kula__word_index(kula__slot_word(slot));
}

static inline struct kula__cold *kula__cold_of(const struct kula__slot *slot)
{
    uint32_t index = kula__slot_index(slot);
    struct kula__cold *slab =
        atomic_load_explicit(&kula__cold_slabs[index / KULA__SLAB_SLOTS], memory_order_relaxed);
    return slab + index % KULA__SLAB_SLOTS;
}

/* relaxed: only the ring that it names compares it, on the thread that wrote it */
static inline void kula__slot_claim(struct kula__slot *slot, uint32_t ring_id)
{
    atomic_store_explicit(&slot->ring_id, ring_id, memory_order_relaxed);
}

static inline bool kula__slot_is_with(const struct kula__slot *slot, uint32_t ring_id)
{
    return atomic_load_explicit(&slot->ring_id, memory_order_relaxed) == ring_id;
}

/* Makes sure that the first records exist, so that kula__slot_at() may be asked for index 0. */
bool kula__slots_init(void);

/* Gives `home` a chunk of KULA__CHUNK_SLOTS records; the index of the first one, or 0 when there is
 * no memory or no index left. Their words may be 0 (never used) or free. Thread: any. */
uint32_t kula__chunk_take(void *home);

/* Gives a chunk back. All its records must be free. Thread: any. */
void kula__chunk_return(uint32_t first_index);

/* Whom the chunk of a record belongs to. Thread: whoever has the record. */
void *kula__slot_home(uint32_t index);

/* The chunks of one home, and the watermark in the newest: records are handed out of it one by one,
 * so that what is never used is never touched. Zeroed = empty. */
struct kula__chunks {
    uint32_t *first_index;
    uint32_t count;
    uint32_t capacity;
    uint32_t next; /* index of the next record that was never handed out */
    uint32_t left; /* how many there are from it on */
};

/* A record that its home has never handed out before, free; NULL when there is no memory. */
struct kula__slot *kula__chunks_slot(struct kula__chunks *set, void *home);

/* Gives all chunks back; their records must be free. */
void kula__chunks_fini(struct kula__chunks *set);

/* Calls `visit` for every record that exists and that this ring has had last. Slow: for cancelling
 * and listing. The visitor may end operations. Thread: the ring's owner. */
void kula__slots_visit(uint32_t ring_id,
                       void (*visit)(struct kula__slot *slot, void *arg),
                       void *arg);

/* Ends all that has come with the copy of the table that a child of fork() got: every handle, operation
 * and event of the parent's is stale in the child from then on, and no record of it is ever given out
 * there. Before the child takes its first record. */
void kula__slots_retire(void);

/* Keep the table still while fork() copies it. */
void kula__slots_lock(void);
void kula__slots_unlock(void);

/* ---- The one place where the word changes -------------------------------------------------- */

/* never used -> free: the first use of a record starts its generation. Plain load and store, here and
 * in the next two: a free record is known only to its home. */
static inline void kula__word_begin(struct kula__slot *slot, uint32_t index)
{
    if (kula__slot_word(slot) == 0) {
        uint64_t word =
            (UINT64_C(1) << 63) | (uint64_t)KULA__HELD_BY_NOBODY << KULA__INDEX_BITS | index;
        atomic_store_explicit(&slot->word, word, memory_order_relaxed);
    }
}

/* free -> held by the program. Returns the handle. */
static inline uint64_t kula__word_allocate(struct kula__slot *slot)
{
    uint64_t word = kula__slot_word(slot) + KULA__STEP;
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
    return word;
}

/* free -> held by the ring, for operations without a buffer. Returns the operation's name. */
static inline uint64_t kula__word_start(struct kula__slot *slot)
{
    uint64_t word = kula__slot_word(slot) + 2 * KULA__STEP;
    atomic_store_explicit(&slot->word, word, memory_order_relaxed);
    return word;
}

/* held by the program -> held by the ring: validates the handle and takes the buffer in one step.
 * acquire: what an earlier holder on another thread wrote is seen; release: nothing that the
 * program wrote into the record through kula_window may be seen after the hand-over. */
static inline bool kula__word_hand_over(struct kula__slot *slot, uint64_t handle)
{
    if (!KULA__VALIDATES) {
        atomic_store_explicit(&slot->word, handle + KULA__STEP, memory_order_relaxed);
        return true;
    }
    if (kula__likely(KULA__SINGLE_THREADED)) {
        /* relaxed: there is nobody to be seen by, and starting a thread is a barrier */
        if (atomic_load_explicit(&slot->word, memory_order_relaxed) != handle) {
            return false;
        }
        atomic_store_explicit(&slot->word, handle + KULA__STEP, memory_order_relaxed);
        return true;
    }
    return atomic_compare_exchange_strong_explicit(&slot->word, &handle, handle + KULA__STEP,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* held by the ring, or free, -> held by the program, as it was: a hand-over or a free that turned out to be
 * of the wrong kind. Nobody else can have seen it. */
static inline void kula__word_hand_back(struct kula__slot *slot, uint64_t handle)
{
    atomic_store_explicit(&slot->word, handle, memory_order_release);
}

/* held by the program -> free, from any thread. */
static inline bool kula__word_free(struct kula__slot *slot, uint64_t handle)
{
    return atomic_compare_exchange_strong_explicit(&slot->word, &handle,
                                                   handle + 3 * KULA__STEP,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* held by the ring -> done. release: a take or a stale check on another thread sees the result. */
static inline void kula__word_finish(struct kula__slot *slot, uint64_t operation)
{
    atomic_store_explicit(&slot->word, operation + KULA__STEP, memory_order_release);
}

/* done -> held by the program. Returns the new handle. */
static inline uint64_t kula__word_take(struct kula__slot *slot, uint64_t operation)
{
    uint64_t word = operation + 3 * KULA__STEP;
    atomic_store_explicit(&slot->word, word, memory_order_release);
    return word;
}

/* done -> free */
static inline void kula__word_recycle(struct kula__slot *slot, uint64_t operation)
{
    atomic_store_explicit(&slot->word, operation + 2 * KULA__STEP, memory_order_release);
}

/* held by the ring -> free, without ever having been done: a record whose operation never was. */
static inline void kula__word_undo(struct kula__slot *slot, uint64_t operation)
{
    atomic_store_explicit(&slot->word, operation + 2 * KULA__STEP, memory_order_release);
}

/* ---- Handles ------------------------------------------------------------------------------ */

/* A handle is the word where a pointer has 64 bits. Where it has 32, it is 16 bits of index and 16
 * of generation; the rest of the word is looked up, and a stale handle is found only with
 * probability 1 - 2^-14 after that many changes of hands. */
#if UINTPTR_MAX == UINT64_MAX
static inline uint64_t kula__handle_word(const void *handle)
{
    return (uint64_t)(uintptr_t)handle;
}
static inline void *kula__word_handle(uint64_t word)
{
    return (void *)(uintptr_t)word;
}
#else
uint64_t kula__handle_word(const void *handle);
static inline void *kula__word_handle(uint64_t word)
{
    return (void *)((uintptr_t)(kula__word_generation(word) << 16) | kula__word_index(word));
}
#endif

#endif
