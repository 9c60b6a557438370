/* Memory that is lent for a scope. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void begin(struct kula_ring *ring, struct kula_scope *scope)
{
    assert_int_equal(kula_scope_begin(ring, scope), 0);
    assert_ptr_equal(scope->ring, ring);
    assert_int_equal(scope->started, 0);
}

/* ---- What it does -------------------------------------------------------------------------- */

static void the_memory_is_whole_at_the_end_and_the_events_come_as_ever(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("head, and the body");
    char head[4];
    char body[8];
    struct outcome done[2] = { { 0 } };
    struct kula_scope scope;
    begin(ring, &scope);
    done[0].op = kula_scope_read(&scope, file, head, 4, 0, &done[0]);
    done[1].op = kula_scope_read(&scope, file, body, 8, 10, &done[1]);
    assert_true(done[0].op != 0 && done[1].op != 0);
    assert_int_equal(scope.started, 2);
    assert_int_equal(kula_outstanding(ring), 2);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    assert_null(scope.ring);
    assert_memory_equal(head, "head", 4);
    assert_memory_equal(body, "the body", 8);
    assert_int_equal(done[0].events + done[1].events, 0);
    await_all(ring);
    assert_result(done[0].result, 4);
    assert_result(done[1].result, 8);
    assert_int_equal(done[0].buffers + done[1].buffers, 0);
    retire(ring, &file, 1);
}

static void every_transfer_can_be_lent_its_memory(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("");
    int fds[2];
    char bytes[8] = { 0 };
    make_stream_pair(AF_UNIX, fds);
    struct kula_scope scope;
    begin(ring, &scope);
    struct outcome done[4] = { { 0 } };
    kula_scope_write(&scope, file, "written", 7, 0, &done[0]);
    kula_scope_send(&scope, fds[0], "sent", 4, 0, &done[1]);
    kula_scope_recv(&scope, fds[1], bytes, 4, MSG_WAITALL, &done[2]);
    assert_result(kula_scope_end(&scope, PATIENCE_NS), 0);
    expect_content(file, "written");
    assert_memory_equal(bytes, "sent", 4);
    await_all(ring);
    assert_result(done[0].result, 7);
    assert_result(done[1].result, 4);
    assert_result(done[2].result, 4);
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

static void a_scope_holds_many_reads_of_one_file(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 64,
        SIZE = 1024
    };
    static unsigned char memory[COUNT][SIZE];
    unsigned char piece[SIZE];
    int file = make_file("");
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < SIZE; k++) {
            piece[k] = pattern_byte(k, (unsigned)i);
        }
        assert_int_equal(pwrite(file, piece, SIZE, (off_t)(i * SIZE)), SIZE);
    }
    for (int round = 0; round < 3; round++) {
        struct kula_scope scope;
        begin(ring, &scope);
        memset(memory, 0, sizeof memory);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(
                kula_scope_read(&scope, file, memory[i], SIZE, (int64_t)(i * SIZE), NULL));
        }
        assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
        assert_int_equal(kula_outstanding(ring), COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t k = 0; k < SIZE; k++) {
                assert_int_equal(memory[i][k], pattern_byte(k, (unsigned)i));
            }
        }
        await_all(ring);
    }
    retire(ring, &file, 1);
}

static void an_end_without_time_cancels_what_is_left(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[3][4];
    memset(bytes, '.', sizeof bytes);
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[3] = { { 0 } };
    struct outcome other = { 0 };
    struct kula_scope scope;
    begin(ring, &scope);
    kula_scope_recv(&scope, fds[0], bytes[0], 4, 0, &done[0]);
    kula_scope_recv(&scope, fds[0], bytes[1], 4, 0, &done[1]);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &other);
    assert_pending(ring, &done[0]);
    kula_scope_recv(&scope, fds[0], bytes[2], 4, 0, &done[2]); /* not flushed */
    assert_result(kula_scope_end(&scope, 0), -ETIME);
    put(fds[1], "late");
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        assert_result(done[i].result, -ECANCELED);
        assert_memory_equal(bytes[i], "....", 4);
    }
    assert_read_text(&other, "late"); /* what is not the scope's goes on */
    outcome_release(&other);
    retire(ring, fds, 2);
}

static void an_end_waits_as_long_as_it_may(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char bytes[4] = "....";
    make_stream_pair(AF_UNIX, fds);
    struct outcome done = { 0 };
    struct kula_scope scope;
    begin(ring, &scope);
    kula_op op = kula_scope_recv(&scope, fds[0], bytes, 4, 0, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    put(fds[1], "12");
    int64_t before_ns = harness_now_ns();
    assert_result(kula_scope_end(&scope, 5 * KULA_MILLISECOND), -ETIME);
    assert_true(harness_now_ns() - before_ns >= 5 * KULA_MILLISECOND);
    assert_memory_equal(bytes, "12..", 4);
    put(fds[1], "34");
    await_all(ring);
    assert_result(done.result, 2);
    assert_true(done.flags & KULA_EVENT_CANCELLED);
    assert_memory_equal(bytes, "12..", 4);
    expect_bytes(fds[0], "34");
    retire(ring, fds, 2);
}

static void scopes_nest_and_overlap(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int file = make_file("file");
    char outer_bytes[4] = "....";
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[3] = { { 0 } };
    struct kula_scope outer;
    struct kula_scope second;
    begin(ring, &outer);
    kula_scope_recv(&outer, fds[0], outer_bytes, 4, 0, &done[0]);
    begin(ring, &second);
    {
        char bytes[4];
        struct kula_scope inner;
        begin(ring, &inner);
        kula_scope_read(&inner, file, bytes, 4, 0, &done[1]);
        assert_result(kula_scope_end(&inner, KULA_FOREVER), 0); /* the outer one goes on */
        assert_memory_equal(bytes, "file", 4);
    }
    char bytes[4];
    kula_scope_read(&second, file, bytes, 4, 0, &done[2]);
    put(fds[1], "data");
    assert_result(kula_scope_end(&outer, KULA_FOREVER), 0);
    assert_memory_equal(outer_bytes, "data", 4);
    assert_result(kula_scope_end(&second, KULA_FOREVER), 0);
    assert_memory_equal(bytes, "file", 4);
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        assert_result(done[i].result, 4);
    }
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

static void an_empty_scope_and_one_whose_events_are_pulled_end_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("file");
    char bytes[4];
    struct outcome done = { 0 };
    struct kula_scope scope;
    begin(ring, &scope);
    assert_int_equal(kula_outstanding(ring), 0);
    assert_result(kula_scope_end(&scope, 0), 0);
    begin(ring, &scope);
    kula_scope_read(&scope, file, bytes, 4, 0, &done);
    await(ring, &done);
    assert_result(done.result, 4);
    assert_result(kula_scope_end(&scope, 0), 0);
    retire(ring, &file, 1);
}

static void everything_that_names_operations_works_on_those_of_a_scope(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int file = make_file("file");
    char bytes[4][4];
    memset(bytes, '.', sizeof bytes);
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[4] = { { 0 } };
    struct kula_scope scope;
    begin(ring, &scope);
    kula_op op = kula_scope_recv(&scope, fds[0], bytes[0], 4, 0, &done[0]);
    assert_int_equal(kula_deadline(ring, op, KULA_MILLISECOND), 0);
    op = kula_scope_recv(&scope, fds[0], bytes[1], 4, 0, &done[1]);
    assert_int_equal(kula_option(ring, op, KULA_UNORDERED), 0);
    kula_op timer = kula_timer(ring, 2 * KULA_MILLISECOND, &done[2]);
    kula_op chained = kula_scope_read(&scope, file, bytes[3], 4, 0, &done[3]);
    assert_int_equal(kula_after(ring, chained, timer), 0);
    assert_true(kula_submit(ring) >= 0);
    assert_int_equal(kula_cancel(ring, op), 0);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    assert_memory_equal(bytes[3], "file", 4);
    await_all(ring);
    assert_result(done[0].result, -ETIME);
    assert_result(done[1].result, -ECANCELED);
    assert_result(done[2].result, 0);
    assert_result(done[3].result, 4);
    assert_result(kula_cancel(ring, op), -ENOENT);
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

struct sender {
    pthread_t thread;
    int fd;
};

static void *send_later(void *arg)
{
    struct sender *sender = arg;
    harness_sleep_ns(3 * KULA_MILLISECOND);
    put(sender->fd, "data");
    return NULL;
}

/* It brings no event that could end the wait. */
static void a_detached_operation_is_waited_for(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 10; round++) {
        struct sender sender;
        int fds[2];
        char bytes[4] = "....";
        make_stream_pair(AF_UNIX, fds);
        sender.fd = fds[1];
        struct kula_scope scope;
        begin(ring, &scope);
        kula_op op = kula_scope_recv(&scope, fds[0], bytes, 4, 0, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
        assert_int_equal(kula_outstanding(ring), 0);
        assert_int_equal(pthread_create(&sender.thread, NULL, send_later, &sender), 0);
        int result = kula_scope_end(&scope, KULA_FOREVER);
        assert_int_equal(pthread_join(sender.thread, NULL), 0);
        assert_result(result, 0);
        assert_memory_equal(bytes, "data", 4);
        assert_result(kula_wait(ring, 0), 0);
        assert_null(kula_next(ring));
        begin(ring, &scope);
        op = kula_scope_recv(&scope, fds[0], bytes, 4, 0, NULL);
        assert_int_equal(kula_detach(ring, op), 0);
        assert_result(kula_scope_end(&scope, KULA_MILLISECOND), -ETIME);
        retire(ring, fds, 2);
    }
    /* Nor does one that ends while others are being started, or that was never started. */
    int file = make_file("file");
    char bytes[4] = "....";
    struct kula_scope scope;
    begin(ring, &scope);
    assert_int_equal(kula_detach(ring, kula_scope_read(&scope, file, bytes, 4, 0, NULL)), 0);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    assert_memory_equal(bytes, "file", 4);
    begin(ring, &scope);
    assert_int_equal(kula_detach(ring, kula_scope_read(&scope, -1, bytes, 4, 0, NULL)), 0);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    retire(ring, &file, 1);
}

/* ---- The memory ---------------------------------------------------------------------------- */

#define DEPTH 32
#define BLOCK ((size_t)64 * 1024)

static unsigned char *make_aligned(size_t size)
{
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 4096, size), 0);
    memset(memory, 0xd1, size);
    return memory;
}

static int make_direct_file(void)
{
    int fd = make_file_flags("", O_DIRECT);
    if (fd < 0) {
        SKIP_WANTING("the build's file system refuses O_DIRECT: %s", strerror(errno));
    }
    unsigned char *block = make_aligned(BLOCK);
    int error = 0;
    for (size_t i = 0; i < DEPTH && error == 0; i++) {
        ssize_t done = pwrite(fd, block, BLOCK, (off_t)(i * BLOCK));
        error = done == (ssize_t)BLOCK ? 0 : errno;
    }
    free(block);
    if (error != 0) {
        close(fd);
        SKIP_WANTING("O_DIRECT cannot write here: %s", strerror(error));
    }
    return fd;
}

static void memory_for_direct_io_can_be_lent(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_direct_file();
    unsigned char *memory = make_aligned(2 * BLOCK);
    memset(memory, 0x11, 2 * BLOCK);
    struct outcome done[3] = { { 0 } };
    struct kula_scope scope;
    begin(ring, &scope);
    kula_scope_read(&scope, fd, memory, BLOCK, 0, &done[0]);
    kula_op op = kula_scope_read(&scope, fd, memory + BLOCK, 4096, (int64_t)BLOCK, &done[1]);
    assert_true(op != 0);
    assert_result(kula_scope_end(&scope, PATIENCE_NS), 0);
    assert_int_equal(memory[0] + memory[BLOCK - 1] + memory[BLOCK + 4095], 3 * 0xd1);
    assert_int_equal(memory[BLOCK + 4096], 0x11);
    await_all(ring);
    assert_result(done[0].result, BLOCK);
    assert_result(done[1].result, 4096);
    free(memory);
    retire(ring, &fd, 1);
}

static size_t count_changes(unsigned char *memory)
{
    size_t changes = 0;
    memset(memory, 0x77, DEPTH * BLOCK);
    harness_sleep_ns(500 * KULA_MICROSECOND);
    for (size_t k = 0; k < DEPTH * BLOCK; k += 64) {
        changes += memory[k] != 0x77;
    }
    return changes;
}

/* Reads of a device are under way, or on their way there, when the scope ends (see late_writes.c for what
 * happens without waiting for their completions). */
static void nothing_is_written_after_the_end_of_a_scope(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int rounds = harness_sanitized() ? 40 : 300;
    int fd = make_direct_file();
    unsigned char *memory = make_aligned(DEPTH * BLOCK);
    size_t changes = 0;
    size_t waiting = 0;
    for (int round = 0; round < rounds; round++) {
        struct kula_scope scope;
        begin(ring, &scope);
        for (size_t i = 0; i < DEPTH; i++) {
            kula_scope_read(&scope, fd, memory + i * BLOCK, BLOCK, (int64_t)(i * BLOCK), NULL);
        }
        if (round % 4 != 0) {
            assert_true(kula_submit(ring) >= 0);
        }
        waiting += kula_scope_end(&scope, round % 2 ? 0 : 50 * KULA_MICROSECOND) == -ETIME;
        changes += count_changes(memory);
        await_all(ring);
    }
    assert_int_equal(changes, 0);
    /* the blocking backend has done them all in the submit */
    assert_true(waiting > 0 || harness_backend_is("blocking"));
    free(memory);
    retire(ring, &fd, 1);
}

/* ---- What is wrong ------------------------------------------------------------------------- */

static void a_scope_ends_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("file");
    char bytes[4] = "....";
    struct kula_scope scope = { .ring = NULL };
    assert_result(kula_scope_end(&scope, 0), -EINVAL);
    assert_result(kula_scope_end(NULL, 0), -EINVAL);
    assert_result(kula_scope_begin(NULL, &scope), -EINVAL);
    assert_result(kula_scope_begin(ring, NULL), -EINVAL);
    begin(ring, &scope);
    struct kula_scope copy = scope;
    assert_result(kula_scope_end(&scope, 0), 0);
    assert_result(kula_scope_end(&scope, 0), -EINVAL);
    assert_int_equal(harness_misuses(), 0);
    assert_result(kula_scope_end(&copy, 0), -EINVAL);
    assert_int_equal(harness_misuses(), 1);
    assert_true(kula_scope_read(&scope, file, bytes, 4, 0, NULL) == 0);
    assert_true(kula_scope_write(&copy, file, "nope", 4, 0, NULL) == 0);
    assert_true(kula_scope_send(NULL, file, "nope", 4, 0, NULL) == 0);
    begin(ring, &scope); /* the same record */
    assert_true(kula_scope_recv(&copy, file, bytes, 4, 0, NULL) == 0);
    assert_int_equal(harness_misuses(), 5);
    assert_result(kula_scope_end(&scope, 0), 0);
    kula_buf buffer = buffer_empty(ring, 8);
    memset(&copy, 0x5a, sizeof copy); /* as an uninitialised one may be */
    assert_true(kula_scope_read(&copy, file, bytes, 4, 0, NULL) == 0);
    assert_result(kula_scope_end(&copy, 0), -EINVAL);
    memcpy(&copy.private_state[0], &buffer, sizeof buffer); /* a handle, but not a scope's */
    assert_result(kula_scope_end(&copy, 0), -EINVAL);
    kula_free(&buffer);
    harness_context(state)->misuses_expected = 8;
    assert_int_equal(kula_outstanding(ring), 0);
    expect_content(file, "file");
    retire(ring, &file, 1);
}

static void impossible_arguments_are_told_by_the_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("file");
    char bytes[4];
    struct outcome done[4] = { { 0 } };
    struct kula_scope scope;
    begin(ring, &scope);
    kula_scope_read(&scope, file, bytes, (size_t)INT32_MAX + 1, 0, &done[0]);
    kula_scope_read(&scope, -1, bytes, 4, 0, &done[1]);
    kula_scope_recv(&scope, file, bytes, 4, 0, &done[2]);
    kula_scope_read(&scope, file, bytes, 0, 0, &done[3]);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    await_all(ring);
    assert_result(done[0].result, -EINVAL);
    assert_result(done[1].result, -EBADF);
    assert_result(done[2].result, -ENOTSOCK);
    assert_result(done[3].result, 0);
    retire(ring, &file, 1);
}

static void without_a_record_nothing_happens(void **state)
{
    (void)state;
    struct kula_config config = harness_config();
    config.operations_max = 2;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    int fds[2];
    char bytes[4];
    make_pipe(fds);
    struct kula_scope scope;
    struct kula_scope none = { .ring = NULL };
    begin(ring, &scope);
    assert_true(kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, NULL) != 0);
    assert_true(kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, NULL) == 0);
    assert_int_equal(scope.started, 1);
    assert_result(kula_scope_begin(ring, &none), -EAGAIN);
    assert_null(none.ring);
    assert_result(kula_scope_end(&scope, 0), -ETIME);
    await_all(ring);
    begin(ring, &scope);
    begin(ring, &none);
    assert_result(kula_scope_end(&scope, 0), 0);
    assert_result(kula_scope_end(&none, 0), 0);
    retire(ring, fds, 2);
    harness_close(&ring);
}

struct visitor {
    struct kula_ring *ring;
    struct kula_scope *scope;
    int fd;
    int begun;
    int ended;
    kula_op op;
};

static int32_t visit(void *arg)
{
    struct visitor *visitor = arg;
    static char bytes[4];
    struct kula_scope scope;
    visitor->begun = kula_scope_begin(visitor->ring, &scope);
    visitor->op = kula_scope_read(visitor->scope, visitor->fd, bytes, 4, 0, NULL);
    visitor->ended = kula_scope_end(visitor->scope, 0);
    return 0;
}

static void *visit_on_a_thread(void *arg)
{
    visit(arg);
    return NULL;
}

static void only_the_owner_outside_of_functions_may_use_a_scope(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int file = make_file("file");
    struct kula_scope scope;
    begin(ring, &scope);
    struct visitor visitor = { .ring = ring, .scope = &scope, .fd = file };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, visit_on_a_thread, &visitor), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_result(visitor.begun, -EPERM);
    assert_result(visitor.ended, -EPERM);
    assert_true(visitor.op == 0);
    struct outcome done = { 0 };
    kula_offload(ring, visit, &visitor, &done);
    await(ring, &done);
    assert_result(visitor.begun, -EDEADLK);
    assert_result(visitor.ended, -EDEADLK);
    assert_true(visitor.op == 0);
    harness_context(state)->misuses_expected = 6;
    assert_result(kula_scope_end(&scope, 0), 0);
    retire(ring, &file, 1);
}

/* ---- Rings that go -------------------------------------------------------------------------- */

static void closing_a_ring_with_an_open_scope_is_misuse_and_ends_it(void **state)
{
    struct kula_ring *ring = harness_open(0);
    int fds[2];
    char bytes[4] = "....";
    make_pipe(fds);
    struct kula_scope scope;
    struct kula_scope empty;
    begin(ring, &scope);
    begin(ring, &empty);
    kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, NULL);
    assert_true(kula_submit(ring) >= 0);
    harness_close(&ring);
    assert_int_equal(harness_misuses(), 1);
    put(fds[1], "late");
    expect_bytes(fds[0], "late");
    assert_memory_equal(bytes, "....", 4);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), -EINVAL);
    assert_result(kula_scope_end(&empty, KULA_FOREVER), -EINVAL);
    assert_true(kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, NULL) == 0);
    harness_context(state)->misuses_expected = 4;
    close(fds[0]);
    close(fds[1]);
}

static void a_scope_of_a_ring_that_is_closing_still_ends(void **state)
{
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place: nothing keeps it closing");
    }
    struct gate gate = GATE_CLOSED(0);
    struct kula_ring *ring = harness_open(0);
    int fds[2];
    char bytes[4] = "....";
    make_pipe(fds);
    struct outcome done[3] = { { 0 } };
    struct kula_scope scope;
    struct kula_scope late;
    begin(ring, &scope);
    kula_offload(ring, gate_pass, &gate, &done[0]);
    kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, &done[1]);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    harness_context(state)->warnings_expected = true;
    harness_context(state)->misuses_expected = 1;
    assert_result(kula_close(&ring, 0), -EBUSY);
    assert_result(kula_scope_begin(ring, &late), -ECANCELED);
    put(fds[1], "late");
    assert_true(kula_scope_read(&scope, fds[0], bytes, 4, KULA_CUR, &done[2]) != 0);
    assert_result(kula_scope_end(&scope, KULA_FOREVER), 0);
    assert_memory_equal(bytes, "....", 4);
    gate_open(&gate);
    await_all(ring);
    assert_result(done[0].result, 0);
    assert_result(done[1].result, -ECANCELED);
    assert_result(done[2].result, -ECANCELED);
    harness_close(&ring);
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(the_memory_is_whole_at_the_end_and_the_events_come_as_ever),
        PROVES(every_transfer_can_be_lent_its_memory),
        PROVES(a_scope_holds_many_reads_of_one_file),
        PROVES(an_end_without_time_cancels_what_is_left),
        PROVES(an_end_waits_as_long_as_it_may),
        PROVES(scopes_nest_and_overlap),
        PROVES(an_empty_scope_and_one_whose_events_are_pulled_end_at_once),
        PROVES(everything_that_names_operations_works_on_those_of_a_scope),
        PROVES(a_detached_operation_is_waited_for),
        PROVES(memory_for_direct_io_can_be_lent),
        PROVES(nothing_is_written_after_the_end_of_a_scope),
        PROVES(a_scope_ends_once),
        PROVES(impossible_arguments_are_told_by_the_event),
        PROVES(without_a_record_nothing_happens),
        PROVES(only_the_owner_outside_of_functions_may_use_a_scope),
        PROVES(closing_a_ring_with_an_open_scope_is_misuse_and_ends_it),
        PROVES(a_scope_of_a_ring_that_is_closing_still_ends),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
