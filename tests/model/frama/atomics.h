/* What the library needs of <stdatomic.h>, in plain C. Frama-C's own is without contracts, and its parser
 * knows neither _Atomic nor _Alignas. Forced in front of each file (-include), under the guard of
 * Frama-C's; frama.py takes away the qualifier, which no macro can together with _Atomic(type).
 *
 * Frama-C looks at one thread, and for one thread an atomic access is an access. That others may come
 * between two of them is the business of spin (../rings.pml) and of ThreadSanitizer.
 */
#ifndef __FC_STDATOMIC
#define __FC_STDATOMIC

#define _Atomic(type) type
#define _Alignas(bytes) /* which cache line: nothing that Frama-C looks at */

typedef unsigned int atomic_uint;
typedef _Bool atomic_bool;

#define memory_order_relaxed 0
#define memory_order_acquire 2
#define memory_order_release 3
#define memory_order_acq_rel 4

#define atomic_init(object, value)                  (*(object) = (value))
#define atomic_load_explicit(object, order)         (*(object))
#define atomic_store_explicit(object, value, order) (*(object) = (value))
#define atomic_compare_exchange_strong_explicit(object, expected, desired, success, failure) \
    (*(object) == *(expected) ? (*(object) = (desired), 1) : (*(expected) = *(object), 0))

/* glibc's, which may have any value: so both ways of a hand-over are proved, the one with a plain store
 * and the one with a compare-and-swap. slot.h defines it only where it is not defined. */
extern char __libc_single_threaded;
#define KULA__SINGLE_THREADED (__libc_single_threaded != 0)

/* gcc believes it, and Frama-C has to prove it. */
/*@ requires unreachable: \false;
  @ assigns \nothing;
  @ ensures \false;
  @*/
void kula__frama_unreachable(void);
#define __builtin_unreachable() kula__frama_unreachable()

#endif
