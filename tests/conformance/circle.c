/* Buffers go round a circle of rings, hand to hand: none is lost, none is doubled, and whoever has one
 * sees all that was written into it before.
 *
 * Each of eight threads has a ring. A buffer carries its number and how many hops it has made. What is
 * noted beside it, in ordinary memory without locks or atomics, belongs to whoever holds the buffer, so
 * that ThreadSanitizer also says whether handing over orders what it has to.
 *
 * KULA_HOPS in the environment says how many hops: a million by itself, a tenth of that with a
 * sanitizer. ci/campaign makes ten million, and a million under ThreadSanitizer. */
#include "support/outcome.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8

/* What a buffer carries. */
struct cargo {
    uint64_t number;
    uint64_t hops;
    unsigned char filling[48]; /* changes with every hop */
};

/* What is known of a buffer; its holder's. */
struct note {
    uint64_t hops;
    const unsigned char *bytes; /* it never moves */
    unsigned home;
    unsigned arrivals; /* at the end of its way */
};

struct circle;

struct station {
    pthread_t thread;
    struct circle *circle;
    struct kula_ring *ring;
    unsigned position;
    uint64_t hops;         /* made from here */
    const char *complaint; /* the first thing that was wrong; NULL: nothing */
};

struct circle {
    struct kula_config config;
    unsigned buffers;        /* in all: a multiple of THREADS */
    uint64_t hops_of_each;   /* a multiple of THREADS, so that each ends where it began */
    struct note *notes;      /* by number */
    atomic_uint at_home;     /* buffers that have made all their hops */
    pthread_barrier_t begin; /* every ring is open */
    pthread_barrier_t end;   /* nobody will post or wake any more */
    struct station stations[THREADS];
};

static void complain(struct station *station, const char *what)
{
    if (!station->complaint) {
        station->complaint = what;
    }
}

static unsigned char filling_of(const struct cargo *cargo)
{
    return (unsigned char)(cargo->number * 31 + cargo->hops);
}

static void pass_on(struct station *station, kula_buf buffer)
{
    struct circle *circle = station->circle;
    struct cargo *cargo = (struct cargo *)(void *)kula_bytes(buffer);
    struct note *note = &circle->notes[cargo->number];
    cargo->hops++;
    note->hops++;
    memset(cargo->filling, filling_of(cargo), sizeof cargo->filling);
    station->hops++;
    int32_t value = (int32_t)(cargo->hops & INT32_MAX);
    struct station *next = &circle->stations[(station->position + 1) % THREADS];
    if (kula_post(next->ring, &buffer, value, note) != 0) {
        complain(station, "a post was refused");
    }
}

static void check(struct station *station, const struct kula_event *event, kula_buf buffer)
{
    struct circle *circle = station->circle;
    const struct cargo *cargo = (const struct cargo *)(const void *)kula_bytes(buffer);
    if (kula_capacity(buffer) != sizeof *cargo || cargo->number >= circle->buffers) {
        complain(station, "a buffer is not one of ours");
        return;
    }
    const struct note *note = &circle->notes[cargo->number];
    if (event->user != note || event->result != (int32_t)(cargo->hops & INT32_MAX)) {
        complain(station, "a message came with another's buffer");
    }
    if (note->bytes != kula_bytes(buffer)) {
        complain(station, "a buffer has moved");
    }
    if (note->hops != cargo->hops ||
        (note->home + cargo->hops) % THREADS != station->position) {
        complain(station, "a hop was lost or doubled");
    }
    for (size_t i = 0; i < sizeof cargo->filling; i++) {
        if (cargo->filling[i] != filling_of(cargo)) {
            complain(station, "a byte is an older or a newer hop's");
        }
    }
}

static void wake_all(struct circle *circle)
{
    for (int i = 0; i < THREADS; i++) {
        kula_wake(circle->stations[i].ring);
    }
}

static void receive(struct station *station, struct kula_event *event)
{
    struct circle *circle = station->circle;
    kula_buf buffer = kula_take(event);
    if (!buffer || !(event->flags & KULA_EVENT_MESSAGE)) {
        complain(station, "an event without a buffer");
        return;
    }
    check(station, event, buffer);
    const struct cargo *cargo = (const struct cargo *)(const void *)kula_bytes(buffer);
    if (station->complaint) {
        kula_free(&buffer);
        return;
    }
    if (cargo->hops < circle->hops_of_each) {
        pass_on(station, buffer);
        return;
    }
    circle->notes[cargo->number].arrivals++;
    kula_free(&buffer);
    if (atomic_fetch_add(&circle->at_home, 1) + 1 == circle->buffers) {
        wake_all(circle);
    }
}

/* A thread that complains goes on until the harness's time limit would end it, so it says that it is
 * over instead. */
static bool is_over(struct station *station)
{
    struct circle *circle = station->circle;
    if (station->complaint) {
        atomic_store(&circle->at_home, circle->buffers);
        wake_all(circle);
    }
    return atomic_load(&circle->at_home) >= circle->buffers;
}

static void start_own(struct station *station)
{
    struct circle *circle = station->circle;
    for (unsigned i = station->position; i < circle->buffers; i += THREADS) {
        kula_buf buffer = kula_alloc(station->ring, sizeof(struct cargo));
        if (!buffer) {
            complain(station, "no memory");
            return;
        }
        struct cargo *cargo = (struct cargo *)(void *)kula_bytes(buffer);
        *cargo = (struct cargo){ .number = i };
        circle->notes[i].bytes = kula_bytes(buffer);
        circle->notes[i].home = station->position;
        pass_on(station, buffer);
    }
}

static void *run(void *arg)
{
    struct station *station = arg;
    struct circle *circle = station->circle;
    if (kula_open(&circle->config, &station->ring) != 0) {
        complain(station, "no ring");
    }
    pthread_barrier_wait(&circle->begin);
    for (int i = 0; i < THREADS; i++) {
        if (!circle->stations[i].ring) {
            return NULL; /* all say so */
        }
    }
    start_own(station);
    while (!is_over(station)) {
        if (kula_wait(station->ring, KULA_FOREVER) < 0) {
            complain(station, "a wait failed");
        }
        for (struct kula_event *event; (event = kula_next(station->ring));) {
            receive(station, event);
        }
    }
    pthread_barrier_wait(&circle->end);
    if (kula_outstanding(station->ring) != 0 || kula_close(&station->ring, PATIENCE_NS) != 0) {
        complain(station, "the ring does not close");
    }
    return NULL;
}

static void go_round(unsigned buffers, uint64_t hops)
{
    static struct circle circle;
    memset(&circle, 0, sizeof circle);
    uint64_t together = (uint64_t)buffers * THREADS; /* hops while each goes round once */
    uint64_t rounds = (hops + together - 1) / together;
    circle.config = harness_config();
    circle.buffers = buffers;
    circle.hops_of_each = rounds * THREADS;
    circle.notes = calloc(buffers, sizeof *circle.notes);
    assert_non_null(circle.notes);
    assert_int_equal(pthread_barrier_init(&circle.begin, NULL, THREADS), 0);
    assert_int_equal(pthread_barrier_init(&circle.end, NULL, THREADS), 0);
    int64_t began_ns = harness_now_ns();
    for (unsigned i = 0; i < THREADS; i++) {
        circle.stations[i].circle = &circle;
        circle.stations[i].position = i;
        assert_int_equal(
            pthread_create(&circle.stations[i].thread, NULL, run, &circle.stations[i]), 0);
    }
    uint64_t made = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(circle.stations[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        if (circle.stations[i].complaint) {
            fail_msg("station %u: %s", i, circle.stations[i].complaint);
        }
        made += circle.stations[i].hops;
    }
    for (unsigned i = 0; i < buffers; i++) {
        assert_int_equal(circle.notes[i].arrivals, 1);
        assert_true(circle.notes[i].hops == circle.hops_of_each);
    }
    assert_true(made == circle.hops_of_each * buffers);
    print_message("%" PRIu64 " hops of %u buffers in %" PRId64 " ms\n", made, buffers,
                  (harness_now_ns() - began_ns) / KULA_MILLISECOND);
    pthread_barrier_destroy(&circle.begin);
    pthread_barrier_destroy(&circle.end);
    free(circle.notes);
}

static uint64_t wanted_hops(void)
{
    const char *text = getenv("KULA_HOPS");
    uint64_t hops = text ? strtoull(text, NULL, 10) : 0;
    return hops ? hops : harness_sanitized() ? 100000 : 1000000;
}

static void every_buffer_of_many_comes_home_once(void **state)
{
    (void)state;
    go_round(8 * THREADS, wanted_hops());
}

/* Nearly every hop wakes a ring that sleeps: a wake-up that is lost ends it all. */
static void few_buffers_find_every_sleeping_ring(void **state)
{
    (void)state;
    go_round(1, wanted_hops() / 50);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(every_buffer_of_many_comes_home_once),
        PROVES(few_buffers_find_every_sleeping_ring),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
