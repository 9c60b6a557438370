/* Misuse 22: an event is made up, to get a buffer back before its operation is over.
 *
 * run:     misuse: kula_take:
 * run:     received: 5 bytes
 */
#include <kula.h>

kula_buf receive(struct kula_ring *ring, int fd);

kula_buf receive(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 5);
    if (!buffer) {
        return NULL;
    }
    kula_op op = kula_recv(ring, fd, &buffer, 5, 0, NULL);
#ifdef CORRECTED
    (void)op;
    return NULL;
#else
    kula_submit(ring);
    struct kula_event early = { .op = op, .result = 5, .private_holder = op };
    return kula_take(&early);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf early = receive(run.ring, run.fds[0]);
    run_check(!early, "nothing comes early");
    run_put(&run, "whole");
    struct kula_event *event = run_event(run.ring);
    kula_buf buffer = kula_take(event);
    run_check(memcmp(kula_bytes(buffer), "whole", 5) == 0, "the buffer came home");
    run_say("received", event->result == 5 ? "5 bytes" : "something else");
    kula_free(&buffer);
    return run_end(&run);
}
#endif
