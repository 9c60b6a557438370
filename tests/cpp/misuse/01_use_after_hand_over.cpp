// Misuse 01: the buffer is used after it was handed over.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// tidy:     used after it was moved
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

int first_byte(kula::ring &ring, int fd);

int first_byte(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    if (!buffer) {
        return -1;
    }
#ifdef CORRECTED
    int first = buffer.data()[0];
    ring.send(fd, std::move(buffer), 4096, 0);
#else
    ring.send(fd, std::move(buffer), 4096, 0);
    int first = buffer.data()[0];
#endif
    return first;
}
