// Misuse 18: bytes that others read are written.
//
// g++:     error: assignment of read-only location
// clang++: error: read-only variable is not assignable|error: cannot assign to return value
#include <kula.hpp>

void mark(kula::ref &page);

void mark(kula::ref &page)
{
#ifdef CORRECTED
    kula::buffer buffer = page.thaw();
    if (buffer) {
        buffer.data()[0] = 1;
        page = std::move(buffer).freeze();
    }
#else
    page.data()[0] = 1;
#endif
}
