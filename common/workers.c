/* workers.c - the worker threads of a ring.
 *
 * One queue for each class under one mutex. A worker takes one operation at a time: what costs is
 * sleeping and waking (20 to 27 us across CPUs, measured), not the lock (0.04 us), and an operation
 * that stays in the queue can still be cancelled. For the same reason the owner wakes a worker, or
 * makes one, only when there is more to do than the workers already on their way will take.
 *
 * Who writes what: the queues and the counts belong to the mutex; `thread` and `refusals` to the
 * owner alone. An operation's record is the worker's from the moment it leaves the queue until
 * kula__inbox_push().
 */
#include "workers.h"

#include "perform.h"
#include "process.h"
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* After a thread could not be made while others can go on, that many wishes for another one pass
 * before the next try: a refused pthread_create maps and unmaps a whole stack. */
#define REFUSAL_PAUSE 64u

struct kula__workers {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct kula__list file; /* waiting, oldest first */
    struct kula__list slow;
    uint32_t file_count;
    uint32_t slow_count;
    uint32_t slow_running;
    uint32_t slow_limit; /* how many threads SLOW calls may have at a time */
    uint32_t threads;
    uint32_t parked;   /* threads asleep, without those for whom a token is there */
    uint32_t tokens;   /* wake-ups not yet seen: a thread leaves its sleep by taking one */
    uint32_t starting; /* threads made that have not yet looked at the queue */
    bool ending;

    atomic_uint busy; /* calls running or waiting */

    struct kula_ring *ring;
    uint32_t threads_max;
    uint32_t refusals; /* wishes left to pass; see REFUSAL_PAUSE */
    pthread_t thread[];
};

/* What the record has no room for while a worker has it: places in cold->scratch. */
enum {
    SCRATCH_OFFSET = 1, /* a result lies where the offset was */
    SCRATCH_KIND = 2,   /* of the descriptor, from a table that only the owner may look at */
};

int32_t kula__call_offloaded(struct kula__slot *slot)
{
    bool outermost = kula__program_begin();
    int32_t result = slot->function(kula__cold_of(slot)->argument);
    kula__program_end(outermost);
    return result;
}

static bool is_slow(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].class == KULA__CLASS_SLOW;
}

/* The last quarter, but at least one, is for files; of a single thread nothing can be kept back. */
static uint32_t slow_limit_of(uint32_t threads)
{
    uint32_t kept = threads / 4 > 0 ? threads / 4 : 1;
    return threads > kept ? threads - kept : 1;
}

/* ---- The workers' side --------------------------------------------------------------------- */

/* The next operation that may run, or NULL. SLOW first: their limit leaves files their share, while
 * a steady flow of files could keep SLOW calls waiting for ever. But the only thread that is not
 * away in a SLOW call (there may be fewer than threads_max: the system refused) is for files. */
static struct kula__slot *take(struct kula__workers *workers)
{
    bool last = workers->slow_running + 1 >= workers->threads;
    if (workers->slow_count > 0 && workers->slow_running < workers->slow_limit &&
        !(last && workers->file_count > 0)) {
        workers->slow_count--;
        workers->slow_running++;
        return kula__list_pop(&workers->slow);
    }
    if (workers->file_count > 0) {
        workers->file_count--;
        return kula__list_pop(&workers->file);
    }
    return NULL;
}

static void run(struct kula__workers *workers, struct kula__slot *slot)
{
    enum kula__fd_kind kind = (enum kula__fd_kind)kula__cold_of(slot)->scratch[SCRATCH_KIND];
    slot->result = kula__perform(slot, kind);
    slot->event_flags = 0;
    /* relaxed: a count for deciding whether to look; the inbox carries the record */
    atomic_fetch_sub_explicit(&workers->busy, 1, memory_order_relaxed);
    kula__inbox_push(workers->ring, slot);
}

static void *work(void *arg)
{
    struct kula__workers *workers = arg;
    pthread_mutex_lock(&workers->mutex);
    workers->starting--;
    for (;;) {
        struct kula__slot *slot = take(workers);
        if (slot) {
            bool slow = is_slow(slot);
            pthread_mutex_unlock(&workers->mutex);
            run(workers, slot);
            pthread_mutex_lock(&workers->mutex);
            workers->slow_running -= slow;
            continue;
        }
        if (workers->ending) {
            break;
        }
        workers->parked++;
        while (workers->tokens == 0) {
            pthread_cond_wait(&workers->wake, &workers->mutex);
        }
        workers->tokens--;
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

/* ---- The owner's side ---------------------------------------------------------------------- */

static struct kula__workers *workers_new(struct kula_ring *ring)
{
    uint32_t threads_max = ring->settings.threads_max;
    struct kula__workers *workers =
        kula__memory_new(sizeof *workers + threads_max * sizeof workers->thread[0]);
    if (!workers) {
        return NULL;
    }
    if (pthread_mutex_init(&workers->mutex, NULL) != 0) {
        kula__memory_free(workers);
        return NULL;
    }
    if (pthread_cond_init(&workers->wake, NULL) != 0) {
        pthread_mutex_destroy(&workers->mutex);
        kula__memory_free(workers);
        return NULL;
    }
    kula__list_init(&workers->file);
    kula__list_init(&workers->slow);
    workers->ring = ring;
    workers->threads_max = threads_max;
    workers->slow_limit = slow_limit_of(threads_max);
    return workers;
}

/* How many of the waiting operations could run at once if there were threads enough. */
static uint32_t runnable(const struct kula__workers *workers)
{
    uint32_t slow_free = workers->slow_running < workers->slow_limit
                             ? workers->slow_limit - workers->slow_running
                             : 0;
    return workers->file_count +
           (workers->slow_count < slow_free ? workers->slow_count : slow_free);
}

/* Makes one more thread, with all signals blocked from its first instruction on. */
static int thread_make(struct kula__workers *workers)
{
    int error = kula__fault("pthread_create", EAGAIN);
    if (error < 0) {
        return error;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&workers->thread[workers->threads - 1], NULL, work, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void unlink_from(struct kula__list *list, struct kula__slot **link)
{
    struct kula__slot *slot = *link;
    *link = slot->next;
    if (list->tail == &slot->next) {
        list->tail = link;
    }
}

/* Takes an operation out of its queue if it is still there. With the mutex held. */
static bool take_back(struct kula__workers *workers, struct kula__slot *slot)
{
    bool slow = is_slow(slot);
    struct kula__list *list = slow ? &workers->slow : &workers->file;
    for (struct kula__slot **link = &list->head; *link; link = &(*link)->next) {
        if (*link == slot) {
            unlink_from(list, link);
            *(slow ? &workers->slow_count : &workers->file_count) -= 1;
            atomic_fetch_sub_explicit(&workers->busy, 1, memory_order_relaxed);
            slot->attention &= (uint16_t)~KULA__POOLED;
            return true;
        }
    }
    return false;
}

/* Makes the thread that has been counted for an operation that is in the queue already. When that
 * is refused, the operation stays where it is if there is a thread that will come to it; otherwise
 * (`alone`) it is the caller's again. */
static int grow(struct kula__workers *workers, struct kula__slot *slot, bool alone)
{
    int error = -EAGAIN;
    if (alone || workers->refusals == 0) {
        error = thread_make(workers);
        workers->refusals = error < 0 ? REFUSAL_PAUSE : 0;
    } else {
        workers->refusals--;
    }
    if (error == 0) {
        return 0;
    }
    pthread_mutex_lock(&workers->mutex);
    workers->threads--;
    workers->starting--;
    bool taken_back = alone && take_back(workers, slot);
    pthread_mutex_unlock(&workers->mutex);
    return taken_back ? error : 0;
}

int kula__workers_push(struct kula_ring *ring, struct kula__slot *slot)
{
    if (!ring->workers) {
        ring->workers = workers_new(ring);
        if (!ring->workers) {
            return -ENOMEM;
        }
    }
    struct kula__workers *workers = ring->workers;
    struct kula__cold *cold = kula__cold_of(slot);
    const struct kula__fd *record = slot->fd >= 0 ? kula__fd_peek(ring, slot->fd) : NULL;
    cold->scratch[SCRATCH_KIND] = record ? record->kind : KULA__FD_UNKNOWN;
    cold->scratch[SCRATCH_OFFSET] = (uint64_t)slot->offset;
    atomic_store_explicit(&cold->stop, false, memory_order_relaxed);
    slot->attention |= KULA__POOLED;
    atomic_fetch_add_explicit(&workers->busy, 1, memory_order_relaxed);

    bool slow = is_slow(slot);
    bool create = false;
    bool alone = false;
    pthread_mutex_lock(&workers->mutex);
    kula__list_append(slow ? &workers->slow : &workers->file, slot);
    *(slow ? &workers->slow_count : &workers->file_count) += 1;
    if (runnable(workers) > workers->tokens + workers->starting) {
        if (workers->parked > 0) {
            workers->parked--;
            workers->tokens++;
            pthread_cond_signal(&workers->wake);
        } else if (workers->threads < workers->threads_max) {
            /* Threads that are away in SLOW calls may never come back to a file. */
            alone = workers->threads == (slow ? 0 : workers->slow_running);
            workers->threads++;
            workers->starting++;
            create = true;
        }
    }
    pthread_mutex_unlock(&workers->mutex);
    return create ? grow(workers, slot, alone) : 0;
}

static bool ends_by_itself(const struct kula__slot *slot)
{
    return slot->operation == KULA__OP_OPENAT ? !kula__open_waits(slot) : !is_slow(slot);
}

void kula__workers_give(struct kula_ring *ring,
                        struct kula__slot *slot,
                        enum kula__fd_kind kind)
{
    if (kula__workers_push(ring, slot) < 0) {
        slot->attention &= (uint16_t)~KULA__POOLED;
        kula__finish(ring, slot, ends_by_itself(slot) ? kula__perform(slot, kind) : -ENOMEM);
    }
}

int32_t kula__workers_result(struct kula__slot *slot)
{
    int32_t result = slot->result;
    slot->offset = (int64_t)kula__cold_of(slot)->scratch[SCRATCH_OFFSET];
    return result;
}

int kula__workers_cancel(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__workers *workers = ring->workers;
    if (!workers) {
        return -EALREADY;
    }
    pthread_mutex_lock(&workers->mutex);
    bool taken_back = take_back(workers, slot);
    pthread_mutex_unlock(&workers->mutex);
    if (taken_back) {
        kula__finish(ring, slot, -ECANCELED);
        return 0;
    }
    if (slot->operation == KULA__OP_CONNECT) { /* it waits between tries, not in a call */
        atomic_store_explicit(&kula__cold_of(slot)->stop, true, memory_order_relaxed);
        return 0;
    }
    return -EALREADY;
}

uint32_t kula__workers_busy(const struct kula_ring *ring)
{
    return ring->workers ? atomic_load_explicit(&ring->workers->busy, memory_order_relaxed) : 0;
}

void kula__workers_close(struct kula_ring *ring)
{
    struct kula__workers *workers = ring->workers;
    if (!workers) {
        return;
    }
    pthread_mutex_lock(&workers->mutex);
    workers->ending = true;
    workers->tokens += workers->parked;
    workers->parked = 0;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->mutex);
    for (uint32_t i = 0; i < workers->threads; i++) {
        pthread_join(workers->thread[i], NULL);
    }
    pthread_cond_destroy(&workers->wake);
    pthread_mutex_destroy(&workers->mutex);
    kula__memory_free(workers);
    ring->workers = NULL;
}
