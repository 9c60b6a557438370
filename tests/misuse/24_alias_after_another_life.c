/* Misuse 24: a copy is used after its buffer was freed and its memory given out again.
 *
 * gcc:     used after 'kula_free_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

void write_twice(struct kula_ring *ring);

void write_twice(struct kula_ring *ring)
{
    kula_buf first = kula_alloc(ring, 64);
    if (!first) {
        return;
    }
#ifndef CORRECTED
    kula_buf alias = first;
#endif
    kula_bytes(first)[0] = 'a';
    kula_free(&first);
    kula_buf second = kula_alloc(ring, 64);
    if (!second) {
        return;
    }
#ifdef CORRECTED
    kula_bytes(second)[0] = 'b';
#else
    kula_bytes(alias)[0] = 'b';
#endif
    kula_free(&second);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    write_twice(run.ring);
    return run_end(&run);
}
#endif
