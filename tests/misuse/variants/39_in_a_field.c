/* Misuse 39: a pointer to the bytes is kept in a struct and used while the ring has the buffer.
 *
 * analyze-lint: Use of memory after it is
 */
#include <kula.h>

struct connection {
    int fd;
    kula_buf buffer;
    unsigned char *bytes;
};

int receive(struct kula_ring *ring, struct connection *connection);

int receive(struct kula_ring *ring, struct connection *connection)
{
    connection->buffer = kula_alloc(ring, 64);
    if (!connection->buffer) {
        return -1;
    }
    connection->bytes = kula_bytes(connection->buffer);
#ifdef CORRECTED
    int first = connection->bytes[0];
    kula_recv(ring, connection->fd, &connection->buffer, 64, 0, NULL);
#else
    kula_recv(ring, connection->fd, &connection->buffer, 64, 0, NULL);
    int first = connection->bytes[0];
#endif
    return first;
}
