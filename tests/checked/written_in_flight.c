/* Fault: a byte is written through an old pointer while the kernel may write it
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 4095 of 4096, in planted_write
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, PLANTED_BYTES);
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_start(ring);
#ifndef CORRECTED
    planted_write(bytes, PLANTED_BYTES - 1);
#endif
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    planted_write(kula_bytes(buffer), PLANTED_BYTES - 1);
    kula_free(&buffer);
    return planted_close(ring);
}
