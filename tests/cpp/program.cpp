// Buffers, lists, operations and the ring through the classes of kula.hpp, on the backend that
// KULA_BACKEND names. Built with and without exceptions.
#include "program.h"

#include <array>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#if __cplusplus >= 202002L
#    include <span>
#endif

using namespace std::chrono_literals;
using program::expect;

namespace
{

static_assert(sizeof(kula::buffer) == sizeof(kula_buf) &&
              sizeof(kula::ref) == sizeof(kula_ref));
static_assert(sizeof(kula::vec) == sizeof(kula_vec) && sizeof(kula::op) == sizeof(kula_op));
static_assert(!std::is_copy_constructible_v<kula::buffer> &&
              !std::is_copy_assignable_v<kula::buffer>);
static_assert(!std::is_copy_constructible_v<kula::ref> &&
              !std::is_copy_assignable_v<kula::ref>);
static_assert(!std::is_copy_constructible_v<kula::vec> &&
              !std::is_copy_constructible_v<kula::ring>);
static_assert(!std::is_move_constructible_v<kula::event> &&
              !std::is_move_constructible_v<kula::scope>);
static_assert(std::is_nothrow_move_constructible_v<kula::buffer> &&
              std::is_nothrow_move_assignable_v<kula::buffer> &&
              std::is_nothrow_swappable_v<kula::buffer>);
static_assert(std::is_nothrow_move_constructible_v<kula::ring> &&
              std::is_nothrow_move_constructible_v<kula::pool>);
static_assert(std::is_trivially_copyable_v<kula::op>);
static_assert(!std::is_convertible_v<kula_buf, kula::buffer> &&
              !std::is_convertible_v<kula::buffer, bool>);

/* A connected pair of sockets, which ends with it. */
class pair
{
public:
    explicit pair(kula::ring &ring) : ring_(ring)
    {
        expect(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_) == 0, "there is a pair of sockets");
    }
    pair(const pair &) = delete;
    pair &operator=(const pair &) = delete;
    ~pair()
    {
        ring_.close_fd(ends_[0]);
        ring_.close_fd(ends_[1]);
        program::run(ring_);
    }
    int here() const
    {
        return ends_[0];
    }
    int there() const
    {
        return ends_[1];
    }

private:
    kula::ring &ring_;
    int ends_[2];
};

bool holds(const kula::buffer &buffer, std::string_view text)
{
    return buffer && buffer.size() >= text.size() &&
           std::memcmp(buffer.data(), text.data(), text.size()) == 0;
}

kula::buffer filled(kula::ring &ring, std::string_view text)
{
    kula::buffer buffer = ring.alloc(text.size());
    expect(bool(buffer), "there is memory for a buffer");
    std::memcpy(buffer.data(), text.data(), text.size());
    return buffer;
}

void moving_empties_and_assigning_gives_back()
{
    kula::ring ring = program::open();
    kula::buffer first = filled(ring, "first");
    kula::buffer second = std::move(first);
    expect(first.get() == nullptr && holds(second, "first"), "moving empties the source");
    first = filled(ring, "another");
    second = std::move(first);
    expect(first.get() == nullptr && holds(second, "another"),
           "assigning gives back what was held");
    kula::buffer &same = second;
    second = std::move(same);
    expect(holds(second, "another"), "a buffer assigned to itself stays");
    first = filled(ring, "swapped");
    swap(first, second);
    expect(holds(first, "another") && holds(second, "swapped"), "swapping exchanges");
    first.reset();
    expect(!first, "reset gives back");
    kula_buf handle = second.release();
    expect(handle && !second, "release gives the handle up");
    kula::buffer adopted(handle);
    expect(holds(adopted, "swapped"), "a handle can be adopted");
}

void the_bytes_are_a_range()
{
    kula::ring ring = program::open();
    kula::buffer buffer = ring.alloc(100);
    unsigned char next = 0;
    for (unsigned char &byte : buffer) {
        byte = next++;
    }
    const kula::buffer &constant = buffer;
    expect(std::accumulate(begin(constant), end(constant), 0) == 4950,
           "each byte is in the range");
    expect(buffer.window(90) == 0 && buffer.size() == 10 && buffer.data()[0] == 90,
           "the window moves the start");
    expect(buffer.window(101) == -EINVAL, "the window stays inside");
#if __cplusplus >= 202002L
    std::span<unsigned char> span(buffer);
    expect(span.size() == 10 && span.front() == 90, "a buffer is a span");
#endif
}

void a_buffer_comes_home_with_its_bytes()
{
    kula::ring ring = program::open();
    pair sockets(ring);
    kula::buffer out = filled(ring, "from hand to hand");
    kula::buffer in = ring.alloc(64);
    int tag = 0;
    kula::op receive = ring.recv(sockets.there(), std::move(in), kula::whole, 0, &tag);
    kula::op send = ring.send(sockets.here(), std::move(out), kula::whole, 0);
    expect(in.get() == nullptr && out.get() == nullptr, "handing over empties");
    expect(receive && send && receive != send, "operations have names");
    expect(ring.deadline(receive, 60s) == 0, "an operation can be given a deadline");
    int events = 0;
    program::run(ring, [&](kula::event &event) {
        events++;
        expect(event.result() == 17 && event.flags() == 0 && event.error() == 0,
               "everything was moved");
        kula::buffer home = event.take();
        expect(holds(home, "from hand to hand"), "the bytes came along");
        expect((event.op() == receive) == (event.user<int>() == &tag), "user passes through");
        expect(!event.take(), "a buffer is taken once");
    });
    expect(events == 2, "there is one event for each operation");
}

void what_is_not_taken_is_given_back()
{
    kula::ring ring = program::open();
    pair sockets(ring);
    ring.write(sockets.here(), filled(ring, "lost"), 4, KULA_CUR);
    ring.read(sockets.there(), ring.alloc(16), kula::whole, KULA_CUR);
    program::run(ring);
    kula::op cancelled = ring.recv(sockets.there(), ring.alloc(16), 16, 0);
    expect(ring.cancel(cancelled) == 0, "an operation can be cancelled");
    program::run(ring, [](kula::event &event) {
        expect(event.result() == -ECANCELED && event.explain()[0],
               "it says that it was cancelled");
    });
    kula::op detached = ring.recv(sockets.there(), ring.alloc(16), 16, 0);
    expect(ring.detach(detached) == 0 && ring.outstanding() == 0, "an operation can be left");
}

void a_list_carries_its_buffers()
{
    kula::ring ring = program::open();
    pair sockets(ring);
    kula::vec parts = ring.make_vec();
    parts.add(filled(ring, "hand "), 5);
    parts.add(filled(ring, "to hand"), 7);
    expect(parts.count() == 2, "a list counts its buffers");
    kula::vec moved = std::move(parts);
    ring.writev(sockets.here(), std::move(moved), KULA_CUR);
    kula::vec into = ring.make_vec();
    for (std::size_t size : { std::size_t{ 3 }, std::size_t{ 9 } }) {
        kula::buffer part = ring.alloc(size);
        into.add(std::move(part), size);
    }
    kula::op reading = ring.readv(sockets.there(), std::move(into), KULA_CUR);
    expect(ring.option(reading, KULA_FULL) == 0, "an operation takes options");
    program::run(ring, [&](kula::event &event) {
        expect(event.result() == 12, "all parts take part");
        if (event.op() == reading) {
            kula::buffer first = event.take();
            kula::buffer second = event.take();
            expect(holds(first, "han") && holds(second, "d to hand"), "parts come in order");
        }
    });
    kula::vec unused = ring.make_vec();
    unused.add(ring.alloc(8), 8);
}

void operations_are_keys()
{
    kula::ring ring = program::open();
    std::map<kula::op, int> ordered;
    std::unordered_map<kula::op, int> hashed;
    kula::op last;
    expect(!last, "an operation without a name is none");
    for (int number = 1; number <= 3; number++) {
        kula::op timer = ring.timer(std::chrono::milliseconds(number));
        ordered[timer] = hashed[timer] = number;
        last = timer;
    }
    kula::op successor = ring.nop();
    expect(ring.after(successor, last) == 0, "an operation can wait for another one");
    program::run(ring, [&](kula::event &event) {
        if (event.op() == successor) {
            expect(ordered.empty(), "the successor comes last");
        } else {
            expect(ordered.at(event.op()) == hashed.at(event.op()), "both maps know the name");
            ordered.erase(event.op());
        }
    });
}

void containers_hold_buffers()
{
    kula::ring ring = program::open();
    pair sockets(ring);
    std::vector<kula::buffer> spare;
    for (int number = 0; number < 20; number++) {
        spare.push_back(filled(ring, std::to_string(number)));
    }
    spare.erase(spare.begin());
    std::array<kula::buffer, 2> two = { std::move(spare.back()), ring.alloc(1) };
    spare.pop_back();
    std::optional<kula::buffer> perhaps(std::move(two[0]));
    expect(holds(*perhaps, "19") && spare.size() == 18, "containers move buffers");
    std::size_t sent = 0;
    for (kula::buffer &buffer : spare) {
        std::size_t length = buffer.size();
        sent += length;
        ring.send(sockets.here(), std::move(buffer), length, 0);
    }
    program::run(ring);
    ring.recv(sockets.there(), ring.alloc(64), 64, 0);
    program::run(ring, [&](kula::event &event) {
        expect(event.result() == int(sent), "what was in the container arrives");
        kula::buffer home = event.take();
        expect(holds(home, "123456789101112"), "it arrives in order");
    });
}

void messages_carry_buffers_between_threads()
{
    kula::ring ring = program::open();
    kula::buffer buffer = filled(ring, "there");
    std::thread other([&ring, carried = std::move(buffer)]() mutable {
        expect(ring.post(std::move(carried), 1) == 0 && ring.post(2, &ring) == 0,
               "another thread can post");
        expect(ring.wake() == 0, "another thread can wake the ring");
    });
    int sum = 0;
    while (sum < 3 && ring.wait(60s) >= 0) {
        while (kula::event event = ring.next()) {
            expect(event.is_message() && !event.op() && !event.more(),
                   "messages say what they are");
            sum += event.result();
            kula::buffer home = event.take();
            expect(event.result() == 1 ? holds(home, "there") : !home, "the buffer came along");
        }
    }
    other.join();
}

void callables_are_offloaded()
{
    kula::ring ring = program::open();
    int calls = 0;
    auto work = [&calls]() { return ++calls; };
    ring.offload(work);
    program::run(ring, [](kula::event &event) {
        expect(event.result() == 1, "the result is what the callable returned");
    });
    expect(calls == 1, "it ran once");
}

void rings_are_opened_moved_and_closed()
{
    kula::ring ring;
    expect(!ring && ring.close() == 0, "a ring starts empty");
    kula_config impossible = program::config();
    impossible.size = 0;
    expect(ring.open(impossible) == -EINVAL && !ring, "a bad config is refused");
    expect(kula::error_code(-EINVAL) == std::errc::invalid_argument && !kula::error_code(5),
           "results become error codes");
    expect(ring.open(program::config()) == 0 && ring, "a ring can be opened");
    expect(ring.open() == -EALREADY && ring, "an open ring is not opened again");
    kula_report report = {};
    report.size = sizeof report;
    expect(ring.describe(report) == 0 &&
               report.candidates[report.chosen].name == std::string_view(ring.backend_name()),
           "a ring says what it is");
    kula::buffer survivor = filled(ring, "still here");
    kula::ring moved = std::move(ring);
    expect(!ring.get() && moved.nop(), "a moved ring goes on");
    moved = program::open();
    expect(holds(survivor, "still here"), "a buffer outlives its ring");
    expect(moved.close(0ns) == 0 && !moved, "a ring can be closed");
}

void a_ring_ends_what_is_under_way()
{
    int ends[2];
    expect(pipe(ends) == 0, "there is a pipe");
    {
        kula::ring ring = program::open();
        ring.read(ends[0], ring.alloc(64), 64, KULA_CUR);
        ring.timer(3600s);
        expect(ring.submit() >= 0 && ring.outstanding() == 2, "two operations are under way");
    }
    {
        kula::ring ring = program::open();
        ring.read(ends[0], ring.alloc(64), 64, KULA_CUR);
        expect(ring.cancel_fd(ends[0]) == 1 && ring.abandon() == 0 && !ring,
               "a ring can be left");
    }
    close(ends[0]);
    close(ends[1]);
}

#if defined __cpp_exceptions
void unwinding_gives_back()
{
    kula::ring ring = program::open();
    bool caught = false;
    try {
        kula::buffer buffer = filled(ring, "thrown past");
        if (int error = buffer.window(100); error < 0) {
            throw std::system_error(kula::error_code(error), "window");
        }
    } catch (const std::system_error &error) {
        caught = error.code() == std::errc::invalid_argument;
    }
    expect(caught, "a program may throw results");
}
#else
void unwinding_gives_back()
{
}
#endif

} // namespace

int main()
{
    moving_empties_and_assigning_gives_back();
    the_bytes_are_a_range();
    a_buffer_comes_home_with_its_bytes();
    what_is_not_taken_is_given_back();
    a_list_carries_its_buffers();
    operations_are_keys();
    containers_hold_buffers();
    messages_carry_buffers_between_threads();
    callables_are_offloaded();
    rings_are_opened_moved_and_closed();
    a_ring_ends_what_is_under_way();
    unwinding_gives_back();
    return program::finish();
}
