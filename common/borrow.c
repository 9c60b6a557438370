/* borrow.c - memory that is lent, for one call or for a scope.
 *
 * Each transfer has a record of the operation table, with the program's memory where a buffer's would
 * be. It is admitted, started and ended like all others, and the call, or the end of the scope, returns
 * only after that: what a cancel answered is not enough.
 *
 * A scope is a record of that table as well, held by the program. Its kula_scope names it and nothing
 * more: no memory of the program is written when an operation ends, since nobody knows whether a
 * program that has forgotten its scope still has the frame.
 */
#include "borrow.h"

#include "aside.h"
#include "calls.h"
#include "finish.h"
#include "misuse.h"
#include "submit.h"

#include <errno.h>
#include <string.h>

#define LENGTH_MAX INT32_MAX               /* as the capacity of a buffer */
#define ROUND_NS   (10 * KULA_MILLISECOND) /* how long to wait before asking again for an end */

struct loan {
    const char *name; /* of the public function */
    enum kula__operation operation;
    int fd;
    void *memory;
    size_t length;
    int64_t offset; /* read, write */
    int msg_flags;  /* recv, send */
    void *user;
};

/* Hands a transfer over; NULL: there is no room. It is always pinned, or refused, so that it never ends
 * by the short way, which does not ask what kind of record it is. */
static struct kula__slot *lend(struct kula_ring *ring,
                               struct kula__slot *scope,
                               const struct loan *loan)
{
    struct kula__slot *slot = kula__operation_take(ring, loan->name);
    if (!slot) {
        return NULL;
    }
    bool is_message = loan->operation == KULA__OP_RECV || loan->operation == KULA__OP_SEND;
    slot->kind = KULA__KIND_LENT;
    slot->operation = (uint8_t)loan->operation;
    slot->attention = 0;
    slot->fd = loan->fd;
    slot->offset =
        is_message ? kula__message_offset(loan->operation, loan->msg_flags) : loan->offset;
    slot->opflags = (uint32_t)loan->msg_flags & ~(uint32_t)MSG_WAITALL;
    if (!scope) {
        /* without a copy a call would wait for the peer, and its time-out would be none */
        slot->opflags &= ~(uint32_t)KULA__MSG_ZEROCOPY;
    }
    slot->data = loan->memory;
    slot->capacity = loan->length < LENGTH_MAX ? (uint32_t)loan->length : LENGTH_MAX;
    slot->length = 0;
    slot->user = loan->user;
    kula__cold_of(slot)->keeper = scope;
    if (scope) {
        scope->length++;
    }
    kula_op operation = kula__word_start(slot);
    kula__admit_transfer(ring, slot, loan->length, operation);
    if (is_message && kula__message_is_full(loan->operation, loan->msg_flags)) {
        kula_option(ring, operation, KULA_FULL);
    }
    return slot;
}

void kula__lent_end(const struct kula__slot *slot)
{
    bool in = kula__operation_facts[slot->operation].transfer == KULA__TRANSFER_IN;
    if (in && slot->result > 0) {
        uint32_t count = (uint32_t)slot->result;
        kula__instruments_written(slot->data, count < slot->length ? count : slot->length);
    }
    struct kula__slot *scope = kula__cold_of(slot)->keeper;
    if (scope) {
        scope->length--;
    }
}

/* ---- Waiting for the memory ---------------------------------------------------------------- */

struct wait {
    struct kula_ring *ring;
    struct kula__slot *slot; /* the operation's record, or the scope's */
    kula_op operation;       /* 0: all of a scope */
    bool asked;              /* the end of what is left has been asked for */
    int64_t ask_ns;          /* when to ask for it (again) */
    struct kula__aside aside;
};

static bool is_over(const struct wait *wait)
{
    return wait->operation ? kula__slot_word(wait->slot) != wait->operation
                           : wait->slot->length == 0;
}

static void ask(struct wait *wait)
{
    struct kula_ring *ring = wait->ring;
    if (!wait->operation && !wait->asked) {
        kula__cancel_scope(ring, wait->slot);
    } else if (!wait->operation) {
        kula__cancel_again(ring, wait->slot);
    } else if (!wait->asked) {
        kula__cancel_slot(ring, wait->slot, KULA__TIMED_OUT);
    } else if (!ring->pending.head && !kula__has_chores(ring)) {
        ring->backend->cancel(ring, wait->slot); /* see kula__cancel_again() */
    }
    wait->asked = true;
    wait->ask_ns = kula__now_ns() + ROUND_NS;
}

/* How long a round may sleep: not past the next expiry, nor past the time to ask. */
static int64_t longest_sleep_ns(const struct wait *wait)
{
    int64_t until_ns = kula__timers_next_ns(&wait->ring->timers);
    until_ns = wait->ask_ns < until_ns ? wait->ask_ns : until_ns;
    if (until_ns == INT64_MAX) {
        return KULA_FOREVER;
    }
    int64_t left_ns = until_ns - kula__now_ns();
    return left_ns > 0 ? left_ns : 0;
}

struct workers_calls {
    const struct kula__slot *scope;
    bool any;
};

static void find_workers_call(struct kula__slot *slot, void *arg)
{
    struct workers_calls *calls = arg;
    calls->any |= slot->kind == KULA__KIND_LENT && (slot->attention & KULA__POOLED) &&
                  kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_RING &&
                  kula__cold_of(slot)->keeper == calls->scope;
}

static bool is_with_workers(const struct wait *wait)
{
    if (wait->operation) {
        return wait->slot->attention & KULA__POOLED;
    }
    struct workers_calls calls = { .scope = wait->slot };
    kula__slots_visit(wait->ring->id, find_workers_call, &calls);
    return calls.any;
}

/* The ring cannot be driven any more. What the kernel does not have can still be ended here, and a
 * worker comes back by itself. Of the rest nobody will ever know. */
static int wind_up(struct wait *wait)
{
    struct kula_ring *ring = wait->ring;
    for (;;) {
        ask(wait);
        kula__chores(ring);
        kula__inbox_drain(ring);
        if (is_over(wait)) {
            return -EBADR;
        }
        if (!is_with_workers(wait)) {
            return -ENOTRECOVERABLE;
        }
        (void)kula__sys_poll(NULL, 0, ROUND_NS);
    }
}

/* Drives the ring until what is waited for is over. What else ends meanwhile is set aside. 0; -EBADR: over,
 * but the ring is broken; -ENOTRECOVERABLE: broken, and not over. */
static int wait_for(struct wait *wait)
{
    struct kula_ring *ring = wait->ring;
    ring->epoch++;
    while (!is_over(wait)) {
        kula__aside_more(ring, &wait->aside);
        int error = ring->broken ? -EBADR : kula__drive(ring, longest_sleep_ns(wait));
        if (ring->timers.count > 0) {
            kula__expire(ring);
        }
        if (error < 0) {
            return wind_up(wait);
        }
        if (wait->ask_ns != INT64_MAX && !is_over(wait) && kula__now_ns() >= wait->ask_ns) {
            ask(wait);
        }
    }
    return 0;
}

static int64_t end_of(int64_t timeout_ns)
{
    if (timeout_ns < 0) {
        return INT64_MAX;
    }
    int64_t now_ns = kula__now_ns();
    return timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
}

/* ---- One call ------------------------------------------------------------------------------ */

/* Takes the record of the call, which nobody but this call knows, from what has just ended. */
static int32_t take_result(struct kula_ring *ring, struct kula__slot *slot)
{
    int32_t result = slot->result;
    kula__list_remove(&ring->done, slot);
    ring->done_count--;
    kula__recycle(ring, slot);
    return result;
}

static int32_t call(struct kula_ring *ring,
                    const struct loan *loan,
                    uint32_t options,
                    int64_t timeout_ns)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, loan->name);
    }
    if (ring->broken) {
        return -EBADR;
    }
    struct wait wait = { .ring = ring, .slot = lend(ring, NULL, loan) };
    if (!wait.slot) {
        return -EAGAIN;
    }
    wait.operation = kula__slot_word(wait.slot);
    wait.ask_ns = end_of(timeout_ns);
    int refused = options ? kula_option(ring, wait.operation, options) : 0;
    if (refused < 0) {
        kula__cancel_slot(ring, wait.slot, KULA__CANCEL); /* nothing has started yet */
    }
    kula__aside_begin(ring, &wait.aside);
    int error = wait_for(&wait);
    int32_t result = error == -ENOTRECOVERABLE ? error : take_result(ring, wait.slot);
    kula__aside_end(ring, &wait.aside);
    if (ring->embedded) {
        kula__rest(ring);
    }
    if (refused < 0) {
        return refused;
    }
    return error < 0 && result < 0 ? error : result;
}

int32_t kula_read_sync(struct kula_ring *ring,
                       int fd,
                       void *memory,
                       size_t length,
                       int64_t offset,
                       uint32_t options,
                       int64_t timeout_ns)
{
    struct loan loan = {
        .name = "kula_read_sync",
        .operation = KULA__OP_READ,
        .fd = fd,
        .memory = memory,
        .length = length,
        .offset = offset,
    };
    return call(ring, &loan, options, timeout_ns);
}

int32_t kula_write_sync(struct kula_ring *ring,
                        int fd,
                        const void *memory,
                        size_t length,
                        int64_t offset,
                        uint32_t options,
                        int64_t timeout_ns)
{
    struct loan loan = {
        .name = "kula_write_sync",
        .operation = KULA__OP_WRITE,
        .fd = fd,
        .memory = (void *)memory, /* a write reads it */
        .length = length,
        .offset = offset,
    };
    return call(ring, &loan, options, timeout_ns);
}

int32_t kula_recv_sync(struct kula_ring *ring,
                       int fd,
                       void *memory,
                       size_t length,
                       int msg_flags,
                       uint32_t options,
                       int64_t timeout_ns)
{
    struct loan loan = {
        .name = "kula_recv_sync",
        .operation = KULA__OP_RECV,
        .fd = fd,
        .memory = memory,
        .length = length,
        .msg_flags = msg_flags,
    };
    return call(ring, &loan, options, timeout_ns);
}

int32_t kula_send_sync(struct kula_ring *ring,
                       int fd,
                       const void *memory,
                       size_t length,
                       int msg_flags,
                       uint32_t options,
                       int64_t timeout_ns)
{
    struct loan loan = {
        .name = "kula_send_sync",
        .operation = KULA__OP_SEND,
        .fd = fd,
        .memory = (void *)memory, /* a send reads it */
        .length = length,
        .msg_flags = msg_flags,
    };
    return call(ring, &loan, options, timeout_ns);
}

/* ---- Scopes -------------------------------------------------------------------------------- */

static uint64_t word_of(const struct kula_scope *scope)
{
    return scope->private_state[0];
}

int kula_scope_begin(struct kula_ring *ring, struct kula_scope *scope)
{
    if (!ring || !scope) {
        return -EINVAL;
    }
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_scope_begin");
    }
    if (ring->closing_down || ring->broken) {
        return ring->broken ? -EBADR : -ECANCELED;
    }
    struct kula__slot *slot = kula__operation_take(ring, "kula_scope_begin");
    if (!slot) {
        return -EAGAIN;
    }
    ring->in_flight--; /* it is no operation */
    ring->scopes++;
    slot->kind = KULA__KIND_SCOPE;
    slot->length = 0;
    *scope = (struct kula_scope){ .ring = ring };
    scope->private_state[0] = kula__word_allocate(slot);
    return 0;
}

/* The record of a scope that is open and the caller's, and its ring; or NULL and why not. Nothing in
 * `scope` is believed but the word. */
static struct kula__slot *find(const struct kula_scope *scope,
                               const char *name,
                               struct kula_ring **ret_ring,
                               int *ret_error)
{
    uint64_t word = scope ? word_of(scope) : 0;
    struct kula__slot *slot = kula__slot_find(word);
    /* acquire: pairs with the release of whoever ended it; what follows looks at the record */
    if (!slot || atomic_load_explicit(&slot->word, memory_order_acquire) != word ||
        kula__word_holder(word) != KULA__HELD_BY_PROGRAM || slot->kind != KULA__KIND_SCOPE) {
        kula__misuse(name, word, "the scope was not begun, or has ended");
        *ret_error = -EINVAL;
        return NULL;
    }
    struct kula_ring *ring = kula__slot_home(kula__word_index(word));
    if (!kula__is_owner(ring)) {
        *ret_error = kula__not_owner(ring, name);
        return NULL;
    }
    *ret_ring = ring;
    return slot;
}

static kula_op start(struct kula_scope *scope, const struct loan *loan)
{
    struct kula_ring *ring;
    int error;
    struct kula__slot *record = find(scope, loan->name, &ring, &error);
    struct kula__slot *slot = record ? lend(ring, record, loan) : NULL;
    if (!slot) {
        return 0;
    }
    scope->started++;
    return kula__slot_word(slot);
}

kula_op kula_scope_read(struct kula_scope *scope,
                        int fd,
                        void *memory,
                        size_t length,
                        int64_t offset,
                        void *user)
{
    struct loan loan = {
        .name = "kula_scope_read",
        .operation = KULA__OP_READ,
        .fd = fd,
        .memory = memory,
        .length = length,
        .offset = offset,
        .user = user,
    };
    return start(scope, &loan);
}

kula_op kula_scope_write(struct kula_scope *scope,
                         int fd,
                         const void *memory,
                         size_t length,
                         int64_t offset,
                         void *user)
{
    struct loan loan = {
        .name = "kula_scope_write",
        .operation = KULA__OP_WRITE,
        .fd = fd,
        .memory = (void *)memory, /* a write reads it */
        .length = length,
        .offset = offset,
        .user = user,
    };
    return start(scope, &loan);
}

kula_op kula_scope_recv(struct kula_scope *scope,
                        int fd,
                        void *memory,
                        size_t length,
                        int msg_flags,
                        void *user)
{
    struct loan loan = {
        .name = "kula_scope_recv",
        .operation = KULA__OP_RECV,
        .fd = fd,
        .memory = memory,
        .length = length,
        .msg_flags = msg_flags,
        .user = user,
    };
    return start(scope, &loan);
}

kula_op kula_scope_send(struct kula_scope *scope,
                        int fd,
                        const void *memory,
                        size_t length,
                        int msg_flags,
                        void *user)
{
    struct loan loan = {
        .name = "kula_scope_send",
        .operation = KULA__OP_SEND,
        .fd = fd,
        .memory = (void *)memory, /* a send reads it */
        .length = length,
        .msg_flags = msg_flags,
        .user = user,
    };
    return start(scope, &loan);
}

/* The record of a scope with nothing under way goes home. */
static void end(struct kula_ring *ring, struct kula__slot *slot)
{
    kula__word_free(slot, kula__slot_word(slot));
    slot->kind = KULA__KIND_OPERATION;
    kula__operation_free(ring, slot);
    ring->scopes--;
}

int kula_scope_end(struct kula_scope *scope, int64_t timeout_ns)
{
    if (!scope || word_of(scope) == 0) {
        return -EINVAL;
    }
    struct kula_ring *ring;
    int error;
    struct kula__slot *slot = find(scope, "kula_scope_end", &ring, &error);
    if (!slot) {
        return error;
    }
    struct wait wait = { .ring = ring, .slot = slot, .ask_ns = end_of(timeout_ns) };
    if (!is_over(&wait)) {
        kula__aside_begin(ring, &wait.aside);
        ring->awaited = slot;
        if (timeout_ns == 0) {
            ask(&wait);
        }
        error = wait_for(&wait);
        ring->awaited = NULL;
        kula__aside_end(ring, &wait.aside);
        if (ring->embedded) {
            kula__rest(ring);
        }
        if (error == -ENOTRECOVERABLE) {
            return error;
        }
    }
    end(ring, slot);
    *scope = (struct kula_scope){ .started = scope->started };
    return wait.asked ? -ETIME : 0;
}

/* ---- Rings that go while a scope is open ------------------------------------------------------ */

void kula__scopes_report(const struct kula_ring *ring, const char *operation)
{
    if (ring->scopes > 0) {
        kula__misuse(operation, 0,
                     "a scope is open: end it with kula_scope_end before its ring goes, and "
                     "before the memory does that was lent to it");
    }
}

static void end_open(struct kula__slot *slot, void *arg)
{
    if (slot->kind == KULA__KIND_SCOPE &&
        kula__word_holder(kula__slot_word(slot)) == KULA__HELD_BY_PROGRAM) {
        end(arg, slot);
    }
}

void kula__scopes_end(struct kula_ring *ring)
{
    if (ring->scopes > 0) {
        kula__slots_visit(ring->id, end_open, ring);
    }
}
