/* Fault: the program depends on a byte behind those that were received
 *
 * msan: use-of-uninitialized-value
 * valgrind: Conditional jump or move depends on uninitialised
 */
#include "planted.h"

#include <string.h>

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    memset(kula_bytes(buffer), 0, PLANTED_BYTES);
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_put(fds[1], "eight by");
    struct kula_event *event = planted_await(ring);
    size_t received = (size_t)event->result;
    buffer = kula_take(event);
#ifdef CORRECTED
    planted_branch(kula_bytes(buffer), received - 1);
#else
    planted_branch(kula_bytes(buffer), received);
#endif
    kula_free(&buffer);
    return planted_close(ring);
}
