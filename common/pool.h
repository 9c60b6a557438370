/* pool.h - where buffers come from and go back to.
 *
 * A pool belongs to a ring's thread. Buffers of up to 1 MiB are cut from regions of pages and keep
 * their memory when they are freed, in a list for each size class; larger ones have a mapping of
 * their own. A buffer may be freed on any thread: then it goes on a lock-free list that the owner
 * empties. When the ring is gone the pool stays until its last buffer is freed, by whomever.
 */
#ifndef KULA_COMMON_POOL_H
#define KULA_COMMON_POOL_H

#include "slot.h"

struct kula__pool;
struct kula__settings;

/* What the home of buffers begins with, be it a ring's pool or a kula_pool (stock.h). */
struct kula__home {
    _Atomic uintptr_t owner; /* kula__pool_self() of who may take without a lock; 0: nobody */
    uint32_t alive; /* kula__process_generation() at the time; a child of fork() reads 0 */
};

/* Who the calling thread is, for an owner: different for every live thread, never 0. */
uintptr_t kula__pool_self(void);

/* What buffers of this size and more are aligned to, whatever the system's page; smaller ones to 64. */
#define KULA__POOL_PAGE 4096u
#define KULA__POOL_LINE 64u

/* NULL: no memory. Thread: the ring's owner, as for all that does not say otherwise. */
struct kula__pool *kula__pool_new(void);

/* A free record with memory for `size_bytes`: data, capacity and kind are set. NULL: no memory. */
struct kula__slot *kula__pool_take(struct kula__pool *pool, size_t size_bytes);

/* A free record without memory, for a vec. */
struct kula__slot *kula__pool_take_bare(struct kula__pool *pool);

/* The same on any thread: of the pool of `relative` if the calling thread owns that, else of one that
 * the whole process shares. For references and parts, which may be made wherever one is held. */
struct kula__slot *kula__pool_take_relative(const struct kula__slot *relative);

/* Keep the shared pool still while fork() copies it. */
void kula__pool_lock_shared(void);
void kula__pool_unlock_shared(void);

/* Gives back a record whose word already says "free". Thread: any. */
void kula__pool_give(struct kula__slot *slot);

/* Whether the pool of a record is the parent's, seen from a child of fork(). Thread: any. */
bool kula__pool_is_of_parent(const struct kula__slot *slot);

/* Buffers and vecs that are out: with the program, a ring or an event. */
uint64_t kula__pool_held(const struct kula__pool *pool);

/* Tells the log which ones these are, at most some tens of lines. */
void kula__pool_list(const struct kula__pool *pool, const struct kula__settings *settings);

/* The ring goes. Returns how many are still out; with 0 the pool is gone, else it goes with the last
 * of them. */
uint64_t kula__pool_close(struct kula__pool *pool);

/* The size class for a request, and the bytes it stands for; KULA__CLASS_LARGE beyond the last. */
#define KULA__CLASS_LARGE UINT32_MAX
uint32_t kula__size_class(size_t size_bytes);
size_t kula__size_class_bytes(uint32_t size_class);

#endif
