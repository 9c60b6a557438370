/* ring.h - the ring object, and the short ways in and out of its lists.
 *
 * The object stands on pages that a child of fork() finds zeroed, so its first word tells in one
 * compare whether the caller is the owner: the owner's thread, another thread, or a child (0).
 */
#ifndef KULA_COMMON_RING_H
#define KULA_COMMON_RING_H

#include "backend.h"
#include "fd.h"
#include "slot.h"
#include "system.h"
#include "timer.h"

#include <pthread.h>

struct kula__pool;
struct kula__region;
struct kula__workers;
struct kula__fd_page;

/* A singly linked list of records with a tail. An empty list has tail == &head. */
struct kula__list {
    struct kula__slot *head;
    struct kula__slot **tail;
};

static inline void kula__list_init(struct kula__list *list)
{
    list->head = NULL;
    list->tail = &list->head;
}

static inline void kula__list_append(struct kula__list *list, struct kula__slot *slot)
{
    slot->next = NULL;
    *list->tail = slot;
    list->tail = &slot->next;
}

static inline struct kula__slot *kula__list_pop(struct kula__list *list)
{
    struct kula__slot *slot = list->head;
    if (slot) {
        list->head = slot->next;
        if (!list->head) {
            list->tail = &list->head;
        }
    }
    return slot;
}

/* Takes a record out of a list; false: it is not there. */
static inline bool kula__list_remove(struct kula__list *list, const struct kula__slot *slot)
{
    for (struct kula__slot **link = &list->head; *link; link = &(*link)->next) {
        if (*link == slot) {
            *link = slot->next;
            if (list->tail == &slot->next) {
                list->tail = link;
            }
            return true;
        }
    }
    return false;
}

/* The backend was named with "strict:": it may work with fewer features than it should have. */
#define KULA__SETTING_STRICT (UINT32_C(1) << 31)

/* Moves everything in `source` to the end of `target`. */
static inline void kula__list_splice(struct kula__list *target, struct kula__list *source)
{
    if (source->head) {
        *target->tail = source->head;
        target->tail = source->tail;
        kula__list_init(source);
    }
}

/* In ring->owner while a function of the program runs on the owner's own thread. */
#define KULA__OWNER_CALLS_OUT ((uintptr_t)1)

/* There for good after the owner's thread has ended without closing the ring. */
#define KULA__OWNER_GONE ((uintptr_t)2)

struct kula__settings { /* config, environment and mask, resolved */
    uint32_t flags;     /* enum kula_config_flags, and KULA__SETTING_STRICT */
    uint32_t entries;
    uint32_t threads_max;
    uint32_t operations_max;
    uint32_t messages_max;
    uint64_t features_off;   /* masked: bits of enum kula__feature */
    uint64_t operations_off; /* masked: bit 1 << enum kula__operation */
    kula_log_fn log;
    void *log_arg;
    bool quiet; /* KULA_DEBUG=quiet: nothing to stderr */
};

/* An operation that needs nothing more than its event, in the very form that kula_next copies. Its
 * completion was harvested, and its record is
 *
 *     free, when it had no buffer (kula_nop): private_holder is 0
 *     done and marked as pulled, when it has a plain buffer of a size class and no attention bit (a
 *     positional transfer on a file): private_holder is the operation, and kula_take may have it
 *
 * These are older than what is on the done list. */
struct kula__landed {
    kula_op op;
    int32_t result; /* not negative */
    uint32_t flags; /* 0, always: never written */
    void *user;
    uint64_t private_holder;
};
#define KULA__LANDED 128u

static_assert(offsetof(struct kula__landed, private_holder) ==
                  offsetof(struct kula_event, private_holder),
              "an event begins with the same members");

struct kula_ring {
    /* --- handing over --- */
    _Atomic uintptr_t
        owner;   /* kula__thread_self() of the owner; 0 in a child; else one of those above */
    uint32_t id; /* unique in the process, never 0 */
    uint32_t in_flight; /* accepted and not finished, whoever has it; detached ones as well */
    struct kula__list
        pending; /* handed over, not started: the backend empties it from the head */
    struct kula__slot *free_operations;
    struct kula__fd_page **fd_pages;
    uint32_t fd_page_count;
    uint32_t fd_plain_count; /* of fd_plain; 0 once operations are refused */
    /* by descriptor: 1 if it is known as a file and open, see kula__fd_note() */
    uint8_t *fd_plain;

    /* --- coming home --- */
    struct kula__list done; /* finished, not pulled */
    uint32_t done_count;
    uint32_t detached;                /* of in_flight: those that bring no event */
    struct kula__landed *landed_next; /* what kula_next gives first, up to landed_end */
    struct kula__landed *landed_end;
    const struct kula__backend *backend;
    void *state; /* the backend's own: backend->state_bytes, zeroed before open */
    struct kula_event event;

    /* --- seen less often --- */
    struct kula__list
        refused; /* ended before they started; into done at the next flush or wait */
    struct kula__list
        closing; /* kula_close_fd that have not yet asked their operations to end */
    struct kula__list
        early; /* ended inside a call that shows no events (kula_cancel): likewise */
    union {
        struct {
            uint32_t
                sift; /* pending holds cancelled or held operations: look before flushing */
            bool closing_down; /* kula_close has begun */
            bool broken;       /* -EBADR: nothing is freed any more, nothing accepted */
            bool embedded;     /* kula_pollable was called */
            bool grounded; /* nothing may land: event.error is not 0, or events are set aside */
        };
        uint64_t hindrances; /* all of them in one look */
    };
    struct kula__timers timers; /* timers and deadlines */
    struct kula__pool *pool;
    struct kula__region *regions;       /* that the backend knows; region.c, under its lock */
    struct kula__region *regions_aside; /* to be made unknown: likewise */
    struct kula_pool *pools;            /* that belong to this ring; pools.c */
    struct kula__workers *workers;      /* made when first needed */
    uint64_t features; /* enum kula__feature that this ring works with, after the mask */
    uint8_t routes[KULA__OP_COUNT];
    struct kula__settings settings;
    struct kula_report *report;          /* as of opening; kept for kula_describe */
    uint64_t untaken;                    /* buffers that kula_next had to recycle */
    void *free_blocks[4];                /* block.c */
    struct kula__chunks operations;      /* records for operations without a buffer */
    uint32_t operations_made;            /* how many of them were ever handed out */
    uint32_t epoch;                      /* grows with every flush */
    uint32_t done_messages;              /* of done_count: messages */
    uint32_t scopes;                     /* kula_scope that were begun and not ended */
    const struct kula__slot *awaited;    /* the scope whose end is waited for */
    struct kula__slot *spare_operations; /* free records of a ring that is being closed */
    bool inside; /* in kula_submit, kula_wait or kula_close: ends are seen at once */
    struct kula_ring *next_ring; /* process.c: all rings of the process */
    struct kula_ring *next_own;  /* process.c: all rings of the owner's thread */

    /* --- written by other threads: lines of their own --- */
    _Alignas(64) _Atomic(struct kula__slot *) inbox; /* newest first */
    atomic_uint asleep;            /* 1: whoever adds to the inbox must signal */
    atomic_uint woken;             /* kula_wake was called */
    struct kula__signal wake;      /* read by the backend while it sleeps */
    pthread_mutex_t message_mutex; /* for the next three */
    struct kula__slot *free_messages;
    struct kula__chunks messages;
    uint32_t messages_made;

    struct kula__landed landed[KULA__LANDED];
};

/* Whether kula_next has something. */
static inline bool kula__has_events(const struct kula_ring *ring)
{
    return ring->landed_next != ring->landed_end || ring->done.head;
}

/* Whether a flush has something to do before the backend starts what is pending (kula__chores). */
static inline bool kula__has_chores(const struct kula_ring *ring)
{
    /* one branch: every wait asks */
    return ((uintptr_t)ring->refused.head | (uintptr_t)ring->early.head |
            (uintptr_t)ring->closing.head | ring->sift) != 0;
}

/* Whether kula_wait would have something to do or to show, as far as the ring knows by itself. */
static inline bool kula__is_due(const struct kula_ring *ring)
{
    return kula__has_events(ring) || ring->pending.head || kula__has_chores(ring);
}

/* How much. */
static inline uint32_t kula__event_count(const struct kula_ring *ring)
{
    return (uint32_t)(ring->landed_end - ring->landed_next) + ring->done_count;
}

/* A number that is different for every live thread and never 0, 1 or 2. Every call asks for it, and in a
 * shared library the default for thread-local variables is a call of its own (11 instructions). */
#if defined __GNUC__ && !defined __clang__ && __GNUC__ >= 11 && \
    (defined __x86_64__ || defined __aarch64__)
#    define KULA__THREAD_POINTER 1
static inline uintptr_t kula__thread_self(void)
{
    return (uintptr_t)__builtin_thread_pointer();
}
#else
#    define KULA__THREAD_POINTER 0
extern _Thread_local char kula__thread_anchor __attribute__((__tls_model__("initial-exec")));
static inline uintptr_t kula__thread_self(void)
{
    return (uintptr_t)&kula__thread_anchor;
}
#endif

/* A record whose event was pulled, or has landed, and is not over has the owner's thread where others have
 * their next one: so whether kula_take may have it, and on this thread, is one question. */
static inline struct kula__slot *kula__pulled_mark(void)
{
    return (struct kula__slot *)kula__thread_self();
}

static inline bool kula__is_pulled(const struct kula__slot *slot)
{
    return slot->next == kula__pulled_mark();
}

static inline bool kula__is_owner(const struct kula_ring *ring)
{
    /* relaxed: only the owner's own writes can make it equal */
    return kula__likely(ring && atomic_load_explicit(&ring->owner, memory_order_relaxed) ==
                                    kula__thread_self());
}

/* The record of a descriptor that an operation of this ring has pinned. */
static inline struct kula__fd *kula__fd_known(const struct kula_ring *ring, int fd)
{
    size_t number = (uint32_t)fd;
    return &ring->fd_pages[number / KULA__FD_PAGE]->fds[number % KULA__FD_PAGE];
}

/* Why the caller is not the owner, as a misuse report and a negative errno: -EINVAL no ring, -EPERM
 * wrong thread, -EOWNERDEAD child after fork, -EDEADLK from inside a function of the program. */
int kula__not_owner(const struct kula_ring *ring, const char *operation);
/* The same about the buffer that `word` names. */
int kula__not_owner_for(const struct kula_ring *ring, const char *operation, uint64_t word);

/* ---- The end of an operation (finish.c) ---------------------------------------------------- */

/* The one way to the end: a backend, a worker's return, a timer or a refusal gives the raw result,
 * a count, descriptor or 0, or a negative errno, never -EINTR. It normalises the result, goes on
 * with what KULA_FULL has left, passes on the descriptor's turn, unpins, releases successors, and
 * puts the operation on the done list. It may put operations on the pending list: whoever drives
 * the ring flushes until that is empty. Thread: owner. */
void kula__finish(struct kula_ring *ring, struct kula__slot *slot, int32_t result);

/* Before it, for a send that is over but for the kernel's use of its memory: the descriptor is free
 * for the next in its lane and for a close, and nothing can end the operation early. Nothing happens when
 * the same result would make it go on, or is an error; it is called again when one that would have gone on
 * was asked to end. Thread: owner. */
void kula__let_go(struct kula_ring *ring, struct kula__slot *slot, int32_t result);

/* The same as kula__finish for the case that needs none of that, to be inlined into a backend's harvest;
 * `word` is the record's. Putting it on the done list, and counting, is the caller's: ring->in_flight -= n
 * and ring->done_count += n, once for a batch. Returns false, and has done nothing, when kula__finish is
 * needed. */
static inline bool kula__finish_plain(struct kula__slot *slot, uint64_t word, int32_t result)
{
    if (kula__unlikely((slot->attention & KULA__ATTENTION_AT_END) || result < 0)) {
        return false;
    }
    slot->result = result;
    slot->event_flags = 0;
    kula__word_finish(slot, word);
    return true;
}

/* The same, and puts it on the done list: only the counting is left. */
static inline bool kula__finish_short(struct kula_ring *ring,
                                      struct kula__slot *slot,
                                      int32_t result)
{
    if (!kula__finish_plain(slot, kula__slot_word(slot), result)) {
        return false;
    }
    kula__list_append(&ring->done, slot);
    return true;
}

/* ---- Waiting (wait.c) ----------------------------------------------------------------------- */

/* The whole of kula_wait, for a backend's round() that is not enough. Thread: any, refused elsewhere. */
int kula__wait_slowly(struct kula_ring *ring, int64_t timeout_ns);

/* ---- Sleeping and waking (inbox.c) ---------------------------------------------------------- */

/* Announces that the owner is about to sleep on ring->wake.read_fd. False: there is something in the
 * inbox or kula_wake was called, so do not. After sleeping, or deciding not to, call the end. */
bool kula__sleep_begin(struct kula_ring *ring);
void kula__sleep_end(struct kula_ring *ring);

/* Puts a record into a ring's inbox from any thread and wakes the ring if it sleeps. The record must
 * be held by the ring (or done); result and event_flags are set. Workers bring operations home this
 * way (operation's slot->result = raw result), posts and refused hand-overs as well. */
void kula__inbox_push(struct kula_ring *ring, struct kula__slot *slot);

/* Takes everything out of the inbox and finishes it. Thread: owner. */
void kula__inbox_drain(struct kula_ring *ring);

/* The log sink of a ring (or of settings), printf-like; level: enum kula_log_level. */
void kula__log(const struct kula__settings *settings, int level, const char *format, ...)
    __attribute__((__format__(__printf__, 3, 4)));

#endif
