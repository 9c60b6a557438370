/* Misuse 18: bytes that are shared are written.
 *
 * gcc:     assignment of read-only location
 * clang:   read-only variable is not assignable
 * analyze: read-only variable is not assignable
 */
#include <kula.h>

void mark(kula_ref *shared);

void mark(kula_ref *shared)
{
#ifdef CORRECTED
    kula_buf buffer = kula_thaw(shared);
    if (buffer) {
        kula_bytes(buffer)[0] = 1;
        *shared = kula_freeze(&buffer);
    }
#else
    kula_ref_bytes(*shared)[0] = 1;
#endif
}
