// The header is usable from C++17: a pipe is written and read through the consuming wrappers, with
// buffers and with references, which overloads tell apart.
#include <kula.h>

#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace
{

const char text[] = "passed on from hand to hand";

bool drain(struct kula_ring *ring, int *received)
{
    while (kula_outstanding(ring) > 0) {
        if (kula_wait(ring, KULA_FOREVER) < 0) {
            return false;
        }
        while (struct kula_event *event = kula_next(ring)) {
            kula_buf buffer = kula_take(event);
            if (event->user == received && buffer && event->result == int32_t{ sizeof text } &&
                std::memcmp(kula_bytes(buffer), text, sizeof text) == 0) {
                *received += 1;
            }
            kula_free(&buffer);
        }
    }
    return true;
}

/* The text once more, as three references: a write, a vec and a message. */
bool share(struct kula_ring *ring, int fd, kula_buf *buffer)
{
    kula_ref whole = kula_freeze(buffer);
    kula_ref first = kula_slice(whole, 0, 10);
    kula_ref second = kula_slice(whole, 10, sizeof text - 10);
    kula_ref third = kula_clone(whole);
    kula_vec vec = kula_vec_new(ring);
    if (!first || !second || !third || !vec) {
        return false;
    }
    kula_write(ring, fd, &first, 10, KULA_CUR, nullptr);
    kula_vec_add(vec, &second, sizeof text - 10);
    kula_writev(ring, fd, &vec, KULA_CUR, nullptr);
    if (kula_post_ref(ring, &third, 0, nullptr) < 0 || first || second || third) {
        return false;
    }
    int nothing = 0;
    if (!drain(ring, &nothing) || kula_ref_count(whole) != 1) {
        return false;
    }
    *buffer = kula_thaw(&whole);
    return *buffer && !whole;
}

} // namespace

int main()
{
    struct kula_config config = KULA_CONFIG_INIT;
    struct kula_ring *ring = nullptr;
    int ends[2];
    if (kula_open(&config, &ring) < 0 || pipe(ends) < 0) {
        std::fprintf(stderr, "cannot open a ring and a pipe\n");
        return 1;
    }
    int received = 0;
    kula_buf incoming = kula_alloc(ring, 4096);
    kula_buf outgoing = kula_alloc(ring, sizeof text);
    if (!incoming || !outgoing) {
        return 1;
    }
    std::memcpy(kula_bytes(outgoing), text, sizeof text);
    kula_read(ring, ends[0], &incoming, kula_capacity(incoming), KULA_CUR, &received);
    kula_write(ring, ends[1], &outgoing, sizeof text, KULA_CUR, nullptr);
    if (incoming || outgoing) {
        std::fprintf(stderr, "a hand-over left the variable full\n");
        return 1;
    }
    if (!drain(ring, &received) || received != 1) {
        std::fprintf(stderr, "received %d times\n", received);
        return 1;
    }
    outgoing = kula_alloc(ring, sizeof text);
    if (!outgoing) {
        return 1;
    }
    std::memcpy(kula_bytes(outgoing), text, sizeof text);
    if (!share(ring, ends[1], &outgoing)) {
        std::fprintf(stderr, "sharing went wrong\n");
        return 1;
    }
    kula_free(&outgoing);
    incoming = kula_alloc(ring, 4096);
    kula_read(ring, ends[0], &incoming, kula_capacity(incoming), KULA_CUR, &received);
    if (!drain(ring, &received) || received != 2) {
        std::fprintf(stderr, "received %d times\n", received);
        return 1;
    }
    kula_close_fd(ring, ends[0], nullptr);
    kula_close_fd(ring, ends[1], nullptr);
    return drain(ring, &received) && kula_close(&ring, KULA_FOREVER) == 0 ? 0 : 1;
}
