/* Fault: the byte in front of a buffer is written (4096 bytes)
 *
 * asan: use-after-poison
 * valgrind: Invalid write
 * guard: SIGSEGV at byte -1 of 4096, in planted_write
 * canary: kula_free .*something was written in front of the buffer
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    kula_buf neighbour = kula_alloc(ring, PLANTED_BYTES);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    planted_watch(bytes, PLANTED_BYTES);
#ifdef CORRECTED
    planted_write(bytes, 0);
#else
    planted_write(bytes - 1, 0);
#endif
    kula_free(&buffer);
    kula_free(&neighbour);
    return planted_close(ring);
}
