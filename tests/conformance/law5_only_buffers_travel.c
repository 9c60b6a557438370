/* Law 5: every argument but the buffer is copied before the call returns, `user` passes through,
 * and what an event shows stays until the next pull. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_path_may_be_clobbered_after_the_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char directory[64];
    char path[128];
    char wanted[128];
    make_directory(directory, sizeof directory);
    snprintf(wanted, sizeof wanted, "%s/wanted", directory);
    memcpy(path, wanted, sizeof path);
    struct outcome opened = { 0 };
    struct outcome looked = { 0 };
    kula_openat(ring, AT_FDCWD, path, O_CREAT | O_RDWR, 0600, &opened);
    memset(path, '#', sizeof path);
    await(ring, &opened);
    assert_true(opened.result >= 0);
    assert_int_equal(access(wanted, F_OK), 0);
    memcpy(path, wanted, sizeof path);
    kula_statx(ring, AT_FDCWD, path, 0, &looked);
    memset(path, '#', sizeof path);
    await(ring, &looked);
    assert_result(looked.result, 0);
    assert_true(S_ISREG(looked.stat.mode));
    retire(ring, &opened.result, 1);
    remove_directory(directory);
}

static void an_address_may_be_clobbered_after_the_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 4);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct outcome done = { 0 };
    kula_connect(ring, client, (struct sockaddr *)&address, length, &done);
    memset(&address, 0xee, sizeof address);
    await(ring, &done);
    assert_result(done.result, 0);
    int server = accept(listener, NULL, NULL);
    assert_true(server >= 0);
    retire(ring, (int[]){ listener, client, server }, 3);

    struct outcome bound = { 0 };
    struct sockaddr_in any = { .sin_family = AF_INET };
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    kula_bind(ring, fd, (struct sockaddr *)&any, sizeof any, &bound);
    memset(&any, 0xee, sizeof any);
    await(ring, &bound);
    assert_result(bound.result, 0);
    length = sizeof any;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &length), 0);
    assert_int_equal(ntohl(any.sin_addr.s_addr), INADDR_LOOPBACK);
    retire(ring, &fd, 1);
}

static void a_long_path_travels_whole(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char path[4096];
    size_t used = 0;
    while (used < 4000) {
        memcpy(path + used, "./", 2);
        used += 2;
    }
    path[used - 1] = '.';
    path[used] = '\0';
    path[used - 2] = '/';
    struct outcome done = { 0 };
    kula_statx(ring, AT_FDCWD, path, 0, &done);
    memset(path, 'z', sizeof path);
    await(ring, &done);
    assert_result(done.result, 0);
    assert_true(S_ISDIR(done.stat.mode));
}

static void user_passes_through_untouched(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    void *const users[] = { NULL, (void *)1, (void *)UINTPTR_MAX, &fd };
    for (size_t i = 0; i < 4; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        kula_op op = kula_read(ring, fd, &buffer, 1, 0, users[i]);
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_ptr_equal(event->user, users[i]);
        assert_true(event->op == op);
        buffer = kula_take(event);
        kula_free(&buffer);
        assert_null(kula_next(ring));
    }
    retire(ring, &fd, 1);
}

static void what_an_event_shows_stays_until_the_next_pull(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 4);
    int client = make_connection(&address, length);
    struct sockaddr_in own;
    length = sizeof own;
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &length), 0);
    kula_accept(ring, listener, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_true(event->result >= 0);
    int server = event->result;
    uint32_t peer_length = 0;
    const struct sockaddr *peer = kula_event_address(event, &peer_length);
    assert_non_null(peer);
    assert_int_equal(peer_length, sizeof own);

    /* More operations, a flush and a wait leave it as it is. */
    for (int i = 0; i < 64; i++) {
        kula_statx(ring, AT_FDCWD, ".", 0, NULL);
    }
    assert_true(kula_submit(ring) >= 0);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    assert_ptr_equal(kula_event_address(event, NULL), peer);
    assert_memory_equal(peer, &own, sizeof own);
    assert_null(kula_event_stat(event));
    await_all(ring);
    retire(ring, (int[]){ listener, client, server }, 3);
}

static void accessors_answer_for_their_own_kind_only(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_nop(ring, NULL);
    kula_statx(ring, AT_FDCWD, ".", 0, NULL);
    kula_statx(ring, AT_FDCWD, "does-not-exist", 0, NULL);
    unsigned stats = 0;
    for (unsigned pulled = 0; pulled < 3;) {
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        for (struct kula_event *event; (event = kula_next(ring)); pulled++) {
            uint32_t length = 99;
            assert_null(kula_event_address(event, &length));
            assert_int_equal(length, 0);
            stats += kula_event_stat(event) != NULL;
            assert_true(kula_take(event) == NULL);
            assert_non_null(kula_event_explain(event));
        }
    }
    assert_int_equal(stats, 1);
}

static void an_explanation_names_what_went_wrong(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_statx(ring, AT_FDCWD, "does-not-exist", 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_result(event->result, -ENOENT);
    const char *text = kula_event_explain(event);
    assert_true(strlen(text) > 0 && strlen(text) <= 255);
    assert_string_not_equal(kula_explain(-ECANCELED), kula_explain(-ETIME));
    assert_non_null(kula_explain(INT32_MIN));
    assert_non_null(kula_explain(12345));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_path_may_be_clobbered_after_the_call),
        PROVES(an_address_may_be_clobbered_after_the_call),
        PROVES(a_long_path_travels_whole),
        PROVES(user_passes_through_untouched),
        PROVES(what_an_event_shows_stays_until_the_next_pull),
        PROVES(accessors_answer_for_their_own_kind_only),
        PROVES(an_explanation_names_what_went_wrong),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
