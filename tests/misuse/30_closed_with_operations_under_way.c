/* Misuse 30: a ring is closed, without waiting, while an operation is under way.
 *
 * backends: uring epoll, because the blocking one has nothing that cannot be stopped
 * run:      close: Device or resource busy
 * run:      home: the buffer
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

#    include <semaphore.h>

static sem_t entered;
static int gate[2];

/* Nothing can stop a function that a worker runs. */
static int32_t hold_up(void *arg)
{
    char byte;
    (void)arg;
    sem_post(&entered);
    return (int32_t)read(gate[0], &byte, 1);
}

static void say_close(struct kula_ring **ring, int64_t drain_ns)
{
    int error = kula_close(ring, drain_ns);
    run_say("close", error < 0 ? strerror(-error) : "all is over");
}

int main(void)
{
    struct run run = run_begin();
    run_check(pipe(gate) == 0 && sem_init(&entered, 0, 0) == 0, "a gate");
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_recv(run.ring, run.fds[0], &buffer, 64, 0, NULL);
    kula_offload(run.ring, hold_up, NULL, NULL);
    run_check(kula_submit(run.ring) >= 0 && sem_wait(&entered) == 0, "it is under way");
#    ifdef CORRECTED
    run_check(write(gate[1], "", 1) == 1, "open the gate");
    say_close(&run.ring, KULA_FOREVER);
#    else
    say_close(&run.ring, 0);
    run_check(write(gate[1], "", 1) == 1, "open the gate");
    while (kula_outstanding(run.ring) > 0) {
        kula_buf home = kula_take(run_event(run.ring));
        if (home) {
            run_say("home", "the buffer");
        }
        kula_free(&home);
    }
#    endif
    return run_end(&run);
}
#endif
