/* Fault: a byte is read through an old pointer while the kernel may write it
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid read
 * guard: SIGSEGV at byte 7 of 4096, in planted_read
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    const unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, PLANTED_BYTES);
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_start(ring);
#ifndef CORRECTED
    planted_read(bytes, 7);
#endif
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    planted_read(kula_bytes(buffer), 7);
    kula_free(&buffer);
    return planted_close(ring);
}
