/* Fault: a byte of a pool's buffer is written while the kernel may write it
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
    struct kula_pool *pool = planted_pool(ring, PLANTED_BYTES);
    kula_buf buffer = kula_pool_get(pool, 0);
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
    kula_pool_close(&pool);
    return planted_close(ring);
}
