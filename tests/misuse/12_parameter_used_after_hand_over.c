/* Misuse 12: a handler hands its buffer over again and then looks at it.
 *
 * gcc:     this handle is empty here: its buffer was already handed over
 * clang:   this handle is empty here: its buffer was already handed over
 * analyze: Null pointer passed to 1st parameter
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
