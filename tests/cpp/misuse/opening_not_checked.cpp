// Misuse: whether a ring could be opened is not looked at.
//
// g++:     ignoring return value of 'int kula::ring::open\(\)', declared with attribute 'nodiscard'
// clang++: ignoring return value of function declared with 'nodiscard' attribute
#include <kula.hpp>

bool start(kula::ring &ring);

bool start(kula::ring &ring)
{
#ifdef CORRECTED
    return ring.open() == 0;
#else
    ring.open();
    return true;
#endif
}
