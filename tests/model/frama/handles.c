/* Any 64-bit value as a handle or a name, and any words in the table, for Frama-C's Eva: what a program
 * asks of a buffer, kula_cancel's way of finding an operation, and what gives a buffer away, are followed
 * with all values at once, and none of them may touch what is not the table's.
 *
 * The table is the library's own (common/slot.c), from its beginning on. A look-up reads one place in it,
 * and finds there the records that are nobody's or a slab: the first are asked in begin(), as the library
 * makes them, and have to refuse everything; in any_table() each place may have either.
 *
 * What a record points to is the library's own; here a record may say anything about its state, its kind
 * and its sizes, and has empty lists.
 */
#include "common/slot.c"

#include "common/buffer.c"

#include "common/cancel.c"

#include <__fc_builtin.h>

static struct kula__slot slab[KULA__SLAB_SLOTS];
static struct kula__cold cold_slab[KULA__SLAB_SLOTS];
static struct kula_ring ring;

static uint64_t any(void)
{
    return Frama_C_unsigned_long_long_interval(0, UINT64_MAX);
}

/* Zeroed pages, or none. slab_make() asks once for each of the two. */
void *kula__pages_new(size_t bytes, int private_to_process)
{
    (void)private_to_process;
    if (any()) {
        return NULL;
    }
    return bytes == sizeof slab ? (void *)slab : (void *)cold_slab;
}

/* What goes back has not been in the table. */
void kula__pages_free(void *pages, size_t bytes)
{
    (void)pages;
    (void)bytes;
}

/* ---- Where nothing was ever given out ------------------------------------------------------ */

static void ask(uint64_t word)
{
    kula_buf handle = kula__word_handle(word);
    kula_bytes_(handle);
    kula_capacity_(handle);
    kula_window(handle, any());
}

static void refused(uint64_t word)
{
    struct kula__slot *slot = kula__held_by_program(word);
    //@ assert no_buffer: slot == \null;
    slot = kula__operation_find(&ring, word);
    //@ assert no_operation: slot == \null;
    slot = kula__operation_done(&ring, word);
    //@ assert no_event: slot == \null;
    slot = kula__slot_find(word);
    bool accepted = kula__word_hand_over(slot, word);
    //@ assert not_handed_over: !accepted;
    accepted = kula__word_free(slot, word);
    //@ assert not_freed: !accepted;
    ask(word);
}

/* All values, in three parts: for the two that are words of such records the index counts, too. */
static void everything_refused(void)
{
    refused(0);
    refused(UINT64_MAX);
    refused(Frama_C_unsigned_long_long_interval(1, UINT64_MAX - 1));
}

static void begin(void)
{
    table_begin();
    everything_refused();
    if (kula__slots_init()) {
        //@ assert first_slab: kula__slabs[0] == &slab[0];
        everything_refused();
    } else {
        //@ assert no_memory: kula__slabs[0] == &nobody[0];
        everything_refused();
    }
}

/* ---- Any table ----------------------------------------------------------------------------- */

/* The cold ones are published first: where a slab is, the other is, too. Where none is they are not there
 * either, but those who ask for them have found a record of the program's, or of the ring's. */
static void any_table(void)
{
    //@ loop unroll 4096;
    for (uint32_t i = 0; i < KULA__SLAB_COUNT; i++) {
        kula__cold_slabs[i] = cold_slab;
    }
    for (uint32_t i = 0; i < KULA__SLAB_COUNT; i++) {
        kula__slabs[i] = any() ? slab : nobody;
    }
    for (uint32_t i = 0; i < KULA__SLAB_SLOTS; i++) {
        slab[i].word = any();
        slab[i].kind = (uint8_t)any();
        slab[i].attention = (uint16_t)any();
        slab[i].ring_id = (uint32_t)any();
        slab[i].capacity = (uint32_t)any();
        cold_slab[i].base_capacity = (uint32_t)any();
    }
    for (uint32_t i = 0; i < CHUNK_COUNT; i++) {
        chunks[i].home = any() ? &ring : NULL;
    }
    chunks_made = Frama_C_unsigned_int_interval(1, CHUNK_COUNT);
}

/* frama.py looks whether all of these are shown: ways that Eva does not go prove nothing. */
static void follow(uint64_t word)
{
    ask(word);
    if (kula__operation_find(&ring, word)) {
        Frama_C_show_each_operation();
    }
    if (kula__operation_done(&ring, word)) {
        Frama_C_show_each_event();
    }
    if (kula__held_by_program(word)) {
        Frama_C_show_each_buffer();
    }
    struct kula__slot *slot = kula__slot_find(word);
    if (kula__word_hand_over(slot, word)) {
        Frama_C_show_each_handed_over();
    }
    if (kula__word_free(slot, word)) {
        Frama_C_show_each_freed();
    }
}

int main(void)
{
    ring.id = (uint32_t)any();
    begin();
    any_table();
    follow(any());
    kula__slots_retire();
    Frama_C_show_each_end();
    return 0;
}
