/* Misuse 1: the handle is used after its buffer was handed over.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_bytes: the handle is empty
 */
#include <kula.h>

int first_byte(struct kula_ring *ring, int fd);

int first_byte(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return -1;
    }
#ifdef CORRECTED
    int first = kula_bytes(buffer)[0];
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
#else
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
    int first = kula_bytes(buffer)[0];
#endif
    return first;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    first_byte(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
