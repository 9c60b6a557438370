/* Fault: a byte of a pool's buffer is written through an old pointer after it was freed
 *
 * asan: use-after-poison
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 0 of 4096, in planted_write
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    struct kula_pool *pool = planted_pool(ring, PLANTED_BYTES);
    kula_buf buffer = kula_pool_get(pool, 0);
    unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, PLANTED_BYTES);
#ifdef CORRECTED
    planted_write(bytes, 0);
#endif
    kula_free(&buffer);
#ifndef CORRECTED
    planted_write(bytes, 0);
#endif
    kula_pool_close(&pool);
    return planted_close(ring);
}
