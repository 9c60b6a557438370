/* The table of descriptors: it grows by those that are seen, and knows what each one is. */
#include "unit.h"

#include "common/fd.h"
#include "common/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_ring(void **state)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:blocking";
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    *state = ring;
    return error;
}

static int close_ring(void **state)
{
    struct kula_ring *ring = *state;
    return kula_close(&ring, -1);
}

static void a_number_that_is_not_open_costs_no_memory(void **state)
{
    struct kula_ring *ring = *state;
    const int wild[] = { 3000, 1 << 20, INT32_MAX };
    uint32_t before = ring->fd_page_count;
    for (size_t i = 0; i < 3; i++) {
        assert_null(kula__fd_peek(ring, wild[i]));
        assert_null(kula__fd_get(ring, wild[i]));
        assert_int_equal(kula__fd_missing(wild[i]), -EBADF);
    }
    assert_null(kula__fd_peek(ring, -1));
    assert_int_equal(ring->fd_page_count, before);
}

static void the_table_grows_and_records_stay_where_they_are(void **state)
{
    struct kula_ring *ring = *state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(null >= 0);
    struct kula__fd *first = kula__fd_get(ring, null);
    assert_non_null(first);
    const int numbers[] = { 255, 256, 257, 1000, 4095, 4096, 20000, 100000 };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if ((rlim_t)numbers[i] >= limit.rlim_cur) {
            break;
        }
        int fd = fcntl(null, F_DUPFD_CLOEXEC, numbers[i]);
        assert_true(fd >= numbers[i]);
        struct kula__fd *record = kula__fd_get(ring, fd);
        assert_non_null(record);
        assert_ptr_not_equal(record, first);
        assert_ptr_equal(kula__fd_get(ring, fd), record);
        assert_ptr_equal(kula__fd_peek(ring, fd), record);
        assert_ptr_equal(kula__fd_get(ring, null), first);
        assert_int_equal(record->pins, 0);
        close(fd);
    }
    close(null);
}

static void expect_kind(struct kula_ring *ring, int fd, enum kula__fd_kind kind)
{
    assert_true(fd >= 0);
    struct kula__fd *record = kula__fd_get(ring, fd);
    assert_non_null(record);
    record->kind = KULA__FD_UNKNOWN;
    assert_int_equal(kula__fd_classify(ring, record, fd), 0);
    assert_int_equal(record->kind, kind);
    record->kind = KULA__FD_UNKNOWN;
    close(fd);
}

static void every_kind_of_descriptor_is_told_apart(void **state)
{
    struct kula_ring *ring = *state;
    char name[] = "kula-unit-XXXXXX";
    int pair[2];
    expect_kind(ring, mkstemp(name), KULA__FD_FILE);
    unlink(name);
    expect_kind(ring, open("/dev/null", O_RDONLY | O_CLOEXEC), KULA__FD_FILE);
    expect_kind(ring, open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), KULA__FD_DIRECTORY);
    assert_int_equal(pipe(pair), 0);
    expect_kind(ring, pair[0], KULA__FD_PIPE);
    expect_kind(ring, pair[1], KULA__FD_PIPE);
    expect_kind(ring, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), KULA__FD_STREAM);
    expect_kind(ring, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), KULA__FD_DATAGRAM);
    expect_kind(ring, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), KULA__FD_STREAM);
    expect_kind(ring, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), KULA__FD_DATAGRAM);
    expect_kind(ring, eventfd(0, EFD_CLOEXEC), KULA__FD_OTHER);
}

static void what_was_closed_meanwhile_is_not_classified(void **state)
{
    struct kula_ring *ring = *state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct kula__fd *record = kula__fd_get(ring, fd);
    assert_non_null(record);
    close(fd);
    record->kind = KULA__FD_UNKNOWN;
    assert_int_equal(kula__fd_classify(ring, record, fd), -EBADF);
}

/* Waits for the one operation under way, gives its buffer back, and returns its result. */
static int32_t end_of_operation(struct kula_ring *ring)
{
    assert_true(kula_wait(ring, KULA_FOREVER) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    int32_t result = event->result;
    kula_buf buffer = kula_take(event);
    kula_free(&buffer);
    assert_null(kula_next(ring));
    return result;
}

static bool is_plain(const struct kula_ring *ring, int fd)
{
    return (uint32_t)fd < ring->fd_plain_count && ring->fd_plain[fd];
}

static void read_once(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 1);
    assert_non_null(buffer);
    (void)kula_read(ring, fd, &buffer, 1, 0, NULL);
    assert_int_equal(end_of_operation(ring), 0);
}

static void a_file_is_plain_from_its_first_transfer_until_its_number_may_mean_another(
    void **state)
{
    struct kula_ring *ring = *state;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_false(is_plain(ring, fd));
    read_once(ring, fd);
    assert_true(is_plain(ring, fd));

    assert_int_equal(kula_forget_fd(ring, fd), 0);
    assert_false(is_plain(ring, fd));
    read_once(ring, fd);
    assert_true(is_plain(ring, fd));

    (void)kula_close_fd(ring, fd, NULL);
    assert_false(is_plain(ring, fd)); /* from the call on, not from its end */
    assert_int_equal(end_of_operation(ring), 0);
    assert_false(is_plain(ring, fd));
    assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), fd);
    assert_false(is_plain(ring, fd));
    read_once(ring, fd);
    assert_true(is_plain(ring, fd));

    close(fd); /* behind the ring's back, which then gets the number from the kernel */
    (void)kula_openat(ring, AT_FDCWD, "/dev/null", O_RDONLY, 0, NULL);
    assert_int_equal(end_of_operation(ring), fd);
    assert_false(is_plain(ring, fd));
    close(fd);
}

static void only_files_are_plain(void **state)
{
    struct kula_ring *ring = *state;
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    const int others[] = { pipes[0], eventfd(0, EFD_CLOEXEC), open("/", O_RDONLY | O_CLOEXEC) };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_true(others[i] >= 0);
        struct kula__fd *record = kula__fd_get(ring, others[i]);
        assert_non_null(record);
        assert_int_equal(kula__fd_classify(ring, record, others[i]), 0);
        assert_false(is_plain(ring, others[i]));
        close(others[i]);
    }
    close(pipes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_that_is_not_open_costs_no_memory),
        cmocka_unit_test(the_table_grows_and_records_stay_where_they_are),
        cmocka_unit_test(every_kind_of_descriptor_is_told_apart),
        cmocka_unit_test(what_was_closed_meanwhile_is_not_classified),
        cmocka_unit_test_setup_teardown(
            a_file_is_plain_from_its_first_transfer_until_its_number_may_mean_another,
            open_ring, close_ring),
        cmocka_unit_test_setup_teardown(only_files_are_plain, open_ring, close_ring),
    };
    return cmocka_run_group_tests(tests, open_ring, close_ring) == 0 ? EXIT_SUCCESS
                                                                     : EXIT_FAILURE;
}
