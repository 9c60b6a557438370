/* aside.h - driving a ring for something else than its events: closing it, or waiting for memory that
 * is lent. Backends do not sleep while there are events to pull, and would see to it that kula_wait
 * returns after a kula_wake; so both are set aside until it is over, and then are as they would be if
 * the program had waited. */
#ifndef KULA_COMMON_ASIDE_H
#define KULA_COMMON_ASIDE_H

#include "ring.h"

struct kula__aside {
    struct kula__list done;
    struct kula__landed *landed_next;
    bool grounded;
    bool woken;
};

/* Begins: nothing is there to be pulled, and operations that end are seen at once. */
void kula__aside_begin(struct kula_ring *ring, struct kula__aside *aside);

/* Adds what has come meanwhile. */
void kula__aside_more(struct kula_ring *ring, struct kula__aside *aside);

/* Ends: everything is back in its order, and a wake that came is the next wait's. */
void kula__aside_end(struct kula_ring *ring, struct kula__aside *aside);

#endif
