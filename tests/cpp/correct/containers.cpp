// Buffers in the containers of the standard library.
#include <kula.hpp>

#include <array>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <variant>
#include <vector>

void keep(std::vector<kula::buffer> &spare, kula::buffer buffer);
kula::buffer pick(kula::ring &ring, std::vector<kula::buffer> &spare);
void send_all(kula::ring &ring, int fd, std::vector<kula::buffer> buffers);
void collect(kula::ring &ring, std::unordered_map<kula::op, kula::buffer> &home);
std::optional<kula::buffer> replace(std::optional<kula::buffer> &place, kula::buffer &&buffer);
void rotate(std::array<kula::buffer, 4> &buffers);
kula::op drain(kula::ring &ring, int fd, std::queue<kula::buffer> &queue);
std::size_t size_of(const std::variant<kula::buffer, kula::ref> &held);
std::map<int, std::vector<kula::buffer>> sort_by_first(std::vector<kula::buffer> &&buffers);

void keep(std::vector<kula::buffer> &spare, kula::buffer buffer)
{
    if (buffer) {
        spare.push_back(std::move(buffer));
    }
}

kula::buffer pick(kula::ring &ring, std::vector<kula::buffer> &spare)
{
    if (spare.empty()) {
        return ring.alloc(4096);
    }
    kula::buffer last = std::move(spare.back());
    spare.pop_back();
    return last;
}

void send_all(kula::ring &ring, int fd, std::vector<kula::buffer> buffers)
{
    for (kula::buffer &buffer : buffers) {
        ring.send(fd, std::move(buffer), kula::whole, 0);
    }
}

void collect(kula::ring &ring, std::unordered_map<kula::op, kula::buffer> &home)
{
    while (kula::event event = ring.next()) {
        home[event.op()] = event.take();
        home.emplace(kula::op(1), event.take());
    }
}

std::optional<kula::buffer> replace(std::optional<kula::buffer> &place, kula::buffer &&buffer)
{
    std::optional<kula::buffer> before = std::move(place);
    place = std::move(buffer);
    return before;
}

void rotate(std::array<kula::buffer, 4> &buffers)
{
    kula::buffer first = std::move(buffers[0]);
    for (std::size_t i = 1; i < buffers.size(); i++) {
        buffers[i - 1] = std::move(buffers[i]);
    }
    buffers.back() = std::move(first);
}

kula::op drain(kula::ring &ring, int fd, std::queue<kula::buffer> &queue)
{
    kula::op last;
    while (!queue.empty()) {
        kula::buffer buffer = std::move(queue.front());
        queue.pop();
        last = ring.write(fd, std::move(buffer), kula::whole, KULA_CUR);
    }
    return last;
}

std::size_t size_of(const std::variant<kula::buffer, kula::ref> &held)
{
    return std::visit([](const auto &bytes) { return bytes.size(); }, held);
}

std::map<int, std::vector<kula::buffer>> sort_by_first(std::vector<kula::buffer> &&buffers)
{
    std::map<int, std::vector<kula::buffer>> sorted;
    for (kula::buffer &buffer : buffers) {
        int first = buffer.data()[0];
        sorted[first].push_back(std::move(buffer));
    }
    buffers.clear();
    return sorted;
}
