#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#    include <dirent.h>
#endif

#define FDS_LOOKED_AT 4096

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#    define SANITIZED true
#elif defined __has_feature
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
        __has_feature(memory_sanitizer)
#        define SANITIZED true
#    endif
#endif
#ifndef SANITIZED
#    define SANITIZED false
#endif
#if defined __SANITIZE_THREAD__
#    define DELAYS_SIGNALS 1
#elif defined __has_feature
#    if __has_feature(thread_sanitizer)
#        define DELAYS_SIGNALS 1
#    endif
#endif
#ifndef DELAYS_SIGNALS
#    define DELAYS_SIGNALS 0
#endif

#if defined __SANITIZE_ADDRESS__
#    define POISONED true
#elif defined __has_feature
#    if __has_feature(address_sanitizer)
#        define POISONED true
#    endif
#endif
#ifndef POISONED
#    define POISONED false
#endif

#if defined __has_feature
#    if __has_feature(memory_sanitizer)
#        define INITIALISED_ONLY 1
#        include <sanitizer/msan_interface.h>
#    endif
#endif
#ifndef INITIALISED_ONLY
#    define INITIALISED_ONLY 0
#endif
#if defined KULA_VALGRIND
#    include <valgrind/memcheck.h>
#endif

/* The log sink and the misuse hook run on whatever thread has something to say. */
static struct {
    pthread_mutex_t lock;
    unsigned misuses;
    unsigned warnings;
    char misuse[256];
    char warning[256];
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER };

static char backend_name[32];
static unsigned char fds_before[FDS_LOOKED_AT];
static int threads_before;

static void hear_log(void *arg, int level, const char *text)
{
    (void)arg;
    if (level > KULA_LOG_WARNING) {
        return;
    }
    pthread_mutex_lock(&heard.lock);
    heard.warnings++;
    snprintf(heard.warning, sizeof heard.warning, "%s", text);
    pthread_mutex_unlock(&heard.lock);
}

static void hear_misuse(void *arg, const struct kula_misuse *misuse)
{
    (void)arg;
    pthread_mutex_lock(&heard.lock);
    heard.misuses++;
    snprintf(heard.misuse, sizeof heard.misuse, "%s: %s", misuse->operation, misuse->reason);
    pthread_mutex_unlock(&heard.lock);
}

unsigned harness_misuses(void)
{
    pthread_mutex_lock(&heard.lock);
    unsigned count = heard.misuses;
    pthread_mutex_unlock(&heard.lock);
    return count;
}

const char *harness_last_misuse(void)
{
    return heard.misuse;
}

unsigned harness_warnings(void)
{
    pthread_mutex_lock(&heard.lock);
    unsigned count = heard.warnings;
    pthread_mutex_unlock(&heard.lock);
    return count;
}

const char *harness_last_warning(void)
{
    return heard.warning;
}

const char *harness_backend(void)
{
    return backend_name;
}

bool harness_backend_is(const char *name)
{
    return strcmp(backend_name, name) == 0;
}

bool harness_sanitized(void)
{
    return SANITIZED;
}

#if DELAYS_SIGNALS /* ThreadSanitizer */
/* The library's fibers count as threads for it, and it does not let the child of a process with threads
 * start one, unless asked: some tests do that. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

void harness_look_at_anything(const void *bytes, size_t count)
{
    (void)bytes;
    (void)count;
#if INITIALISED_ONLY
    __msan_unpoison(bytes, count);
#endif
#if defined KULA_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(bytes, count);
#endif
}

bool harness_keeps_buffers_apart(void)
{
    const char *debug = getenv("KULA_DEBUG");
    return POISONED || (debug && (strstr(debug, "canary") || strstr(debug, "guard")));
}

bool harness_delays_signals(void)
{
    return DELAYS_SIGNALS;
}

int64_t harness_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * KULA_SECOND + now.tv_nsec;
}

int64_t harness_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * KULA_SECOND + used.tv_nsec;
}

void harness_sleep_ns(int64_t duration_ns)
{
    struct timespec left = { (time_t)(duration_ns / KULA_SECOND),
                             (long)(duration_ns % KULA_SECOND) };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static unsigned char fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
}

unsigned harness_fd_count(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
        count += fd_is_open(fd);
    }
    return count;
}

bool harness_fd_was_open(int fd)
{
    return fd >= 0 && fd < FDS_LOOKED_AT && fds_before[fd];
}

int harness_thread_count(void)
{
#ifdef __linux__
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) {
        return -1;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        count += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
#else
    return -1;
#endif
}

struct kula_config harness_config(void)
{
    static char strict[48];
    snprintf(strict, sizeof strict, "strict:%s", backend_name);
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = strict;
    config.log = hear_log;
    return config;
}

struct kula_ring *harness_open(uint32_t entries)
{
    struct kula_config config = harness_config();
    config.entries = entries;
    struct kula_ring *ring = NULL;
    assert_result(kula_open(&config, &ring), 0);
    assert_non_null(ring);
    assert_string_equal(kula_backend_name(ring), backend_name);
    return ring;
}

void harness_close(struct kula_ring **ring)
{
    assert_result(kula_close(ring, PATIENCE_NS), 0);
    assert_null(*ring);
}

struct test_context *harness_context(void **state)
{
    return *state;
}

struct kula_ring *harness_ring(void **state)
{
    return harness_context(state)->ring;
}

int harness_setup(void **state)
{
    static struct test_context context;
    memset(&context, 0, sizeof context);
    *state = &context;
    pthread_mutex_lock(&heard.lock);
    heard.misuses = heard.warnings = 0;
    heard.misuse[0] = heard.warning[0] = '\0';
    pthread_mutex_unlock(&heard.lock);
    kula_on_misuse(hear_misuse, NULL);
    threads_before = harness_thread_count();
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
        fds_before[fd] = fd_is_open(fd);
    }
    context.ring = harness_open(0);
    return 0;
}

static int check_fds(void)
{
    int wrong = 0;
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
        unsigned char now = fd_is_open(fd);
        if (now == fds_before[fd]) {
            continue;
        }
        char link[64];
        char target[PATH_MAX] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        print_error("descriptor %d was %s and is %s %s\n", fd,
                    fds_before[fd] ? "open" : "closed", now ? "open" : "closed", target);
        wrong++;
    }
    return wrong;
}

/* The kernel's own ring workers end a little after the ring, so this waits for the count. */
static int check_threads(void)
{
    int now = harness_thread_count();
    int64_t limit = harness_now_ns() + 20 * KULA_SECOND;
    while (now > threads_before && harness_now_ns() < limit) {
        harness_sleep_ns(KULA_MILLISECOND);
        now = harness_thread_count();
    }
    if (now > threads_before) {
        print_error("%d threads before the test, %d after it\n", threads_before, now);
        return 1;
    }
    return 0;
}

int harness_teardown(void **state)
{
    struct test_context *context = *state;
    int wrong = 0;
    int closed = kula_close(&context->ring, PATIENCE_NS);
    if (closed != 0) {
        print_error("kula_close answered %d (%s)\n", closed, strerror(-closed));
        wrong++;
    }
    if (harness_misuses() != context->misuses_expected) {
        print_error("%u misuses were reported, %u expected; the last one: %s\n",
                    harness_misuses(), context->misuses_expected, harness_last_misuse());
        wrong++;
    }
    if (harness_warnings() > 0 && !context->warnings_expected) {
        print_error("%u warnings; the last one: %s\n", harness_warnings(),
                    harness_last_warning());
        wrong++;
    }
    wrong += context->threads_left ? 0 : check_threads();
    wrong += check_fds();
    return wrong == 0 ? 0 : -1;
}

void harness_print_skip(const char *format, ...)
{
    struct utsname names;
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    uname(&names);
    print_message("skipped: %s (%s %s)\n", reason, names.sysname, names.release);
}

static void print_outcome(int64_t value)
{
    if (value < 0 && value > -4096) {
        print_error("%lld (%s)", (long long)value, strerror((int)-value));
    } else {
        print_error("%lld", (long long)value);
    }
}

void harness_assert_result(int64_t actual,
                           int64_t expected,
                           const char *text,
                           const char *file,
                           int line)
{
    if (actual == expected) {
        return;
    }
    print_error("%s is ", text);
    print_outcome(actual);
    print_error(", not ");
    print_outcome(expected);
    print_error("\n");
    _fail(file, line);
}

bool harness_expects(const char *word)
{
    const char *list = getenv("KULA_EXPECT");
    size_t length = strlen(word);
    while (list && *list) {
        size_t item = strcspn(list, ", ");
        if (item == length && strncmp(list, word, length) == 0) {
            return true;
        }
        list += item;
        list += strspn(list, ", ");
    }
    return false;
}

/* -ENOMEM: rings count against RLIMIT_MEMLOCK again (Linux 6.18, not 6.1), which may be 0. */
static bool means_unavailable(int error)
{
    return error == -ENOSYS || error == -EPERM || error == -EACCES || error == -EOPNOTSUPP ||
           error == -ENOMEM;
}

/* 0: the backend is there; otherwise the status to exit with. */
static int find_backend(void)
{
    struct kula_report report = { .size = sizeof report };
    struct kula_config config = harness_config();
    config.report = &report;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    if (error == 0) {
        return kula_close(&ring, -1) == 0 ? 0 : EXIT_FAILURE;
    }
    struct utsname names;
    uname(&names);
    const char *cause = report.candidate_count > 0 ? report.candidates[0].cause : report.reason;
    bool skipped = means_unavailable(error) && !harness_expects(backend_name);
    fprintf(stderr, "%s: %s is not available on %s %s: %s (%s)\n",
            skipped ? "skipped" : "failed", backend_name, names.sysname, names.release,
            strerror(-error), cause);
    return skipped ? HARNESS_SKIPPED : EXIT_FAILURE;
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* ThreadSanitizer adds a thread of its own to the first one that a program starts. It has to be
 * there before threads are counted. */
static void start_first_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0) {
        pthread_join(thread, NULL);
    }
}

int harness_run(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
    const char *name = argc > 1 ? argv[1] : getenv("KULA_TEST_BACKEND");
    if (!name || strlen(name) >= sizeof backend_name) {
        fprintf(stderr, "usage: %s BACKEND [TEST-PATTERN]\n", argv[0]);
        return EXIT_FAILURE;
    }
    /* A test that hangs is killed from outside; what it printed has to be out by then. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(backend_name, sizeof backend_name, "%s", name);
    /* It wins over the config, and the config has to name the backend under test. */
    unsetenv("KULA_BACKEND");
    start_first_thread();
    int status = find_backend();
    if (status != 0) {
        return status;
    }
    if (argc > 2) {
        cmocka_set_test_filter(argv[2]);
    }
    return _cmocka_run_group_tests(argv[0], tests, count, NULL, NULL) == 0 ? EXIT_SUCCESS
                                                                           : EXIT_FAILURE;
}
