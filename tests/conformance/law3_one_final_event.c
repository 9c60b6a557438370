/* Law 3: exactly one final completion for every operation. The outcomes count events, and a second
 * one for the same operation fails the test wherever it appears. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define KINDS 21

static int32_t answer(void *arg)
{
    return *(const int32_t *)arg;
}

struct scene {
    int file;
    int stream[2];
    int listener;
    int client;
    struct sockaddr_storage address;
    socklen_t address_length;
    int32_t answer;
};

static void open_scene(struct scene *scene)
{
    scene->file = make_file("some content of a file");
    make_stream_pair(AF_UNIX, scene->stream);
    scene->listener = make_listener(&scene->address, &scene->address_length, 4);
    scene->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(scene->client >= 0);
    scene->answer = 42;
}

static void close_scene(struct kula_ring *ring, struct scene *scene)
{
    const int fds[] = { scene->file, scene->stream[0], scene->stream[1], scene->listener };
    retire(ring, fds, 4);
}

/* One operation of every kind. Those on the stream wait for each other's data, so that nothing
 * here depends on what another test does. */
static void start_all_kinds(struct kula_ring *ring, struct scene *scene, struct outcome *done)
{
    kula_buf buffer = buffer_empty(ring, 8);
    done[0].op = kula_read(ring, scene->file, &buffer, 8, 0, &done[0]);
    buffer = buffer_text(ring, "replaced");
    done[1].op = kula_write(ring, scene->file, &buffer, 8, 8, &done[1]);
    buffer = buffer_empty(ring, 8);
    done[2].op = kula_recv(ring, scene->stream[0], &buffer, 8, 0, &done[2]);
    buffer = buffer_text(ring, "message!");
    done[3].op = kula_send(ring, scene->stream[1], &buffer, 8, 0, &done[3]);
    kula_vec vec = kula_vec_new(ring);
    buffer = buffer_empty(ring, 4);
    kula_vec_add(vec, &buffer, 4);
    done[4].op = kula_readv(ring, scene->file, &vec, 0, &done[4]);
    vec = kula_vec_new(ring);
    buffer = buffer_text(ring, "tail");
    kula_vec_add(vec, &buffer, 4);
    done[5].op = kula_writev(ring, scene->file, &vec, 16, &done[5]);
    done[6].op = kula_nop(ring, &done[6]);
    done[7].op = kula_socket(ring, AF_INET, SOCK_STREAM, 0, &done[7]);
    done[8].op = kula_accept(ring, scene->listener, &done[8]);
    const struct sockaddr *address = (const struct sockaddr *)&scene->address;
    done[9].op = kula_connect(ring, scene->client, address, scene->address_length, &done[9]);
    done[10].op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, &done[10]);
    done[11].op = kula_fsync(ring, scene->file, &done[11]);
    done[12].op = kula_fdatasync(ring, scene->file, &done[12]);
    done[13].op = kula_statx(ring, AT_FDCWD, ".", 0, &done[13]);
    done[14].op = kula_poll(ring, scene->file, POLLIN, &done[14]);
    done[15].op = kula_timer(ring, KULA_MILLISECOND, &done[15]);
    done[16].op = kula_offload(ring, answer, &scene->answer, &done[16]);
    done[17].op = kula_shutdown(ring, scene->file, SHUT_RD, &done[17]);
    done[18].op = kula_bind(ring, scene->listener, address, scene->address_length, &done[18]);
    done[19].op = kula_listen(ring, scene->listener, 4, &done[19]);
    done[20].op = kula_close_fd(ring, scene->client, &done[20]);
    assert_int_equal(kula_after(ring, done[20].op, done[9].op), 0);
}

static void close_results(struct outcome *done)
{
    const int producers[] = { 7, 8, 10 };
    for (size_t i = 0; i < 3; i++) {
        if (done[producers[i]].result >= 0) {
            close(done[producers[i]].result);
        }
    }
    for (size_t i = 0; i < KINDS; i++) {
        kula_free(&done[i].buffer);
    }
}

static void every_kind_of_operation_ends_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[KINDS] = { { 0 } };
    struct scene scene;
    open_scene(&scene);
    start_all_kinds(ring, &scene, done);
    assert_int_equal(kula_outstanding(ring), KINDS);
    await_all(ring);
    for (size_t i = 0; i < KINDS; i++) {
        assert_true(done[i].op != 0);
        assert_int_equal(done[i].events, 1);
        assert_int_equal(done[i].buffers, i < 6 ? 1 : 0);
    }
    assert_result(done[2].result, 8);
    assert_true(done[8].result >= 0);
    assert_result(done[9].result, 0);
    assert_result(done[16].result, 42);
    assert_result(done[17].result, -ENOTSOCK);
    assert_result(done[18].result, -EINVAL);
    assert_result(done[20].result, 0);
    assert_int_equal(pump(ring, 5 * KULA_MILLISECOND), 0);
    close_results(done);
    close_scene(ring, &scene);
}

static void every_kind_of_operation_ends_once_when_cancelled_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int flushed = 0; flushed < 2; flushed++) {
        struct outcome done[KINDS] = { { 0 } };
        struct scene scene;
        open_scene(&scene);
        start_all_kinds(ring, &scene, done);
        if (flushed) {
            assert_true(kula_submit(ring) >= 0);
        }
        assert_true(kula_cancel_all(ring) >= 0);
        await_all(ring);
        for (size_t i = 0; i < KINDS; i++) {
            assert_int_equal(done[i].events, 1);
            assert_int_equal(done[i].buffers, i < 6 ? 1 : 0);
        }
        assert_int_equal(pump(ring, 5 * KULA_MILLISECOND), 0);
        if (done[20].result == -ECANCELED) {
            /* The chained close was cancelled with what it waited for: nothing was closed. */
            retire(ring, &scene.client, 1);
        }
        close_results(done);
        close_scene(ring, &scene);
    }
}

static void names_of_operations_are_never_0_and_never_shared(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 2000
    };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    for (size_t i = 0; i < COUNT; i++) {
        done[i].op = i % 2 ? kula_nop(ring, &done[i]) : kula_timer(ring, 0, &done[i]);
        assert_true(done[i].op != 0);
    }
    await_all(ring);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        for (size_t k = i + 1; k < COUNT; k++) {
            assert_true(done[i].op != done[k].op);
        }
    }
}

static void a_name_that_is_over_matches_nothing_even_when_its_record_is_used_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_op old = kula_timer(ring, 0, &done);
    await(ring, &done);
    for (int round = 0; round < 100; round++) {
        struct outcome timer = { 0 };
        timer.op = kula_timer(ring, 3600 * KULA_SECOND, &timer);
        assert_result(kula_cancel(ring, old), -ENOENT);
        assert_result(kula_detach(ring, old), -ENOENT);
        assert_result(kula_deadline(ring, old, 1), -ENOENT);
        assert_result(kula_option(ring, old, KULA_FULL), -ENOENT);
        assert_int_equal(timer.events, 0);
        assert_int_equal(kula_cancel(ring, timer.op), 0);
        await(ring, &timer);
        assert_result(timer.result, -ECANCELED);
        old = timer.op;
    }
}

static void outstanding_counts_what_has_not_been_pulled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    assert_int_equal(kula_outstanding(ring), 0);
    kula_buf buffer = buffer_empty(ring, 1);
    kula_nop(ring, NULL);
    kula_read(ring, fd, &buffer, 1, 0, NULL);
    kula_timer(ring, 0, NULL);
    assert_int_equal(kula_outstanding(ring), 3);
    size_t pulled = 0;
    while (pulled < 3) {
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        assert_int_equal(kula_outstanding(ring), 3 - pulled);
        for (struct kula_event *event; (event = kula_next(ring));) {
            buffer = kula_take(event);
            kula_free(&buffer);
            pulled++;
            assert_int_equal(kula_outstanding(ring), 3 - pulled);
        }
    }
    retire(ring, &fd, 1);
}

static void a_buffer_that_nobody_takes_is_recycled_by_the_next_pull(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    for (int round = 0; round < 50; round++) {
        kula_buf buffer = buffer_empty(ring, 1 << 16);
        kula_read(ring, fd, &buffer, 1, 0, NULL);
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_result(event->result, 1);
        assert_null(kula_next(ring));
    }
    retire(ring, &fd, 1);
}

static void a_random_mixture_ends_once_each(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 3000
    };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    int pipes[2];
    make_pipe(pipes);
    int fd = make_file("abcdefghijklmnopqrstuvwxyz");
    unsigned random = 20240607;
    for (size_t i = 0; i < COUNT; i++) {
        random = random * 1103515245u + 12345u;
        kula_buf buffer = buffer_text(ring, "12345678");
        switch (random >> 16 & 7) {
        case 0:
            done[i].op = kula_read(ring, pipes[0], &buffer, 8, KULA_CUR, &done[i]);
            break;
        case 1:
            done[i].op = kula_write(ring, pipes[1], &buffer, 8, KULA_CUR, &done[i]);
            break;
        case 2:
            done[i].op = kula_read(ring, -5, &buffer, 8, 0, &done[i]);
            break;
        case 3:
            done[i].op = kula_nop(ring, &done[i]);
            break;
        case 4:
            done[i].op = kula_timer(ring, random % 3000000, &done[i]);
            break;
        default:
            done[i].op = kula_read(ring, fd, &buffer, 8, random % 30, &done[i]);
            break;
        }
        kula_free(&buffer);
        if (random % 5 == 0) {
            kula_cancel(ring, done[random % (i + 1)].op);
        }
        if (random % 7 == 0) {
            pump(ring, 0);
        }
    }
    kula_cancel_all(ring);
    await_all(ring);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        kula_free(&done[i].buffer);
    }
    retire(ring, pipes, 2);
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(every_kind_of_operation_ends_once),
        PROVES(every_kind_of_operation_ends_once_when_cancelled_at_once),
        PROVES(names_of_operations_are_never_0_and_never_shared),
        PROVES(a_name_that_is_over_matches_nothing_even_when_its_record_is_used_again),
        PROVES(outstanding_counts_what_has_not_been_pulled),
        PROVES(a_buffer_that_nobody_takes_is_recycled_by_the_next_pull),
        PROVES(a_random_mixture_ends_once_each),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
