/* region.c - making, registering and unmapping regions. */
#include "region.h"

#include "ring.h"
#include "system.h"
#include "watch.h"

#include <errno.h>

static pthread_mutex_t regions_mutex =
    PTHREAD_MUTEX_INITIALIZER; /* for the lists of all rings */

void kula__regions_lock(void)
{
    pthread_mutex_lock(&regions_mutex);
}

void kula__regions_unlock(void)
{
    pthread_mutex_unlock(&regions_mutex);
}

/* ---- Lists -------------------------------------------------------------------------------- */

static void link_to(struct kula__region **list, struct kula__region *region)
{
    region->next = *list;
    region->link = list;
    if (region->next) {
        region->next->link = &region->next;
    }
    *list = region;
}

static void unlink_region(struct kula__region *region)
{
    *region->link = region->next;
    if (region->next) {
        region->next->link = region->link;
    }
}

/* From now on the ring's kernel side knows something of the region. */
static void join(struct kula_ring *ring, struct kula__region *region)
{
    kula__regions_lock();
    if (!region->ring) {
        region->ring = ring;
        link_to(&ring->regions, region);
    }
    kula__regions_unlock();
    /* relaxed: compared by this thread; others see it through the lock */
    atomic_store_explicit(&region->ring_id, ring->id, memory_order_relaxed);
}

/* ---- The end ------------------------------------------------------------------------------ */

static void destroy(struct kula__region *region)
{
    if (region->group) {
        kula__pages_free(region->group, region->group_count * KULA__GROUP_ENTRY_BYTES);
    }
    kula__chunks_fini(&region->records);
    kula__watch_pages_free(region->pages.first, region->pages.bytes, region->alias);
    kula__memory_free(region);
}

static void tell_and_destroy(struct kula_ring *ring, struct kula__region *region)
{
    if (region->group) {
        (void)ring->backend->memory(ring, KULA__GROUP_GOES, region);
    }
    if (region->registered) {
        (void)ring->backend->memory(ring, KULA__REGION_GOES, region);
    }
    destroy(region);
}

/* Ends what other threads have put aside. Thread: owner. */
static void sweep(struct kula_ring *ring)
{
    kula__regions_lock();
    struct kula__region *aside = ring->regions_aside;
    ring->regions_aside = NULL;
    kula__regions_unlock();
    while (aside) {
        struct kula__region *next = aside->next;
        tell_and_destroy(ring, aside);
        aside = next;
    }
}

void kula__region_free(struct kula__region *region)
{
    kula__regions_lock();
    struct kula_ring *ring = region->ring;
    bool ours = ring && kula__is_owner(ring);
    if (ring) {
        unlink_region(region);
        if (!ours) {
            link_to(&ring->regions_aside, region);
        }
    }
    kula__regions_unlock();
    if (!ring) {
        destroy(region);
    } else if (ours) {
        tell_and_destroy(ring, region);
        sweep(ring);
    }
}

void kula__regions_leave(struct kula_ring *ring)
{
    kula__regions_lock();
    struct kula__region *aside = ring->regions_aside;
    ring->regions_aside = NULL;
    while (ring->regions) {
        struct kula__region *region = ring->regions;
        unlink_region(region);
        region->ring = NULL;
        region->registered = false;
        atomic_store_explicit(&region->ring_id, 0, memory_order_relaxed);
    }
    kula__regions_unlock();
    while (aside) {
        struct kula__region *next = aside->next;
        destroy(aside);
        aside = next;
    }
}

/* ---- The beginning ------------------------------------------------------------------------- */

static const char *registration_refused(int error)
{
    switch (error) {
    case -EOPNOTSUPP:
        return "registered: this ring's backend, its kernel (before 5.13) or a mask has no "
               "registered memory";
    case -ENOMEM:
        return "registered: RLIMIT_MEMLOCK does not allow to lock that much: raise it (ulimit "
               "-l, LimitMEMLOCK=, --ulimit memlock=), or have CAP_IPC_LOCK";
    case -ENOSPC:
        return "registered: the ring's table is full: use a kula_pool, which registers many "
               "buffers as one";
    case -EFBIG:
        return "registered: the kernel takes 1 GiB at a time: ask for less";
    case -EPERM:
    case -EACCES:
        return "registered: a filter refuses io_uring_register: use a profile that allows it";
    default:
        return "registered: the kernel refused it";
    }
}

static void register_region(struct kula_ring *ring,
                            struct kula__region *region,
                            struct kula_memory_report *report)
{
    int error = -EOPNOTSUPP;
    if (ring) {
        sweep(ring);
        error = ring->backend->memory(ring, KULA__REGION_COMES, region);
    }
    if (error < 0) {
        kula__wish_failed(report, error,
                          ring ? registration_refused(error)
                               : "registered: a pool without a ring has nobody to register "
                                 "with: open it with a ring");
        return;
    }
    region->registered = true;
    join(ring, region);
    report->granted |= KULA_MEMORY_REGISTERED;
}

struct kula__region *kula__region_new(struct kula_ring *ring,
                                      size_t bytes,
                                      const struct kula_memory *wishes,
                                      struct kula_memory_report *report)
{
    struct kula__region *region = kula__memory_new(sizeof *region);
    if (!region) {
        return NULL;
    }
    if (!kula__pages_map(bytes, wishes, report, &region->pages)) {
        kula__memory_free(region);
        return NULL;
    }
    if (wishes->flags & KULA_MEMORY_REGISTERED) {
        register_region(ring, region, report);
    }
    return region;
}

struct kula__region *kula__region_new_watched(size_t bytes, struct kula_memory_report *report)
{
    struct kula__region *region = kula__memory_new(sizeof *region);
    if (!region) {
        return NULL;
    }
    size_t page = kula__page_bytes();
    region->pages.bytes = (bytes + page - 1) & ~(page - 1);
    region->pages.first = kula__watch_pages_new(region->pages.bytes, &region->alias);
    if (!region->pages.first) {
        kula__memory_free(region);
        return NULL;
    }
    report->page_bytes = page;
    return region;
}

int kula__region_group(struct kula_ring *ring, struct kula__region *region, uint32_t count)
{
    region->group_count = count;
    region->group = kula__pages_new(count * KULA__GROUP_ENTRY_BYTES, 1);
    if (!region->group) {
        return -ENOMEM;
    }
    int error = ring->backend->memory(ring, KULA__GROUP_COMES, region);
    if (error < 0) {
        kula__pages_free(region->group, count * KULA__GROUP_ENTRY_BYTES);
        region->group = NULL;
        return error;
    }
    join(ring, region);
    return 0;
}

int kula__memory_unknown(struct kula_ring *ring,
                         enum kula__memory_notice notice,
                         struct kula__region *region)
{
    (void)ring;
    (void)region;
    return notice == KULA__REGION_COMES || notice == KULA__GROUP_COMES ? -EOPNOTSUPP : 0;
}

/* ---- Whose it is --------------------------------------------------------------------------- */

const struct kula__region *kula__region_known(const struct kula_ring *ring,
                                              const struct kula__slot *slot)
{
    const struct kula__cold *cold = kula__cold_of(slot);
    while (cold->parent) { /* parts and references have their memory from their parent */
        slot = cold->parent;
        cold = kula__cold_of(slot);
    }
    if (!(cold->traits & KULA__REGISTERED)) {
        return NULL;
    }
    const struct kula__region *region = cold->keeper;
    /* relaxed: only this ring's owner writes this ring's id there */
    return atomic_load_explicit(&region->ring_id, memory_order_relaxed) == ring->id &&
                   region->registered
               ? region
               : NULL;
}
