/* absent.c - a backend that this library was built without. */
#include "absent.h"

#include <errno.h>
#include <stdio.h>

int kula__absent_open(struct kula_ring *ring, struct kula_candidate *verdict)
{
    (void)ring;
    verdict->verdict = KULA_VERDICT_NOT_BUILT;
    snprintf(verdict->cause, sizeof verdict->cause, "this library was built without %s",
             verdict->name);
    snprintf(verdict->remedy, sizeof verdict->remedy,
             "build the library with it: on Linux, with the headers that it needs, and without "
             "KULA_NO_LINUX");
    return -ENOSYS;
}
