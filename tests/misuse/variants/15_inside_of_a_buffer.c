/* Misuse 15: a place inside a buffer is passed off as a buffer.
 *
 * gcc:          'kula_send_' called on pointer .* with nonzero offset 8
 * gcc-lint:     'kula_send_' called on pointer .* with nonzero offset 8
 * analyze-lint: Argument to .*kula_send_\(\).* is offset by -?[0-9]+ bytes? from the start of memory
 * run:          misuse: kula_send: not a handle
 */
#include <kula.h>

#include <string.h>

void send_body(struct kula_ring *ring, int fd);

void send_body(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return;
    }
    memcpy(kula_bytes(buffer), "12345678body", 12);
#ifdef CORRECTED
    if (kula_window(buffer, 8) < 0) {
        kula_free(&buffer);
        return;
    }
    kula_send(ring, fd, &buffer, 4, 0, NULL);
#else
    kula_buf body = (kula_buf)(void *)(kula_bytes(buffer) + 8);
    kula_send(ring, fd, &body, 4, 0, NULL);
    kula_free(&buffer);
#endif
}

#if defined RUN
#    include "../run.h"

int main(void)
{
    struct run run = run_begin();
    send_body(run.ring, run.fds[0]);
    return run_end(&run);
}
#endif
