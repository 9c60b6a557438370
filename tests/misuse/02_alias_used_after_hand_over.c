/* Misuse 2: a copy of the handle is used after the buffer was handed over.
 *
 * gcc:     used after 'kula_send_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

int first_byte(struct kula_ring *ring, int fd);

int first_byte(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return -1;
    }
    kula_buf alias = buffer;
#ifdef CORRECTED
    int first = kula_bytes(alias)[0];
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
#else
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
    int first = kula_bytes(alias)[0];
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
