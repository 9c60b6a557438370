/* Misuse 40: the bytes that are being sent are changed through a pointer that was kept.
 *
 * gcc-lint:     used after 'kula_send_'
 * analyze-lint: Use of memory after it is
 * run-guard:    signal 11
 * run-checksum: misuse: kula_send: .*changed
 */
#include <kula.h>

#include <string.h>

void send_twice(struct kula_ring *ring, int fd);

void send_twice(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    unsigned char *bytes = kula_bytes(buffer);
    memcpy(bytes, "first", 5);
    kula_send(ring, fd, &buffer, 5, 0, NULL);
#ifdef CORRECTED
    buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    bytes = kula_bytes(buffer);
#endif
    memcpy(bytes, "other", 5);
#ifdef CORRECTED
    kula_send(ring, fd, &buffer, 5, 0, NULL);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    send_twice(run.ring, run.fds[0]);
    while (kula_outstanding(run.ring) > 0) {
        run_event(run.ring);
    }
    return run_end(&run);
}
#endif
