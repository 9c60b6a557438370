/* Sends with MSG_ZEROCOPY on io_uring: which of them go to the kernel without a copy. */
#include "unit.h"

#include "backends/uring/state.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SKIPPED 77

struct place {
    struct kula_ring *ring;
    int fds[2];
};

static struct kula_ring *open_ring(const char *mask)
{
    struct kula_config config = KULA_CONFIG_INIT;
    struct kula_ring *ring = NULL;
    config.backend = "strict:uring";
    config.mask = mask;
    int error = kula_open(&config, &ring);
    if (error < 0) {
        printf("skipped: uring is refused here: %s\n", strerror(-error));
    }
    return ring;
}

static int connect_over_loopback(int ret_fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ret_fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = bind(listener, (struct sockaddr *)&address, length) |
                getsockname(listener, (struct sockaddr *)&address, &length) |
                listen(listener, 1) | connect(ret_fds[0], (struct sockaddr *)&address, length);
    ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return error;
}

static int open_place(void **state)
{
    static struct place place;
    *state = &place;
    place.ring = open_ring("");
    return place.ring && connect_over_loopback(place.fds) == 0 ? 0 : -1;
}

static int close_place(void **state)
{
    struct place *place = *state;
    int error = kula_close(&place->ring, -1);
    close(place->fds[0]);
    close(place->fds[1]);
    return error;
}

/* Sends a few bytes. Returns the opcode by which they were handed to the kernel first. */
static int opcode_of_send(struct kula_ring *ring, int fd, int msg_flags)
{
    const struct kula__uring_state *state = kula__uring_state_of(ring);
    kula_buf buffer = kula_alloc(ring, 100);
    assert_non_null(buffer);
    memset(kula_bytes(buffer), 'x', 100);
    kula_send(ring, fd, &buffer, 100, msg_flags, NULL);
    assert_true(kula_submit(ring) >= 0);
    int opcode = state->sqes[(state->tail - 1) & state->sq_mask].opcode;
    struct kula_event *event;
    while (!(event = kula_next(ring))) {
        assert_true(kula_wait(ring, -1) >= 0);
    }
    assert_int_equal(event->result, 100);
    return opcode;
}

/* The kernel is asked here, and not the library. */
static void need_the_opcode(struct kula_ring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe();
    assert_non_null(probe);
    bool supported = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
    io_uring_free_probe(probe);
    assert_int_equal((ring->features & KULA__FEATURE(SEND_ZC)) != 0, supported);
    if (!supported) {
        print_message("skipped: this kernel has no IORING_OP_SEND_ZC (6.0)\n");
        skip();
    }
}

static void one_that_is_asked_for_goes_without_a_copy_whatever_went_before(void **state)
{
    const struct place *place = *state;
    need_the_opcode(place->ring);
    assert_int_equal(opcode_of_send(place->ring, place->fds[0], MSG_ZEROCOPY),
                     IORING_OP_SEND_ZC);
    const struct kula__uring_state *uring = kula__uring_state_of(place->ring);
    assert_true(uring->unproven >> KULA__OP_SEND & 1); /* that says nothing of copying sends */
    for (int i = 0; i < 3; i++) { /* the first of those opens the short way for others */
        assert_int_equal(opcode_of_send(place->ring, place->fds[0], MSG_ZEROCOPY),
                         IORING_OP_SEND_ZC);
        assert_int_equal(opcode_of_send(place->ring, place->fds[0], 0), IORING_OP_SEND);
    }
}

static void a_socket_that_can_only_copy_is_asked_once(void **state)
{
    const struct place *place = *state;
    need_the_opcode(place->ring);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    opcode_of_send(place->ring, fds[0], 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(opcode_of_send(place->ring, fds[0], MSG_ZEROCOPY), IORING_OP_SEND_ZC);
        assert_int_equal(opcode_of_send(place->ring, fds[0], MSG_ZEROCOPY), IORING_OP_SEND);
        assert_int_equal(kula_forget_fd(place->ring, fds[0]), 0); /* a new one may be another */
    }
    close(fds[0]);
    close(fds[1]);
}

static void masked_it_copies(void **state)
{
    const struct place *place = *state;
    struct kula_ring *ring = open_ring("feat:send_zc");
    assert_non_null(ring);
    assert_int_equal(opcode_of_send(ring, place->fds[0], MSG_ZEROCOPY), IORING_OP_SEND);
    assert_int_equal(kula_close(&ring, -1), 0);
}

/* The backend has to know when the kernel has nothing of its own any more. */
static void the_second_completion_is_counted(void **state)
{
    const struct place *place = *state;
    need_the_opcode(place->ring);
    const struct kula__uring_state *uring = kula__uring_state_of(place->ring);
    for (int i = 0; i < 5; i++) {
        opcode_of_send(place->ring, place->fds[0], MSG_ZEROCOPY);
    }
    assert_int_equal(uring->second, 5);
    uint32_t to_come = uring->tail + uring->second - uring->head;
    assert_int_equal(to_come, uring->wake_armed ? 1 : 0);
}

/* The first kernels with this opcode (6.0) could tell of the memory before they told of the result. Here the
 * test is the kernel. */
static void the_two_completions_may_come_in_either_order(void **state)
{
    const struct place *place = *state;
    need_the_opcode(place->ring);
    struct kula_ring *ring = place->ring;
    struct kula__uring_state *uring = kula__uring_state_of(ring);
    for (int reversed = 0; reversed < 2; reversed++) {
        kula_buf buffer = kula_alloc(ring, 100);
        kula_op op = kula_send(ring, place->fds[0], &buffer, 100, MSG_ZEROCOPY, NULL);
        struct kula__slot *slot = kula__list_pop(&ring->pending);
        assert_true(kula__slot_word(slot) == op);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(kula_outstanding(ring), 1);
            bool first = (i == 0) != reversed;
            kula__uring_complete(ring, uring, op + KULA__STEP, first ? 70 : 0,
                                 first ? IORING_CQE_F_MORE : IORING_CQE_F_NOTIF);
        }
        uring->second--; /* neither was in the queue */
        assert_int_equal(kula_wait(ring, 0), 1);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_int_equal(event->result, 70);
        buffer = kula_take(event);
        assert_non_null(buffer);
        kula_free(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_PLACE(function) cmocka_unit_test_setup_teardown(function, open_place, close_place)
        WITH_PLACE(one_that_is_asked_for_goes_without_a_copy_whatever_went_before),
        WITH_PLACE(a_socket_that_can_only_copy_is_asked_once),
        WITH_PLACE(masked_it_copies),
        WITH_PLACE(the_second_completion_is_counted),
        WITH_PLACE(the_two_completions_may_come_in_either_order),
    };
    struct kula_ring *ring = open_ring("");
    if (!ring) {
        return SKIPPED;
    }
    kula_close(&ring, -1);
    return UNIT_MAIN(tests);
}
