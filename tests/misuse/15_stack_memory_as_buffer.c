/* Misuse 15: memory of the stack is passed off as a buffer.
 *
 * gcc:     called on unallocated object 'memory'
 * analyze: Argument to .* is the address of the local variable 'memory'
 * run:     misuse: kula_recv: not a handle
 */
#include <kula.h>

void receive(struct kula_ring *ring, int fd);

void receive(struct kula_ring *ring, int fd)
{
#ifdef CORRECTED
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
#else
    char memory[64];
    kula_buf buffer = (kula_buf)(void *)memory;
#endif
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    receive(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
