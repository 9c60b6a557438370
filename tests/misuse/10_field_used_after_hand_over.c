/* Misuse 10: a handle in a struct is used after its buffer was handed over.
 *
 * analyze: Null pointer passed to 1st parameter
 * run:     misuse: kula_bytes: the handle is empty
 */
#include <kula.h>

struct connection {
    int fd;
    int last;
    kula_buf buffer;
};

void echo(struct kula_ring *ring, struct connection *connection);

void echo(struct kula_ring *ring, struct connection *connection)
{
    if (!connection->buffer) {
        return;
    }
#ifdef CORRECTED
    connection->last = kula_bytes(connection->buffer)[0];
    kula_send(ring, connection->fd, &connection->buffer, 4096, 0, NULL);
#else
    kula_send(ring, connection->fd, &connection->buffer, 4096, 0, NULL);
    connection->last = kula_bytes(connection->buffer)[0];
#endif
}

#if defined RUN
#    include "run.h"

int main(void)
{
    struct run run = run_begin();
    struct connection connection = { .fd = run.fds[0], .buffer = kula_alloc(run.ring, 4096) };
    echo(run.ring, &connection);
    return run_end(&run);
}
#endif
