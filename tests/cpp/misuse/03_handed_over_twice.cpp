// Misuse 03: one buffer is handed over twice.
//
// g++:     this handle is empty here: its buffer was already handed over
// clang++: this handle is empty here: its buffer was already handed over
// tidy:    used after it was moved
// analyze: Null pointer passed to 1st parameter
#include <kula.hpp>

void send_twice(kula::ring &ring, int fd);

void send_twice(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(64);
#ifdef CORRECTED
    ring.send(fd, std::move(buffer), 64, 0);
    buffer = ring.alloc(64);
    ring.send(fd, std::move(buffer), 64, 0);
#else
    ring.send(fd, std::move(buffer), 64, 0);
    ring.send(fd, std::move(buffer), 64, 0);
#endif
}
