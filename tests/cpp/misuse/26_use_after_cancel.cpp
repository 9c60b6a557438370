// Misuse 26: an operation was cancelled, and the buffer is used before its event.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// tidy:     used after it was moved
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

void program_runs(kula::ring &ring, kula::buffer &home);

void restart(kula::ring &ring, int fd);

void restart(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    kula::op receive = ring.recv(fd, std::move(buffer), 4096, 0);
    ring.cancel(receive);
#ifdef CORRECTED
    program_runs(ring, buffer);
    buffer.data()[0] = 0;
#else
    buffer.data()[0] = 0;
#endif
}
