/* Fault: another thread writes a byte that is being sent
 *
 * asan: use-after-poison
 * tsan: data race
 * valgrind: Invalid write
 * guard: SIGSEGV at byte 99 of 4096, in planted_write
 * checksum: kula_send .*the bytes changed while they were being written or sent
 */
#include "planted.h"

#include <pthread.h>
#include <string.h>

static void *write_a_byte(void *bytes)
{
    planted_write(bytes, 99);
    return NULL;
}

static void let_another_thread_write(unsigned char *bytes)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_a_byte, bytes) == 0) {
        pthread_join(thread, NULL);
    }
}

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
    let_another_thread_write(bytes);
#endif
    kula_send(ring, fds[0], &buffer, PLANTED_BYTES, 0, NULL);
#ifndef CORRECTED
    let_another_thread_write(bytes);
#endif
    buffer = kula_take(planted_await(ring));
    kula_free(&buffer);
    return planted_close(ring);
}
