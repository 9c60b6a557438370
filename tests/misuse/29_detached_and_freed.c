/* Misuse 29: the buffer of a detached operation is freed by the program as well.
 *
 * gcc:     used after 'kula_recv_'
 * analyze: Attempt to (free released|release already released) memory|Use of memory after it is
 * run:     misuse: kula_free: stale copy
 * run:     released: 0 times before the end, once after
 */
#include <kula.h>

void walk_away(struct kula_ring *ring, int fd, kula_buf buffer);

void walk_away(struct kula_ring *ring, int fd, kula_buf buffer)
{
    kula_buf alias = buffer;
    kula_op op = kula_recv(ring, fd, &buffer, 64, 0, NULL);
    kula_detach(ring, op);
#ifdef CORRECTED
    alias = NULL;
#endif
    kula_free(&alias);
}

#if defined RUN
#    include "run.h"

static int released;

static void release(void *arg, void *memory, size_t size)
{
    (void)arg;
    (void)memory;
    (void)size;
    released++;
}

int main(void)
{
    static unsigned char memory[64];
    struct run run = run_begin();
    kula_buf buffer = kula_vouch(run.ring, memory, sizeof memory, release, NULL);
    walk_away(run.ring, run.fds[0], buffer);
    run_check(kula_wait(run.ring, KULA_MILLISECOND) == 0, "no event comes");
    int before = released;
    run_put(&run, "late");
    for (int rounds = 0; released == 0 && rounds < 1000; rounds++) {
        run_check(kula_wait(run.ring, 10 * KULA_MILLISECOND) == 0, "no event comes");
    }
    run_check(memcmp(memory, "late", 4) == 0, "the operation ended by itself");
    int status = run_end(&run);
    /* What has to hold is the same with and without the misuse; only the misuse says it aloud. */
    run_check(before == 0 && released == 1, "the orphan is recycled once, after the end");
#    ifndef CORRECTED
    run_say("released", "0 times before the end, once after");
#    endif
    return status;
}
#endif
