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
 * Clones of clones, and slices of slices, have the same parent. A split buffer stands in the same
 * relation to its parts, and to the parts of its parts:
 *
 *     split buffer                    users = 1 + 2 parts
 *       ^            ^
 *     part  <-+    part               parent = the split buffer; KULA__PART
 *             |
 *           clone                     a part that was frozen counts its references by itself
 *
 * `users` counts the two apart, because parts do not keep a reference from being the last one: handles
 * of the record itself and references in its lower half, parts in its upper half. It is valid with
 * KULA__SHARED, which is set while nobody but the holder of the record can see it, and cleared when
 * that is so again. So the other holders only ever read traits, kind and place.
 */
#ifndef KULA_COMMON_MEMORY_H
#define KULA_COMMON_MEMORY_H

#include "slot.h"

/* Gives back a record whose word already says "free", and with the last handle its memory. Thread:
 * any. */
void kula__memory_give(struct kula__slot *slot);

/* From here on `users` of a record counts: its own handle. Nothing changes if it does already; else the
 * caller has to be its holder. */
void kula__memory_count(struct kula__slot *slot);

/* Makes `child`, a bare record, depend on the memory of `parent`: as a reference, or with KULA__PART as
 * a part. The caller holds the parent, or something that depends on it. */
void kula__memory_share(struct kula__slot *parent, struct kula__slot *child, uint8_t traits);

/* How many handles there are of a counted record and its references. */
uint32_t kula__memory_references(const struct kula__slot *slot);

/* Makes a record whose only handle the caller holds an exclusive buffer: a plain one again if nobody
 * depends on it any more. */
void kula__memory_settle(struct kula__slot *slot);

/* Whether what is wanted is possible at all. */
bool kula__memory_is_valid(const struct kula_memory *memory);

#endif
