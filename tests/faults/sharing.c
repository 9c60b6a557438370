/* There is no memory for another record: cloning, slicing and splitting say so, and nothing else has
 * happened. */
#include "common/fault.h"
#include "support/outcome.h"

#include <pthread.h>
#include <string.h>

/* A record costs memory only now and then: more than fit the slabs that there are. */
#define ENOUGH 20000u

static kula_ref clones[ENOUGH];

/* Clones until there is no memory for one; returns how many there are then, ENOUGH if never. */
static unsigned clone_until_refused(kula_ref root)
{
    kula__fault_arm(1);
    unsigned count = 0;
    while (count < ENOUGH &&
           (clones[count] = count % 2 ? kula_clone(root) : kula_slice(root, 1, 2))) {
        count++;
    }
    kula__fault_disarm();
    return count;
}

static void drop_all(unsigned count)
{
    while (count > 0) {
        kula_drop(&clones[--count]);
    }
}

struct run {
    kula_ref root;
    unsigned cloned;
    uint32_t counted;
    bool recovered;
};

static void *run_out(void *arg)
{
    struct run *run = arg;
    run->cloned = clone_until_refused(run->root);
    run->counted = kula_ref_count(run->root);
    kula_ref again = kula_clone(run->root);
    run->recovered = again != NULL && kula_ref_count(run->root) == run->counted + 1;
    kula_drop(&again);
    drop_all(run->cloned);
    return NULL;
}

static void a_clone_without_memory_is_null_and_the_reference_stays(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        kula_buf buffer = buffer_text(ring, "scarce");
        struct run run = { .root =
                               kula_freeze(&buffer) }; /* takes nothing, whatever there is */
        assert_true(run.root != NULL);
        if (elsewhere) { /* where the records come from the pool that threads share */
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, run_out, &run), 0);
            pthread_join(thread, NULL);
        } else {
            run_out(&run);
        }
        assert_non_null(kula__fault_failed());
        assert_true(run.cloned < ENOUGH);
        assert_int_equal(run.counted, run.cloned + 1);
        assert_true(run.recovered);
        assert_int_equal(kula_ref_count(run.root), 1);
        buffer = kula_thaw(&run.root);
        assert_memory_equal(kula_bytes(buffer), "scarce", 6);
        kula_free(&buffer);
    }
    assert_int_equal(harness_misuses(), 0);
}

static void a_split_without_memory_is_null_and_the_buffer_stays_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf rest = buffer_pattern(ring, ENOUGH, 6);
    static kula_buf parts[ENOUGH];
    kula__fault_arm(1);
    unsigned count = 0;
    while (count < ENOUGH - 1 && (parts[count] = kula_split(rest, ENOUGH - 1 - count))) {
        count++; /* the last byte, and then the one before it */
    }
    kula__fault_disarm();
    assert_non_null(kula__fault_failed());
    assert_true(count < ENOUGH - 1);
    assert_int_equal(kula_capacity(rest), ENOUGH - count);
    while (count > 0) {
        assert_int_equal(kula_join(rest, &parts[--count]), 0);
    }
    assert_int_equal(kula_capacity(rest), ENOUGH);
    for (size_t i = 0; i < ENOUGH; i++) {
        assert_int_equal(kula_bytes(rest)[i], pattern_byte(i, 6));
    }
    kula_free(&rest);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_clone_without_memory_is_null_and_the_reference_stays),
        PROVES(a_split_without_memory_is_null_and_the_buffer_stays_whole),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
