/* fixed.c - memory that the kernel knows in advance: registered regions, groups to choose from.
 *
 * The table of regions is registered when the first region comes, empty: since 5.13 an entry may be
 * empty and may be replaced while operations are in flight. A region's number is its place in the
 * table, and a read or write of a buffer in it goes as READ_FIXED or WRITE_FIXED with that number, so
 * that the kernel need not look up and pin its pages. Everything else does with such a buffer what it
 * does with any other.
 *
 * A region goes when its last buffer is free. Nothing of it is in flight then, or held, so its place may
 * be given to another one at once.
 */
#include "state.h"

#include "common/region.h"
#include "common/system.h"

#include <errno.h>

static_assert(sizeof(struct io_uring_buf) == KULA__GROUP_ENTRY_BYTES, "an entry of a group");

/* The kernel takes no more as one region (6.18: -EFAULT). */
#define REGION_BYTES_MAX ((size_t)1 << 30)

/* ---- Features ------------------------------------------------------------------------------ */

/* Both questions are calls that cannot succeed, because nothing is registered yet. A kernel that knows
 * the call says so; one that does not answers -EINVAL, and a filter -EPERM, -EACCES or -ENOSYS. */
uint64_t kula__uring_memory_features(struct kula__uring_state *state)
{
    uint64_t features = 0;
    struct iovec none = { .iov_base = NULL };
    int error = kula__fault("io_uring_register", EINVAL);
    if (error == 0) {
        error = io_uring_register_buffers_update_tag(&state->ring, 0, &none, NULL, 1);
    }
    if (error == -ENXIO) {
        features |= KULA__FEATURE(FIXED_BUFFERS);
    }
    error = kula__fault("io_uring_register", EINVAL);
    if (error == 0) {
        error = io_uring_unregister_buf_ring(&state->ring, 0);
    }
    if (error == -ENOENT) {
        features |= KULA__FEATURE(BUFFER_RINGS);
    }
    return features;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

/* The lowest that is free, taken; or `max`. */
static uint32_t number_take(uint64_t *taken, uint32_t max)
{
    for (uint32_t word = 0; word < max / 64; word++) {
        if (~taken[word]) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~taken[word]);
            taken[word] |= UINT64_C(1) << bit;
            return word * 64 + bit;
        }
    }
    return max;
}

static void number_give(uint64_t *taken, uint32_t number)
{
    taken[number / 64] &= ~(UINT64_C(1) << number % 64);
}

/* ---- Regions ------------------------------------------------------------------------------- */

/* Registers an empty table. IORING_RSRC_REGISTER_SPARSE would do that without the vector, from 5.19. */
static int register_table(struct kula__uring_state *state)
{
    if (state->table_registered) {
        return 0;
    }
    struct iovec *none = kula__memory_new(KULA__URING_REGIONS_MAX * sizeof *none);
    if (!none) {
        return -ENOMEM;
    }
    int error = kula__fault("io_uring_register", ENOMEM);
    if (error == 0) {
        error =
            io_uring_register_buffers_tags(&state->ring, none, NULL, KULA__URING_REGIONS_MAX);
    }
    kula__memory_free(none);
    state->table_registered = error == 0;
    return error;
}

static int put_into_table(struct kula__uring_state *state,
                          uint32_t number,
                          const struct iovec *memory)
{
    int result = io_uring_register_buffers_update_tag(&state->ring, number, memory, NULL, 1);
    return result < 0 ? result : result == 1 ? 0 : -EFAULT;
}

static int region_comes(struct kula__uring_state *state, struct kula__region *region)
{
    if (region->pages.bytes > REGION_BYTES_MAX) {
        return -EFBIG;
    }
    int error = register_table(state);
    if (error < 0) {
        return error;
    }
    uint32_t number = number_take(state->numbers, KULA__URING_REGIONS_MAX);
    if (number == KULA__URING_REGIONS_MAX) {
        return -ENOSPC;
    }
    struct iovec memory = { .iov_base = region->pages.first, .iov_len = region->pages.bytes };
    error = kula__fault("io_uring_register", ENOMEM);
    if (error == 0) {
        error = put_into_table(state, number, &memory);
    }
    if (error < 0) {
        number_give(state->numbers, number);
        return error;
    }
    region->number = number;
    return 0;
}

static void region_goes(struct kula_ring *ring,
                        struct kula__uring_state *state,
                        const struct kula__region *region)
{
    struct iovec none = { .iov_base = NULL };
    int error = kula__fault("io_uring_register", ENOMEM);
    if (error == 0) {
        error = put_into_table(state, region->number, &none);
    }
    if (error < 0) {
        /* Its pages stay locked until the ring closes, and its number stays taken: whoever got it
         * would write to the old pages. */
        kula__log(&ring->settings, KULA_LOG_WARNING,
                  "uring: the kernel did not let go of registered memory (errno %d): %zu bytes "
                  "stay locked until the ring closes",
                  -error, region->pages.bytes);
        return;
    }
    number_give(state->numbers, region->number);
}

/* ---- Groups -------------------------------------------------------------------------------- */

static int group_comes(struct kula__uring_state *state, struct kula__region *region)
{
    uint32_t number = number_take(state->groups, KULA__URING_GROUPS_MAX);
    if (number == KULA__URING_GROUPS_MAX) {
        return -ENOSPC;
    }
    struct io_uring_buf_reg group = { .ring_addr = (uint64_t)(uintptr_t)region->group,
                                      .ring_entries = region->group_count,
                                      .bgid = (uint16_t)number };
    int error = kula__fault("io_uring_register", ENOMEM);
    if (error == 0) {
        error = io_uring_register_buf_ring(&state->ring, &group, 0);
    }
    if (error < 0) {
        number_give(state->groups, number);
        return error;
    }
    region->group_number = number;
    return 0;
}

static void group_goes(struct kula__uring_state *state, const struct kula__region *region)
{
    int error = kula__fault("io_uring_register", ENOENT);
    if (error == 0) {
        error = io_uring_unregister_buf_ring(&state->ring, (int)region->group_number);
    }
    if (error == 0) {
        number_give(state->groups, region->group_number);
    }
}

/* ---- The contract -------------------------------------------------------------------------- */

int kula__uring_memory(struct kula_ring *ring,
                       enum kula__memory_notice notice,
                       struct kula__region *region)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    switch (notice) {
    case KULA__REGION_COMES:
        return ring->features & KULA__FEATURE(FIXED_BUFFERS) ? region_comes(state, region)
                                                             : -EOPNOTSUPP;
    case KULA__REGION_GOES:
        region_goes(ring, state, region);
        return 0;
    case KULA__GROUP_COMES:
        return ring->features & KULA__FEATURE(BUFFER_RINGS) ? group_comes(state, region)
                                                            : -EOPNOTSUPP;
    case KULA__GROUP_GOES:
        group_goes(state, region);
        return 0;
    }
    return -EOPNOTSUPP;
}

/* The kernel would give the pages up by itself, but some time after the descriptor is closed, and what
 * is locked until then counts against the next ring's limit. */
void kula__uring_memory_close(struct kula__uring_state *state)
{
    if (state->table_registered) {
        (void)io_uring_unregister_buffers(&state->ring);
    }
}

/* ---- Entries ------------------------------------------------------------------------------- */

void kula__uring_use_fixed(const struct kula_ring *ring,
                           const struct kula__slot *slot,
                           struct io_uring_sqe *sqe)
{
    const struct kula__region *region = kula__region_known(ring, slot);
    if (!region) {
        return;
    }
    struct kula__uring_state *state = kula__uring_state_of(ring);
    sqe->opcode = sqe->opcode == IORING_OP_READ ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
    sqe->buf_index = (uint16_t)region->number;
    if (!state->fixed_entries) {
        state->fixed_entries = true;
        state->fixed_first = state->tail - 1; /* it is the newest */
    }
    state->fixed_count++;
}

/* The entries that are written most (queue.c) leave alone what lies behind user_data, since it is 0
 * from the beginning. */
void kula__uring_clear_fixed(struct kula__uring_state *state)
{
    uint32_t head = IO_URING_READ_ONCE(*state->sq_head);
    if ((int32_t)(head - state->fixed_first) < 0) {
        return; /* a bad entry before it has stopped the batch (before SUBMIT_ALL) */
    }
    for (; state->fixed_first != head; state->fixed_first++) {
        state->sqes[state->fixed_first & state->sq_mask].buf_index = 0;
    }
    state->fixed_entries = head != state->tail;
}
