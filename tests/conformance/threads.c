/* A ring, its events and what it gave out, in the hands of another thread: refused, and nothing is lost. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_another_thread(void *(*function)(void *), void *arg)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, function, arg), 0);
    pthread_join(thread, NULL);
}

struct visit {
    struct kula_event *event;
    kula_buf taken;
    const void *shown;
    struct kula_ring *ring;
    struct kula_scope scope;
    kula_op op;
};

static void *take_there(void *arg)
{
    struct visit *visit = arg;
    visit->taken = kula_take(visit->event);
    return NULL;
}

/* Its owner may end the event at the same time, and give the buffer out anew. */
static void a_buffer_is_not_taken_from_another_threads_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    kula_buf buffer = buffer_empty(ring, 7);
    kula_read(ring, fd, &buffer, 7, 0, NULL);
    while (kula_wait(ring, PATIENCE_NS) < 1) {
    }
    struct visit visit = { .event = kula_next(ring) };
    on_another_thread(take_there, &visit);
    assert_null(visit.taken);
    struct kula_event copy = *visit.event;
    visit.event = &copy;
    on_another_thread(take_there, &visit);
    assert_null(visit.taken);
    assert_non_null(strstr(harness_last_misuse(), "another thread"));
    buffer = kula_take(&copy); /* a copy is as good as the event, once, on its own thread */
    assert_memory_equal(kula_bytes(buffer), "content", 7);
    kula_free(&buffer);
    retire(ring, &fd, 1);
    harness_context(state)->misuses_expected = 2;
}

static void *show_there(void *arg)
{
    struct visit *visit = arg;
    visit->shown = kula_event_address(visit->event, NULL);
    return NULL;
}

static void an_address_is_not_shown_to_another_thread(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 1);
    int client = make_connection(&address, length);
    kula_accept(ring, listener, NULL);
    while (kula_wait(ring, PATIENCE_NS) < 1) {
    }
    struct visit visit = { .event = kula_next(ring) };
    int fds[3] = { listener, client, visit.event->result };
    assert_true(fds[2] >= 0);
    on_another_thread(show_there, &visit);
    assert_null(visit.shown);
    assert_non_null(kula_event_address(visit.event, NULL));
    retire(ring, fds, 3);
}

static void *read_with_the_scope(void *arg)
{
    struct visit *visit = arg;
    kula_buf made_up;
    memcpy(&made_up, &visit->scope.private_state[0], sizeof made_up);
    visit->op = kula_read(visit->ring, 0, &made_up, 1, 0, NULL);
    return NULL;
}

static void a_scope_is_no_buffer_on_any_thread(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct visit visit = { .ring = ring };
    assert_int_equal(kula_scope_begin(ring, &visit.scope), 0);
    on_another_thread(read_with_the_scope, &visit);
    assert_true(visit.op == 0);
    read_with_the_scope(&visit);
    assert_true(visit.op == 0);
    assert_int_equal(kula_wait(ring, 0), 0);
    assert_int_equal(kula_scope_end(&visit.scope, 0), 0);
    harness_context(state)->misuses_expected = 3; /* the thread, the kind; the kind */
}

/* ---- Threads that end ---- */

static void *open_and_leave(void *arg)
{
    struct kula_config config = harness_config();
    struct kula_ring **ring = arg;
    if (kula_open(&config, ring) != 0) {
        *ring = NULL;
    }
    return NULL;
}

static void *use_it(void *arg)
{
    struct kula_ring **ring = arg;
    bool refused = kula_nop(*ring, NULL) == 0 && kula_wait(*ring, 0) == -EPERM &&
                   kula_close(ring, 0) == -EPERM && *ring;
    if (refused) {
        *ring = NULL;
    }
    return NULL;
}

/* Returns 0 when the ring of a thread that has ended is refused to the threads that come after it. The
 * next one gets the same stack, as a rule, and with it the same thread pointer. */
static int leave_a_ring_behind(void)
{
    struct kula_ring *ring = NULL;
    pthread_t thread;
    if (pthread_create(&thread, NULL, open_and_leave, &ring) != 0) {
        return 1;
    }
    pthread_join(thread, NULL);
    if (!ring || pthread_create(&thread, NULL, use_it, &ring) != 0) {
        return 2;
    }
    pthread_join(thread, NULL);
    return ring ? 3 : 0;
}

/* In a process of its own: what such a ring has is lost. */
static void the_ring_of_a_thread_that_has_ended_is_nobodys(void **state)
{
    (void)state;
    if (harness_delays_signals()) {
        SKIP_BECAUSE("a child under ThreadSanitizer must not make threads");
    }
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(leave_a_ring_behind());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_buffer_is_not_taken_from_another_threads_event),
        PROVES(an_address_is_not_shown_to_another_thread),
        PROVES(a_scope_is_no_buffer_on_any_thread),
        PROVES(the_ring_of_a_thread_that_has_ended_is_nobodys),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
