/* Any 64-bit value as a handle or a name, and any words in the table, for Frama-C's Eva: what a program
 * asks of a buffer, and kula_cancel's way of finding an operation, are followed with all values at once,
 * and none of them may touch what is not the table's.
 *
 * A slab of the table may be there or not. What a record points to is the library's own; here a record
 * may say anything about its state, its kind and its sizes, and has empty lists.
 */
#include "common/buffer.c"

#include "common/cancel.c"

#include <__fc_builtin.h>

static struct kula__slot slab[KULA__SLAB_SLOTS];
static struct kula__cold cold_slab[KULA__SLAB_SLOTS];

/* The cold ones are published first: where a slab is, the other is, too. */
struct kula__slot *_Atomic kula__slabs[KULA__SLAB_COUNT];
struct kula__cold *_Atomic kula__cold_slabs[KULA__SLAB_COUNT] = {
    [0 ... KULA__SLAB_COUNT - 1] = cold_slab,
};
static struct kula_ring ring;

static uint64_t any(void)
{
    return Frama_C_unsigned_long_long_interval(0, UINT64_MAX);
}

static void make_table(void)
{
    for (uint32_t i = 0; i < KULA__SLAB_COUNT; i++) {
        kula__slabs[i] = any() ? slab : NULL;
    }
    for (uint32_t i = 0; i < KULA__SLAB_SLOTS; i++) {
        slab[i].word = any();
        slab[i].kind = (uint8_t)any();
        slab[i].attention = (uint16_t)any();
        slab[i].ring_id = (uint32_t)any();
        slab[i].capacity = (uint32_t)any();
        cold_slab[i].base_capacity = (uint32_t)any();
    }
}

int main(void)
{
    make_table();
    kula_buf handle = kula__word_handle(any());
    kula_bytes_(handle);
    kula_capacity_(handle);
    ring.id = (uint32_t)any();
    kula__operation_find(&ring, any());
    kula__operation_done(&ring, any());
    return 0;
}
