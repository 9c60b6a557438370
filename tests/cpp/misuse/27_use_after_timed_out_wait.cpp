// Misuse 27: the wait has timed out, and the buffer is used.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// tidy:     used after it was moved
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

int receive(kula::ring &ring, int fd);

int receive(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    ring.recv(fd, std::move(buffer), 4096, 0);
#ifdef CORRECTED
    if (ring.wait(std::chrono::seconds(1)) == 0) {
        return 0;
    }
    kula::event event = ring.next();
    if (!event) {
        return 0;
    }
    buffer = event.take();
    return buffer ? buffer.data()[0] : 0;
#else
    if (ring.wait(std::chrono::seconds(1)) == 0) {
        return buffer.data()[0];
    }
    return 0;
#endif
}
