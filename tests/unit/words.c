/* The one word that is a record's state: every state, every arrow, and the wrap of the generation. */
#include "unit.h"

#include "common/slot.h"

#define INDEX       UINT64_C(0x123456)
#define GENERATIONS 5

/* Generations of each holder: the first ones, some in the middle, and the last ones before the wrap
 * at 2^40. */
static const uint64_t starts[GENERATIONS] = {
    UINT64_C(1) << 39,       (UINT64_C(1) << 39) + 4, UINT64_C(0xdeadbeef0),
    (UINT64_C(1) << 40) - 8, (UINT64_C(1) << 40) - 4,
};

static uint64_t word_of(uint64_t generation)
{
    return generation << KULA__INDEX_BITS | INDEX;
}

static void set(struct kula__slot *slot, uint64_t word)
{
    atomic_store(&slot->word, word);
}

static void a_word_is_taken_apart_as_it_was_put_together(void **state)
{
    (void)state;
    for (size_t g = 0; g < GENERATIONS; g++) {
        for (uint64_t holder = 0; holder < 4; holder++) {
            uint64_t word = word_of(starts[g] + holder);
            assert_int_equal(kula__word_index(word), INDEX);
            assert_true(kula__word_generation(word) == starts[g] + holder);
            assert_int_equal(kula__word_holder(word), holder);
            assert_true(kula__handle_word(kula__word_handle(word)) == word);
        }
    }
    assert_int_equal(kula__word_index(UINT64_MAX), KULA__INDEX_MASK);
    assert_true(kula__word_generation(UINT64_MAX) == (UINT64_C(1) << 40) - 1);
}

static void the_first_use_makes_a_free_record_whose_handles_are_no_addresses(void **state)
{
    (void)state;
    struct kula__slot slot = { 0 };
    kula__word_begin(&slot, (uint32_t)INDEX);
    uint64_t word = kula__slot_word(&slot);
    assert_int_equal(kula__word_holder(word), KULA__HELD_BY_NOBODY);
    assert_int_equal(kula__word_index(word), INDEX);
    /* the upper half of the address space is the kernel's */
    assert_true(word >> 63 == 1);
    kula__word_begin(&slot, (uint32_t)INDEX);
    assert_true(kula__slot_word(&slot) == word);
}

static void expect(const struct kula__slot *slot, uint64_t before, enum kula__holder holder)
{
    uint64_t now = kula__slot_word(slot);
    assert_int_equal(kula__word_holder(now), holder);
    assert_int_equal(kula__word_index(now), INDEX);
    assert_true(now != before);
}

static void every_arrow_leads_where_it_should_from_every_generation(void **state)
{
    (void)state;
    struct kula__slot slot = { 0 };
    for (size_t g = 0; g < GENERATIONS; g++) {
        uint64_t program = word_of(starts[g]);
        uint64_t ring = word_of(starts[g] + 1);
        uint64_t done = word_of(starts[g] + 2);
        uint64_t nobody = word_of(starts[g] + 3);

        set(&slot, nobody);
        assert_true(kula__word_allocate(&slot) == kula__slot_word(&slot));
        expect(&slot, nobody, KULA__HELD_BY_PROGRAM);
        set(&slot, nobody);
        assert_true(kula__word_start(&slot) == kula__slot_word(&slot));
        expect(&slot, nobody, KULA__HELD_BY_RING);
        set(&slot, program);
        assert_true(kula__word_hand_over(&slot, program));
        expect(&slot, program, KULA__HELD_BY_RING);
        set(&slot, program);
        assert_true(kula__word_free(&slot, program));
        expect(&slot, program, KULA__HELD_BY_NOBODY);
        set(&slot, ring);
        kula__word_finish(&slot, ring);
        expect(&slot, ring, KULA__HELD_BY_EVENT);
        set(&slot, ring);
        kula__word_undo(&slot, ring);
        expect(&slot, ring, KULA__HELD_BY_NOBODY);
        set(&slot, done);
        assert_true(kula__word_take(&slot, ring) == kula__slot_word(&slot));
        expect(&slot, done, KULA__HELD_BY_PROGRAM);
        set(&slot, done);
        kula__word_recycle(&slot, ring);
        expect(&slot, done, KULA__HELD_BY_NOBODY);
    }
}

/* The two arrows that anybody can ask for, with any handle, in any state. */
static void only_the_current_handle_of_the_program_opens_a_record(void **state)
{
    (void)state;
    struct kula__slot slot = { 0 };
    for (size_t g = 0; g < GENERATIONS; g++) {
        for (uint64_t holder = 0; holder < 4; holder++) {
            uint64_t word = word_of(starts[g] + holder);
            for (uint64_t bit = 0; bit < 64; bit++) {
                uint64_t forged = word ^ (UINT64_C(1) << bit);
                set(&slot, word);
                assert_false(kula__word_hand_over(&slot, forged));
                assert_false(kula__word_free(&slot, forged));
                assert_true(kula__slot_word(&slot) == word);
            }
            for (uint64_t back = 1; back < 64; back++) {
                set(&slot, word);
                assert_false(kula__word_hand_over(&slot, word - back * KULA__STEP));
                assert_false(kula__word_free(&slot, word - back * KULA__STEP));
                assert_true(kula__slot_word(&slot) == word);
            }
        }
    }
}

/* 2^20 lives, across the place where the generation wraps: no two handles of a life are equal, and
 * the handle before is refused. */
static void generations_wrap_without_ever_accepting_the_handle_before(void **state)
{
    (void)state;
    struct kula__slot slot = { 0 };
    uint64_t lives = UINT64_C(1) << 20;
    uint64_t last = word_of((UINT64_C(1) << 40) - 1 - 2 * lives);
    while (kula__word_holder(last) != KULA__HELD_BY_NOBODY) {
        last += KULA__STEP;
    }
    set(&slot, last);
    uint64_t stale = 0;
    bool wrapped = false;
    for (uint64_t life = 0; life < lives; life++) {
        uint64_t handle = kula__word_allocate(&slot);
        assert_int_equal(kula__word_holder(handle), KULA__HELD_BY_PROGRAM);
        assert_int_equal(kula__word_index(handle), INDEX);
        assert_false(kula__word_hand_over(&slot, stale));
        assert_true(kula__word_hand_over(&slot, handle));
        uint64_t operation = kula__slot_word(&slot);
        assert_false(kula__word_hand_over(&slot, handle));
        kula__word_finish(&slot, operation);
        uint64_t home = kula__word_take(&slot, operation);
        assert_false(kula__word_free(&slot, handle));
        assert_true(kula__word_free(&slot, home));
        wrapped = wrapped || home < stale;
        stale = home;
    }
    assert_true(wrapped);
}

static void the_empty_handle_names_nothing(void **state)
{
    (void)state;
    uint32_t first = kula__chunk_take(&first);
    assert_true(first != 0);
    /* every index, with words that it could be thought to have */
    for (uint64_t index = 0; index <= KULA__INDEX_MASK; index += index < 8192 ? 1 : 4095) {
        const uint64_t words[] = { index, KULA__STEP << 8 | index, ~KULA__INDEX_MASK | index };
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            struct kula__slot *slot = kula__slot_find(words[i]);
            assert_true(slot == NULL || !kula__word_hand_over(slot, words[i]));
        }
    }
    kula__chunk_return(first);
}

static void chunks_are_given_out_once_and_again_after_they_came_back(void **state)
{
    (void)state;
    enum {
        COUNT = 40
    };
    uint32_t first[COUNT];
    int homes[COUNT];
    for (int i = 0; i < COUNT; i++) {
        first[i] = kula__chunk_take(&homes[i]);
        assert_true(first[i] >= KULA__CHUNK_SLOTS && first[i] % KULA__CHUNK_SLOTS == 0);
        for (int k = 0; k < i; k++) {
            assert_true(first[i] != first[k]);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        assert_ptr_equal(kula__slot_home(first[i]), &homes[i]);
        assert_ptr_equal(kula__slot_home(first[i] + KULA__CHUNK_SLOTS - 1), &homes[i]);
        kula__chunk_return(first[i]);
    }
    uint32_t again = kula__chunk_take(&homes[0]);
    bool known = false;
    for (int i = 0; i < COUNT; i++) {
        known = known || again == first[i];
    }
    assert_true(known);
    kula__chunk_return(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_taken_apart_as_it_was_put_together),
        cmocka_unit_test(the_first_use_makes_a_free_record_whose_handles_are_no_addresses),
        cmocka_unit_test(every_arrow_leads_where_it_should_from_every_generation),
        cmocka_unit_test(only_the_current_handle_of_the_program_opens_a_record),
        cmocka_unit_test(generations_wrap_without_ever_accepting_the_handle_before),
        cmocka_unit_test(the_empty_handle_names_nothing),
        cmocka_unit_test(chunks_are_given_out_once_and_again_after_they_came_back),
    };
    return UNIT_MAIN(tests);
}
