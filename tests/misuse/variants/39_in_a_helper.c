/* Misuse 39: a helper is given a pointer to the bytes while the ring has the buffer.
 *
 * gcc-lint:     used after 'kula_send_'
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

#include <string.h>

void send_hello(struct kula_ring *ring, int fd);

static void put(unsigned char *bytes)
{
    memcpy(bytes, "hello", 5);
}

void send_hello(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    unsigned char *bytes = kula_bytes(buffer);
#ifdef CORRECTED
    put(bytes);
    kula_send(ring, fd, &buffer, 5, 0, NULL);
#else
    kula_send(ring, fd, &buffer, 5, 0, NULL);
    put(bytes);
#endif
}
