/* What O_DIRECT wants of a file: the answer is tried out, and the program's descriptor is left alone. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)1 << 18)

static int make_patterned(const char *path)
{
    static char bytes[FILE_BYTES];
    for (size_t i = 0; i < FILE_BYTES; i++) {
        bytes[i] = (char)pattern_byte(i, 5);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, FILE_BYTES), FILE_BYTES);
    return fd;
}

static bool is_power_of_two(uint32_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

/* Reads with memory, position and length that are aligned as the answer says, and no better. */
static void expect_direct_reads(struct kula_ring *ring,
                                const char *path,
                                const struct kula_direct *direct)
{
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    assert_true(fd >= 0);
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.alignment = 2 * (size_t)direct->memory_alignment;
    for (unsigned i = 0; i < 6; i++) {
        size_t length = (size_t)direct->offset_alignment << (i % 3);
        int64_t offset = (int64_t)direct->offset_alignment * (2 * i + 1);
        kula_buf buffer = kula_alloc_memory(ring, length + memory.alignment, &memory, NULL);
        assert_non_null(buffer);
        assert_int_equal(kula_window(buffer, direct->memory_alignment), 0);
        struct outcome done = { 0 };
        kula_read(ring, fd, &buffer, length, offset, &done);
        await(ring, &done);
        assert_result(done.result, (int64_t)length);
        const unsigned char *bytes = kula_bytes(done.buffer);
        for (size_t k = 0; k < length; k++) {
            if (bytes[k] != pattern_byte((size_t)offset + k, 5)) {
                fail_msg("byte %zu at %lld is wrong", k, (long long)offset);
            }
        }
        outcome_release(&done);
    }
    retire(ring, &fd, 1);
}

static void try_file(struct kula_ring *ring, const char *path)
{
    int fd = make_patterned(path);
    assert_int_equal(lseek(fd, 1234, SEEK_SET), 1234);
    int flags = fcntl(fd, F_GETFL);
    struct kula_direct direct = { 0 };
    int answer = kula_direct_alignment(fd, &direct);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 1234);
    assert_int_equal(fcntl(fd, F_GETFL), flags);
    if (answer == 0) {
        print_message("%s: memory %u, offset %u, source %u\n", path, direct.memory_alignment,
                      direct.offset_alignment, direct.source);
        assert_true(is_power_of_two(direct.memory_alignment));
        assert_true(is_power_of_two(direct.offset_alignment));
        assert_true(direct.source == KULA_DIRECT_FROM_KERNEL ||
                    direct.source == KULA_DIRECT_FROM_PROBE);
        expect_direct_reads(ring, path, &direct);
    } else {
        int own = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        print_message("%s: %s\n", path, strerror(-answer));
        assert_true(answer == -EOPNOTSUPP || answer == -EACCES);
        if (own >= 0) {
            close(own);
        }
        close(fd);
        unlink(path);
        /* without /proc there is no description of our own, and a library for POSIX alone has none at
         * all: only then may there be O_DIRECT and nobody know */
        if (own >= 0 && access("/proc/self/fd", X_OK) == 0) {
            SKIP_BECAUSE("this build of the library knows of no O_DIRECT");
        }
        return;
    }
    close(fd);
    unlink(path);
}

static void the_answer_holds_for_a_file_on_disk(void **state)
{
    char path[64];
    snprintf(path, sizeof path, "direct-%ld", (long)getpid());
    try_file(harness_ring(state), path);
}

static void the_answer_holds_for_a_file_in_memory(void **state)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/kula-direct-%ld", (long)getpid());
    if (access("/dev/shm", W_OK) < 0) {
        SKIP_WANTING("there is no /dev/shm to write to");
    }
    try_file(harness_ring(state), path);
}

static void an_empty_file_has_an_answer_that_is_enough(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[64];
    snprintf(path, sizeof path, "direct-empty-%ld", (long)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    struct kula_direct direct;
    int answer = kula_direct_alignment(fd, &direct);
    close(fd);
    if (answer == 0) {
        fd = make_patterned(path);
        close(fd);
        expect_direct_reads(ring, path, &direct);
    } else {
        assert_true(answer == -EOPNOTSUPP || answer == -EACCES);
    }
    unlink(path);
}

static void what_has_no_blocks_has_no_answer(void **state)
{
    (void)state;
    struct kula_direct direct = { .source = 77 };
    int pipes[2];
    make_pipe(pipes);
    assert_result(kula_direct_alignment(pipes[0], &direct), -ENOTSUP);
    int directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_result(kula_direct_alignment(directory, &direct), -ENOTSUP);
    assert_result(kula_direct_alignment(-1, &direct), -EBADF);
    assert_result(kula_direct_alignment(directory, NULL), -EINVAL);
    assert_int_equal(direct.source, 77); /* untouched */
    close(directory);
    close(pipes[0]);
    close(pipes[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(the_answer_holds_for_a_file_on_disk),
        PROVES(the_answer_holds_for_a_file_in_memory),
        PROVES(an_empty_file_has_an_answer_that_is_enough),
        PROVES(what_has_no_blocks_has_no_answer),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
