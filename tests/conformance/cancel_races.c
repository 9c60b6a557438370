/* Cancelling against completing, thousands of times: whoever wins, there is one final event, one
 * buffer, and no byte is lost or doubled. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Sends a known sequence of bytes, one at a time, each when the reader asks for it. */
struct sender {
    pthread_t thread;
    int fd;
    atomic_uint wanted;
    atomic_bool stop;
};

static void *send_on_demand(void *arg)
{
    struct sender *sender = arg;
    unsigned sent = 0;
    unsigned spins = 0;
    while (!atomic_load(&sender->stop)) {
        if (atomic_load(&sender->wanted) == sent) {
            harness_sleep_ns(++spins % 64 == 0 ? KULA_MICROSECOND : 0);
            continue;
        }
        unsigned char byte = (unsigned char)(sent % 251);
        if (write(sender->fd, &byte, 1) != 1) {
            break;
        }
        sent++;
    }
    return NULL;
}

static void race(struct kula_ring *ring, int fds[2], unsigned rounds)
{
    struct sender sender = { .fd = fds[1] };
    atomic_init(&sender.wanted, 0);
    atomic_init(&sender.stop, false);
    assert_int_equal(pthread_create(&sender.thread, NULL, send_on_demand, &sender), 0);
    unsigned received = 0;
    unsigned cancelled = 0;
    bool correct = true;
    unsigned random = 99;
    for (unsigned round = 0; round < rounds && correct; round++) {
        struct outcome done = { 0 };
        random = random * 1103515245u + 12345u;
        kula_buf buffer = buffer_empty(ring, 1);
        done.op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &done);
        if (random & 0x10000) {
            kula_submit(ring);
        }
        if (atomic_load(&sender.wanted) == received) {
            atomic_fetch_add(&sender.wanted, 1);
        }
        for (unsigned i = 0; i < (random >> 20) % 200; i++) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        int asked = kula_cancel(ring, done.op);
        correct = asked == 0 || asked == -ENOENT || asked == -EALREADY;
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while (done.events == 0 && harness_now_ns() < limit) {
            pump(ring, KULA_SECOND);
        }
        correct = correct && done.events == 1 && done.buffers == 1;
        if (correct && done.result == 1) {
            correct = kula_bytes(done.buffer)[0] == received % 251;
            received++;
        } else {
            correct = correct && done.result == -ECANCELED;
            cancelled++;
        }
        kula_free(&done.buffer);
        correct = correct && kula_outstanding(ring) == 0;
    }
    atomic_store(&sender.stop, true);
    pthread_join(sender.thread, NULL);
    assert_true(correct);
    assert_int_equal(received + cancelled, rounds);
    print_message("%u received, %u cancelled\n", received, cancelled);
}

static void reads_from_a_pipe_and_their_cancels_end_once_and_lose_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    race(ring, fds, harness_sanitized() ? 1000 : 5000);
    retire(ring, fds, 2);
}

static void receives_and_their_cancels_end_once_and_lose_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    race(ring, fds, harness_sanitized() ? 1000 : 5000);
    retire(ring, fds, 2);
}

/* io_uring may answer a cancel of a file read with -ENOENT while the read goes on: 2000 of 2000
 * O_DIRECT reads on Linux 6.18. Only the read's own completion is its end. */
static void file_reads_and_their_cancels_end_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        DEPTH = 16,
        SIZE = 4096
    };
    unsigned rounds = harness_sanitized() ? 30 : 150;
    int fd = make_file_flags("", O_DIRECT);
    if (fd < 0) {
        fd = make_file("");
    }
    assert_int_equal(ftruncate(fd, DEPTH * SIZE), 0);
    for (unsigned round = 0; round < rounds; round++) {
        struct outcome done[DEPTH] = { { 0 } };
        for (int i = 0; i < DEPTH; i++) {
            kula_buf buffer = buffer_empty(ring, SIZE);
            memset(kula_bytes(buffer), 0x5a, SIZE);
            done[i].op = kula_read(ring, fd, &buffer, SIZE, (int64_t)i * SIZE, &done[i]);
        }
        if (round % 2) {
            assert_true(kula_submit(ring) >= 0);
        }
        for (int i = 0; i < DEPTH; i++) {
            kula_cancel(ring, done[i].op);
        }
        await_all(ring);
        for (int i = 0; i < DEPTH; i++) {
            assert_int_equal(done[i].events, 1);
            assert_int_equal(done[i].buffers, 1);
            assert_true(done[i].result == SIZE || done[i].result == -ECANCELED);
            if (done[i].result == SIZE) {
                assert_int_equal(kula_bytes(done[i].buffer)[SIZE - 1], 0);
            }
            kula_free(&done[i].buffer);
        }
    }
    retire(ring, &fd, 1);
}

static void timers_and_their_cancels_end_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 3000
    };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    unsigned random = 5;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1103515245u + 12345u;
        done[i].op = kula_timer(ring, random % 2000000, &done[i]);
        if (i % 10 == 9) {
            pump(ring, 0);
        }
        int victim = (int)(random >> 8) % (i + 1);
        int asked = kula_cancel(ring, done[victim].op);
        assert_true(asked == 0 || asked == -ENOENT || asked == -EALREADY);
        if (done[victim].events) {
            assert_result(asked, -ENOENT);
        }
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        assert_true(done[i].result == 0 || done[i].result == -ECANCELED);
    }
}

static void accepts_and_their_cancels_lose_no_connection(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 8);
    int rounds = harness_sanitized() ? 50 : 300;
    for (int round = 0; round < rounds; round++) {
        struct outcome first = { 0 };
        struct outcome second = { 0 };
        first.op = kula_accept(ring, listener, &first);
        pump(ring, 0);
        int client = make_connection(&address, length);
        kula_cancel(ring, first.op);
        await(ring, &first);
        int server = first.result;
        if (first.result == -ECANCELED) {
            kula_accept(ring, listener, &second);
            await(ring, &second);
            server = second.result;
        }
        assert_true(server >= 0);
        put(client, "x");
        expect_bytes(server, "x");
        /* No TIME_WAIT: hundreds of connections use up no ports. */
        struct linger hard = { 1, 0 };
        setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        retire(ring, (int[]){ client, server }, 2);
    }
    retire(ring, &listener, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(reads_from_a_pipe_and_their_cancels_end_once_and_lose_nothing),
        PROVES(receives_and_their_cancels_end_once_and_lose_nothing),
        PROVES(file_reads_and_their_cancels_end_once),
        PROVES(timers_and_their_cancels_end_once),
        PROVES(accepts_and_their_cancels_lose_no_connection),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
