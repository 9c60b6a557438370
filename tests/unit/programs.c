/* Every program of up to fourteen accepted calls on one buffer, through the public functions on the
 * blocking backend. At each place all calls that have to be refused are made as well, with every value
 * that was ever a handle, a name or an event's holder, and the record has to be the same afterwards.
 *
 * Which calls are accepted where, and what the next value is, says a second opinion: the table in
 * `expected`, which counts changes of hands and looks at no word.
 */
#include "unit.h"

#include "common/ring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEPTH 14

enum place {
    HOME,
    HELD,
    REFUSED, /* handed over with a bad descriptor: ends at the next wait */
    PENDING, /* to read from a pipe in which there is nothing */
    ASKED,   /* the same, asked to end before it has started */
    WAITING, /* started */
    EARLY, /* the same, asked to end: done at once on this backend, and not seen before a wait */
    DONE,
    PULLED,
    PLACES,
};

enum call {
    ALLOC,
    FREE,
    READ_NOTHING,
    READ_PIPE,
    CANCEL,
    DETACH,
    WAIT,
    NEXT,
    TAKE,
    CALLS,
};

/* Where each accepted call leads; 0 in `steps`: it is refused, or has nothing to do. */
struct outcome {
    enum place to;
    uint64_t steps; /* changes of hands */
    bool same;      /* accepted, and the word stays */
};

static const struct outcome expected[PLACES][CALLS] = {
    [HOME] = { [ALLOC] = { HELD, 1, false } },
    [HELD] = { [FREE] = { HOME, 3, false },
               [READ_NOTHING] = { REFUSED, 1, false },
               [READ_PIPE] = { PENDING, 1, false } },
    [REFUSED] = { [WAIT] = { DONE, 1, false } },
    [PENDING] = { [CANCEL] = { ASKED, 0, true }, [WAIT] = { WAITING, 0, true } },
    [ASKED] = { [WAIT] = { DONE, 1, false } },
    [WAITING] = { [CANCEL] = { EARLY, 1, false }, [WAIT] = { WAITING, 0, true } },
    [EARLY] = { [WAIT] = { DONE, 0, true }, [DETACH] = { HOME, 1, false } },
    [DONE] = { [NEXT] = { PULLED, 0, true }, [DETACH] = { HOME, 1, false } },
    [PULLED] = { [NEXT] = { HOME, 1, false }, [TAKE] = { HELD, 2, false } },
};

/* What a program that does it all has at hand. */
struct program {
    struct kula_ring *ring;
    int pipe[2];
    struct kula__slot *slot;
    uint64_t first; /* the word before the first call */
    uint64_t word;  /* as it should be */
    enum place place;
    struct kula_event *event;
    enum call path[DEPTH];
    uint64_t programs;
    uint64_t accepted;
    uint64_t refused;
};

static atomic_uint misuses;

static void hear(void *arg, const struct kula_misuse *misuse)
{
    (void)arg;
    (void)misuse;
    atomic_fetch_add(&misuses, 1);
}

/* Through a volatile, because compilers know what a handle is that was given away: they would refuse
 * to build this. */
static kula_buf buffer_of(uint64_t word)
{
    volatile uint64_t forgotten = word;
    return kula__word_handle(forgotten);
}

/* ---- Calls that are accepted -------------------------------------------------------------------- */

static void do_call(struct program *program, enum call call)
{
    struct kula_ring *ring = program->ring;
    kula_buf held = buffer_of(program->word);
    kula_op name = program->word;
    uint64_t result = program->word + expected[program->place][call].steps * KULA__STEP;
    switch (call) {
    case ALLOC:
        held = kula_alloc(ring, 64);
        assert_true(kula__handle_word(held) == result);
        break;
    case FREE:
        kula_free(&held);
        break;
    case READ_NOTHING:
        assert_true(kula_read(ring, -1, &held, 1, 0, program) == result);
        break;
    case READ_PIPE:
        assert_true(kula_read(ring, program->pipe[0], &held, 1, KULA_CUR, program) == result);
        break;
    case CANCEL:
        assert_int_equal(kula_cancel(ring, name), 0);
        break;
    case DETACH:
        assert_int_equal(kula_detach(ring, program->word - KULA__STEP), 0);
        break;
    case WAIT:
        assert_int_equal(kula_wait(ring, 0),
                         program->place != PENDING && program->place != WAITING);
        break;
    case NEXT:
        program->event = kula_next(ring);
        if (program->place == DONE) {
            assert_non_null(program->event);
            assert_true(program->event->op == program->word - KULA__STEP);
            assert_ptr_equal(program->event->user, program);
        } else {
            assert_null(program->event);
        }
        break;
    case TAKE:
        assert_true(kula__handle_word(kula_take(program->event)) == result);
        break;
    case CALLS:
        break;
    }
    program->accepted++;
    program->word = result;
    program->place = expected[program->place][call].to;
}

/* ---- Calls that are not ------------------------------------------------------------------------- */

static void expect_unchanged(struct program *program,
                             const struct kula__slot *before,
                             bool misuse)
{
    assert_int_equal(atomic_exchange(&misuses, 0), misuse);
    assert_memory_equal(program->slot, before, sizeof *before);
    program->refused++;
}

static void refuse_as_handle(struct program *program, uint64_t value)
{
    struct kula__slot before;
    memcpy(&before, program->slot, sizeof before);
    kula_buf handle = buffer_of(value);
    kula_free(&handle);
    expect_unchanged(program, &before, true);
    handle = buffer_of(value);
    assert_true(kula_read(program->ring, -1, &handle, 1, 0, program) == 0);
    expect_unchanged(program, &before, true);
    handle = buffer_of(value);
    assert_null(kula_bytes_(handle));
    expect_unchanged(program, &before, true);
    assert_int_equal(kula_post_(program->ring, handle, 0, NULL), -EINVAL);
    expect_unchanged(program, &before, true);
}

static void refuse_as_name(struct program *program, uint64_t value)
{
    struct kula__slot before;
    memcpy(&before, program->slot, sizeof before);
    assert_int_equal(kula_cancel(program->ring, value), -ENOENT);
    expect_unchanged(program, &before, false);
    assert_int_equal(kula_detach(program->ring, value), -ENOENT);
    expect_unchanged(program, &before, false);
    assert_int_equal(kula_deadline(program->ring, value, 0), -ENOENT);
    expect_unchanged(program, &before, false);
}

/* A copy of an event that is over, or that never was. */
static void refuse_as_event(struct program *program, uint64_t value)
{
    struct kula__slot before;
    memcpy(&before, program->slot, sizeof before);
    struct kula_event copy = { .private_holder = value };
    assert_null(kula_take(&copy));
    expect_unchanged(program, &before, true);
}

/* Every value of the record from before the first call to a few that it has not had yet. */
static void refuse_all(struct program *program)
{
    uint64_t end = program->word + 4 * KULA__STEP;
    enum place place = program->place;
    bool done = place == EARLY || place == DONE || place == PULLED;
    uint64_t operation = program->word - (done ? KULA__STEP : 0);
    bool named = place != HOME && place != HELD && place != PULLED;
    for (uint64_t value = program->first; value <= end; value += KULA__STEP) {
        if (place != HELD || value != program->word) {
            refuse_as_handle(program, value);
        }
        if (!named || value != operation) {
            refuse_as_name(program, value);
        }
        if (place != PULLED || value != operation) {
            refuse_as_event(program, value);
        }
    }
}

/* ---- All programs ------------------------------------------------------------------------------- */

static void come_home(struct program *program)
{
    while (program->place != HOME) {
        static const enum call way_home[PLACES] = {
            [HELD] = FREE,      [REFUSED] = WAIT, [PENDING] = CANCEL, [ASKED] = WAIT,
            [WAITING] = CANCEL, [EARLY] = WAIT,   [DONE] = NEXT,      [PULLED] = NEXT,
        };
        do_call(program, way_home[program->place]);
    }
    kula_next(program->ring);
    program->event = NULL;
}

/* Starts over and goes to the end of the first `depth` calls of the path. */
static void replay(struct program *program, int depth)
{
    come_home(program);
    program->first = program->word;
    for (int i = 0; i < depth; i++) {
        do_call(program, program->path[i]);
    }
}

static void walk(struct program *program, int depth)
{
    program->programs++;
    assert_true(kula__slot_word(program->slot) == program->word);
    refuse_all(program);
    if (depth == DEPTH) {
        return;
    }
    enum place place = program->place;
    for (enum call call = 0; call < CALLS; call++) {
        const struct outcome *outcome = &expected[place][call];
        if (outcome->steps > 0 || outcome->same) {
            program->path[depth] = call;
            replay(program, depth + 1);
            walk(program, depth + 1);
        }
    }
}

static void every_program_of_fourteen_calls_keeps_the_rules(void **state)
{
    (void)state;
    struct program program = { .place = HOME };
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:blocking";
    assert_int_equal(kula_open(&config, &program.ring), 0);
    assert_int_equal(pipe(program.pipe), 0);
    kula_on_misuse(hear, NULL);
    kula_buf buffer = kula_alloc(program.ring, 64);
    program.slot = kula__slot_find(kula__handle_word(buffer));
    kula_free(&buffer);
    program.word = kula__slot_word(program.slot);
    program.first = program.word;
    walk(&program, 0);
    come_home(&program);
    print_message("%llu programs, %llu accepted calls, %llu refused ones\n",
                  (unsigned long long)program.programs, (unsigned long long)program.accepted,
                  (unsigned long long)program.refused);
    kula_on_misuse(NULL, NULL);
    close(program.pipe[0]);
    close(program.pipe[1]);
    assert_int_equal(kula_close(&program.ring, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_program_of_fourteen_calls_keeps_the_rules),
    };
    return UNIT_MAIN(tests);
}
