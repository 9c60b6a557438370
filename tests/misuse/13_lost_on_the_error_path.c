/* Misuse 13: a buffer that came back is lost on the error path.
 *
 * analyze: Potential leak of memory
 * run:     log: .*holds 1\b
 */
#include <kula.h>

int finish(struct kula_ring *ring, struct kula_event *event);

int finish(struct kula_ring *ring, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (!buffer) {
        return 0;
    }
    if (event->result < 0) {
#ifdef CORRECTED
        kula_free(&buffer);
#endif
        return event->result;
    }
    kula_write(ring, 1, &buffer, (size_t)event->result, KULA_CUR, NULL);
    return 0;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_read(run.ring, -1, &buffer, 64, 0, NULL);
    finish(run.ring, run_event(run.ring));
    return run_end(&run);
}
#endif
