/* Misuse 8: the buffer was handed over on one branch only, and is used after both.
 *
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_bytes: the handle is empty
 */
#include <kula.h>

#include <stdbool.h>

void maybe_send(struct kula_ring *ring, int fd, bool now);

void maybe_send(struct kula_ring *ring, int fd, bool now)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_bytes(buffer)[0] = 'a';
    if (now) {
        kula_send(ring, fd, &buffer, 4096, 0, NULL);
#ifdef CORRECTED
        return;
#endif
    }
    kula_bytes(buffer)[0] = 'b';
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    maybe_send(run.ring, run.fds[0], true);
    return run_end(&run);
}
#endif
