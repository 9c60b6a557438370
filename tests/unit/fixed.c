/* Registered memory on io_uring: that the opcodes for it are really used, by whom, and what becomes of its
 * place in the table. */
#include "unit.h"

#include "backends/uring/state.h"
#include "common/fault.h"
#include "common/pool.h"
#include "common/region.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SKIPPED 77

struct place {
    struct kula_ring *ring;
    int file;
};

static int open_place(void **state)
{
    static struct place place;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:uring";
    place.file = open(".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    *state = &place;
    return place.file >= 0 && write(place.file, "0123456789", 10) == 10 &&
                   kula_open(&config, &place.ring) == 0
               ? 0
               : -1;
}

static int close_place(void **state)
{
    struct place *place = *state;
    close(place->file);
    return kula_close(&place->ring, -1);
}

static kula_buf alloc_registered(struct kula_ring *ring, size_t size)
{
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED;
    struct kula_memory_report report;
    kula_buf buffer = kula_alloc_memory(ring, size, &memory, &report);
    assert_non_null(buffer);
    if (!(report.granted & KULA_MEMORY_REGISTERED)) {
        print_message("skipped: %s\n", report.shortfall);
        kula_free(&buffer);
        skip();
    }
    return buffer;
}

/* Reads with a buffer; how many entries named registered memory. */
static uint64_t fixed_by_reading(const struct place *place,
                                 struct kula_ring *ring,
                                 kula_buf *buffer)
{
    uint64_t before = kula__uring_state_of(ring)->fixed_count;
    kula_read(ring, place->file, buffer, 5, 2, NULL);
    struct kula_event *event;
    while (!(event = kula_next(ring))) {
        assert_true(kula_wait(ring, -1) >= 0);
    }
    assert_int_equal(event->result, 5);
    *buffer = kula_take(event);
    assert_memory_equal(kula_bytes(*buffer), "23456", 5);
    return kula__uring_state_of(ring)->fixed_count - before;
}

static void only_its_own_ring_names_the_memory(void **state)
{
    struct place *place = *state;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:uring";
    struct kula_ring *other = NULL;
    assert_int_equal(kula_open(&config, &other), 0);
    kula_buf plain = kula_alloc(place->ring, 64);
    kula_buf registered = alloc_registered(place->ring, 64);
    for (int i = 0; i < 3; i++) { /* the first read of a ring proves that it can */
        assert_int_equal(fixed_by_reading(place, place->ring, &plain), 0);
        assert_int_equal(fixed_by_reading(place, place->ring, &registered), 1);
        assert_int_equal(fixed_by_reading(place, other, &registered), 0);
    }
    assert_int_equal(kula_window(registered, 7), 0);
    assert_int_equal(fixed_by_reading(place, place->ring, &registered), 1);
    kula_free(&plain);
    kula_free(&registered);
    assert_int_equal(kula_close(&other, -1), 0);
}

static void masked_it_is_ordinary_memory(void **state)
{
    const struct place *place = *state;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:uring";
    config.mask = "feat:fixed_buffers";
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED;
    struct kula_memory_report report;
    kula_buf buffer = kula_alloc_memory(ring, 64, &memory, &report);
    assert_int_equal(report.granted, 0);
    assert_int_equal(report.error, -EOPNOTSUPP);
    assert_int_equal(fixed_by_reading(place, ring, &buffer), 0);
    kula_free(&buffer);
    assert_int_equal(kula_close(&ring, -1), 0);
}

/* What prepare.c would write for an operation on this buffer. */
static struct io_uring_sqe prepared(const struct place *place,
                                    kula_buf buffer,
                                    enum kula__operation operation)
{
    struct kula__slot *slot = kula__slot_find(kula__handle_word(buffer));
    slot->operation = (uint8_t)operation;
    slot->fd = place->file;
    slot->length = 5;
    slot->offset = 2;
    slot->attention = 0;
    struct io_uring_sqe sqe = { 0 };
    kula__uring_prepare(place->ring, slot, &sqe);
    return sqe;
}

static void the_entry_names_the_region_and_the_address_in_it(void **state)
{
    struct place *place = *state;
    kula_buf first = alloc_registered(place->ring, 64);
    kula_buf second = alloc_registered(place->ring, 64);
    kula_buf both[] = { first, second };
    uint16_t numbers[2];
    for (int i = 0; i < 2; i++) {
        struct io_uring_sqe sqe = prepared(place, both[i], KULA__OP_READ);
        assert_int_equal(sqe.opcode, IORING_OP_READ_FIXED);
        assert_int_equal(sqe.addr, (uintptr_t)kula_bytes(both[i]));
        assert_int_equal(sqe.off, 2);
        assert_int_equal(sqe.len, 5);
        numbers[i] = sqe.buf_index;
        sqe = prepared(place, both[i], KULA__OP_WRITE);
        assert_int_equal(sqe.opcode, IORING_OP_WRITE_FIXED);
        assert_int_equal(sqe.buf_index, numbers[i]);
        sqe = prepared(place, both[i], KULA__OP_RECV);
        assert_int_equal(sqe.opcode, IORING_OP_RECV);
        assert_int_equal(sqe.buf_index, 0);
    }
    assert_int_not_equal(numbers[0], numbers[1]);
    kula_free(&first);
    kula_free(&second);
}

/* The entries that are written most leave alone what lies behind user_data. */
static void no_entry_keeps_a_number_that_was_sent(void **state)
{
    struct place *place = *state;
    const struct kula__uring_state *state_of = kula__uring_state_of(place->ring);
    kula_buf keep[3]; /* so that the number is not 0 */
    for (int i = 0; i < 3; i++) {
        keep[i] = alloc_registered(place->ring, 64);
    }
    for (uint32_t i = 0; i < state_of->sq_entries + 3; i++) {
        kula_nop(place->ring, NULL);
        kula_read(place->ring, place->file, &keep[2], 5, 2, NULL);
        while (!keep[2]) {
            assert_true(kula_wait(place->ring, -1) >= 0);
            for (struct kula_event *event; (event = kula_next(place->ring));) {
                kula_buf buffer = kula_take(event);
                keep[2] = buffer ? buffer : keep[2];
            }
        }
        for (uint32_t k = 0; k < state_of->sq_entries; k++) {
            assert_int_equal(state_of->sqes[k].buf_index, 0);
        }
    }
    for (int i = 0; i < 3; i++) {
        kula_free(&keep[i]);
    }
}

static void parts_and_references_lie_in_it_too(void **state)
{
    struct place *place = *state;
    struct kula__uring_state *uring = kula__uring_state_of(place->ring);
    kula_buf whole = alloc_registered(place->ring, 8192);
    kula_buf part = kula_split(whole, 4096);
    assert_non_null(part);
    assert_int_equal(fixed_by_reading(place, place->ring, &part), 1);
    assert_int_equal(fixed_by_reading(place, place->ring, &whole), 1);
    kula_free(&whole); /* the memory stays for the part */
    assert_int_equal(fixed_by_reading(place, place->ring, &part), 1);
    kula_ref ref = kula_freeze(&part);
    kula_ref slice = kula_slice(ref, 2, 3);
    kula_drop(&ref);
    uint64_t before = uring->fixed_count;
    for (int i = 0; i < 2; i++) { /* the first write of a ring proves that it can */
        kula_ref copy = kula_clone(slice);
        kula_write(place->ring, place->file, &copy, 3, 100, NULL);
        struct kula_event *event;
        while (!(event = kula_next(place->ring))) {
            assert_true(kula_wait(place->ring, -1) >= 0);
        }
        assert_int_equal(event->result, 3);
    }
    assert_int_equal(uring->fixed_count - before, 2);
    kula_drop(&slice);
    char written[3];
    assert_int_equal(pread(place->file, written, 3, 100), 3);
    assert_memory_equal(written, "456", 3);
    while (kula_next(place->ring)) {
    }
    assert_int_equal(uring->numbers[0], 0);
}

static unsigned numbers_taken(const struct kula_ring *ring)
{
    const struct kula__uring_state *state = kula__uring_state_of(ring);
    unsigned taken = 0;
    for (size_t i = 0; i < KULA__URING_REGIONS_MAX / 64; i++) {
        taken += (unsigned)__builtin_popcountll(state->numbers[i]);
    }
    return taken;
}

static void *free_there(void *arg)
{
    kula_free((kula_buf *)arg);
    return NULL;
}

static void what_another_thread_frees_stays_known_until_the_owner_comes_by(void **state)
{
    struct place *place = *state;
    kula_buf buffer = alloc_registered(place->ring, 64);
    kula_buf other = alloc_registered(place->ring, 64);
    assert_int_equal(numbers_taken(place->ring), 2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_there, &buffer), 0);
    pthread_join(thread, NULL);
    assert_int_equal(numbers_taken(place->ring), 2);
    kula_free(&other);
    assert_int_equal(numbers_taken(place->ring), 0);
}

static void a_region_of_a_pool_stays_until_its_last_buffer_is_free(void **state)
{
    struct place *place = *state;
    kula_buf probe = alloc_registered(place->ring, 64);
    kula_free(&probe);
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 64;
    config.count = 4;
    config.memory = (struct kula_memory)KULA_MEMORY_INIT;
    config.memory.flags = KULA_MEMORY_REGISTERED;
    struct kula_pool *pool = NULL;
    assert_int_equal(kula_pool_open(place->ring, &config, &pool), 0);
    assert_int_equal(numbers_taken(place->ring), 1);
    kula_buf first = kula_pool_get(pool, 0);
    kula_buf second = kula_pool_get(pool, 0);
    assert_int_equal(kula_pool_close(&pool), 2);
    kula_free(&first);
    assert_int_equal(numbers_taken(place->ring), 1);
    assert_int_equal(fixed_by_reading(place, place->ring, &second), 1);
    kula_free(&second);
    assert_int_equal(numbers_taken(place->ring), 0);
}

static void a_group_is_registered_and_gone_with_its_pool(void **state)
{
    struct place *place = *state;
    const struct kula__uring_state *state_of = kula__uring_state_of(place->ring);
    if (!(place->ring->features & KULA__FEATURE(BUFFER_RINGS))) {
        print_message("skipped: this kernel has no buffer rings\n");
        skip();
    }
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 64;
    config.count = 8;
    config.flags = KULA_POOL_GROUP;
    struct kula_pool *pools[2] = { NULL };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kula_pool_open(place->ring, &config, &pools[i]), 0);
        struct kula_memory_report report;
        assert_int_equal(kula_pool_memory(pools[i], &report), 0);
        assert_int_equal(report.error, 0);
    }
    assert_int_equal(state_of->groups[0], 3);
    /* the kernel knows the number, and gives it up with the pool */
    assert_int_equal(kula_pool_close(&pools[0]), 0);
    assert_int_equal(state_of->groups[0], 2);
    struct io_uring *ring = &kula__uring_state_of(place->ring)->ring;
    assert_int_equal(io_uring_unregister_buf_ring(ring, 0), -ENOENT);
    assert_int_equal(kula_pool_close(&pools[1]), 0);
    assert_int_equal(state_of->groups[0], 0);
}

static void a_refusal_falls_back_and_says_why(void **state)
{
    struct place *place = *state;
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED;
    unsigned refused = 0;
    for (uint64_t nth = 1; nth < 20; nth++) {
        struct kula_memory_report report;
        kula__fault_arm(nth);
        kula_buf buffer = kula_alloc_memory(place->ring, 64, &memory, &report);
        kula__fault_disarm();
        const char *failed = kula__fault_failed();
        if (failed && strcmp(failed, "io_uring_register") == 0) {
            refused++;
            assert_non_null(buffer);
            assert_int_equal(report.error, -ENOMEM);
            assert_non_null(strstr(report.shortfall, "RLIMIT_MEMLOCK"));
            assert_int_equal(fixed_by_reading(place, place->ring, &buffer), 0);
        }
        kula_free(&buffer);
    }
    assert_int_equal(refused, 2); /* the table, and a region */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_RING(function) cmocka_unit_test_setup_teardown(function, open_place, close_place)
        WITH_RING(only_its_own_ring_names_the_memory),
        WITH_RING(masked_it_is_ordinary_memory),
        WITH_RING(the_entry_names_the_region_and_the_address_in_it),
        WITH_RING(parts_and_references_lie_in_it_too),
        WITH_RING(no_entry_keeps_a_number_that_was_sent),
        WITH_RING(what_another_thread_frees_stays_known_until_the_owner_comes_by),
        WITH_RING(a_region_of_a_pool_stays_until_its_last_buffer_is_free),
        WITH_RING(a_group_is_registered_and_gone_with_its_pool),
        WITH_RING(a_refusal_falls_back_and_says_why),
    };
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:uring";
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    if (error < 0) {
        printf("skipped: uring is refused here: %s\n", strerror(-error));
        return SKIPPED;
    }
    kula_close(&ring, -1);
    return UNIT_MAIN(tests);
}
