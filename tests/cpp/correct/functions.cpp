// Buffers that are returned, passed on, captured, and handed over on some paths only.
#include <kula.hpp>

#include <chrono>
#include <functional>
#include <thread>

using namespace std::chrono_literals;

kula::buffer none();
kula::buffer perhaps(kula::ring &ring, bool wanted);
kula::buffer pass_through(kula::buffer buffer);
kula::op on_one_branch(kula::ring &ring, int fd, bool now, kula::buffer buffer);
kula::op by_reference(kula::ring &ring, int fd, kula::buffer &buffer);
void in_lambdas(kula::ring &ring, int fd);
void to_a_thread(kula::ring &ring, kula::ring &other);
int early_return(kula::ring &ring, int fd);
kula::buffer first_that_works(kula::ring &ring, kula::pool &pool);
void to_many(kula::ring &ring, const int *sockets, std::size_t count, kula::buffer page);
kula::buffer widen(kula::buffer first, kula::buffer second);
int lent(kula::ring &ring, int fd);
kula_buf to_c_and_back(kula_buf handle);

kula::buffer none()
{
    return {};
}

kula::buffer perhaps(kula::ring &ring, bool wanted)
{
    kula::buffer buffer;
    if (wanted) {
        buffer = ring.alloc(64);
    }
    return buffer;
}

kula::buffer pass_through(kula::buffer buffer)
{
    if (buffer) {
        buffer.data()[0] = 0;
    }
    return buffer;
}

kula::op on_one_branch(kula::ring &ring, int fd, bool now, kula::buffer buffer)
{
    if (now) {
        return ring.send(fd, std::move(buffer), 64, 0);
    }
    buffer.data()[0] = 1;
    kula::buffer same = pass_through(std::move(buffer));
    return ring.send(fd, std::move(same), 64, 0);
}

kula::op by_reference(kula::ring &ring, int fd, kula::buffer &buffer)
{
    kula::op read = ring.read(fd, std::move(buffer), 64, 0);
    buffer = ring.alloc(64);
    return read;
}

void in_lambdas(kula::ring &ring, int fd)
{
    auto take_all = [](kula::event &event, auto &&each) {
        while (kula::buffer taken = event.take()) {
            each(std::move(taken));
        }
    };
    while (kula::event event = ring.next()) {
        take_all(event, [&](kula::buffer &&taken) { ring.send(fd, std::move(taken), 1, 0); });
    }
}

void to_a_thread(kula::ring &ring, kula::ring &other)
{
    kula::buffer buffer = ring.alloc(64);
    std::thread thread(
        [&other, carried = std::move(buffer)]() mutable { other.post(std::move(carried), 1); });
    thread.join();
}

int early_return(kula::ring &ring, int fd)
{
    kula::buffer buffer = ring.alloc(64);
    if (!buffer) {
        return -ENOMEM;
    }
    kula::op receive = ring.recv(fd, std::move(buffer), 64, 0);
    if (ring.deadline(receive, 1s) < 0 || ring.wait(2s) <= 0) {
        return -ETIME;
    }
    kula::event event = ring.next();
    if (!event || event.result() < 0) {
        return -EIO;
    }
    buffer = event.take();
    return buffer.data()[0];
}

kula::buffer first_that_works(kula::ring &ring, kula::pool &pool)
{
    if (kula::buffer pooled = pool.get(1ms)) {
        return pooled;
    }
    kula::buffer buffer = ring.alloc(4096);
    return buffer ? std::move(buffer) : ring.alloc(64);
}

void to_many(kula::ring &ring, const int *sockets, std::size_t count, kula::buffer page)
{
    kula::ref shared = std::move(page).freeze();
    for (std::size_t i = 0; i < count; i++) {
        ring.send(sockets[i], shared.clone(), kula::whole, 0);
    }
    kula::ref head = shared.slice(0, 16);
    shared.reset();
    kula::buffer thawed = head.thaw();
    if (head) {
        ring.send(sockets[0], std::move(head), 16, 0);
    } else {
        ring.send(sockets[0], std::move(thawed), 16, 0);
    }
}

kula::buffer widen(kula::buffer first, kula::buffer second)
{
    if (first.join(second) < 0) {
        return second;
    }
    kula::buffer tail = first.split(16);
    return tail ? std::move(tail) : std::move(first);
}

int lent(kula::ring &ring, int fd)
{
    unsigned char head[16];
    unsigned char body[64];
    kula::scope scope;
    if (int error = scope.begin(ring); error < 0) {
        return error;
    }
    scope.read(fd, head, sizeof head, 0);
    scope.read(fd, body, sizeof body, 16);
    return scope.end(1s);
}

kula_buf to_c_and_back(kula_buf handle)
{
    kula::buffer adopted(handle);
    if (adopted) {
        adopted.data()[0] = 1;
    }
    return adopted.release();
}
