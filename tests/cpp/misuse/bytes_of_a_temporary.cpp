// Misuse: the bytes of a buffer are asked for that ends with the statement.
//
// g++:     error: use of deleted function 'unsigned char\* kula::buffer::data\(\) &&'
// clang++: error: (call to deleted member function|overload resolution selected deleted operator|.*deleted.*) ?'?data
#include <kula.hpp>

int first_byte(kula::ring &ring);

int first_byte(kula::ring &ring)
{
#ifdef CORRECTED
    kula::buffer buffer = ring.alloc(64);
    buffer.data()[0] = 1;
    return buffer.data()[0];
#else
    unsigned char *bytes = ring.alloc(64).data();
    bytes[0] = 1;
    return bytes[0];
#endif
}
