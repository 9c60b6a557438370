/* Misuse 16: free(3) is called for a handle.
 *
 * gcc:     'free' called on pointer returned from a mismatched allocation function
 * analyze-newest: Memory allocated by 'kula_alloc\(\)' should be deallocated by function that
 */
#include <kula.h>

#include <stdlib.h>

void forget(struct kula_ring *ring);

void forget(struct kula_ring *ring)
{
    kula_buf buffer = kula_alloc(ring, 4096);
#ifdef CORRECTED
    kula_free(&buffer);
#else
    free((void *)buffer);
#endif
}
