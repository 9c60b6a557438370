/* operation.h - the one list of what an operation is.
 *
 * Everything that has one entry for each operation is built from this list: the names and routes of
 * the report, the plain-call performers (perform.c), the ring preparations (backends/uring). An
 * entry that somebody forgot is a missing function, and does not compile.
 *
 *   X(NAME, name, TRANSFER, READINESS, RESULT, CLASS)
 *
 *   TRANSFER   which way the program's bytes go: NONE, IN (the kernel writes the buffer) or OUT
 *   READINESS  what a descriptor that has to be waited for must become: 0, POLLIN or POLLOUT
 *   RESULT     COUNT (bytes), DESCRIPTOR (closed by the library if nobody takes it) or PLAIN
 *   CLASS      what a call that cannot be tried without waiting may cost: QUICK (never blocks, runs in
 *              place on every backend), FILE (storage), SLOW (may wait for ever for somebody else)
 */
#ifndef KULA_COMMON_OPERATION_H
#define KULA_COMMON_OPERATION_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define KULA__OPERATIONS(X)                           \
    X(NOP, nop, NONE, 0, PLAIN, QUICK)                \
    X(READ, read, IN, POLLIN, COUNT, FILE)            \
    X(WRITE, write, OUT, POLLOUT, COUNT, FILE)        \
    X(READV, readv, IN, POLLIN, COUNT, FILE)          \
    X(WRITEV, writev, OUT, POLLOUT, COUNT, FILE)      \
    X(RECV, recv, IN, POLLIN, COUNT, SLOW)            \
    X(SEND, send, OUT, POLLOUT, COUNT, SLOW)          \
    X(SOCKET, socket, NONE, 0, DESCRIPTOR, QUICK)     \
    X(BIND, bind, NONE, 0, PLAIN, QUICK)              \
    X(LISTEN, listen, NONE, 0, PLAIN, QUICK)          \
    X(ACCEPT, accept, NONE, POLLIN, DESCRIPTOR, SLOW) \
    X(CONNECT, connect, NONE, POLLOUT, PLAIN, SLOW)   \
    X(SHUTDOWN, shutdown, NONE, 0, PLAIN, QUICK)      \
    X(OPENAT, openat, NONE, 0, DESCRIPTOR, SLOW)      \
    X(CLOSE, close_fd, NONE, 0, PLAIN, FILE)          \
    X(FSYNC, fsync, NONE, 0, PLAIN, FILE)             \
    X(FDATASYNC, fdatasync, NONE, 0, PLAIN, FILE)     \
    X(STATX, statx, NONE, 0, PLAIN, FILE)             \
    X(POLL, poll, NONE, 0, PLAIN, SLOW)               \
    X(TIMER, timer, NONE, 0, PLAIN, QUICK)            \
    X(OFFLOAD, offload, NONE, 0, PLAIN, SLOW)

enum kula__operation {
    KULA__OP_NONE = 0,
#define X(NAME, name, transfer, readiness, result, class) KULA__OP_##NAME,
    KULA__OPERATIONS(X)
#undef X
    KULA__OP_COUNT,
    KULA__OP_MESSAGE = KULA__OP_COUNT, /* kula_post: an event without an operation */
};

enum kula__transfer {
    KULA__TRANSFER_NONE,
    KULA__TRANSFER_IN,
    KULA__TRANSFER_OUT
};
enum kula__result {
    KULA__RESULT_PLAIN,
    KULA__RESULT_COUNT,
    KULA__RESULT_DESCRIPTOR
};
enum kula__class {
    KULA__CLASS_QUICK,
    KULA__CLASS_FILE,
    KULA__CLASS_SLOW
};

struct kula__operation_facts {
    const char *name; /* as in "kula_" name */
    uint8_t transfer; /* enum kula__transfer */
    uint8_t result;   /* enum kula__result */
    uint8_t class;    /* enum kula__class */
    short readiness;  /* POLLIN, POLLOUT or 0 */
};

extern const struct kula__operation_facts kula__operation_facts[KULA__OP_COUNT];

#endif
