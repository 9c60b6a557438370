/* Fault: a handle is used after its buffer was freed and its memory given out again
 *
 * always: kula_bytes .*stale copy: ownership moved since this handle was issued
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    kula_buf alias = planted_alias(buffer);
    kula_free(&buffer);
    buffer = kula_alloc(ring, PLANTED_BYTES);
#ifdef CORRECTED
    alias = buffer;
#endif
    unsigned char *bytes = kula_bytes(alias);
    if (bytes) {
        planted_write(bytes, 0);
    }
    kula_free(&buffer);
    return planted_close(ring);
}
