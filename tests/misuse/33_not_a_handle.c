/* Misuse 33: an operation's name, a made-up number and an uninitialised variable are used as handles.
 *
 * gcc:     'uninitialised' is used uninitialized
 * clang:   variable 'uninitialised' is uninitialized when used here
 * analyze: function call argument is an uninitialized value
 * run:     misuse: kula_free: the name of an operation is not a handle
 * run:     misuse: kula_bytes: not a handle
 */
#include <kula.h>

unsigned char *bytes_of(kula_buf proper);
void free_named(kula_op op);

unsigned char *bytes_of(kula_buf proper)
{
#ifdef CORRECTED
    kula_buf initialised = proper;
    return kula_bytes(initialised);
#else
    kula_buf uninitialised;
    (void)proper;
    return kula_bytes(uninitialised);
#endif
}

void free_named(kula_op op)
{
#ifdef CORRECTED
    (void)op;
#else
    kula_buf named = (kula_buf)(uintptr_t)op;
    kula_free(&named);
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    kula_buf buffer = kula_alloc(run.ring, 64);
    kula_op op = kula_recv(run.ring, run.fds[0], &buffer, 64, 0, NULL);
    free_named(op);
#    ifndef CORRECTED
    /* What an uninitialised variable holds is anybody's guess: here is a guess. */
    kula_buf garbage;
    memset(&garbage, 0xa5, sizeof garbage);
    run_check(!kula_bytes(garbage), "garbage is refused");
#    endif
    run_put(&run, "some");
    buffer = kula_take(run_event(run.ring));
    run_check(memcmp(kula_bytes(buffer), "some", 4) == 0, "the buffer came home");
    kula_free(&buffer);
    return run_end(&run);
}
#endif
