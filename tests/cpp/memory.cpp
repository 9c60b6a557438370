// Vouched, special, pooled and lent memory through the classes of kula.hpp, on the backend
// that KULA_BACKEND names. Built with and without exceptions.
#include "program.h"

#include <array>
#include <memory>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace std::chrono_literals;
using program::expect;

namespace
{

int released = 0;
void count_release(void *, std::size_t size)
{
    released += int(size);
}

struct large_callable {
    std::shared_ptr<int> counter;
    std::array<std::size_t, 4> sizes;
    void operator()(void *, std::size_t size)
    {
        *counter += int(size);
    }
};

void vouched_memory_is_released_once()
{
    kula::ring ring = program::open();
    static unsigned char memory[64];
    int seen = 0;
    auto counter = std::make_shared<int>(0);
    {
        kula::buffer by_function = ring.vouch(memory, 1, count_release);
        kula::buffer by_lambda =
            ring.vouch(memory + 8, 2, [](void *, std::size_t size) { released += int(size); });
        kula::buffer by_reference =
            ring.vouch(memory + 16, 4, [&seen](void *place, std::size_t size) {
                seen += place == memory + 16 && size == 4;
            });
        kula::buffer by_object = ring.vouch(memory + 32, 8, large_callable{ counter, {} });
        expect(by_function && by_lambda && by_reference && by_object,
               "memory can be vouched for");
        by_lambda.data()[0] = 1;
        expect(memory[8] == 1 && by_object.size() == 8, "a buffer shows the program's memory");
        expect(released == 0 && seen == 0 && counter.use_count() == 2,
               "nothing is released early");
    }
    expect(released == 3 && seen == 1 && *counter == 8, "each is released once");
    expect(counter.use_count() == 1, "the callable is gone");
    kula::buffer impossible = ring.vouch(memory, 0, large_callable{ counter, {} });
    expect(!impossible && *counter == 8 && counter.use_count() == 1,
           "what failed is not released");
}

void an_owner_can_be_released()
{
    kula::ring ring = program::open();
    auto owned = std::make_unique<std::vector<unsigned char>>(4096);
    auto *bytes = owned.get();
    kula::buffer buffer = ring.vouch(bytes->data(), bytes->size(),
                                     [kept = std::move(owned)](void *, std::size_t) {});
    expect(buffer.size() == 4096, "a vector lives in its release function");
}

void special_memory_is_aligned()
{
    kula::ring ring = program::open();
    kula_memory wanted = KULA_MEMORY_INIT;
    wanted.alignment = 8192;
    kula_memory_report report = {};
    kula::buffer buffer = ring.alloc(100, wanted, &report);
    expect(buffer && report.error == 0, "aligned memory is there");
    expect(reinterpret_cast<std::uintptr_t>(buffer.data()) % 8192 == 0, "it is aligned");
}

void a_pool_lends_what_it_has()
{
    kula::ring ring = program::open();
    kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 512;
    config.count = 2;
    kula::pool pool;
    expect(pool.open(kula_pool_config(KULA_POOL_INIT)) == -EINVAL && !pool, "a size is needed");
    expect(pool.open(ring, config) == 0 && pool, "a pool can be opened");
    expect(pool.open(ring, config) == -EALREADY, "an open pool is not opened again");
    kula::buffer first = pool.get();
    {
        kula::buffer second = pool.get(1ms);
        expect(first.size() == 512 && second && !pool.get(),
               "a pool has what it was made with");
    }
    kula_pool_statistics statistics = {};
    expect(pool.describe(statistics) == 0 && statistics.held == 1 && statistics.failures == 1,
           "a pool tells how it stands");
    kula::pool moved = std::move(pool);
    kula::buffer second = moved.get();
    expect(!pool.handle() && second, "a moved pool goes on");
    first.reset();
    second.reset();
    expect(moved.close() == 0 && !moved, "a pool can be closed");

    kula::pool shared;
    expect(shared.open(config) == 0, "a pool can do without a ring");
    std::thread([&shared]() { expect(bool(shared.get(1s)), "any thread may take"); }).join();
}

void lent_memory_is_whole_at_the_end()
{
    program::channel pipe;
    kula::ring ring = program::open();
    unsigned char head[4] = {};
    unsigned char body[8] = {};
    expect(ring.write_sync(pipe.in(), "headtail", 8, KULA_CUR) == 8,
           "memory is lent for a call");
    kula::scope scope;
    expect(scope.begin(ring) == 0 && scope.begin(ring) == -EALREADY, "a scope begins once");
    scope.read(pipe.out(), head, sizeof head, KULA_CUR);
    scope.read(pipe.out(), body, sizeof body, KULA_CUR);
    expect(scope.started() == 2 && scope.end(60s) == 0,
           "a scope ends when all of it has ended");
    expect(std::memcmp(head, "head", 4) == 0 && std::memcmp(body, "tail", 4) == 0,
           "the memory is whole");
    std::int32_t late = ring.read_sync(pipe.out(), body, sizeof body, KULA_CUR, 0, 1ms);
    expect(late == -ETIME, "a lent call ends in time");
    program::run(ring);
    ring.forget_fd(pipe.in());
    ring.forget_fd(pipe.out());
}

void a_scope_that_is_left_cancels()
{
    program::channel pipe;
    kula::ring ring = program::open();
    unsigned char bytes[8] = {};
    {
        kula::scope scope;
        expect(scope.begin(ring) == 0, "a scope begins");
        scope.read(pipe.out(), bytes, sizeof bytes, KULA_CUR);
    }
    expect(write(pipe.in(), "late", 4) == 4, "there is something to read");
    program::run(ring, [](kula::event &event) {
        expect(event.result() == -ECANCELED, "what was under way is cancelled");
    });
    expect(bytes[0] == 0, "nothing is written after the scope");
    ring.forget_fd(pipe.out());
}

} // namespace

int main()
{
    vouched_memory_is_released_once();
    an_owner_can_be_released();
    special_memory_is_aligned();
    a_pool_lends_what_it_has();
    lent_memory_is_whole_at_the_end();
    a_scope_that_is_left_cancels();
    return program::finish();
}
