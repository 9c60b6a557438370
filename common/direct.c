/* direct.c - how O_DIRECT wants a file to be read and written. */
#include "instruments.h"
#include "system.h"

#include <kula.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined __linux__ && !defined KULA_NO_LINUX

/* Since Linux 6.1; not in the headers of older C libraries, whose struct statx has room there. */
#    define STATX_DIOALIGN_MASK 0x2000u
#    define MEMORY_ALIGN_AT     152u
#    define OFFSET_ALIGN_AT     156u

static_assert(sizeof(struct statx) == 256, "the kernel's struct, with what it will grow into");

/* 1: answered; 0: this kernel does not know, or not of this file; or a negative errno. */
static int ask_kernel(int fd, struct kula_direct *ret_direct)
{
    struct statx status;
    int error = kula__fault("statx", ENOSYS);
    if (error == 0 && statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN_MASK, &status) < 0) {
        error = -errno;
    }
    if (error != 0) {
        return error == -EBADF ? error : 0;
    }
    kula__instruments_written(&status, sizeof status); /* clang 14 does not know statx */
    if (!(status.stx_mask & STATX_DIOALIGN_MASK)) {
        return 0;
    }
    const char *bytes = (const char *)&status;
    memcpy(&ret_direct->memory_alignment, bytes + MEMORY_ALIGN_AT, sizeof(uint32_t));
    memcpy(&ret_direct->offset_alignment, bytes + OFFSET_ALIGN_AT, sizeof(uint32_t));
    ret_direct->source = KULA_DIRECT_FROM_KERNEL;
    return ret_direct->memory_alignment && ret_direct->offset_alignment ? 1 : -EOPNOTSUPP;
}

/* ---- Trying -------------------------------------------------------------------------------- */

#    define PROBE_MAX 65536u

/* How many bytes came, or a negative errno; -EINVAL: this is not how it has to be aligned. */
static ssize_t try_read(int fd, unsigned char *memory, size_t length, off_t offset)
{
    int error = kula__fault("pread", EIO);
    if (error < 0) {
        return error;
    }
    ssize_t count;
    do {
        count = pread(fd, memory, length, offset);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
}

/* The smallest power of two that can be a length and a position. */
static int probe_offsets(int fd, unsigned char *memory, uint32_t *ret_alignment)
{
    for (uint32_t length = 1; length <= PROBE_MAX; length *= 2) {
        ssize_t count = try_read(fd, memory, length, 0);
        if (count >= 0) {
            count = try_read(fd, memory, length, (off_t)length);
        }
        if (count != -EINVAL) {
            *ret_alignment = length;
            return count < 0 ? (int)count : 0;
        }
    }
    return -EOPNOTSUPP;
}

/* The smallest power of two that can be the address of memory; `memory` is aligned for more. How memory
 * is aligned shows only where a transfer is cut, at the end of a page: within one page any address will
 * do (ext4 on 6.18). A file that is too short for that shows nothing, and what is enough for its
 * positions is enough for memory. */
static int probe_memory(int fd, unsigned char *memory, uint32_t *alignment)
{
    const ssize_t two_pages = 2 * (ssize_t)kula__page_bytes();
    for (uint32_t distance = 1; distance < *alignment; distance *= 2) {
        ssize_t count = try_read(fd, memory + distance, PROBE_MAX, 0);
        if (count >= two_pages) {
            *alignment = distance;
        }
        if (count != -EINVAL) {
            return count < 0 ? (int)count : 0;
        }
    }
    return 0;
}

static int probe(int fd, const struct stat *status, struct kula_direct *ret_direct)
{
    ret_direct->source = KULA_DIRECT_FROM_PROBE;
    if (S_ISREG(status->st_mode) && status->st_size == 0) {
        /* Reading nothing is always allowed and shows nothing. Blocks are enough everywhere. */
        uint32_t block = status->st_blksize > 4096 ? (uint32_t)status->st_blksize : 4096;
        ret_direct->memory_alignment = ret_direct->offset_alignment = block;
        return 0;
    }
    size_t bytes = 3 * (size_t)PROBE_MAX;
    unsigned char *memory = kula__pages_new_aligned(bytes, 2 * (size_t)PROBE_MAX);
    if (!memory) {
        return -ENOMEM;
    }
    int error = probe_offsets(fd, memory, &ret_direct->offset_alignment);
    if (error == 0) {
        ret_direct->memory_alignment = ret_direct->offset_alignment;
        error = probe_memory(fd, memory, &ret_direct->memory_alignment);
    }
    kula__pages_free(memory, bytes);
    return error;
}

/* An open file description of our own on the same file, so that the program's keeps its flags. */
static int reopen(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int error = kula__fault("open", ENOENT);
    int own = -1;
    if (error == 0) {
        own = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        error = own < 0 ? -errno : 0;
    }
    return error < 0 ? error : own;
}

static int probe_file(int fd, const struct stat *status, struct kula_direct *ret_direct)
{
    int own = reopen(fd);
    if (own >= 0) {
        int error = probe(own, status, ret_direct);
        kula__sys_close(own);
        return error;
    }
    if (own == -EINVAL) {
        return -EOPNOTSUPP; /* that is how open(2) says it */
    }
    int flags = kula__sys_status_flags(fd);
    if (flags >= 0 && (flags & O_DIRECT) && (flags & O_ACCMODE) != O_WRONLY) {
        return probe(fd, status, ret_direct);
    }
    /* without /proc there is no way to a description of our own */
    return own == -ENOENT || own == -ENOTDIR ? -EACCES : own;
}

#else

static int ask_kernel(int fd, struct kula_direct *ret_direct)
{
    (void)fd;
    (void)ret_direct;
    return -EOPNOTSUPP; /* POSIX has no O_DIRECT */
}

static int probe_file(int fd, const struct stat *status, struct kula_direct *ret_direct)
{
    (void)fd;
    (void)status;
    (void)ret_direct;
    return -EOPNOTSUPP;
}

#endif

int kula_direct_alignment(int fd, struct kula_direct *ret_direct)
{
    struct stat status;
    if (!ret_direct) {
        return -EINVAL;
    }
    int error = kula__fault("fstat", EBADF);
    if (error == 0 && fstat(fd, &status) < 0) {
        error = -errno;
    }
    if (error != 0) {
        return error;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        return -ENOTSUP;
    }
    struct kula_direct found = { 0 };
    int answer = ask_kernel(fd, &found);
    error = answer == 0 ? probe_file(fd, &status, &found) : answer < 0 ? answer : 0;
    if (error == 0) {
        *ret_direct = found;
    }
    return error;
}
