/* pools.h - what a ring knows of the kula_pools that belong to it. The pools themselves: stock.h. */
#ifndef KULA_COMMON_POOLS_H
#define KULA_COMMON_POOLS_H

struct kula_ring;

/* The ring goes: its pools live on, and make ordinary memory when they grow. Thread: owner. */
void kula__pools_leave(struct kula_ring *ring);

#endif
