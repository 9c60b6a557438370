/* kula/ring.hpp - the ring as a C++ object. Included by kula.hpp.
 *
 * Every member function is one function of the C library, which its comment names and whose comment
 * in kula.h or kula/operations.h says the rest: sizes, errors, thread, kernel. What differs is how
 * arguments are passed: a buffer by std::move, a time as std::chrono::nanoseconds (5s and 20ms
 * convert; a plain number does not compile), and `user` may be left out.
 */
#ifndef KULA_RING_HPP
#define KULA_RING_HPP

#include "event.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

namespace kula
{

using nanoseconds = std::chrono::nanoseconds;

/* KULA_FOREVER. */
inline constexpr nanoseconds forever{ KULA_FOREVER };

/* Where the length of a transfer stands: as much as the buffer has, from its window on. */
struct whole_t {
    explicit whole_t() = default;
};
inline constexpr whole_t whole{};

/* ---- The ring ----------------------------------------------------------------------------- */

/* A kula_ring. Belongs to the thread that opens it.
 *
 * The destructor is close(forever): it cancels every operation, waits for the last completion and
 * frees. It waits as long as it takes, because memory that the kernel still writes cannot be given
 * back; a program that must not wait calls close(some time) itself, and abandon() if that says
 * -EBUSY. A ring that cannot be closed there (by another thread, or in a child after fork) is
 * reported as misuse and left as it is. Buffers outlive their ring, in any order of destruction. */
class [[nodiscard]] ring
{
public:
    ring() noexcept = default;

    /* Adopts a ring of the C library, which is this object's from here on; NULL is fine. */
    explicit ring(kula_ring *opened) noexcept : ring_(opened)
    {
    }

    ring(ring &&other) noexcept : ring_(std::exchange(other.ring_, nullptr))
    {
    }

    /* Closes what it holds as the destructor does, and then takes what `other` holds. */
    ring &operator=(ring &&other) noexcept
    {
        kula_ring *held = std::exchange(other.ring_, nullptr);
        close();
        ring_ = held;
        return *this;
    }

    ring(const ring &) = delete;
    ring &operator=(const ring &) = delete;

    ~ring()
    {
        close();
    }

    /* kula_open; also -EALREADY, and nothing has changed: this object holds an open ring. */
    [[nodiscard]] int open() noexcept
    {
        return ring_ ? -EALREADY : kula_open(nullptr, &ring_);
    }
    [[nodiscard]] int open(const kula_config &config) noexcept
    {
        return ring_ ? -EALREADY : kula_open(&config, &ring_);
    }

    /* kula_close: 0, and the object is empty; or why it is not, -EBUSY above all. */
    int close(nanoseconds drain = forever) noexcept
    {
        return ring_ ? kula_close(&ring_, drain.count()) : 0;
    }

    /* kula_abandon. */
    int abandon() noexcept
    {
        return kula_abandon(&ring_);
    }

    /* Whether it holds a ring that has not been closed. */
    explicit operator bool() const noexcept
    {
        return ring_ != nullptr;
    }

    /* The ring, for calls of the C library; and giving it up to you. */
    kula_ring *get() const noexcept
    {
        return ring_;
    }
    [[nodiscard]] kula_ring *release() noexcept
    {
        return std::exchange(ring_, nullptr);
    }

    /* kula_outstanding, kula_backend_name, kula_describe. */
    std::size_t outstanding() const noexcept
    {
        return kula_outstanding(ring_);
    }
    const char *backend_name() const noexcept
    {
        return kula_backend_name(ring_);
    }
    int describe(kula_report &ret_report) const noexcept
    {
        return kula_describe(ring_, &ret_report);
    }

    /* ---- Memory --------------------------------------------------------------------------- */

    /* kula_alloc: empty when memory has run out. */
    [[nodiscard]] buffer alloc(std::size_t size) noexcept
    {
        return buffer(kula_alloc(ring_, size));
    }

    /* kula_alloc_memory. */
    [[nodiscard]] buffer alloc(std::size_t size,
                               const kula_memory &memory,
                               kula_memory_report *ret_report = nullptr) noexcept
    {
        return buffer(kula_alloc_memory(ring_, size, &memory, ret_report));
    }

    /* kula_vouch: adopts memory of the program, and calls `release(memory, size)` exactly once, after
     * the last use, on whichever thread lets go last. When an empty buffer comes back it is not
     * called. A function, a lambda without captures, and whatever else is trivially copyable and no
     * larger than a pointer (a lambda with one pointer or reference, std::ref) is kept in the
     * handle's own word; any other callable costs one allocation. It must not throw. */
    template <class Release>
    [[nodiscard]] buffer vouch(void *memory, std::size_t size, Release &&release) noexcept;

    /* kula_const: constant memory that never goes away. */
    [[nodiscard]] ref constant(const void *memory, std::size_t size) noexcept
    {
        return ref(kula_const(ring_, memory, size));
    }

    /* kula_vec_new. */
    [[nodiscard]] vec make_vec() noexcept
    {
        return vec(kula_vec_new(ring_));
    }

    /* ---- Transfers ------------------------------------------------------------------------ */

    /* kula_read, kula_write, kula_recv, kula_send. Each takes the buffer always, and cannot fail.
     * Instead of a length `kula::whole` may stand: asking the buffer for its size in the call that
     * takes it away is what analysers rightly dislike. */
    KULA_EARLY_ op read(int fd,
                        buffer &&into,
                        std::size_t length,
                        std::int64_t offset,
                        void *user = nullptr) noexcept
    {
        return op(kula_read(ring_, fd, &into.handle_, length, offset, user));
    }
    op read(int fd, buffer &&into, whole_t, std::int64_t offset, void *user = nullptr) noexcept
    {
        std::size_t length = into.size();
        return op(kula_read(ring_, fd, &into.handle_, length, offset, user));
    }
    KULA_EARLY_ op write(int fd,
                         buffer &&from,
                         std::size_t length,
                         std::int64_t offset,
                         void *user = nullptr) noexcept
    {
        return op(kula_write(ring_, fd, &from.handle_, length, offset, user));
    }
    op write(int fd, buffer &&from, whole_t, std::int64_t offset, void *user = nullptr) noexcept
    {
        std::size_t length = from.size();
        return op(kula_write(ring_, fd, &from.handle_, length, offset, user));
    }
    KULA_EARLY_ op recv(int fd,
                        buffer &&into,
                        std::size_t length,
                        int msg_flags,
                        void *user = nullptr) noexcept
    {
        return op(kula_recv(ring_, fd, &into.handle_, length, msg_flags, user));
    }
    op recv(int fd, buffer &&into, whole_t, int msg_flags, void *user = nullptr) noexcept
    {
        std::size_t length = into.size();
        return op(kula_recv(ring_, fd, &into.handle_, length, msg_flags, user));
    }
    KULA_EARLY_ op send(int fd,
                        buffer &&from,
                        std::size_t length,
                        int msg_flags,
                        void *user = nullptr) noexcept
    {
        return op(kula_send(ring_, fd, &from.handle_, length, msg_flags, user));
    }
    op send(int fd, buffer &&from, whole_t, int msg_flags, void *user = nullptr) noexcept
    {
        std::size_t length = from.size();
        return op(kula_send(ring_, fd, &from.handle_, length, msg_flags, user));
    }

    /* kula_write_ref, kula_send_ref; there is no reading into shared bytes. */
    op write(int fd,
             ref &&from,
             std::size_t length,
             std::int64_t offset,
             void *user = nullptr) noexcept
    {
        return op(kula_write_ref(ring_, fd, &from.handle_, length, offset, user));
    }
    op write(int fd, ref &&from, whole_t, std::int64_t offset, void *user = nullptr) noexcept
    {
        std::size_t length = from.size();
        return op(kula_write_ref(ring_, fd, &from.handle_, length, offset, user));
    }
    op send(int fd,
            ref &&from,
            std::size_t length,
            int msg_flags,
            void *user = nullptr) noexcept
    {
        return op(kula_send_ref(ring_, fd, &from.handle_, length, msg_flags, user));
    }
    op send(int fd, ref &&from, whole_t, int msg_flags, void *user = nullptr) noexcept
    {
        std::size_t length = from.size();
        return op(kula_send_ref(ring_, fd, &from.handle_, length, msg_flags, user));
    }
    template <class... Rest> op read(int fd, ref &&into, Rest...) = delete;
    template <class... Rest> op recv(int fd, ref &&into, Rest...) = delete;

    /* kula_readv, kula_writev. */
    op readv(int fd, vec &&into, std::int64_t offset, void *user = nullptr) noexcept
    {
        return op(kula_readv(ring_, fd, &into.handle_, offset, user));
    }
    op writev(int fd, vec &&from, std::int64_t offset, void *user = nullptr) noexcept
    {
        return op(kula_writev(ring_, fd, &from.handle_, offset, user));
    }

    /* kula_read_sync, kula_write_sync, kula_recv_sync, kula_send_sync: memory that is lent for the
     * call. The result is a count or a negative errno. */
    [[nodiscard]] std::int32_t read_sync(int fd,
                                         void *memory,
                                         std::size_t length,
                                         std::int64_t offset,
                                         std::uint32_t options = 0,
                                         nanoseconds timeout = forever) noexcept
    {
        return kula_read_sync(ring_, fd, memory, length, offset, options, timeout.count());
    }
    [[nodiscard]] std::int32_t write_sync(int fd,
                                          const void *memory,
                                          std::size_t length,
                                          std::int64_t offset,
                                          std::uint32_t options = 0,
                                          nanoseconds timeout = forever) noexcept
    {
        return kula_write_sync(ring_, fd, memory, length, offset, options, timeout.count());
    }
    [[nodiscard]] std::int32_t recv_sync(int fd,
                                         void *memory,
                                         std::size_t length,
                                         int msg_flags,
                                         std::uint32_t options = 0,
                                         nanoseconds timeout = forever) noexcept
    {
        return kula_recv_sync(ring_, fd, memory, length, msg_flags, options, timeout.count());
    }
    [[nodiscard]] std::int32_t send_sync(int fd,
                                         const void *memory,
                                         std::size_t length,
                                         int msg_flags,
                                         std::uint32_t options = 0,
                                         nanoseconds timeout = forever) noexcept
    {
        return kula_send_sync(ring_, fd, memory, length, msg_flags, options, timeout.count());
    }

    /* ---- Operations without a buffer ------------------------------------------------------ */

    /* kula_nop, kula_socket, kula_bind, kula_listen, kula_accept, kula_connect, kula_shutdown,
     * kula_openat, kula_close_fd, kula_fsync, kula_fdatasync, kula_statx, kula_poll, kula_timer. */
    op nop(void *user = nullptr) noexcept
    {
        return op(kula_nop(ring_, user));
    }
    op socket(int domain, int type, int protocol, void *user = nullptr) noexcept
    {
        return op(kula_socket(ring_, domain, type, protocol, user));
    }
    op bind(int fd,
            const sockaddr *address,
            std::uint32_t address_length,
            void *user = nullptr) noexcept
    {
        return op(kula_bind(ring_, fd, address, address_length, user));
    }
    op listen(int fd, int backlog, void *user = nullptr) noexcept
    {
        return op(kula_listen(ring_, fd, backlog, user));
    }
    op accept(int fd, void *user = nullptr) noexcept
    {
        return op(kula_accept(ring_, fd, user));
    }
    op connect(int fd,
               const sockaddr *address,
               std::uint32_t address_length,
               void *user = nullptr) noexcept
    {
        return op(kula_connect(ring_, fd, address, address_length, user));
    }
    op shutdown(int fd, int how, void *user = nullptr) noexcept
    {
        return op(kula_shutdown(ring_, fd, how, user));
    }
    op openat(int directory_fd,
              const char *path,
              int flags,
              std::uint32_t mode = 0,
              void *user = nullptr) noexcept
    {
        return op(kula_openat(ring_, directory_fd, path, flags, mode, user));
    }
    op close_fd(int fd, void *user = nullptr) noexcept
    {
        return op(kula_close_fd(ring_, fd, user));
    }
    op fsync(int fd, void *user = nullptr) noexcept
    {
        return op(kula_fsync(ring_, fd, user));
    }
    op fdatasync(int fd, void *user = nullptr) noexcept
    {
        return op(kula_fdatasync(ring_, fd, user));
    }
    op statx(int directory_fd, const char *path, int flags, void *user = nullptr) noexcept
    {
        return op(kula_statx(ring_, directory_fd, path, flags, user));
    }
    op poll(int fd, std::uint32_t poll_events, void *user = nullptr) noexcept
    {
        return op(kula_poll(ring_, fd, poll_events, user));
    }
    op timer(nanoseconds timeout, void *user = nullptr) noexcept
    {
        return op(kula_timer(ring_, timeout.count(), user));
    }

    /* kula_offload of a callable that stays yours and has to live until the event: a temporary does
     * not compile. It returns the result, and must not throw. */
    template <class Function> op offload(Function &function, void *user = nullptr) noexcept
    {
        static_assert(std::is_invocable_r_v<std::int32_t, Function &>,
                      "an offloaded function takes nothing and returns the event's result");
        kula_offload_fn call = [](void *arg) noexcept -> std::int32_t {
            return (*static_cast<Function *>(arg))();
        };
        return op(kula_offload(ring_, call, &function, user));
    }

    /* ---- Modifiers, ending early ---------------------------------------------------------- */

    /* kula_deadline, kula_after, kula_option. */
    int deadline(op name, nanoseconds timeout) noexcept
    {
        return kula_deadline(ring_, name.get(), timeout.count());
    }
    int after(op name, op other) noexcept
    {
        return kula_after(ring_, name.get(), other.get());
    }
    int option(op name, std::uint32_t options) noexcept
    {
        return kula_option(ring_, name.get(), options);
    }

    /* kula_cancel, kula_cancel_fd, kula_cancel_all, kula_detach, kula_forget_fd. */
    int cancel(op name) noexcept
    {
        return kula_cancel(ring_, name.get());
    }
    int cancel_fd(int fd) noexcept
    {
        return kula_cancel_fd(ring_, fd);
    }
    int cancel_all() noexcept
    {
        return kula_cancel_all(ring_);
    }
    int detach(op name) noexcept
    {
        return kula_detach(ring_, name.get());
    }
    int forget_fd(int fd) noexcept
    {
        return kula_forget_fd(ring_, fd);
    }

    /* ---- Waiting -------------------------------------------------------------------------- */

    /* kula_submit, kula_wait, kula_pollable. */
    int submit() noexcept
    {
        return kula_submit(ring_);
    }
    int wait(nanoseconds timeout = forever) noexcept
    {
        return kula_wait(ring_, timeout.count());
    }
    int pollable() noexcept
    {
        return kula_pollable(ring_);
    }

    /* kula_next: `while (kula::event event = ring.next()) { ... }`. */
    [[nodiscard]] event next() noexcept
    {
        return event(kula_next(ring_));
    }

    /* kula_wake, kula_post, kula_post_ref: from any thread. */
    int wake() noexcept
    {
        return kula_wake(ring_);
    }
    int post(std::int32_t value, void *pointer = nullptr) noexcept
    {
        return kula_post(ring_, nullptr, value, pointer);
    }
    int post(buffer &&carried, std::int32_t value, void *pointer = nullptr) noexcept
    {
        return kula_post(ring_, &carried.handle_, value, pointer);
    }
    int post(ref &&carried, std::int32_t value, void *pointer = nullptr) noexcept
    {
        return kula_post_ref(ring_, &carried.handle_, value, pointer);
    }

private:
    kula_ring *ring_ = nullptr;
};

template <class Release>
buffer ring::vouch(void *memory, std::size_t size, Release &&release) noexcept
{
    using callable = std::decay_t<Release>;
    static_assert(std::is_invocable_v<callable &, void *, std::size_t>,
                  "a release function takes the memory and its size");
    callable kept(std::forward<Release>(release));
    if constexpr (std::is_trivially_copyable_v<callable> &&
                  sizeof(callable) <= sizeof(void *) && alignof(callable) <= alignof(void *)) {
        void *word = nullptr;
        if constexpr (!std::is_empty_v<callable>) {
            std::memcpy(&word, &kept, sizeof kept);
        }
        kula_release_fn call = [](void *arg, void *released, std::size_t bytes) noexcept {
            (*std::launder(reinterpret_cast<callable *>(&arg)))(released, bytes);
        };
        return buffer(kula_vouch(ring_, memory, size, call, word));
    } else {
        callable *kept_there = new (std::nothrow) callable(std::move(kept));
        if (!kept_there) {
            return buffer();
        }
        kula_release_fn call = [](void *arg, void *released, std::size_t bytes) noexcept {
            callable *owned = static_cast<callable *>(arg);
            (*owned)(released, bytes);
            delete owned;
        };
        kula_buf made = kula_vouch(ring_, memory, size, call, kept_there);
        if (!made) {
            delete kept_there;
        }
        return buffer(made);
    }
}

} // namespace kula

#endif
