/* Misuse 39: memcpy reads through a second pointer into the bytes while the ring has the buffer.
 *
 * gcc-lint:            used after 'kula_recv_'
 * analyze-lint-newest: Use of memory after it is
 */
#include <kula.h>

#include <string.h>

void receive(struct kula_ring *ring, int fd, char *ret_text);

void receive(struct kula_ring *ring, int fd, char *ret_text)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    unsigned char *bytes = kula_bytes(buffer);
    memset(bytes, 0, 64);
    unsigned char *body = bytes + 4;
#ifdef CORRECTED
    memcpy(ret_text, body, 8);
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
#else
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
    memcpy(ret_text, body, 8);
#endif
}
