// Misuse: a time is a plain number.
//
// g++:     error: (cannot convert 'int'|could not convert|no matching function)
// clang++: error: no viable conversion from 'int'
#include <kula.hpp>

int pause(kula::ring &ring);

int pause(kula::ring &ring)
{
#ifdef CORRECTED
    return ring.wait(std::chrono::seconds(5));
#else
    return ring.wait(5);
#endif
}
