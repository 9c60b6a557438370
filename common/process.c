/* process.c - fork, ring names, and the graveyard of rings that could not be emptied.
 *
 * Ring objects stand on pages that the kernel wipes in a child (MADV_WIPEONFORK), so that also a
 * child that was made without fork(2)'s handlers is refused. Where there are no such pages, and for
 * the process-wide lists, pthread_atfork does it.
 */
#include "process.h"

#include "misuse.h"
#include "pool.h"
#include "region.h"
#include "watch.h"

#include <errno.h>

#if !KULA__THREAD_POINTER
_Thread_local char kula__thread_anchor;
#endif

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kula_ring *rings;     /* open ones; linked by next_ring */
static struct kula_ring *graveyard; /* abandoned ones; linked by next_ring */
static atomic_uint last_id;
static atomic_uint generation = 1;
static uint32_t settled =
    1; /* the generation in which the table was used last; under list_mutex */

/* The open rings of this thread, linked by next_own. A thread that ends leaves its rings to nobody. */
static _Thread_local struct kula_ring *own_rings;
static pthread_key_t thread_end; /* set where a thread has had rings: tells that it ends */
static bool thread_end_made;

/* Set while a function of the program runs on this thread on behalf of the library. */
static _Thread_local bool in_program_function;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static void before_fork(void)
{
    pthread_mutex_lock(&list_mutex);
    kula__watch_lock();
    kula__regions_lock();
    kula__pool_lock_shared();
    kula__slots_lock();
    kula__misuse_lock();
}

/* In the child as well: its one thread is the one that took them. */
static void unlock_after_fork(void)
{
    kula__misuse_unlock();
    kula__slots_unlock();
    kula__pool_unlock_shared();
    kula__regions_unlock();
    kula__watch_unlock();
    pthread_mutex_unlock(&list_mutex);
}

static void after_fork_in_child(void)
{
    struct kula_ring *next;
    for (struct kula_ring *ring = rings; ring; ring = next) {
        next =
            ring->next_ring; /* NULL where the pages were wiped: the rest was wiped as well */
        atomic_store_explicit(&ring->owner, 0, memory_order_relaxed);
    }
    rings = NULL;
    graveyard = NULL;
    own_rings = NULL;
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    unlock_after_fork();
}

/* The next thread may get the same thread pointer, and would pass for the owner. */
static void leave_rings(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&list_mutex);
    for (struct kula_ring *ring = own_rings; ring; ring = ring->next_own) {
        atomic_store_explicit(&ring->owner, KULA__OWNER_GONE, memory_order_relaxed);
    }
    own_rings = NULL;
    for (struct kula_ring *ring = graveyard; ring; ring = ring->next_ring) {
        if (kula__is_owner(ring)) {
            atomic_store_explicit(&ring->owner, KULA__OWNER_GONE, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&list_mutex);
}

static void init_once(void)
{
    once_error = kula__fault("pthread_atfork", ENOMEM);
    if (once_error == 0) {
        once_error = -pthread_atfork(before_fork, unlock_after_fork, after_fork_in_child);
    }
    if (!thread_end_made) {
        thread_end_made = pthread_key_create(&thread_end, leave_rings) == 0;
    }
}

/* The library may be unloaded (dlclose) before the threads end that had rings. */
__attribute__((__destructor__)) static void forget_thread_ends(void)
{
    if (thread_end_made) {
        pthread_key_delete(thread_end);
    }
}

int kula__process_init(void)
{
    pthread_once(&once, init_once);
    pthread_mutex_lock(&list_mutex);
    if (once_error != 0) {
        init_once(); /* memory was short once: that need not be so for ever */
    }
    uint32_t current = kula__process_generation();
    if (settled != current) {
        /* A child that begins to use the library itself. The parent's buffers are not even mapped here,
         * and what is mapped next may lie in their place. */
        settled = current;
        kula__slots_retire();
    }
    int error = once_error;
    pthread_mutex_unlock(&list_mutex);
    return error;
}

uint32_t kula__process_generation(void)
{
    /* relaxed: it changes while a process has one thread */
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

uint32_t kula__process_ring_id(void)
{
    uint32_t id;
    do {
        id = atomic_fetch_add(&last_id, 1) + 1;
    } while (id == 0);
    return id;
}

/* ---- Lists -------------------------------------------------------------------------------- */

static void unlink_from(struct kula_ring **list, const struct kula_ring *ring)
{
    for (struct kula_ring **link = list; *link; link = &(*link)->next_ring) {
        if (*link == ring) {
            *link = ring->next_ring;
            return;
        }
    }
}

void kula__process_add(struct kula_ring *ring)
{
    pthread_mutex_lock(&list_mutex);
    ring->next_ring = rings;
    rings = ring;
    pthread_mutex_unlock(&list_mutex);
    ring->next_own = own_rings;
    own_rings = ring;
    if (thread_end_made) {
        /* failing, it only means that an ended thread's rings are not told from a new one's */
        (void)pthread_setspecific(thread_end, &thread_end);
    }
}

void kula__process_remove(struct kula_ring *ring)
{
    pthread_mutex_lock(&list_mutex);
    unlink_from(&rings, ring);
    unlink_from(&graveyard, ring);
    pthread_mutex_unlock(&list_mutex);
    for (struct kula_ring **link = &own_rings; *link; link = &(*link)->next_own) {
        if (*link == ring) {
            *link = ring->next_own;
            break;
        }
    }
}

const struct kula_ring *kula__process_own(uint32_t ring_id)
{
    const struct kula_ring *ring = own_rings;
    while (ring && ring->id != ring_id) {
        ring = ring->next_own;
    }
    return ring;
}

const struct kula_ring *kula__process_own_any(void)
{
    return own_rings;
}

/* ---- Functions of the program -------------------------------------------------------------- */

bool kula__in_program_function(void)
{
    return in_program_function;
}

static void set_owners(uintptr_t from, uintptr_t to)
{
    for (struct kula_ring *ring = own_rings; ring; ring = ring->next_own) {
        /* relaxed: this thread compares it; a ring that fork() has wiped stays as it is */
        if (atomic_load_explicit(&ring->owner, memory_order_relaxed) == from) {
            atomic_store_explicit(&ring->owner, to, memory_order_relaxed);
        }
    }
}

bool kula__program_begin(void)
{
    bool outermost = !in_program_function;
    if (outermost) {
        in_program_function = true;
        set_owners(kula__thread_self(), KULA__OWNER_CALLS_OUT);
    }
    return outermost;
}

void kula__program_end(bool outermost)
{
    if (outermost) {
        in_program_function = false;
        set_owners(KULA__OWNER_CALLS_OUT, kula__thread_self());
    }
}

/* ---- The graveyard -------------------------------------------------------------------------- */

void kula__graveyard_put(struct kula_ring *ring)
{
    pthread_mutex_lock(&list_mutex);
    ring->next_ring = graveyard;
    graveyard = ring;
    pthread_mutex_unlock(&list_mutex);
}

struct kula_ring *kula__graveyard_take(void)
{
    pthread_mutex_lock(&list_mutex);
    struct kula_ring *ring = graveyard;
    while (ring && !kula__is_owner(ring)) {
        ring = ring->next_ring;
    }
    if (ring) {
        unlink_from(&graveyard, ring);
    }
    pthread_mutex_unlock(&list_mutex);
    return ring;
}

uint32_t kula__graveyard_count(void)
{
    uint32_t count = 0;
    pthread_mutex_lock(&list_mutex);
    for (struct kula_ring *ring = graveyard; ring; ring = ring->next_ring) {
        count += kula__is_owner(ring);
    }
    pthread_mutex_unlock(&list_mutex);
    return count;
}

/* ---- Refusals ------------------------------------------------------------------------------ */

int kula__not_owner_for(const struct kula_ring *ring, const char *operation, uint64_t word)
{
    if (!ring) {
        kula__misuse(operation, word, "the ring is NULL");
        return -EINVAL;
    }
    uintptr_t owner = atomic_load_explicit(&ring->owner, memory_order_relaxed);
    if (owner == 0) {
        kula__misuse(operation, word,
                     "the ring belongs to the parent process: open one in the child");
        return -EOWNERDEAD;
    }
    if (owner == KULA__OWNER_GONE) {
        kula__misuse(operation, word,
                     "the thread that opened the ring has ended: it should have closed it");
        return -EPERM;
    }
    if (owner == KULA__OWNER_CALLS_OUT || kula__in_program_function()) {
        kula__misuse(
            operation, word,
            "called from inside a function that the library called: only kula_wake and "
            "kula_post may be");
        return -EDEADLK;
    }
    kula__misuse(operation, word,
                 "the ring belongs to another thread: use kula_post to reach it");
    return -EPERM;
}

int kula__not_owner(const struct kula_ring *ring, const char *operation)
{
    return kula__not_owner_for(ring, operation, 0);
}
