/* Memory that is lent for one call: what is refused, and when the promise cannot be kept. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- What is wrong ------------------------------------------------------------------------- */

static void impossible_arguments_have_the_results_of_the_operation(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    int fds[2];
    char bytes[8] = { 0 };
    make_stream_pair(AF_UNIX, fds);
    size_t huge = (size_t)INT32_MAX + 1;
    const int64_t forever = KULA_FOREVER;
    assert_result(kula_read_sync(ring, file, bytes, huge, 0, 0, forever), -EINVAL);
    assert_result(kula_read_sync(ring, file, bytes, SIZE_MAX, 0, 0, forever), -EINVAL);
    assert_result(kula_read_sync(ring, file, bytes, 8, -2, 0, forever), -EINVAL);
    assert_result(kula_read_sync(ring, file, bytes, 8, 0, 1u << 30, forever), -EINVAL);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 8, 1 << 30, 0, forever), -EINVAL);
    assert_result(kula_send_sync(ring, fds[0], bytes, 8, MSG_PEEK, 0, forever), -EINVAL);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 8, MSG_PEEK, KULA_FULL, forever),
                  -EINVAL);
    assert_result(kula_read_sync(ring, -1, bytes, 8, 0, 0, forever), -EBADF);
    assert_result(kula_read_sync(ring, 4000, bytes, 8, 0, 0, forever), -EBADF);
    assert_result(kula_read_sync(ring, fds[0], bytes, 8, 0, 0, forever), -ESPIPE);
    assert_result(kula_recv_sync(ring, file, bytes, 8, 0, 0, forever), -ENOTSOCK);
    assert_result(kula_read_sync(ring, file, bytes, 0, 0, 0, forever), 0);
    assert_result(kula_send_sync(ring, fds[0], NULL, 0, 0, 0, forever), 0);
    assert_result(kula_recv_sync(ring, fds[0], bytes, 8, 0, KULA_NOWAIT, forever), -EAGAIN);
    assert_int_equal(kula_outstanding(ring), 0);
    expect_content(file, "content");
    expect_no_bytes(fds[1]);
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

static void memory_that_is_not_there_is_efault(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    assert_result(kula_read_sync(ring, file, NULL, 7, 0, 0, KULA_FOREVER), -EFAULT);
    assert_result(kula_write_sync(ring, file, NULL, 7, 0, 0, KULA_FOREVER), -EFAULT);
    expect_content(file, "content");
    retire(ring, &file, 1);
}

static void a_descriptor_that_is_being_closed_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[8];
    make_pipe(fds);
    struct outcome closed = { 0 };
    kula_close_fd(ring, fds[0], &closed);
    assert_result(kula_read_sync(ring, fds[0], bytes, 8, KULA_CUR, 0, KULA_FOREVER), -EBADF);
    await(ring, &closed);
    assert_result(closed.result, 0);
    retire(ring, &fds[1], 1);
}

static void without_a_record_nothing_happens(void **state)
{
    (void)state;
    struct kula_config config = harness_config();
    config.operations_max = 2;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    int file = make_file("content");
    char bytes[7] = ".......";
    struct outcome timers[2] = { { 0 } };
    kula_timer(ring, 3600 * KULA_SECOND, &timers[0]);
    kula_timer(ring, 3600 * KULA_SECOND, &timers[1]);
    assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), -EAGAIN);
    assert_memory_equal(bytes, ".......", 7);
    kula_cancel_all(ring);
    await_all(ring);
    for (int i = 0; i < 10; i++) {
        assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), 7);
    }
    retire(ring, &file, 1);
    harness_close(&ring);
}

struct visitor {
    struct kula_ring *ring;
    int fd;
    int32_t read;
    int32_t write;
    int32_t received;
    int32_t sent;
};

static int32_t visit(void *arg)
{
    struct visitor *visitor = arg;
    char bytes[4] = "....";
    visitor->read = kula_read_sync(visitor->ring, visitor->fd, bytes, 4, 0, 0, 0);
    visitor->write = kula_write_sync(visitor->ring, visitor->fd, bytes, 4, 0, 0, 0);
    visitor->received = kula_recv_sync(visitor->ring, visitor->fd, bytes, 4, 0, 0, 0);
    visitor->sent = kula_send_sync(visitor->ring, visitor->fd, bytes, 4, 0, 0, 0);
    return 0;
}

static void *visit_on_a_thread(void *arg)
{
    visit(arg);
    return NULL;
}

static void assert_all_refused(const struct visitor *visitor, int32_t result)
{
    assert_result(visitor->read, result);
    assert_result(visitor->write, result);
    assert_result(visitor->received, result);
    assert_result(visitor->sent, result);
}

static void only_the_owner_outside_of_functions_may_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("content");
    struct visitor visitor = { .ring = ring, .fd = file };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit_on_a_thread, &visitor), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_all_refused(&visitor, -EPERM);
    struct outcome done = { 0 };
    kula_offload(ring, visit, &visitor, &done);
    await(ring, &done);
    assert_all_refused(&visitor, -EDEADLK);
    visitor.ring = NULL;
    visit(&visitor);
    assert_all_refused(&visitor, -EINVAL);
    harness_context(state)->misuses_expected = 12;
    expect_content(file, "content");
    retire(ring, &file, 1);
}

static void a_ring_that_is_closing_cancels_the_call(void **state)
{
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place: nothing keeps it closing");
    }
    struct gate gate = GATE_CLOSED(0);
    struct kula_ring *ring = harness_open(0);
    int file = make_file("content");
    char bytes[7] = ".......";
    kula_offload(ring, gate_pass, &gate, NULL);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    harness_context(state)->warnings_expected = true;
    assert_result(kula_close(&ring, 0), -EBUSY);
    assert_result(kula_read_sync(ring, file, bytes, 7, 0, 0, KULA_FOREVER), -ECANCELED);
    assert_memory_equal(bytes, ".......", 7);
    gate_open(&gate);
    harness_close(&ring);
    close(file);
}

/* ---- A ring that breaks -------------------------------------------------------------------- */

#define FDS_MAX 1024

static void note_descriptors(bool *open_before)
{
    for (int fd = 0; fd < FDS_MAX; fd++) {
        open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

static void close_new_descriptors(const bool *open_before)
{
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (!open_before[fd]) {
            close(fd);
        }
    }
}

static void skip_unless_breakable(void)
{
    const char *mask = getenv("KULA_MASK");
    if (harness_backend_is("uring") && mask && !strstr(mask, "registered_ring")) {
        SKIP_BECAUSE("with this KULA_MASK the ring is registered, and needs no descriptor");
    }
    if (harness_backend_is("uring") && harness_sanitized()) {
        SKIP_BECAUSE("what is lost for good is a leak to a sanitizer");
    }
}

/* A ring that needs its descriptors. */
static struct kula_ring *open_breakable(void)
{
    struct kula_config config = harness_config();
    config.mask = "feat:registered_ring";
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    return ring;
}

/* The program closes what is the ring's: nothing can be asked of the kernel any more. Readiness loops
 * keep what waits, and can promise that it is over; a ring of the kernel's cannot. */
static void a_call_on_a_ring_that_breaks_says_whether_the_memory_is_lost(void **state)
{
    skip_unless_breakable();
    static char lost[8]; /* it stays, since nobody will ever know */
    bool open_before[FDS_MAX];
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    note_descriptors(open_before);
    struct kula_ring *ring = open_breakable();
    assert_result(kula_recv_sync(ring, fds[0], lost, 8, 0, 0, 0), -ETIME); /* it is known now */
    close_new_descriptors(open_before);
    harness_context(state)->warnings_expected = true;
    int32_t result = kula_recv_sync(ring, fds[0], lost, 8, 0, 0, KULA_FOREVER);
    if (harness_backend_is("uring")) {
        assert_result(result, -ENOTRECOVERABLE);
        assert_result(kula_recv_sync(ring, fds[0], lost, 8, 0, 0, KULA_FOREVER), -EBADR);
        assert_result(kula_close(&ring, 0), -EBUSY);
        assert_int_equal(kula_abandon(&ring), 0);
    } else {
        assert_result(result, -EBADR);
        assert_result(kula_recv_sync(ring, fds[0], lost, 8, 0, 0, KULA_FOREVER), -EBADR);
        harness_close(&ring);
    }
    close(fds[0]);
    close(fds[1]);
}

static void a_scope_of_a_ring_that_breaks_says_whether_the_memory_is_lost(void **state)
{
    skip_unless_breakable();
    static char lost[8];
    char bytes[8] = "........";
    bool open_before[FDS_MAX];
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    note_descriptors(open_before);
    struct kula_ring *ring = open_breakable();
    harness_context(state)->warnings_expected = true;
    struct kula_scope scope;
    assert_int_equal(kula_scope_begin(ring, &scope), 0);
    assert_true(kula_scope_recv(&scope, fds[0], lost, 8, 0, NULL) != 0);
    assert_true(kula_submit(ring) >= 0);
    close_new_descriptors(open_before);
    /* It waits in line, so the kernel has never seen it. */
    assert_result(kula_recv_sync(ring, fds[0], bytes, 8, 0, 0, KULA_FOREVER), -EBADR);
    assert_memory_equal(bytes, "........", 8);
    if (harness_backend_is("uring")) {
        struct kula_scope other;
        assert_result(kula_scope_end(&scope, KULA_FOREVER), -ENOTRECOVERABLE);
        assert_result(kula_scope_end(&scope, 0), -ENOTRECOVERABLE);
        assert_result(kula_scope_begin(ring, &other), -EBADR);
        assert_result(kula_close(&ring, 0), -EBUSY);
        assert_int_equal(kula_abandon(&ring), 0);
        harness_context(state)->misuses_expected = 2; /* the scope is open */
    } else {
        assert_result(kula_scope_end(&scope, KULA_FOREVER), -ETIME);
        harness_close(&ring);
    }
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(impossible_arguments_have_the_results_of_the_operation),
        PROVES(memory_that_is_not_there_is_efault),
        PROVES(a_descriptor_that_is_being_closed_is_refused),
        PROVES(without_a_record_nothing_happens),
        PROVES(only_the_owner_outside_of_functions_may_call),
        PROVES(a_ring_that_is_closing_cancels_the_call),
        PROVES(a_call_on_a_ring_that_breaks_says_whether_the_memory_is_lost),
        PROVES(a_scope_of_a_ring_that_breaks_says_whether_the_memory_is_lost),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
