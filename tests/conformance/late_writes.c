/* After a close the kernel writes nothing more.
 *
 * Raw io_uring on Linux 6.18: memory was written after io_uring_queue_exit() had returned in 283 of
 * 300 rounds with O_DIRECT reads in flight. Here the buffers come from one ring and are read into by
 * another; when that one has closed they are back in their pool, are given out again at once, filled
 * with a pattern, and looked at later. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH 32
#define BLOCK ((size_t)64 * 1024)

static int make_direct_file(void)
{
    int fd = make_file_flags("", O_DIRECT);
    if (fd < 0) {
        SKIP_WANTING("the build's file system refuses O_DIRECT: %s", strerror(errno));
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
            SKIP_WANTING("O_DIRECT cannot write here: %s", strerror(error));
        }
    }
    free(block);
    return fd;
}

/* Fills buffers and says how many bytes of them somebody else changes a little later. */
static size_t count_changes(kula_buf *buffers)
{
    size_t changes = 0;
    for (size_t i = 0; i < DEPTH; i++) {
        memset(kula_bytes(buffers[i]), 0x77, BLOCK);
    }
    harness_sleep_ns(500 * KULA_MICROSECOND);
    for (size_t i = 0; i < DEPTH; i++) {
        const unsigned char *bytes = kula_bytes(buffers[i]);
        for (size_t k = 0; k < BLOCK; k += 64) {
            changes += bytes[k] != 0x77;
        }
    }
    return changes;
}

static bool is_among(const unsigned char *memory, unsigned char *const *known)
{
    for (size_t i = 0; i < DEPTH; i++) {
        if (known[i] == memory) {
            return true;
        }
    }
    return false;
}

static void no_read_under_way_writes_after_the_close(void **state)
{
    struct kula_ring *owner = harness_ring(state);
    int rounds = harness_sanitized() ? 40 : 300;
    int fd = make_direct_file();
    size_t changes = 0;
    size_t used_again = 0;
    for (int round = 0; round < rounds; round++) {
        struct kula_ring *ring = harness_open(0);
        unsigned char *memory[DEPTH];
        kula_buf buffers[DEPTH];
        for (size_t i = 0; i < DEPTH; i++) {
            kula_buf buffer = buffer_empty(owner, BLOCK);
            memory[i] = kula_bytes(buffer);
            kula_read(ring, fd, &buffer, BLOCK, (int64_t)(i * BLOCK), NULL);
        }
        assert_true(kula_submit(ring) >= 0);
        harness_close(&ring);
        for (size_t i = 0; i < DEPTH; i++) {
            buffers[i] = buffer_empty(owner, BLOCK);
            used_again += is_among(kula_bytes(buffers[i]), memory);
        }
        changes += count_changes(buffers);
        for (size_t i = 0; i < DEPTH; i++) {
            kula_free(&buffers[i]);
        }
    }
    assert_int_equal(changes, 0);
    assert_int_equal(used_again, (size_t)rounds * DEPTH);
    retire(owner, &fd, 1);
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
        kula_buf buffers[DEPTH];
        for (size_t i = 0; i < DEPTH; i++) {
            assert_int_equal(done[i].buffers, 1);
            buffers[i] = done[i].buffer;
        }
        assert_int_equal(count_changes(buffers), 0);
        for (size_t i = 0; i < DEPTH; i++) {
            kula_free(&buffers[i]);
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
