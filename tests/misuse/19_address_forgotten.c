/* Misuse 19: the handle is passed where its variable's address belongs.
 *
 * gcc:     is not compatible with any association
 * clang:   not compatible with any generic association type
 * analyze: not compatible with any generic association type
 */
#include <kula.h>

void receive(struct kula_ring *ring, int fd);

void receive(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
#ifdef CORRECTED
    kula_recv(ring, fd, &buffer, 4096, 0, NULL);
#else
    kula_recv(ring, fd, buffer, 4096, 0, NULL);
#endif
}
