/* Misuse 31: a ring is closed while the program holds a buffer of its pool.
 *
 * run:     log: .*holds 1\b
 * run:     after: the bytes are there
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
    memcpy(kula_bytes(buffer), "whole", 5);
#    ifdef CORRECTED
    kula_free(&buffer);
    return run_end(&run);
#    else
    int status = run_end(&run);
    run_say("after", memcmp(kula_bytes(buffer), "whole", 5) == 0 ? "the bytes are there" : "!");
    kula_free(&buffer);
    return status;
#    endif
}
#endif
