/* memory.h - how the memory of buffers goes home.
 *
 * Most buffers are plain: record and memory go back to their pool together, and that is all. The others
 * (KULA__KIND_SPECIAL) and references (KULA__KIND_REF) say in their cold record where their memory
 * comes from, what else there is to do, and who else depends on it:
 *
 *     frozen buffer ("root")          users = 3        its own record is the first reference;
 *       ^            ^                                 the record outlives that handle
 *     clone        slice                               parent = root, no memory of their own
 *
 * A split buffer stands in the same relation to its parts. A parent may have a parent itself: a part
 * that was frozen. Counting down may reach several records, so it is a loop.
 */
#ifndef KULA_COMMON_MEMORY_H
#define KULA_COMMON_MEMORY_H

#include "slot.h"

/* Gives back a record whose word already says "free", and with the last handle its memory. Thread:
 * any. */
void kula__memory_give(struct kula__slot *slot);

/* Makes `child`, a bare record, depend on the memory of `parent`, which the caller holds. */
void kula__memory_share(struct kula__slot *parent, struct kula__slot *child);

/* Whether what is wanted is possible at all. */
bool kula__memory_is_valid(const struct kula_memory *memory);

#endif
