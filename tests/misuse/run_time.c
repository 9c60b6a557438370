/* What run time has to find of the misuse of this folder, since a compiler can be deceived: cases
 * 13 (a lost buffer), 15 (memory that is no buffer) and 20 (a length beyond the buffer). */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    HEARD_BYTES = 256
};

/* The last thing that a ring has said of buffers which the program holds. */
static void hear_held(void *arg, int level, const char *text)
{
    char *heard = arg;
    (void)level;
    if (strstr(text, "holds")) {
        snprintf(heard, HEARD_BYTES, "%s", text);
    }
}

static struct kula_ring *open_listening(char heard[HEARD_BYTES])
{
    struct kula_config config = harness_config();
    struct kula_ring *ring;
    heard[0] = '\0';
    config.log = hear_held;
    config.log_arg = heard;
    assert_result(kula_open(&config, &ring), 0);
    return ring;
}

static void a_lost_buffer_is_counted_when_its_ring_closes(void **state)
{
    (void)state;
    char heard[HEARD_BYTES];
    struct kula_ring *ring = open_listening(heard);
    kula_buf lost[2] = { buffer_text(ring, "one"), buffer_text(ring, "two") };
    assert_string_equal(heard, "");
    harness_close(&ring);
    assert_non_null(strstr(heard, "holds 2 "));

    /* They are the program's as before. */
    assert_memory_equal(kula_bytes(lost[0]), "one", 3);
    assert_memory_equal(kula_bytes(lost[1]), "two", 3);
    kula_free(&lost[0]);
    kula_free(&lost[1]);
}

static void a_ring_that_lost_nothing_closes_in_silence(void **state)
{
    (void)state;
    char heard[HEARD_BYTES];
    struct kula_ring *ring = open_listening(heard);
    kula_buf kept = buffer_text(ring, "one");
    kula_free(&kept);
    harness_close(&ring);
    assert_string_equal(heard, "");
}

/* Offers an address as a buffer to every call that takes one. */
static unsigned offer(struct kula_ring *ring, int fd, void *address)
{
    unsigned refused = 0;
    kula_buf forged = alias_of((kula_buf)address);
    refused += kula_read(ring, fd, &forged, 1, 0, NULL) == 0;
    forged = alias_of((kula_buf)address);
    refused += kula_write(ring, fd, &forged, 1, 0, NULL) == 0;
    forged = alias_of((kula_buf)address);
    refused += kula_recv(ring, fd, &forged, 1, 0, NULL) == 0;
    forged = alias_of((kula_buf)address);
    refused += kula_send(ring, fd, &forged, 1, 0, NULL) == 0;
    refused += kula_bytes(alias_of((kula_buf)address)) == NULL;
    forged = alias_of((kula_buf)address);
    kula_free(&forged);
    return refused;
}

static void memory_of_the_stack_is_refused_as_a_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    harness_context(state)->misuses_expected = 6;
    int fd = make_file("content");
    char memory[64] = "untouched";
    assert_int_equal(offer(ring, fd, memory), 5);
    assert_int_equal(harness_misuses(), 6);
    assert_int_equal(kula_outstanding(ring), 0);
    assert_int_equal(kula_wait(ring, 0), 0);
    assert_string_equal(memory, "untouched");
    retire(ring, &fd, 1);
}

static void the_inside_of_a_buffer_is_refused_as_a_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    harness_context(state)->misuses_expected = 6;
    int fd = make_file("content");
    kula_buf buffer = buffer_text(ring, "untouched");
    assert_int_equal(offer(ring, fd, kula_bytes(buffer)), 5);
    assert_int_equal(harness_misuses(), 6);
    assert_int_equal(kula_outstanding(ring), 0);
    assert_memory_equal(kula_bytes(buffer), "untouched", 9);
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void a_length_beyond_the_buffer_is_the_events_error(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    volatile size_t beyond = 65; /* a length that no compiler knows */
    int file = make_file("content");
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[4] = { 0 };
    kula_buf buffer = buffer_empty(ring, 64);
    kula_read(ring, file, &buffer, beyond, 0, &done[0]);
    buffer = buffer_empty(ring, 64);
    kula_write(ring, file, &buffer, beyond, 0, &done[1]);
    buffer = buffer_empty(ring, 64);
    kula_recv(ring, fds[0], &buffer, beyond, 0, &done[2]);
    buffer = buffer_empty(ring, 64);
    kula_send(ring, fds[0], &buffer, beyond, 0, &done[3]);
    assert_true(buffer == NULL);
    for (int i = 0; i < 4; i++) {
        await(ring, &done[i]);
        assert_result(done[i].result, -EINVAL);
        assert_int_equal(kula_capacity(done[i].buffer), 64);
        outcome_release(&done[i]);
    }
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        PROVES(a_lost_buffer_is_counted_when_its_ring_closes),
        PROVES(a_ring_that_lost_nothing_closes_in_silence),
        PROVES(memory_of_the_stack_is_refused_as_a_buffer),
        PROVES(the_inside_of_a_buffer_is_refused_as_a_buffer),
        PROVES(a_length_beyond_the_buffer_is_the_events_error),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
