// Misuse 12: a handler hands the buffer of its event on and then looks at it.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// tidy:     used after it was moved
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

unsigned on_received(kula::ring &ring, int fd, kula::event &event);

unsigned on_received(kula::ring &ring, int fd, kula::event &event)
{
    kula::buffer buffer = event.take();
    if (!buffer) {
        return 0;
    }
#ifdef CORRECTED
    unsigned checksum = buffer.data()[0];
    ring.send(fd, std::move(buffer), 4096, 0);
#else
    ring.send(fd, std::move(buffer), 4096, 0);
    unsigned checksum = buffer.data()[0];
#endif
    return checksum;
}
