/* Misuse 11: a helper took the buffer by value, and the caller goes on using it.
 *
 * gcc:     used after 'kula_send_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

int reply(struct kula_ring *ring, int fd);

static void pass_on(struct kula_ring *ring, int fd, kula_buf buffer)
{
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
}

int reply(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return -1;
    }
#ifdef CORRECTED
    int first = kula_bytes(buffer)[0];
    pass_on(ring, fd, buffer);
#else
    pass_on(ring, fd, buffer);
    int first = kula_bytes(buffer)[0];
#endif
    return first;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    reply(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
