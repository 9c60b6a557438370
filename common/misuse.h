/* misuse.h - what could corrupt memory or lose a buffer is reported here, and refused by the caller.
 */
#ifndef KULA_COMMON_MISUSE_H
#define KULA_COMMON_MISUSE_H

#include <stdint.h>

/* Reports through the hook of kula_on_misuse, or the default. Returns when the call is to be refused;
 * in debug builds of the library the default does not return. `word` is what was given, 0 = NULL. */
void kula__misuse(const char *operation, uint64_t word, const char *reason);

/* Why `word` is not a handle that the program may use now, in words. */
const char *kula__misuse_reason(uint64_t word);

/* From now on the default reporter aborts. */
void kula__misuse_abort(void);

/* Keep the hook still while fork() copies it. */
void kula__misuse_lock(void);
void kula__misuse_unlock(void);

#endif
