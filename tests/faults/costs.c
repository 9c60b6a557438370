/* What an operation costs in steady state: no allocation, and no system call too many.
 *
 * Allocations are counted twice: at the library's own choke point, and at the allocator, which the
 * linker puts behind the wrappers below, so that nothing gets past the choke point. */
#include "common/fault.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **ret_memory, size_t alignment, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **ret_memory, size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

static atomic_ulong allocations;

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(memory, size);
}

int __wrap_posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_posix_memalign(ret_memory, alignment, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    atomic_fetch_add(&allocations, 1);
    return __real_mmap(address, size, protection, flags, fd, offset);
}

static unsigned long count_allocations(void)
{
    return atomic_load(&allocations) + kula__fault_count("malloc") +
           kula__fault_count("realloc") + kula__fault_count("mmap");
}

/* Pulls `count` events without the outcome machinery, whose own costs are not the question. */
static void finish(struct kula_ring *ring, unsigned count)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    for (unsigned pulled = 0; pulled < count;) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
        for (struct kula_event *event; (event = kula_next(ring)); pulled++) {
            kula_buf buffer = kula_take(event);
            kula_free(&buffer);
        }
        assert_true(harness_now_ns() < limit);
    }
}

struct stage {
    int file;
    int pipe[2];
    int sockets[2];
    int listener;
    struct sockaddr_storage address;
    socklen_t address_length;
};

static int32_t give_one(void *arg)
{
    (void)arg;
    return 1;
}

static kula_vec pack(struct kula_ring *ring)
{
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; i < 3; i++) {
        kula_buf buffer = kula_alloc(ring, 100);
        memset(kula_bytes(buffer), i, 100);
        kula_vec_add(vec, &buffer, 100);
    }
    return vec;
}

/* Pulls one event, and closes what it brings. */
static int32_t finish_one(struct kula_ring *ring)
{
    for (;;) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
        struct kula_event *event = kula_next(ring);
        if (event) {
            return event->result;
        }
    }
}

/* The rest of the list of operations, one after the other; returns how many events are still to come. */
static unsigned work_alone(struct kula_ring *ring, struct stage *stage)
{
    kula_vec vec = pack(ring);
    kula_writev(ring, stage->file, &vec, 0, NULL);
    vec = pack(ring);
    kula_readv(ring, stage->file, &vec, 0, NULL);
    kula_fsync(ring, stage->file, NULL);
    kula_fdatasync(ring, stage->file, NULL);
    kula_poll(ring, stage->sockets[0], POLLOUT, NULL);
    kula_offload(ring, give_one, NULL, NULL);
    kula_post(ring, NULL, 1, NULL);
    finish(ring, 7);
    kula_socket(ring, stage->address.ss_family, SOCK_STREAM, 0, NULL);
    int client = finish_one(ring);
    kula_accept(ring, stage->listener, NULL);
    kula_connect(ring, client, (struct sockaddr *)&stage->address, stage->address_length, NULL);
    int server = -1;
    for (int i = 0; i < 2; i++) {
        int32_t result = finish_one(ring);
        server = result > 0 ? result : server;
    }
    assert_true(client >= 0 && server >= 0);
    kula_shutdown(ring, server, SHUT_RDWR, NULL);
    finish(ring, 1);
    kula_openat(ring, AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
    int directory = finish_one(ring);
    kula_close_fd(ring, client, NULL);
    kula_close_fd(ring, server, NULL);
    kula_close_fd(ring, directory, NULL);
    return 3;
}

/* One round of what a busy program does, with every resource used and given back. */
static void work(struct kula_ring *ring, struct stage *stage)
{
    unsigned count = 0;
    for (int i = 0; i < 32; i++) {
        kula_nop(ring, NULL);
        kula_buf buffer = kula_alloc(ring, 4096);
        kula_read(ring, stage->file, &buffer, 4096, 0, NULL);
        buffer = kula_alloc(ring, 64);
        kula_recv(ring, stage->sockets[0], &buffer, 64, 0, NULL);
        buffer = kula_alloc(ring, 64);
        memset(kula_bytes(buffer), 0, 64);
        kula_op op = kula_send(ring, stage->sockets[1], &buffer, 64, 0, NULL);
        kula_option(ring, op, KULA_FULL);
        buffer = kula_alloc(ring, 200);
        op = kula_read(ring, stage->pipe[0], &buffer, 8, KULA_CUR, NULL);
        kula_deadline(ring, op, 3600 * KULA_SECOND);
        buffer = kula_alloc(ring, 200);
        memset(kula_bytes(buffer), 0, 200);
        kula_write(ring, stage->pipe[1], &buffer, 8, KULA_CUR, NULL);
        op = kula_timer(ring, 3600 * KULA_SECOND, NULL);
        kula_cancel(ring, op);
        kula_op first = kula_timer(ring, 0, NULL);
        op = kula_nop(ring, NULL);
        kula_after(ring, op, first);
        kula_statx(ring, stage->file, "", AT_EMPTY_PATH, NULL);
        char lent[64];
        struct kula_scope scope;
        assert_int_equal(kula_scope_begin(ring, &scope), 0);
        kula_scope_read(&scope, stage->file, lent, sizeof lent, 0, NULL);
        assert_int_equal(kula_read_sync(ring, stage->file, lent, 64, 0, KULA_FULL, KULA_SECOND),
                         64);
        assert_int_equal(kula_read_sync(ring, stage->pipe[0], lent, 1, KULA_CUR, 0, 0), -ETIME);
        assert_int_equal(kula_scope_end(&scope, PATIENCE_NS), 0);
        count += 11;
    }
    finish(ring, count);
    finish(ring, work_alone(ring, stage));
}

static void no_operation_allocates_once_the_ring_is_warm(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct stage stage;
    char content[4096];
    memset(content, 'x', sizeof content - 1);
    content[sizeof content - 1] = '\0';
    stage.file = make_file(content);
    make_pipe(stage.pipe);
    make_stream_pair(AF_UNIX, stage.sockets);
    stage.listener = make_listener(&stage.address, &stage.address_length, 8);
    for (int round = 0; round < 50; round++) {
        work(ring, &stage);
    }
    unsigned long before = count_allocations();
    for (int round = 0; round < 50; round++) {
        work(ring, &stage);
    }
    assert_int_equal(count_allocations() - before, 0);
    retire(ring, stage.pipe, 2);
    retire(ring, stage.sockets, 2);
    retire(ring, &stage.listener, 1);
    retire(ring, &stage.file, 1);
}

/* As a program that broadcasts, and one that reads into parts of a buffer. */
static void share_and_split(struct kula_ring *ring, int socket, int peer)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    memset(kula_bytes(buffer), 's', 4096);
    kula_ref root = kula_freeze(&buffer);
    for (size_t i = 0; i < 32; i++) {
        kula_ref slice = kula_slice(root, 100 * i, 64);
        kula_ref clone = kula_clone(slice);
        kula_drop(&slice);
        kula_send(ring, socket, &clone, 64, 0, NULL);
    }
    kula_drop(&root);
    finish(ring, 32);
    char bytes[32 * 64];
    for (size_t have = 0; have < sizeof bytes;) {
        ssize_t count = read(peer, bytes, sizeof bytes - have);
        assert_true(count > 0);
        have += (size_t)count;
    }
    buffer = kula_alloc(ring, 4096);
    for (size_t at = 2048; at >= 64; at /= 2) {
        kula_buf part = kula_split(buffer, at);
        kula_free(&part);
    }
    kula_free(&buffer);
}

static void no_sharing_and_no_splitting_allocates_once_the_ring_is_warm(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    for (int round = 0; round < 20; round++) {
        share_and_split(ring, fds[0], fds[1]);
    }
    unsigned long before = count_allocations();
    for (int round = 0; round < 200; round++) {
        share_and_split(ring, fds[0], fds[1]);
    }
    assert_int_equal(count_allocations() - before, 0);
    retire(ring, fds, 2);
}

struct visitor {
    kula_ref ref;
    unsigned long allocations;
    uint64_t passages;
};

static void *clone_and_drop(void *arg)
{
    struct visitor *visitor = arg;
    for (int warm = 0; warm < 2; warm++) {
        kula__fault_arm(UINT64_MAX); /* counts, and never fails */
        unsigned long before = count_allocations();
        for (int i = 0; i < 10000; i++) {
            kula_ref clone = kula_clone(visitor->ref);
            kula_drop(&clone);
        }
        visitor->allocations = count_allocations() - before;
        visitor->passages = kula__fault_passages();
        kula__fault_disarm();
    }
    return NULL;
}

static void cloning_and_dropping_cost_no_allocation_and_no_system_call_on_any_thread(
    void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf buffer = kula_alloc(ring, 64);
    struct visitor visitor = { .ref = kula_freeze(&buffer) };
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        if (elsewhere) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, clone_and_drop, &visitor), 0);
            pthread_join(thread, NULL);
        } else {
            clone_and_drop(&visitor);
        }
        assert_int_equal(visitor.allocations, 0);
        assert_int_equal(visitor.passages, 0);
    }
    kula_drop(&visitor.ref);
}

static void skip_unless_uring(void)
{
    if (!harness_backend_is("uring")) {
        SKIP_BECAUSE("counts io_uring_enter");
    }
}

static void a_batch_that_completes_at_once_costs_one_enter(void **state)
{
    skip_unless_uring();
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    for (int reading = 0; reading < 2; reading++) {
        for (int round = 0; round < 20; round++) {
            for (int i = 0; i < 32; i++) {
                if (reading) {
                    kula_buf buffer = kula_alloc(ring, 64);
                    kula_read(ring, fd, &buffer, 10, 0, NULL);
                } else {
                    kula_nop(ring, NULL);
                }
            }
            uint64_t before = kula__fault_count("io_uring_enter");
            assert_int_equal(kula_wait(ring, KULA_FOREVER), 32);
            if (round > 0) { /* the first one may register the descriptor */
                assert_int_equal(kula__fault_count("io_uring_enter") - before, 1);
            }
            finish(ring, 32);
        }
    }
    retire(ring, &fd, 1);
}

static void a_lent_call_that_completes_at_once_costs_one_enter(void **state)
{
    skip_unless_uring();
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    for (int round = 0; round < 20; round++) {
        char lent[10];
        uint64_t before = kula__fault_count("io_uring_enter");
        assert_int_equal(kula_read_sync(ring, fd, lent, 10, 0, 0, KULA_FOREVER), 10);
        if (round > 0) {
            assert_int_equal(kula__fault_count("io_uring_enter") - before, 1);
        }
    }
    retire(ring, &fd, 1);
}

/* A wake that nobody has waited for yet must not keep the backend from sleeping. */
static void a_lent_call_after_a_wake_sleeps(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    char lent[4];
    make_stream_pair(AF_UNIX, fds);
    assert_int_equal(kula_recv_sync(ring, fds[0], lent, 4, 0, 0, 0), -ETIME);
    kula_wake(ring);
    kula__fault_arm(UINT64_MAX); /* counts, and never fails */
    int32_t result = kula_recv_sync(ring, fds[0], lent, 4, 0, 0, 50 * KULA_MILLISECOND);
    uint64_t passages = kula__fault_passages();
    kula__fault_disarm();
    assert_int_equal(result, -ETIME);
    assert_true(passages < 100);
    assert_int_equal(kula_wait(ring, PATIENCE_NS), 0);
    retire(ring, fds, 2);
}

static void a_wait_that_sleeps_costs_two_enters_at_most(void **state)
{
    skip_unless_uring();
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    for (int round = 0; round < 20; round++) {
        kula_buf buffer = kula_alloc(ring, 64);
        kula_recv(ring, fds[0], &buffer, 64, 0, NULL);
        uint64_t before = kula__fault_count("io_uring_enter");
        assert_int_equal(kula_wait(ring, KULA_MILLISECOND), 0);
        assert_true(kula__fault_count("io_uring_enter") - before <= 2);
        put(fds[1], "x");
        finish(ring, 1);
    }
    retire(ring, fds, 2);
}

static void timers_cost_no_system_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_op ops[100];
    for (int warm = 0; warm < 2; warm++) {
        kula__fault_arm(UINT64_MAX); /* counts, and never fails */
        for (int i = 0; i < 100; i++) {
            ops[i] = kula_timer(ring, (i + 1) * KULA_SECOND, NULL);
        }
        for (int i = 0; i < 100; i++) {
            assert_int_equal(kula_cancel(ring, ops[i]), 0);
        }
        uint64_t passages = kula__fault_passages();
        kula__fault_disarm();
        if (warm) {
            assert_int_equal(passages, 0);
        }
        finish(ring, 100);
    }
}

static void a_wake_that_nobody_waits_for_costs_one_write_for_all(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_wake(ring);
    assert_int_equal(kula_wait(ring, 0), 0);
    uint64_t before = kula__fault_count("signal");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(kula_wake(ring), 0);
        assert_int_equal(kula_post(ring, NULL, i, NULL), 0);
    }
    assert_true(kula__fault_count("signal") - before <= 1);
    finish(ring, 100);
    kula_wait(ring, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(no_operation_allocates_once_the_ring_is_warm),
        PROVES(no_sharing_and_no_splitting_allocates_once_the_ring_is_warm),
        PROVES(cloning_and_dropping_cost_no_allocation_and_no_system_call_on_any_thread),
        PROVES(a_batch_that_completes_at_once_costs_one_enter),
        PROVES(a_lent_call_that_completes_at_once_costs_one_enter),
        PROVES(a_lent_call_after_a_wake_sleeps),
        PROVES(a_wait_that_sleeps_costs_two_enters_at_most),
        PROVES(timers_cost_no_system_call),
        PROVES(a_wake_that_nobody_waits_for_costs_one_write_for_all),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
