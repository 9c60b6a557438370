// Misuse 16: a buffer is given to free.
//
// g++:     error: cannot convert 'kula::buffer' to 'void\*'
// clang++: error: no viable conversion from 'kula::buffer' to 'void \*'
#include <kula.hpp>

#include <cstdlib>

void put_away(kula::buffer buffer);

void put_away(kula::buffer buffer)
{
#ifdef CORRECTED
    buffer.reset();
#else
    std::free(buffer);
#endif
}
