/* Fault: the byte behind the end of a pool's buffer is written (100 bytes)
 *
 * asan: use-after-poison
 * valgrind: Invalid write
 * canary: kula_recv .*something was written behind the end of the buffer
 */
#include "planted.h"

#define SMALL_BYTES 100

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    struct kula_pool *pool = planted_pool(ring, SMALL_BYTES);
    kula_buf buffer = kula_pool_get(pool, 0);
    unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, SMALL_BYTES);
#ifdef CORRECTED
    planted_write(bytes, SMALL_BYTES - 1);
#else
    planted_write(bytes, SMALL_BYTES);
#endif
    kula_recv(ring, fds[0], &buffer, SMALL_BYTES, 0, NULL);
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    kula_pool_close(&pool);
    return planted_close(ring);
}
