/* aside.c - driving a ring for something else than its events. */
#include "aside.h"

void kula__aside_begin(struct kula_ring *ring, struct kula__aside *aside)
{
    kula__list_init(&aside->done);
    aside->landed_next = ring->landed_next;
    aside->grounded = ring->grounded;
    aside->woken = false;
    ring->landed_next = ring->landed_end;
    ring->grounded = true; /* so that what has landed stays where it is */
    ring->inside = true;
    kula__aside_more(ring, aside);
}

void kula__aside_more(struct kula_ring *ring, struct kula__aside *aside)
{
    kula__list_splice(&aside->done, &ring->done);
    /* relaxed: a look; whoever calls kula_wake after it, wakes us when we sleep */
    if (atomic_load_explicit(&ring->woken, memory_order_relaxed) &&
        atomic_exchange(&ring->woken, 0)) {
        aside->woken = true;
    }
}

void kula__aside_end(struct kula_ring *ring, struct kula__aside *aside)
{
    kula__aside_more(ring, aside);
    kula__list_splice(&ring->done, &aside->done);
    ring->landed_next = aside->landed_next;
    ring->grounded = aside->grounded;
    ring->inside = false;
    if (aside->woken) {
        atomic_store(&ring->woken, 1);
    }
}
