/* Misuse 14: what kula_take gives is not looked at.
 *
 * gcc:     ignoring return value of 'kula_take'
 * clang:   ignoring return value of function declared with 'warn_unused_result'
 * analyze: Potential memory leak
 */
#include <kula.h>

void discard(struct kula_event *event);

void discard(struct kula_event *event)
{
#ifdef CORRECTED
    kula_buf buffer = kula_take(event);
    kula_free(&buffer);
#else
    kula_take(event);
#endif
}
