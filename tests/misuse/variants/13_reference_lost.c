/* Misuse 13: a reference that was cloned is lost where the send is left out.
 *
 * analyze: Potential leak of memory
 */
#include <kula.h>

#include <stdbool.h>

void send_page(struct kula_ring *ring, int fd, kula_ref page, bool wanted);

void send_page(struct kula_ring *ring, int fd, kula_ref page, bool wanted)
{
    kula_ref copy = kula_clone(page);
    if (copy && wanted) {
        kula_send(ring, fd, &copy, kula_ref_size(page), 0, NULL);
    }
#ifdef CORRECTED
    kula_drop(&copy);
#endif
}
