/* Misuse 39: a pointer to shared bytes is used after its reference was handed over.
 *
 * gcc-lint:     used after 'kula_send_ref_'
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

int send_and_look(struct kula_ring *ring, int fd, kula_ref page);

int send_and_look(struct kula_ring *ring, int fd, kula_ref page)
{
    const unsigned char *bytes = kula_ref_bytes(page);
#ifdef CORRECTED
    int first = bytes[0];
    kula_send(ring, fd, &page, 64, 0, NULL);
#else
    kula_send(ring, fd, &page, 64, 0, NULL);
    int first = bytes[0];
#endif
    return first;
}
