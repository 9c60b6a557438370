/* Reading and writing files: positions, ends, appending, special files. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void read_file(struct kula_ring *ring,
                      int fd,
                      size_t length,
                      int64_t offset,
                      struct outcome *done)
{
    memset(done, 0, sizeof *done);
    kula_buf buffer = buffer_empty(ring, 64);
    kula_read(ring, fd, &buffer, length, offset, done);
    await(ring, done);
}

static int32_t write_file(struct kula_ring *ring, int fd, const char *text, int64_t offset)
{
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, text);
    kula_write(ring, fd, &buffer, strlen(text), offset, &done);
    await(ring, &done);
    assert_memory_equal(kula_bytes(done.buffer), text, strlen(text));
    outcome_release(&done);
    return done.result;
}

static void a_positional_read_leaves_the_position_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int fd = make_file("0123456789");
    assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
    read_file(ring, fd, 4, 2, &done);
    assert_read_text(&done, "2345");
    outcome_release(&done);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 7);
    retire(ring, &fd, 1);
}

static void a_positional_write_leaves_the_position_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    assert_result(write_file(ring, fd, "ab", 8), 2);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
    expect_content(fd, "01234567ab");
    retire(ring, &fd, 1);
}

static void reading_at_the_own_position_goes_on_where_the_last_one_ended(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int fd = make_file("abcdefgh");
    read_file(ring, fd, 3, KULA_CUR, &done);
    assert_read_text(&done, "abc");
    outcome_release(&done);
    read_file(ring, fd, 3, KULA_CUR, &done);
    assert_read_text(&done, "def");
    outcome_release(&done);
    read_file(ring, fd, 3, KULA_CUR, &done);
    assert_read_text(&done, "gh");
    outcome_release(&done);
    read_file(ring, fd, 3, KULA_CUR, &done);
    assert_result(done.result, 0);
    outcome_release(&done);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 8);
    retire(ring, &fd, 1);
}

static void writing_at_the_own_position_goes_on_where_the_last_one_ended(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    assert_result(write_file(ring, fd, "abc", KULA_CUR), 3);
    assert_result(write_file(ring, fd, "def", KULA_CUR), 3);
    expect_content(fd, "abcdef");
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 6);
    retire(ring, &fd, 1);
}

static void a_file_ends_with_a_short_read_and_then_with_0(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int fd = make_file("0123456789");
    read_file(ring, fd, 64, 4, &done);
    assert_read_text(&done, "456789");
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    const int64_t beyond[] = { 10, 11, 1 << 20, INT64_MAX - 64 };
    for (size_t i = 0; i < 4; i++) {
        read_file(ring, fd, 64, beyond[i], &done);
        assert_result(done.result, 0);
        outcome_release(&done);
    }
    retire(ring, &fd, 1);
}

static void a_write_beyond_the_end_leaves_a_hole_of_zeros(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int fd = make_file("ab");
    assert_result(write_file(ring, fd, "z", 5), 1);
    read_file(ring, fd, 64, 0, &done);
    assert_result(done.result, 6);
    assert_memory_equal(kula_bytes(done.buffer), "ab\0\0\0z", 6);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void appending_ignores_the_offset(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file_flags("base", O_APPEND);
    assert_true(fd >= 0);
    assert_result(write_file(ring, fd, "+1", 0), 2);
    assert_result(write_file(ring, fd, "+2", KULA_CUR), 2);
    assert_result(write_file(ring, fd, "+3", 100), 2);
    expect_content(fd, "base+1+2+3");
    retire(ring, &fd, 1);
}

static void a_large_transfer_keeps_every_byte(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        SIZE = 3 * 1024 * 1024 + 17
    };
    int fd = make_file("");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_pattern(ring, SIZE, 1);
    kula_op op = kula_write(ring, fd, &buffer, SIZE, 5, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    await(ring, &done);
    assert_result(done.result, SIZE);
    outcome_release(&done);
    memset(&done, 0, sizeof done);
    buffer = buffer_empty(ring, SIZE);
    op = kula_read(ring, fd, &buffer, SIZE, 5, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    await(ring, &done);
    assert_result(done.result, SIZE);
    const unsigned char *bytes = kula_bytes(done.buffer);
    for (size_t i = 0; i < SIZE; i++) {
        if (bytes[i] != pattern_byte(i, 1)) {
            fail_msg("byte %zu differs", i);
        }
    }
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void bytes_past_the_result_are_not_touched(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("tiny");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 64);
    memset(kula_bytes(buffer), '~', 64);
    kula_read(ring, fd, &buffer, 64, 0, &done);
    await(ring, &done);
    assert_result(done.result, 4);
    harness_look_at_anything(kula_bytes(done.buffer), 64);
    for (size_t i = 4; i < 64; i++) {
        assert_int_equal(kula_bytes(done.buffer)[i], '~');
    }
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void many_positional_reads_at_once_each_get_their_own_bytes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 200
    };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    int fd = make_file("");
    unsigned char block[COUNT * 16];
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = pattern_byte(i, 3);
    }
    assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
    for (size_t i = 0; i < COUNT; i++) {
        kula_buf buffer = buffer_empty(ring, 16);
        kula_read(ring, fd, &buffer, 16, (int64_t)(COUNT - 1 - i) * 16, &done[i]);
    }
    await_all(ring);
    for (size_t i = 0; i < COUNT; i++) {
        assert_result(done[i].result, 16);
        assert_memory_equal(kula_bytes(done[i].buffer), block + (COUNT - 1 - i) * 16, 16);
        outcome_release(&done[i]);
    }
    retire(ring, &fd, 1);
}

static void special_files_answer_as_read_and_write_do(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    if (null < 0 || zero < 0) {
        SKIP_WANTING("/dev/null and /dev/zero cannot be opened");
    }
    read_file(ring, null, 8, KULA_CUR, &done);
    assert_result(done.result, 0);
    outcome_release(&done);
    read_file(ring, null, 8, 0, &done);
    assert_result(done.result, 0);
    outcome_release(&done);
    assert_result(write_file(ring, null, "anything", KULA_CUR), 8);
    assert_result(write_file(ring, null, "anything", 1000), 8);
    read_file(ring, zero, 8, KULA_CUR, &done);
    assert_result(done.result, 8);
    assert_memory_equal(kula_bytes(done.buffer), "\0\0\0\0\0\0\0\0", 8);
    outcome_release(&done);
    read_file(ring, zero, 8, 12345, &done);
    assert_result(done.result, 8);
    assert_memory_equal(kula_bytes(done.buffer), "\0\0\0\0\0\0\0\0", 8);
    outcome_release(&done);
    assert_result(write_file(ring, zero, "anything", KULA_CUR), 8);
    retire(ring, (int[]){ null, zero }, 2);
}

static void a_full_device_says_so(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int full = open("/dev/full", O_RDWR | O_CLOEXEC);
    if (full < 0) {
        SKIP_WANTING("/dev/full cannot be opened");
    }
    assert_result(write_file(ring, full, "no room", KULA_CUR), -ENOSPC);
    assert_result(write_file(ring, full, "no room", 0), -ENOSPC);
    retire(ring, &full, 1);
}

static void a_directory_cannot_be_read(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done;
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    read_file(ring, fd, 8, 0, &done);
    assert_result(done.result, -EISDIR);
    outcome_release(&done);
    read_file(ring, fd, 8, KULA_CUR, &done);
    assert_result(done.result, -EISDIR);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void a_file_of_proc_is_read_like_any_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        SKIP_WANTING("there is no /proc/version");
    }
    char expected[32];
    assert_int_equal(pread(fd, expected, 32, 0), 32);
    struct outcome done;
    read_file(ring, fd, 32, 0, &done);
    assert_result(done.result, 32);
    assert_memory_equal(kula_bytes(done.buffer), expected, 32);
    outcome_release(&done);
    read_file(ring, fd, 16, KULA_CUR, &done);
    assert_result(done.result, 16);
    outcome_release(&done);
    read_file(ring, fd, 16, KULA_CUR, &done);
    assert_memory_equal(kula_bytes(done.buffer), expected + 16, 16);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_positional_read_leaves_the_position_alone),
        PROVES(a_positional_write_leaves_the_position_alone),
        PROVES(reading_at_the_own_position_goes_on_where_the_last_one_ended),
        PROVES(writing_at_the_own_position_goes_on_where_the_last_one_ended),
        PROVES(a_file_ends_with_a_short_read_and_then_with_0),
        PROVES(a_write_beyond_the_end_leaves_a_hole_of_zeros),
        PROVES(appending_ignores_the_offset),
        PROVES(a_large_transfer_keeps_every_byte),
        PROVES(bytes_past_the_result_are_not_touched),
        PROVES(many_positional_reads_at_once_each_get_their_own_bytes),
        PROVES(special_files_answer_as_read_and_write_do),
        PROVES(a_full_device_says_so),
        PROVES(a_directory_cannot_be_read),
        PROVES(a_file_of_proc_is_read_like_any_other),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
