/* Fault: the program depends on a byte of a new buffer that nobody has written
 *
 * msan: use-of-uninitialized-value
 * valgrind: Conditional jump or move depends on uninitialised
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
#ifdef CORRECTED
    planted_write(bytes, 5);
#endif
    planted_branch(bytes, 5);
    kula_free(&buffer);
    return planted_close(ring);
}
