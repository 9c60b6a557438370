// Misuse 08: the buffer was handed over on one branch only, and is used after both.
//
// tidy:    used after it was moved
// analyze: Null pointer passed to 1st parameter
#include <kula.hpp>

int answer(kula::ring &ring, int fd, kula::buffer buffer, bool now);

int answer(kula::ring &ring, int fd, kula::buffer buffer, bool now)
{
#ifdef CORRECTED
    int first = buffer.data()[0];
    if (now) {
        ring.send(fd, std::move(buffer), 512, 0);
    }
#else
    if (now) {
        ring.send(fd, std::move(buffer), 512, 0);
    }
    int first = buffer.data()[0];
#endif
    return first;
}
