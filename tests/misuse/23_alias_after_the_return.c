/* Misuse 23: a copy from before the hand-over is used after the buffer came back.
 *
 * gcc:     used after 'kula_recv_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

int first_received(struct kula_ring *ring, int fd);

int first_received(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
#ifndef CORRECTED
    kula_buf alias = buffer;
#endif
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
    struct kula_event *event = kula_wait(ring, KULA_FOREVER) > 0 ? kula_next(ring) : NULL;
    if (!event) {
        return -1;
    }
    buffer = kula_take(event);
    int first = -1;
    if (buffer) {
#ifdef CORRECTED
        first = kula_bytes(buffer)[0];
#else
        first = kula_bytes(alias)[0];
#endif
    }
    kula_free(&buffer);
    return first;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    run_put(&run, "some");
    first_received(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
