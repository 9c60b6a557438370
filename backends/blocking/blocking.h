/* blocking.h - plain calls on the ring's own thread, and poll(2) so that an operation that waits does
 * not hold up the others. POSIX is enough for it.
 */
#ifndef KULA_BACKENDS_BLOCKING_BLOCKING_H
#define KULA_BACKENDS_BLOCKING_BLOCKING_H

#include "common/backend.h"

extern const struct kula__backend kula__backend_blocking;

#endif
