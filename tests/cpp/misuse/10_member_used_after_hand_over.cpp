// Misuse 10: a buffer in a struct is used after it was handed over.
//
// analyze: Null pointer passed to 1st parameter
#include <kula.hpp>

struct message {
    kula::buffer head;
    kula::buffer body;
};

int send_body(kula::ring &ring, int fd, message &message);

int send_body(kula::ring &ring, int fd, message &message)
{
#ifdef CORRECTED
    int first = message.body.data()[0];
    ring.send(fd, std::move(message.body), 512, 0);
    return first;
#else
    ring.send(fd, std::move(message.body), 512, 0);
    return message.body.data()[0];
#endif
}
