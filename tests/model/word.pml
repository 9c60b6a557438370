/* word.pml - the state word of common/slot.h, and nothing else that both models share.
 *
 *     word = generation * STEP + index, holder = generation mod 4
 *
 * with the numbers that slot.h has, only smaller: as many indices as there are records, and
 * generations that start low, so that a run never wraps. Generation 0 is below every first one: the
 * empty handle names nothing.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#define STEP            SLOTS
#define INDEX(value)    ((value) % SLOTS)
#define HOLDER(value)   (((value) / STEP) % 4)
#define PROGRAM         0
#define RING            1
#define EVENT           2
#define NOBODY          3
#define FIRST_WORD(i)   (7 * STEP + (i)) /* as kula__word_begin leaves it: nobody's */

byte word[SLOTS];

#define ARROW(from, to)                                                                        \
    (((from) == NOBODY && ((to) == PROGRAM || (to) == RING)) ||                                \
     ((from) == PROGRAM && ((to) == RING || (to) == NOBODY)) ||                                \
     ((from) == RING && ((to) == EVENT || (to) == NOBODY)) ||                                  \
     ((from) == EVENT && ((to) == PROGRAM || (to) == NOBODY)))

/* Every change of a word goes along an arrow, and to a value that it never had. */
inline change(slot, value)
{
    assert(INDEX(value) == slot);
    assert(value > word[slot]);
    assert(ARROW(HOLDER(word[slot]), HOLDER(value)));
    word[slot] = value
}
