// Misuse: a buffer is taken from an event that was not named, nor tested.
//
// g++:     error: use of deleted function 'kula::buffer kula::event::take\(\) &&'
// clang++: error: call to deleted member function 'take'
#include <kula.hpp>

kula::buffer next_buffer(kula::ring &ring);

kula::buffer next_buffer(kula::ring &ring)
{
#ifdef CORRECTED
    if (kula::event event = ring.next()) {
        return event.take();
    }
    return kula::buffer();
#else
    return ring.next().take();
#endif
}
