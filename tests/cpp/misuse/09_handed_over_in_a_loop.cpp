// Misuse 09: one buffer is handed over in every round of a loop.
//
// clang++:  this handle is empty here: its buffer was already handed over
// consumed: state of variable 'buffer' must match at the entry and exit of loop
// tidy:     used after it was moved
// analyze:  Null pointer passed to 1st parameter
#include <kula.hpp>

void send_to_all(kula::ring &ring, const int *sockets, int count);

void send_to_all(kula::ring &ring, const int *sockets, int count)
{
#ifdef CORRECTED
    for (int i = 0; i < count; i++) {
        kula::buffer buffer = ring.alloc(64);
        ring.send(sockets[i], std::move(buffer), 64, 0);
    }
#else
    kula::buffer buffer = ring.alloc(64);
    for (int i = 0; i < count; i++) {
        ring.send(sockets[i], std::move(buffer), 64, 0);
    }
#endif
}
