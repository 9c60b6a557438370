#include "slow_reader.h"

#include "places.h"

#include <string.h>
#include <unistd.h>

/* (A receiving side of the least size would have TCP wait for its own timers all the time.) The sending one is
 * as large as net.core.wmem_max allows. */
#define RECEIVE_BYTES 32768
#define SEND_BYTES    (4 * (int)MESSAGE_BYTES)

static bool has_feature(const struct kula_report *report, const char *name)
{
    for (uint32_t bit = 0; kula_feature_name(bit); bit++) {
        if (strcmp(kula_feature_name(bit), name) == 0) {
            return report->features >> bit & 1;
        }
    }
    fail_msg("there is no feature of that name");
    return false;
}

bool sends_in_place(struct kula_ring *ring)
{
    struct kula_report report = { .size = sizeof report };
    assert_int_equal(kula_describe(ring, &report), 0);
    for (uint32_t op = 1; kula_operation_name(op); op++) {
        if (strcmp(kula_operation_name(op), "send") == 0 &&
            report.routes[op] != KULA_ROUTE_RING) {
            return false;
        }
    }
    return has_feature(&report, "send_zc");
}

void make_slow_pair(int ret_fds[2])
{
    struct sockaddr_storage address;
    socklen_t length;
    int little = RECEIVE_BYTES;
    int enough = SEND_BYTES;
    int listener = make_listener(&address, &length, 1);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little), 0);
    ret_fds[0] = make_connection(&address, length);
    ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ret_fds[1] >= 0);
    assert_int_equal(setsockopt(ret_fds[0], SOL_SOCKET, SO_SNDBUF, &enough, sizeof enough), 0);
    close(listener);
}

kula_op send_message(struct kula_ring *ring, int fd, struct outcome *done)
{
    kula_buf buffer = buffer_pattern(ring, MESSAGE_BYTES, 3);
    done->op = kula_send(ring, fd, &buffer, MESSAGE_BYTES, MSG_ZEROCOPY, done);
    return done->op;
}

void assert_out(struct kula_ring *ring, const struct outcome *done)
{
    if (sends_in_place(ring)) {
        assert_pending(ring, done);
    } else {
        await(ring, done);
    }
}

void fill_message(unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = pattern_byte(i, 3);
    }
}

void expect_message(int fd, size_t from, size_t count)
{
    unsigned char bytes[4096];
    for (size_t at = 0; at < count;) {
        size_t wanted = count - at < sizeof bytes ? count - at : sizeof bytes;
        ssize_t got = read(fd, bytes, wanted);
        assert_true(got > 0);
        for (size_t i = 0; i < (size_t)got; i++) {
            assert_int_equal(bytes[i], pattern_byte(from + at + i, 3));
        }
        at += (size_t)got;
    }
}
