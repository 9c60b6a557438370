/* kula/compiler.h - how this header makes compilers follow a buffer.
 *
 * Nothing here is for programs to call. Each macro expands to nothing on a compiler that does not
 * know the attribute, so the library builds the same everywhere; what differs is how much the
 * compiler can tell you. What each one finds, measured, is in docs/ownership.md.
 */
#ifndef KULA_COMPILER_H
#define KULA_COMPILER_H

#include <stddef.h>

#if defined __clang__
#    define KULA_GCC_   0
#    define KULA_CLANG_ __clang_major__
#elif defined __GNUC__
#    define KULA_GCC_   __GNUC__
#    define KULA_CLANG_ 0
#else
#    define KULA_GCC_   0
#    define KULA_CLANG_ 0
#endif

#if defined __has_attribute
#    define KULA_HAS_ATTRIBUTE_(name) __has_attribute(name)
#else
#    define KULA_HAS_ATTRIBUTE_(name) 0
#endif

#if KULA_GCC_ || KULA_CLANG_
#    define KULA_MUST_USE __attribute__((__warn_unused_result__))
#    define KULA_PURE_    __attribute__((__pure__))
#    define KULA_INLINE_  static inline __attribute__((__always_inline__))
/* C++ is told that the library does not throw: each call would need a way to unwind, and clang says
 * nothing about the calls below that should not survive if they might throw. */
#    if defined __cplusplus
#        define KULA_API __attribute__((__visibility__("default"), __nothrow__))
#    else
#        define KULA_API __attribute__((__visibility__("default")))
#    endif
#else
#    define KULA_MUST_USE
#    define KULA_PURE_
#    define KULA_INLINE_ static inline
#    define KULA_API
#endif

/* The library's own files leave nonnull out: there it would let the optimiser drop the very
 * tests that refuse an empty handle. */
#if (KULA_GCC_ || KULA_CLANG_) && !defined KULA_BUILDING
#    define KULA_NONNULL_(n) __attribute__((__nonnull__(n)))
#else
#    define KULA_NONNULL_(n)
#endif

/* gcc pairs a producer with each of its consumers (two-argument form, gcc 11 and later; clang
 * below 22 refuses it, although it says that it knows the attribute's name). */
#if KULA_GCC_ >= 11
#    define KULA_ENDS_(consumer, n) __attribute__((__malloc__(consumer, n)))
#else
#    define KULA_ENDS_(consumer, n)
#endif

/* clang marks both ends. Below clang 20 the analyser follows the class "malloc" only. */
#if KULA_CLANG_ && KULA_HAS_ATTRIBUTE_(ownership_takes)
#    if KULA_CLANG_ >= 20
#        define KULA_OWNERSHIP_CLASS_ kula
#    else
#        define KULA_OWNERSHIP_CLASS_ __malloc__
#    endif
#    define KULA_TAKES_(n) __attribute__((__ownership_takes__(KULA_OWNERSHIP_CLASS_, n)))
#    define KULA_GIVES_    __attribute__((__ownership_returns__(KULA_OWNERSHIP_CLASS_)))
#else
#    define KULA_TAKES_(n)
#    define KULA_GIVES_
#endif

#if KULA_HAS_ATTRIBUTE_(alloc_size) || KULA_GCC_
#    define KULA_ALLOC_SIZE_(n) __attribute__((__alloc_size__(n)))
#else
#    define KULA_ALLOC_SIZE_(n)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A call that survives optimisation is reported with its text: it survives only where the
 * compiler has proved that the handle is empty, or that the length is larger than the buffer.
 * The attribute is "warning", so that a program with an invariant that the compiler cannot see is
 * told and not stopped; our own builds turn it into an error. Both functions exist and do nothing:
 * what happens then is that the call after them is refused. */
#if (KULA_GCC_ || KULA_CLANG_ >= 14) && KULA_HAS_ATTRIBUTE_(warning) && \
    !defined __clang_analyzer__
#    define KULA_SURVIVES_(text) __attribute__((__warning__(text)))
#    define KULA_CHECK_LIVE_(handle)                                          \
        do {                                                                  \
            if (__builtin_constant_p((handle) == NULL) && (handle) == NULL) { \
                kula_static_moved_();                                         \
            }                                                                 \
        } while (0)
/* The size goes through a variable: clang 14 answers __builtin_constant_p of an expression that
 * contains __builtin_object_size with "no" before it has followed the handle. */
#    define KULA_CHECK_LENGTH_(handle, length)                             \
        do {                                                               \
            size_t kula_object_size_ = __builtin_object_size((handle), 0); \
            if (__builtin_constant_p((length) > kula_object_size_) &&      \
                (length) > kula_object_size_) {                            \
                kula_static_length_();                                     \
            }                                                              \
        } while (0)
#else
#    define KULA_SURVIVES_(text)
#    if defined __clang_analyzer__
void kula_analyzer_live_(const void *handle) KULA_PURE_ KULA_NONNULL_(1);
#        define KULA_CHECK_LIVE_(handle) kula_analyzer_live_(handle)
#    else
#        define KULA_CHECK_LIVE_(handle) ((void)0)
#    endif
#    define KULA_CHECK_LENGTH_(handle, length) ((void)(length))
#endif
KULA_API void kula_static_moved_(void)
    KULA_SURVIVES_("kula: this handle is empty here: its buffer was already handed over");
KULA_API void kula_static_length_(void)
    KULA_SURVIVES_("kula: this length is larger than the buffer");

/* For clang's analyser only. It believes that the other arguments of an annotated call do not
 * escape (seen in 22), and would call `user` leaked. It also takes it that a call changes whatever
 * its arguments reach. So this stands after the variable was emptied: `user` is often the struct
 * with the variable in it, which whoever gets the event may have filled again. */
#if defined __clang_analyzer__
void kula_analyzer_escape_(void *pointer);
#    define KULA_ESCAPE_(pointer) kula_analyzer_escape_(pointer)
#else
#    define KULA_ESCAPE_(pointer) ((void)0)
#endif

/* What holds, and it cannot know: it takes it that every producer may give nothing. */
#if defined __clang_analyzer__
#    define KULA_ANALYZER_ASSUME_(condition) \
        do {                                 \
            if (!(condition)) {              \
                __builtin_unreachable();     \
            }                                \
        } while (0)
#else
#    define KULA_ANALYZER_ASSUME_(condition) ((void)0)
#endif

/* -DKULA_LINT: for analysis only, never to be run. A pointer that an opaque call returns has no
 * connection with the handle for a compiler; here it is the handle, and so a pointer to the payload
 * that is kept across a hand-over is used after free. Such a program does not link: the name that
 * it wants says why. */
#if defined KULA_LINT && (KULA_GCC_ || KULA_CLANG_)
extern const char kula_built_with_KULA_LINT_which_is_for_analysis_only;
static const char *const kula_lint_ __attribute__((__used__)) =
    &kula_built_with_KULA_LINT_which_is_for_analysis_only;
#    if defined __clang_analyzer__
/* The memory of class "malloc" has no contents, and reading it would be reported. This gives it some;
 * it is marked as a consumer (of nothing), because the argument of any other call escapes. */
void kula_lint_fill_(void *memory, void *nothing) KULA_TAKES_(2);
#    else
#        define kula_lint_fill_(memory, nothing) ((void)0)
#    endif
#    define KULA_BYTES_(type, handle, call) (kula_lint_fill_((handle), NULL), (type *)(handle))
#else
#    define KULA_BYTES_(type, handle, call) (call)
#endif

#ifdef __cplusplus
}
#endif

#endif
