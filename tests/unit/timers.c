/* The heap of timers against a list that is searched from end to end. */
#include "unit.h"

#include "common/timer.h"

#define COUNT 600

/* Records from the table, for the heap keeps its positions in their cold halves. */
static struct kula__chunks chunks;
static struct kula__slot *slots[COUNT];

static int make_records(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        slots[i] = kula__chunks_slot(&chunks, &chunks);
        if (!slots[i]) {
            return -1;
        }
    }
    return 0;
}

static int free_records(void **state)
{
    (void)state;
    kula__chunks_fini(&chunks);
    return 0;
}

static void an_empty_heap_has_nothing(void **state)
{
    (void)state;
    struct kula__timers timers = { 0 };
    assert_true(kula__timers_next_ns(&timers) == INT64_MAX);
    assert_null(kula__timers_pop(&timers, INT64_MAX));
    kula__timers_fini(&timers);
}

static void what_is_not_due_stays(void **state)
{
    (void)state;
    struct kula__timers timers = { 0 };
    assert_int_equal(kula__timers_reserve(&timers), 0);
    kula__timers_add(&timers, slots[0], 100);
    assert_null(kula__timers_pop(&timers, 99));
    assert_ptr_equal(kula__timers_pop(&timers, 100), slots[0]);
    assert_null(kula__timers_pop(&timers, INT64_MAX));
    kula__timers_fini(&timers);
}

struct model {
    int64_t expiry[COUNT];
    bool in[COUNT];
    uint32_t count;
};

static int64_t earliest(const struct model *model)
{
    int64_t found = INT64_MAX;
    for (int i = 0; i < COUNT; i++) {
        if (model->in[i] && model->expiry[i] < found) {
            found = model->expiry[i];
        }
    }
    return found;
}

static int number_of(const struct kula__slot *slot)
{
    for (int i = 0; i < COUNT; i++) {
        if (slots[i] == slot) {
            return i;
        }
    }
    return -1;
}

static void check(const struct kula__timers *timers, const struct model *model)
{
    assert_int_equal(timers->count, model->count);
    assert_true(kula__timers_next_ns(timers) == earliest(model));
    for (uint32_t i = 0; i < timers->count; i++) {
        assert_int_equal(kula__cold_of(timers->heap[i].slot)->heap_position, i);
        assert_true(i == 0 || timers->heap[(i - 1) / 4].expiry_ns <= timers->heap[i].expiry_ns);
    }
}

static void random_adding_removing_and_popping_agrees_with_a_plain_list(void **state)
{
    (void)state;
    struct kula__timers timers = { 0 };
    static struct model model;
    uint64_t seed = 42;
    for (int step = 0; step < 60000; step++) {
        uint64_t random = unit_random(&seed);
        int i = (int)(random % COUNT);
        /* Waves: the heap grows for a while, then shrinks to nothing. */
        bool growing = step / 3000 % 2 == 0;
        if (!model.in[i] && (growing || random >> 60 == 0)) {
            model.expiry[i] = (int64_t)(random >> 33) % 1000; /* many equal ones */
            model.in[i] = true;
            model.count++;
            assert_int_equal(kula__timers_reserve(&timers), 0);
            kula__timers_add(&timers, slots[i], model.expiry[i]);
        } else if (model.in[i] && (random >> 59) % 2) {
            kula__timers_remove(&timers, slots[i]);
            model.in[i] = false;
            model.count--;
        } else if (!growing || (random >> 58) % 8 == 0) {
            int64_t now = (int64_t)(random >> 40) % 1200;
            struct kula__slot *popped = kula__timers_pop(&timers, now);
            if (!popped) {
                assert_true(earliest(&model) > now);
            } else {
                int number = number_of(popped);
                assert_true(number >= 0 && model.in[number]);
                assert_true(model.expiry[number] == earliest(&model));
                assert_true(model.expiry[number] <= now);
                model.in[number] = false;
                model.count--;
            }
        }
        if (step % 16 == 0) {
            check(&timers, &model);
        }
    }
    kula__timers_fini(&timers);
}

static void everything_comes_out_in_order(void **state)
{
    (void)state;
    struct kula__timers timers = { 0 };
    uint64_t seed = 7;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(kula__timers_reserve(&timers), 0);
        kula__timers_add(&timers, slots[i], (int64_t)(unit_random(&seed) >> 1));
    }
    int64_t last = -1;
    for (int i = 0; i < COUNT; i++) {
        int64_t next = kula__timers_next_ns(&timers);
        assert_true(next >= last);
        last = next;
        assert_non_null(kula__timers_pop(&timers, INT64_MAX));
    }
    assert_null(kula__timers_pop(&timers, INT64_MAX));
    kula__timers_fini(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_heap_has_nothing),
        cmocka_unit_test(what_is_not_due_stays),
        cmocka_unit_test(random_adding_removing_and_popping_agrees_with_a_plain_list),
        cmocka_unit_test(everything_comes_out_in_order),
    };
    return cmocka_run_group_tests(tests, make_records, free_records) == 0 ? EXIT_SUCCESS
                                                                          : EXIT_FAILURE;
}
