/* Misuse 35: a copy is used after registered memory was freed and its place given to another.
 *
 * gcc:     used after 'kula_free_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_read: stale copy
 * run:     the other one, meanwhile: as it was
 * run:     the other one, with its ring: received
 * run:     the other one, with a further ring: received
 *
 * The kernel knows registered memory by its place in the ring's table: there, an old name would mean
 * the new memory. When the ring is closed there is no such place any more, and the memory goes on.
 */
#include <kula.h>

kula_buf read_into_the_first(struct kula_ring *ring, int fd);

static kula_buf alloc_registered(struct kula_ring *ring)
{
    struct kula_memory memory = KULA_MEMORY_INIT;
    struct kula_memory_report report;
    memory.flags = KULA_MEMORY_REGISTERED;
    kula_buf buffer = kula_alloc_memory(ring, 4096, &memory, &report);
    if (buffer) {
        kula_bytes(buffer)[0] = 'a';
    }
    return buffer;
}

kula_buf read_into_the_first(struct kula_ring *ring, int fd)
{
    kula_buf first = alloc_registered(ring);
    if (!first) {
        return NULL;
    }
#ifdef CORRECTED
    kula_read(ring, fd, &first, 4096, KULA_CUR, NULL);
    return alloc_registered(ring);
#else
    kula_buf alias = first;
    kula_free(&first);
    kula_buf second = alloc_registered(ring);
    kula_read(ring, fd, &alias, 4096, KULA_CUR, NULL);
    return second;
#endif
}

#if defined RUN
#    include "run.h"

/* Through a pipe: what comes from a socket does not go by that table. */
static void put(const int fds[2], const char *text)
{
    run_check(write(fds[1], text, strlen(text)) == (ssize_t)strlen(text), "write");
}

/* Whatever its memory is for that ring. */
static kula_buf receive(struct kula_ring *ring,
                        const int fds[2],
                        kula_buf buffer,
                        const char *who)
{
    put(fds, "later");
    kula_read(ring, fds[0], &buffer, 4096, KULA_CUR, NULL);
    struct kula_event *event = run_event(ring);
    int whole = event->result == 5;
    buffer = kula_take(event);
    run_say(who, whole && memcmp(kula_bytes(buffer), "later", 5) == 0 ? "received" : "lost");
    return buffer;
}

int main(void)
{
    struct run run = run_begin();
    struct kula_ring *ring = run_open();
    int fds[2];
    run_check(pipe(fds) == 0, "pipe");
    put(fds, "first");
    kula_buf second = read_into_the_first(ring, fds[0]);
    run_check(second != NULL, "memory, registered or not");
#    ifdef CORRECTED
    run_event(ring);
#    else
    char first[5];
    run_check(kula_outstanding(ring) == 0 && kula_wait(ring, 0) == 0, "nothing is under way");
    run_say("the other one, meanwhile", kula_bytes(second)[0] == 'a' ? "as it was" : "changed");
    run_check(read(fds[0], first, sizeof first) == sizeof first, "it is still to be read");
#    endif
    second = receive(ring, fds, second, "the other one, with its ring");
    while (kula_next(ring)) {
        continue;
    }
    run_check(kula_close(&ring, KULA_FOREVER) == 0, "its ring closes");
    second = receive(run.ring, fds, second, "the other one, with a further ring");
    kula_free(&second);
    kula_close_fd(run.ring, fds[0], NULL);
    run_event(run.ring);
    close(fds[1]);
    return run_end(&run);
}
#endif
