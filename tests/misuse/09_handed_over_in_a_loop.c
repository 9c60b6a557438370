/* Misuse 9: one buffer is handed over in every round of a loop.
 *
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_recv: the handle is empty
 */
#include <kula.h>

void receive_many(struct kula_ring *ring, int fd);

void receive_many(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    for (int round = 0; round < 3; round++) {
        kula_recv(ring, fd, &buffer, 4096, 0, NULL);
#ifdef CORRECTED
        buffer = kula_alloc(ring, 4096);
        if (!buffer) {
            return;
        }
#endif
    }
#ifdef CORRECTED
    kula_free(&buffer);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    receive_many(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
