/* What a report of misuse says: the call, the buffer, the generation that was given and the one that is
 * current. And that nothing has happened to the buffer. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* The generation stands above 24 bits of index. */
#define INDEX_BITS 24

struct heard {
    struct kula_misuse last;
    char reason[200];
    unsigned count;
};

static void hear(void *arg, const struct kula_misuse *misuse)
{
    struct heard *heard = arg;
    heard->last = *misuse;
    strncpy(heard->reason, misuse->reason, sizeof heard->reason - 1);
    heard->count++;
}

static uint64_t name_of(kula_buf buffer)
{
    return (uint64_t)(uintptr_t)buffer;
}

/* One report, of `operation`, about this handle, whose buffer has gone `steps` changes of hands further. */
static void expect_report(struct heard *heard,
                          const char *operation,
                          uint64_t handle,
                          uint64_t steps,
                          const char *reason)
{
    assert_int_equal(heard->count, 1);
    assert_string_equal(heard->last.operation, operation);
    assert_true(heard->last.handle == handle);
    assert_int_equal(heard->last.index, handle & ((1u << INDEX_BITS) - 1));
    assert_true(heard->last.generation == handle >> INDEX_BITS);
    assert_true(heard->last.current == heard->last.generation + steps);
    assert_non_null(strstr(heard->reason, reason));
    heard->count = 0;
}

static void a_report_names_call_buffer_and_generations(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct heard heard = { .count = 0 };
    kula_on_misuse(hear, &heard);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    uint64_t name = name_of(buffer);
    kula_buf alias = alias_of(buffer);
    kula_buf second = alias_of(buffer);
    kula_buf third = alias_of(buffer);
    kula_read(ring, fds[0], &buffer, 16, KULA_CUR, &done);

    kula_free(&alias);
    expect_report(&heard, "kula_free", name, 1, "the buffer is with a ring");
    assert_true(kula_write(ring, fds[1], &second, 1, KULA_CUR, NULL) == 0);
    expect_report(&heard, "kula_write", name, 1, "the buffer is with a ring");

    put(fds[1], "safe");
    await(ring, &done);
    assert_read_text(&done, "safe");
    assert_null(kula_bytes(third));
    expect_report(&heard, "kula_bytes", name, 4, "ownership moved");
    outcome_release(&done);
    assert_int_equal(kula_capacity(third), 0);
    expect_report(&heard, "kula_capacity", name, 7, "the buffer was freed");

    buffer = buffer_text(ring, "a second life");
    assert_int_equal(name_of(buffer) & ((1u << INDEX_BITS) - 1),
                     name & ((1u << INDEX_BITS) - 1));
    kula_free(&third);
    expect_report(&heard, "kula_free", name, 8, "ownership moved");
    assert_memory_equal(kula_bytes(buffer), "a second life", 13);
    kula_free(&buffer);
    retire(ring, fds, 2);
    assert_int_equal(heard.count, 0);
}

static void asking_an_event_again_is_in_order_and_asking_its_copy_is_not(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct heard heard = { .count = 0 };
    kula_on_misuse(hear, &heard);
    int fd = make_file("x");
    kula_buf buffer = buffer_empty(ring, 1);
    kula_read(ring, fd, &buffer, 1, 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    struct kula_event copy = *event;
    buffer = kula_take(event);
    assert_true(kula_take(event) == NULL);
    assert_int_equal(heard.count, 0);
    assert_true(kula_take(&copy) == NULL);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.last.operation, "kula_take");
    assert_int_equal(kula_bytes(buffer)[0], 'x');
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void a_forged_handle_is_reported_as_one(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct heard heard = { .count = 0 };
    kula_on_misuse(hear, &heard);
    kula_buf buffer = buffer_text(ring, "mine");
    kula_buf forged =
        alias_of((kula_buf)(uintptr_t)(name_of(buffer) + (UINT64_C(4) << INDEX_BITS)));
    assert_null(kula_bytes(forged));
    assert_int_equal(heard.count, 1);
    assert_non_null(strstr(heard.reason, "forged"));
    assert_null(heard.last.last_operation);
    assert_memory_equal(kula_bytes(buffer), "mine", 4);
    kula_free(&buffer);
}

struct stranger {
    struct kula_ring *ring;
    kula_buf buffer;
    kula_op op;
};

static void *hand_over_elsewhere(void *arg)
{
    struct stranger *stranger = arg;
    stranger->op = kula_read(stranger->ring, -1, &stranger->buffer, 1, 0, NULL);
    return NULL;
}

static void a_report_from_another_thread_names_the_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct heard heard = { .count = 0 };
    kula_on_misuse(hear, &heard);
    struct stranger stranger = { .ring = ring, .buffer = buffer_text(ring, "kept") };
    uint64_t name = name_of(stranger.buffer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hand_over_elsewhere, &stranger), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    expect_report(&heard, "kula_read", name, 0, "another thread");
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_true(event->op == stranger.op);
    assert_result(event->result, -EPERM);
    kula_buf buffer = kula_take(event);
    assert_memory_equal(kula_bytes(buffer), "kept", 4);
    kula_free(&buffer);
    assert_int_equal(heard.count, 0);
}

/* What a variable that nobody has set may hold. */
static void a_value_that_never_was_a_handle_is_reported_as_forged(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct heard heard = { .count = 0 };
    kula_on_misuse(hear, &heard);
    /* the last two name the first record of a part of the table that is not there, and record 0 */
    const uint64_t values[] = { UINT64_MAX,
                                1,
                                UINT64_C(0xcccccccccccccccc),
                                (uintptr_t)&heard,
                                (uintptr_t)hear,
                                UINT64_C(0x7fffdead0000),
                                UINT64_C(0x123456000000) };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        kula_buf forged = alias_of((kula_buf)(uintptr_t)values[i]);
        heard.count = 0;
        assert_true(kula_write(ring, 1, &forged, 1, KULA_CUR, NULL) == 0);
        assert_int_equal(heard.count, 1);
        assert_string_equal(heard.last.operation, "kula_write");
        assert_true(heard.last.handle == (uintptr_t)values[i]);
        assert_non_null(strstr(heard.reason, "not a handle"));
    }
    assert_int_equal(kula_outstanding(ring), 0);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        PROVES(a_report_names_call_buffer_and_generations),
        PROVES(asking_an_event_again_is_in_order_and_asking_its_copy_is_not),
        PROVES(a_forged_handle_is_reported_as_one),
        PROVES(a_report_from_another_thread_names_the_buffer),
        PROVES(a_value_that_never_was_a_handle_is_reported_as_forged),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
