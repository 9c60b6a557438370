/* Parts of a buffer: each is a buffer by itself, and the memory goes back when all of them are free. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PARTS      16
#define PART_BYTES 1024u

static kula_buf split_off(kula_buf buffer, size_t at)
{
    kula_buf part = kula_split(buffer, at);
    assert_true(part != NULL);
    return part;
}

static void assert_holds(kula_buf buffer, const char *text)
{
    assert_int_equal(kula_capacity(buffer), strlen(text));
    assert_memory_equal(kula_bytes(buffer), text, strlen(text));
}

/* Whether a ring gives out exactly this memory for a buffer of this size: once, and no second time. */
static unsigned times_home(struct kula_ring *ring, const unsigned char *memory, size_t size)
{
    kula_buf taken[64];
    unsigned found = 0;
    for (size_t i = 0; i < 64; i++) {
        taken[i] = buffer_empty(ring, size);
        found += kula_bytes(taken[i]) == memory;
    }
    for (size_t i = 0; i < 64; i++) {
        kula_free(&taken[i]);
    }
    return found;
}

static bool is_mapped(const unsigned char *memory)
{
    unsigned char resident;
    return mincore((void *)(uintptr_t)memory, 4096, &resident) == 0 || errno != ENOMEM;
}

/* Memory that a whole buffer had for itself went back to the system. Elsewhere than on Linux it comes
 * from the heap, which may keep it. */
static void assert_gone(const unsigned char *memory)
{
#if defined KULA_NO_LINUX
    (void)memory;
#else
    assert_false(is_mapped(memory));
#endif
}

static void a_split_gives_two_buffers_that_show_what_one_did(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf first = buffer_text(ring, "headbody");
    const unsigned char *memory = kula_bytes(first);
    kula_buf second = split_off(first, 4);
    assert_holds(first, "head");
    assert_holds(second, "body");
    assert_ptr_equal(kula_bytes(first), memory);
    assert_ptr_equal(kula_bytes(second), memory + 4);
    assert_int_equal(kula_join(first, &second), 0);
    assert_true(second == NULL);
    assert_holds(first, "headbody");
    kula_free(&first);
    assert_int_equal(times_home(ring, memory, 8), 1);
}

static void a_split_out_of_range_changes_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf buffer = buffer_text(ring, "0123456789");
    const size_t outside[] = { 0, 10, 11, SIZE_MAX };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_true(kula_split(buffer, outside[i]) == NULL);
        assert_holds(buffer, "0123456789");
    }
    assert_int_equal(kula_window(buffer, 6), 0);
    assert_true(kula_split(buffer, 4) == NULL);
    assert_int_equal(kula_window(buffer, 10), 0);
    assert_true(kula_split(buffer, 0) == NULL);
    kula_free(&buffer);
    buffer = buffer_empty(ring, 1);
    assert_true(kula_split(buffer, 1) == NULL);
    kula_free(&buffer);
}

static void a_window_counts_from_the_start_of_each_part(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf first = buffer_text(ring, "xxabcdefgh");
    assert_int_equal(kula_window(first, 2), 0);
    kula_buf second = split_off(first, 5); /* of what it shows */
    assert_holds(first, "abcde");
    assert_holds(second, "fgh");
    assert_int_equal(kula_window(first, 0), 0);
    assert_holds(first, "xxabcde");
    assert_int_equal(kula_window(first, 7), 0);
    assert_int_equal(kula_capacity(first), 0);
    assert_result(kula_window(first, 8), -EINVAL); /* that is not its own any more */
    assert_int_equal(kula_window(second, 3), 0);
    assert_result(kula_window(second, 4), -EINVAL);
    assert_int_equal(kula_window(first, 6), 0);
    assert_int_equal(kula_join(first, &second), 0); /* the whole of it, whatever it showed */
    assert_holds(first, "efgh");
    assert_int_equal(kula_window(first, 0), 0);
    assert_holds(first, "xxabcdefgh");
    kula_free(&first);
}

static void sixteen_parts_are_read_into_at_once_and_make_one_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char content[PARTS * PART_BYTES + 1];
    for (size_t i = 0; i < sizeof content - 1; i++) {
        content[i] = (char)('a' + pattern_byte(i, 3) % 26);
    }
    content[sizeof content - 1] = '\0';
    int fd = make_file(content);
    for (int round = 0; round < 3; round++) {
        kula_buf parts[PARTS];
        struct outcome done[PARTS] = { 0 };
        parts[0] = buffer_empty(ring, PARTS * PART_BYTES);
        unsigned char *memory = kula_bytes(parts[0]);
        memset(memory, 0, PARTS * PART_BYTES);
        for (size_t i = 1; i < PARTS; i++) {
            /* the last one in a row, or each off the first one */
            parts[round == 1 ? PARTS - i : i] =
                round == 1 ? split_off(parts[0], (PARTS - i) * PART_BYTES)
                           : split_off(parts[i - 1], PART_BYTES);
        }
        for (size_t n = 0; n < PARTS; n++) {
            size_t i = n * 7 % PARTS; /* in another order than they lie */
            assert_int_equal(kula_capacity(parts[i]), PART_BYTES);
            kula_read(ring, fd, &parts[i], PART_BYTES, (int64_t)(i * PART_BYTES), &done[i]);
        }
        await_all(ring);
        for (size_t i = 0; i < PARTS; i++) {
            assert_result(done[i].result, PART_BYTES);
        }
        for (size_t i = PARTS; round != 2 && i-- > 1;) {
            assert_int_equal(kula_join(done[i - 1].buffer, &done[i].buffer), 0);
        }
        for (size_t i = 1; round == 2 && i < PARTS; i++) {
            assert_int_equal(kula_join(done[0].buffer, &done[i].buffer), 0);
        }
        assert_int_equal(kula_capacity(done[0].buffer), PARTS * PART_BYTES);
        assert_ptr_equal(kula_bytes(done[0].buffer), memory);
        assert_memory_equal(memory, content, PARTS * PART_BYTES);
        kula_free(&done[0].buffer);
        assert_int_equal(times_home(ring, memory, PARTS * PART_BYTES), 1);
    }
    retire(ring, &fd, 1);
}

static void only_neighbours_are_joined(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf a = buffer_text(ring, "aabbccdd");
    kula_buf other = buffer_text(ring, "aabbccdd");
    kula_buf b = split_off(a, 2);
    kula_buf c = split_off(b, 2);
    kula_buf d = split_off(c, 2);
    kula_buf *wrong[][2] = { { &b, &a }, { &a, &c }, { &a, &d },     { &c, &b },
                             { &d, &a }, { &d, &c }, { &a, &other }, { &other, &b } };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_result(kula_join(*wrong[i][0], wrong[i][1]), -EINVAL);
        assert_true(*wrong[i][1] != NULL);
    }
    kula_buf same = alias_of(a);
    assert_result(kula_join(a, &same), -EINVAL);
    assert_holds(a, "aa");
    assert_holds(b, "bb");
    assert_holds(c, "cc");
    assert_holds(d, "dd");
    assert_int_equal(kula_join(c, &d), 0);
    assert_holds(c, "ccdd");
    kula_free(&b);
    assert_result(kula_join(a, &c), -EINVAL); /* there is a gap now */
    kula_free(&a);
    assert_holds(c, "ccdd");
    kula_free(&c);
    kula_free(&other);
    assert_int_equal(harness_misuses(), 0);
}

static void two_buffers_that_only_happen_to_lie_side_by_side_are_not_neighbours(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf buffers[64];
    unsigned met = 0;
    for (size_t i = 0; i < 64; i++) {
        buffers[i] = buffer_empty(ring, 64);
    }
    for (size_t i = 0; i < 64; i++) {
        for (size_t j = 0; j < 64; j++) {
            met += kula_bytes(buffers[i]) + 64 == kula_bytes(buffers[j]);
            assert_result(kula_join(buffers[i], &buffers[j]), -EINVAL);
        }
    }
    assert_true(met > 0 || harness_keeps_buffers_apart());
    for (size_t i = 0; i < 64; i++) {
        kula_free(&buffers[i]);
    }
}

static void the_memory_goes_back_when_all_parts_are_free_in_any_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const unsigned char orders[][4] = {
        { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 0, 3, 2 }, { 2, 0, 1, 3 }, { 0, 3, 1, 2 },
    };
    const size_t sizes[] = { 400, 40000, 4 << 20 };
    for (size_t s = 0; s < 3; s++) {
        for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
            kula_buf parts[4];
            parts[0] = buffer_empty(ring, sizes[s]);
            const unsigned char *memory = kula_bytes(parts[0]);
            parts[2] = split_off(parts[0], sizes[s] / 2);
            parts[1] = split_off(parts[0], sizes[s] / 4);
            parts[3] = split_off(parts[2], sizes[s] / 4);
            for (size_t n = 0; n < 4; n++) {
                assert_true(is_mapped(memory));
                if (sizes[s] < 1 << 20) {
                    assert_int_equal(times_home(ring, memory, sizes[s]), 0);
                }
                kula_free(&parts[orders[i][n]]);
            }
            if (sizes[s] < 1 << 20) {
                assert_int_equal(times_home(ring, memory, sizes[s]), 1);
            } else {
                assert_gone(memory);
            }
        }
    }
}

static void a_part_is_frozen_by_itself(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (size_t frozen = 0; frozen < 3; frozen++) {
        kula_buf parts[3];
        parts[0] = buffer_text(ring, "first-second-third");
        const unsigned char *memory = kula_bytes(parts[0]);
        parts[1] = split_off(parts[0], 6);
        parts[2] = split_off(parts[1], 7);
        const char *texts[] = { "first-", "second-", "third" };
        kula_ref root = kula_freeze(&parts[frozen]);
        assert_int_equal(kula_ref_count(root), 1); /* parts are not references */
        kula_ref slice = kula_slice(root, 1, 2);
        assert_int_equal(kula_ref_count(root), 2);
        assert_memory_equal(kula_ref_bytes(slice), texts[frozen] + 1, 2);

        /* the others may be written meanwhile, split and freed */
        size_t next = (frozen + 1) % 3;
        memset(kula_bytes(parts[next]), '*', kula_capacity(parts[next]));
        kula_buf more = split_off(parts[next], 1);
        kula_free(&parts[next]);
        kula_drop(&root);
        assert_memory_equal(kula_ref_bytes(slice), texts[frozen] + 1, 2);
        parts[frozen] = kula_thaw(&slice);
        assert_true(parts[frozen] != NULL);
        assert_holds(parts[frozen], texts[frozen]);
        assert_int_equal(times_home(ring, memory, 18), 0);
        kula_free(&more);
        kula_free(&parts[(frozen + 2) % 3]);
        assert_int_equal(times_home(ring, memory, 18), 0);
        kula_free(&parts[frozen]);
        assert_int_equal(times_home(ring, memory, 18), 1);
    }
}

static void a_slice_of_a_part_keeps_the_whole_memory(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int which = 0; which < 2; which++) {
        kula_buf first = buffer_pattern(ring, 2 << 20, 8);
        const unsigned char *memory = kula_bytes(first);
        kula_buf second = split_off(first, 1 << 20);
        kula_ref root = which ? kula_freeze(&second) : kula_freeze(&first);
        kula_ref slice = kula_slice(root, 1000, 10);
        size_t at = 1000 + (which ? (size_t)1 << 20 : 0);
        kula_drop(&root);
        kula_free(&first);
        kula_free(&second);
        for (size_t i = 0; i < 10; i++) {
            assert_int_equal(kula_ref_bytes(slice)[i], pattern_byte(at + i, 8));
        }
        assert_true(is_mapped(memory));
        kula_drop(&slice);
        assert_gone(memory);
    }
}

static void a_frozen_and_thawed_part_is_joined_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf first = buffer_text(ring, "togetherapart");
    kula_buf second = split_off(first, 8);
    for (int round = 0; round < 3; round++) {
        kula_ref one = kula_freeze(&first);
        kula_ref two = kula_freeze(&second);
        kula_ref clone = kula_clone(two);
        kula_drop(&two);
        first = kula_thaw(&one);
        second = kula_thaw(&clone);
        assert_holds(first, "together");
        assert_holds(second, "apart");
        assert_int_equal(kula_join(first, &second), 0);
        assert_holds(first, "togetherapart");
        kula_ref whole = kula_freeze(&first);
        assert_int_equal(kula_ref_count(whole), 1);
        first = kula_thaw(&whole);
        second = split_off(first, 8);
    }
    kula_free(&second);
    kula_free(&first);
}

static void a_part_outlives_its_ring(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int which = 0; which < 2; which++) {
        struct kula_ring *other = harness_open(0);
        kula_buf first = buffer_text(other, "old ring");
        kula_buf second = split_off(first, 4);
        harness_close(&other);
        kula_free(which ? &first : &second);
        kula_buf left = which ? second : first;
        assert_holds(left, which ? "ring" : "old ");
        kula_buf more = split_off(left, 2); /* its home has no owner any more */
        struct outcome done = { 0 };
        assert_int_equal(kula_post(ring, &more, 0, &done), 0);
        await(ring, &done);
        assert_holds(done.buffer, which ? "ng" : "d ");
        kula_free(&left);
        outcome_release(&done);
    }
}

static void a_stale_part_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf first = buffer_text(ring, "onetwo");
    kula_buf second = split_off(first, 3);
    kula_buf alias = alias_of(second);
    assert_int_equal(kula_join(first, &second), 0);
    assert_true(kula_split(alias, 1) == NULL);
    assert_null(kula_bytes(alias));
    kula_buf again = alias_of(alias);
    assert_result(kula_join(first, &again), -EBADF);
    kula_free(&again);
    assert_int_equal(harness_misuses(), 4);
    assert_holds(first, "onetwo");
    kula_buf none = alias_of(NULL);
    assert_true(kula_split(none, 1) == NULL);
    assert_result(kula_join(first, &none), -EBADF);
    kula_free(&first);
    harness_context(state)->misuses_expected = 6;
}

/* ---- Threads ------------------------------------------------------------------------------ */

struct worker {
    pthread_t thread;
    kula_buf part;
    unsigned char mark;
    unsigned wrong;
};

/* Splits its part, writes, joins, lets go of it in the end: all of that at the same time as others. */
static void *work_on_part(void *arg)
{
    struct worker *worker = arg;
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = kula_capacity(worker->part);
        kula_buf half = kula_split(worker->part, 1 + round % (size - 1));
        worker->wrong += half == NULL;
        memset(kula_bytes(worker->part), worker->mark, kula_capacity(worker->part));
        memset(kula_bytes(half), worker->mark, kula_capacity(half));
        kula_ref ref = kula_freeze(&half);
        kula_ref slice = kula_slice(ref, 0, 1);
        kula_drop(&ref);
        half = kula_thaw(&slice);
        worker->wrong += half == NULL || kula_join(worker->part, &half) != 0;
        worker->wrong += kula_capacity(worker->part) != size;
    }
    for (size_t i = 0; i < kula_capacity(worker->part); i++) {
        worker->wrong += kula_bytes(worker->part)[i] != worker->mark;
    }
    kula_free(&worker->part);
    return NULL;
}

static void parts_are_split_joined_and_freed_on_four_threads_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 3; round++) {
        struct worker workers[4];
        kula_buf rest = buffer_empty(ring, 4000);
        const unsigned char *memory = kula_bytes(rest);
        for (unsigned i = 0; i < 4; i++) {
            kula_buf next = i < 3 ? split_off(rest, 1000) : NULL;
            workers[i] = (struct worker){ .part = rest, .mark = (unsigned char)('a' + i) };
            rest = next;
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(
                pthread_create(&workers[i].thread, NULL, work_on_part, &workers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(workers[i].thread, NULL);
            assert_int_equal(workers[i].wrong, 0);
        }
        assert_int_equal(times_home(ring, memory, 4000), 1);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_split_gives_two_buffers_that_show_what_one_did),
        PROVES(a_split_out_of_range_changes_nothing),
        PROVES(a_window_counts_from_the_start_of_each_part),
        PROVES(sixteen_parts_are_read_into_at_once_and_make_one_whole),
        PROVES(only_neighbours_are_joined),
        PROVES(two_buffers_that_only_happen_to_lie_side_by_side_are_not_neighbours),
        PROVES(the_memory_goes_back_when_all_parts_are_free_in_any_order),
        PROVES(a_part_is_frozen_by_itself),
        PROVES(a_slice_of_a_part_keeps_the_whole_memory),
        PROVES(a_frozen_and_thawed_part_is_joined_again),
        PROVES(a_part_outlives_its_ring),
        PROVES(a_stale_part_is_refused),
        PROVES(parts_are_split_joined_and_freed_on_four_threads_at_once),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
