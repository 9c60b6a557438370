/* support/harness.h - what every conformance program shares: which backend is under test, a ring
 * on it and on no other, and what has to be true again when a test is over.
 *
 * A program takes the backend's name from argv[1], else from KULA_TEST_BACKEND. Where the kernel or
 * a policy refuses that backend the program prints why and exits with 77 (skipped), unless
 * KULA_EXPECT lists the backend: then it fails.
 *
 * Around each test: the ring closes at once, no descriptor and no thread is left, the library
 * warned of nothing and the misuse hook ran exactly as often as the test said it would.
 */
#ifndef KULA_TESTS_HARNESS_H
#define KULA_TESTS_HARNESS_H

#include <kula.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HARNESS_SKIPPED 77

/* Longer than anything that works takes, also under a sanitizer on a busy machine. */
#define PATIENCE_NS (60 * KULA_SECOND)

struct test_context {
    struct kula_ring *ring;    /* closed by the teardown unless the test made it NULL */
    unsigned misuses_expected; /* checked by the teardown */
    bool warnings_expected;    /* the test provokes warnings in the log */
    bool threads_left;         /* the test leaves a worker of an abandoned ring behind */
};

/* One test: the function's name is the sentence that it proves. */
#define PROVES(function) \
    cmocka_unit_test_setup_teardown(function, harness_setup, harness_teardown)

/* The body of main: decides whether the backend is there, then runs the tests. */
#define HARNESS_MAIN(argc, argv, tests) \
    harness_run(argc, argv, tests, sizeof(tests) / sizeof((tests)[0]))

int harness_run(int argc, char **argv, const struct CMUnitTest *tests, size_t count);
int harness_setup(void **state);
int harness_teardown(void **state);

struct test_context *harness_context(void **state);
struct kula_ring *harness_ring(void **state);

/* The name of the backend under test. */
const char *harness_backend(void);
bool harness_backend_is(const char *name);

/* A further ring on the backend under test. `entries` 0 = the default. The test closes it. */
struct kula_ring *harness_open(uint32_t entries);

/* The config that harness_open starts from, for tests that need other fields. */
struct kula_config harness_config(void);

/* Closes a ring for good; fails the test when that is refused. */
void harness_close(struct kula_ring **ring);

/* What the misuse hook and the log sink have seen since the test began. */
unsigned harness_misuses(void);
const char *harness_last_misuse(void);
unsigned harness_warnings(void);
const char *harness_last_warning(void);

/* Open descriptors of this process below 4096; works without /proc. */
unsigned harness_fd_count(void);

/* Whether a descriptor was open when the test began. */
bool harness_fd_was_open(int fd);

/* Threads of this process, or -1 when that cannot be told (no /proc). */
int harness_thread_count(void);

/* Monotonic nanoseconds, and the processor time that this process has used. */
int64_t harness_now_ns(void);
int64_t harness_cpu_ns(void);
void harness_sleep_ns(int64_t duration_ns);

/* Whether a sanitizer slows this program down and owns its memory. */
bool harness_sanitized(void);

/* Whether checked mode leaves room between buffers, so that none begins where another one ends. */
bool harness_keeps_buffers_apart(void);

/* For a test that looks, on purpose, at bytes of which nobody has promised what they hold. */
void harness_look_at_anything(const void *bytes, size_t count);

/* ThreadSanitizer holds a signal's handler back until the thread makes a call that it knows. */
bool harness_delays_signals(void);

/* Prints why, with the kernel's release, and skips the test: it does not apply to this backend, build or
 * mask. */
#define SKIP_BECAUSE(...)                \
    do {                                 \
        harness_print_skip(__VA_ARGS__); \
        skip();                          \
    } while (0)
void harness_print_skip(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* The same for what this machine does not give (a terminal, a tmpfs, O_DIRECT). Where KULA_EXPECT lists
 * "machine" it fails instead. */
#define SKIP_WANTING(...)                    \
    do {                                     \
        harness_print_skip(__VA_ARGS__);     \
        if (harness_expects("machine")) {    \
            fail_msg("expected to be here"); \
        }                                    \
        skip();                              \
    } while (0)

/* Whether KULA_EXPECT lists a word. */
bool harness_expects(const char *word);

/* Compares results and names both errno values when they differ. */
#define assert_result(actual, expected) \
    harness_assert_result((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
void harness_assert_result(int64_t actual,
                           int64_t expected,
                           const char *text,
                           const char *file,
                           int line);

#endif
