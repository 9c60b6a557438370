/* Misuse 13: a part of a buffer that was split is lost.
 *
 * analyze: Potential leak of memory
 */
#include <kula.h>

int cut(struct kula_ring *ring, int fd);

int cut(struct kula_ring *ring, int fd)
{
    kula_buf first = kula_alloc(ring, 64);
    if (!first) {
        return -1;
    }
    kula_buf second = kula_split(first, 32);
    kula_recv(ring, fd, &first, 32, 0, NULL);
    if (!second) {
        return -1;
    }
#ifdef CORRECTED
    kula_free(&second);
#endif
    return 0;
}
