/* Every system call and allocation fails once while special memory is made, pools are opened and grow,
 * and files are asked how they want to be read. Either it works, or it says so and leaves nothing. */
#include "common/fault.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASSAGES_MAX 500

static void expect_usable(struct kula_ring *ring, kula_buf *buffer)
{
    int fd = make_file("works");
    struct outcome done = { 0 };
    kula_read(ring, fd, buffer, 5, 0, &done);
    await(ring, &done);
    assert_read_text(&done, "works");
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static bool says_clearly(const struct kula_memory_report *report)
{
    return report->error < 0 && report->error > -4096 && report->shortfall[0] != '\0';
}

static void each_call_for_special_memory_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    for (uint32_t flags = 0; flags < 16; flags++) {
        struct kula_memory memory = KULA_MEMORY_INIT;
        memory.flags = flags;
        memory.alignment = 1 << 16;
        uint64_t nth = 1;
        const char *failed;
        do {
            struct kula_ring *ring = harness_open(0);
            struct kula_memory_report report;
            kula__fault_arm(nth);
            kula_buf buffer = kula_alloc_memory(ring, 10000, &memory, &report);
            kula__fault_disarm();
            failed = kula__fault_failed();
            assert_true(report.granted == flags || says_clearly(&report));
            if (buffer) {
                assert_int_equal((uintptr_t)kula_bytes(buffer) % (1 << 16), 0);
                expect_usable(ring, &buffer);
            } else {
                assert_non_null(failed);
                assert_int_equal(report.error, -ENOMEM);
            }
            harness_close(&ring);
            assert_true(nth++ < PASSAGES_MAX);
        } while (failed);
    }
}

/* Freeing must not fail, whatever the system says: the memory is given up, or kept and told. */
static void each_call_for_giving_special_memory_back_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED | KULA_MEMORY_WIPE;
    uint64_t nth = 1;
    const char *failed;
    do {
        struct kula_ring *ring = harness_open(0);
        kula_buf first = kula_alloc_memory(ring, 10000, &memory, NULL);
        assert_non_null(first);
        kula__fault_arm(nth);
        kula_free(&first);
        kula__fault_disarm();
        failed = kula__fault_failed();
        kula_buf second = kula_alloc_memory(ring, 10000, &memory, NULL);
        assert_non_null(second);
        expect_usable(ring, &second);
        harness_close(&ring);
        assert_true(nth++ < PASSAGES_MAX);
    } while (failed);
}

static const char *try_pool(uint64_t nth, bool shared, uint32_t flags, uint32_t wishes)
{
    struct kula_ring *ring = harness_open(0);
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 1000;
    config.count = 4;
    config.count_max = flags & KULA_POOL_GROUP ? 4 : 9;
    config.flags = flags;
    config.memory = (struct kula_memory)KULA_MEMORY_INIT;
    config.memory.flags = wishes;
    struct kula_pool *pool = NULL;
    kula_buf held[9] = { NULL };
    kula__fault_arm(nth);
    int error = kula_pool_open(shared ? NULL : ring, &config, &pool);
    for (uint32_t i = 0; error == 0 && i < config.count_max; i++) {
        held[i] = kula_pool_get(pool, 0);
    }
    kula__fault_disarm();
    const char *failed = kula__fault_failed();
    if (error < 0) {
        assert_non_null(failed);
        assert_result(error, -ENOMEM);
        assert_null(pool);
        harness_close(&ring);
        return failed;
    }
    struct kula_pool_statistics found;
    assert_int_equal(kula_pool_describe(pool, &found), 0);
    assert_int_equal(found.free + found.held, found.capacity);
    assert_int_equal(found.held + found.failures, config.count_max);
    assert_true(failed || found.failures == 0);
    for (uint32_t i = 0; i < config.count_max; i++) {
        if (!held[i]) { /* memory was short for a moment: now there is some */
            held[i] = kula_pool_get(pool, 0);
            assert_non_null(held[i]);
        }
        expect_usable(ring, &held[i]);
    }
    assert_int_equal(kula_pool_close(&pool), 0);
    harness_close(&ring);
    return failed;
}

static void each_call_for_a_pool_may_fail(void **state)
{
    harness_context(state)->warnings_expected = true;
    unsigned before = harness_fd_count();
    for (int kind = 0; kind < 4; kind++) {
        uint64_t nth = 1;
        while (try_pool(nth, kind == 1, kind == 2 ? KULA_POOL_GROUP : 0,
                        kind == 3 ? KULA_MEMORY_REGISTERED | KULA_MEMORY_HUGE : 0)) {
            assert_true(nth++ < PASSAGES_MAX);
            assert_int_equal(harness_fd_count(), before);
        }
        print_message("pool %d: %u calls\n", kind, (unsigned)nth - 1);
    }
}

static void count_release(void *arg, void *memory, size_t size)
{
    (void)memory;
    (void)size;
    ++*(unsigned *)arg;
}

static void vouching_fails_without_a_trace(void **state)
{
    (void)state;
    static unsigned char memory[100];
    uint64_t nth = 1;
    const char *failed;
    do {
        unsigned released = 0;
        struct kula_ring *ring = harness_open(0);
        kula__fault_arm(nth);
        kula_buf buffer = kula_vouch(ring, memory, sizeof memory, count_release, &released);
        kula__fault_disarm();
        failed = kula__fault_failed();
        assert_true(buffer || failed);
        assert_int_equal(released, 0);
        bool given = buffer != NULL;
        kula_free(&buffer);
        assert_int_equal(released, given);
        harness_close(&ring);
        assert_true(nth++ < PASSAGES_MAX);
    } while (failed);
    assert_true(nth > 2);
}

/* ---- O_DIRECT -------------------------------------------------------------------------------- */

/* The answer when the call named `point` fails, or 1 when no call has that name. */
static int answer_without(int fd, const char *point, struct kula_direct *ret_direct)
{
    for (uint64_t nth = 1; nth < PASSAGES_MAX; nth++) {
        kula__fault_arm(nth);
        int answer = kula_direct_alignment(fd, ret_direct);
        kula__fault_disarm();
        const char *failed = kula__fault_failed();
        if (!failed) {
            return 1;
        }
        if (strcmp(failed, point) == 0) {
            return answer;
        }
        assert_true(answer <= 0);
    }
    return 1;
}

static void trying_finds_what_the_kernel_says(void **state)
{
    (void)state;
    static char content[100000];
    memset(content, 'c', sizeof content - 1);
    int fd = make_file(content);
    struct kula_direct told;
    struct kula_direct found;
    if (kula_direct_alignment(fd, &told) != 0 || told.source != KULA_DIRECT_FROM_KERNEL) {
        close(fd);
        SKIP_BECAUSE("this kernel does not say how this file is to be read");
    }
    int error = answer_without(fd, "statx", &found);
    if (access("/proc/self/fd", F_OK) < 0) { /* nor any way to open the file once more */
        close(fd);
        assert_result(error, -EACCES);
        return;
    }
    assert_int_equal(error, 0);
    print_message("told %u and %u, found %u and %u\n", told.memory_alignment,
                  told.offset_alignment, found.memory_alignment, found.offset_alignment);
    assert_int_equal(found.source, KULA_DIRECT_FROM_PROBE);
    /* the kernel may ask for more than it needs, never for less */
    assert_true(found.memory_alignment <= told.memory_alignment);
    assert_true(found.offset_alignment <= told.offset_alignment);
    /* and it holds where it shows: in a transfer over several pages */
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    static unsigned char memory[4 * 65536];
    unsigned char *aligned = memory + (-(uintptr_t)memory & 0xffff) + found.memory_alignment;
    if (direct >= 0) {
        assert_int_equal(pread(direct, aligned, 65536, found.offset_alignment), 65536);
        assert_int_equal(aligned[65535], 'c');
        close(direct);
    }
    close(fd);
}

static void without_proc_only_a_direct_descriptor_can_be_tried(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/kula-faults-%ld", (long)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int direct = fd < 0 ? -1 : open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    struct kula_direct found = { 0 };
    bool tried = direct >= 0 && write(fd, "content", 7) == 7 &&
                 kula_direct_alignment(fd, &found) == 0 &&
                 found.source == KULA_DIRECT_FROM_PROBE;
    if (tried) {
        assert_result(answer_without(fd, "open", &found), -EACCES);
        assert_result(answer_without(direct, "open", &found), 0);
        assert_result(answer_without(fd, "pread", &found), -EIO);
        assert_result(answer_without(fd, "mmap", &found), -ENOMEM);
    }
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    if (direct >= 0) {
        close(direct);
    }
    if (!tried) {
        SKIP_BECAUSE("no file that can be opened with O_DIRECT and has to be tried");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(each_call_for_special_memory_may_fail),
        PROVES(each_call_for_giving_special_memory_back_may_fail),
        PROVES(each_call_for_a_pool_may_fail),
        PROVES(vouching_fails_without_a_trace),
        PROVES(trying_finds_what_the_kernel_says),
        PROVES(without_proc_only_a_direct_descriptor_can_be_tried),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
