/* kula/buffer.hpp - buffers, references and lists of buffers as C++ objects. Included by kula.hpp.
 *
 * Each object holds one handle of the C library, or none, and is as large as the handle. It can be
 * moved and not copied; moving, and handing over to a ring, empties it; its destructor gives back
 * what it still holds. An empty object tests false and may be assigned to, tested and destroyed.
 * Everything else on it is misuse, which clang -Wconsumed, an optimising g++ or clang++, and the
 * library at run time report, each where it can.
 */
#ifndef KULA_BUFFER_HPP
#define KULA_BUFFER_HPP

#include "../kula.h"

#include <cstddef>
#include <utility>

/* What clang -Wconsumed is told. States are "unconsumed" (holds a handle) and "consumed" (empty). */
#if defined __clang__
#    define KULA_TRACKED_      [[clang::consumable(unconsumed), clang::consumable_auto_cast_state]]
#    define KULA_STARTS_FULL_  [[clang::return_typestate(unconsumed)]]
#    define KULA_STARTS_EMPTY_ [[clang::return_typestate(consumed)]]
#    define KULA_TESTS_FULL_   [[clang::test_typestate(unconsumed)]]
#    define KULA_WHEN_FULL_    [[clang::callable_when("unconsumed", "unknown")]]
#    define KULA_EMPTIES_      [[clang::set_typestate(consumed)]]
#    define KULA_MAY_EMPTY_    [[clang::set_typestate(unknown)]]
#else
#    define KULA_TRACKED_
#    define KULA_STARTS_FULL_
#    define KULA_STARTS_EMPTY_
#    define KULA_TESTS_FULL_
#    define KULA_WHEN_FULL_
#    define KULA_EMPTIES_
#    define KULA_MAY_EMPTY_
#endif

/* g++ compares lengths with sizes before it inlines what is not marked so. */
#if KULA_GCC_ || KULA_CLANG_
#    define KULA_EARLY_ __attribute__((__always_inline__))
#else
#    define KULA_EARLY_
#endif

namespace kula
{

class ref;

/* ---- Exclusive buffers -------------------------------------------------------------------- */

/* A kula_buf: memory with one holder, who may read and write it. Comes from ring::alloc,
 * ring::vouch, pool::get and event::take; is handed over with std::move. */
class KULA_TRACKED_ [[nodiscard]] buffer
{
public:
    KULA_STARTS_EMPTY_ constexpr buffer() noexcept
    {
    }

    /* Adopts a handle of the C library, which is this object's from here on; NULL is fine. */
    KULA_STARTS_FULL_ explicit constexpr buffer(kula_buf handle) noexcept : handle_(handle)
    {
    }

    buffer(buffer &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }

    /* Gives back what it holds, and then takes what `other` holds. */
    buffer &operator=(buffer &&other) noexcept
    {
        kula_buf held = std::exchange(other.handle_, nullptr);
        if (handle_) {
            reset();
        }
        handle_ = held;
        return *this;
    }

    buffer(const buffer &) = delete;
    buffer &operator=(const buffer &) = delete;

    /* kula_free. */
    ~buffer()
    {
        if (handle_) {
            reset();
        }
    }

    /* Whether it holds a buffer. */
    KULA_TESTS_FULL_ explicit operator bool() const noexcept
    {
        return handle_ != nullptr;
    }

    /* kula_bytes: where the bytes are. The pointer is worthless after the next hand-over, and a
     * temporary has none: name the buffer first. */
    KULA_WHEN_FULL_ unsigned char *data() &noexcept
    {
        return kula_bytes(handle_);
    }
    KULA_WHEN_FULL_ const unsigned char *data() const &noexcept
    {
        return kula_bytes(handle_);
    }
    unsigned char *data() && = delete;
    const unsigned char *data() const && = delete;

    /* kula_capacity: how many bytes there are from data() on. */
    KULA_WHEN_FULL_ std::size_t size() const noexcept
    {
        return kula_capacity(handle_);
    }

    /* kula_window: data() begins `offset` bytes behind the start of the whole buffer; 0 or -EINVAL. */
    KULA_WHEN_FULL_ int window(std::size_t offset) noexcept
    {
        return kula_window(handle_, offset);
    }

    /* kula_freeze: `kula::ref page = std::move(buffer).freeze();` */
    KULA_WHEN_FULL_ KULA_EMPTIES_ [[nodiscard]] ref freeze() &&noexcept;

    /* kula_split: this object keeps the first `at` bytes, the rest is the result; empty if that
     * cannot be. */
    KULA_WHEN_FULL_ [[nodiscard]] buffer split(std::size_t at) noexcept
    {
        return buffer(kula_split(handle_, at));
    }

    /* kula_join: 0, and `second` is empty and its bytes are at the end of this one; or -EINVAL, and
     * both are as they were. */
    KULA_WHEN_FULL_ [[nodiscard]] int join(buffer &second) noexcept
    {
        return kula_join(handle_, &second.handle_);
    }

    /* Gives the buffer back now (kula_free). */
    KULA_EMPTIES_ void reset() noexcept
    {
        kula_free(&handle_);
    }

    /* The handle, for calls of the C library that do not consume it. */
    kula_buf get() const noexcept
    {
        return handle_;
    }

    /* Gives the handle up to you: the other half of the constructor that adopts one. */
    KULA_EMPTIES_ [[nodiscard]] kula_buf release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

    friend void swap(buffer &first, buffer &second) noexcept
    {
        std::swap(first.handle_, second.handle_);
    }

private:
    friend class ring;
    friend class vec;

    kula_buf handle_ = nullptr;
};

/* ---- Shared bytes ------------------------------------------------------------------------- */

/* A kula_ref: a counted right to read memory that nobody writes. Copies are made by clone(), so that
 * they are seen; its bytes are const; it can be written and sent, and reading or receiving into it
 * does not compile. */
class KULA_TRACKED_ [[nodiscard]] ref
{
public:
    KULA_STARTS_EMPTY_ constexpr ref() noexcept
    {
    }

    /* Adopts a handle of the C library, which is this object's from here on; NULL is fine. */
    KULA_STARTS_FULL_ explicit constexpr ref(kula_ref handle) noexcept : handle_(handle)
    {
    }

    ref(ref &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }

    /* Gives back what it holds, and then takes what `other` holds. */
    ref &operator=(ref &&other) noexcept
    {
        kula_ref held = std::exchange(other.handle_, nullptr);
        if (handle_) {
            reset();
        }
        handle_ = held;
        return *this;
    }

    ref(const ref &) = delete;
    ref &operator=(const ref &) = delete;

    /* kula_drop. */
    ~ref()
    {
        if (handle_) {
            reset();
        }
    }

    /* Whether it holds a reference. */
    KULA_TESTS_FULL_ explicit operator bool() const noexcept
    {
        return handle_ != nullptr;
    }

    /* kula_ref_bytes. A temporary has none: name the reference first. */
    KULA_WHEN_FULL_ const unsigned char *data() const &noexcept
    {
        return kula_ref_bytes(handle_);
    }
    const unsigned char *data() const && = delete;

    /* kula_ref_size. */
    KULA_WHEN_FULL_ std::size_t size() const noexcept
    {
        return kula_ref_size(handle_);
    }

    /* kula_clone: another reference to the same bytes; empty when memory has run out. */
    KULA_WHEN_FULL_ [[nodiscard]] ref clone() const noexcept
    {
        return ref(kula_clone(handle_));
    }

    /* kula_slice: a reference to a part; empty if the part is not within this one. */
    KULA_WHEN_FULL_ [[nodiscard]] ref slice(std::size_t offset,
                                            std::size_t length) const noexcept
    {
        return ref(kula_slice(handle_, offset, length));
    }

    /* kula_ref_count. */
    KULA_WHEN_FULL_ unsigned count() const noexcept
    {
        return kula_ref_count(handle_);
    }

    /* kula_thaw: the buffer, and this object is empty; or an empty buffer, because there are other
     * references or the memory is constant, and this object is as it was. */
    KULA_WHEN_FULL_ KULA_MAY_EMPTY_ [[nodiscard]] buffer thaw() noexcept
    {
        return buffer(kula_thaw(&handle_));
    }

    /* Gives the reference up now (kula_drop). */
    KULA_EMPTIES_ void reset() noexcept
    {
        kula_drop(&handle_);
    }

    /* The handle, for calls of the C library that do not consume it. */
    kula_ref get() const noexcept
    {
        return handle_;
    }

    /* Gives the handle up to you: the other half of the constructor that adopts one. */
    KULA_EMPTIES_ [[nodiscard]] kula_ref release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

    friend void swap(ref &first, ref &second) noexcept
    {
        std::swap(first.handle_, second.handle_);
    }

private:
    friend class ring;
    friend class vec;

    kula_ref handle_ = nullptr;
};

inline ref buffer::freeze() &&noexcept
{
    return ref(kula_freeze(&handle_));
}

/* The bytes as a range: `for (unsigned char &byte : buffer)`, std::span<unsigned char>(buffer). These
 * are no members, because clang's analyser does not look into members of what seems a container. */
inline unsigned char *begin(buffer &bytes) noexcept
{
    return bytes.data();
}
inline unsigned char *end(buffer &bytes) noexcept
{
    return bytes.data() + bytes.size();
}
inline const unsigned char *begin(const buffer &bytes) noexcept
{
    return bytes.data();
}
inline const unsigned char *end(const buffer &bytes) noexcept
{
    return bytes.data() + bytes.size();
}
inline const unsigned char *begin(const ref &bytes) noexcept
{
    return bytes.data();
}
inline const unsigned char *end(const ref &bytes) noexcept
{
    return bytes.data() + bytes.size();
}

/* ---- Lists of buffers --------------------------------------------------------------------- */

/* A kula_vec: the buffers of one vectored operation, which it owns. Comes from ring::make_vec. */
class KULA_TRACKED_ [[nodiscard]] vec
{
public:
    KULA_STARTS_EMPTY_ constexpr vec() noexcept
    {
    }

    /* Adopts a handle of the C library, which is this object's from here on; NULL is fine. */
    KULA_STARTS_FULL_ explicit constexpr vec(kula_vec handle) noexcept : handle_(handle)
    {
    }

    vec(vec &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }

    /* Gives back what it holds, and then takes what `other` holds. */
    vec &operator=(vec &&other) noexcept
    {
        kula_vec held = std::exchange(other.handle_, nullptr);
        if (handle_) {
            reset();
        }
        handle_ = held;
        return *this;
    }

    vec(const vec &) = delete;
    vec &operator=(const vec &) = delete;

    /* kula_vec_free: its buffers go with it. */
    ~vec()
    {
        if (handle_) {
            reset();
        }
    }

    /* Whether it holds a list, which may have no buffers yet. */
    KULA_TESTS_FULL_ explicit operator bool() const noexcept
    {
        return handle_ != nullptr;
    }

    /* kula_vec_add: `length` bytes of the buffer take part. */
    KULA_WHEN_FULL_ KULA_EARLY_ void add(buffer &&part, std::size_t length) noexcept
    {
        kula_vec_add(handle_, &part.handle_, length);
    }

    /* kula_vec_add_ref: such a list can be written and not read into. */
    KULA_WHEN_FULL_ void add(ref &&part, std::size_t length) noexcept
    {
        kula_vec_add_ref(handle_, &part.handle_, length);
    }

    /* kula_vec_count. */
    KULA_WHEN_FULL_ std::size_t count() const noexcept
    {
        return kula_vec_count(handle_);
    }

    /* Frees the list and its buffers now (kula_vec_free). */
    KULA_EMPTIES_ void reset() noexcept
    {
        kula_vec_free(&handle_);
    }

    /* The handle, for calls of the C library that do not consume it. */
    kula_vec get() const noexcept
    {
        return handle_;
    }

    /* Gives the handle up to you: the other half of the constructor that adopts one. */
    KULA_EMPTIES_ [[nodiscard]] kula_vec release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

    friend void swap(vec &first, vec &second) noexcept
    {
        std::swap(first.handle_, second.handle_);
    }

private:
    friend class ring;

    kula_vec handle_ = nullptr;
};

} // namespace kula

#endif
