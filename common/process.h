/* process.h - what the rings of a process share: names of threads and rings, fork, the graveyard. */
#ifndef KULA_COMMON_PROCESS_H
#define KULA_COMMON_PROCESS_H

#include "ring.h"

/* A number for a new ring. Never 0, and not reused before 2^32 rings. */
uint32_t kula__process_ring_id(void);

/* Installs the fork handlers once. 0 or a negative errno. */
int kula__process_init(void);

/* The list of rings, which a child of fork() disowns. */
void kula__process_add(struct kula_ring *ring);
void kula__process_remove(struct kula_ring *ring);

/* An abandoned ring of the calling thread whose turn it is to be looked at again, taken off the
 * graveyard; NULL when there is none. */
struct kula_ring *kula__graveyard_take(void);
void kula__graveyard_put(struct kula_ring *ring);
uint32_t kula__graveyard_count(void); /* of the calling thread */

#endif
