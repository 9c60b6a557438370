/* Fault: a buffer is freed through a copy of its handle while a ring has it
 *
 * always: kula_free .*stale copy: the buffer is with a ring
 * ownership: kula_free .*last handed over by kula_recv at .*freed_in_flight
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
    planted_start(ring);
#ifndef CORRECTED
    kula_free(&alias);
#endif
    planted_put(fds[1], "eight by");
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    (void)alias;
    return planted_close(ring);
}
