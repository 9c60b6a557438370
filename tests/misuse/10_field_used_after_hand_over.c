/* Misuse 10: a handle in a struct is used after its buffer was handed over.
 *
 * analyze: Null pointer passed to 1st parameter
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
