/* Misuse 27: a wait has timed out, and the buffer is used as if its operation were over.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_recv: the handle is empty
 */
#include <kula.h>

void receive_again(struct kula_ring *ring, int fd);

void receive_again(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
    if (kula_wait(ring, KULA_MILLISECOND) == 0) {
#ifdef CORRECTED
        buffer = kula_alloc(ring, 64);
        if (!buffer) {
            return;
        }
#endif
        kula_recv(ring, fd, &buffer, 64, 0, NULL);
    }
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    receive_again(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
