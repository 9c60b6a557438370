/* kula/scope.hpp - memory that is lent to a ring for a block of the program. Included by kula.hpp;
 * kula/borrow.h says the rest.
 *
 *     unsigned char head[16], body[4096];
 *     kula::scope scope;                      // after the memory: it has to end before it
 *     if (scope.begin(ring) == 0) {
 *         scope.read(fd, head, sizeof head, 0);
 *         scope.read(fd, body, sizeof body, 4096);
 *         scope.end(1s);
 *     }
 */
#ifndef KULA_SCOPE_HPP
#define KULA_SCOPE_HPP

#include "ring.hpp"

#include <exception>

namespace kula
{

/* A kula_scope. The destructor cancels what is left and returns when all of it is over, so that memory
 * declared before the scope is whole again when its turn comes, also while an exception unwinds.
 * Where it cannot wait (another thread, a function that the library called) it ends the program
 * by std::terminate rather than return while the kernel may write. */
class [[nodiscard]] scope
{
public:
    scope() noexcept = default;

    /* It stays where it is: the ring knows its address. */
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;

    ~scope()
    {
        if (begun_) {
            int error = end(nanoseconds::zero());
            /* In a child after fork nobody writes to the child's memory, and with -EINVAL the ring was
             * closed before, which it is not while anything is under way. */
            if (error != 0 && error != -ETIME && error != -EOWNERDEAD && error != -EINVAL) {
                std::terminate();
            }
        }
    }

    /* kula_scope_begin; also -EALREADY, and nothing has changed: it has begun and not ended. */
    [[nodiscard]] int begin(ring &owner) noexcept
    {
        if (begun_) {
            return -EALREADY;
        }
        int error = kula_scope_begin(owner.get(), &scope_);
        begun_ = error == 0;
        return error;
    }

    /* kula_scope_read, kula_scope_write, kula_scope_recv, kula_scope_send. */
    op read(int fd,
            void *memory,
            std::size_t length,
            std::int64_t offset,
            void *user = nullptr) noexcept
    {
        return op(kula_scope_read(&scope_, fd, memory, length, offset, user));
    }
    op write(int fd,
             const void *memory,
             std::size_t length,
             std::int64_t offset,
             void *user = nullptr) noexcept
    {
        return op(kula_scope_write(&scope_, fd, memory, length, offset, user));
    }
    op recv(int fd,
            void *memory,
            std::size_t length,
            int msg_flags,
            void *user = nullptr) noexcept
    {
        return op(kula_scope_recv(&scope_, fd, memory, length, msg_flags, user));
    }
    op send(int fd,
            const void *memory,
            std::size_t length,
            int msg_flags,
            void *user = nullptr) noexcept
    {
        return op(kula_scope_send(&scope_, fd, memory, length, msg_flags, user));
    }

    /* kula_scope_end. */
    int end(nanoseconds timeout = forever) noexcept
    {
        int error = kula_scope_end(&scope_, timeout.count());
        if (error == 0 || error == -ETIME) {
            begun_ = false;
        }
        return error;
    }

    /* How many operations were handed over in it. */
    std::uint64_t started() const noexcept
    {
        return scope_.started;
    }

private:
    kula_scope scope_ = {};
    bool begun_ = false;
};

} // namespace kula

#endif
