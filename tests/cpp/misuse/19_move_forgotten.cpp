// Misuse 19: a buffer is handed over without std::move.
//
// g++:     error: (cannot bind rvalue reference|no matching function for call to 'kula::ring::send)
// clang++: error: no matching member function for call to 'send'
#include <kula.hpp>

void answer(kula::ring &ring, int fd, kula::buffer buffer);

void answer(kula::ring &ring, int fd, kula::buffer buffer)
{
#ifdef CORRECTED
    ring.send(fd, std::move(buffer), 512, 0);
#else
    ring.send(fd, buffer, 512, 0);
#endif
}
