/* Misuse 34: an operation is cancelled on a ring that it does not belong to.
 *
 * run:     cancel: No such file or directory
 * run:     event: received
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    struct kula_ring *other = run_open();
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_op op = kula_recv(run.ring, run.fds[0], &buffer, 64, 0, NULL);
#    ifdef CORRECTED
    int error = kula_cancel(run.ring, op);
#    else
    int error = kula_cancel(other, op);
#    endif
    run_say("cancel", error < 0 ? strerror(-error) : "asked");
    if (error < 0) {
        run_put(&run, "some");
    }
    struct kula_event *event = run_event(run.ring);
    run_say("event", event->result < 0 ? strerror(-event->result) : "received");
    run_check(kula_close(&other, 0) == 0, "the other ring closes");
    return run_end(&run);
}
#endif
