// Misuse 11: a helper took the buffer, and the caller goes on using it.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// tidy:     used after it was moved
// analyze:  Method called on moved-from object 'buffer'
#include <kula.hpp>

int reply(kula::ring &ring, int fd);

static void pass_on(kula::ring &ring, int fd, kula::buffer buffer)
{
    ring.send(fd, std::move(buffer), 4096, 0);
}

int reply(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    if (!buffer) {
        return -1;
    }
#ifdef CORRECTED
    int first = buffer.data()[0];
    pass_on(ring, fd, std::move(buffer));
#else
    pass_on(ring, fd, std::move(buffer));
    int first = buffer.data()[0];
#endif
    return first;
}
