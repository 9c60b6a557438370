/* Sharing and splitting against a model: random scripts, in which every handle has to show what the
 * model says at every step, and no record is left at the end. */
#include "unit.h"

#include "common/pool.h"
#include "common/ring.h"
#include "common/watch.h"

#include <string.h>

#define WHOLES      6
#define HANDLES_MAX 64
#define STEPS       200000
#define BYTES_MAX   6000u

/* One allocation. The shadow is what its bytes ought to be. */
struct whole {
    size_t size; /* 0: free */
    unsigned handles;
    unsigned char shadow[BYTES_MAX];
};

/* What the references of one frozen buffer have in common. */
struct group {
    unsigned references; /* 0: unused */
    size_t base;
    size_t capacity;
    size_t window;
};

struct handle {
    kula_buf buffer; /* one of the two */
    kula_ref ref;
    struct whole *whole;
    struct group *group; /* of a reference */
    size_t base;     /* buffer: first byte of its own, in the whole; reference: first shown */
    size_t capacity; /* from base on */
    size_t window;   /* buffer */
};

struct script {
    struct kula_ring *ring; /* NULL: closed, everything has to go on without */
    uint64_t seed;
    struct whole wholes[WHOLES];
    struct group groups[HANDLES_MAX];
    struct handle handles[HANDLES_MAX];
    unsigned count;
    unsigned thaws;
    unsigned refused_thaws;
    unsigned joins;
};

static int open_ring(void **state)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:blocking";
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    *state = ring;
    return error;
}

static int close_ring(void **state)
{
    struct kula_ring *ring = *state;
    return ring ? kula_close(&ring, -1) : 0;
}

static size_t up_to(struct script *script, size_t limit)
{
    return (size_t)(unit_random(&script->seed) % limit);
}

static struct handle *add(struct script *script, struct handle handle)
{
    assert_true(script->count < HANDLES_MAX);
    handle.whole->handles++;
    script->handles[script->count] = handle;
    return &script->handles[script->count++];
}

static void take_out(struct script *script, struct handle *handle)
{
    if (--handle->whole->handles == 0) {
        handle->whole->size = 0;
    }
    *handle = script->handles[--script->count];
}

static void check(const struct handle *handle)
{
    const unsigned char *shadow = handle->whole->shadow + handle->base + handle->window;
    size_t size = handle->capacity - handle->window;
    if (handle->buffer) {
        assert_int_equal(kula_capacity(handle->buffer), size);
        assert_memory_equal(kula_bytes(handle->buffer), shadow, size);
    } else {
        assert_int_equal(kula_ref_size(handle->ref), size);
        assert_memory_equal(kula_ref_bytes(handle->ref), shadow, size);
        assert_int_equal(kula_ref_count(handle->ref), handle->group->references);
    }
}

/* ---- What a script does ------------------------------------------------------------------- */

static void allocate(struct script *script)
{
    static const size_t sizes[] = { 1, 60, 64, 700, 4096, BYTES_MAX };
    struct whole *whole = &script->wholes[up_to(script, WHOLES)];
    if (!script->ring || whole->size > 0 || script->count == HANDLES_MAX) {
        return;
    }
    struct handle handle = { .whole = whole, .capacity = sizes[up_to(script, 6)] };
    handle.buffer = kula_alloc(script->ring, handle.capacity);
    assert_true(handle.buffer != NULL);
    whole->size = handle.capacity;
    memset(whole->shadow, (int)script->seed & 0xff, whole->size);
    memset(kula_bytes(handle.buffer), (int)script->seed & 0xff, whole->size);
    add(script, handle);
}

static void write_some(struct script *script, struct handle *handle)
{
    size_t size = handle->capacity - handle->window;
    if (handle->buffer && size > 0) {
        size_t at = up_to(script, size);
        int mark = (int)unit_random(&script->seed) & 0xff;
        memset(kula_bytes(handle->buffer) + at, mark, size - at);
        memset(handle->whole->shadow + handle->base + handle->window + at, mark, size - at);
    }
}

static void move_window(struct script *script, struct handle *handle)
{
    if (handle->buffer) {
        size_t offset = up_to(script, handle->capacity + 2);
        int error = kula_window(handle->buffer, offset);
        assert_int_equal(error, offset > handle->capacity ? -22 : 0);
        handle->window = error ? handle->window : offset;
    }
}

static void split(struct script *script, struct handle *handle)
{
    size_t size = handle->capacity - handle->window;
    if (!handle->buffer || script->count == HANDLES_MAX) {
        return;
    }
    size_t at = up_to(script, size + 1);
    kula_buf part = kula_split(handle->buffer, at);
    assert_int_equal(part != NULL, at > 0 && at < size);
    if (part) {
        size_t left = handle->window + at;
        struct handle other = { .buffer = part, .whole = handle->whole };
        other.base = handle->base + left;
        other.capacity = handle->capacity - left;
        handle->capacity = left;
        add(script, other);
    }
}

static void join(struct script *script, struct handle *first, struct handle *second)
{
    if (!first->buffer || !second->buffer) {
        return;
    }
    bool neighbours =
        first->whole == second->whole && first->base + first->capacity == second->base;
    assert_int_equal(kula_join(first->buffer, &second->buffer), neighbours ? 0 : -22);
    assert_int_equal(second->buffer == NULL, neighbours);
    if (neighbours) {
        first->capacity += second->capacity;
        script->joins++;
        take_out(script, second);
    }
}

/* The buffer that begins where another one ends, or any one. */
static struct handle *neighbour_of(struct script *script, const struct handle *handle)
{
    for (unsigned i = 0; i < script->count; i++) {
        struct handle *other = &script->handles[i];
        if (other->buffer && other->whole == handle->whole && other != handle &&
            other->base == handle->base + handle->capacity) {
            return other;
        }
    }
    return &script->handles[up_to(script, script->count)];
}

static void freeze(struct script *script, struct handle *handle)
{
    if (!handle->buffer) {
        return;
    }
    struct group *group = script->groups;
    while (group->references > 0) {
        group++;
    }
    *group = (struct group){ .references = 1, .base = handle->base };
    group->capacity = handle->capacity;
    group->window = handle->window;
    handle->group = group;
    handle->ref = kula_freeze(&handle->buffer);
    assert_true(handle->ref != NULL && handle->buffer == NULL);
    handle->base += handle->window;
    handle->capacity -= handle->window;
    handle->window = 0;
}

static void thaw(struct script *script, struct handle *handle)
{
    if (!handle->ref) {
        return;
    }
    handle->buffer = kula_thaw(&handle->ref);
    assert_int_equal(handle->buffer != NULL, handle->group->references == 1);
    assert_int_equal(handle->ref == NULL, handle->buffer != NULL);
    if (handle->buffer) {
        handle->group->references = 0;
        handle->base = handle->group->base;
        handle->capacity = handle->group->capacity;
        handle->window = handle->group->window;
        script->thaws++;
    } else {
        script->refused_thaws++;
    }
}

static void refer(struct script *script, struct handle *handle)
{
    if (!handle->ref || script->count > HANDLES_MAX / 2) { /* else there is no room to split */
        return;
    }
    struct handle other = *handle;
    size_t offset = up_to(script, handle->capacity + 1);
    size_t length = up_to(script, handle->capacity - offset + 1);
    if (script->seed & 1) {
        other.ref = kula_clone(handle->ref);
    } else {
        other.ref = kula_slice(handle->ref, offset, length);
        other.base += offset;
        other.capacity = length;
    }
    assert_true(other.ref != NULL);
    handle->group->references++;
    add(script, other);
}

static void end(struct script *script, struct handle *handle)
{
    if (handle->ref) {
        handle->group->references--;
        kula_drop(&handle->ref);
    } else {
        kula_free(&handle->buffer);
    }
    take_out(script, handle);
}

static void step(struct script *script)
{
    if (script->count == 0 || up_to(script, 16) == 0) {
        allocate(script);
    }
    if (script->count == 0) {
        return;
    }
    struct handle *handle = &script->handles[up_to(script, script->count)];
    struct handle *other = neighbour_of(script, handle);
    check(handle);
    switch (up_to(script, 9)) {
    case 0:
        write_some(script, handle);
        break;
    case 1:
        move_window(script, handle);
        break;
    case 2:
        split(script, handle);
        break;
    case 3:
    case 4:
        if (handle != other) {
            join(script, handle, other);
        }
        break;
    case 5:
        freeze(script, handle);
        break;
    case 6:
        thaw(script, handle);
        break;
    case 7:
        refer(script, handle);
        break;
    default:
        if (script->ring || up_to(script, 8) == 0) {
            end(script, handle);
        }
        break;
    }
}

static void finish(struct script *script)
{
    while (script->count > 0) {
        check(&script->handles[script->count - 1]);
        end(script, &script->handles[script->count - 1]);
    }
}

/* ---- The tests ---------------------------------------------------------------------------- */

static struct script script;

static void every_handle_shows_what_the_model_says_and_no_record_is_left(void **state)
{
    memset(&script, 0, sizeof script);
    script.ring = *state;
    script.seed = 20261122;
    for (unsigned i = 0; i < STEPS; i++) {
        step(&script);
    }
    print_message("%u joins, %u thaws, %u refused\n", script.joins, script.thaws,
                  script.refused_thaws);
    assert_true(script.joins > 500 && script.thaws > 500 && script.refused_thaws > 1000);
    finish(&script);
    assert_int_equal(kula__pool_held(script.ring->pool), 0);
}

/* The pool that threads share, by way of a reference that comes from it. */
static struct kula__pool *pool_of(kula_ref ref)
{
    return kula__slot_home(kula__word_index(kula__handle_word(ref)));
}

static void without_its_ring_all_of_it_goes_on_and_no_record_is_left(void **state)
{
    struct kula__pool *shared = NULL;
    for (uint64_t round = 0; round < 200; round++) {
        void *ring;
        assert_int_equal(open_ring(&ring), 0);
        memset(&script, 0, sizeof script);
        script.ring = ring;
        script.seed = round;
        for (unsigned i = 0; i < 400; i++) {
            allocate(&script);
        }
        close_ring(&ring);
        script.ring = NULL;
        kula_buf buffer = kula_alloc(*state, 8); /* of a ring that lives, and so has an owner */
        kula_ref own = kula_freeze(&buffer);
        kula_ref clone = kula_clone(own);
        assert_ptr_equal(pool_of(clone), pool_of(own));
        for (unsigned i = 0; i < 500; i++) {
            step(&script);
            for (unsigned h = 0; !shared && h < script.count; h++) {
                const struct handle *handle = &script.handles[h];
                if (handle->ref && handle->group->references > 1) {
                    kula_ref other = kula_clone(handle->ref); /* made without a ring */
                    shared = pool_of(other);
                    kula_drop(&other);
                }
            }
        }
        finish(&script);
        kula_drop(&own);
        kula_drop(&clone);
        assert_int_equal(kula__pool_held(((struct kula_ring *)*state)->pool), 0);
    }
    assert_non_null(shared);
    assert_int_equal(kula__pool_held(shared), 0);
}

static enum kula__kind kind_of(const void *handle)
{
    return kula__slot_find(kula__handle_word(handle))->kind;
}

static void a_buffer_on_which_nobody_depends_any_more_is_a_plain_one_again(void **state)
{
    static const struct {
        size_t size;
        enum kula__kind kind;
    } plain[] = { { 4000, KULA__KIND_BUFFER }, { 2 << 20, KULA__KIND_LARGE } };
    if (kula__watching()) {
        print_message("skipped: no buffer of checked mode is plain\n");
        skip();
    }
    for (size_t i = 0; i < 2; i++) {
        kula_buf buffer = kula_alloc(*state, plain[i].size);
        assert_int_equal(kind_of(buffer), plain[i].kind);
        kula_ref ref = kula_freeze(&buffer);
        assert_int_equal(kind_of(ref), KULA__KIND_REF);
        buffer = kula_thaw(&ref);
        assert_int_equal(kind_of(buffer), plain[i].kind);

        kula_buf part = kula_split(buffer, 10);
        assert_int_equal(kind_of(buffer), KULA__KIND_SPECIAL);
        assert_int_equal(kind_of(part), KULA__KIND_SPECIAL);
        ref = kula_freeze(&buffer);
        buffer = kula_thaw(&ref);
        assert_int_equal(kind_of(buffer), KULA__KIND_SPECIAL);
        assert_int_equal(kula_join(buffer, &part), 0);
        assert_int_equal(kind_of(buffer), plain[i].kind);

        part = kula_split(buffer, 10);
        kula_free(&part); /* what is left is alone, and smaller */
        ref = kula_freeze(&buffer);
        buffer = kula_thaw(&ref);
        assert_int_equal(kind_of(buffer), plain[i].kind);
        assert_int_equal(kula_capacity(buffer), 10);
        kula_free(&buffer);
        assert_int_equal(kula__pool_held(((struct kula_ring *)*state)->pool), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            every_handle_shows_what_the_model_says_and_no_record_is_left, open_ring,
            close_ring),
        cmocka_unit_test_setup_teardown(
            without_its_ring_all_of_it_goes_on_and_no_record_is_left, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(
            a_buffer_on_which_nobody_depends_any_more_is_a_plain_one_again, open_ring,
            close_ring),
    };
    return UNIT_MAIN(tests);
}
