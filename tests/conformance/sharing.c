/* References: one memory, several holders; what they show, how long it lives, when it is one's own
 * again. What rings do with them is in sharing_operations.c. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOLDERS 4

static kula_ref frozen_text(struct kula_ring *ring, const char *text)
{
    kula_buf buffer = buffer_text(ring, text);
    kula_ref ref = kula_freeze(&buffer);
    assert_true(ref != NULL && buffer == NULL);
    return ref;
}

static void assert_shows(kula_ref ref, const char *text)
{
    assert_int_equal(kula_ref_size(ref), strlen(text));
    assert_memory_equal(kula_ref_bytes(ref), text, strlen(text));
}

/* Whether a ring gives out exactly this memory for a buffer of this size: once, and no second time. */
static void assert_is_home_once(struct kula_ring *ring,
                                const unsigned char *memory,
                                size_t size)
{
    kula_buf taken[64];
    unsigned found = 0;
    for (size_t i = 0; i < 64; i++) {
        taken[i] = buffer_empty(ring, size);
        found += kula_bytes(taken[i]) == memory;
    }
    for (size_t i = 0; i < 64; i++) {
        kula_free(&taken[i]);
    }
    assert_int_equal(found, 1);
}

static void a_frozen_buffer_shows_what_the_window_showed(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf buffer = buffer_text(ring, "head:body");
    assert_int_equal(kula_window(buffer, 5), 0);
    const unsigned char *bytes = kula_bytes(buffer);
    kula_ref ref = kula_freeze(&buffer);
    assert_true(buffer == NULL);
    assert_ptr_equal(kula_ref_bytes(ref), bytes);
    assert_shows(ref, "body");
    kula_drop(&ref);
    assert_true(ref == NULL);
    kula_drop(&ref); /* nothing inside is fine */
}

static void references_are_counted(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "counted");
    assert_int_equal(kula_ref_count(root), 1);
    kula_ref clones[100];
    for (unsigned i = 0; i < 100; i++) {
        clones[i] = i % 2 ? kula_clone(clones[i - 1]) : kula_slice(root, i % 7, 1);
        assert_true(clones[i] != NULL);
        assert_int_equal(kula_ref_count(clones[i]), i + 2);
        assert_int_equal(kula_ref_count(root), i + 2);
    }
    kula_drop(&root);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(kula_ref_count(clones[i]), 100 - i);
        kula_drop(&clones[i]);
    }
}

static void a_slice_shows_its_part_and_nothing_else_is_one(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "0123456789");
    kula_ref middle = kula_slice(root, 2, 6);
    assert_shows(middle, "234567");
    assert_ptr_equal(kula_ref_bytes(middle), kula_ref_bytes(root) + 2);
    kula_ref inner = kula_slice(middle, 1, 3);
    assert_shows(inner, "345");
    kula_ref all = kula_slice(inner, 0, 3);
    assert_shows(all, "345");
    kula_ref none = kula_slice(inner, 3, 0);
    assert_true(none != NULL);
    assert_int_equal(kula_ref_size(none), 0);

    const size_t outside[][2] = { { 0, 7 },        { 6, 1 },        { 7, 0 },       { 1, 6 },
                                  { SIZE_MAX, 1 }, { 1, SIZE_MAX }, { SIZE_MAX, 2 } };
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        assert_true(kula_slice(middle, outside[i][0], outside[i][1]) == NULL);
    }
    assert_int_equal(kula_ref_count(root), 5);
    kula_ref *refs[] = { &root, &middle, &inner, &all, &none };
    for (size_t i = 0; i < 5; i++) {
        kula_drop(refs[i]);
    }
}

static void a_slice_of_a_slice_keeps_the_memory_when_all_others_are_gone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "deep down there");
    const unsigned char *memory = kula_ref_bytes(root);
    kula_ref slice = kula_slice(root, 5, 10);
    kula_drop(&root); /* the root first */
    kula_ref inner = kula_slice(slice, 5, 5);
    kula_drop(&slice);
    for (int i = 0; i < 64; i++) {
        kula_buf other = buffer_empty(ring, 15);
        memset(kula_bytes(other), '#', 15);
        assert_true(kula_bytes(other) != memory);
        kula_free(&other);
    }
    assert_shows(inner, "there");
    kula_drop(&inner);
    assert_is_home_once(ring, memory, 15);
}

static bool is_mapped(const unsigned char *memory)
{
    unsigned char resident;
    return mincore((void *)(uintptr_t)memory, 4096, &resident) == 0 || errno != ENOMEM;
}

/* Memory that a whole buffer had for itself went back to the system. Elsewhere than on Linux it comes
 * from the heap, which may keep it. */
static void assert_gone(const unsigned char *memory)
{
#if defined KULA_NO_LINUX
    (void)memory;
#else
    assert_false(is_mapped(memory));
#endif
}

static void a_large_buffer_is_unmapped_after_its_last_reference_and_not_before(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf buffer = buffer_pattern(ring, 3 << 20, 4);
    const unsigned char *memory = kula_bytes(buffer);
    kula_ref root = kula_freeze(&buffer);
    kula_ref end = kula_slice(root, (3 << 20) - 100, 100);
    kula_drop(&root);
    assert_true(is_mapped(memory));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(kula_ref_bytes(end)[i], pattern_byte((3 << 20) - 100 + i, 4));
    }
    kula_drop(&end);
    assert_gone(memory);
}

static void thawing_is_refused_while_another_reference_exists(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "shared");
    kula_ref clone = kula_clone(root);
    kula_ref slice = kula_slice(clone, 2, 2);
    kula_ref *refs[] = { &root, &clone, &slice };
    for (size_t i = 0; i < 3; i++) {
        assert_true(kula_thaw(refs[i]) == NULL);
        assert_true(*refs[i] != NULL); /* it stays whose it was */
    }
    kula_drop(&clone);
    assert_true(kula_thaw(&root) == NULL);
    assert_true(kula_thaw(&slice) == NULL);
    kula_drop(&slice);
    kula_buf buffer = kula_thaw(&root);
    assert_true(buffer != NULL && root == NULL);
    assert_memory_equal(kula_bytes(buffer), "shared", 6);
    kula_free(&buffer);
    assert_int_equal(harness_misuses(), 0);
}

static void thawing_the_last_one_gives_back_the_whole_whatever_it_showed(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const size_t sizes[] = { 20, 5000, 2 << 20 };
    for (size_t i = 0; i < 3; i++) {
        kula_buf buffer = buffer_pattern(ring, sizes[i], 9);
        const unsigned char *memory = kula_bytes(buffer);
        for (unsigned round = 0; round < 5; round++) {
            assert_int_equal(kula_window(buffer, 7), 0);
            kula_ref root = kula_freeze(&buffer);
            kula_ref slice = kula_slice(root, 3, 2);
            kula_drop(&root);
            kula_ref last = round % 2 ? kula_clone(slice) : kula_slice(slice, 1, 1);
            kula_drop(&slice);
            buffer = kula_thaw(&last);
            assert_true(buffer != NULL && last == NULL);
            assert_ptr_equal(kula_bytes(buffer), memory + 7);
            assert_int_equal(kula_capacity(buffer), sizes[i] - 7);
            assert_int_equal(kula_window(buffer, 0), 0);
            assert_int_equal(kula_capacity(buffer), sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++) {
                assert_int_equal(kula_bytes(buffer)[at], pattern_byte(at, 9));
            }
        }
        kula_free(&buffer);
        if (sizes[i] < 1 << 20) {
            assert_is_home_once(ring, memory, sizes[i]);
        }
    }
}

static void a_thawed_buffer_is_a_buffer_like_any_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("new content");
    kula_ref root = frozen_text(ring, "old content");
    kula_ref clone = kula_clone(root);
    kula_drop(&root);
    kula_buf buffer = kula_thaw(&clone);
    for (int round = 0; round < 3; round++) {
        struct outcome done = { 0 };
        kula_read(ring, fd, &buffer, 11, 0, &done);
        await(ring, &done);
        assert_read_text(&done, "new content");
        buffer = done.buffer;
        kula_ref again = kula_freeze(&buffer);
        buffer = kula_thaw(&again);
    }
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void references_outlive_the_ring_that_made_the_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 3; round++) {
        struct kula_ring *other = harness_open(0);
        kula_ref root = frozen_text(other, "heirloom");
        kula_ref early = kula_slice(root, 0, 4);
        harness_close(&other);
        kula_ref late = kula_clone(root); /* made when its home has no owner any more */
        assert_shows(early, "heir");
        assert_shows(late, "heirloom");
        kula_drop(&root);
        kula_drop(round % 2 ? &early : &late);
        kula_buf buffer = kula_thaw(round % 2 ? &late : &early);
        assert_memory_equal(kula_bytes(buffer), "heirloom", 8);
        kula_free(&buffer);
    }
    kula_nop(ring, NULL);
    await_all(ring);
}

/* ---- Threads ------------------------------------------------------------------------------ */

struct holder {
    pthread_t thread;
    kula_ref ref; /* its own */
    unsigned rounds;
    unsigned wrong;
};

static void *clone_and_drop(void *arg)
{
    struct holder *holder = arg;
    kula_ref kept[8] = { NULL };
    for (unsigned i = 0; i < holder->rounds; i++) {
        kula_ref *place = &kept[i % 8];
        if (*place) {
            holder->wrong += kula_ref_bytes(*place)[0] != 'c';
            kula_drop(place);
        }
        *place = i % 2 ? kula_clone(holder->ref) : kula_slice(holder->ref, 0, 1);
        holder->wrong += *place == NULL;
        holder->wrong += kula_thaw(place) != NULL; /* there are others */
    }
    for (size_t i = 0; i < 8; i++) {
        kula_drop(&kept[i]);
    }
    kula_drop(&holder->ref);
    return NULL;
}

static void four_threads_clone_and_drop_a_hundred_thousand_times_and_lose_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref root = frozen_text(ring, "common");
    const unsigned char *memory = kula_ref_bytes(root);
    struct holder holders[HOLDERS];
    for (unsigned i = 0; i < HOLDERS; i++) {
        holders[i] = (struct holder){ .ref = kula_clone(root), .rounds = 100000 / HOLDERS };
        assert_int_equal(pthread_create(&holders[i].thread, NULL, clone_and_drop, &holders[i]),
                         0);
    }
    for (unsigned i = 0; i < 10000; i++) { /* and the owner of the memory as well */
        kula_ref clone = kula_clone(root);
        assert_shows(clone, "common");
        kula_drop(&clone);
    }
    for (unsigned i = 0; i < HOLDERS; i++) {
        pthread_join(holders[i].thread, NULL);
        assert_int_equal(holders[i].wrong, 0);
    }
    assert_int_equal(kula_ref_count(root), 1);
    kula_buf buffer = kula_thaw(&root);
    assert_memory_equal(kula_bytes(buffer), "common", 6);
    kula_free(&buffer);
    assert_is_home_once(ring, memory, 6);
}

struct race {
    pthread_barrier_t *start;
    pthread_t thread;
    kula_ref ref;
    atomic_uint *sum;
    unsigned *thawed;
};

/* Everybody reads, then gives up his reference, or has the buffer and writes. */
static void *read_and_let_go(void *arg)
{
    struct race *race = arg;
    pthread_barrier_wait(race->start);
    atomic_fetch_add(race->sum, kula_ref_bytes(race->ref)[0]);
    kula_buf buffer = kula_thaw(&race->ref);
    if (buffer) {
        kula_bytes(buffer)[0] = 'X';
        (*race->thawed)++; /* not atomic: there is at most one */
        kula_free(&buffer);
    } else {
        kula_drop(&race->ref);
    }
    return NULL;
}

static void the_last_of_racing_holders_may_write_and_nobody_reads_what_it_wrote(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned rounds = harness_sanitized() ? 200 : 1000;
    unsigned thawed = 0;
    for (unsigned round = 0; round < rounds; round++) {
        kula_ref root = frozen_text(ring, "a");
        atomic_uint sum = 0;
        pthread_barrier_t start;
        struct race races[HOLDERS];
        assert_int_equal(pthread_barrier_init(&start, NULL, HOLDERS), 0);
        for (unsigned i = 0; i < HOLDERS; i++) {
            races[i] = (struct race){ .start = &start, .sum = &sum, .thawed = &thawed };
            races[i].ref = kula_clone(root);
        }
        kula_drop(&root);
        for (unsigned i = 0; i < HOLDERS; i++) {
            assert_int_equal(pthread_create(&races[i].thread, NULL, read_and_let_go, &races[i]),
                             0);
        }
        for (unsigned i = 0; i < HOLDERS; i++) {
            pthread_join(races[i].thread, NULL);
        }
        assert_int_equal(pthread_barrier_destroy(&start), 0);
        assert_int_equal(atomic_load(&sum), HOLDERS * 'a');
        assert_true(thawed <= round + 1);
    }
    print_message("%u of %u rounds ended in a thaw\n", thawed, rounds);
}

/* ---- What is refused ---------------------------------------------------------------------- */

static void assert_refused(struct test_context *context,
                           const char *operation,
                           const char *reason)
{
    context->misuses_expected++;
    if (harness_misuses() != context->misuses_expected) {
        fail_msg("%s: %u misuses, %u expected", operation, harness_misuses(),
                 context->misuses_expected);
    }
    if (strncmp(harness_last_misuse(), operation, strlen(operation)) != 0 ||
        !strstr(harness_last_misuse(), reason)) {
        fail_msg("\"%s\" is not about %s and \"%s\"", harness_last_misuse(), operation, reason);
    }
}

/* By way of a number, as a forged handle would come: no compiler follows that. */
static kula_buf as_buffer(kula_ref ref)
{
    return alias_of((kula_buf)(uintptr_t)ref);
}

static kula_ref as_ref(kula_buf buffer)
{
    return ref_alias_of((kula_ref)(uintptr_t)buffer);
}

static void a_reference_where_a_buffer_is_wanted_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct test_context *context = harness_context(state);
    const char *reason = "a reference (kula_ref) where a buffer";
    int fd = make_file("overwritten");
    kula_ref ref = frozen_text(ring, "read only");
    kula_buf cast = as_buffer(ref);
    assert_true(kula_read(ring, fd, &cast, 5, 0, NULL) == 0);
    assert_refused(context, "kula_read", reason);
    cast = as_buffer(ref);
    assert_true(kula_recv(ring, fd, &cast, 5, 0, NULL) == 0);
    assert_refused(context, "kula_recv", reason);
    cast = as_buffer(ref);
    assert_true(kula_write(ring, fd, &cast, 5, 0, NULL) == 0);
    assert_refused(context, "kula_write", reason);
    cast = as_buffer(ref);
    assert_null(kula_bytes(cast));
    assert_refused(context, "kula_bytes", reason);
    assert_result(kula_window(cast, 0), -EBADF);
    assert_refused(context, "kula_window", reason);
    assert_true(kula_split(cast, 1) == NULL);
    assert_refused(context, "kula_split", reason);
    kula_ref again = kula_freeze(&cast);
    assert_true(again == NULL);
    assert_refused(context, "kula_freeze", reason);
    cast = as_buffer(ref);
    assert_result(kula_post(ring, &cast, 0, NULL), -EINVAL);
    assert_refused(context, "kula_post", reason);
    kula_vec vec = kula_vec_new(ring);
    cast = as_buffer(ref);
    kula_vec_add(vec, &cast, 1);
    assert_refused(context, "kula_vec_add", reason);
    assert_int_equal(kula_vec_count(vec), 0);
    kula_vec_free(&vec);
    cast = as_buffer(ref);
    kula_free(&cast);
    assert_refused(context, "kula_free", reason);
    assert_shows(ref, "read only"); /* it is still there, and whose it was */
    assert_int_equal(kula_ref_count(ref), 1);
    kula_drop(&ref);
    assert_int_equal(kula_outstanding(ring), 0);
    retire(ring, &fd, 1);
}

static void a_buffer_where_a_reference_is_wanted_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct test_context *context = harness_context(state);
    const char *reason = "a buffer where a reference";
    int fd = make_file("");
    kula_buf buffer = buffer_text(ring, "mine");
    kula_ref cast = as_ref(buffer);
    assert_true(kula_clone(cast) == NULL);
    assert_refused(context, "kula_clone", reason);
    assert_true(kula_slice(cast, 0, 1) == NULL);
    assert_refused(context, "kula_slice", reason);
    assert_null(kula_ref_bytes(cast));
    assert_refused(context, "kula_ref_bytes", reason);
    assert_int_equal(kula_ref_size(cast), 0);
    assert_refused(context, "kula_ref_size", reason);
    assert_int_equal(kula_ref_count(cast), 0);
    assert_refused(context, "kula_ref_count", reason);
    assert_true(kula_thaw(&cast) == NULL);
    assert_refused(context, "kula_thaw", reason);
    assert_true(kula_write(ring, fd, &cast, 1, 0, NULL) == 0);
    assert_refused(context, "kula_write", reason);
    cast = as_ref(buffer);
    assert_true(kula_send(ring, fd, &cast, 1, 0, NULL) == 0);
    assert_refused(context, "kula_send", reason);
    cast = as_ref(buffer);
    assert_result(kula_post(ring, &cast, 0, NULL), -EINVAL);
    assert_refused(context, "kula_post", reason);
    cast = as_ref(buffer);
    kula_drop(&cast);
    assert_refused(context, "kula_drop", reason);
    assert_memory_equal(kula_bytes(buffer), "mine", 4);
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void a_stale_reference_is_refused_everywhere(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct test_context *context = harness_context(state);
    int fd = make_file("");
    kula_ref root = frozen_text(ring, "kept alive");
    kula_ref kept = kula_clone(root);
    kula_ref stale = ref_alias_of(root);
    kula_drop(&root);
    for (int round = 0; round < 2; round++) { /* its record waits; then it has another life */
        kula_ref alias = ref_alias_of(stale);
        kula_drop(&alias); /* once too often */
        assert_refused(context, "kula_drop", "stale copy");
        alias = ref_alias_of(stale);
        assert_true(kula_thaw(&alias) == NULL);
        assert_refused(context, "kula_thaw", "stale copy");
        assert_true(kula_clone(stale) == NULL);
        assert_refused(context, "kula_clone", "stale copy");
        assert_true(kula_slice(stale, 0, 0) == NULL);
        assert_refused(context, "kula_slice", "stale copy");
        assert_null(kula_ref_bytes(stale));
        assert_refused(context, "kula_ref_bytes", "stale copy");
        assert_int_equal(kula_ref_count(stale), 0);
        assert_refused(context, "kula_ref_count", "stale copy");
        assert_true(kula_write(ring, fd, &alias, 1, 0, NULL) == 0);
        assert_refused(context, "kula_write", "stale copy");
        alias = ref_alias_of(stale);
        assert_result(kula_post(ring, &alias, 0, NULL), -EINVAL);
        assert_refused(context, "kula_post", "stale copy");
        assert_shows(kept, "kept alive");
        assert_int_equal(kula_ref_count(kept), 1);
        kula_buf buffer = kula_thaw(&kept);
        assert_memory_equal(kula_bytes(buffer), "kept alive", 10);
        kept = kula_freeze(&buffer);
    }
    kula_drop(&kept);
    assert_int_equal(kula_outstanding(ring), 0);
    retire(ring, &fd, 1);
}

static void the_buffers_old_name_is_dead_once_it_is_frozen_and_the_references_once_thawed(
    void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct test_context *context = harness_context(state);
    kula_buf buffer = buffer_text(ring, "one name at a time");
    kula_buf old = alias_of(buffer);
    kula_ref ref = kula_freeze(&buffer);
    assert_null(kula_bytes(old));
    assert_refused(context, "kula_bytes", "stale copy");
    kula_ref old_ref = ref_alias_of(ref);
    buffer = kula_thaw(&ref);
    assert_null(kula_ref_bytes(old_ref));
    assert_refused(context, "kula_ref_bytes", "stale copy");
    assert_null(kula_bytes(old));
    assert_refused(context, "kula_bytes", "stale copy");
    kula_ref none = ref_alias_of(NULL);
    assert_true(kula_clone(none) == NULL);
    assert_refused(context, "kula_clone", "the handle is empty");
    kula_free(&buffer);
}

/* ---- Children ----------------------------------------------------------------------------- */

/* Runs in the child; the number of the first question that was answered wrong, or 0. */
static int ask_in_child(kula_ref root, kula_ref far)
{
    kula_ref refs[] = { root, far };
    for (int i = 0; i < 2; i++) {
        unsigned before = harness_misuses();
        if (kula_clone(refs[i]) != NULL || kula_slice(refs[i], 0, 1) != NULL) {
            return 1 + 10 * i;
        }
        kula_ref alias = ref_alias_of(refs[i]);
        kula_drop(&alias);
        if (harness_misuses() != before + 3) {
            return 2 + 10 * i;
        }
    }
    /* A ring of its own works, and so does sharing away from the ring's thread. */
    struct kula_ring *ring = harness_open(0);
    kula_buf buffer = kula_alloc(ring, 8);
    memset(kula_bytes(buffer), 'c', 8);
    kula_ref mine = kula_freeze(&buffer);
    struct holder holder = { .ref = kula_clone(mine), .rounds = 50 };
    if (!holder.ref || pthread_create(&holder.thread, NULL, clone_and_drop, &holder) != 0) {
        return 3;
    }
    pthread_join(holder.thread, NULL);
    if (holder.wrong != 0 || kula_ref_count(mine) != 1) {
        return 4;
    }
    kula_drop(&mine);
    return kula_close(&ring, -1) == 0 ? 0 : 5;
}

static void *clone_one(void *arg)
{
    kula_ref *refs = arg;
    refs[1] = kula_clone(refs[0]);
    return NULL;
}

static void a_child_is_refused_its_parents_references_and_may_have_its_own(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_ref refs[2] = { frozen_text(ring, "parent's"), NULL };
    pthread_t thread; /* the second record comes from the pool that threads share */
    assert_int_equal(pthread_create(&thread, NULL, clone_one, refs), 0);
    pthread_join(thread, NULL);
    assert_true(refs[1] != NULL);
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(ask_in_child(refs[0], refs[1]));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(kula_ref_count(refs[0]), 2);
    kula_drop(&refs[0]);
    kula_buf buffer = kula_thaw(&refs[1]);
    assert_memory_equal(kula_bytes(buffer), "parent's", 8);
    kula_free(&buffer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_frozen_buffer_shows_what_the_window_showed),
        PROVES(references_are_counted),
        PROVES(a_slice_shows_its_part_and_nothing_else_is_one),
        PROVES(a_slice_of_a_slice_keeps_the_memory_when_all_others_are_gone),
        PROVES(a_large_buffer_is_unmapped_after_its_last_reference_and_not_before),
        PROVES(thawing_is_refused_while_another_reference_exists),
        PROVES(thawing_the_last_one_gives_back_the_whole_whatever_it_showed),
        PROVES(a_thawed_buffer_is_a_buffer_like_any_other),
        PROVES(references_outlive_the_ring_that_made_the_buffer),
        PROVES(four_threads_clone_and_drop_a_hundred_thousand_times_and_lose_nothing),
        PROVES(the_last_of_racing_holders_may_write_and_nobody_reads_what_it_wrote),
        PROVES(a_reference_where_a_buffer_is_wanted_is_refused),
        PROVES(a_buffer_where_a_reference_is_wanted_is_refused),
        PROVES(a_stale_reference_is_refused_everywhere),
        PROVES(the_buffers_old_name_is_dead_once_it_is_frozen_and_the_references_once_thawed),
        PROVES(a_child_is_refused_its_parents_references_and_may_have_its_own),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
