/* Misuse 37: a buffer that is being sent is filled for the next send before its event.
 *
 * Sends copy today, so that the event comes as soon as the kernel has the bytes. When they do not,
 * the event will wait for the kernel's second notification, and this will be refused in between.
 *
 * gcc:     used after 'kula_send_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

void send_numbers(struct kula_ring *ring, int fd);

void send_numbers(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 1);
    if (!buffer) {
        return;
    }
    kula_bytes(buffer)[0] = '1';
    kula_buf again = buffer;
    kula_send(ring, fd, &buffer, 1, 0, NULL);
    kula_submit(ring);
#ifdef CORRECTED
    struct kula_event *event = kula_wait(ring, KULA_FOREVER) > 0 ? kula_next(ring) : NULL;
    again = event ? kula_take(event) : NULL;
    if (!again) {
        return;
    }
#endif
    kula_bytes(again)[0] = '2';
    kula_send(ring, fd, &again, 1, 0, NULL);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    send_numbers(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
