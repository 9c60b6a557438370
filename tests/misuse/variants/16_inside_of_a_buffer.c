/* Misuse 16: free(3) is called for a place inside a buffer.
 *
 * gcc:                 'free' called on pointer .* with nonzero offset 8
 * gcc-lint:            'free' called on pointer returned from a mismatched allocation function
 * analyze-lint:        Argument to free\(\) is offset by 8 bytes from the start of memory
 * analyze-lint-newest: Memory allocated by 'kula_alloc\(\)' should be deallocated by function that
 */
#include <kula.h>

#include <stdlib.h>

void forget(struct kula_ring *ring);

void forget(struct kula_ring *ring)
{
    kula_buf buffer = kula_alloc(ring, 4096);
    if (!buffer) {
        return;
    }
#ifndef CORRECTED
    free(kula_bytes(buffer) + 8);
#endif
    kula_free(&buffer);
}
