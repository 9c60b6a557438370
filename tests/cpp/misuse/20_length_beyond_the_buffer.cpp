// Misuse 20: more is asked for than the buffer holds.
//
// g++:     this length is larger than the buffer
// clang++: this length is larger than the buffer
#include <kula.hpp>

void receive(kula::ring &ring, int fd);

void receive(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(512);
#ifdef CORRECTED
    ring.recv(fd, std::move(buffer), kula::whole, 0);
#else
    ring.recv(fd, std::move(buffer), 4096, 0);
#endif
}
