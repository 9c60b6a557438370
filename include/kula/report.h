/* kula/report.h - what this environment offers, which backend a program gets, why, and what to
 * change to get a better one. Included by kula.h; kula-info prints it.
 */
#ifndef KULA_REPORT_H
#define KULA_REPORT_H

#include "compiler.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kula_ring;
struct kula_config;

enum kula_verdict {
    KULA_VERDICT_NOT_TRIED = 0, /* an earlier candidate was taken, or it was not asked for */
    KULA_VERDICT_AVAILABLE,
    KULA_VERDICT_UNAVAILABLE, /* the kernel or a policy does not offer it */
    KULA_VERDICT_RESOURCES,   /* offered, but memory, descriptors or threads ran out */
    KULA_VERDICT_NOT_BUILT,   /* this library was built without it */
};

/* How one kind of operation gets done. */
enum kula_route {
    KULA_ROUTE_NONE = 0, /* not available */
    KULA_ROUTE_RING,     /* by the kernel's ring */
    KULA_ROUTE_READY,    /* tried at once, else when the descriptor is ready */
    KULA_ROUTE_POOL,     /* by a worker thread */
    KULA_ROUTE_INLINE,   /* by a plain call on the ring's thread */
    KULA_ROUTE_LIBRARY,  /* by the library alone, without the kernel */
};

struct kula_candidate {
    char name[16];
    int32_t verdict; /* enum kula_verdict */
    int32_t error;   /* the negative errno that decided, or 0 */
    char cause[160]; /* which step said what */
    char remedy[240];
};

#define KULA_CANDIDATES_MAX 4
#define KULA_OPERATIONS_MAX 64
#define KULA_UNLIMITED      UINT64_MAX

/* Start with .size = sizeof(struct kula_report). Texts are never NULL and may be empty. */
struct kula_report {
    size_t size;
    int32_t chosen; /* index into candidates, or -1 */
    uint32_t candidate_count;
    struct kula_candidate candidates[KULA_CANDIDATES_MAX]; /* in the order of preference */

    char reason[200]; /* why this one, in a sentence */

    char setup[120];   /* uring: which rung of the setup ladder held, in names of flags */
    uint64_t features; /* what the ring works with after masks: bits for kula_feature_name */

    uint8_t routes[KULA_OPERATIONS_MAX]; /* enum kula_route by operation: kula_operation_name */

    char mask[120];        /* the mask in force, "" = none */
    char environment[200]; /* the KULA_* variables that were heeded; "" = none */

    char kernel[80]; /* release, such as "6.1.0-18-amd64" */
    char machine[32];
    uint32_t cpu_count; /* usable by this process */
    uint32_t page_bytes;
    uint64_t memlock_bytes; /* soft limits; KULA_UNLIMITED */
    uint64_t files_max;
    uint64_t processes_max;
    int32_t uring_disabled; /* sysctl kernel.io_uring_disabled: 0, 1, 2; -1 unknown or absent */
    int32_t uring_group;    /* sysctl kernel.io_uring_group; -1 none or unknown */
    int32_t seccomp_mode;   /* 0 none, 1 strict, 2 filter; -1 unknown */
    uint32_t user_id;       /* effective */

    int32_t huge_pages; /* sysctl vm.nr_hugepages: how many are reserved; -1 unknown or none */
    char nodes[32];     /* NUMA nodes that have memory, such as "0-1"; "" = unknown */
};

/* Finds out what kula_open with the same config would get, by doing it: every candidate is set up,
 * asked for its features, made to do one real round trip, and taken down again. `config` may be
 * NULL. Unlike kula_open it tries all candidates, also those after the one that it would take.
 *
 * Sizes:   ret_report->size must be set
 * Owner:   everything is copied into *ret_report
 * Errors:  0 a backend would be chosen; the error that kula_open would give; -EINVAL size or config
 * Thread:  any
 * Kernel:  a filter that kills instead of answering kills the process: probe in a child */
KULA_API int kula_probe(const struct kula_config *config, struct kula_report *ret_report);

/* Tells the same about a ring that is open: what it was given, and why.
 *
 * Sizes:   ret_report->size must be set
 * Owner:   everything is copied into *ret_report
 * Errors:  0; -EINVAL size or NULL
 * Thread:  owner
 * Kernel:  none */
KULA_API int kula_describe(const struct kula_ring *ring, struct kula_report *ret_report);

/* Says how many kinds of operation there are: the valid indexes of kula_report.routes.
 *
 * Sizes:   a count, at most KULA_OPERATIONS_MAX
 * Owner:   none
 * Errors:  none
 * Thread:  any
 * Kernel:  none */
KULA_API uint32_t kula_operation_count(void);

/* Names a kind of operation, such as "read".
 *
 * Sizes:   index below kula_operation_count()
 * Owner:   the text is static
 * Errors:  NULL beyond the end
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_operation_name(uint32_t index);

/* Names a route, such as "ring".
 *
 * Sizes:   enum kula_route
 * Owner:   the text is static
 * Errors:  "none" for anything else
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_route_name(uint32_t route);

/* Names a bit of kula_report.features, such as "ext_arg"; the names that a mask takes.
 *
 * Sizes:   bit 0 to 63
 * Owner:   the text is static
 * Errors:  NULL for a bit without a name
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_feature_name(uint32_t bit);

#ifdef __cplusplus
}
#endif

#endif
