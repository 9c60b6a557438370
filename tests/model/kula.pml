/* kula.pml - one ring: its thread, the kernel, and a worker.
 *
 * The program calls every function with every value that could be a handle, a name or an event's
 * holder of each record: the current one, and those before it. What is accepted has to be what the
 * ghosts say the program really has; the ghosts are written when something is given to the program or
 * by it, and no condition of the library looks at them.
 *
 * A step of the library stands alone where the code does several in one call, so that the program may
 * do anything in between: the model has all runs of the code and some more. Names in capitals after
 * #ifdef are the planted errors.
 */
#include "word.pml"

#ifndef OPERATIONS
#define OPERATIONS 3 /* hand-overs in one run */
#endif
#ifndef LIVES
#define LIVES 3 /* allocations in one run */
#endif
#ifndef BACK
#define BACK 4 /* how old a value the program presents, in changes of hands: a whole life */
#endif

/* Where a record is. It is in one place at a time: its member `next` links it into one list. */
#define HOME     0 /* free, with its pool */
#define HELD     1 /* with the program */
#define PENDING  2
#define REFUSED  3
#define KERNEL   4
#define QUEUED   5 /* for a worker */
#define WORKING  6 /* in a worker's call */
#define INBOX    7 /* brought home by the worker */
#define DONE     8
#define PULLED   9 /* of the current event: next points to itself */
byte place[SLOTS];

/* The record's attention bits. */
bool cancelled[SLOTS];
bool detached[SLOTS];
bool zero_copy[SLOTS];

/* The kernel: what it has of each record, and how far it is. */
#define IDLE    0
#define WAITING 1
#define RUNNING 2
#define SENT    3 /* zero copy: the first completion is posted, the pages are still read */
byte user_data[SLOTS];
byte stage[SLOTS];

#define RESULT       0
#define CANCELLED    1
#define MORE         2 /* zero copy: the result; the notification follows */
#define NOTIFICATION 3
#define ANSWER       4 /* to a cancel; its user_data is two steps from the operation's */
chan completions[SLOTS] = [4] of { byte, byte };
chan cancels[SLOTS] = [2] of { byte };

/* The ring. */
byte in_flight;
byte event;     /* holder of the current event; 0: there is none, or its buffer was taken */
bool closing;
bool destroyed; /* the ring's and the backend's memory is gone */

/* Ghosts: what the program has been given and not given back. */
byte handle[SLOTS]; /* the handle that it holds */
byte name[SLOTS];   /* the operation whose final event it has not seen */
byte owed;          /* the holder of the event whose buffer it may still take */
bool asked[SLOTS];  /* it, or the ring for it when closing, wants that one to end */
bool left[SLOTS];   /* it has detached that one */

byte operations_left = OPERATIONS;
byte lives_left = LIVES;

/* ---- What has to hold ------------------------------------------------------------------------ */

/* The kernel, or a worker, reads or writes the memory of a record. */
inline system_touches(i)
{
    assert(!destroyed);
    assert(handle[i] == 0); /* nobody but the holder */
    assert(place[i] == KERNEL || place[i] == WORKING)
}

/* Memory goes back to its pool. */
inline come_home(i)
{
    assert(handle[i] == 0);
    assert(name[i] == 0); /* nothing is freed in flight */
    assert(stage[i] == IDLE && place[i] != WORKING && place[i] != QUEUED);
    place[i] = HOME
}

/* ---- The library ----------------------------------------------------------------------------- */

#define NAMES_HELD(value) (word[i] == (value) && HOLDER(value) == PROGRAM && (value) != 0)
#define NAMES_IN_FLIGHT(value) (word[i] == (value) && HOLDER(value) == RING && !detached[i])
#ifdef CANCEL_IGNORES_GENERATION
#define MAY_CANCEL(value) (HOLDER(word[i]) == RING && !detached[i])
#else
#define MAY_CANCEL(value) NAMES_IN_FLIGHT(value)
#endif
#ifdef KERNEL_IGNORES_GENERATION
#define KERNEL_MATCHES(value) true
#else
#define KERNEL_MATCHES(value) (user_data[i] == (value))
#endif
#define NAMES_DONE(value)   (word[i] == (value) + STEP && HOLDER(value) == RING && place[i] == DONE)
#define NAMES_PULLED(value) (word[i] == (value) + STEP && HOLDER(value) == RING && place[i] == PULLED)

inline recycle(i)
{
    change(i, word[i] + STEP);
    come_home(i)
}

/* An event that nobody will see: only after a detach, or when the ring goes. */
inline drop(i)
{
    assert(name[i] != 0);
    assert(left[i] || closing);
    name[i] = 0;
    recycle(i)
}

inline finish(i)
{
    change(i, word[i] + STEP);
    assert(in_flight > 0);
    in_flight--;
    place[i] = DONE;
    if
    :: detached[i] -> drop(i)
    :: else
    fi
}

inline hand_over(value)
{
    if
    :: NAMES_HELD(value) ->
        assert(handle[i] == value);
        assert(name[i] == 0);
        handle[i] = 0;
        change(i, value + STEP);
        name[i] = word[i];
        asked[i] = false;
        left[i] = false;
        cancelled[i] = false;
        detached[i] = false;
        in_flight++;
        if
        :: closing -> place[i] = REFUSED
        :: !closing -> place[i] = PENDING; zero_copy[i] = false
        :: !closing -> place[i] = PENDING; zero_copy[i] = true
        :: !closing -> place[i] = REFUSED /* a bad length, a closed descriptor */
        fi;
        operations_left--
    :: else -> assert(handle[i] != value || value == 0)
    fi
}

inline free(value)
{
    if
#ifdef FREE_IN_FLIGHT
    :: word[i] == value && (HOLDER(value) == PROGRAM || HOLDER(value) == RING) ->
#else
    :: NAMES_HELD(value) ->
        assert(handle[i] == value);
#endif
        handle[i] = 0;
        word[i] = value + (NOBODY - HOLDER(value)) * STEP;
        come_home(i)
    :: else -> assert(handle[i] != value || value == 0)
    fi
}

/* The program reads or writes, through kula_bytes. */
inline touch(value)
{
    if
    :: NAMES_HELD(value) ->
        assert(handle[i] == value);
        assert(place[i] == HELD && stage[i] == IDLE)
    :: else -> assert(handle[i] != value || value == 0)
    fi
}

/* One cancel for each operation, whoever asks: kula__cancel_slot. */
inline ask_to_end(i)
{
    if
    :: cancelled[i] || place[i] == REFUSED -> skip /* -EALREADY */
    :: else ->
        cancelled[i] = true;
        if
#ifdef CANCEL_RETURNS_AT_ONCE
        :: place[i] == KERNEL -> finish(i)
#else
        :: place[i] == KERNEL -> cancels[i]!word[i]
#endif
        :: place[i] == QUEUED -> finish(i)
        :: else /* pending: the mark is enough; in a worker's call: -EALREADY */
        fi
    fi
}

inline cancel(value)
{
    if
    :: MAY_CANCEL(value) ->
        if
        :: value == name[i] -> asked[i] = true
        :: else
        fi;
        ask_to_end(i)
    :: else -> assert(name[i] != value || value == 0 || left[i] || HOLDER(word[i]) == EVENT)
    fi
}

inline detach(value)
{
    if
    :: NAMES_IN_FLIGHT(value) ->
        assert(name[i] == value);
        left[i] = true;
#ifdef DETACH_RECYCLES_AT_ONCE
        name[i] = 0;
        in_flight--;
        change(i, word[i] + 2 * STEP);
        come_home(i)
#else
        detached[i] = true
#endif
    :: NAMES_DONE(value) ->
        assert(name[i] == value);
        left[i] = true;
        drop(i)
    :: else -> assert(name[i] != value || value == 0 || left[i] || place[i] == PULLED)
    fi
}

/* kula_take, with the holder of the current event or of a copy of one. */
inline take(value)
{
    if
    :: NAMES_PULLED(value) ->
        assert(owed == value);
#ifdef TAKE_KEEPS_WORD
        handle[i] = value + 3 * STEP;
#else
        change(i, value + 3 * STEP);
        handle[i] = word[i];
#endif
        place[i] = HELD;
        owed = 0;
        if
        :: event = 0
        :: true /* out of a copy: the ring's own event does not know */
        fi
    :: else -> assert(owed != value || value == 0)
    fi
}

/* The current event is over: what it still holds is recycled. */
inline end_event()
{
    if
    :: event != 0 ->
        i = INDEX(event);
        if
#ifdef EVENT_RECYCLES_UNCOMPARED
        :: true ->
#else
        :: word[i] == event + STEP ->
#endif
            assert(owed == event);
            owed = 0;
            recycle(i)
        :: else
        fi;
        event = 0
    :: else
    fi
}

inline next(which)
{
    end_event();
    i = which;
    if
    :: place[i] == DONE ->
        assert(name[i] == word[i] - STEP); /* one final event, and of this operation */
        assert(!left[i]);
        name[i] = 0;
        place[i] = PULLED;
        event = word[i] - STEP;
        owed = event
    :: else
    fi
}

/* What a flush does with one record. */
inline flush(i)
{
    if
    :: place[i] == REFUSED || (place[i] == PENDING && cancelled[i]) -> finish(i)
    :: place[i] == PENDING && !cancelled[i] ->
        place[i] = KERNEL;
        user_data[i] = word[i];
        stage[i] = WAITING
    :: place[i] == PENDING && !cancelled[i] && !zero_copy[i] -> place[i] = QUEUED
    :: else
    fi
}

/* What a completion of the kernel means: kula__uring_complete. */
#ifdef COMPLETION_UNCOMPARED
#define IS_OF_NOW(value) (HOLDER(word[i]) == RING)
#else
#ifdef FINISHED_TWICE
#define IS_OF_NOW(value) (value == word[i] || value == word[i] - STEP)
#else
#define IS_OF_NOW(value) (HOLDER(word[i]) == RING && value == word[i])
#endif
#endif
#ifdef FIRST_COMPLETION_ENDS
#define IS_NOT_LAST NOTIFICATION
#else
#define IS_NOT_LAST MORE
#endif
inline complete(i, value, kind)
{
    if
    :: IS_OF_NOW(value) ->
        if
        :: kind == IS_NOT_LAST
        :: else ->
            assert(kind != CANCELLED || asked[i]); /* no name hits a later operation */
            finish(i)
        fi
#ifdef ANSWER_ENDS
    :: HOLDER(word[i]) == RING && kind == ANSWER && value == word[i] + 2 * STEP -> finish(i)
#endif
    :: else /* the answer to a cancel, or the operation has ended meanwhile */
    fi
}

/* Nothing is in flight: consumes what nobody pulled, and frees the ring. */
inline destroy()
{
    end_event();
    i = 0;
    do
    :: i < SLOTS ->
        if
        :: place[i] == DONE -> drop(i)
        :: else
        fi;
        i++
    :: else -> break
    od;
    destroyed = true;
    i = 0;
    do
    :: i < SLOTS ->
        assert(stage[i] == IDLE && (place[i] == HOME || place[i] == HELD));
        assert(name[i] == 0);
        i++
    :: else -> break
    od
}

inline ask_everything_to_end()
{
    i = 0;
    do
    :: i < SLOTS ->
        if
        :: HOLDER(word[i]) == RING -> asked[i] = true; ask_to_end(i)
        :: else
        fi;
        i++
    :: else -> break
    od
}

/* ---- The program, on the ring's thread --------------------------------------------------------- */

/* Sets i to one of the records for which the condition holds; blocks while there is none. */
#define CHOOSE(CONDITION)                                                                      \
    if                                                                                         \
    :: CONDITION(0) -> i = 0                                                                   \
    :: CONDITION(1) -> i = 1                                                                   \
    fi
#define MAY_ALLOCATE(i)  (!destroyed && lives_left > 0 && place[i] == HOME && stage[i] == IDLE)
#ifdef ENDS
#define HAS_HANDLE(i)    (handle[i] != 0)
#define MAY_HAND_OVER(i) (handle[i] != 0 && operations_left > 0 && !destroyed)
#define MAY_ASK(i)       (name[i] != 0 && HOLDER(word[i]) == RING && !asked[i] && !left[i])
#define MAY_LEAVE(i)     (name[i] != 0 && !left[i])
#define MAY_TAKE(i)      (owed != 0 && INDEX(owed) == i)
#else
#define ANY(i)           true
#endif
#define MAY_PULL(i)      (!destroyed && (place[i] == DONE || event != 0))
#define MAY_FLUSH(i)     (!destroyed && (place[i] == PENDING || place[i] == REFUSED))
#define MAY_REAP(i)      (!destroyed && (nempty(completions[i]) || place[i] == INBOX))

/* What there is of this record for the ring's thread to bring home. */
inline reap()
{
    if
    :: completions[i]?value, kind -> complete(i, value, kind)
#ifdef FINISHED_TWICE
    :: completions[i]?<value, kind> -> complete(i, value, kind)
#endif
    :: place[i] == INBOX -> finish(i)
    fi
}

/* A value that is, or was, a handle or a name of this record, or an event's holder. */
inline choose_value()
{
    kind = 0;
    do
    :: kind < BACK -> kind++
    :: break
    od;
    value = word[i] - kind * STEP;
    kind = 0
}

active proctype Program()
{
    byte i, value, kind;
    byte busy; /* closes that gave up */

    atomic {
        i = 0;
        do
        :: i < SLOTS -> word[i] = FIRST_WORD(i); i++
        :: else -> break
        od
    }
    do
    :: atomic { /* kula_alloc */
        CHOOSE(MAY_ALLOCATE);
        lives_left--;
        change(i, word[i] + STEP);
        place[i] = HELD;
        handle[i] = word[i];
        i = 0
       }
#ifdef ENDS /* only calls that change something, so that a run that goes on for ever is one too many */
    :: atomic { CHOOSE(HAS_HANDLE); value = handle[i]; free(value); i = 0; value = 0 }
    :: atomic { CHOOSE(MAY_HAND_OVER); value = handle[i]; hand_over(value); i = 0; value = 0 }
    :: atomic { CHOOSE(MAY_ASK); value = name[i]; cancel(value); i = 0; value = 0 }
    :: atomic { CHOOSE(MAY_LEAVE); value = name[i]; detach(value); i = 0; value = 0 }
    :: atomic { CHOOSE(MAY_TAKE); value = owed; take(value); i = 0; value = 0 }
#else
    :: atomic {
        CHOOSE(ANY);
        choose_value();
        if
        :: !destroyed && operations_left > 0 -> hand_over(value)
        :: true -> free(value)
        :: true -> touch(value)
        :: !destroyed -> cancel(value)
        :: !destroyed -> detach(value)
        :: !destroyed -> take(value)
        fi;
        i = 0;
        value = 0
       }
#endif
    :: atomic { CHOOSE(MAY_PULL); next(i); i = 0 }
    :: atomic { CHOOSE(MAY_FLUSH); flush(i); i = 0 }
    :: atomic { CHOOSE(MAY_REAP); reap(); i = 0; value = 0; kind = 0 }
    :: atomic { /* kula_close: asks everything to end */
        !destroyed -> closing = true;
        ask_everything_to_end();
        i = 0
       };
        do /* and reaps it, or gives up: the program may go on, and call it again */
        :: atomic { CHOOSE(MAY_FLUSH); flush(i); i = 0 }
        :: atomic { CHOOSE(MAY_REAP); reap(); i = 0; value = 0; kind = 0 }
#ifdef CLOSE_WITHOUT_DRAIN
        :: atomic { true -> destroy(); i = 0; break }
#else
        :: atomic { in_flight == 0 -> destroy(); i = 0; break }
#endif
#ifdef CLOSE_POLLS_FOR_EVER
        :: in_flight > 0
#endif
        :: atomic { in_flight > 0 && busy == 0 -> /* -EBUSY */
            busy++;
#ifdef BUSY_CLOSE_FREES
            destroy();
#endif
            break
           }
        od
    :: atomic {
        destroyed && handle[0] == 0 && handle[1] == 0 ->
        assert(HOLDER(word[0]) == NOBODY && HOLDER(word[1]) == NOBODY); /* all are home */
        assert(place[0] == HOME && place[1] == HOME && in_flight == 0);
        break
       }
    od
}

/* ---- The system -------------------------------------------------------------------------------- */

inline end_in_kernel(i, kind)
{
    stage[i] = IDLE;
    completions[i]!user_data[i], kind;
    user_data[i] = 0
}

proctype Kernel(byte i)
{
    byte value;
end:
    do
    :: atomic { stage[i] == WAITING -> stage[i] = RUNNING; system_touches(i) }
    :: atomic {
        stage[i] == RUNNING -> system_touches(i);
        if
        :: zero_copy[i] -> completions[i]!user_data[i], MORE; stage[i] = SENT
        :: else -> end_in_kernel(i, RESULT)
        fi
       }
    :: atomic { stage[i] == SENT -> system_touches(i); end_in_kernel(i, NOTIFICATION) }
    :: atomic {
        /* A cancel that has worked is told by the operation's own completion. The answer may say
         * that there is nothing (-ENOENT) of an operation that is under way. */
        cancels[i]?value ->
        if
        :: (stage[i] == WAITING || stage[i] == RUNNING) && KERNEL_MATCHES(value) ->
            end_in_kernel(i, CANCELLED)
        :: true
        fi;
        completions[i]!value + 2 * STEP, ANSWER;
        value = 0
       }
    od
}

proctype Worker()
{
end:
    do
    :: atomic { place[0] == QUEUED -> place[0] = WORKING; system_touches(0) }
    :: atomic { place[1] == QUEUED -> place[1] = WORKING; system_touches(1) }
    :: atomic { place[0] == WORKING -> system_touches(0); place[0] = INBOX }
    :: atomic { place[1] == WORKING -> system_touches(1); place[1] = INBOX }
    od
}

init
{
    atomic { run Kernel(0); run Kernel(1); run Worker() }
}
