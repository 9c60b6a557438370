/* What common/slot.h says of the state word, as contracts of the functions in it, for Frama-C's WP.
 *
 * The header is the real one: a contract that it does not fulfil is a goal that is not proved. The
 * numbers below are its own, and the goals of the_numbers_are_the_headers() say so. One more function,
 * kula__word_retire(), is what the loop of kula__slots_retire() in common/slot.c does to a record:
 * frama.py cuts it out of there.
 */
#include "common/slot.h"

#include "retire.h"

/*@ logic integer index_of(integer word) = word % 16777216;
  @ logic integer generation_of(integer word) = word / 16777216;
  @ logic integer holder_of(integer word) = (word / 16777216) % 4;
  @
  @ predicate moved(uint64_t from, uint64_t to, integer steps) =
  @     to == (uint64_t)(from + steps * 16777216);
  @
  @ // Bits as arithmetic, which WP has no rules for, and the wrap, of which it knows nothing but that
  @ // the result is in range. bits.smt2 proves all of them.
  @ axiomatic Bits {
  @   axiom low_24_bits: \forall integer w; 0 <= w < 0x10000000000000000 ==>
  @       (w & 16777215) == w % 16777216;
  @   axiom low_2_bits: \forall integer w; 0 <= w < 0x10000000000000000 ==> (w & 3) == w % 4;
  @   axiom high_40_bits: \forall integer w; 0 <= w < 0x10000000000000000 ==>
  @       (w >> 24) == w / 16777216;
  @   axiom bits_apart: \forall integer i; 0 <= i < 16777216 ==>
  @       (0x8000000003000000 | i) == 0x8000000003000000 + i;
  @   axiom holders_bits: \forall integer w; 0 <= w < 0x10000000000000000 ==>
  @       (w & 0x3000000) == (w / 16777216) % 4 * 16777216;
  @   axiom holders_bits_set: \forall integer w; 0 <= w < 0x10000000000000000 ==>
  @       (w | 0x3000000) == w + (3 - (w / 16777216) % 4) * 16777216;
  @   axiom wrap: \forall integer w; 0x10000000000000000 <= w < 0x20000000000000000 ==>
  @       (uint64_t)w == w - 0x10000000000000000;
  @ }
  @
  @ // What a move does not touch, and what it does: one generation a step, which wraps by itself.
  @ lemma two_steps_are_two_steps: \forall uint64_t from, to; moved(from, to, 2) ==>
  @     to == from + 33554432 || to == from + 33554432 - 0x10000000000000000;
  @ lemma three_steps_are_three_steps: \forall uint64_t from, to; moved(from, to, 3) ==>
  @     to == from + 50331648 || to == from + 50331648 - 0x10000000000000000;
  @ lemma a_move_keeps_the_index: \forall uint64_t from, to;
  @     moved(from, to, 1) || moved(from, to, 2) || moved(from, to, 3) ==>
  @     index_of(to) == index_of(from);
  @ lemma two_steps_and_the_holder: \forall uint64_t from, to; moved(from, to, 2) ==>
  @     holder_of(to) == (holder_of(from) + 2) % 4;
  @ lemma three_steps_and_the_holder: \forall uint64_t from, to; moved(from, to, 3) ==>
  @     holder_of(to) == (holder_of(from) + 3) % 4;
  @ lemma a_move_is_one_generation: \forall uint64_t from, to; moved(from, to, 1) ==>
  @     generation_of(to) == generation_of(from) + 1 || generation_of(to) == 0;
  @
  @ // A wrap makes no record one that was never used, whose generations kula__word_begin() would start
  @ // again: that has the word 0, and index 0 is never given out.
  @ lemma a_wrap_is_no_beginning: \forall uint64_t from, to;
  @     (moved(from, to, 1) || moved(from, to, 2) || moved(from, to, 3)) && index_of(from) != 0 ==>
  @     to != 0;
  @
  @ // Two words of one record that are less than 2^40 changes of hands apart are not equal.
  @ lemma a_value_comes_back_after_2_to_the_40: \forall integer word, changes;
  @     0 <= word < 0x10000000000000000 && 0 < changes < 0x10000000000 ==>
  @     (word + changes * 16777216) % 0x10000000000000000 != word;
  @*/

/*@ requires \valid_read(slot);
  @ assigns \nothing;
  @ ensures word: \result == slot->word;
  @*/
static inline uint64_t kula__slot_word(const struct kula__slot *slot);

/*@ assigns \nothing;
  @ ensures index: \result == index_of(word);
  @*/
static inline uint32_t kula__word_index(uint64_t word);

/*@ assigns \nothing;
  @ ensures generation: \result == generation_of(word);
  @*/
static inline uint64_t kula__word_generation(uint64_t word);

/*@ assigns \nothing;
  @ ensures holder: \result == holder_of(word);
  @*/
static inline enum kula__holder kula__word_holder(uint64_t word);

/*@ requires \valid(slot) && index < 16777216;
  @ assigns slot->word;
  @ behavior never_used:
  @   assumes slot->word == 0;
  @   ensures holder: holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @   ensures index: index_of(slot->word) == index;
  @   ensures no_address: slot->word >= 0x8000000000000000;
  @ behavior used:
  @   assumes slot->word != 0;
  @   ensures nothing_changed: slot->word == \old(slot->word);
  @ complete behaviors; disjoint behaviors;
  @*/
static inline void kula__word_begin(struct kula__slot *slot, uint32_t index);

/*@ requires \valid(slot) && holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @ assigns slot->word;
  @ ensures word: \result == slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_PROGRAM;
  @ ensures arrow: moved(\old(slot->word), slot->word, 1);
  @*/
static inline uint64_t kula__word_allocate(struct kula__slot *slot);

/*@ requires \valid(slot) && holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @ assigns slot->word;
  @ ensures word: \result == slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_RING;
  @ ensures arrow: moved(\old(slot->word), slot->word, 2);
  @*/
static inline uint64_t kula__word_start(struct kula__slot *slot);

/*@ requires \valid(slot) && \separated(slot, &__libc_single_threaded);
  @ assigns slot->word;
  @ behavior accepted:
  @   assumes slot->word == handle;
  @   ensures answer: \result == 1;
  @   ensures arrow: moved(handle, slot->word, 1);
  @   ensures holder: holder_of(handle) == KULA__HELD_BY_PROGRAM ==>
  @           holder_of(slot->word) == KULA__HELD_BY_RING;
  @ behavior refused:
  @   assumes slot->word != handle;
  @   ensures answer: \result == 0;
  @   ensures nothing_changed: slot->word == \old(slot->word);
  @ complete behaviors; disjoint behaviors;
  @*/
static inline bool kula__word_hand_over(struct kula__slot *slot, uint64_t handle);

/*@ requires \valid(slot);
  @ assigns slot->word;
  @ behavior accepted:
  @   assumes slot->word == handle;
  @   ensures answer: \result == 1;
  @   ensures arrow: moved(handle, slot->word, 3);
  @   ensures holder: holder_of(handle) == KULA__HELD_BY_PROGRAM ==>
  @           holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @ behavior refused:
  @   assumes slot->word != handle;
  @   ensures answer: \result == 0;
  @   ensures nothing_changed: slot->word == \old(slot->word);
  @ complete behaviors; disjoint behaviors;
  @*/
static inline bool kula__word_free(struct kula__slot *slot, uint64_t handle);

/*@ requires \valid(slot) && slot->word == operation;
  @ requires holder_of(operation) == KULA__HELD_BY_RING;
  @ assigns slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_EVENT;
  @ ensures arrow: moved(operation, slot->word, 1);
  @*/
static inline void kula__word_finish(struct kula__slot *slot, uint64_t operation);

/*@ requires \valid(slot) && moved(operation, slot->word, 1);
  @ requires holder_of(operation) == KULA__HELD_BY_RING;
  @ assigns slot->word;
  @ ensures word: \result == slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_PROGRAM;
  @ ensures arrow: moved(\old(slot->word), slot->word, 2);
  @*/
static inline uint64_t kula__word_take(struct kula__slot *slot, uint64_t operation);

/*@ requires \valid(slot) && moved(operation, slot->word, 1);
  @ requires holder_of(slot->word) == KULA__HELD_BY_EVENT;
  @ assigns slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @ ensures arrow: moved(\old(slot->word), slot->word, 1);
  @*/
static inline void kula__word_recycle(struct kula__slot *slot, uint64_t operation);

/*@ requires \valid(slot) && slot->word == operation;
  @ requires holder_of(operation) == KULA__HELD_BY_RING;
  @ assigns slot->word;
  @ ensures holder: holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @ ensures arrow: moved(operation, slot->word, 2);
  @*/
static inline void kula__word_undo(struct kula__slot *slot, uint64_t operation);

/*@ requires \valid(slot) && moved(handle, slot->word, 1);
  @ requires holder_of(handle) == KULA__HELD_BY_PROGRAM;
  @ assigns slot->word;
  @ ensures as_it_was: slot->word == handle;
  @*/
static inline void kula__word_hand_back(struct kula__slot *slot, uint64_t handle);

/*@ requires \valid(slot);
  @ assigns slot->word;
  @ behavior never_used:
  @   assumes slot->word == 0;
  @   ensures nothing_changed: slot->word == 0;
  @ behavior used:
  @   assumes slot->word != 0;
  @   ensures holder: holder_of(slot->word) == KULA__HELD_BY_NOBODY;
  @   ensures index: index_of(slot->word) == index_of(\old(slot->word));
  @   ensures onwards: slot->word == \old(slot->word) + (3 - holder_of(\old(slot->word))) * 16777216;
  @ complete behaviors; disjoint behaviors;
  @*/
static inline void kula__word_retire(struct kula__slot *slot);

/*@ ensures answer: \result == 1; assigns \nothing; */
int the_numbers_are_the_headers(void)
{
    return KULA__STEP == 16777216 && KULA__INDEX_MASK == 16777215 &&
           KULA__HELD_BY_PROGRAM == 0 && KULA__HELD_BY_RING == 1 && KULA__HELD_BY_EVENT == 2 &&
           KULA__HELD_BY_NOBODY == 3;
}
