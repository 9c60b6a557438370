/* process.h - what the rings of a process share: names of threads and rings, fork, the graveyard. */
#ifndef KULA_COMMON_PROCESS_H
#define KULA_COMMON_PROCESS_H

#include "ring.h"

/* A number for a new ring. Never 0, and not reused before 2^32 rings. */
uint32_t kula__process_ring_id(void);

/* Never 0, and another number in a child of fork(): what was made before belongs to its parent. */
uint32_t kula__process_generation(void);

/* Before a ring or a pool is made: installs the fork handlers once, and in a child ends what was its
 * parent's. 0 or a negative errno. */
int kula__process_init(void);

/* The lists of rings, which a child of fork() disowns. */
void kula__process_add(struct kula_ring *ring);
void kula__process_remove(struct kula_ring *ring);

/* The open ring of the calling thread with this id, or NULL. */
const struct kula_ring *kula__process_own(uint32_t ring_id);

/* The one that it opened last, or NULL. */
const struct kula_ring *kula__process_own_any(void);

/* Around every function of the program that the library calls: while it runs, the rings of this thread
 * refuse everything but kula_wake and kula_post. What the first returns is for the second. */
bool kula__program_begin(void);
void kula__program_end(bool outermost);

/* Whether the calling thread is inside such a function. */
bool kula__in_program_function(void);

/* An abandoned ring of the calling thread whose turn it is to be looked at again, taken off the
 * graveyard; NULL when there is none. */
struct kula_ring *kula__graveyard_take(void);
void kula__graveyard_put(struct kula_ring *ring);
uint32_t kula__graveyard_count(void); /* of the calling thread */

#endif
