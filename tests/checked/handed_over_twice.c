/* Fault: a buffer is handed over a second time, through a copy of its handle
 *
 * always: kula_send .*stale copy: the buffer is with a ring
 * ownership: kula_send .*last handed over by kula_recv at .*handed_over_twice
 */
#include "planted.h"

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    kula_buf alias = planted_alias(buffer);
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
#ifndef CORRECTED
    kula_send(ring, fds[0], &alias, 1, 0, NULL);
#endif
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    (void)alias;
    return planted_close(ring);
}
