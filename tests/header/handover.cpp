// Handing a buffer over costs nothing: each of these has to become the call of the C library itself.
#include <kula.hpp>

extern "C" {
kula_op hand_over_member(kula::ring &ring, int fd, kula::buffer &buffer, void *user);
kula_op hand_over_parameter(kula::ring &ring, int fd, kula::buffer buffer, void *user);
kula_op hand_over_ref(kula::ring &ring, int fd, kula::ref &ref, void *user);
kula_op hand_over_vec(kula::ring &ring, int fd, kula::vec &vec, void *user);
kula_op hand_over_new(kula::ring &ring, int fd);
void hand_over_taken(kula::ring &ring, int fd);
}

kula_op hand_over_member(kula::ring &ring, int fd, kula::buffer &buffer, void *user)
{
    return ring.read(fd, std::move(buffer), 4096, 0, user).get();
}

kula_op hand_over_parameter(kula::ring &ring, int fd, kula::buffer buffer, void *user)
{
    return ring.recv(fd, std::move(buffer), 4096, 0, user).get();
}

kula_op hand_over_ref(kula::ring &ring, int fd, kula::ref &ref, void *user)
{
    return ring.send(fd, std::move(ref), 4096, 0, user).get();
}

kula_op hand_over_vec(kula::ring &ring, int fd, kula::vec &vec, void *user)
{
    return ring.writev(fd, std::move(vec), KULA_CUR, user).get();
}

kula_op hand_over_new(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    return ring.send(fd, std::move(buffer), 4096, 0).get();
}

void hand_over_taken(kula::ring &ring, int fd)
{
    kula::event event = ring.next();
    kula::buffer buffer = event.take();
    ring.send(fd, std::move(buffer), 4096, 0);
}
