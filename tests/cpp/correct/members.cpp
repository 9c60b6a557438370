// Buffers as members: of a state machine, of a message, of objects that are moved and swapped.
#include <kula.hpp>

#include <memory>
#include <utility>

struct message {
    kula::buffer head;
    kula::buffer body;
    std::unique_ptr<message> next;
};

namespace
{

class connection
{
public:
    connection(kula::ring &ring, int fd) : ring_(&ring), fd_(fd), buffer_(ring.alloc(4096))
    {
    }

    void start()
    {
        state_ = state::receiving;
        ring_->recv(fd_, std::move(buffer_), kula::whole, 0, this);
    }

    void on_event(kula::event &event)
    {
        buffer_ = event.take();
        if (event.result() <= 0) {
            state_ = state::closed;
            buffer_.reset();
            ring_->close_fd(fd_);
            return;
        }
        auto length = static_cast<std::size_t>(event.result());
        switch (state_) {
        case state::receiving:
            state_ = state::sending;
            ring_->send(fd_, std::move(buffer_), length, 0, this);
            break;
        case state::sending:
            start();
            break;
        case state::closed:
            break;
        }
    }

    kula::buffer give_up()
    {
        state_ = state::closed;
        return std::move(buffer_);
    }

    bool holds_buffer() const
    {
        return bool(buffer_);
    }

private:
    enum class state {
        receiving,
        sending,
        closed
    };

    kula::ring *ring_;
    int fd_;
    kula::buffer buffer_;
    state state_ = state::closed;
};

} // namespace

message make(kula::ring &ring, std::size_t body_bytes);
void write(kula::ring &ring, int fd, message message);
void adopt(message &message, kula::event &event);
void exchange(message &first, message &second);
int serve(kula::ring &ring, int fd);

message make(kula::ring &ring, std::size_t body_bytes)
{
    message made;
    made.head = ring.alloc(sizeof body_bytes);
    made.body = ring.alloc(body_bytes);
    if (!made.head || !made.body) {
        return {};
    }
    std::memcpy(made.head.data(), &body_bytes, sizeof body_bytes);
    return made;
}

void write(kula::ring &ring, int fd, message message)
{
    kula::vec parts = ring.make_vec();
    if (parts) {
        std::size_t head_bytes = message.head.size();
        std::size_t body_bytes = message.body.size();
        parts.add(std::move(message.head), head_bytes);
        parts.add(std::move(message.body), body_bytes);
        ring.writev(fd, std::move(parts), KULA_CUR);
    }
}

void adopt(message &message, kula::event &event)
{
    message.head = event.take();
    message.body = event.take();
    message.next.reset();
}

void exchange(message &first, message &second)
{
    swap(first.head, second.head);
    std::swap(first.body, second.body);
    message kept = std::move(first);
    first = std::move(second);
    second = std::move(kept);
}

int serve(kula::ring &ring, int fd)
{
    connection served(ring, fd);
    served.start();
    while (ring.outstanding() > 0 && ring.wait() >= 0) {
        while (kula::event event = ring.next()) {
            if (connection *owner = event.user<connection>()) {
                owner->on_event(event);
            }
        }
    }
    connection moved = std::move(served);
    kula::buffer last = moved.give_up();
    return last ? 0 : 1;
}
