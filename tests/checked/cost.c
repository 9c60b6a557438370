/* What a read of 4 KiB out of the page cache costs, from hand-over to homecoming: nanoseconds on stdout.
 *
 * usage: cost BACKEND READS
 */
#include "planted.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int full_file(void)
{
    char name[] = "/tmp/kula-cost-XXXXXX";
    char bytes[PLANTED_BYTES];
    memset(bytes, '.', sizeof bytes);
    int fd = mkstemp(name);
    if (fd < 0 || unlink(name) < 0 || write(fd, bytes, sizeof bytes) != sizeof bytes) {
        perror("cost: a file");
        exit(EXIT_FAILURE);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct kula_ring *ring = planted_open(argc > 2 ? 2 : 0, argv);
    long reads = strtol(argv[2], NULL, 10);
    int fd = full_file();
    kula_buf buffer = kula_alloc(ring, PLANTED_BYTES);
    double begin = 0;
    for (long i = -reads / 10; i < reads; i++) { /* the first ones warm it up */
        begin = i == 0 ? now_ns() : begin;
        kula_read(ring, fd, &buffer, PLANTED_BYTES, 0, NULL);
        struct kula_event *event = planted_await(ring);
        if (event->result != PLANTED_BYTES) {
            return EXIT_FAILURE;
        }
        buffer = kula_take(event);
    }
    printf("%.1f\n", (now_ns() - begin) / (double)reads);
    kula_free(&buffer);
    return planted_close(ring);
}
