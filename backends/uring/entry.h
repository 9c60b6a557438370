/* entry.h - records that are simple to prepare, and what an entry of theirs is made of. */
#ifndef KULA_BACKENDS_URING_ENTRY_H
#define KULA_BACKENDS_URING_ENTRY_H

#include "state.h"

#include <string.h>

/* What lies behind user_data in an entry (registered buffers and files, personalities) is 0 from the
 * beginning and stays so: nothing here writes it. */
static inline void kula__uring_nop_entry(struct io_uring_sqe *sqe,
                                         const struct kula__slot *slot)
{
    /* its opcode is 0, and the descriptor is not looked at */
    memset(sqe, 0, offsetof(struct io_uring_sqe, user_data));
    sqe->user_data = kula__slot_word(slot);
}

static inline void kula__uring_transfer_entry(struct io_uring_sqe *sqe,
                                              uint8_t opcode,
                                              const struct kula__slot *slot,
                                              uint64_t offset,
                                              uint32_t flags)
{
    /* member by member: a compiler that is given a whole struct clears it first */
    sqe->opcode = opcode;
    sqe->flags = 0;
    sqe->ioprio = 0;
    sqe->fd = slot->fd;
    sqe->off = offset;
    sqe->addr = (uint64_t)(uintptr_t)slot->data;
    sqe->len = slot->length;
    sqe->rw_flags = (__kernel_rwf_t)flags;
    sqe->user_data = kula__slot_word(slot);
}

/* Operation, kind and attention of a record, compared as one. */
static inline uint32_t kula__uring_nature(const struct kula__slot *slot)
{
    uint32_t nature;
    static_assert(offsetof(struct kula__slot, fd) - offsetof(struct kula__slot, operation) ==
                      sizeof nature,
                  "operation, kind and attention lie together");
    memcpy(&nature, (const char *)slot + offsetof(struct kula__slot, operation), sizeof nature);
    return nature;
}

/* The same of a record without any attention bit. */
static inline uint32_t kula__uring_plain_nature(uint8_t operation, enum kula__kind kind)
{
    const struct kula__slot plain = { .operation = operation, .kind = (uint8_t)kind };
    return kula__uring_nature(&plain);
}

#endif
