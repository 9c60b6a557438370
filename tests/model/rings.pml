/* rings.pml - two threads with a ring each: buffers go from hand to hand (kula_post), are freed on
 * the thread that does not own their pool, outlive the ring that they came from, and two threads hold
 * handles to the same one. Thread 0 owns the pool. Thread 1 sleeps when it has nothing to do.
 *
 * What other threads can see is a step of its own here: each load, store, compare-and-swap and
 * exchange of the word, the inbox, the list of the returned, and the words for sleeping. Lists that
 * were taken whole are private and are walked in one step.
 */
#include "word.pml"

#ifndef HOPS
#define HOPS 2 /* posts in one run */
#endif
#ifndef LIVES
#define LIVES 2 /* allocations in one run */
#endif

#define NONE     SLOTS
#define ORPHANED (SLOTS + 1)

/* Where a record is. */
#define HOME     0 /* in its pool's own list */
#define HELD     1 /* with the program */
#define PASSING  2 /* with a thread that is between two lists */
#define INBOX    3
#define DONE     4 /* in the list of done_of[] */
#define RETURNED 5 /* freed by a thread that does not own the pool */
byte place[SLOTS];
byte done_of[SLOTS];
byte next[SLOTS];

/* The rings. */
byte inbox[2] = NONE;
bool asleep[2];
bool woken[2];
bool signalled[2];
bool closed[2];

/* The pool. */
byte returned = NONE;
byte out;
short orphans;
bool owned = true;
bool pool_gone;

/* The program: its variables, and what it has agreed on so as not to post to a ring that is being
 * closed, which would be its error. */
byte variable[2 * SLOTS];
#define VARIABLE(thread, record) variable[(thread) * SLOTS + (record)]
bool leaving[2];
byte posting[2];
byte hops_left = HOPS;
byte lives_left = LIVES;

/* Ghosts: the one value that is a handle of the record now, or 0. */
byte handle[SLOTS];

/* ---- The word ---------------------------------------------------------------------------------- */

#define NAMES_HELD(value) (word[i] == (value) && HOLDER(value) == PROGRAM && (value) != 0)

/* From here on the caller, and nobody else, has the record. */
inline accepted(value)
{
    assert(handle[i] == value);
    assert(place[i] == HELD);
    handle[i] = 0;
    place[i] = PASSING;
    taken = true
}

inline refused(value)
{
    assert(handle[i] != value || value == 0);
    taken = false
}

inline swap(value, steps)
{
#ifdef PLAIN_HAND_OVER
    if
    :: atomic { NAMES_HELD(value) -> taken = true }
    :: atomic { !NAMES_HELD(value) -> refused(value) }
    fi;
    if
    :: atomic { taken -> word[i] = value + steps * STEP; accepted(value) }
    :: !taken
    fi
#else
    atomic {
        if
        :: NAMES_HELD(value) -> change(i, value + steps * STEP); accepted(value)
        :: else -> refused(value)
        fi
    }
#endif
}

inline becomes_handle()
{
    assert(handle[i] == 0);
    handle[i] = word[i];
    place[i] = HELD;
    VARIABLE(me, i) = word[i]
}

/* ---- The pool ---------------------------------------------------------------------------------- */

inline destroy_pool()
{
    atomic {
        assert(!pool_gone);
        pool_gone = true;
        assert(handle[0] == 0 && handle[1] == 0);
        /* who is last is still leaving, with a record that says "free" */
        assert(HOLDER(word[0]) == NOBODY && HOLDER(word[1]) == NOBODY)
    }
}

/* kula__pool_give: the word says "free" already. */
inline give()
{
    atomic {
        assert(!pool_gone && HOLDER(word[i]) == NOBODY);
        own = me == 0 && owned;
        head = returned
    };
#ifdef FREED_TO_THE_OWNERS_LIST
    own = true;
#endif
    if
    :: atomic { own -> count = out; place[i] = HOME };
       atomic { out = count - 1; count = 0 }
    :: !own ->
        do
        :: atomic {
            head == ORPHANED -> assert(!pool_gone);
            orphans--;
            place[i] = HOME;
            last = (orphans == 0)
           };
            if
            :: last -> destroy_pool()
            :: !last
            fi;
            break
        :: head != ORPHANED ->
            next[i] = head;
            atomic {
                assert(!pool_gone);
                if
                :: returned == head ->
                    returned = i;
                    place[i] = RETURNED;
                    break
                :: else -> head = returned
                fi
            }
        od
    fi;
    atomic { head = 0; own = false; last = false }
}

/* How many there are in a list that was taken whole; those of the pool's are home then. */
inline count_chain(first)
{
    count = 0;
    do
    :: first == NONE -> break
    :: else ->
        assert(place[first] == RETURNED);
        place[first] = HOME;
        count++;
        first = next[first]
    od
}

inline collect()
{
    atomic {
        head = returned;
        returned = NONE;
        count_chain(head);
        out = out - count;
        count = 0;
        head = 0
    }
}

/* kula__pool_close */
inline close_pool()
{
    owned = false;
#ifdef POOL_GOES_WITH_ITS_RING
    destroy_pool();
#else
#ifdef ORPHANS_COUNTED_FIRST
    atomic { orphans = orphans + out; head = returned };
    atomic { head = returned; returned = ORPHANED; count_chain(head); last = (orphans == count) };
    atomic { orphans = orphans - count; count = 0; head = 0 };
#else
    atomic { head = returned; returned = ORPHANED; count_chain(head); count = out - count; head = 0 };
    atomic { last = (orphans == -count); orphans = orphans + count; count = 0 };
#endif
    if
    :: last -> destroy_pool()
    :: !last
    fi;
    last = false
#endif
}

inline free(value)
{
#ifdef POOL_LOOKED_AT_FIRST
    if
    :: NAMES_HELD(value) -> assert(!pool_gone)
    :: else
    fi;
#endif
    swap(value, 3);
    if
    :: taken -> give()
    :: !taken
    fi;
    taken = false
}

/* ---- Inboxes ----------------------------------------------------------------------------------- */

inline wake(ring)
{
    atomic { last = asleep[ring]; asleep[ring] = false };
    if
    :: atomic { last -> assert(!closed[ring]); signalled[ring] = true }
    :: !last
    fi;
    last = false
}

inline post(value)
{
    swap(value, 1);
    if
    :: atomic { taken -> head = inbox[1 - me] };
        do
        :: atomic { true -> next[i] = head };
            atomic {
                assert(!closed[1 - me]);
                if
                :: inbox[1 - me] == head ->
                    inbox[1 - me] = i;
                    place[i] = INBOX;
                    break
                :: else -> head = inbox[1 - me]
                fi
            }
        od;
        head = 0;
        wake(1 - me)
    :: !taken
    fi;
    taken = false
}

/* Takes the whole inbox: each message is done now, and waits to be pulled. */
inline drain()
{
    atomic {
        head = inbox[me];
        inbox[me] = NONE;
        do
        :: head == NONE -> break
        :: else ->
            assert(place[head] == INBOX);
            change(head, word[head] + STEP);
            place[head] = DONE;
            done_of[head] = me;
            head = next[head]
        od;
        head = 0
    }
}

/* kula_wait without a limit: returns when there is something, or when it was woken. */
inline wait()
{
    asleep[me] = true;
#ifndef SLEEP_WITHOUT_LOOKING
    if
    :: inbox[me] != NONE || woken[me] -> skip
    :: inbox[me] == NONE && !woken[me] ->
#endif
        atomic { signalled[me] -> signalled[me] = false };
#ifndef SLEEP_WITHOUT_LOOKING
    fi;
#endif
    asleep[me] = false;
    woken[me] = false
}

/* ---- The threads ------------------------------------------------------------------------------- */

#define MAY_ALLOCATE(r) (me == 0 && !closed[0] && lives_left > 0 && place[r] == HOME)
#define HAS_VARIABLE(r) (VARIABLE(me, r) != 0)
#define MAY_PULL(r)     (!closed[me] && place[r] == DONE && done_of[r] == me)
#define CHOOSE(CONDITION)                                                                      \
    if                                                                                         \
    :: CONDITION(0) -> i = 0                                                                   \
    :: CONDITION(1) -> i = 1                                                                   \
    fi
#define IDLE_NOW (VARIABLE(me, 0) == 0 && VARIABLE(me, 1) == 0)

/* The thread's own handle, or a second handle to the same buffer: the other thread's, or one of an
 * earlier life that nobody has forgotten. */
#ifdef ENDS /* only calls that may change something: a run that goes on for ever is one too many */
#define SECOND_HANDLE(r) (VARIABLE(1 - me, r) != 0 && VARIABLE(1 - me, r) == word[r])
#define OLD_HANDLE(r)    false
#else
#define SECOND_HANDLE(r) (VARIABLE(1 - me, r) != 0)
#define OLD_HANDLE(r)    (HOLDER(word[r]) == PROGRAM && word[r] > 11 * STEP)
#endif
#define MAY_CHOOSE(r)    (VARIABLE(me, r) != 0 || SECOND_HANDLE(r) || OLD_HANDLE(r))
inline choose_value()
{
    if
    :: VARIABLE(me, i) != 0 -> value = VARIABLE(me, i); VARIABLE(me, i) = 0
    :: SECOND_HANDLE(i) -> value = VARIABLE(1 - me, i)
    :: OLD_HANDLE(i) -> value = word[i] - 4 * STEP
    fi
}

/* What is left of a message whose event nobody took. */
inline drop()
{
    atomic {
        assert(place[i] == DONE);
        change(i, word[i] + STEP);
        place[i] = PASSING
    };
    give()
}

inline close_ring()
{
    atomic { !closed[me] && !leaving[me] -> leaving[me] = true };
    if
    :: atomic { !leaving[1 - me] -> posting[1 - me]++ };
        woken[1 - me] = true; /* so that the other one does not wait for ever */
        wake(1 - me);
        posting[1 - me]--
    :: leaving[1 - me]
    fi;
    posting[me] == 0;
    drain();
    do
    :: atomic { CHOOSE(MAY_PULL) }; drop()
    :: atomic { !MAY_PULL(0) && !MAY_PULL(1) -> break }
    od;
    if
    :: me == 0 -> close_pool()
    :: me != 0
    fi;
    atomic { assert(inbox[me] == NONE); closed[me] = true; i = 0 }
}

proctype Thread(byte me)
{
    byte i, value, head, count;
    bool taken, last, own;

    do
    :: atomic {
        CHOOSE(MAY_ALLOCATE);
        lives_left--;
        change(i, word[i] + STEP);
        out++;
        becomes_handle();
        i = 0
       }
    :: me == 0 && !closed[0] && returned != NONE -> collect()
    :: atomic {
        CHOOSE(MAY_CHOOSE);
        choose_value()
       };
        if
        :: free(value)
        :: atomic { hops_left > 0 && !leaving[1 - me] -> hops_left--; posting[1 - me]++ };
            post(value);
            posting[1 - me]--
        fi;
        atomic { i = 0; value = 0 }
    :: !closed[me] && inbox[me] != NONE -> drain()
    :: atomic { /* pulled and taken */
        CHOOSE(MAY_PULL);
        change(i, word[i] + 2 * STEP);
        becomes_handle();
        i = 0
       }
    :: atomic { CHOOSE(MAY_PULL) }; drop(); i = 0 /* pulled and not taken */
    :: me == 1 && !closed[1] && !leaving[0] && inbox[1] == NONE && IDLE_NOW -> wait()
    :: close_ring()
    :: atomic { closed[me] && IDLE_NOW -> break }
    od
}

init
{
    atomic {
        word[0] = FIRST_WORD(0);
        word[1] = FIRST_WORD(1);
        run Thread(0);
        run Thread(1)
    };
    atomic {
        _nr_pr == 1 ->
        assert(pool_gone);
        assert(HOLDER(word[0]) == NOBODY && HOLDER(word[1]) == NOBODY);
        assert(place[0] == HOME && place[1] == HOME)
    }
}
