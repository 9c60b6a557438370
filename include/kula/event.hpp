/* kula/event.hpp - names of operations, and events, as C++ objects. Included by kula.hpp.
 */
#ifndef KULA_EVENT_HPP
#define KULA_EVENT_HPP

#include "buffer.hpp"

#include <cstdint>
#include <system_error>

namespace kula
{

/* A result of this library for programs that throw or that keep std::error_code:
 * `throw std::system_error(kula::error_code(error), "open")`. Not an error: an empty code. */
inline std::error_code error_code(std::int32_t result) noexcept
{
    return std::error_code(result < 0 ? -result : 0, std::generic_category());
}

/* ---- Names of operations ------------------------------------------------------------------ */

/* A kula_op: names an operation and owns nothing. Copy it, compare it, keep it in maps, ignore it. */
class op
{
public:
    constexpr op() noexcept = default;

    explicit constexpr op(kula_op name) noexcept : name_(name)
    {
    }

    /* False: no operation exists and no event comes. */
    explicit constexpr operator bool() const noexcept
    {
        return name_ != 0;
    }

    constexpr kula_op get() const noexcept
    {
        return name_;
    }

    friend constexpr bool operator==(op first, op second) noexcept
    {
        return first.name_ == second.name_;
    }
    friend constexpr bool operator!=(op first, op second) noexcept
    {
        return first.name_ != second.name_;
    }
    friend constexpr bool operator<(op first, op second) noexcept
    {
        return first.name_ < second.name_;
    }

private:
    kula_op name_ = 0;
};

/* ---- Events ------------------------------------------------------------------------------- */

/* One completion, as ring::next has pulled it, or none. It owns nothing: it is a view of the ring's
 * event, which the next ring::next ends. So it can be neither copied nor moved; keep what it tells,
 * and what take() gives. Asking an empty one is an error of the program, as for an empty pointer. */
class event
{
public:
    explicit event(kula_event *pulled) noexcept : event_(pulled)
    {
    }

    event(const event &) = delete;
    event &operator=(const event &) = delete;

    /* False: there is no event. */
    explicit operator bool() const noexcept
    {
        return event_ != nullptr;
    }

    /* The operation; a message has none. */
    kula::op op() const noexcept
    {
        return kula::op(event_->op);
    }

    /* A count, a descriptor or 0; or a negative errno. A descriptor is yours. */
    std::int32_t result() const noexcept
    {
        return event_->result;
    }

    /* enum kula_event_flags, and the more common ones by name. */
    std::uint32_t flags() const noexcept
    {
        return event_->flags;
    }
    bool more() const noexcept
    {
        return (event_->flags & KULA_EVENT_MORE) != 0;
    }
    bool is_message() const noexcept
    {
        return (event_->flags & KULA_EVENT_MESSAGE) != 0;
    }

    /* With KULA_EVENT_ERROR: the negative errno that stopped a transfer; else 0. */
    std::int32_t error() const noexcept
    {
        return event_->error;
    }

    /* What was given as `user`: `event.user<connection>()`. The type is the program's word. */
    template <class T = void> T *user() const noexcept
    {
        return static_cast<T *>(event_->user);
    }

    /* kula_take: the buffer comes home, once; empty when there is none (left). Only of an event that
     * has a name, and has been tested. */
    [[nodiscard]] buffer take() &noexcept
    {
        return buffer(kula_take(event_));
    }
    buffer take() && = delete;

    /* kula_take_ref: the same for shared bytes. */
    [[nodiscard]] ref take_ref() &noexcept
    {
        return ref(kula_take_ref(event_));
    }
    ref take_ref() && = delete;

    /* kula_event_address, kula_event_stat, kula_event_explain: valid until the next ring::next. */
    const sockaddr *address(std::uint32_t *ret_length = nullptr) const &noexcept
    {
        return kula_event_address(event_, ret_length);
    }
    const kula_stat *stat() const &noexcept
    {
        return kula_event_stat(event_);
    }
    const char *explain() const &noexcept
    {
        return kula_event_explain(event_);
    }

    kula_event *get() const noexcept
    {
        return event_;
    }

private:
    kula_event *event_;
};

} // namespace kula

template <> struct std::hash<kula::op> {
    std::size_t operator()(kula::op name) const noexcept
    {
        return std::hash<kula_op>()(name.get());
    }
};

#endif
