/* Misuse 5: a copy of the handle is freed while the ring has the buffer.
 *
 * gcc:     used after 'kula_read_'
 * analyze: Attempt to (free released|release already released) memory|Use of memory after it is
 * run:     misuse: kula_free: stale copy
 */
#include <kula.h>

void read_and_free(struct kula_ring *ring, int fd);

void read_and_free(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
#ifdef CORRECTED
    buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        kula_free(&alias);
        return;
    }
#endif
    kula_read(ring, fd, &buffer, 4096, 0, NULL);
    kula_free(&alias);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    read_and_free(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
