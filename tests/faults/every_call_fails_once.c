/* Every system call and allocation that the library makes fails once: while a ring opens, during
 * one operation of each kind, and while it closes. Whatever comes of it, it is said clearly, every
 * buffer comes back, nothing leaks, nothing hangs, and the ring works afterwards. */
#include "common/fault.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PASSAGES_MAX 2000

/* What an operation is tried on. */
struct place {
    int file;
    int pipe[2];
    int sockets[2];
    int listener;
    int client;
    struct sockaddr_storage address;
    socklen_t length;
};

static void open_place(struct place *place)
{
    place->file = make_file("some content");
    make_pipe(place->pipe);
    make_stream_pair(AF_UNIX, place->sockets);
    place->listener = make_listener(&place->address, &place->length, 4);
    place->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(place->client >= 0);
}

static void close_place(struct place *place)
{
    const int fds[] = { place->file,       place->pipe[0],  place->pipe[1], place->sockets[0],
                        place->sockets[1], place->listener, place->client };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* Hands over one operation that can end by itself. 0: there was no room, and nothing happened. */
typedef kula_op (*start_fn)(struct kula_ring *ring,
                            struct place *place,
                            kula_buf *buffer,
                            struct outcome *done);

static kula_op start_nop(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_nop(r, d);
}

static kula_op start_read(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    return kula_read(r, p->file, b, 8, 0, d);
}

static kula_op start_write(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    return kula_write(r, p->file, b, 8, KULA_CUR, d);
}

static kula_op start_pipe(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    kula_op op = kula_read(r, p->pipe[0], b, 8, KULA_CUR, d);
    kula_submit(r); /* it waits, and only then is there something */
    put(p->pipe[1], "piped");
    return op;
}

static kula_op start_recv(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    kula_op op = kula_recv(r, p->sockets[0], b, 8, 0, d);
    kula_submit(r);
    put(p->sockets[1], "sent");
    return op;
}

static kula_op start_send(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    return kula_send(r, p->sockets[0], b, 8, 0, d);
}

static kula_op start_vector(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    kula_vec vec = kula_vec_new(r);
    if (!vec) {
        return 0;
    }
    kula_vec_add(vec, b, 8);
    return kula_readv(r, p->file, &vec, 0, d);
}

static kula_op start_vector_out(struct kula_ring *r,
                                struct place *p,
                                kula_buf *b,
                                struct outcome *d)
{
    kula_vec vec = kula_vec_new(r);
    if (!vec) {
        return 0;
    }
    kula_vec_add(vec, b, 8);
    return kula_writev(r, p->file, &vec, 0, d);
}

static kula_op start_socket(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_socket(r, AF_INET, SOCK_STREAM, 0, d);
}

static kula_op start_bind(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)b;
    return kula_bind(r, p->listener, (struct sockaddr *)&p->address, p->length, d);
}

static kula_op start_listen(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    (void)b;
    return kula_listen(r, p->listener, 8, d);
}

static kula_op start_accept(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    (void)b;
    kula_op op = kula_accept(r, p->listener, d);
    kula_submit(r);
    assert_int_equal(connect(p->client, (struct sockaddr *)&p->address, p->length), 0);
    return op;
}

static kula_op start_connect(struct kula_ring *r,
                             struct place *p,
                             kula_buf *b,
                             struct outcome *d)
{
    (void)b;
    return kula_connect(r, p->client, (struct sockaddr *)&p->address, p->length, d);
}

static kula_op start_shutdown(struct kula_ring *r,
                              struct place *p,
                              kula_buf *b,
                              struct outcome *d)
{
    (void)b;
    return kula_shutdown(r, p->sockets[0], SHUT_RDWR, d);
}

static kula_op start_openat(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_openat(r, AT_FDCWD, ".", O_RDONLY, 0, d);
}

static kula_op start_close(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)b;
    int fd = p->pipe[0];
    p->pipe[0] = -1;
    return kula_close_fd(r, fd, d);
}

static kula_op start_fsync(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)b;
    return kula_fsync(r, p->file, d);
}

static kula_op start_fdatasync(struct kula_ring *r,
                               struct place *p,
                               kula_buf *b,
                               struct outcome *d)
{
    (void)b;
    return kula_fdatasync(r, p->file, d);
}

static kula_op start_statx(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_statx(r, AT_FDCWD, ".", 0, d);
}

static kula_op start_poll(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)b;
    kula_op op = kula_poll(r, p->pipe[0], POLLIN, d);
    kula_submit(r);
    put(p->pipe[1], "x");
    return op;
}

static kula_op start_timer(struct kula_ring *r, struct place *p, kula_buf *b, struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_timer(r, KULA_MILLISECOND, d);
}

static int32_t three(void *arg)
{
    (void)arg;
    return 3;
}

static kula_op start_offload(struct kula_ring *r,
                             struct place *p,
                             kula_buf *b,
                             struct outcome *d)
{
    (void)p;
    (void)b;
    return kula_offload(r, three, NULL, d);
}

static kula_op start_deadline(struct kula_ring *r,
                              struct place *p,
                              kula_buf *b,
                              struct outcome *d)
{
    kula_op op = kula_recv(r, p->sockets[0], b, 8, 0, d);
    int said = kula_deadline(r, op, KULA_MILLISECOND);
    assert_true(said == 0 || said == -ENOMEM);
    if (said != 0) {
        kula_cancel(r, op);
    }
    return op;
}

static kula_op start_cancel(struct kula_ring *r,
                            struct place *p,
                            kula_buf *b,
                            struct outcome *d)
{
    kula_op op = kula_recv(r, p->sockets[0], b, 8, 0, d);
    kula_submit(r);
    int said = kula_cancel(r, op);
    /* -ENOENT: it was the receive that failed, and its event is waiting */
    assert_true(said == 0 || said == -ENOENT);
    return op;
}

static kula_op start_embedded(struct kula_ring *r,
                              struct place *p,
                              kula_buf *b,
                              struct outcome *d)
{
    (void)p;
    (void)b;
    int fd = kula_pollable(r);
    assert_true(fd >= 0 || fd == -EMFILE || fd == -ENOMEM || fd == -EAGAIN);
    return kula_timer(r, KULA_MILLISECOND, d);
}

struct kind {
    const char *name;
    start_fn start;
    int32_t result; /* when nothing fails; ANY_DESCRIPTOR: one that is the test's to close */
    bool takes_buffer;
};

#define ANY_DESCRIPTOR INT32_MAX

static const struct kind kinds[] = {
    { "nop", start_nop, 0, false },
    { "read", start_read, 8, true },
    { "write", start_write, 8, true },
    { "read from a pipe", start_pipe, 5, true },
    { "recv", start_recv, 4, true },
    { "send", start_send, 8, true },
    { "readv", start_vector, 8, true },
    { "writev", start_vector_out, 8, true },
    { "socket", start_socket, ANY_DESCRIPTOR, false },
    { "bind", start_bind, -EINVAL, false },
    { "listen", start_listen, 0, false },
    { "accept", start_accept, ANY_DESCRIPTOR, false },
    { "connect", start_connect, 0, false },
    { "shutdown", start_shutdown, 0, false },
    { "openat", start_openat, ANY_DESCRIPTOR, false },
    { "close", start_close, 0, false },
    { "fsync", start_fsync, 0, false },
    { "fdatasync", start_fdatasync, 0, false },
    { "statx", start_statx, 0, false },
    { "poll", start_poll, POLLIN, false },
    { "timer", start_timer, 0, false },
    { "offload", start_offload, 3, false },
    { "deadline", start_deadline, -ETIME, true },
    { "cancel", start_cancel, -ECANCELED, true },
    { "pollable", start_embedded, 0, false },
};

static void expect_result(const struct kind *kind,
                          const struct outcome *done,
                          const char *failed)
{
    int32_t result = done->result;
    bool expected = kind->result == ANY_DESCRIPTOR ? result >= 0 : result == kind->result;
    bool clear = failed && result < 0 && result > -4096;
    if (!expected && !clear) {
        fail_msg("%s gave %d when %s failed", kind->name, result, failed ? failed : "nothing");
    }
    if (kind->result == ANY_DESCRIPTOR && result >= 0) {
        close(result);
    }
}

/* The ring is not worse for it: a file can be read. */
static void expect_working(struct kula_ring *ring)
{
    int fd = make_file("works");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fd, &buffer, 8, 0, &done);
    await(ring, &done);
    assert_read_text(&done, "works");
    outcome_release(&done);
    close(fd);
}

/* Returns the point that failed, or NULL when this kind makes fewer calls than that. */
static const char *try_kind(const struct kind *kind, uint64_t nth)
{
    struct place place;
    struct outcome done = { 0 };
    open_place(&place);
    struct kula_ring *ring = harness_open(0);
    kula_buf buffer = kind->takes_buffer ? buffer_text(ring, "12345678") : NULL;
    kula__fault_arm(nth);
    kula_op op = kind->start(ring, &place, &buffer, &done);
    if (op != 0) {
        await(ring, &done);
    }
    kula__fault_disarm();
    const char *failed = kula__fault_failed();
    if (op == 0) {
        assert_non_null(failed);
        assert_int_equal(done.events, 0);
        kula_free(&buffer);
    } else {
        assert_true(buffer == NULL);
        assert_int_equal(done.events, 1);
        assert_int_equal(done.buffers, kind->takes_buffer ? 1 : 0);
        kula_free(&done.buffer);
        expect_result(kind, &done, failed);
    }
    assert_int_equal(kula_outstanding(ring), 0);
    expect_working(ring);
    harness_close(&ring);
    close_place(&place);
    return failed;
}

static void each_call_of_each_operation_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        unsigned before = harness_fd_count();
        uint64_t nth = 1;
        while (try_kind(&kinds[i], nth)) {
            assert_true(nth++ < PASSAGES_MAX);
            assert_int_equal(harness_fd_count(), before);
        }
        print_message("%s: %u calls\n", kinds[i].name, (unsigned)nth - 1);
    }
}

static bool is_clear(int error)
{
    return error < 0 && error > -4096;
}

static void each_call_of_opening_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    unsigned before = harness_fd_count();
    unsigned refusals = 0;
    for (uint64_t nth = 1; nth < PASSAGES_MAX; nth++) {
        struct kula_report report = { .size = sizeof report };
        struct kula_config config = harness_config();
        config.report = &report;
        struct kula_ring *ring = NULL;
        kula__fault_arm(nth);
        int error = kula_open(&config, &ring);
        kula__fault_disarm();
        const char *failed = kula__fault_failed();
        if (error == 0) {
            expect_working(ring);
            harness_close(&ring);
        } else {
            assert_true(is_clear(error));
            assert_null(ring);
            assert_non_null(failed);
            assert_true(report.chosen < 0);
            refusals++;
        }
        assert_int_equal(harness_fd_count(), before);
        if (!failed) {
            assert_true(refusals > 0);
            return;
        }
    }
    fail_msg("opening never ends");
}

static void opening_falls_back_when_a_call_fails(void **state)
{
    harness_context(state)->warnings_expected = true;
    unsigned before = harness_fd_count();
    for (uint64_t nth = 1; nth < PASSAGES_MAX; nth++) {
        struct kula_config config = harness_config();
        config.backend = "auto";
        struct kula_ring *ring = NULL;
        kula__fault_arm(nth);
        int error = kula_open(&config, &ring);
        kula__fault_disarm();
        const char *failed = kula__fault_failed();
        if (error == 0) {
            expect_working(ring);
            harness_close(&ring);
        } else {
            /* what all backends share can fail too, but one failure of one backend's own cannot */
            assert_true(error == -ENOMEM || error == -EMFILE || error == -EAGAIN);
            assert_non_null(failed);
        }
        assert_int_equal(harness_fd_count(), before);
        if (!failed) {
            return;
        }
    }
    fail_msg("opening never ends");
}

/* A result that is as it should be, or says clearly what went wrong if something did. */
static void expect_lent(const char *what, int64_t result, int64_t wanted, bool *failed_here)
{
    if (result != wanted && !(result < 0 && result > -4096)) {
        fail_msg("%s gave %lld", what, (long long)result);
    }
    *failed_here |= result != wanted;
}

/* Memory on the stack, in calls and in a scope: afterwards nobody else has it, whatever failed. */
static const char *try_lent(uint64_t nth)
{
    struct place place;
    open_place(&place);
    struct kula_ring *ring = harness_open(0);
    char head[8] = "........";
    char idle[8] = "........";
    char body[8] = "........";
    bool failed_here = false;
    struct outcome done = { 0 };
    struct kula_scope scope;
    kula__fault_arm(nth);
    expect_lent("read", kula_read_sync(ring, place.file, head, 8, 0, 0, PATIENCE_NS), 8,
                &failed_here);
    expect_lent("send", kula_send_sync(ring, place.sockets[1], "sent", 4, 0, 0, PATIENCE_NS), 4,
                &failed_here);
    expect_lent("recv", kula_recv_sync(ring, place.sockets[1], idle, 8, 0, 0, KULA_MILLISECOND),
                -ETIME, &failed_here);
    int begun = kula_scope_begin(ring, &scope);
    expect_lent("begin", begun, 0, &failed_here);
    if (begun == 0) {
        kula_op op = kula_scope_read(&scope, place.file, body, 8, 0, &done);
        kula_scope_read(&scope, place.pipe[0], idle, 8, KULA_CUR, NULL);
        int ended = kula_scope_end(&scope, KULA_MILLISECOND);
        assert_true(ended == -ETIME || ended == 0);
        assert_null(scope.ring);
        if (op != 0) {
            await(ring, &done);
            expect_lent("scope", done.result, 8, &failed_here);
        }
    }
    kula__fault_disarm();
    const char *failed = kula__fault_failed();
    assert_true(failed || !failed_here);
    assert_true(failed || memcmp(head, "some con", 8) == 0);
    assert_true(done.result != 8 || memcmp(body, "some con", 8) == 0);
    put(place.pipe[1], "late");
    put(place.sockets[0], "late");
    await_all(ring);
    assert_memory_equal(idle, "........", 8);
    expect_working(ring);
    harness_close(&ring);
    close_place(&place);
    return failed;
}

static void each_call_may_fail_while_memory_is_lent(void **state)
{
    harness_context(state)->warnings_expected = true;
    unsigned before = harness_fd_count();
    uint64_t nth = 1;
    while (try_lent(nth)) {
        assert_true(nth++ < PASSAGES_MAX);
        assert_int_equal(harness_fd_count(), before);
    }
    print_message("lent: %u calls\n", (unsigned)nth - 1);
}

static const char *try_close(uint64_t nth, bool embedded)
{
    struct place place;
    open_place(&place);
    struct kula_ring *ring = harness_open(0);
    if (embedded) {
        assert_true(kula_pollable(ring) >= 0);
    }
    for (int i = 0; i < 4; i++) {
        kula_buf buffer = buffer_empty(ring, 64);
        kula_read(ring, place.pipe[0], &buffer, 64, KULA_CUR, NULL);
        buffer = buffer_empty(ring, 64);
        kula_recv(ring, place.sockets[0], &buffer, 64, 0, NULL);
        buffer = buffer_empty(ring, 64);
        kula_read(ring, place.file, &buffer, 8, 0, NULL);
        kula_accept(ring, place.listener, NULL);
        kula_timer(ring, 3600 * KULA_SECOND, NULL);
        kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
        kula_offload(ring, three, NULL, NULL);
        kula_post(ring, NULL, 0, NULL);
    }
    kula_close_fd(ring, place.client, NULL);
    place.client = -1;
    assert_true(kula_wait(ring, 0) >= 0);
    kula__fault_arm(nth);
    int closed = kula_close(&ring, PATIENCE_NS);
    kula__fault_disarm();
    const char *failed = kula__fault_failed();
    if (closed != 0) {
        assert_true(failed && is_clear(closed));
        assert_non_null(ring);
        harness_close(&ring);
    }
    close_place(&place);
    return failed;
}

static void each_call_of_closing_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    unsigned before = harness_fd_count();
    for (int embedded = 0; embedded < 2; embedded++) {
        uint64_t nth = 1;
        while (try_close(nth, embedded)) {
            assert_true(nth++ < PASSAGES_MAX);
            assert_int_equal(harness_fd_count(), before);
        }
        print_message("close: %u calls\n", (unsigned)nth - 1);
    }
}

static void a_buffer_that_cannot_be_had_is_null_and_the_next_one_is_there(void **state)
{
    harness_context(state)->warnings_expected = true;
    const size_t sizes[] = { 1, 64, 4096, 100000, 1 << 24 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (uint64_t nth = 1; nth < PASSAGES_MAX; nth++) {
            struct kula_ring *ring = harness_open(0);
            kula__fault_arm(nth);
            kula_buf first = kula_alloc(ring, sizes[i]);
            kula__fault_disarm();
            const char *failed = kula__fault_failed();
            assert_true(first != NULL || failed);
            kula_buf second = buffer_empty(ring, sizes[i]);
            memset(kula_bytes(second), 1, sizes[i]);
            kula_free(&first);
            kula_free(&second);
            harness_close(&ring);
            if (!failed) {
                break;
            }
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(each_call_of_opening_may_fail),
        PROVES(opening_falls_back_when_a_call_fails),
        PROVES(each_call_of_each_operation_may_fail),
        PROVES(each_call_may_fail_while_memory_is_lent),
        PROVES(each_call_of_closing_may_fail),
        PROVES(a_buffer_that_cannot_be_had_is_null_and_the_next_one_is_there),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
