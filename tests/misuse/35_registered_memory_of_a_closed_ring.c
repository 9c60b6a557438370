/* Misuse 35: registered memory goes on being used with its ring, which was closed.
 *
 * run:     misuse: kula_recv: the ring is NULL
 */
#include <kula.h>

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    struct kula_memory memory = KULA_MEMORY_INIT;
    memory.flags = KULA_MEMORY_REGISTERED;
    struct kula_memory_report report;
    struct kula_ring *first = run_open();
    kula_buf buffer = kula_alloc_memory(first, 4096, &memory, &report);
    run_check(buffer != NULL, "memory, registered or not");
    memcpy(kula_bytes(buffer), "whole", 5);
    run_check(kula_close(&first, KULA_FOREVER) == 0, "the first ring closes");
#    ifdef CORRECTED
    /* For any other ring it is ordinary memory. */
    run_put(&run, "other");
    kula_recv(run.ring, run.fds[0], &buffer, 4096, 0, NULL);
    buffer = kula_take(run_event(run.ring));
    run_say("bytes", memcmp(kula_bytes(buffer), "other", 5) == 0 ? "received" : "wrong");
    kula_free(&buffer);
#    else
    kula_recv(first, run.fds[0], &buffer, 4096, 0, NULL);
#    endif
    return run_end(&run);
}
#endif
