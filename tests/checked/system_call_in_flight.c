/* Fault: a system call of the program writes into a buffer while a ring has it
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Syscall param read\(buf\) points to unaddressable
 * guard: the call answers EFAULT
 */
#include "planted.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    int others[2];
    planted_pair(fds);
    planted_pair(others);
    planted_put(others[1], "other by");
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    kula_buf other = kula_alloc(ring, PLANTED_BYTES);
    unsigned char *bytes = kula_bytes(buffer);
#ifdef CORRECTED
    bytes = kula_bytes(other);
#endif
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_start(ring);
    if (read(others[0], bytes, 8) < 0 && errno == EFAULT) {
        fputs("the call answers EFAULT\n", stderr);
    }
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    kula_free(&other);
    return planted_close(ring);
}
