/* kula/pool.hpp - a pool of buffers as a C++ object. Included by kula.hpp; kula/pool.h says the rest.
 */
#ifndef KULA_POOL_HPP
#define KULA_POOL_HPP

#include "ring.hpp"

namespace kula
{

/* A kula_pool. The destructor is close(): buffers that are out stay valid, and may go after it. */
class [[nodiscard]] pool
{
public:
    pool() noexcept = default;

    /* Adopts a pool of the C library, which is this object's from here on; NULL is fine. */
    explicit pool(kula_pool *opened) noexcept : pool_(opened)
    {
    }

    pool(pool &&other) noexcept : pool_(std::exchange(other.pool_, nullptr))
    {
    }

    /* Closes what it holds, and then takes what `other` holds. */
    pool &operator=(pool &&other) noexcept
    {
        kula_pool *held = std::exchange(other.pool_, nullptr);
        close();
        pool_ = held;
        return *this;
    }

    pool(const pool &) = delete;
    pool &operator=(const pool &) = delete;

    ~pool()
    {
        close();
    }

    /* kula_pool_open: for the ring's thread alone, or without a ring for all threads. Also -EALREADY,
     * and nothing has changed: this object holds an open pool. */
    [[nodiscard]] int open(ring &owner, const kula_pool_config &config) noexcept
    {
        return pool_ ? -EALREADY : kula_pool_open(owner.get(), &config, &pool_);
    }
    [[nodiscard]] int open(const kula_pool_config &config) noexcept
    {
        return pool_ ? -EALREADY : kula_pool_open(nullptr, &config, &pool_);
    }

    /* kula_pool_close: how many buffers are out. */
    int close() noexcept
    {
        return pool_ ? kula_pool_close(&pool_) : 0;
    }

    /* Whether it holds a pool that has not been closed. */
    explicit operator bool() const noexcept
    {
        return pool_ != nullptr;
    }

    /* kula_pool_get: empty when there was none within the time. */
    [[nodiscard]] buffer get(nanoseconds timeout = nanoseconds::zero()) noexcept
    {
        return buffer(kula_pool_get(pool_, timeout.count()));
    }

    /* kula_pool_describe, kula_pool_memory. */
    int describe(kula_pool_statistics &ret_statistics) noexcept
    {
        return kula_pool_describe(pool_, &ret_statistics);
    }
    int memory(kula_memory_report &ret_report) const noexcept
    {
        return kula_pool_memory(pool_, &ret_report);
    }

    /* The pool, for calls of the C library. */
    kula_pool *handle() const noexcept
    {
        return pool_;
    }

private:
    kula_pool *pool_ = nullptr;
};

} // namespace kula

#endif
