/* Buffers of a pool, which the program asks for with and without waiting, and counts. */
#include <kula.h>

#include <stdbool.h>

struct server {
    struct kula_ring *ring;
    struct kula_pool *pool;
    kula_buf spare;
    unsigned refused;
};

int server_open(struct server *server, struct kula_ring *ring);
int server_close(struct server *server);
void server_receive(struct server *server, int fd);
void server_answer(struct server *server, int fd, struct kula_event *event);
bool server_is_full(const struct server *server);

int server_open(struct server *server, struct kula_ring *ring)
{
    struct kula_pool_config config = KULA_POOL_INIT;
    config.buffer_bytes = 2048;
    config.count = 64;
    config.count_max = 1024;
    server->ring = ring;
    server->refused = 0;
    server->spare = NULL;
    int error = kula_pool_open(ring, &config, &server->pool);
    if (error < 0) {
        return error;
    }
    server->spare = kula_pool_get(server->pool, 0);
    return 0;
}

int server_close(struct server *server)
{
    kula_free(&server->spare);
    return kula_pool_close(&server->pool);
}

static kula_buf get(struct server *server)
{
    kula_buf buffer = kula_pool_get(server->pool, 0);
    if (!buffer) {
        buffer = server->spare;
        server->spare = NULL;
    }
    return buffer;
}

void server_receive(struct server *server, int fd)
{
    kula_buf buffer = get(server);
    if (!buffer) {
        server->refused++;
        return;
    }
    kula_recv(server->ring, fd, &buffer, kula_capacity(buffer), 0, server);
}

void server_answer(struct server *server, int fd, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (buffer && event->result > 0) {
        kula_send(server->ring, fd, &buffer, (size_t)event->result, 0, server);
    } else if (buffer && !server->spare) {
        server->spare = buffer;
    } else {
        kula_free(&buffer);
    }
}

bool server_is_full(const struct server *server)
{
    struct kula_pool_statistics now;
    return kula_pool_describe(server->pool, &now) == 0 && now.under_pressure;
}
