// Shared and constant bytes and parts of buffers through the classes of kula.hpp, on the backend that
// KULA_BACKEND names. Built with and without exceptions.
#include "program.h"

#include <string_view>

using program::expect;

namespace
{

template <class Bytes> bool holds(const Bytes &bytes, std::string_view text)
{
    return bytes && bytes.size() == text.size() &&
           std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

kula::buffer filled(kula::ring &ring, std::string_view text)
{
    kula::buffer buffer = ring.alloc(text.size());
    expect(bool(buffer), "there is memory for a buffer");
    std::memcpy(buffer.data(), text.data(), text.size());
    return buffer;
}

void shared_bytes_are_counted()
{
    program::channel pipe;
    kula::ring ring = program::open();
    kula::ref page = filled(ring, "one page for many").freeze();
    kula::ref head = page.slice(0, 8);
    kula::ref copy = page.clone();
    expect(holds(page, "one page for many") && holds(head, "one page"), "a slice is a part");
    expect(page.count() == 3 && !page.slice(10, 8),
           "references are counted, slices lie inside");
    expect(!page.thaw() && page, "what is shared is not thawed");
    ring.write(pipe.in(), std::move(copy), kula::whole, KULA_CUR);
    ring.write(pipe.in(), std::move(head), 3, KULA_CUR);
    expect(!copy && !head, "handing over empties a reference");
    int home = 0;
    program::run(ring, [&](kula::event &event) {
        kula::ref taken = event.take_ref();
        expect(bool(taken) && !event.take(), "a reference comes home as one");
        home += event.result();
    });
    expect(home == 20 && page.count() == 1, "both were written, and are gone");
    kula::buffer thawed = page.thaw();
    expect(!page && holds(thawed, "one page for many"), "the last reference is thawed");
    kula::vec parts = ring.make_vec();
    parts.add(std::move(thawed).freeze(), 4);
    ring.writev(pipe.in(), std::move(parts), KULA_CUR);
    program::run(ring, [](kula::event &event) {
        expect(event.result() == 4, "a list takes references");
    });
    ring.forget_fd(pipe.in());
}

void buffers_are_split_and_joined()
{
    kula::ring ring = program::open();
    kula::buffer first = filled(ring, "hand to hand");
    kula::buffer second = first.split(5);
    expect(holds(first, "hand ") && holds(second, "to hand"), "a buffer can be cut in two");
    expect(!first.split(5) && first.size() == 5, "a part has a byte at least");
    kula::buffer stranger = filled(ring, "other");
    expect(first.join(stranger) == -EINVAL && stranger, "strangers are not joined");
    expect(first.join(second) == 0 && !second, "neighbours are");
    expect(holds(first, "hand to hand"), "joined they are what they were");
}

void constant_memory_is_written()
{
    program::channel pipe;
    kula::ring ring = program::open();
    static const char text[] = "never changes";
    kula::ref constant = ring.constant(text, sizeof text - 1);
    expect(holds(constant, text) && !constant.thaw(), "constant memory is not thawed");
    ring.write(pipe.in(), std::move(constant), kula::whole, KULA_CUR);
    program::run(ring, [](kula::event &event) {
        expect(event.result() == 13, "constant memory is written");
    });
    ring.forget_fd(pipe.in());
}

} // namespace

int main()
{
    shared_bytes_are_counted();
    buffers_are_split_and_joined();
    constant_memory_is_written();
    return program::finish();
}
