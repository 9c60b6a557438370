/* Memory with a wish: what is granted is true, what is not is said, and all of it can be used. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined __linux__
#    include <sys/prctl.h>
#    include <sys/syscall.h>
#endif

static kula_buf alloc_with(struct kula_ring *ring,
                           size_t size,
                           size_t alignment,
                           uint32_t flags,
                           int32_t node,
                           struct kula_memory_report *report)
{
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.alignment = alignment;
    memory.flags = flags;
    memory.node = node;
    memset(report, 0xee, sizeof *report);
    return kula_alloc_memory(ring, size, &memory, report);
}

/* Writes a buffer to a file and reads it back, in pieces that end where the buffer does. */
static void expect_usable(struct kula_ring *ring, kula_buf *buffer, unsigned seed)
{
    size_t size = kula_capacity(*buffer);
    unsigned char *bytes = kula_bytes(*buffer);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern_byte(i, seed);
    }
    int fd = make_file("");
    struct outcome written = { 0 };
    kula_write(ring, fd, buffer, size, 0, &written);
    await(ring, &written);
    assert_result(written.result, (int64_t)size);
    memset(kula_bytes(written.buffer), 0, size);
    struct outcome got = { 0 };
    kula_read(ring, fd, &written.buffer, size, 0, &got);
    await(ring, &got);
    assert_result(got.result, (int64_t)size);
    *buffer = got.buffer;
    bytes = kula_bytes(*buffer);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern_byte(i, seed)) {
            fail_msg("byte %zu of %zu is not what was written", i, size);
        }
    }
    retire(ring, &fd, 1);
}

static void any_power_of_two_is_an_alignment(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static const size_t sizes[] = { 1, 100, 5000, 100000 };
    for (unsigned power = 0; power <= 24; power++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct kula_memory_report report;
            size_t alignment = (size_t)1 << power;
            kula_buf buffer = alloc_with(ring, sizes[i], alignment, 0, 0, &report);
            assert_non_null(buffer);
            assert_int_equal((uintptr_t)kula_bytes(buffer) % alignment, 0);
            assert_int_equal((uintptr_t)kula_bytes(buffer) % report.alignment, 0);
            assert_true(report.alignment >= alignment);
            assert_int_equal(kula_capacity(buffer), sizes[i]);
            assert_int_equal(report.error, 0);
            assert_int_equal(report.granted, 0);
            assert_string_equal(report.shortfall, "");
            memset(kula_bytes(buffer), (int)power, sizes[i]);
            kula_free(&buffer);
        }
    }
    struct kula_memory_report report;
    kula_buf buffer = alloc_with(ring, 4096, (size_t)1 << 21, 0, 0, &report);
    expect_usable(ring, &buffer, 1);
    kula_free(&buffer);
}

static void a_gibibyte_is_an_alignment_where_there_is_room(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    kula_buf buffer = alloc_with(ring, 100, (size_t)1 << 30, 0, 0, &report);
    if (!buffer) {
        assert_int_equal(report.error, -ENOMEM);
        SKIP_BECAUSE("no room for 1 GiB of addresses");
    }
    assert_int_equal((uintptr_t)kula_bytes(buffer) % ((size_t)1 << 30), 0);
    kula_free(&buffer);
}

static void what_is_impossible_is_refused_with_a_report(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct {
        size_t size;
        struct kula_memory memory;
    } wrong[] = {
        { 100, { 0, 0, 0, 0 } },
        { 100, { sizeof(struct kula_memory) - 1, 0, 0, 0 } },
        { 100, { sizeof(struct kula_memory), 3, 0, 0 } },
        { 100, { sizeof(struct kula_memory), 48, 0, 0 } },
        { 100, { sizeof(struct kula_memory), (size_t)1 << 31, 0, 0 } },
        { 100, { sizeof(struct kula_memory), 0, 1u << 4, 0 } },
        { 100, { sizeof(struct kula_memory), 0, 1u << 31, 0 } },
        { 0, KULA_MEMORY_INIT },
        { (size_t)INT32_MAX + 1, KULA_MEMORY_INIT },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct kula_memory_report report = { .granted = 99 };
        assert_null(kula_alloc_memory(ring, wrong[i].size, &wrong[i].memory, &report));
        assert_int_equal(report.error, -EINVAL);
        assert_int_equal(report.granted, 0);
        assert_int_not_equal(report.shortfall[0], '\0');
        assert_null(kula_alloc_memory(ring, wrong[i].size, &wrong[i].memory, NULL));
    }
    struct kula_memory_report report;
    assert_null(kula_alloc_memory(ring, 100, NULL, &report));
    assert_int_equal(report.error, -EINVAL);
}

/* The wish that a text is about. */
static bool is_about(const struct kula_memory_report *report, uint32_t flag)
{
    switch (flag) {
    case KULA_MEMORY_HUGE:
        return strncmp(report->shortfall, "huge pages:", 11) == 0;
    case KULA_MEMORY_NODE:
        return strncmp(report->shortfall, "node:", 5) == 0;
    case KULA_MEMORY_REGISTERED:
        return strncmp(report->shortfall, "registered:", 11) == 0;
    default:
        return false;
    }
}

static void every_wish_is_granted_or_its_shortfall_is_told(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static const uint32_t single[] = { KULA_MEMORY_HUGE, KULA_MEMORY_NODE,
                                       KULA_MEMORY_REGISTERED };
    for (uint32_t flags = 0; flags < 16; flags++) {
        struct kula_memory_report report;
        kula_buf buffer = alloc_with(ring, 70000, 0, flags, 0, &report);
        assert_non_null(buffer);
        uint32_t missing = flags & ~report.granted;
        assert_int_equal(report.granted & ~flags, 0);
        assert_true(!(missing & KULA_MEMORY_WIPE));
        assert_int_equal(report.error < 0, missing != 0);
        assert_int_equal(report.shortfall[0] != '\0', missing != 0);
        bool about = missing == 0;
        for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
            about = about || ((missing & single[i]) && is_about(&report, single[i]));
        }
        if (!about) {
            fail_msg("flags %x: %x is missing, and the report says \"%s\"", flags, missing,
                     report.shortfall);
        }
        assert_int_equal((uintptr_t)kula_bytes(buffer) % report.alignment, 0);
        assert_true(report.page_bytes >= (size_t)sysconf(_SC_PAGESIZE));
        if (report.granted & KULA_MEMORY_HUGE) {
            assert_true(report.page_bytes > (size_t)sysconf(_SC_PAGESIZE));
            assert_int_equal((uintptr_t)kula_bytes(buffer) % report.page_bytes, 0);
        }
        expect_usable(ring, &buffer, flags);
        kula_free(&buffer);
    }
}

static void a_node_that_does_not_exist_is_told_and_the_memory_is_ordinary(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static const int32_t nodes[] = { -1, 1000, 1024, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct kula_memory_report report;
        kula_buf buffer = alloc_with(ring, 5000, 0, KULA_MEMORY_NODE, nodes[i], &report);
        assert_non_null(buffer);
        assert_int_equal(report.granted, 0);
        /* where mbind(2) is there at all, which a container may not have */
        if (report.error != -ENOSYS && report.error != -EPERM && report.error != -EOPNOTSUPP) {
            assert_result(report.error, -EINVAL);
        }
        assert_true(is_about(&report, KULA_MEMORY_NODE));
        expect_usable(ring, &buffer, 7);
        kula_free(&buffer);
    }
}

/* ---- What was granted, as the kernel sees it ------------------------------------------------ */

/* From <linux/mempolicy.h>, which not every system has. */
enum {
    ASK_NODE = 1,
    ASK_ADDRESS = 2,
    POLICY_PREFERRED = 1,
    POLICY_BIND = 2,
    POLICY_PREFERRED_MANY = 5,
    NODES_MAX = 1024,
    NODES_ASKED = 8
};

/* The page at `address`: 0 and the node that it is on, and whether the kernel was asked for that one; or
 * a negative errno. */
static int look_up_node(const void *address, int32_t wanted, int *ret_node, bool *ret_asked)
{
#if defined __linux__ && defined SYS_get_mempolicy
    int node = -1;
    int policy = -1;
    unsigned long mask[NODES_MAX / (8 * sizeof(unsigned long)) + 1] = { 0 };
    const size_t bits = 8 * sizeof mask[0];
    if (syscall(SYS_get_mempolicy, &node, NULL, 0ul, address, ASK_NODE | ASK_ADDRESS) < 0 ||
        syscall(SYS_get_mempolicy, &policy, mask, (unsigned long)NODES_MAX + 1, address,
                ASK_ADDRESS) < 0) {
        return -errno;
    }
    *ret_node = node;
    *ret_asked = (policy == POLICY_PREFERRED || policy == POLICY_BIND ||
                  policy == POLICY_PREFERRED_MANY) &&
                 (mask[(size_t)wanted / bits] >> ((size_t)wanted % bits) & 1);
    return 0;
#else
    (void)address;
    (void)wanted;
    (void)ret_node;
    (void)ret_asked;
    return -ENOSYS;
#endif
}

static void memory_of_a_granted_node_is_there(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned checked = 0;
    int error = 0;
    for (uint32_t i = 0; i < 16 * NODES_ASKED; i++) {
        struct kula_memory_report report;
        const int32_t wanted = (int32_t)(i / 16);
        kula_buf buffer = alloc_with(ring, 70000, 0, i % 16, wanted, &report);
        assert_non_null(buffer);
        memset(kula_bytes(buffer), 1, 70000);
        for (size_t at = 0; (report.granted & KULA_MEMORY_NODE) && at < 70000; at += 69999) {
            int node = -1;
            bool asked = false;
            error = look_up_node(kula_bytes(buffer) + at, wanted, &node, &asked);
            if (error < 0) {
                fail_msg("node %d is granted, and nobody can know that: %s", wanted,
                         strerror(-error));
            }
            if (node != wanted || !asked) {
                fail_msg("node %d is granted; the memory is on %d, and was %s there", wanted,
                         node, asked ? "asked for" : "not asked for");
            }
            checked++;
        }
        kula_free(&buffer);
        if (checked == 0 && i + 1 == 16 * NODES_ASKED) {
            SKIP_BECAUSE("no node is granted: %s", report.shortfall);
        }
    }
}

/* What /proc/self/smaps says of the mapping around `address`, in kilobytes. */
struct mapping {
    unsigned long page; /* KernelPageSize: of reserved huge pages it is theirs */
    unsigned long huge; /* AnonHugePages: how much of it is on transparent ones */
};

/* False: there is no such file, or it does not have these lines. */
static bool look_up_mapping(const void *address, struct mapping *ret_mapping)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file) {
        return false;
    }
    char line[512];
    bool inside = false;
    int found = 0;
    while (found < 2 && fgets(line, sizeof line, file)) {
        uintptr_t begin;
        uintptr_t end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
            inside = begin <= (uintptr_t)address && (uintptr_t)address < end;
        } else if (inside) {
            found += sscanf(line, "KernelPageSize: %lu", &ret_mapping->page) == 1;
            found += sscanf(line, "AnonHugePages: %lu", &ret_mapping->huge) == 1;
        }
    }
    (void)fclose(file);
    return found == 2;
}

/* Returns whether huge pages were granted, and checks that then they are huge. */
static bool expect_true_word_on_huge_pages(struct kula_ring *ring,
                                           size_t size,
                                           uint32_t flags,
                                           struct kula_memory_report *ret_report)
{
    kula_buf buffer = alloc_with(ring, size, 0, flags | KULA_MEMORY_HUGE, 0, ret_report);
    assert_non_null(buffer);
    memset(kula_bytes(buffer), 1, size);
    bool granted = ret_report->granted & KULA_MEMORY_HUGE;
    if (granted) {
        struct mapping mapping = { 0 };
        size_t page = ret_report->page_bytes / 1024;
        size_t pages = (size + ret_report->page_bytes - 1) / ret_report->page_bytes;
        assert_true(look_up_mapping(kula_bytes(buffer), &mapping));
        if (mapping.page != page && mapping.huge < pages * page) {
            fail_msg(
                "%zu pages of %zu kB are granted; of the mapping, whose pages have %lu kB, "
                "%lu kB are on transparent huge ones",
                pages, page, mapping.page, mapping.huge);
        }
    }
    kula_free(&buffer);
    return granted;
}

static void need_smaps(void)
{
    struct mapping mapping = { 0 };
    if (!look_up_mapping(&mapping, &mapping)) {
        SKIP_BECAUSE("/proc/self/smaps does not say which pages are huge");
    }
}

static void huge_pages_that_are_granted_are_huge(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    static const size_t sizes[] = { 1, 70000, (size_t)2 << 20, (size_t)5 << 20 };
    unsigned granted = 0;
    need_smaps();
    for (uint32_t flags = 0; flags < 16; flags++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            granted += expect_true_word_on_huge_pages(ring, sizes[i], flags, &report);
        }
    }
    if (granted == 0) {
        SKIP_BECAUSE("none are granted: %s", report.shortfall);
    }
}

/* The kernel takes the advice, and gives none. */
static void huge_pages_that_do_not_come_are_not_granted(void **state)
{
#if defined __linux__ && defined PR_SET_THP_DISABLE
    struct kula_ring *ring = harness_ring(state);
    struct kula_memory_report report;
    need_smaps();
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0) {
        SKIP_BECAUSE("PR_SET_THP_DISABLE: %s", strerror(errno));
    }
    (void)expect_true_word_on_huge_pages(ring, 70000, 0, &report);
    (void)expect_true_word_on_huge_pages(ring, (size_t)5 << 20, KULA_MEMORY_NODE, &report);
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
#else
    (void)state;
    SKIP_BECAUSE("this system has no PR_SET_THP_DISABLE");
#endif
}

/* ---- Wiping -------------------------------------------------------------------------------- */

#define SECRET 0xa5

static kula_buf alloc_secret(struct kula_ring *ring, size_t size)
{
    struct kula_memory_report report;
    kula_buf buffer = alloc_with(ring, size, 0, KULA_MEMORY_WIPE, 0, &report);
    assert_non_null(buffer);
    assert_int_equal(report.granted, KULA_MEMORY_WIPE);
    memset(kula_bytes(buffer), SECRET, size);
    return buffer;
}

/* The memory that was freed last is what the next buffer of its size gets; what a detached operation
 * has is freed some time or other. */
static void expect_wiped(struct kula_ring *ring, size_t size, const unsigned char *place)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    kula_buf buffer = kula_alloc(ring, size);
    while (kula_bytes(buffer) != place && harness_now_ns() < limit) {
        kula_free(&buffer);
        assert_true(kula_wait(ring, KULA_MILLISECOND) >= 0);
        buffer = kula_alloc(ring, size);
    }
    const unsigned char *bytes = kula_bytes(buffer);
    assert_ptr_equal(bytes, place);
    harness_look_at_anything(bytes, size);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == SECRET) {
            fail_msg("byte %zu of %zu is still there", i, size);
        }
    }
    kula_free(&buffer);
}

static void wiped_memory_shows_nothing_to_the_next_holder(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    static const size_t sizes[] = { 1, 63, 64, 1000, 4096, 70000, 1 << 20 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kula_buf buffer = alloc_secret(ring, sizes[i]);
        const unsigned char *place = kula_bytes(buffer);
        assert_int_equal(kula_window(buffer, sizes[i] / 2), 0); /* all of it, nevertheless */
        kula_free(&buffer);
        expect_wiped(ring, sizes[i], place);
    }
}

static void what_nobody_takes_is_wiped_as_well(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("read over the beginning");
    kula_buf buffer = alloc_secret(ring, 5000);
    const unsigned char *place = kula_bytes(buffer);
    kula_read(ring, fd, &buffer, 10, 0, NULL);
    while (kula_outstanding(ring) > 0) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
        while (kula_next(ring)) {
        }
    }
    expect_wiped(ring, 5000, place);

    buffer = alloc_secret(ring, 5000);
    place = kula_bytes(buffer);
    kula_op op = kula_read(ring, fd, &buffer, 10, 0, NULL);
    assert_int_equal(kula_detach(ring, op), 0);
    expect_wiped(ring, 5000, place);
    retire(ring, &fd, 1);
}

static void memory_may_be_freed_after_its_ring(void **state)
{
    (void)state;
    kula_buf held[16];
    struct kula_ring *ring = harness_open(0);
    for (uint32_t flags = 0; flags < 16; flags++) {
        struct kula_memory_report report;
        held[flags] = alloc_with(ring, 9000, (size_t)1 << 14, flags, 0, &report);
        assert_non_null(held[flags]);
        memset(kula_bytes(held[flags]), (int)flags, 9000);
    }
    harness_close(&ring);
    struct kula_ring *other = harness_open(0);
    for (uint32_t flags = 0; flags < 16; flags++) {
        assert_int_equal(kula_bytes(held[flags])[8999], flags);
        expect_usable(other, &held[flags], flags);
        kula_free(&held[flags]);
    }
    harness_close(&other);
}

/* Records that a ring had go to whoever needs some next, and its memory had other properties. */
static void a_pool_after_a_ring_has_nothing_of_that_ring(void **state)
{
    (void)state;
    enum {
        COUNT = 300,
        BYTES = 4096
    };
    static kula_buf held[COUNT];
    for (size_t alignment = 0; alignment <= 2 * (size_t)BYTES; alignment += 2 * (size_t)BYTES) {
        struct kula_ring *ring = harness_open(0);
        for (int i = 0; i < COUNT; i++) {
            held[i] = kula_alloc(ring, 100);
            assert_non_null(held[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            kula_free(&held[i]);
        }
        harness_close(&ring);
        struct kula_pool_config config = KULA_POOL_INIT;
        config.buffer_bytes = BYTES;
        config.count = COUNT;
        config.memory =
            (struct kula_memory){ .size = sizeof config.memory, .alignment = alignment };
        struct kula_pool *pool = NULL;
        assert_int_equal(kula_pool_open(NULL, &config, &pool), 0);
        for (int i = 0; i < COUNT; i++) {
            held[i] = kula_pool_get(pool, 0);
            memset(kula_bytes(held[i]), i, BYTES);
        }
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(kula_bytes(held[i])[BYTES - 1], i % 256);
            kula_free(&held[i]);
        }
        assert_int_equal(kula_pool_close(&pool), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(any_power_of_two_is_an_alignment),
        PROVES(a_gibibyte_is_an_alignment_where_there_is_room),
        PROVES(what_is_impossible_is_refused_with_a_report),
        PROVES(every_wish_is_granted_or_its_shortfall_is_told),
        PROVES(a_node_that_does_not_exist_is_told_and_the_memory_is_ordinary),
        PROVES(memory_of_a_granted_node_is_there),
        PROVES(huge_pages_that_are_granted_are_huge),
        PROVES(huge_pages_that_do_not_come_are_not_granted),
        PROVES(wiped_memory_shows_nothing_to_the_next_holder),
        PROVES(what_nobody_takes_is_wiped_as_well),
        PROVES(memory_may_be_freed_after_its_ring),
        PROVES(a_pool_after_a_ring_has_nothing_of_that_ring),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
