/* Misuse 28: a copy is used after the operation that has its buffer was detached.
 *
 * gcc:     used after 'kula_recv_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

void walk_away(struct kula_ring *ring, int fd);

void walk_away(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
    kula_op op = kula_recv(ring, fd, &buffer, 64, 0, NULL);
    kula_detach(ring, op);
#ifdef CORRECTED
    alias = kula_alloc(ring, 64);
    if (!alias) {
        return;
    }
#endif
    kula_bytes(alias)[0] = 0;
#ifdef CORRECTED
    kula_free(&alias);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    walk_away(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
