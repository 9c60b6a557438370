/* Misuse 37: a buffer that is being sent is filled for the next send before its event.
 *
 * The send is one without a copy: that the peer has the bytes, as here, does not say that nobody reads the
 * buffer any more. Only the event does, which comes after the kernel's second notification.
 *
 * gcc:     used after 'kula_send_'
 * analyze: Use of memory after it is
 * run:     misuse: kula_bytes: stale copy
 */
#include <kula.h>

#include <sys/socket.h>

void send_numbers(struct kula_ring *ring, int fd);

void send_numbers(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 1);
    if (!buffer) {
        return;
    }
    kula_bytes(buffer)[0] = '1';
    kula_buf again = buffer;
    kula_send(ring, fd, &buffer, 1, MSG_ZEROCOPY, NULL);
    kula_submit(ring);
#ifdef CORRECTED
    struct kula_event *event = kula_wait(ring, KULA_FOREVER) > 0 ? kula_next(ring) : NULL;
    again = event ? kula_take(event) : NULL;
    if (!again) {
        return;
    }
#endif
    kula_bytes(again)[0] = '2';
    kula_send(ring, fd, &again, 1, MSG_ZEROCOPY, NULL);
}

#if defined RUN
#    include "run.h"

#    include <netinet/in.h>

/* A Unix socket would copy. */
static void connect_over_loopback(int ret_fds[2])
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ret_fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    run_check(bind(listener, (struct sockaddr *)&address, length) == 0, "bind");
    run_check(listen(listener, 1) == 0, "listen");
    run_check(getsockname(listener, (struct sockaddr *)&address, &length) == 0, "getsockname");
    run_check(connect(ret_fds[0], (struct sockaddr *)&address, length) == 0, "connect");
    ret_fds[1] = accept(listener, NULL, NULL);
    run_check(ret_fds[1] >= 0, "accept");
    close(listener);
}

int main(void)
{
    struct run run = run_begin();
    int fds[2];
    connect_over_loopback(fds);
    send_numbers(run.ring, fds[0]);
    char first;
    run_check(read(fds[1], &first, 1) == 1 && first == '1', "the first number");
    int end = run_end(&run);
    close(fds[0]);
    close(fds[1]);
    return end;
}
#endif
