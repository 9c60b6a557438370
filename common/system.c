#include "system.h"

#include <kula.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sys/eventfd.h>
#endif

/* ---- Memory ---- */

void *kula__memory_new(size_t bytes)
{
    if (kula__fault("malloc", ENOMEM)) {
        return NULL;
    }
    return calloc(1, bytes);
}

void *kula__memory_resize(void *memory, size_t bytes)
{
    if (kula__fault("realloc", ENOMEM)) {
        return NULL;
    }
    return realloc(memory, bytes);
}

void kula__memory_free(void *memory)
{
    free(memory);
}

size_t kula__page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static atomic_uint left;

void kula__addresses_leave(void)
{
    atomic_fetch_add_explicit(&left, 1, memory_order_release);
}

void kula__addresses_arrive(void)
{
    (void)atomic_load_explicit(&left, memory_order_acquire);
}

#if defined MAP_ANONYMOUS

static void *pages_map(size_t bytes)
{
    if (kula__fault("mmap", ENOMEM)) {
        return NULL;
    }
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void kula__pages_free(void *pages, size_t bytes)
{
    if (pages) {
        kula__addresses_leave();
        (void)munmap(pages, bytes);
    }
}

/* Maps more than is wanted and gives back what lies before and behind. */
static void *aligned_map(size_t bytes, size_t alignment)
{
    size_t page = kula__page_bytes();
    if (alignment <= page) {
        return pages_map(bytes);
    }
    size_t spare = alignment - page;
    unsigned char *all = bytes <= SIZE_MAX - spare ? pages_map(bytes + spare) : NULL;
    if (!all) {
        return NULL;
    }
    size_t before = (size_t)(-(uintptr_t)all & (alignment - 1));
    if (before > 0) {
        (void)munmap(all, before);
    }
    if (spare > before) {
        (void)munmap(all + before + bytes, spare - before);
    }
    return all + before;
}

#else

/* POSIX had no anonymous mappings before 2024. */
static void *pages_map(size_t bytes)
{
    void *pages;
    if (kula__fault("mmap", ENOMEM) || posix_memalign(&pages, kula__page_bytes(), bytes) != 0) {
        return NULL;
    }
    return memset(pages, 0, bytes);
}

void kula__pages_free(void *pages, size_t bytes)
{
    (void)bytes;
    free(pages);
}

static void *aligned_map(size_t bytes, size_t alignment)
{
    void *pages;
    if (kula__fault("mmap", ENOMEM) || posix_memalign(&pages, alignment, bytes) != 0) {
        return NULL;
    }
    return memset(pages, 0, bytes);
}

#endif

/* Keeps pages from the children of fork(). NULL, and they are gone, when there is no memory for that. */
static void *keep_private(void *pages, size_t bytes)
{
#if defined __linux__ && !defined KULA_NO_LINUX
    /* Advice takes effect on a mapping of its own, and splitting one off may need memory. Kernels
     * and sandboxes that refuse the advice itself leave copies to the children, as POSIX does. */
    if (pages) {
        int error = kula__fault("madvise", ENOMEM);
        if (!error && madvise(pages, bytes, MADV_DONTFORK) < 0) {
            error = -errno;
        }
        if (error == -ENOMEM || error == -EAGAIN) {
            kula__pages_free(pages, bytes);
            return NULL;
        }
    }
#else
    (void)bytes;
#endif
    return pages;
}

void *kula__pages_new(size_t bytes, int private_to_process)
{
    void *pages = pages_map(bytes);
    return private_to_process ? keep_private(pages, bytes) : pages;
}

void *kula__pages_new_aligned(size_t bytes, size_t alignment)
{
    return keep_private(aligned_map(bytes, alignment), bytes);
}

#if defined __linux__ && !defined KULA_NO_LINUX && defined MAP_HUGETLB
void *kula__pages_new_reserved(size_t bytes)
{
    if (kula__fault("mmap", ENOMEM)) {
        return NULL;
    }
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    return pages == MAP_FAILED ? NULL : keep_private(pages, bytes);
}
#endif

void *kula__pages_new_wiped(size_t bytes)
{
    void *pages = pages_map(bytes);
#if defined __linux__ && !defined KULA_NO_LINUX && defined MADV_WIPEONFORK
    /* 4.14; failing is in order: see the header */
    if (pages && !kula__fault("madvise", EINVAL)) {
        (void)madvise(pages, bytes, MADV_WIPEONFORK);
    }
#endif
    return pages;
}

/* ---- Time ---- */

int64_t kula__now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC,
                        &now); /* cannot fail: the clock and the pointer exist */
    return (int64_t)now.tv_sec * KULA_SECOND + now.tv_nsec;
}

/* ---- Descriptors ---- */

int kula__sys_status_flags(int fd)
{
    int error = kula__fault("fcntl", EBADF);
    int flags = error < 0 ? error : fcntl(fd, F_GETFL);
    return flags < 0 && error == 0 ? -errno : flags;
}

bool kula__sys_is_open(int fd)
{
    return kula__fault("fcntl", EBADF) == 0 && fcntl(fd, F_GETFD) >= 0;
}

int kula__sys_close(int fd)
{
    /* The injected failure comes after the call, as the real ones do: the number is free again. */
    int error = close(fd) < 0 ? -errno : 0;
    if (error == 0) {
        error = kula__fault("close", EIO);
    }
    return error == -EINTR ? 0 : error;
}

int kula__sys_read(int fd, void *data, size_t bytes)
{
    int error = kula__fault("read", EIO);
    if (error) {
        return error;
    }
    ssize_t count;
    do {
        count = read(fd, data, bytes);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : (int)count;
}

/* ---- The wake-up ---- */

static int pipe_open(struct kula__signal *ret_signal)
{
    int error = kula__fault("pipe", EMFILE);
    if (error) {
        return error;
    }
    int ends[2];
#if defined __linux__ && !defined KULA_NO_LINUX
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }
#else
    if (pipe(ends) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0) {
            error = -errno;
            (void)close(ends[0]);
            (void)close(ends[1]);
            return error;
        }
    }
#endif
    ret_signal->read_fd = ends[0];
    ret_signal->write_fd = ends[1];
    return 0;
}

int kula__signal_open(struct kula__signal *ret_signal)
{
#if defined __linux__ && !defined KULA_NO_LINUX
    int error = kula__fault("eventfd", EMFILE);
    if (error) {
        return error;
    }
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd >= 0) {
        ret_signal->read_fd = ret_signal->write_fd = fd;
        return 0;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        return -errno;
    }
#endif
    return pipe_open(ret_signal);
}

void kula__signal_close(struct kula__signal *wake)
{
    if (wake->write_fd >= 0 && wake->write_fd != wake->read_fd) {
        (void)kula__sys_close(wake->write_fd);
    }
    if (wake->read_fd >= 0) {
        (void)kula__sys_close(wake->read_fd);
    }
    wake->read_fd = wake->write_fd = -1;
}

/* Sending and clearing are counted, but cannot be made to fail: the only failure that they have is
 * -EAGAIN, and it says that the work is done already. */

void kula__signal_send(const struct kula__signal *wake)
{
    static const uint64_t one = 1; /* what an eventfd takes; any bytes do for a pipe */
    int saved = errno;
    (void)kula__fault("signal", 0);
    while (write(wake->write_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    errno = saved;
}

void kula__signal_clear(const struct kula__signal *wake)
{
    unsigned char sent[512];
    ssize_t count;
    (void)kula__fault("clear", 0);
    do { /* an eventfd gives its 8 bytes once; a pipe may hold more than one piece */
        count = read(wake->read_fd, sent, sizeof(sent));
    } while (count == (ssize_t)sizeof(sent) || (count < 0 && errno == EINTR));
}

int kula__sys_poll(struct pollfd *fds, size_t count, int64_t timeout_ns)
{
    int error = kula__fault("poll", EINTR);
    if (error) {
        return error;
    }
#if defined __linux__ && !defined KULA_NO_LINUX
    struct timespec timeout = { .tv_sec = (time_t)(timeout_ns / KULA_SECOND),
                                .tv_nsec = (long)(timeout_ns % KULA_SECOND) };
    int ready = ppoll(fds, (nfds_t)count, timeout_ns < 0 ? NULL : &timeout, NULL);
#else
    int timeout_ms = -1;
    if (timeout_ns >=
        0) { /* rounded up: coming back early would mean spinning until the time */
        int64_t wanted_ms = timeout_ns / KULA_MILLISECOND + (timeout_ns % KULA_MILLISECOND > 0);
        timeout_ms = wanted_ms > INT_MAX ? INT_MAX : (int)wanted_ms;
    }
    int ready = poll(fds, (nfds_t)count, timeout_ms);
#endif
    return ready < 0 ? -errno : ready;
}
