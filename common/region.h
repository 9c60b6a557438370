/* region.h - a piece of mapped memory that buffers are cut from, and what the kernel knows of it.
 *
 * A region that a ring's kernel side knows (registered memory, a group's ring) must be made unknown
 * there before it is unmapped, and only the ring's owner may do that. So it belongs to the ring's
 * list of regions. The last buffer may be freed on any thread: on another one the region is put aside,
 * still mapped, until the owner comes by (when it makes or frees a region, or closes the ring). A
 * ring that goes leaves its regions behind as ordinary memory.
 */
#ifndef KULA_COMMON_REGION_H
#define KULA_COMMON_REGION_H

#include "pages.h"
#include "slot.h"

struct kula_pool;
struct kula_ring;

struct kula__region {
    struct kula__pages pages;
    ptrdiff_t alias; /* not 0: checked mode has mapped it twice; see slot.h */

    /* The ring whose kernel side knows the memory, by its id; 0: none. Written by its owner only,
     * so that the owner need not lock to compare it with its own. */
    _Atomic uint32_t ring_id;
    bool registered;        /* what it knows is the memory; the owner's */
    uint32_t number;        /* and under which number: the backend's */
    struct kula_ring *ring; /* the same ring, in whose list this is; under the regions' lock */
    struct kula__region *next;  /* in that list, or in the list of those put aside */
    struct kula__region **link; /* what points here */

    /* What it knows, or could know, is a group of buffers to choose from. The kernel reads `group`: a
     * ring of entries that names the buffers which it may choose. Nothing chooses yet, and the ring
     * is empty; an operation that lets the kernel choose takes buffers from the pool's stock, enters
     * them here, and finds in each completion the one that was chosen. */
    void *group; /* KULA__GROUP_ENTRY_BYTES for each, mapped; NULL: the library would choose */
    uint32_t group_count;
    uint32_t group_number; /* the backend's */

    /* Of a kula_pool; see stock.c. */
    struct kula_pool *pool;
    struct kula__region *next_in_pool;
    struct kula__chunks records; /* of its buffers */
    uint32_t count;              /* how many there are */
    uint32_t buffer_bytes;       /* the capacity of each */
    size_t stride;               /* from one to the next */
    uint32_t front;              /* bytes of checked mode before each; as many belong to it */
};

/* A region of at least `bytes`, as wished. `ring` may be NULL: then nothing is registered. NULL: no
 * memory. The report is filled but for KULA_MEMORY_WIPE, which is not the region's business. Thread:
 * the ring's owner, or any without one. */
struct kula__region *kula__region_new(struct kula_ring *ring,
                                      size_t bytes,
                                      const struct kula_memory *wishes,
                                      struct kula_memory_report *report);

/* The same of ordinary memory, mapped as checked mode maps that of a ring's pool. */
struct kula__region *kula__region_new_watched(size_t bytes, struct kula_memory_report *report);

/* Tells the ring's kernel side that it may choose from the region's buffers; 0, or a negative errno and
 * the library chooses. Thread: the ring's owner. */
int kula__region_group(struct kula_ring *ring, struct kula__region *region, uint32_t count);

/* Unmaps a region of which nothing is used any more, now or when its ring allows. Thread: any. */
void kula__region_free(struct kula__region *region);

/* The ring goes: its regions become ordinary memory. After the backend has closed. */
void kula__regions_leave(struct kula_ring *ring);

/* Keep the lists still while fork() copies them. */
void kula__regions_lock(void);
void kula__regions_unlock(void);

/* The region in whose registered memory a buffer, a part or a reference lies, if this ring's kernel side
 * knows it; else NULL. Thread: owner, who has the record. */
const struct kula__region *kula__region_known(const struct kula_ring *ring,
                                              const struct kula__slot *slot);

#endif
