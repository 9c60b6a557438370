/* Fault: memory that the program vouched for is freed while the kernel may write it
 *
 * tsan: data race
 */
#include "planted.h"

#include <stdlib.h>

/* Corrected: it is freed by the function that is told of its end. */
static void free_it(void *arg, void *memory, size_t size)
{
    (void)arg;
    (void)size;
#ifdef CORRECTED
    free(memory);
#else
    (void)memory;
#endif
}

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc, argv);
    int fds[2];
    planted_pair(fds);
    void *memory = malloc(PLANTED_BYTES);
    if (!memory) {
        return EXIT_FAILURE;
    }
    kula_buf buffer = kula_vouch(ring, memory, PLANTED_BYTES, free_it, NULL);
    kula_recv(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
    planted_start(ring);
#ifndef CORRECTED
    free(memory);
#endif
    /* nothing is ever received: the kernel has the memory, and does not write it */
    kula_cancel_all(ring);
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    return planted_close(ring);
}
