/* Law 1: a buffer is held by the program or by the ring, never by both. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <string.h>

static void handing_over_empties_the_variable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    kula_buf read = buffer_empty(ring, 16);
    kula_buf write = buffer_text(ring, "x");
    kula_buf receive = buffer_empty(ring, 16);
    kula_buf send = buffer_text(ring, "y");
    kula_buf freed = buffer_empty(ring, 16);
    kula_read(ring, fds[0], &read, 1, KULA_CUR, NULL);
    kula_recv(ring, fds[0], &receive, 1, 0, NULL);
    kula_write(ring, fds[1], &write, 1, KULA_CUR, NULL);
    kula_send(ring, fds[1], &send, 1, 0, NULL);
    kula_free(&freed);
    assert_true(read == NULL);
    assert_true(write == NULL);
    assert_true(receive == NULL);
    assert_true(send == NULL);
    assert_true(freed == NULL);
    await_all(ring);
    retire(ring, fds, 2);
}

static void a_vec_takes_its_buffers_and_is_taken_itself(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("0123456789");
    struct outcome done = { 0 };
    kula_vec vec = kula_vec_new(ring);
    assert_true(vec != NULL);
    kula_buf part = buffer_empty(ring, 4);
    kula_vec_add(vec, &part, 4);
    assert_true(part == NULL);
    assert_int_equal(kula_vec_count(vec), 1);
    kula_readv(ring, fd, &vec, 0, &done);
    assert_true(vec == NULL);
    await(ring, &done);
    assert_read_text(&done, "0123");
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void a_posted_buffer_leaves_the_sender(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "parcel");
    assert_int_equal(kula_post(ring, &buffer, 7, &done), 0);
    assert_true(buffer == NULL);
    await(ring, &done);
    assert_result(done.result, 7);
    assert_memory_equal(kula_bytes(done.buffer), "parcel", 6);
    outcome_release(&done);
}

static void freeing_an_empty_variable_is_harmless(void **state)
{
    (void)state;
    kula_buf buffer = NULL;
    kula_vec vec = NULL;
    kula_free(&buffer);
    kula_vec_free(&vec);
    assert_int_equal(harness_misuses(), 0);
}

static void an_alias_shows_nothing_while_the_ring_has_the_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    kula_buf alias = alias_of(buffer);
    kula_read(ring, fds[0], &buffer, 16, KULA_CUR, &done);
    assert_null(kula_bytes(alias));
    assert_int_equal(kula_capacity(alias), 0);
    assert_result(kula_window(alias, 1), -EBADF);
    assert_pending(ring, &done);
    assert_null(kula_bytes(alias));
    put(fds[1], "late");
    await(ring, &done);
    assert_read_text(&done, "late");
    harness_context(state)->misuses_expected = 4;
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void an_alias_is_refused_by_every_call_while_the_ring_has_the_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    kula_buf original = alias_of(buffer);
    kula_vec vec = kula_vec_new(ring);
    kula_recv(ring, fds[0], &buffer, 16, 0, &done);

    kula_buf alias = alias_of(original);
    assert_true(kula_read(ring, fds[0], &alias, 16, KULA_CUR, NULL) == 0);
    alias = alias_of(original);
    assert_true(kula_write(ring, fds[0], &alias, 16, KULA_CUR, NULL) == 0);
    alias = alias_of(original);
    assert_true(kula_recv(ring, fds[0], &alias, 16, 0, NULL) == 0);
    alias = alias_of(original);
    assert_true(kula_send(ring, fds[0], &alias, 16, 0, NULL) == 0);
    alias = alias_of(original);
    assert_result(kula_post(ring, &alias, 0, NULL), -EINVAL);
    alias = alias_of(original);
    kula_vec_add(vec, &alias, 1);
    assert_int_equal(kula_vec_count(vec), 0);
    alias = alias_of(original);
    kula_free(&alias);
    assert_int_equal(harness_misuses(), 7);
    harness_context(state)->misuses_expected = 7;

    /* None of them reached the operation that is under way. */
    assert_int_equal(kula_outstanding(ring), 1);
    put(fds[1], "first");
    await(ring, &done);
    assert_read_text(&done, "first");
    outcome_release(&done);
    kula_vec_free(&vec);
    retire(ring, fds, 2);
}

static void the_same_memory_comes_home_and_its_old_name_stays_dead(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 64);
    const unsigned char *before = kula_bytes(buffer);
    kula_buf alias = alias_of(buffer);
    kula_read(ring, fd, &buffer, 7, 0, &done);
    await(ring, &done);
    assert_ptr_equal(kula_bytes(done.buffer), before);
    assert_int_equal(kula_capacity(done.buffer), 64);
    assert_null(kula_bytes(alias));
    kula_free(&alias);
    harness_context(state)->misuses_expected = 2;
    assert_read_text(&done, "content");
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void buffers_that_are_held_do_not_overlap(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 300
    };
    kula_buf buffers[COUNT];
    const size_t sizes[] = { 1, 63, 64, 65, 4095, 4096, 4097, 70000 };
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = sizes[i % 8];
        buffers[i] = buffer_pattern(ring, size, i);
        assert_int_equal(kula_capacity(buffers[i]), size);
        assert_int_equal((uintptr_t)kula_bytes(buffers[i]) % (size >= 4096 ? 4096 : 64), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        const unsigned char *bytes = kula_bytes(buffers[i]);
        for (size_t k = 0; k < sizes[i % 8]; k++) {
            assert_int_equal(bytes[k], pattern_byte(k, i));
        }
        kula_free(&buffers[i]);
    }
}

static void impossible_sizes_give_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_alloc(ring, 0) == NULL);
    assert_true(kula_alloc(ring, (size_t)INT32_MAX + 1) == NULL);
    assert_true(kula_alloc(ring, SIZE_MAX / 2) == NULL);
    assert_int_equal(harness_misuses(), 0);
}

static void a_window_survives_the_round_trip(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("XYZ");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "0123456789");
    assert_int_equal(kula_window(buffer, 4), 0);
    assert_int_equal(kula_capacity(buffer), 6);
    assert_memory_equal(kula_bytes(buffer), "456789", 6);
    kula_read(ring, fd, &buffer, 6, 0, &done);
    await(ring, &done);
    assert_read_text(&done, "XYZ");
    assert_int_equal(kula_capacity(done.buffer), 6);
    assert_int_equal(kula_window(done.buffer, 0), 0);
    harness_look_at_anything(kula_bytes(done.buffer), 10);
    assert_memory_equal(kula_bytes(done.buffer), "0123XYZ789", 10);
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void a_window_ends_where_the_buffer_ends(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "0123");
    assert_result(kula_window(buffer, 5), -EINVAL);
    assert_int_equal(kula_capacity(buffer), 4);
    assert_int_equal(kula_window(buffer, 4), 0);
    assert_int_equal(kula_capacity(buffer), 0);
    assert_int_equal(kula_window(buffer, 1), 0);
    assert_int_equal(kula_capacity(buffer), 3);
    kula_write(ring, fd, &buffer, 4, 0, &done); /* one more than the window shows */
    await(ring, &done);
    assert_result(done.result, -EINVAL);
    expect_content(fd, "");
    outcome_release(&done);
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(handing_over_empties_the_variable),
        PROVES(a_vec_takes_its_buffers_and_is_taken_itself),
        PROVES(a_posted_buffer_leaves_the_sender),
        PROVES(freeing_an_empty_variable_is_harmless),
        PROVES(an_alias_shows_nothing_while_the_ring_has_the_buffer),
        PROVES(an_alias_is_refused_by_every_call_while_the_ring_has_the_buffer),
        PROVES(the_same_memory_comes_home_and_its_old_name_stays_dead),
        PROVES(buffers_that_are_held_do_not_overlap),
        PROVES(impossible_sizes_give_no_buffer),
        PROVES(a_window_survives_the_round_trip),
        PROVES(a_window_ends_where_the_buffer_ends),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
