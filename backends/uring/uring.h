/* uring.h - the backend on io_uring: whole batches of operations in one system call.
 *
 *   setup.c     opening: which flags hold, what the kernel has, one real round trip; why not; closing
 *   round.c     the round that most programs make most of the time, in few instructions
 *   queue.c     all others: filling the submission queue, harvesting the completion queue, waiting
 *   entry.h     entries that are simple to prepare, for both
 *   prepare.c   one submission entry for each kind of operation
 *   start.c     operations that do not simply go to the ring: by readiness, by worker, in place
 *   complete.c  completions that do not simply end an operation
 *   cancel.c    asking operations to end
 *   embed.c     the pollable descriptor
 *   fixed.c     memory that the kernel knows in advance
 *
 * The way of one operation: fill() writes its entry, with the record's word as user_data; the kernel
 * answers with that word; harvest() finds the record by it, sees that the word is still the record's,
 * and ends the operation. Both walk the queues themselves, with everything they need in locals, and
 * leave whatever is not the common case to functions that are not inlined.
 */
#ifndef KULA_BACKENDS_URING_URING_H
#define KULA_BACKENDS_URING_URING_H

#include "common/backend.h"

extern const struct kula__backend kula__backend_uring;

#endif
