/* sleep_timer.h - something that a wait has to sleep for: a timerfd that becomes readable only
 * after the program has gone into the kernel to wait for it. */
#ifndef BENCH_SLEEP_TIMER_H
#define BENCH_SLEEP_TIMER_H

#include "harness.h"

#include <sys/timerfd.h>
#include <time.h>

/* Much longer than the way from arming it into the wait takes, also under strace. */
#define BENCH_SLEEP_NS 5000000L

static inline int bench_sleep_timer(void)
{
    return bench_checked(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd_create");
}

static inline void bench_sleep_arm(int timer)
{
    struct itimerspec when = { { 0, 0 }, { 0, BENCH_SLEEP_NS } };
    (void)bench_checked(timerfd_settime(timer, 0, &when, NULL), "timerfd_settime");
}

#endif
