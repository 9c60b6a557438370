/* epoll.h - the backend for Linux without io_uring: readiness for sockets, pipes and terminals, worker
 * threads for files.
 *
 *   epoll.c   opening, with a real round trip; what goes which way; closing
 *   start.c   what the ring hands over: tried at once, else parked or given to a worker
 *   ready.c   registrations, and the queues of operations that wait for readiness
 *   wait.c    sleeping, what wakes us, and the pollable descriptor
 */
#ifndef KULA_BACKENDS_EPOLL_EPOLL_H
#define KULA_BACKENDS_EPOLL_EPOLL_H

#include "common/backend.h"

extern const struct kula__backend kula__backend_epoll;

#endif
