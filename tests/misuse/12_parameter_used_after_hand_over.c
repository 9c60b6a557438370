/* Misuse 12: a handler hands its buffer over again and then looks at it.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_bytes: the handle is empty
 */
#include <kula.h>

struct handler {
    struct kula_ring *ring;
    int fd;
    int last;
};

void on_received(struct handler *handler, kula_buf buffer);

void on_received(struct handler *handler, kula_buf buffer)
{
#ifdef CORRECTED
    handler->last = kula_bytes(buffer)[0];
    kula_recv(handler->ring, handler->fd, &buffer, 4096, 0, handler);
#else
    kula_recv(handler->ring, handler->fd, &buffer, 4096, 0, handler);
    handler->last = kula_bytes(buffer)[0];
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    struct handler handler = { run.ring, run.fds[0], 0 };
    on_received(&handler, kula_alloc(run.ring, 4096));
    return run_end(&run);
}
#endif
