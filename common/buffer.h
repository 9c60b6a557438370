/* buffer.h - buffers and vecs on their way home. */
#ifndef KULA_COMMON_BUFFER_H
#define KULA_COMMON_BUFFER_H

#include "slot.h"

/* Most buffers in a vec: IOV_MAX on Linux, and what POSIX systems have. */
#define KULA__VEC_MAX 1024u

/* The record of a handle that the program holds, or NULL. Kinds are the caller's business. */
static inline struct kula__slot *kula__held_by_program(uint64_t word)
{
    struct kula__slot *slot = kula__slot_find(word);
    /* acquire: the buffer may have been handed over by another thread through this word */
    if (kula__likely(slot && atomic_load_explicit(&slot->word, memory_order_acquire) == word &&
                     kula__word_holder(word) == KULA__HELD_BY_PROGRAM && word != 0)) {
        return slot;
    }
    return NULL;
}

/* Takes what the program holds under `word` out of its hands, if it is of the wanted kind (as
 * kula__kind_fits): its word then says that a ring has it. NULL, and reported, if not. */
struct kula__slot *kula__withdraw(uint64_t word, enum kula__kind wanted, const char *operation);

/* Gives a buffer, or a vec with what is left in it, that is done (its operation's name is `word`)
 * back to its pool. */
void kula__slot_return(struct kula__slot *slot, uint64_t word);

/* The same for one whose word still says that the ring has it, and of which no event was made. */
void kula__slot_return_unfinished(struct kula__slot *slot);

/* The first member of a vec, taken out; NULL when there is none left, or when it is not what is wanted:
 * BUFFER (any exclusive one), REF, or NONE for whatever comes. Its word still says that the ring
 * has it. */
struct kula__slot *kula__vec_take_member(struct kula__slot *vec, enum kula__kind wanted);

void kula__vec_return_members(struct kula__slot *vec);

/* Frees what the program holds under `word`, if it is of the wanted kind (as kula__kind_fits); 0 is
 * fine; anything else is misuse of `operation`. `place` is where the program did it (watch.h). */
void kula__handle_free(uint64_t word,
                       enum kula__kind wanted,
                       const char *operation,
                       const void *place);

#endif
