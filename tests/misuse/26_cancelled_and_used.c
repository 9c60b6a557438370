/* Misuse 26: an operation is cancelled, and its buffer used without waiting for its event.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_bytes: the handle is empty
 */
#include <kula.h>

int give_up(struct kula_ring *ring, int fd);

int give_up(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
    kula_op op = kula_recv(ring, fd, &buffer, 64, 0, NULL);
    kula_cancel(ring, op);
#ifdef CORRECTED
    struct kula_event *event = kula_wait(ring, KULA_FOREVER) > 0 ? kula_next(ring) : NULL;
    buffer = event ? kula_take(event) : NULL;
    if (!buffer) {
        return -1;
    }
#endif
    kula_bytes(buffer)[0] = 0;
    kula_free(&buffer);
    return 0;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    give_up(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
