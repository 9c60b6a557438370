/* Misuse 39: a pointer to the bytes is used after a branch that may have handed over.
 *
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

int look(struct kula_ring *ring, int fd, struct kula_event *event);

int look(struct kula_ring *ring, int fd, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (!buffer) {
        return -1;
    }
    unsigned char *bytes = kula_bytes(buffer);
#ifdef CORRECTED
    int first = bytes[0];
#endif
    if (event->result > 5) {
        kula_send(ring, fd, &buffer, 5, 0, NULL);
    }
#ifndef CORRECTED
    int first = bytes[0];
#endif
    kula_free(&buffer);
    return first;
}
