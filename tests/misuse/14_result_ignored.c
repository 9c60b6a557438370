/* Misuse 14: what kula_take gives is not looked at.
 *
 * gcc:     ignoring return value of 'kula_take'
 * clang:   ignoring return value of function declared with 'warn_unused_result'
 * analyze: Potential memory leak
 * run:     log: .*holds 1\b
 */
#include <kula.h>

void discard(struct kula_event *event);

void discard(struct kula_event *event)
{
#ifdef CORRECTED
    kula_buf buffer = kula_take(event);
    kula_free(&buffer);
#else
    kula_take(event);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_read(run.ring, -1, &buffer, 64, 0, NULL);
    discard(run_event(run.ring));
    return run_end(&run);
}
#endif
