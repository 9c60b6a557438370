/* Misuse 10: a handle in an array is used after its buffer was handed over.
 *
 * analyze: Null pointer passed to 1st parameter
 */
#include <kula.h>

enum {
    COUNT = 4
};

int receive(struct kula_ring *ring, int fd, kula_buf buffers[COUNT], unsigned index);

int receive(struct kula_ring *ring, int fd, kula_buf buffers[COUNT], unsigned index)
{
    kula_buf *slot = &buffers[index % COUNT];
    if (!*slot) {
        return -1;
    }
#ifdef CORRECTED
    int first = kula_bytes(*slot)[0];
    kula_recv(ring, fd, slot, 64, 0, NULL);
#else
    kula_recv(ring, fd, slot, 64, 0, NULL);
    int first = kula_bytes(*slot)[0];
#endif
    return first;
}
