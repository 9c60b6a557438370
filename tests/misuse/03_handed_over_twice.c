/* Misuse 3: one variable is handed over twice.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_send: the handle is empty
 */
#include <kula.h>

void send_twice(struct kula_ring *ring, int fd);

void send_twice(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
#ifdef CORRECTED
    buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
#endif
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    send_twice(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
