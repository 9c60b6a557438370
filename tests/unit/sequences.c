/* Every sequence of 20 events on one record, and on two whose handles are mixed up, over the functions
 * of the state word, compared step by step with a second opinion.
 *
 * What a function of the word does depends on the word and on the handle that it is given, and on
 * nothing else. So two sequences that have led to the same word go on in the same way, and it is
 * enough to look at each word once for each length: the sequences are counted, not walked. The
 * second opinion is a table of rules over pairs of index and generation; it knows no bits.
 */
#include "unit.h"

#include "common/slot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH       20
#define GENERATIONS (UINT64_C(1) << 40)
#define BACK        9 /* generations before the current one that are tried as a handle: two lives */
#define AHEAD       4 /* and after it: forged ones */

/* ---- The second opinion ------------------------------------------------------------------------ */

enum state {
    FREE,
    WITH_PROGRAM,
    IN_FLIGHT,
    DONE,
};

enum event {
    ALLOCATE,
    START,
    HAND_OVER,
    GIVE_UP, /* kula_free */
    FINISH,
    TAKE,
    RECYCLE,
    UNDO,
    HAND_BACK,
    EVENTS,
};

struct opinion {
    enum state state;
    uint64_t generation; /* below GENERATIONS */
    bool buffer;         /* it was handed over, and not started */
};

struct rule {
    const char *name;
    enum state from;
    enum state to;
    int changes;  /* of the generation */
    bool by_hand; /* a handle says which record, and is refused if it is not the current one */
    bool buffers_only;
};

static const struct rule rules[EVENTS] = {
    [ALLOCATE] = { "allocate", FREE, WITH_PROGRAM, 1, false, false },
    [START] = { "start", FREE, IN_FLIGHT, 2, false, false },
    [HAND_OVER] = { "hand over", WITH_PROGRAM, IN_FLIGHT, 1, true, false },
    [GIVE_UP] = { "free", WITH_PROGRAM, FREE, 3, true, false },
    [FINISH] = { "finish", IN_FLIGHT, DONE, 1, false, false },
    [TAKE] = { "take", DONE, WITH_PROGRAM, 2, false, true },
    [RECYCLE] = { "recycle", DONE, FREE, 1, false, false },
    [UNDO] = { "undo", IN_FLIGHT, FREE, 2, false, true },
    [HAND_BACK] = { "hand back", IN_FLIGHT, WITH_PROGRAM, -1, false, true },
};

/* Whether the event may be: by hand only with the generation that is current. */
static bool is_allowed(const struct opinion *opinion, enum event event, uint64_t generation)
{
    const struct rule *rule = &rules[event];
    return opinion->state == rule->from && (!rule->buffers_only || opinion->buffer) &&
           (!rule->by_hand || generation == opinion->generation);
}

static struct opinion after(struct opinion opinion, enum event event)
{
    const struct rule *rule = &rules[event];
    opinion.state = rule->to;
    opinion.generation =
        (opinion.generation + GENERATIONS + (uint64_t)(int64_t)rule->changes) % GENERATIONS;
    if (event == START || event == HAND_OVER) {
        opinion.buffer = event == HAND_OVER;
    } else if (rule->to == FREE || rule->to == WITH_PROGRAM) {
        opinion.buffer = false;
    }
    return opinion;
}

/* ---- The functions ------------------------------------------------------------------------------ */

/* Does it; false if it was refused. `handle` is what a program would give; the rest of the library
 * only calls the others with the record's own word. */
static bool perform(struct kula__slot *slot, enum event event, uint64_t handle)
{
    uint64_t word = kula__slot_word(slot);
    switch (event) {
    case ALLOCATE:
        return kula__word_allocate(slot) == kula__slot_word(slot);
    case START:
        return kula__word_start(slot) == kula__slot_word(slot);
    case HAND_OVER: /* as kula__hand_over asks */
        return kula__word_holder(handle) == KULA__HELD_BY_PROGRAM &&
               kula__word_hand_over(slot, handle);
    case GIVE_UP: /* as kula__handle_free asks */
        return kula__word_holder(handle) == KULA__HELD_BY_PROGRAM &&
               kula__word_free(slot, handle);
    case FINISH:
        kula__word_finish(slot, word);
        return true;
    case TAKE:
        return kula__word_take(slot, word - KULA__STEP) == kula__slot_word(slot);
    case RECYCLE:
        kula__word_recycle(slot, word - KULA__STEP);
        return true;
    case UNDO:
        kula__word_undo(slot, word);
        return true;
    case HAND_BACK:
        kula__word_hand_back(slot, word - KULA__STEP);
        return true;
    case EVENTS:
        break;
    }
    return false;
}

/* ---- All sequences ------------------------------------------------------------------------------ */

#define RECORDS    2
#define NODES_MAX  200000
#define TABLE_SIZE (1u << 19)

/* Where a sequence can lead, and how many sequences of this length lead there. */
struct node {
    struct opinion opinion[RECORDS];
    uint64_t word[RECORDS];
    long double sequences;
};

struct layer {
    struct node *nodes;
    uint32_t *table; /* number of the node + 1, by a hash of its words */
    uint32_t count;
};

struct walk {
    struct kula__slot *slot[RECORDS];
    uint32_t records;
    struct layer now;
    struct layer next;
    uint64_t calls;
    uint64_t refused;
};

static void layer_clear(struct layer *layer)
{
    memset(layer->table, 0, TABLE_SIZE * sizeof *layer->table);
    layer->count = 0;
}

static struct layer layer_new(void)
{
    struct layer layer = { 0 };
    layer.nodes = malloc(NODES_MAX * sizeof *layer.nodes);
    layer.table = malloc(TABLE_SIZE * sizeof *layer.table);
    assert_true(layer.nodes && layer.table);
    layer_clear(&layer);
    return layer;
}

static bool is_same(const struct node *one, const struct node *other, uint32_t records)
{
    for (uint32_t r = 0; r < records; r++) {
        if (one->word[r] != other->word[r] ||
            one->opinion[r].buffer != other->opinion[r].buffer) {
            return false;
        }
        /* equal words, different opinions: one of them is wrong */
        assert_int_equal(one->opinion[r].state, other->opinion[r].state);
        assert_true(one->opinion[r].generation == other->opinion[r].generation);
    }
    return true;
}

static void reach(struct layer *layer, const struct node *node, uint32_t records)
{
    uint64_t seed = node->word[0] ^ (node->word[1] << 1) ^ node->opinion[0].buffer;
    uint32_t at = (uint32_t)unit_random(&seed) % TABLE_SIZE;
    while (layer->table[at]) {
        struct node *known = &layer->nodes[layer->table[at] - 1];
        if (is_same(known, node, records)) {
            known->sequences += node->sequences;
            return;
        }
        at = (at + 1) % TABLE_SIZE;
    }
    assert_true(layer->count < NODES_MAX);
    layer->nodes[layer->count] = *node;
    layer->table[at] = ++layer->count;
}

static void set_words(const struct walk *walk, const struct node *node)
{
    for (uint32_t r = 0; r < walk->records; r++) {
        atomic_store(&walk->slot[r]->word, node->word[r]);
    }
}

/* One event in one place, with one handle; what became of all records is compared. */
static void try_event(struct walk *walk,
                      const struct node *node,
                      uint32_t record,
                      enum event event,
                      uint64_t generation)
{
    uint32_t index = kula__word_index(node->word[record]);
    uint64_t handle = generation << KULA__INDEX_BITS | index;
    struct node reached = *node;
    bool allowed = is_allowed(&node->opinion[record], event, generation);
    if (allowed) {
        reached.opinion[record] = after(node->opinion[record], event);
    }
    set_words(walk, node);
    struct kula__slot *slot =
        rules[event].by_hand ? kula__slot_find(handle) : walk->slot[record];
    assert_ptr_equal(slot, walk->slot[record]);
    bool accepted = perform(slot, event, handle);
    walk->calls++;
    walk->refused += !accepted;
    if (accepted != allowed) {
        fail_msg("%s in state %d: %s", rules[event].name, node->opinion[record].state,
                 accepted ? "accepted" : "refused");
    }
    for (uint32_t r = 0; r < walk->records; r++) {
        reached.word[r] = kula__slot_word(walk->slot[r]);
        assert_true(kula__word_generation(reached.word[r]) == reached.opinion[r].generation);
        assert_int_equal(kula__word_index(reached.word[r]), kula__word_index(node->word[r]));
        static const enum kula__holder holders[] = {
            [FREE] = KULA__HELD_BY_NOBODY,
            [WITH_PROGRAM] = KULA__HELD_BY_PROGRAM,
            [IN_FLIGHT] = KULA__HELD_BY_RING,
            [DONE] = KULA__HELD_BY_EVENT,
        };
        assert_int_equal(kula__word_holder(reached.word[r]), holders[reached.opinion[r].state]);
    }
    reach(&walk->next, &reached, walk->records);
}

static void try_all(struct walk *walk, const struct node *node, uint32_t record)
{
    uint64_t current = node->opinion[record].generation;
    for (enum event event = 0; event < EVENTS; event++) {
        if (!rules[event].by_hand) {
            if (is_allowed(&node->opinion[record], event, current)) {
                try_event(walk, node, record, event, current);
            }
            continue;
        }
        for (uint64_t generation = current + GENERATIONS - BACK;
             generation <= current + GENERATIONS + AHEAD; generation++) {
            try_event(walk, node, record, event, generation % GENERATIONS);
        }
    }
}

static void walk_from(uint32_t records, uint64_t generation)
{
    struct walk walk = { .records = records, .now = layer_new(), .next = layer_new() };
    uint32_t first = kula__chunk_take(&walk);
    assert_true(first != 0);
    struct node start = { .sequences = 1 };
    for (uint32_t r = 0; r < records; r++) {
        walk.slot[r] = kula__slot_at(first + r);
        start.opinion[r] = (struct opinion){ FREE, generation, false };
        start.word[r] = generation << KULA__INDEX_BITS | (first + r);
    }
    reach(&walk.now, &start, records);
    uint64_t words = 0;
    for (int length = 0; length < DEPTH; length++) {
        for (uint32_t n = 0; n < walk.now.count; n++) {
            for (uint32_t r = 0; r < records; r++) {
                try_all(&walk, &walk.now.nodes[n], r);
            }
        }
        words += walk.now.count;
        struct layer done = walk.now;
        walk.now = walk.next;
        walk.next = done;
        layer_clear(&walk.next);
    }
    long double sequences = 0;
    for (uint32_t n = 0; n < walk.now.count; n++) {
        sequences += walk.now.nodes[n].sequences;
    }
    print_message(
        "%u record(s) from generation %#llx: 10^%.1Lf sequences of %d events, %llu places, "
        "%llu calls, %llu of them refused\n",
        records, (unsigned long long)generation, log10l(sequences), DEPTH,
        (unsigned long long)words, (unsigned long long)walk.calls,
        (unsigned long long)walk.refused);
    assert_true(walk.refused > 0 && walk.refused < walk.calls);
    for (uint32_t r = 0; r < records; r++) {
        atomic_store(&walk.slot[r]->word, start.word[r]); /* free, as its chunk has to be */
    }
    kula__chunk_return(first);
    free(walk.now.nodes);
    free(walk.now.table);
    free(walk.next.nodes);
    free(walk.next.table);
}

static void one_record_keeps_the_rules_in_every_sequence(void **state)
{
    (void)state;
    walk_from(1, (UINT64_C(1) << 39) + 3);
}

static void one_record_keeps_the_rules_where_its_generation_wraps(void **state)
{
    (void)state;
    for (uint64_t left = 1; left < 60; left += 4) {
        walk_from(1, GENERATIONS - left);
    }
}

static void two_records_keep_the_rules_whichever_is_named(void **state)
{
    (void)state;
    walk_from(2, (UINT64_C(1) << 39) + 3);
}

int main(void)
{
    if (!kula__slots_init()) {
        return EXIT_FAILURE;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_record_keeps_the_rules_in_every_sequence),
        cmocka_unit_test(one_record_keeps_the_rules_where_its_generation_wraps),
        cmocka_unit_test(two_records_keep_the_rules_whichever_is_named),
    };
    return UNIT_MAIN(tests);
}
