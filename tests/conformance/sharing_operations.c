/* References in operations: handed over like a buffer, brought home like a buffer, and dropped with
 * their event when nobody wants them. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLIENTS    1000
#define PAGE_BYTES 16384u

static kula_ref frozen_text(struct kula_ring *ring, const char *text)
{
    kula_buf buffer = buffer_text(ring, text);
    kula_ref ref = kula_freeze(&buffer);
    assert_true(ref != NULL && buffer == NULL);
    return ref;
}

static void assert_shows(kula_ref ref, const char *text)
{
    assert_int_equal(kula_ref_size(ref), strlen(text));
    assert_memory_equal(kula_ref_bytes(ref), text, strlen(text));
}

/* The only reference there is: whatever an operation had has come home or was dropped. */
static void assert_last(kula_ref *ref, const char *text)
{
    assert_int_equal(kula_ref_count(*ref), 1);
    assert_shows(*ref, text);
    kula_drop(ref);
}

/* A pipe that takes nothing more, so that a write waits. */
static void make_full_pipe(int ret_fds[2])
{
    make_pipe(ret_fds);
    fill(ret_fds[1]);
}

static void read_all(int fd, unsigned char *bytes, size_t size)
{
    for (size_t have = 0; have < size;) {
        ssize_t count = read(fd, bytes + have, size - have);
        assert_true(count > 0);
        have += (size_t)count;
    }
}

/* Two descriptors a client, and what the test has open anyway. False: the limit is too low. */
static bool raise_descriptor_limit(rlim_t wanted, struct rlimit *ret_before)
{
    assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_before), 0);
    struct rlimit limit = *ret_before;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= wanted;
}

static void one_buffer_goes_to_a_thousand_sockets_whole_and_comes_home_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct rlimit before;
    if (!raise_descriptor_limit(2 * CLIENTS + 200, &before)) {
        SKIP_WANTING("only %llu descriptors may be open", (unsigned long long)before.rlim_max);
    }
    static int fds[CLIENTS][2];
    for (size_t i = 0; i < CLIENTS; i++) {
        make_stream_pair(AF_UNIX, fds[i]);
    }
    kula_buf buffer = buffer_pattern(ring, PAGE_BYTES, 77);
    const unsigned char *memory = kula_bytes(buffer);
    kula_ref page = kula_freeze(&buffer);
    static struct outcome sent[CLIENTS];
    memset(sent, 0, sizeof sent);
    for (size_t i = 0; i < CLIENTS; i++) {
        kula_ref copy = kula_clone(page);
        kula_op op = kula_send(ring, fds[i][0], &copy, PAGE_BYTES, 0, &sent[i]);
        assert_true(op != 0 && copy == NULL);
        kula_option(ring, op, KULA_FULL);
    }
    assert_int_equal(kula_ref_count(page), CLIENTS + 1);
    kula_drop(&page); /* the root goes while all of them are under way */
    unsigned char *expected = malloc(2 * PAGE_BYTES);
    for (size_t i = 0; i < PAGE_BYTES; i++) {
        expected[i] = pattern_byte(i, 77);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        await(ring, &sent[i]);
        assert_result(sent[i].result, PAGE_BYTES);
        read_all(fds[i][1], expected + PAGE_BYTES, PAGE_BYTES);
        assert_memory_equal(expected, expected + PAGE_BYTES, PAGE_BYTES);
    }
    free(expected);
    buffer = buffer_empty(ring, PAGE_BYTES);
    kula_buf other = buffer_empty(ring, PAGE_BYTES);
    assert_ptr_equal(kula_bytes(buffer), memory);
    assert_true(kula_bytes(other) != memory);
    kula_free(&buffer);
    kula_free(&other);
    for (size_t i = 0; i < CLIENTS; i++) {
        retire(ring, fds[i], 2);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void a_slice_is_written_at_an_offset_of_a_file(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("..........");
    kula_ref root = frozen_text(ring, "0123456789");
    kula_ref part = kula_slice(root, 4, 3);
    struct outcome done = { .keeps_ref = true };
    kula_write(ring, fd, &part, 3, 2, &done);
    assert_true(part == NULL);
    await(ring, &done);
    assert_result(done.result, 3);
    expect_content(fd, "..456.....");
    assert_shows(done.ref, "456");
    kula_drop(&done.ref);

    /* one byte too many would show what is not in the slice */
    struct outcome refused = { .keeps_ref = true };
    part = kula_slice(root, 4, 3);
    kula_write(ring, fd, &part, 4, 2, &refused);
    await(ring, &refused);
    assert_result(refused.result, -EINVAL);
    expect_content(fd, "..456.....");
    kula_drop(&refused.ref);
    assert_last(&root, "0123456789");
    retire(ring, &fd, 1);
}

static void a_reference_comes_home_by_its_own_call_and_only_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_ref ref = frozen_text(ring, "home");
    kula_op op = kula_write(ring, fd, &ref, 4, 0, NULL);
    assert_true(op != 0);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_true(event->op == op);
    assert_result(event->result, 4);
    assert_true(kula_take(event) == NULL);
    ref = kula_take_ref(event);
    assert_true(ref != NULL);
    assert_true(kula_take_ref(event) == NULL);
    assert_true(kula_take(event) == NULL);
    assert_null(kula_next(ring));
    assert_last(&ref, "home");

    kula_buf buffer = buffer_text(ring, "buffer");
    kula_write(ring, fd, &buffer, 6, 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    event = kula_next(ring);
    assert_non_null(event);
    assert_true(kula_take_ref(event) == NULL);
    buffer = kula_take(event);
    assert_true(buffer != NULL);
    kula_free(&buffer);
    assert_true(kula_take_ref(NULL) == NULL);
    retire(ring, &fd, 1);
}

static void a_reference_that_nobody_takes_is_dropped(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_ref root = frozen_text(ring, "forgotten");
    for (int i = 0; i < 50; i++) {
        kula_ref clone = kula_clone(root);
        kula_write(ring, fd, &clone, 9, 0, NULL);
    }
    assert_int_equal(kula_ref_count(root), 51);
    await_all(ring);
    assert_int_equal(kula_ref_count(root), 1);
    kula_buf buffer = kula_thaw(&root);
    assert_true(buffer != NULL);
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void the_last_reference_may_be_the_one_that_is_under_way(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_full_pipe(fds);
    kula_ref root = frozen_text(ring, "on its own");
    kula_ref slice = kula_slice(root, 3, 3);
    struct outcome done = { .keeps_ref = true };
    kula_op op = kula_write(ring, fds[1], &slice, 3, KULA_CUR, &done);
    kula_drop(&root);
    assert_pending(ring, &done);
    kula_cancel(ring, op);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    kula_buf buffer = kula_thaw(&done.ref);
    assert_memory_equal(kula_bytes(buffer), "on its own", 10);
    kula_free(&buffer);
    retire(ring, fds, 2);
}

/* What comes of a write of a reference that waits. */
enum end {
    END_CANCEL,
    END_CANCEL_FD,
    END_DEADLINE,
    END_CLOSE_FD,
};

static void a_waiting_reference_comes_back_from_cancel_deadline_and_close(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int results[] = { -ECANCELED, -ECANCELED, -ETIME, -ECANCELED };
    for (int end = END_CANCEL; end <= END_CLOSE_FD; end++) {
        for (int submitted = 0; submitted < 2; submitted++) {
            int fds[2];
            make_full_pipe(fds);
            kula_ref root = frozen_text(ring, "waits");
            kula_ref clone = kula_clone(root);
            struct outcome done = { .keeps_ref = true };
            kula_op op = kula_write(ring, fds[1], &clone, 5, KULA_CUR, &done);
            if (submitted) {
                assert_pending(ring, &done);
            }
            if (end == END_CANCEL) {
                assert_int_equal(kula_cancel(ring, op), 0);
            } else if (end == END_CANCEL_FD) {
                assert_int_equal(kula_cancel_fd(ring, fds[1]), 1);
            } else if (end == END_DEADLINE) {
                assert_int_equal(kula_deadline(ring, op, KULA_MILLISECOND), 0);
            } else {
                kula_close_fd(ring, fds[1], NULL);
            }
            await(ring, &done);
            assert_result(done.result, results[end]);
            assert_shows(done.ref, "waits");
            kula_drop(&done.ref);
            await_all(ring);
            assert_last(&root, "waits");
            retire(ring, fds, end == END_CLOSE_FD ? 1 : 2);
        }
    }
}

static void a_detached_reference_is_dropped_when_its_operation_ends(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int submitted = 0; submitted < 2; submitted++) {
        int fds[2];
        make_full_pipe(fds);
        kula_ref root = frozen_text(ring, "walked away from");
        kula_ref clone = kula_clone(root);
        struct outcome done = { 0 };
        kula_op op = kula_write(ring, fds[1], &clone, 16, KULA_CUR, &done);
        if (submitted) {
            assert_pending(ring, &done);
        }
        assert_int_equal(kula_detach(ring, op), 0);
        pump(ring, 0);
        assert_int_equal(kula_ref_count(root), 2); /* the kernel may still read it */
        kula_close_fd(ring, fds[1], NULL);
        await_all(ring);
        assert_int_equal(done.events, 0);
        assert_last(&root, "walked away from");
        retire(ring, fds, 1);
    }
}

/* A worker's write goes on after its ring was given up; whoever opens or closes a ring looks for it. */
static void await_last(kula_ref ref)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (kula_ref_count(ref) > 1 && harness_now_ns() < limit) {
        struct kula_ring *other = harness_open(0);
        harness_close(&other);
        harness_sleep_ns(KULA_MILLISECOND);
    }
}

static void closing_and_giving_up_a_ring_drop_what_it_has(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    harness_context(state)->warnings_expected = true; /* of writes that a worker still has */
    for (int way = 0; way < 4; way++) {
        struct kula_ring *ring = harness_open(0);
        int fds[2];
        make_full_pipe(fds);
        int file = make_file("");
        kula_ref root = frozen_text(outer, "survivor");
        for (int i = 0; i < 10; i++) {
            kula_ref clone = kula_clone(root);
            kula_write(ring, fds[1], &clone, 8, KULA_CUR, NULL);
            clone = kula_slice(root, 1, 2);
            kula_write(ring, file, &clone, 2, 0, NULL);
            clone = kula_clone(root);
            assert_int_equal(kula_post(ring, &clone, 0, NULL), 0);
            kula_vec vec = kula_vec_new(ring);
            clone = kula_clone(root);
            kula_vec_add(vec, &clone, 8);
            kula_writev(ring, fds[1], &vec, KULA_CUR, NULL);
        }
        assert_int_equal(kula_ref_count(root), 41);
        if (way & 1) {
            assert_true(kula_wait(ring, PATIENCE_NS) > 0); /* some are done and not pulled */
        }
        if (way & 2) {
            assert_int_equal(kula_abandon(&ring), 0);
            await_last(root);
        } else {
            harness_close(&ring);
        }
        assert_last(&root, "survivor");
        retire(outer, fds, 2);
        retire(outer, &file, 1);
    }
}

static void a_chain_of_references_goes_in_order_and_breaks_as_a_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int broken = 0; broken < 2; broken++) {
        int fd = make_file("");
        kula_ref root = frozen_text(ring, "abcdef");
        struct outcome done[3] = { 0 };
        kula_op before = 0;
        for (size_t i = 0; i < 3; i++) {
            kula_ref slice = kula_slice(root, 2 * i, 2);
            size_t length = broken && i == 1 ? 3 : 2; /* more than the slice has */
            kula_op op = kula_write(ring, fd, &slice, length, KULA_CUR, &done[i]);
            if (before) {
                assert_int_equal(kula_after(ring, op, before), 0);
            }
            before = op;
        }
        await_all(ring);
        assert_result(done[0].result, 2);
        assert_result(done[1].result, broken ? -EINVAL : 2);
        assert_result(done[2].result, broken ? -ECANCELED : 2);
        expect_content(fd, broken ? "ab" : "abcdef");
        assert_last(&root, "abcdef");
        retire(ring, &fd, 1);
    }
}

static void a_full_write_of_a_reference_goes_on_after_short_ones(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    const size_t size = 300000; /* more than a pipe takes at a time */
    kula_buf buffer = buffer_pattern(ring, size + 1, 5);
    kula_ref root = kula_freeze(&buffer);
    kula_ref slice = kula_slice(root, 1, size);
    struct outcome done = { .keeps_ref = true };
    kula_op op = kula_write(ring, fds[1], &slice, size, KULA_CUR, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    unsigned char bytes[8192];
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    for (size_t have = 0; have < size && harness_now_ns() < limit;) {
        pump(ring, KULA_MILLISECOND);
        ssize_t count = is_readable(fds[0]) ? read(fds[0], bytes, sizeof bytes) : 0;
        assert_true(count >= 0);
        for (ssize_t i = 0; i < count; i++, have++) {
            assert_int_equal(bytes[i], pattern_byte(1 + have, 5));
        }
    }
    await(ring, &done);
    assert_result(done.result, size);
    assert_int_equal(kula_ref_size(done.ref), size);
    assert_int_equal(kula_ref_bytes(done.ref)[0], pattern_byte(1, 5));
    kula_drop(&done.ref);
    assert_int_equal(kula_ref_count(root), 1);
    kula_drop(&root);
    retire(ring, fds, 2);
}

/* ---- Vecs --------------------------------------------------------------------------------- */

static kula_vec mixed_vec(struct kula_ring *ring, kula_ref root)
{
    kula_vec vec = kula_vec_new(ring);
    kula_ref ref = kula_slice(root, 0, 3);
    kula_vec_add(vec, &ref, 3);
    assert_true(ref == NULL);
    kula_buf buffer = buffer_text(ring, "-mine-");
    kula_vec_add(vec, &buffer, 6);
    ref = kula_slice(root, 3, 3);
    kula_vec_add(vec, &ref, 2); /* not all of it */
    ref = kula_clone(root);
    kula_vec_add(vec, &ref, 6);
    assert_int_equal(kula_vec_count(vec), 4);
    return vec;
}

/* References and buffers come in the order in which they were added, each by its own call. */
static void take_mixed(struct kula_event *event)
{
    const char *texts[] = { "abc", NULL, "def", "abcdef" };
    for (size_t i = 0; i < 4; i++) {
        kula_ref ref = texts[i] ? NULL : kula_take_ref(event);
        kula_buf buffer = texts[i] ? kula_take(event) : NULL;
        assert_true(ref == NULL && buffer == NULL); /* it is the other's turn */
        if (texts[i]) {
            ref = kula_take_ref(event);
            assert_true(ref != NULL);
            assert_shows(ref, texts[i]);
            kula_drop(&ref);
        } else {
            buffer = kula_take(event);
            assert_true(buffer != NULL);
            assert_memory_equal(kula_bytes(buffer), "-mine-", 6);
            kula_free(&buffer);
        }
    }
    assert_true(kula_take(event) == NULL);
    assert_true(kula_take_ref(event) == NULL);
}

static struct kula_event *next_event(struct kula_ring *ring)
{
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    return event;
}

static void a_vec_of_references_and_buffers_is_written_and_taken_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_ref root = frozen_text(ring, "abcdef");
    kula_vec vec = mixed_vec(ring, root);
    kula_writev(ring, fd, &vec, 0, NULL);
    struct kula_event *event = next_event(ring);
    assert_result(event->result, 3 + 6 + 2 + 6);
    expect_content(fd, "abc-mine-deabcdef");
    take_mixed(event);
    assert_null(kula_next(ring));
    assert_last(&root, "abcdef");
    retire(ring, &fd, 1);
}

static void a_vec_that_holds_a_reference_is_not_read_into(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("overwritten");
    kula_ref root = frozen_text(ring, "abcdef");
    kula_vec vec = mixed_vec(ring, root);
    kula_readv(ring, fd, &vec, 0, NULL);
    assert_true(vec == NULL);
    struct kula_event *event = next_event(ring);
    assert_result(event->result, -EINVAL);
    take_mixed(event);
    assert_last(&root, "abcdef");
    assert_int_equal(harness_misuses(), 0);
    retire(ring, &fd, 1);
}

static void references_left_in_a_vec_are_dropped(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    kula_ref root = frozen_text(ring, "abcdef");
    kula_vec vec = mixed_vec(ring, root);
    kula_vec_free(&vec);
    assert_int_equal(kula_ref_count(root), 1);
    vec = mixed_vec(ring, root);
    kula_writev(ring, fd, &vec, 0, NULL);
    struct kula_event *event = next_event(ring);
    kula_ref first = kula_take_ref(event);
    assert_null(kula_next(ring));
    assert_int_equal(kula_ref_count(root), 2);
    assert_shows(first, "abc");
    kula_drop(&first);

    /* longer than what it shows: the event says so and brings it back */
    vec = kula_vec_new(ring);
    kula_ref slice = kula_slice(root, 0, 2);
    kula_vec_add(vec, &slice, 3);
    kula_writev(ring, fd, &vec, 0, NULL);
    event = next_event(ring);
    assert_result(event->result, -EINVAL);
    slice = kula_take_ref(event);
    assert_shows(slice, "ab");
    kula_drop(&slice);
    assert_last(&root, "abcdef");
    retire(ring, &fd, 1);
}

/* ---- Between threads ---------------------------------------------------------------------- */

struct visitor {
    pthread_t thread;
    struct kula_ring *ring;
    kula_ref ref;
    void *user;
    int fd;
    bool emptied;
    kula_op op;
};

static void *send_elsewhere(void *arg)
{
    struct visitor *visitor = arg;
    visitor->op = kula_send(visitor->ring, visitor->fd, &visitor->ref, 4, 0, visitor->user);
    visitor->emptied = visitor->ref == NULL;
    return NULL;
}

static void a_reference_handed_over_on_another_thread_comes_out_on_the_owners(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    kula_ref root = frozen_text(ring, "safe");
    struct outcome done = { .keeps_ref = true };
    struct visitor visitor = { .ring = ring, .fd = fds[0], .user = &done };
    visitor.ref = kula_clone(root);
    assert_int_equal(pthread_create(&visitor.thread, NULL, send_elsewhere, &visitor), 0);
    pthread_join(visitor.thread, NULL);
    assert_true(visitor.emptied && visitor.op != 0);
    await(ring, &done);
    assert_result(done.result, -EPERM);
    assert_shows(done.ref, "safe");
    kula_drop(&done.ref);
    assert_last(&root, "safe");
    expect_no_bytes(fds[1]);
    harness_context(state)->misuses_expected = 1;
    retire(ring, fds, 2);
}

static void *post_elsewhere(void *arg)
{
    struct visitor *visitor = arg;
    for (int i = 0; i < 100; i++) {
        kula_ref slice = kula_slice(visitor->ref, (size_t)i % 4, 1);
        if (kula_post(visitor->ring, &slice, i, visitor->user) != 0 || slice != NULL) {
            visitor->emptied = false;
        }
    }
    kula_drop(&visitor->ref);
    return NULL;
}

static void references_travel_with_messages_from_any_thread(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "post");
    struct visitor visitor = { .ring = ring, .emptied = true };
    visitor.ref = kula_clone(root);
    assert_int_equal(pthread_create(&visitor.thread, NULL, post_elsewhere, &visitor), 0);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    for (int i = 0; i < 100 && harness_now_ns() < limit;) {
        assert_true(kula_wait(ring, KULA_SECOND) >= 0);
        for (struct kula_event *event; (event = kula_next(ring)); i++) {
            assert_int_equal(event->flags, KULA_EVENT_MESSAGE);
            assert_result(event->result, i);
            assert_true(kula_take(event) == NULL);
            if (i % 3 == 0) {
                continue; /* not taken: dropped */
            }
            kula_ref ref = kula_take_ref(event);
            assert_int_equal(kula_ref_bytes(ref)[0], "post"[i % 4]);
            kula_drop(&ref);
        }
    }
    pthread_join(visitor.thread, NULL);
    assert_true(visitor.emptied);
    assert_last(&root, "post");

    kula_ref ref = frozen_text(ring, "nowhere");
    kula_ref clone = kula_clone(ref);
    assert_result(kula_post(NULL, &clone, 0, NULL), -EINVAL);
    kula_ref none = ref_alias_of(NULL);
    assert_result(kula_post(ring, &none, 0, NULL), -EINVAL);
    harness_context(state)->misuses_expected = 2;
    assert_int_equal(kula_ref_count(ref), 1);
    kula_drop(&ref);
}

static void what_is_wrong_with_the_descriptor_comes_back_with_the_reference(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pipes[2];
    make_pipe(pipes);
    int file = make_file("");
    const struct {
        int fd;
        bool send;
        int64_t offset;
        int result;
    } refusals[] = {
        { -1, false, 0, -EBADF },        { 4000, false, KULA_CUR, -EBADF },
        { pipes[1], false, 0, -ESPIPE }, { pipes[0], false, KULA_CUR, -EBADF },
        { file, false, -2, -EINVAL },    { file, true, 0, -ENOTSOCK },
        { pipes[1], true, -1, -EINVAL }, /* unknown msg_flags */
    };
    kula_ref root = frozen_text(ring, "refused");
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct outcome done = { .keeps_ref = true };
        kula_ref clone = kula_clone(root);
        if (refusals[i].send) {
            kula_send(ring, refusals[i].fd, &clone, 7, (int)refusals[i].offset, &done);
        } else {
            kula_write(ring, refusals[i].fd, &clone, 7, refusals[i].offset, &done);
        }
        assert_true(clone == NULL);
        await(ring, &done);
        assert_result(done.result, refusals[i].result);
        assert_shows(done.ref, "refused");
        kula_drop(&done.ref);
    }
    assert_last(&root, "refused");
    expect_content(file, "");
    retire(ring, pipes, 2);
    retire(ring, &file, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(one_buffer_goes_to_a_thousand_sockets_whole_and_comes_home_once),
        PROVES(a_slice_is_written_at_an_offset_of_a_file),
        PROVES(a_reference_comes_home_by_its_own_call_and_only_once),
        PROVES(a_reference_that_nobody_takes_is_dropped),
        PROVES(the_last_reference_may_be_the_one_that_is_under_way),
        PROVES(a_waiting_reference_comes_back_from_cancel_deadline_and_close),
        PROVES(a_detached_reference_is_dropped_when_its_operation_ends),
        PROVES(closing_and_giving_up_a_ring_drop_what_it_has),
        PROVES(a_chain_of_references_goes_in_order_and_breaks_as_a_whole),
        PROVES(a_full_write_of_a_reference_goes_on_after_short_ones),
        PROVES(a_vec_of_references_and_buffers_is_written_and_taken_in_order),
        PROVES(a_vec_that_holds_a_reference_is_not_read_into),
        PROVES(references_left_in_a_vec_are_dropped),
        PROVES(a_reference_handed_over_on_another_thread_comes_out_on_the_owners),
        PROVES(references_travel_with_messages_from_any_thread),
        PROVES(what_is_wrong_with_the_descriptor_comes_back_with_the_reference),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
