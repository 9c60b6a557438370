/* Misuse 39: a pointer to the bytes is kept and used while the ring has the buffer.
 *
 * gcc-lint:     used after 'kula_recv_'
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

int first_byte(struct kula_ring *ring, int fd);

int first_byte(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
    unsigned char *bytes = kula_bytes(buffer);
    bytes[0] = 0;
#ifdef CORRECTED
    int first = bytes[0];
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
#else
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
    int first = bytes[0];
#endif
    return first;
}
