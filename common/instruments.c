/* instruments.c - the kernel as a thread of ThreadSanitizer's.
 *
 * An operation under way reads or writes memory at any moment between hand-over and homecoming, as
 * another thread would. So it is one: a fiber, which learns at the hand-over what the program did before
 * (release, acquire), touches the bytes, and is joined at the homecoming. Whatever the program does
 * to them in between is unordered with that, and reported; what it does before and after is not.
 */
#include "instruments.h"

#if KULA__TSAN

#    include <sanitizer/tsan_interface.h>
#    include <stdatomic.h>
#    include <unistd.h>

/* These two are in the runtime since its beginning, and in no header. */
void __tsan_read_range(void *bytes, unsigned long count);
void __tsan_write_range(void *bytes, unsigned long count);

/* A fiber is as expensive as a thread, and a process has a few thousand at most. One that belongs to one
 * operation at a time makes all races visible (the end of one would hide races with another that
 * shares it), so when more operations than that are under way, the others are not followed. */
#    define FIBERS        256u
#    define BITS_PER_WORD 64u

static _Atomic uint64_t taken[FIBERS / BITS_PER_WORD];
static void *fibers[FIBERS]; /* made when first needed, by the thread that has taken it */

/* Not instrumented, so that taking and giving back a fiber orders nothing of the program's. For the
 * same reason there is no mutex. acquire, release: whoever has it next sees what the last one left. */
KULA__UNINSTRUMENTED static uint32_t take(void)
{
    for (uint32_t i = 0; i < FIBERS / BITS_PER_WORD; i++) {
        uint64_t word = atomic_load_explicit(&taken[i], memory_order_relaxed);
        while (word != UINT64_MAX) {
            uint64_t bit = ~word & (word + 1);
            if (atomic_compare_exchange_weak_explicit(
                    &taken[i], &word, word | bit, memory_order_acquire, memory_order_relaxed)) {
                return i * BITS_PER_WORD + (uint32_t)__builtin_ctzll(bit);
            }
        }
    }
    return FIBERS;
}

KULA__UNINSTRUMENTED static void give(uint32_t number)
{
    uint64_t bit = UINT64_C(1) << number % BITS_PER_WORD;
    atomic_fetch_and_explicit(&taken[number / BITS_PER_WORD], ~bit, memory_order_release);
}

/* ThreadSanitizer stops a child of fork() that makes a fiber. Such a child is not followed. */
static bool in_child(void)
{
    static _Atomic pid_t first;
    pid_t self = getpid();
    pid_t none = 0;
    return !atomic_compare_exchange_strong_explicit(&first, &none, self, memory_order_relaxed,
                                                    memory_order_relaxed) &&
           none != self;
}

KULA__UNINSTRUMENTED static void *fiber_of(uint32_t number)
{
    if (!fibers[number]) {
        fibers[number] = __tsan_create_fiber(0);
    }
    return fibers[number];
}

uint16_t kula__instruments_depart(void *sync,
                                  void *bytes,
                                  size_t count,
                                  bool writes,
                                  const char *name)
{
    uint32_t number = in_child() ? FIBERS : take();
    if (number == FIBERS) {
        return 0; /* unwatched: hundreds of others are watched at this moment */
    }
    void *program = __tsan_get_current_fiber();
    void *kernel = fiber_of(number);
    __tsan_set_fiber_name(kernel, name);
    __tsan_release(sync);
    __tsan_switch_to_fiber(kernel, __tsan_switch_to_fiber_no_sync);
    __tsan_acquire(sync);
    if (writes) {
        __tsan_write_range(bytes, count);
    } else {
        __tsan_read_range(bytes, count);
    }
    __tsan_release(sync);
    __tsan_switch_to_fiber(program, __tsan_switch_to_fiber_no_sync);
    return (uint16_t)(number + 1);
}

void kula__instruments_land(void *sync, uint16_t fiber)
{
    if (fiber) {
        __tsan_acquire(sync);
        give(fiber - 1u);
    }
}

#endif
