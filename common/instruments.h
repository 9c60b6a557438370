/* instruments.h - what sanitizers and valgrind are told of memory that they cannot follow by themselves.
 *
 * Addresses are the program's. Each function is empty unless the library is built for the instrument that
 * it is about: -fsanitize=address, thread or memory, or KULA_VALGRIND. Who decides when is watch.c.
 *
 * AddressSanitizer knows whether a byte may be touched, valgrind also whether it was ever written,
 * MemorySanitizer only the latter. ThreadSanitizer knows who touched what, and in what order: for it the
 * kernel is a thread of its own (a fiber) for each operation.
 */
#ifndef KULA_COMMON_INSTRUMENTS_H
#define KULA_COMMON_INSTRUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined __has_feature
#    define KULA__SANITIZER(name) __has_feature(name)
#else
#    define KULA__SANITIZER(name) 0
#endif

#if defined __SANITIZE_ADDRESS__ || KULA__SANITIZER(address_sanitizer)
#    define KULA__ASAN 1
#    include <sanitizer/asan_interface.h>
#else
#    define KULA__ASAN 0
#endif
#if defined __SANITIZE_THREAD__ || KULA__SANITIZER(thread_sanitizer)
#    define KULA__TSAN 1
#else
#    define KULA__TSAN 0
#endif
#if KULA__SANITIZER(memory_sanitizer)
#    define KULA__MSAN 1
#    include <sanitizer/msan_interface.h>
#else
#    define KULA__MSAN 0
#endif
#if defined KULA_VALGRIND
#    include <valgrind/memcheck.h>
#endif

/* For the functions that look at bytes which the program may not touch, on purpose. A sanitizer that
 * knows the attribute is not there when another one is. */
#if KULA__ASAN
#    define KULA__UNINSTRUMENTED __attribute__((no_sanitize_address))
#elif KULA__TSAN
#    define KULA__UNINSTRUMENTED __attribute__((no_sanitize_thread))
#elif KULA__MSAN
#    define KULA__UNINSTRUMENTED __attribute__((no_sanitize("memory")))
#else
#    define KULA__UNINSTRUMENTED
#endif

/* Whether this process runs under valgrind, and the library can talk to it. */
static inline bool kula__on_valgrind(void)
{
#if defined KULA_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

/* Nobody may touch these bytes. */
static inline void kula__instruments_hide(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if KULA__ASAN
    __asan_poison_memory_region(bytes, count);
#endif
#if defined KULA_VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(bytes, count);
#endif
}

/* They may be touched again. Valgrind has forgotten which of them were ever written: all of them. */
static inline void kula__instruments_show(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if KULA__ASAN
    __asan_unpoison_memory_region(bytes, count);
#endif
#if defined KULA_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(bytes, count);
#endif
}

/* Something that is not instrumented has written them: the kernel, or a library. */
static inline void kula__instruments_written(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if KULA__MSAN
    __msan_unpoison(bytes, count);
#endif
#if defined KULA_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(bytes, count);
#endif
}

/* They may be written, but what they hold is nobody's business before that. */
static inline void kula__instruments_undefine(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if KULA__MSAN
    __msan_poison(bytes, count);
#endif
#if defined KULA_VALGRIND
    (void)VALGRIND_MAKE_MEM_UNDEFINED(bytes, count);
#endif
}

/* What is known of these addresses must not be believed of what is mapped there next. (munmap(2) of a
 * library that makes its own system calls is seen by none of them.) */
static inline void kula__instruments_forget(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if KULA__ASAN
    __asan_unpoison_memory_region(bytes, count);
#endif
#if KULA__MSAN
    __msan_unpoison(bytes, count);
#endif
}

/* The kernel begins to write, or to read, these bytes, on behalf of the operation `name`: from here on
 * whoever else touches them (reads: writes them) races with it, until kula__instruments_land. `sync` is
 * any address that stands for this hand-over. Returns what belongs to the landing. */
#if KULA__TSAN
uint16_t kula__instruments_depart(void *sync,
                                  void *bytes,
                                  size_t count,
                                  bool writes,
                                  const char *name);
void kula__instruments_land(void *sync, uint16_t fiber);
#else
static inline uint16_t kula__instruments_depart(void *sync,
                                                void *bytes,
                                                size_t count,
                                                bool writes,
                                                const char *name)
{
    (void)sync;
    (void)bytes;
    (void)count;
    (void)writes;
    (void)name;
    return 0;
}
static inline void kula__instruments_land(void *sync, uint16_t fiber)
{
    (void)sync;
    (void)fiber;
}
#endif

#endif
