/* A program of somebody else, built against an installed kula: offers a number of no-ops and counts
 * what comes back. */
#include <kula.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    struct kula_ring *ring;
    int error = kula_open(NULL, &ring);
    if (error < 0) {
        fprintf(stderr, "kula_open: %s\n", kula_explain(error));
        return 1;
    }
    int offered = 0;
    while (offered < 100 && kula_nop(ring, NULL)) {
        offered++;
    }
    int seen = 0;
    while (kula_outstanding(ring) > 0 && kula_wait(ring, KULA_FOREVER) >= 0) {
        while (kula_next(ring)) {
            seen++;
        }
    }
    char header[32];
    snprintf(header, sizeof header, "%d.%d.%d", KULA_VERSION_MAJOR, KULA_VERSION_MINOR,
             KULA_VERSION_PATCH);
    if (strcmp(header, kula_version()) != 0) {
        fprintf(stderr, "header %s, library %s\n", header, kula_version());
        return 1;
    }
    printf("%d of %d\n", seen, offered);
    return kula_close(&ring, KULA_FOREVER) < 0;
}
