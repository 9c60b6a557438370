// Misuse 17: a socket is to be received into bytes that others read.
//
// g++:     error: use of deleted function 'kula::op kula::ring::recv\(int, kula::ref&&
// clang++: error: call to deleted member function 'recv'
#include <kula.hpp>

void refill(kula::ring &ring, int fd, kula::ref page);

void refill(kula::ring &ring, int fd, kula::ref page)
{
#ifdef CORRECTED
    kula::buffer buffer = page.thaw();
    if (buffer) {
        ring.recv(fd, std::move(buffer), 512, 0);
    }
#else
    ring.recv(fd, std::move(page), 512, 0);
#endif
}
