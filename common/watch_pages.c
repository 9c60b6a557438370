/* watch_pages.c - memory that is mapped twice: for kernel and workers, and for the program. */
#include "system.h"
#include "watch.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined KULA_VALGRIND
#    include <sys/syscall.h>
#endif

static bool watches(unsigned levels)
{
    return kula__watching() & levels;
}

#if defined __linux__ && !defined KULA_NO_LINUX

/* A file for what is mapped twice; -1: anonymous memory, which RLIMIT_FSIZE does not count, will do. Only
 * valgrind needs one: its mremap doubles nothing. */
static int file_for(size_t bytes)
{
    int file = -1;
#    if defined KULA_VALGRIND
    if (kula__on_valgrind()) {
        file = (int)syscall(SYS_memfd_create, "kula", 1u /* MFD_CLOEXEC */);
        if (file >= 0 && ftruncate(file, (off_t)bytes) < 0) {
            (void)close(file);
            file = -1;
        }
    }
#    endif
    (void)bytes;
    return file;
}

/* The program's mapping of `pages`, at an address where `reserved` bytes are kept free for it. */
static bool map_again(void *pages, size_t bytes, void *program, size_t reserved, int file)
{
    const int usable = PROT_READ | PROT_WRITE;
    void *again = file < 0 ? mremap(pages, 0, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, program)
                           : mmap(program, bytes, usable, MAP_SHARED | MAP_FIXED, file, 0);
    return again != MAP_FAILED && madvise(program, reserved, MADV_DONTFORK) == 0 &&
           madvise(pages, bytes, MADV_DONTFORK) == 0 &&
           (!watches(KULA__WATCH_GUARD) || mprotect(program, bytes, PROT_NONE) == 0);
}

/* Maps memory once for kernel and workers and once for the program, there with a page behind it that
 * stays out of reach. 0 or a negative errno. */
int kula__watch_pages_twice(size_t bytes, unsigned char **ret_pages, ptrdiff_t *ret_alias)
{
    const int usable = PROT_READ | PROT_WRITE;
    size_t reserved = bytes + kula__page_bytes();
    int error = kula__fault("mmap", ENOMEM);
    if (error < 0) {
        return error;
    }
    int file = file_for(bytes);
    void *pages =
        mmap(NULL, bytes, usable, MAP_SHARED | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
    void *program =
        mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool mapped = pages != MAP_FAILED && program != MAP_FAILED &&
                  map_again(pages, bytes, program, reserved, file);
    error = mapped ? 0 : -errno;
    if (file >= 0) {
        (void)close(file);
    }
    if (!mapped) {
        if (pages != MAP_FAILED) {
            (void)munmap(pages, bytes);
        }
        if (program != MAP_FAILED) {
            (void)munmap(program, reserved);
        }
        return error;
    }
    kula__addresses_arrive();
    *ret_pages = pages;
    *ret_alias = (unsigned char *)program - *ret_pages;
    return 0;
}

#else

int kula__watch_pages_twice(size_t bytes, unsigned char **ret_pages, ptrdiff_t *ret_alias)
{
    (void)bytes;
    (void)ret_pages;
    (void)ret_alias;
    return -ENOSYS;
}

#endif

unsigned char *kula__watch_pages_new(size_t bytes, ptrdiff_t *ret_alias)
{
    unsigned char *pages = NULL;
    *ret_alias = 0;
    if (!watches(KULA__WATCH_GUARD | KULA__WATCH_VALGRIND)) {
        return kula__pages_new(bytes, 1);
    }
    return kula__watch_pages_twice(bytes, &pages, ret_alias) < 0 ? NULL : pages;
}

void kula__watch_pages_free(unsigned char *pages, size_t bytes, ptrdiff_t alias)
{
    if (watches(KULA__WATCH_SANITIZER)) {
        kula__instruments_forget(pages + alias, bytes);
    }
    if (alias) {
        kula__pages_free(pages + alias, bytes + kula__page_bytes());
    }
    kula__pages_free(pages, bytes);
}
