/* Fault: bytes that are shared are written while they are being sent
 *
 * tsan: data race
 * guard: SIGSEGV at byte 3 of 4096, in planted_write
 * checksum: kula_send .*the bytes changed while they were being written or sent
 */
#include "planted.h"

#include <string.h>

/* Corrected: they are read while they are being sent, which is what sharing is for. */
int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    memset(bytes, '.', PLANTED_BYTES);
    planted_watch(bytes, PLANTED_BYTES);
    kula_ref page = kula_freeze(&buffer);
    kula_ref copy = kula_clone(page);
    kula_send(ring, fds[0], &copy, PLANTED_BYTES, 0, NULL);
#ifdef CORRECTED
    planted_read(kula_ref_bytes(page), 3);
#else
    planted_write(bytes, 3);
#endif
    copy = kula_take_ref(planted_await(ring));
    kula_drop(&copy);
    buffer = kula_thaw(&page);
    planted_write(kula_bytes(buffer), 3);
    kula_free(&buffer);
    return planted_close(ring);
}
