/* start.c - what the ring hands over: tried at once, else parked or given to a worker. */
#include "state.h"

#include "common/perform.h"
#include "common/workers.h"

#include <errno.h>
#include <netinet/in.h>

/* How many operations that end at once and set others going one flush follows, beyond those that it
 * was called for. */
#define FOLLOW_MAX 1024u

static void give_away(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record)
{
    kula__workers_give(ring, slot,
                       record ? (enum kula__fd_kind)record->kind : KULA__FD_UNKNOWN);
}

/* Asked once for each registration, with the first short read. */
static uint32_t ask_tcp(struct kula__fd *record, int fd)
{
    int protocol = 0;
    socklen_t length = sizeof protocol;
    bool tcp = kula__fault("getsockopt", ENOMEM) == 0 &&
               getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
               protocol == IPPROTO_TCP;
    uint32_t answer = tcp ? KULA__EPOLL_TCP : KULA__EPOLL_NOT_TCP;
    record->backend_bits |= answer;
    return answer;
}

/* A read that brought less than was asked for may mean that there is no more; then the next one need
 * not be tried. epoll(7) promises it for streams, but reads of Unix sockets also end at passed
 * descriptors, and on TCP they end at the urgent mark and before the end of the stream: hence TCP
 * only, and never again once anything but plain readiness was told. What comes after the last
 * harvested edge brings an edge of its own. */
static void fell_short(struct kula__fd *record, const struct kula__slot *slot)
{
    bool reads = slot->operation == KULA__OP_READ ||
                 (slot->operation == KULA__OP_RECV && slot->opflags == 0);
    uint32_t known = record->backend_bits &
                     (KULA__EPOLL_TCP | KULA__EPOLL_NOT_TCP | KULA__EPOLL_OUT_OF_BAND);
    if (known == 0 && reads && record->registration) {
        known = ask_tcp(record, slot->fd);
    }
    if (known == KULA__EPOLL_TCP && reads) {
        record->backend_bits |= KULA__EPOLL_DRAINED_IN;
    }
}

/* After a try that did not settle it: -EAGAIN or -EOPNOTSUPP. */
static void not_now(struct kula_ring *ring,
                    struct kula__slot *slot,
                    struct kula__fd *record,
                    int32_t result)
{
    if (result == -EOPNOTSUPP && kula__can_be_tried(slot)) {
        kula__finish(ring, slot, result);
        return;
    }
    if (slot->attention & KULA__NOWAIT) {
        kula__attempt_abandon(slot);
        kula__finish(ring, slot, -EAGAIN);
        return;
    }
    if (result == -EOPNOTSUPP) {
        give_away(ring, slot, record);
        return;
    }
    int error = kula__epoll_park(ring, slot, record);
    if (error == 0) {
        return;
    }
    kula__attempt_abandon(slot);
    if (error == -EPERM) {
        give_away(ring, slot, record);
        return;
    }
    /* -ENOSPC is the limit of fs.epoll.max_user_watches: to a writer it would mean a full disk */
    kula__finish(ring, slot, error == -ENOSPC ? -ENOMEM : error);
}

void kula__epoll_try(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record)
{
    int32_t result = kula__attempt(ring, slot, record);
    if (kula__unlikely(result == -EAGAIN || result == -EOPNOTSUPP)) {
        not_now(ring, slot, record, result);
        return;
    }
    if (result > 0 && (uint32_t)result < slot->length) {
        fell_short(record, slot);
    }
    kula__finish(ring, slot, result);
}

static void start_ready(struct kula_ring *ring,
                        struct kula__slot *slot,
                        struct kula__fd *record)
{
    if (kula__epoll_is_drained(record, slot) && !(slot->attention & KULA__NOWAIT)) {
        (void)kula__epoll_park(ring, slot, record); /* registered, so nothing can go wrong */
        return;
    }
    if (slot->operation == KULA__OP_CONNECT) {
        kula__cold_of(slot)->scratch[0] = 0;
    }
    kula__epoll_try(ring, slot, record);
}

/* Closing a file may write it out; closing a socket that lingers waits for the peer, whatever its
 * O_NONBLOCK flag says. Other sockets, and pipes, are closed before a worker would have woken up. */
static bool closes_at_once(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    if (record->kind == KULA__FD_UNKNOWN && kula__fd_classify(ring, record, fd) < 0) {
        return true; /* -EBADF, and close(2) says so as well */
    }
    if (record->kind == KULA__FD_PIPE) {
        return true;
    }
    struct linger linger = { .l_onoff = 0 };
    socklen_t length = sizeof linger;
    return kula__fd_is_socket(record) && kula__fault("getsockopt", ENOMEM) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 &&
           (!linger.l_onoff || linger.l_linger == 0);
}

static void start_pooled(struct kula_ring *ring,
                         struct kula__slot *slot,
                         struct kula__fd *record)
{
    uint8_t operation = slot->operation;
    bool masked = (ring->settings.operations_off & UINT64_C(1) << operation) != 0;
    if (record && kula__operation_facts[operation].readiness != 0 &&
        record->kind != KULA__FD_FILE && record->kind != KULA__FD_DIRECTORY) {
        /* A transfer that was masked. A worker cannot be called back from a read that waits. */
        start_ready(ring, slot, record);
        return;
    }
    if (operation == KULA__OP_CLOSE && !masked && record &&
        closes_at_once(ring, record, slot->fd)) {
        kula__finish(ring, slot, kula__perform(slot, record->kind));
        return;
    }
    give_away(ring, slot, record);
}

static void start(struct kula_ring *ring, struct kula__slot *slot)
{
    uint8_t route = ring->routes[slot->operation];
    if (kula__likely(route == KULA_ROUTE_READY)) {
        start_ready(ring, slot, kula__epoll_record(ring, slot->fd));
        return;
    }
    struct kula__fd *record = slot->fd >= 0 ? kula__epoll_record(ring, slot->fd) : NULL;
    switch (route) {
    case KULA_ROUTE_POOL:
        start_pooled(ring, slot, record);
        break;
    case KULA_ROUTE_INLINE:
        kula__finish(ring, slot, kula__perform(slot, record ? record->kind : KULA__FD_UNKNOWN));
        break;
    default: /* KULA_ROUTE_LIBRARY: a nop; timers never come here */
        kula__finish(ring, slot, 0);
        break;
    }
}

int kula__epoll_submit(struct kula_ring *ring)
{
    struct kula__slot **last = ring->pending.tail; /* of those that it was called for */
    uint32_t more = FOLLOW_MAX;
    struct kula__slot *slot;
    while (ring->pending.head && (last || more-- > 0)) {
        slot = kula__list_pop(&ring->pending);
        if (&slot->next == last) {
            last = NULL;
        }
        start(ring, slot);
    }
    return 0;
}
