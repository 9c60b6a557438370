/* Fault: the byte behind the end of a pool's buffer is written (4096 bytes)
 *
 * asan: use-after-poison
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 4096 of 4096, in planted_write
 * canary: kula_recv .*something was written behind the end of the buffer
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
#ifdef CORRECTED
    planted_write(bytes, PLANTED_BYTES - 1);
#else
    planted_write(bytes, PLANTED_BYTES);
#endif
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    kula_pool_close(&pool);
    return planted_close(ring);
}
