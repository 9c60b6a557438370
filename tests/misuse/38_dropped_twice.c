/* Misuse 38: a reference is dropped twice.
 *
 * A slice may outlive what it was cut from: it keeps the memory.
 *
 * gcc:     used after 'kula_drop_'
 * analyze: Attempt to (free released|release already released) memory
 * run:     misuse: kula_drop: stale copy
 */
#include <kula.h>

int second_byte(kula_buf buffer);

int second_byte(kula_buf buffer)
{
    kula_bytes(buffer)[1] = 2;
    kula_ref whole = kula_freeze(&buffer);
    kula_ref part = whole ? kula_slice(whole, 1, 1) : NULL;
    kula_ref alias = whole;
    kula_drop(&whole);
#ifdef CORRECTED
    alias = NULL;
#endif
    kula_drop(&alias);
    int second = part ? kula_ref_bytes(part)[0] : -1;
    kula_drop(&part);
    return second;
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    run_check(second_byte(kula_alloc(run.ring, 64)) == 2, "the slice outlives the rest");
    return run_end(&run);
}
#endif
