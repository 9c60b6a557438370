/* Misuse 32: two threads hand over the same buffer.
 *
 * run:     misuse: kula_recv: stale copy
 * run:     winners: 1
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

#    include <pthread.h>
#    include <stdatomic.h>

static pthread_barrier_t start;
static atomic_int winners;

struct racer {
    pthread_t thread;
    kula_buf buffer;
    int fd;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct kula_ring *ring = run_open();
    pthread_barrier_wait(&start);
    if (kula_recv(ring, racer->fd, &racer->buffer, 64, 0, NULL) != 0) {
        atomic_fetch_add(&winners, 1);
    }
    return kula_close(&ring, KULA_FOREVER) < 0 ? racer : NULL;
}

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
#    ifdef CORRECTED
    kula_buf other = kula_alloc(run.ring, 64);
#    else
    kula_buf other = buffer;
#    endif
    struct racer racers[2] = { { .buffer = buffer, .fd = run.fds[0] },
                               { .buffer = other, .fd = run.fds[1] } };
    run_check(pthread_barrier_init(&start, NULL, 2) == 0, "a barrier");
    for (int i = 0; i < 2; i++) {
        run_check(pthread_create(&racers[i].thread, NULL, race, &racers[i]) == 0, "a thread");
    }
    for (int i = 0; i < 2; i++) {
        void *failed;
        run_check(pthread_join(racers[i].thread, &failed) == 0 && !failed, "a thread's end");
    }
    run_say("winners", atomic_load(&winners) == 1 ? "1" : "not 1");
    return run_end(&run);
}
#endif
