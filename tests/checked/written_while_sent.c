/* Fault: a byte is written through an old pointer while it is being sent
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 0 of 4096, in planted_write
 * checksum: kula_send .*the bytes changed while they were being written or sent
 */
#include "planted.h"

#include <string.h>

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
    memset(bytes, '.', PLANTED_BYTES);
    planted_watch(bytes, PLANTED_BYTES);
#ifdef CORRECTED
    planted_write(bytes, 0);
#endif
    kula_send(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
#ifndef CORRECTED
    planted_write(bytes, 0);
#endif
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    return planted_close(ring);
}
