/* Misuse 17: a shared reference, a constant handle or static memory is to be received into.
 *
 * gcc:     selector of type 'struct kula_ref_s \*\*' is not compatible
 * gcc:     selector of type 'struct kula_buf_s \* const\*' is not compatible
 * gcc:     selector of type 'char \(\*\)\[64\]' is not compatible
 * clang:   type 'kula_ref \*' .* not compatible with any generic association type
 * clang:   type 'const kula_buf \*' .* not compatible with any generic association type
 * clang:   type 'char \(\*\)\[64\]' not compatible with any generic association type
 * analyze: not compatible with any generic association type
 */
#include <kula.h>

void receive(struct kula_ring *ring, int fd, kula_ref shared, const kula_buf constant);

void receive(struct kula_ring *ring, int fd, kula_ref shared, const kula_buf constant)
{
#ifdef CORRECTED
    kula_send(ring, fd, &shared, 64, 0, NULL);
    kula_buf buffer = constant;
    kula_recv(ring, fd, &buffer, 64, 0, NULL);
#else
    static char memory[64];
    kula_recv(ring, fd, &shared, 64, 0, NULL);
    kula_recv(ring, fd, &constant, 64, 0, NULL);
    kula_recv(ring, fd, &memory, 64, 0, NULL);
#endif
}
