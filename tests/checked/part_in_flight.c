/* Fault: a part of a split buffer is written while the kernel may write it
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 4096 of 8192, in planted_write
 */
#include "planted.h"

/* Corrected: its neighbour is. */
int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, 2 * PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, 2 * PLANTED_BYTES);
    kula_buf part = kula_split(buffer, PLANTED_BYTES);
    kula_recv(ring, fds[0], &part, PLANTED_BYTES, 0, NULL);
    planted_start(ring);
#ifdef CORRECTED
    planted_write(bytes, PLANTED_BYTES - 1);
#else
    planted_write(bytes, PLANTED_BYTES);
#endif
    planted_put(fds[1], "eight by");
    part = kula_take(planted_await(ring));
    kula_join(buffer, &part);
    planted_write(kula_bytes(buffer), PLANTED_BYTES);
    kula_free(&buffer);
    return planted_close(ring);
}
