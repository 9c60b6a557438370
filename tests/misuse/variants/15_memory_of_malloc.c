/* Misuse 15: memory of malloc(3) is passed off as a buffer.
 *
 * gcc:            'kula_recv_' called on pointer returned from a mismatched allocation function
 * analyze-newest: Memory allocated by 'malloc\(\)' should be deallocated by 'free\(\)', not 'kula_recv_\(\)'
 * run:            misuse: kula_recv: not a handle
 */
#include <kula.h>

#include <stdlib.h>

void receive(struct kula_ring *ring, int fd);

void receive(struct kula_ring *ring, int fd)
{
#ifdef CORRECTED
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
#else
    kula_buf buffer = malloc(64);
    if (!buffer) {
        return;
    }
#endif
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
}

#if defined RUN
#    include "../run.h"

int main(void)
{
    struct run run = run_begin();
    receive(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
