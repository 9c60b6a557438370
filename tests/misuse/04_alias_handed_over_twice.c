/* Misuse 4: the buffer is handed over a second time, by a copy of its handle.
 *
 * gcc:     used after 'kula_recv_'
 * analyze: Attempt to (free released|release already released) memory|Use of memory after it is
 * run:     misuse: kula_recv: stale copy
 */
#include <kula.h>

void receive_twice(struct kula_ring *ring, int fd);

void receive_twice(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
    kula_recv(ring, fd, &buffer, 4096, 0, NULL);
#ifdef CORRECTED
    alias = kula_alloc(ring, 4096);
    if (!alias) {
        return;
    }
#endif
    kula_recv(ring, fd, &alias, 4096, 0, NULL);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    receive_twice(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
