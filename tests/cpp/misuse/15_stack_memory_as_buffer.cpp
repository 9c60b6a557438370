// Misuse 15: memory of the stack is passed off as a buffer.
//
// g++:     error: no matching function for call to 'kula::buffer::buffer\(unsigned char
// clang++: error: no matching constructor for initialization of 'kula::buffer'
#include <kula.hpp>

void send_greeting(kula::ring &ring, int fd);

void send_greeting(kula::ring &ring, int fd)
{
#ifdef CORRECTED
    kula::buffer buffer = ring.alloc(64);
    buffer.data()[0] = 'h';
    buffer.data()[1] = 'i';
    ring.send(fd, std::move(buffer), 2, 0);
#else
    unsigned char bytes[64] = { 'h', 'i' };
    kula::buffer buffer(bytes);
    ring.send(fd, std::move(buffer), 2, 0);
#endif
}
