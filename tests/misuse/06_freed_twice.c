/* Misuse 6: the buffer is freed again, by a copy of its handle.
 *
 * gcc:     used after 'kula_free_'
 * analyze: Attempt to (free released|release already released) memory|Use of memory after it is
 * run:     misuse: kula_free: stale copy
 */
#include <kula.h>

void free_twice(struct kula_ring *ring);

void free_twice(struct kula_ring *ring)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
    kula_free(&buffer);
#ifdef CORRECTED
    alias = NULL;
#endif
    kula_free(&alias);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    free_twice(run.ring);
    return run_end(&run);
}
#endif
