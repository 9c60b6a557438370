/* Any 64-bit value is a safe thing to hand in: it names a live buffer of the program, or it is
 * refused. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>

static uint64_t next_random(uint64_t *seed)
{
    /* splitmix64 */
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Values near real ones are the interesting ones: same index, other generation; other index, same
 * generation; single bits turned over. */
static uint64_t forge(uint64_t *seed, uint64_t model, int way)
{
    uint64_t random = next_random(seed);
    switch (way % 6) {
    case 0:
        return random;
    case 1:
        return model ^ (UINT64_C(1) << (random % 64));
    case 2:
        return (model & 0xffffff) | (random & ~UINT64_C(0xffffff));
    case 3:
        return (model & ~UINT64_C(0xffffff)) | (random & 0xffffff);
    case 4:
        return random >> (random % 64);
    default:
        return model + random % 4096 - 2048;
    }
}

static unsigned rounds(void)
{
    return harness_sanitized() ? 100000 : 1000000;
}

static void random_values_are_refused_as_buffers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome pending = { 0 };
    kula_buf away = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &away, 8, KULA_CUR, &pending);
    assert_pending(ring, &pending);
    kula_buf mine = buffer_text(ring, "mine");
    uint64_t name = (uint64_t)(uintptr_t)mine;
    uint64_t seed = 2024;
    unsigned refused = 0;
    for (unsigned i = 0; i < rounds(); i++) {
        uint64_t value = forge(&seed, name, (int)(i % 6));
        if (value == name || value == 0) {
            continue;
        }
        kula_buf forged = alias_of((kula_buf)(uintptr_t)value);
        if (kula_bytes(forged) != NULL) {
            fail_msg("%#llx was taken for a buffer", (unsigned long long)value);
        }
        refused++;
        if (i % 16 == 0) {
            assert_int_equal(kula_capacity(forged), 0);
            assert_result(kula_window(forged, 0), -EBADF);
            assert_true(kula_write(ring, fds[1], &forged, 1, KULA_CUR, NULL) == 0);
            forged = alias_of((kula_buf)(uintptr_t)value);
            kula_free(&forged);
            refused += 4;
        }
    }
    assert_int_equal(harness_misuses(), refused);
    harness_context(state)->misuses_expected = refused;
    assert_memory_equal(kula_bytes(mine), "mine", 4);
    put(fds[1], "untouched");
    await(ring, &pending);
    assert_read_text(&pending, "untouche");
    outcome_release(&pending);
    kula_free(&mine);
    retire(ring, fds, 2);
}

static void random_values_are_refused_as_vecs(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_vec vec = kula_vec_new(ring);
    kula_buf buffer = buffer_text(ring, "mine");
    kula_vec_add(vec, &buffer, 4);
    kula_buf bare = buffer_text(ring, "bare");
    uint64_t name = (uint64_t)(uintptr_t)vec;
    uint64_t seed = 7;
    unsigned refused = 0;
    for (unsigned i = 0; i < rounds() / 4; i++) {
        uint64_t value = i == 0 ? (uint64_t)(uintptr_t)bare : forge(&seed, name, (int)(i % 6));
        if (value == name || value == 0) {
            continue;
        }
        kula_vec forged = (kula_vec)(void *)alias_of((kula_buf)(uintptr_t)value);
        assert_int_equal(kula_vec_count(forged), 0);
        refused++;
        if (i % 16 == 0) {
            assert_true(kula_writev(ring, 1, &forged, KULA_CUR, NULL) == 0);
            forged = (kula_vec)(void *)alias_of((kula_buf)(uintptr_t)value);
            kula_vec_free(&forged);
            refused += 2;
        }
    }
    assert_int_equal(harness_misuses(), refused);
    harness_context(state)->misuses_expected = refused;
    assert_int_equal(kula_vec_count(vec), 1);
    assert_memory_equal(kula_bytes(bare), "bare", 4);
    kula_vec_free(&vec);
    kula_free(&bare);
}

static void random_values_match_no_operation(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome read = { 0 };
    struct outcome timer = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op names[2];
    names[0] = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &read);
    names[1] = kula_timer(ring, 3600 * KULA_SECOND, &timer);
    assert_pending(ring, &read);
    kula_buf mine = buffer_text(ring, "mine");
    uint64_t seed = 11;
    for (unsigned i = 0; i < rounds(); i++) {
        kula_op value = forge(&seed, names[i % 2], (int)(i % 6));
        if (i == 0) {
            value = (uint64_t)(uintptr_t)mine; /* a buffer's name is no operation either */
        }
        if (value == names[0] || value == names[1]) {
            continue;
        }
        int said = i % 2 ? kula_cancel(ring, value) : kula_detach(ring, value);
        if (said != -ENOENT) {
            fail_msg("%#llx was taken for an operation: %d", (unsigned long long)value, said);
        }
    }
    assert_pending(ring, &read);
    assert_int_equal(timer.events, 0);
    assert_int_equal(kula_outstanding(ring), 2);
    kula_cancel_all(ring);
    await_all(ring);
    outcome_release(&read);
    kula_free(&mine);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(random_values_are_refused_as_buffers),
        PROVES(random_values_are_refused_as_vecs),
        PROVES(random_values_match_no_operation),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
