/* Misuse 5: a copy of the handle is freed while the ring has the buffer.
 *
 * gcc:     used after 'kula_read_'
 * analyze: Attempt to free released memory|Use of memory after it is
 */
#include <kula.h>

void read_and_free(struct kula_ring *ring, int fd);

void read_and_free(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
#ifdef CORRECTED
    buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        kula_free(&alias);
        return;
    }
#endif
    kula_read(ring, fd, &buffer, 4096, 0, NULL);
    kula_free(&alias);
}
