// Misuse 02: a buffer is copied, so that there would be two holders.
//
// g++:     error: use of deleted function 'kula::buffer::buffer\(const kula::buffer&\)'
// clang++: error: call to deleted constructor of 'kula::buffer'
#include <kula.hpp>

void send_twice(kula::ring &ring, int first, int second, kula::buffer buffer);

void send_twice(kula::ring &ring, int first, int second, kula::buffer buffer)
{
#ifdef CORRECTED
    kula::ref page = std::move(buffer).freeze();
    kula::ref copy = page.clone();
    ring.send(first, std::move(page), 512, 0);
    ring.send(second, std::move(copy), 512, 0);
#else
    kula::buffer copy = buffer;
    ring.send(first, std::move(buffer), 512, 0);
    ring.send(second, std::move(copy), 512, 0);
#endif
}
