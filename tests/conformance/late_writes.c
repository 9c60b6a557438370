/* After a close the kernel writes nothing more.
 *
 * Raw io_uring on Linux 6.18: memory was written after io_uring_queue_exit() had returned in 283 of
 * 300 rounds with O_DIRECT reads in flight. Here the memory that the ring had is taken again for
 * something else as soon as kula_close has returned, filled with a pattern, and looked at later. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH 32
#define BLOCK ((size_t)64 * 1024)
#define FRESH (4 * DEPTH * BLOCK)

static int make_direct_file(void)
{
    int fd = make_file_flags("", O_DIRECT);
    if (fd < 0) {
        SKIP_BECAUSE("the build's file system refuses O_DIRECT: %s", strerror(errno));
    }
    unsigned char *block = NULL;
    assert_int_equal(posix_memalign((void **)&block, 4096, BLOCK), 0);
    memset(block, 0xd1, BLOCK);
    for (size_t i = 0; i < DEPTH; i++) {
        ssize_t done = pwrite(fd, block, BLOCK, (off_t)(i * BLOCK));
        if (done != (ssize_t)BLOCK) {
            int error = errno;
            free(block);
            close(fd);
            SKIP_BECAUSE("O_DIRECT cannot write here: %s", strerror(error));
        }
    }
    free(block);
    return fd;
}

/* Pages that were just unmapped, and memory that was just freed, are what comes first. */
static unsigned char *take_memory(void)
{
    unsigned char *memory =
        mmap(NULL, FRESH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    memset(memory, 0x77, FRESH);
    return memory;
}

static size_t count_changes(const unsigned char *memory)
{
    size_t changes = 0;
    for (size_t i = 0; i < FRESH; i += 64) {
        changes += memory[i] != 0x77;
    }
    return changes;
}

static void no_read_under_way_writes_after_the_close(void **state)
{
    int rounds = harness_sanitized() ? 40 : 300;
    int fd = make_direct_file();
    size_t changes = 0;
    for (int round = 0; round < rounds; round++) {
        struct kula_ring *ring = harness_open(0);
        for (size_t i = 0; i < DEPTH; i++) {
            kula_buf buffer = buffer_empty(ring, BLOCK);
            kula_read(ring, fd, &buffer, BLOCK, (int64_t)(i * BLOCK), NULL);
        }
        assert_true(kula_submit(ring) >= 0);
        harness_close(&ring);
        unsigned char *memory = take_memory();
        harness_sleep_ns(500 * KULA_MICROSECOND);
        changes += count_changes(memory);
        munmap(memory, FRESH);
    }
    assert_int_equal(changes, 0);
    retire(harness_ring(state), &fd, 1);
}

static void no_cancelled_read_writes_into_a_buffer_that_came_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int rounds = harness_sanitized() ? 20 : 100;
    int fd = make_direct_file();
    for (int round = 0; round < rounds; round++) {
        struct outcome done[DEPTH] = { { 0 } };
        for (size_t i = 0; i < DEPTH; i++) {
            kula_buf buffer = buffer_empty(ring, BLOCK);
            done[i].op = kula_read(ring, fd, &buffer, BLOCK, (int64_t)(i * BLOCK), &done[i]);
        }
        if (round % 2) {
            assert_true(kula_submit(ring) >= 0);
        }
        kula_cancel_all(ring);
        await_all(ring);
        for (size_t i = 0; i < DEPTH; i++) {
            memset(kula_bytes(done[i].buffer), 0x77, BLOCK);
        }
        harness_sleep_ns(500 * KULA_MICROSECOND);
        for (size_t i = 0; i < DEPTH; i++) {
            const unsigned char *bytes = kula_bytes(done[i].buffer);
            for (size_t k = 0; k < BLOCK; k += 64) {
                assert_int_equal(bytes[k], 0x77);
            }
            outcome_release(&done[i]);
        }
    }
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(no_read_under_way_writes_after_the_close),
        PROVES(no_cancelled_read_writes_into_a_buffer_that_came_back),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
