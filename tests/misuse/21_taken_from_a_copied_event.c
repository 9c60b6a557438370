/* Misuse 21: a buffer is taken out of a copy of its event, a second time.
 *
 * run:     misuse: kula_take:
 */
#include <kula.h>

kula_buf take(struct kula_event *event);

kula_buf take(struct kula_event *event)
{
#ifdef CORRECTED
    kula_buf buffer = kula_take(event);
    kula_buf second = kula_take(event); /* the event itself says that there is no other: NULL */
#else
    struct kula_event copy = *event;
    kula_buf buffer = kula_take(event);
    kula_buf second = kula_take(&copy);
#endif
    kula_free(&second);
    return buffer;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    run_put(&run, "whole");
    kula_buf buffer = kula_alloc(run.ring, 5);
    kula_recv(run.ring, run.fds[0], &buffer, 5, 0, NULL);
    buffer = take(run_event(run.ring));
    run_check(memcmp(kula_bytes(buffer), "whole", 5) == 0, "the buffer came home");
    kula_free(&buffer);
    return run_end(&run);
}
#endif
