/* Misuse 16: kula_free is called for memory of malloc(3).
 *
 * gcc:            'kula_free_' called on pointer returned from a mismatched allocation function
 * analyze-newest: Memory allocated by 'malloc\(\)' should be deallocated by 'free\(\)', not 'kula_free_\(\)'
 * run:            misuse: kula_free: not a handle
 */
#include <kula.h>

#include <stdlib.h>

void forget(void);

void forget(void)
{
    void *memory = malloc(4096);
#ifdef CORRECTED
    free(memory);
#else
    kula_buf buffer = (kula_buf)memory;
    kula_free(&buffer);
#endif
}

#if defined RUN
#    include "../run.h"

int main(void)
{
    struct run run = run_begin();
    forget();
    return run_end(&run);
}
#endif
