/* fault.h - the choke point where tests make any system call or allocation fail.
 *
 * Everything in the library that asks the system for something passes kula__fault() first and gives
 * it the errno that this call can really fail with. In ordinary builds it is nothing at all.
 */
#ifndef KULA_COMMON_FAULT_H
#define KULA_COMMON_FAULT_H

#include <stdint.h>

#if KULA_FAULTS

/* 0, or -error when this passage was chosen to fail. `point` names the call, such as "mmap"; error 0
 * is a call that cannot fail: it is only counted. */
int kula__fault(const char *point, int error);

/* Chooses the nth passage from now on, 1 = the next one, in whatever thread; it fails once. */
void kula__fault_arm(uint64_t nth);
/* Lets each passage of one point fail, from now on. */
void kula__fault_arm_point(const char *point);
/* Neither of the two any more. */
void kula__fault_disarm(void);

/* Has a function called in each passage of one point, by the thread that passes, before anything else: it may
 * hold that thread up. NULL: no more. */
void kula__fault_call(const char *point, void (*function)(void));

/* Passages since the last arm; the point that failed, or NULL while none has. */
uint64_t kula__fault_passages(void);
const char *kula__fault_failed(void);

/* Passages of one point since the process began: counts system calls and allocations. */
uint64_t kula__fault_count(const char *point);

#else

static inline int kula__fault(const char *point, int error)
{
    (void)point;
    (void)error;
    return 0;
}

#endif

#endif
