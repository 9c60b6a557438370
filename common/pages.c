/* pages.c - mappings that are more than ordinary. */
#include "pages.h"

#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sys/mman.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#    define LINUX 1
#else
#    define LINUX 0
#endif

void kula__wish_failed(struct kula_memory_report *report, int error, const char *text)
{
    if (report->error == 0) {
        report->error = error;
        report->shortfall = text;
    }
}

void kula__wipe(void *memory, size_t bytes)
{
    memset(memory, 0, bytes);
    /* whoever may be behind this statement may look at the memory, so the zeros have to be there */
    __asm__ volatile("" : : "r"(memory) : "memory");
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) & ~(unit - 1);
}

static bool map_plain(size_t bytes, size_t alignment, struct kula__pages *ret_pages)
{
    ret_pages->bytes = round_up(bytes, kula__page_bytes());
    ret_pages->first = kula__pages_new_aligned(ret_pages->bytes, alignment);
    return ret_pages->first != NULL;
}

void kula__pages_unmap(struct kula__pages *pages)
{
    kula__pages_free(pages->first, pages->bytes);
    *pages = (struct kula__pages){ 0 };
}

#if LINUX

/* Since Linux 5.14; not in the headers of older C libraries. */
#    ifndef MADV_POPULATE_WRITE
#        define MADV_POPULATE_WRITE 23
#    endif

/* What mbind(2) and get_mempolicy(2) take; <numaif.h> is libnuma's. */
#    define POLICY_PREFERRED 1
#    define ASK_NODE         1u
#    define ASK_ADDRESS      2u
#    define NODES_MAX        1024

/* ---- Huge pages --------------------------------------------------------------------------- */

/* What a line of /proc says in kilobytes behind `key`, in bytes; -1: it is about something else. */
static int64_t kilobytes_of(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 ? strtoll(line + length, NULL, 10) * 1024 : -1;
}

/* Whether a line of smaps begins a mapping: two addresses. */
static bool is_mapping(const char *line, uintptr_t *ret_begin, uintptr_t *ret_end)
{
    char *behind;
    *ret_begin = (uintptr_t)strtoull(line, &behind, 16);
    if (*behind != '-') {
        return false;
    }
    *ret_end = (uintptr_t)strtoull(behind + 1, &behind, 16);
    return *behind == ' ';
}

/* The number behind `key` in a file of /proc, in bytes; -1 when there is none. */
static int64_t proc_bytes(const char *path, const char *key)
{
    if (kula__fault("fopen", EMFILE)) {
        return -1;
    }
    FILE *file = fopen(path, "re");
    if (!file) {
        return -1;
    }
    char line[256];
    int64_t bytes = -1;
    while (bytes < 0 && fgets(line, sizeof line, file)) {
        bytes = kilobytes_of(line, key);
    }
    (void)fclose(file);
    return bytes;
}

/* How much of the mapping that begins at `first` lies on transparent huge pages; -1: cannot be told. */
static int64_t huge_bytes_at(const unsigned char *first)
{
    if (kula__fault("fopen", EMFILE)) {
        return -1;
    }
    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file) {
        return -1;
    }
    char line[512];
    bool inside = false;
    int64_t bytes = -1;
    while (bytes < 0 && fgets(line, sizeof line, file)) {
        uintptr_t begin;
        uintptr_t end;
        if (is_mapping(line, &begin, &end)) {
            if (inside) {
                break;
            }
            /* the kernel joins neighbours with the same properties */
            inside = begin <= (uintptr_t)first && (uintptr_t)first < end;
        } else if (inside) {
            bytes = kilobytes_of(line, "AnonHugePages:");
        }
    }
    (void)fclose(file);
    return bytes;
}

/* Makes sure that every page is there. A huge page that a limit (cgroup) or another node withholds
 * would be a SIGBUS at the first touch; this way it is an error. */
static int populate(const struct kula__pages *pages)
{
    int error = kula__fault("madvise", ENOMEM);
    if (error == 0 && madvise(pages->first, pages->bytes, MADV_POPULATE_WRITE) < 0) {
        error = -errno;
    }
    return error;
}

/* Makes every page present, also before 5.14. */
static void make_present(const struct kula__pages *pages)
{
    if (populate(pages) == 0) {
        return;
    }
    size_t step = kula__page_bytes();
    for (size_t at = 0; at < pages->bytes; at += step) {
        ((volatile unsigned char *)pages->first)[at] = 0;
    }
}

/* ---- Nodes -------------------------------------------------------------------------------- */

/* Preferred, not bound: when a node is full, a process that is bound to it is killed. */
static int prefer_node(const struct kula__pages *pages, int32_t node)
{
    if (node < 0 || node >= NODES_MAX) {
        return -EINVAL;
    }
    unsigned long mask[NODES_MAX / (8 * sizeof(unsigned long))] = { 0 };
    const size_t bits = 8 * sizeof mask[0];
    mask[(size_t)node / bits] = 1ul << (size_t)node % bits;
    int error = kula__fault("mbind", ENOSYS);
    /* one more bit than there are: the kernel subtracts one */
    if (error == 0 && syscall(SYS_mbind, pages->first, pages->bytes, POLICY_PREFERRED, mask,
                              (unsigned long)NODES_MAX + 1, 0u) < 0) {
        error = -errno;
    }
    return error;
}

/* The node of the page at `address`, or a negative errno. */
static int node_of(const void *address)
{
    int node = -1;
    int error = kula__fault("get_mempolicy", ENOSYS);
    if (error == 0 &&
        syscall(SYS_get_mempolicy, &node, NULL, 0ul, address, ASK_NODE | ASK_ADDRESS) < 0) {
        error = -errno;
    }
    return error < 0 ? error : node;
}

static void explain_node(struct kula_memory_report *report, int error)
{
    const char *text = "node: the kernel refused to bind the memory";
    switch (error) {
    case -EINVAL:
        text = "node: this machine has no such node with memory: see "
               "/sys/devices/system/node/has_memory";
        break;
    case -ENOSYS:
        text = "node: this kernel is built without NUMA, or a filter hides mbind(2)";
        break;
    case -EPERM:
        text = "node: a filter refuses mbind(2), as Docker's does without CAP_SYS_NICE";
        break;
    default:
        break;
    }
    kula__wish_failed(report, error, text);
}

static void settle_on_node(const struct kula__pages *pages,
                           int32_t node,
                           struct kula_memory_report *report)
{
    int error = prefer_node(pages, node);
    if (error < 0) {
        explain_node(report, error);
        return;
    }
    make_present(pages);
    int first = node_of(pages->first);
    int last = node_of(pages->first + pages->bytes - 1);
    if (first < 0 || last < 0) {
        kula__wish_failed(report, first < 0 ? first : last,
                          "node: it was asked for; whether the memory is there cannot be "
                          "checked without get_mempolicy(2)");
    } else if (first != node || last != node) {
        kula__wish_failed(report, -ENOMEM,
                          "node: it has no memory left, and the pages come from another: see "
                          "/sys/devices/system/node/node*/meminfo");
    } else {
        report->granted |= KULA_MEMORY_NODE;
    }
}

/* ---- Huge pages of either sort ------------------------------------------------------------- */

#    define HUGE_USUAL ((size_t)2 << 20)

static size_t power_of_two_or(int64_t bytes, size_t otherwise)
{
    return bytes > 0 && (bytes & (bytes - 1)) == 0 ? (size_t)bytes : otherwise;
}

/* Of how many bytes a transparent huge page is; the usual size where the system does not say. */
static size_t transparent_bytes(void)
{
    char text[32] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)kula__sys_read(fd, text, sizeof text - 1);
        kula__sys_close(fd);
    }
    return power_of_two_or(strtoll(text, NULL, 10), HUGE_USUAL);
}

/* Reserved ones: with them the wish is fulfilled. False, and nothing is left of it. */
static bool map_reserved(size_t bytes,
                         const struct kula_memory *wishes,
                         struct kula_memory_report *report,
                         struct kula__pages *ret_pages)
{
    int64_t told = proc_bytes("/proc/meminfo", "Hugepagesize:");
    size_t huge_bytes = power_of_two_or(told, HUGE_USUAL);
    if (wishes->alignment > huge_bytes) {
        return false; /* they lie where the kernel wants them */
    }
    ret_pages->bytes = round_up(bytes, huge_bytes);
    ret_pages->first = kula__pages_new_reserved(ret_pages->bytes);
    if (!ret_pages->first) {
        return false;
    }
    if (wishes->flags & KULA_MEMORY_NODE) {
        (void)prefer_node(ret_pages, wishes->node); /* what it says is asked again at the end */
    }
    int error = populate(ret_pages);
    if (error < 0 && error != -EINVAL) {
        kula__pages_unmap(ret_pages);
        return false;
    }
    report->granted |= KULA_MEMORY_HUGE;
    report->page_bytes = huge_bytes;
    return true;
}

static const char *no_transparent_ones(int advice)
{
    char text[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)kula__sys_read(fd, text, sizeof text - 1);
        kula__sys_close(fd);
    }
    if (advice < 0) {
        return "huge pages: none are reserved, and this kernel has no transparent ones: echo N "
               "> /proc/sys/vm/nr_hugepages reserves some";
    }
    return strstr(text, "[never]")
               ? "huge pages: none are reserved (echo N > /proc/sys/vm/nr_hugepages), and "
                 "transparent ones are switched off (echo madvise > "
                 "/sys/kernel/mm/transparent_hugepage/enabled)"
               : NULL;
}

/* Asks for transparent ones where the memory is, and looks whether they came. */
static void advise_huge(const struct kula__pages *pages,
                        size_t huge_bytes,
                        struct kula_memory_report *report)
{
    int error = kula__fault("madvise", ENOMEM);
    if (error == 0 && madvise(pages->first, pages->bytes, MADV_HUGEPAGE) < 0) {
        error = -errno;
    }
    const char *reason = no_transparent_ones(error);
    if (reason) {
        kula__wish_failed(report, error < 0 ? error : -ENOMEM, reason);
        return;
    }
    /* The kernel joins neighbouring mappings that are alike: only what is added is ours. */
    int64_t before = huge_bytes_at(pages->first);
    make_present(pages);
    int64_t after = huge_bytes_at(pages->first);
    if (before < 0 || after < 0) {
        kula__wish_failed(report, -ENOENT,
                          "huge pages: transparent ones were asked for; whether they came "
                          "cannot be checked without /proc/self/smaps");
    } else if ((uint64_t)(after - before) < pages->bytes) {
        kula__wish_failed(
            report, -ENOMEM,
            "huge pages: none are reserved (echo N > /proc/sys/vm/nr_hugepages), and memory "
            "is too fragmented for transparent ones (echo 1 > /proc/sys/vm/compact_memory)");
    } else {
        report->granted |= KULA_MEMORY_HUGE;
        report->page_bytes = huge_bytes;
    }
}

static bool map_transparent(size_t bytes,
                            size_t alignment,
                            const struct kula_memory *wishes,
                            struct kula_memory_report *report,
                            struct kula__pages *ret_pages)
{
    size_t huge_bytes = transparent_bytes();
    if (!map_plain(round_up(bytes, huge_bytes), alignment > huge_bytes ? alignment : huge_bytes,
                   ret_pages)) {
        return false;
    }
    if (wishes->flags & KULA_MEMORY_NODE) {
        (void)prefer_node(ret_pages, wishes->node); /* likewise */
    }
    advise_huge(ret_pages, huge_bytes, report);
    return true;
}

bool kula__pages_map(size_t bytes,
                     const struct kula_memory *wishes,
                     struct kula_memory_report *report,
                     struct kula__pages *ret_pages)
{
    size_t page = kula__page_bytes();
    size_t alignment = wishes->alignment > page ? wishes->alignment : page;
    report->page_bytes = page;
    report->alignment = alignment;
    bool mapped = wishes->flags & KULA_MEMORY_HUGE
                      ? map_reserved(bytes, wishes, report, ret_pages) ||
                            map_transparent(bytes, alignment, wishes, report, ret_pages)
                      : map_plain(bytes, alignment, ret_pages);
    if (mapped && (wishes->flags & KULA_MEMORY_NODE)) {
        settle_on_node(ret_pages, wishes->node, report);
    }
    return mapped;
}

#else

bool kula__pages_map(size_t bytes,
                     const struct kula_memory *wishes,
                     struct kula_memory_report *report,
                     struct kula__pages *ret_pages)
{
    size_t page = kula__page_bytes();
    report->page_bytes = page;
    report->alignment = wishes->alignment > page ? wishes->alignment : page;
    if (wishes->flags & KULA_MEMORY_HUGE) {
        kula__wish_failed(report, -EOPNOTSUPP, "huge pages: POSIX has none");
    }
    if (wishes->flags & KULA_MEMORY_NODE) {
        kula__wish_failed(report, -EOPNOTSUPP, "node: POSIX knows of none");
    }
    return map_plain(bytes, report->alignment, ret_pages);
}

#endif
