/* Misuse 36: a buffer of a group is given back twice.
 *
 * gcc:     used after 'kula_free_'
 * analyze: Attempt to (free released|release already released) memory|Use of memory after it is
 * run:     misuse: kula_free: stale copy
 * run:     free: 8 of 8
 */
#include <kula.h>

void look_and_return(struct kula_pool *pool);

void look_and_return(struct kula_pool *pool)
{
    kula_buf buffer = kula_pool_get(pool, 0);
    if (!buffer) {
        return;
    }
    kula_buf alias = buffer;
    kula_free(&buffer);
#ifdef CORRECTED
    alias = NULL;
#endif
    kula_free(&alias);
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 4096;
    config.count = 8;
    config.flags = KULA_POOL_GROUP;
    struct kula_pool *pool;
    run_check(kula_pool_open(run.ring, &config, &pool) == 0, "a group");
    look_and_return(pool);
    struct kula_pool_statistics now;
    run_check(kula_pool_describe(pool, &now) == 0, "statistics");
#    ifndef CORRECTED
    run_say("free", now.free == 8 && now.held == 0 ? "8 of 8" : "something else");
#    endif
    run_check(now.free == 8 && now.held == 0, "it was returned once");
    run_check(kula_pool_close(&pool) == 0, "nothing is out");
    return run_end(&run);
}
#endif
