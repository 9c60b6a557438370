// Misuse 07: the buffer is used after it was given back.
//
// g++:      this handle is empty here: its buffer was already handed over
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: invalid invocation of method '\w+' on object '\w+' while it is in the 'consumed' state
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

int first_byte(kula::ring &ring);

int first_byte(kula::ring &ring)
{
    kula::buffer buffer = ring.alloc(64);
#ifdef CORRECTED
    int first = buffer.data()[0];
    buffer.reset();
#else
    buffer.reset();
    int first = buffer.data()[0];
#endif
    return first;
}
