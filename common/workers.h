/* workers.h - a ring's worker threads: bounded, growing, made when first needed.
 *
 * Two classes share them: FILE calls end by themselves; SLOW ones may wait for ever for somebody else
 * (opening a FIFO, a function of the program). SLOW calls never get the last quarter of the threads
 * (at least one), so files do not starve behind them. All signals are blocked in workers, and
 * workers are never signalled: a call that runs cannot be stopped.
 */
#ifndef KULA_COMMON_WORKERS_H
#define KULA_COMMON_WORKERS_H

#include "fd.h"
#include "slot.h"

struct kula_ring;
struct kula__workers;

/* Gives an operation to a worker, making one if all are busy and there are fewer than
 * settings.threads_max. The worker runs kula__perform() (or the offloaded function) and brings the
 * record home through kula__inbox_push(). Sets KULA__POOLED. 0, or -EAGAIN, -ENOMEM when there is no
 * worker and none can be made: the record is still the caller's. Thread: owner. */
int kula__workers_push(struct kula_ring *ring, struct kula__slot *slot);

/* The same for whoever has no other way left. Where no thread can be had, what ends by itself is done
 * here and now: better late than never. What may wait for ever for somebody else is refused, -ENOMEM:
 * nothing could stop it, no cancel, no deadline, and the ring's thread would wait with it. (-EAGAIN would
 * say that the program had asked not to wait.) `kind` is what the descriptor is. */
void kula__workers_give(struct kula_ring *ring,
                        struct kula__slot *slot,
                        enum kula__fd_kind kind);

/* The result of an operation that has come home, once, and its offset is where it was: the result has
 * travelled in its place, and KULA_FULL goes on from there. Thread: owner. */
int32_t kula__workers_result(struct kula__slot *slot);

/* Ends an operation that no worker has begun, or asks one to end that waits to try again: 0, and its own
 * result decides. -EALREADY: it is in a call that cannot be stopped, or on its way home. Thread: owner. */
int kula__workers_cancel(struct kula_ring *ring, struct kula__slot *slot);

/* How many calls are running or waiting. Thread: owner. */
uint32_t kula__workers_busy(const struct kula_ring *ring);

/* Ends the threads and joins them. Only with nothing left for them to do. NULL is fine. */
void kula__workers_close(struct kula_ring *ring);

/* Runs a function of the program: kula_offload. */
int32_t kula__call_offloaded(struct kula__slot *slot);

#endif
