#include "fault.h"

#if KULA_FAULTS

#    include <stdatomic.h>
#    include <stdbool.h>
#    include <stddef.h>
#    include <string.h>

/* Every function here may run in a signal handler (kula_wake passes), so there are no locks. */

#    define POINTS_MAX 128

struct point {
    _Atomic(const char *) name;
    atomic_uint_fast64_t count;
};

static struct point points[POINTS_MAX];
static atomic_uint_fast64_t passages;
static atomic_uint_fast64_t chosen;         /* 0 = none */
static _Atomic(const char *) refused_point; /* NULL = none */
static _Atomic(const char *) failed;
static _Atomic(const char *) watched_point;
static void (*_Atomic watcher)(void); /* NULL = none */

/* The entry of a point, made if there is none; NULL when the table is full. */
static struct point *find(const char *name)
{
    for (size_t i = 0; i < POINTS_MAX; i++) {
        const char *known = atomic_load(&points[i].name);
        if (!known && atomic_compare_exchange_strong(&points[i].name, &known, name)) {
            return &points[i];
        }
        if (known == name || strcmp(known, name) == 0) {
            return &points[i];
        }
    }
    return NULL;
}

int kula__fault(const char *point, int error)
{
    struct point *entry = find(point);
    if (entry) {
        atomic_fetch_add(&entry->count, 1);
    }
    void (*function)(void) = atomic_load(&watcher);
    if (function && strcmp(atomic_load(&watched_point), point) == 0) {
        function();
    }
    if (error == 0) {
        return 0;
    }
    const char *refused = atomic_load(&refused_point);
    bool this_point = refused && strcmp(refused, point) == 0;
    if (atomic_fetch_add(&passages, 1) + 1 != atomic_load(&chosen) && !this_point) {
        return 0;
    }
    atomic_store(&failed, point);
    return -error;
}

void kula__fault_arm(uint64_t nth)
{
    atomic_store(&chosen, 0); /* nobody hits the old choice with the new count */
    atomic_store(&passages, 0);
    atomic_store(&failed, NULL);
    atomic_store(&chosen, nth);
}

void kula__fault_arm_point(const char *point)
{
    atomic_store(&failed, NULL);
    atomic_store(&refused_point, point);
}

void kula__fault_disarm(void)
{
    atomic_store(&chosen, 0);
    atomic_store(&refused_point, NULL);
}

void kula__fault_call(const char *point, void (*function)(void))
{
    atomic_store(&watcher, NULL); /* nobody calls it for the old point */
    atomic_store(&watched_point, point);
    atomic_store(&watcher, function);
}

uint64_t kula__fault_passages(void)
{
    return atomic_load(&passages);
}

const char *kula__fault_failed(void)
{
    return atomic_load(&failed);
}

uint64_t kula__fault_count(const char *point)
{
    for (size_t i = 0; i < POINTS_MAX; i++) {
        const char *known = atomic_load(&points[i].name);
        if (!known) {
            return 0;
        }
        if (strcmp(known, point) == 0) {
            return atomic_load(&points[i].count);
        }
    }
    return 0;
}

#endif
