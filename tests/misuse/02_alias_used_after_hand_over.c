/* Misuse 2: a copy of the handle is used after the buffer was handed over.
 *
 * gcc:     used after 'kula_send_'
 * analyze: Use of memory after it is
 */
#include <kula.h>

int first_byte(struct kula_ring *ring, int fd);

int first_byte(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return -1;
    }
    kula_buf alias = buffer;
#ifdef CORRECTED
    int first = kula_bytes(alias)[0];
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
#else
    kula_send(ring, fd, &buffer, 4096, 0, NULL);
    int first = kula_bytes(alias)[0];
#endif
    return first;
}
