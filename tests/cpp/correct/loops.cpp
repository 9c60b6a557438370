// Buffers that go round in loops: moved, handed over, and given a new value before they are used
// again, or made in the loop.
#include <kula.hpp>

int echo(kula::ring &ring, int fd);
void send_new_ones(kula::ring &ring, int fd, int count);
void refill(kula::ring &ring, int fd, int rounds);
bool copy(kula::ring &ring, int from, int to);
std::size_t send_rest(kula::ring &ring, int fd, kula::buffer buffer, std::size_t length);

int echo(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(4096);
    if (!buffer) {
        return -ENOMEM;
    }
    for (;;) {
        ring.recv(fd, std::move(buffer), kula::whole, 0);
        if (ring.wait() < 0) {
            return -EIO;
        }
        kula::event event = ring.next();
        if (!event || event.result() <= 0) {
            return event ? event.result() : 0;
        }
        auto length = static_cast<std::size_t>(event.result());
        buffer = event.take();
        ring.send(fd, std::move(buffer), length, 0);
        buffer = ring.alloc(4096);
    }
}

void send_new_ones(kula::ring &ring, int fd, int count)
{
    for (int i = 0; i < count; i++) {
        kula::buffer buffer = ring.alloc(64);
        if (!buffer) {
            continue;
        }
        buffer.data()[0] = static_cast<unsigned char>(i);
        ring.send(fd, std::move(buffer), 1, 0);
    }
}

void refill(kula::ring &ring, int fd, int rounds)
{
    kula::buffer buffer;
    while (rounds-- > 0) {
        buffer = ring.alloc(64);
        ring.send(fd, std::move(buffer), 64, 0);
    }
}

bool copy(kula::ring &ring, int from, int to)
{
    ring.read(from, ring.alloc(65536), kula::whole, KULA_CUR);
    while (ring.outstanding() > 0 && ring.wait() >= 0) {
        while (kula::event event = ring.next()) {
            kula::buffer buffer = event.take();
            if (event.result() < 0) {
                return false;
            }
            if (event.user() == &ring) {
                ring.read(from, std::move(buffer), 65536, KULA_CUR);
            } else if (event.result() > 0) {
                auto length = static_cast<std::size_t>(event.result());
                ring.write(to, std::move(buffer), length, KULA_CUR, &ring);
            }
        }
    }
    return true;
}

std::size_t send_rest(kula::ring &ring, int fd, kula::buffer buffer, std::size_t length)
{
    std::size_t sent = 0;
    while (sent < length) {
        if (buffer.window(sent) < 0) {
            break;
        }
        ring.send(fd, std::move(buffer), length - sent, 0);
        ring.wait();
        kula::event event = ring.next();
        if (!event || event.result() <= 0) {
            break;
        }
        sent += static_cast<std::size_t>(event.result());
        buffer = event.take();
    }
    return sent;
}
