#include "planted.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

/* How far a culprit's instructions may be from its first one. */
#define CULPRIT_BYTES 256u

static const unsigned char *watched;
static size_t watched_count;

static void fail(const char *what, int error)
{
    fprintf(stderr, "planted: %s: %s\n", what, strerror(error));
    exit(EXIT_FAILURE);
}

__attribute__((__noinline__)) unsigned char planted_read(const unsigned char *bytes, size_t at)
{
    const volatile unsigned char *byte = bytes + at;
    return *byte;
}

__attribute__((__noinline__)) void planted_write(unsigned char *bytes, size_t at)
{
    volatile unsigned char *byte = bytes + at;
    *byte = (unsigned char)'!';
}

__attribute__((__noinline__)) void planted_branch(const unsigned char *bytes, size_t at)
{
    const volatile unsigned char *byte = bytes + at;
    if (*byte == 'x') {
        fputs("planted: an x\n", stdout);
    }
}

void planted_watch(const unsigned char *bytes, size_t count)
{
    watched = bytes;
    watched_count = count;
}

static uintptr_t program_counter(const ucontext_t *context)
{
#if defined __x86_64__ && !defined KULA_NO_LINUX
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__ && !defined KULA_NO_LINUX
    return (uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* The one that begins last before the instruction, if it is near. */
static const char *culprit_at(uintptr_t counter)
{
    uintptr_t reader = counter - (uintptr_t)planted_read;
    uintptr_t writer = counter - (uintptr_t)planted_write;
    if (reader >= CULPRIT_BYTES && writer >= CULPRIT_BYTES) {
        return "something else";
    }
    return reader < writer ? "planted_read" : "planted_write";
}

/* A debugger would show the same: the address, and the instruction. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    char text[160];
    (void)number;
    int length = snprintf(text, sizeof text, "SIGSEGV at byte %td of %zu, in %s\n",
                          (const unsigned char *)info->si_addr - watched, watched_count,
                          culprit_at(program_counter(context)));
    _exit(length > 0 && write(STDERR_FILENO, text, (size_t)length) == length ? 3 : 4);
}

static void listen_for_faults(void)
{
    const char *debug = getenv("KULA_DEBUG");
    if (debug && strstr(debug, "guard")) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, NULL);
    }
}

struct kula_ring *planted_open(int argc, char **argv)
{
    static char backend[64];
    if (argc != 2) {
        fprintf(stderr, "usage: %s BACKEND\n", argv[0]);
        exit(EXIT_FAILURE);
    }
    listen_for_faults();
    snprintf(backend, sizeof backend, "strict:%s", argv[1]);
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = backend;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    if (error < 0) {
        exit(77);
    }
    return ring;
}

int planted_close(struct kula_ring *ring)
{
    int error = kula_close(&ring, KULA_FOREVER);
    if (error < 0) {
        fail("kula_close", -error);
    }
    return EXIT_SUCCESS;
}

struct kula_pool *planted_pool(struct kula_ring *ring, size_t buffer_bytes)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = buffer_bytes;
    config.count = 4;
    struct kula_pool *pool = NULL;
    int error = kula_pool_open(ring, &config, &pool);
    if (error < 0) {
        fail("kula_pool_open", -error);
    }
    return pool;
}

void planted_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        perror("planted: socketpair");
        exit(EXIT_FAILURE);
    }
}

void planted_connection(int fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
        connect(fds[0], (struct sockaddr *)&address, length) < 0 ||
        (fds[1] = accept(listener, NULL, NULL)) < 0) {
        perror("planted: a connection over loopback");
        exit(EXIT_FAILURE);
    }
    close(listener);
}

void planted_put(int fd, const char *text)
{
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length) {
        perror("planted: write");
        exit(EXIT_FAILURE);
    }
}

void planted_start(struct kula_ring *ring)
{
    int result = kula_submit(ring);
    if (result < 0) {
        fail("kula_submit", -result);
    }
}

struct kula_event *planted_await(struct kula_ring *ring)
{
    int result = kula_wait(ring, 60 * KULA_SECOND);
    if (result <= 0) {
        fail("kula_wait", -result);
    }
    return kula_next(ring);
}

kula_buf planted_alias(kula_buf buffer)
{
    kula_buf volatile parked = buffer;
    return parked;
}
