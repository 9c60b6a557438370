/* inbox.c - what other threads put into a ring: messages, operations that workers bring home, buffers
 * that were handed over on the wrong thread. And how a sleeping ring is woken.
 *
 * The inbox is a stack that anybody pushes on and the owner takes whole, so there is no ABA. The
 * wake-up is one signal for as many pushes as happen while the owner sleeps: `asleep` is set by the
 * owner before it looks for the last time, and taken by the first who pushes after that. Both sides
 * use sequentially consistent operations, because each writes one word and then reads the other's:
 * with anything weaker both could miss what the other wrote.
 */
#include "buffer.h"
#include "finish.h"
#include "misuse.h"
#include "process.h"
#include "submit.h"
#include "watch.h"
#include "workers.h"

#include <errno.h>

static void wake(struct kula_ring *ring)
{
    if (atomic_exchange(&ring->asleep, 0)) {
        kula__signal_send(&ring->wake);
    }
}

bool kula__sleep_begin(struct kula_ring *ring)
{
    atomic_store(&ring->asleep, 1);
    /* the last operation of a scope may have left no event that would keep the backend awake */
    bool is_home = ring->awaited && ring->awaited->length == 0;
    if (atomic_load(&ring->inbox) || atomic_load(&ring->woken) || is_home) {
        atomic_store(&ring->asleep, 0);
        return false;
    }
    return true;
}

void kula__sleep_end(struct kula_ring *ring)
{
    /* In embedded mode the program's own loop sleeps for us: whoever comes must signal. */
    if (!ring->embedded) {
        atomic_store(&ring->asleep, 0);
    }
}

void kula__inbox_push(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__slot *head = atomic_load_explicit(&ring->inbox, memory_order_relaxed);
    do {
        slot->next = head;
    } while (!atomic_compare_exchange_weak(&ring->inbox, &head, slot));
    wake(ring);
}

static void message_arrives(struct kula_ring *ring, struct kula__slot *slot)
{
    kula__slot_claim(slot, ring->id);
    kula__word_finish(slot, kula__slot_word(slot));
    kula__list_append(ring->inside ? &ring->done : &ring->early, slot);
    ring->done_count++;
    ring->done_messages++;
}

void kula__inbox_drain(struct kula_ring *ring)
{
    if (!atomic_load_explicit(&ring->inbox, memory_order_relaxed)) {
        return;
    }
    struct kula__slot *newest = atomic_exchange(&ring->inbox, NULL);
    struct kula__slot *oldest = NULL;
    while (newest) { /* oldest first: messages of one sender arrive in order */
        struct kula__slot *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct kula__slot *slot = oldest;
        oldest = slot->next;
        if (slot->operation == KULA__OP_MESSAGE) {
            message_arrives(ring, slot);
        } else if (slot->attention & KULA__POOLED) {
            kula__finish(ring, slot, kula__workers_result(slot));
        } else {
            /* handed over on the wrong thread: it was never counted here */
            kula__slot_claim(slot, ring->id);
            ring->in_flight++;
            kula__finish(ring, slot, slot->result);
        }
    }
}

static bool is_the_parents(const struct kula_ring *ring)
{
    /* relaxed: 0 is seen by a child only, which has one thread */
    return atomic_load_explicit(&ring->owner, memory_order_relaxed) == 0;
}

int kula_wake(struct kula_ring *ring)
{
    if (!ring) {
        return -EINVAL;
    }
    if (is_the_parents(ring)) {
        return -EOWNERDEAD; /* without a word to the hook, which a signal handler must not meet */
    }
    atomic_store(&ring->woken, 1);
    wake(ring);
    return 0;
}

/* ---- Messages ----------------------------------------------------------------------------- */

/* A record for a message without a buffer, out of the receiver's quota. */
static struct kula__slot *message_take(struct kula_ring *ring)
{
    pthread_mutex_lock(&ring->message_mutex);
    struct kula__slot *slot = ring->free_messages;
    if (slot) {
        ring->free_messages = slot->next;
    } else if (ring->messages_made < ring->settings.messages_max) {
        slot = kula__chunks_slot(&ring->messages, ring);
        if (slot) {
            slot->kind = KULA__KIND_MESSAGE;
            ring->messages_made++;
        }
    }
    pthread_mutex_unlock(&ring->message_mutex);
    if (slot) {
        kula__word_start(slot);
    }
    return slot;
}

void kula__message_return(struct kula_ring *ring, struct kula__slot *slot, uint64_t operation)
{
    kula__slot_claim(slot, 0);
    kula__word_recycle(slot, operation);
    pthread_mutex_lock(&ring->message_mutex);
    slot->next = ring->free_messages;
    ring->free_messages = slot;
    pthread_mutex_unlock(&ring->message_mutex);
}

static void deliver(struct kula_ring *ring,
                    struct kula__slot *slot,
                    int32_t value,
                    void *pointer)
{
    slot->operation = KULA__OP_MESSAGE;
    slot->attention = 0;
    slot->fd = -1;
    slot->user = pointer;
    slot->result = value;
    slot->event_flags = KULA_EVENT_MESSAGE;
    kula__inbox_push(ring, slot);
}

static int post(struct kula_ring *ring,
                uint64_t word,
                enum kula__kind wanted,
                int32_t value,
                void *pointer,
                const void *place)
{
    if (!ring || is_the_parents(ring)) {
        int error = kula__not_owner(ring, "kula_post");
        if (!ring) {
            kula__handle_free(word, wanted, "kula_post",
                              place); /* no ring that could pass it on */
        }
        return error;
    }
    struct kula__slot *slot = kula__withdraw(word, wanted, "kula_post");
    if (!slot) {
        return -EINVAL;
    }
    if (kula__watching()) {
        kula__watch_away(slot, KULA__TRANSFER_NONE, "kula_post", place);
    }
    deliver(ring, slot, value, pointer);
    return 0;
}

int kula_post_value_(struct kula_ring *ring, int32_t value, void *pointer)
{
    if (!ring || is_the_parents(ring)) {
        return kula__not_owner(ring, "kula_post");
    }
    struct kula__slot *slot = message_take(ring);
    if (!slot) {
        return -ENOBUFS;
    }
    deliver(ring, slot, value, pointer);
    return 0;
}

int kula_post_(struct kula_ring *ring, kula_buf buffer, int32_t value, void *pointer)
{
    return post(ring, kula__handle_word(buffer), KULA__KIND_BUFFER, value, pointer,
                KULA__PLACE);
}

int kula_post_ref_(struct kula_ring *ring, kula_ref ref, int32_t value, void *pointer)
{
    return post(ring, kula__handle_word(ref), KULA__KIND_REF, value, pointer, KULA__PLACE);
}
