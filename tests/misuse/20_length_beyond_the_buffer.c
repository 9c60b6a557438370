/* Misuse 20: more is asked for than the buffer holds.
 *
 * gcc:     this length is larger than the buffer
 * clang:   this length is larger than the buffer
 * run:     event: Invalid argument
 */
#include <kula.h>

void receive(struct kula_ring *ring, int fd);

void receive(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
#ifdef CORRECTED
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
#else
    kula_recv(ring, fd, &buffer, 4096, 0, NULL);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    run_put(&run, "some");
    receive(run.ring, run.fds[0]);
    int32_t result = run_event(run.ring)->result;
    run_say("event", result < 0 ? strerror(-result) : "received");
    return run_end(&run);
}
#endif
