/* Misuse 7: the handle is used after the buffer was freed.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_capacity: the handle is empty
 */
#include <kula.h>

size_t capacity_of(struct kula_ring *ring);

size_t capacity_of(struct kula_ring *ring)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return 0;
    }
#ifdef CORRECTED
    size_t capacity = kula_capacity(buffer);
    kula_free(&buffer);
#else
    kula_free(&buffer);
    size_t capacity = kula_capacity(buffer);
#endif
    return capacity;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    capacity_of(run.ring);
    return run_end(&run);
}
#endif
