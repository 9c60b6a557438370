/* Misuse 32: two threads hand over the same buffer.
 *
 * run:     misuse: kula_recv: stale copy
 * run:     winners: one in every round
 * run:     handing over at once: (in some rounds|there is one processor only)
 *
 * What a barrier wakes starts microseconds apart, and a hand-over takes nanoseconds: so the two watch
 * for each other, very many times. tests/conformance/misuse.c does the same with more to check.
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

#    include <pthread.h>
#    include <sched.h>
#    include <stdatomic.h>

enum {
    ROUNDS = 50000
};

struct racer {
    _Alignas(64) atomic_int ready;       /* for this round */
    _Alignas(64) atomic_int handed_over; /* the last round in which it is past that */
    _Alignas(64) atomic_int over;        /* the last round that is over for it */
    pthread_t thread;
    struct racer *other;
    kula_buf buffer; /* the first one's to set, before it is ready */
    int late;        /* in this round the other was past its hand-over before this one began */
    int won;
};

static struct racer racers[2];
static int rounds_at_once;
static int rounds_won_by_one;

static void hear_first_misuse(void *arg, const struct kula_misuse *misuse)
{
    static atomic_flag heard = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&heard)) {
        run_hear_misuse(arg, misuse);
    }
}

static cpu_set_t processors(void)
{
    cpu_set_t allowed;
    run_check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "the processors");
    return allowed;
}

/* A processor each, also where the machine is so busy that the scheduler would put both on one. */
static void settle_on(int processor)
{
    cpu_set_t set = processors();
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set) && processor-- == 0) {
            CPU_ZERO(&set);
            CPU_SET(cpu, &set);
            pthread_setaffinity_np(pthread_self(), sizeof set, &set);
            return;
        }
    }
}

static void watch_for(atomic_int *counter, int value)
{
    for (int looks = 0; atomic_load(counter) < value; looks++) {
        if (looks > 10000) {
            sched_yield(); /* the other one may need this processor */
        }
    }
}

static void run_round(struct kula_ring *ring, struct racer *self, int round)
{
    for (volatile int left = round % (self == racers ? 61 : 67); left > 0;) {
        left = left - 1;
    }
    self->late = atomic_load(&self->other->handed_over) >= round;
    self->won = kula_recv(ring, -1, &self->buffer, 64, 0, NULL) != 0;
    atomic_store(&self->handed_over, round);
    if (self->won) {
        run_event(ring); /* it is not taken, and so freed */
        run_check(!kula_next(ring), "one event only");
    }
    atomic_store(&self->over, round);
}

/* The first one provides the buffer and is the judge. */
static void begin_round(struct kula_ring *ring, struct racer *self, int round)
{
    self->buffer = kula_alloc(ring, 64);
#    ifdef CORRECTED
    self->other->buffer = kula_alloc(ring, 64);
#    else
    self->other->buffer = self->buffer;
#    endif
    atomic_store(&self->ready, round);
    watch_for(&self->other->ready, round);
}

static void end_round(struct racer *self, int round)
{
    watch_for(&self->other->over, round);
    rounds_at_once += !self->late && !self->other->late;
    rounds_won_by_one += self->won != self->other->won;
}

static void *race(void *arg)
{
    struct racer *self = arg;
    struct kula_ring *ring = run_open();
    settle_on((int)(self - racers));
    for (int round = 1; round <= ROUNDS; round++) {
        if (self == racers) {
            begin_round(ring, self, round);
        } else {
            watch_for(&self->other->ready, round);
            atomic_store(&self->ready, round);
        }
        run_round(ring, self, round);
        if (self == racers) {
            end_round(self, round);
        }
    }
    return kula_close(&ring, KULA_FOREVER) < 0 ? racers : NULL;
}

int main(void)
{
    struct run run = run_begin();
    kula_on_misuse(hear_first_misuse, NULL);
    for (int i = 0; i < 2; i++) {
        racers[i].other = &racers[1 - i];
        run_check(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0, "a thread");
    }
    for (int i = 0; i < 2; i++) {
        void *failed;
        run_check(pthread_join(racers[i].thread, &failed) == 0 && !failed, "a thread's end");
    }
    run_say("winners", rounds_won_by_one == ROUNDS ? "one in every round" : "not always one");
    cpu_set_t set = processors();
    run_say("handing over at once", rounds_at_once > 0     ? "in some rounds"
                                    : CPU_COUNT(&set) == 1 ? "there is one processor only"
                                                           : "in no round");
    return run_end(&run);
}
#endif
