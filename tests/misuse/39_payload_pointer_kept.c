/* Misuse 39: a pointer to the bytes is kept and used while the ring has the buffer.
 *
 * gcc-lint:     used after 'kula_recv_'
 * analyze-lint: Use of memory after it is
 * run-guard:    signal 11
 */
#include <kula.h>

int first_byte(struct kula_ring *ring, int fd);

int first_byte(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
    unsigned char *bytes = kula_bytes(buffer);
    bytes[0] = 0;
#ifdef CORRECTED
    int first = bytes[0];
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
#else
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
    int first = bytes[0];
#endif
    return first;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    run_say("first", first_byte(run.ring, run.fds[0]) == 0 ? "0" : "not 0");
    return run_end(&run);
}
#endif
