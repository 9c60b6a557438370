/* explain.c - results in words: cause and remedy. */
#include "ring.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int error;
    const char *text;
} explanations[] = {
    { EINVAL,
      "an argument is impossible: check lengths against the capacity, offsets and flags" },
    { EBADF, "no such open descriptor, not open for this direction, or kula_close_fd was "
             "called on it" },
    { ESPIPE, "a position on something without positions: use KULA_CUR" },
    { EISDIR, "a directory cannot be read or written" },
    { ECANCELED,
      "ended early: by kula_cancel, kula_close_fd, a failed predecessor or a closing ring" },
    { ETIME,
      "the deadline passed before anything was moved: allow more time, or see what waits" },
    { EPERM, "refused by the system, or handed over on a thread that does not own the ring" },
    { EACCES, "permission denied: check modes, ownership and security policy of the file" },
    { ENOMEM, "no memory for what the operation has to keep: raise the limit or hold less" },
    { ENOBUFS, "no buffer space: too much is waiting; take events before sending more" },
    { EAGAIN, "it would have to wait, and KULA_NOWAIT or a missing worker forbids that" },
    { EOPNOTSUPP, "the kernel, the file system or the backend cannot do this" },
    { ENOSYS, "this kernel, or a filter in front of it, does not have the call" },
    { EFBIG, "the file would pass its largest size: see ulimit -f and the file system" },
    { ENOSPC, "the file system is full: free some space and write the rest again" },
    { EDQUOT, "the disk quota is used up" },
    { EIO, "the device failed: what was written may be lost; do not trust a later success" },
    { EPIPE, "the other side has closed: nobody will read what is sent" },
    { ECONNRESET, "the peer ended the connection without a word" },
    { ECONNREFUSED, "nobody listens at that address" },
    { ECONNABORTED, "the connection went away before it was ready" },
    { ENOTCONN, "the socket is not connected: connect or accept first" },
    { EISCONN, "the socket is connected already" },
    { ENOTSOCK, "not a socket: use kula_read and kula_write" },
    { EADDRINUSE, "the address is in use: see SO_REUSEADDR, or choose another port" },
    { EADDRNOTAVAIL, "no interface of this machine has that address" },
    { ENETUNREACH, "there is no route to that network" },
    { EHOSTUNREACH, "there is no route to that host" },
    { ETIMEDOUT, "the network gave no answer in its own time" },
    { EMFILE, "this process has too many open descriptors: close some, or raise ulimit -n" },
    { ENFILE, "the whole system has too many open files" },
    { ENOENT, "no such file, or no such operation any more" },
    { EEXIST, "the file exists already" },
    { ENOTDIR, "a part of the path is not a directory" },
    { ENAMETOOLONG, "the path is longer than the system allows" },
    { ELOOP, "too many symbolic links, or an operation that would wait for itself" },
    { EROFS, "the file system is mounted read-only" },
    { ETXTBSY, "the program file is being executed" },
    { EFAULT, "memory that the operation needs cannot be reached: was it unmapped?" },
    { EALREADY, "too late, or asked before" },
    { EBUSY, "operations still name it: wait for their events, or cancel them" },
    { EOWNERDEAD, "the ring belongs to the parent process: open one in the child" },
    { EDEADLK, "called from inside a function that the library called" },
    { ENOTRECOVERABLE,
      "the ring broke while the kernel had memory that was lent to it: it may be "
      "written for ever; do not free, use or leave it" },
    { EBADR, "the ring is broken: nothing more can be handed over; close or abandon it" },
};

const char *kula_explain(int32_t result)
{
    if (result >= 0) {
        return "success";
    }
    for (size_t i = 0; i < sizeof explanations / sizeof explanations[0]; i++) {
        if (-explanations[i].error == result) {
            return explanations[i].text;
        }
    }
    return "an error of the system call of the same name: see its manual page";
}

static const char *stopped_by(const struct kula_event *event)
{
    if (event->flags & KULA_EVENT_TIMED_OUT) {
        return " until the deadline passed";
    }
    if (event->flags & KULA_EVENT_CANCELLED) {
        return " until it was cancelled";
    }
    if (event->flags & KULA_EVENT_LATE) {
        return ", later than its deadline: the call could not be stopped";
    }
    return "";
}

const char *kula_event_explain(const struct kula_event *event)
{
    static _Thread_local char text[256];
    if (!event) {
        return "no event";
    }
    if (event->flags & KULA_EVENT_MESSAGE) {
        snprintf(text, sizeof text, "a message with the value %d", event->result);
        return text;
    }
    const struct kula__slot *slot =
        kula__slot_find(event->private_holder ? event->private_holder : event->op);
    const char *name = "operation";
    if (slot && slot->operation > KULA__OP_NONE && slot->operation < KULA__OP_COUNT) {
        name = kula__operation_facts[slot->operation].name;
    }
    if (event->result < 0) {
        snprintf(text, sizeof text, "%s: error %d: %s", name, -event->result,
                 kula_explain(event->result));
    } else if (event->flags & KULA_EVENT_ERROR) {
        snprintf(text, sizeof text, "%s: %d moved, then %s", name, event->result,
                 kula_explain(event->error));
    } else {
        snprintf(text, sizeof text, "%s: %d%s", name, event->result, stopped_by(event));
    }
    return text;
}
