/* Misuse 39: a pointer to the bytes is used in the round after the one that handed over.
 *
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

int receive_many(struct kula_ring *ring, int fd, int rounds);

int receive_many(struct kula_ring *ring, int fd, int rounds)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
    unsigned char *bytes = kula_bytes(buffer);
    int sum = 0;
    for (int i = 0; i < rounds; i++) {
        bytes[i] = 1;
        sum += bytes[0];
        if (i == 0) {
            kula_recv(ring, fd, &buffer, 64, 0, NULL);
#ifdef CORRECTED
            break;
#endif
        }
    }
    kula_free(&buffer);
    return sum;
}
