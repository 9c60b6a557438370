/* Misuse 25: an operation that is over is cancelled while its buffer is in the next one.
 *
 * run:     cancel: No such file or directory
 * run:     next: received
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_op op = kula_recv(run.ring, run.fds[0], &buffer, 64, 0, NULL);
    run_put(&run, "first");
    buffer = kula_take(run_event(run.ring));
    kula_op next = kula_recv(run.ring, run.fds[0], &buffer, 64, 0, NULL);
    run_check(kula_submit(run.ring) >= 0, "submit");
#    ifdef CORRECTED
    op = next;
#    else
    (void)next;
#    endif
    int error = kula_cancel(run.ring, op);
    run_say("cancel", error < 0 ? strerror(-error) : "asked");
    if (error < 0) {
        run_put(&run, "second");
    }
    struct kula_event *event = run_event(run.ring);
    run_say("next", event->result < 0 ? strerror(-event->result) : "received");
    return run_end(&run);
}
#endif
