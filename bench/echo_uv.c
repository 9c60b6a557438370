/* echo_uv.c - echo servers on libuv: with uv_write, the ordinary way, and with uv_try_write, which
 * skips the queue and the callback. */
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    bool try_write;
    unsigned to_accept;
};

struct connection {
    uv_tcp_t stream; /* first: its address is the connection's */
    uv_write_t request;
    bool writing;
    char buffer[BENCH_RECEIVE_BYTES];
};

static int uv_checked(int result, const char *what)
{
    if (result < 0) {
        bench_fail(what, result);
    }
    return result;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_allocate(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *ret_buffer)
{
    (void)suggested_bytes;
    struct connection *connection = (struct connection *)handle;
    if (connection->writing) {
        bench_fail("uv_write: the next message came before the last one was written", -EBUSY);
    }
    *ret_buffer = uv_buf_init(connection->buffer, sizeof(connection->buffer));
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = (struct connection *)request->handle;
    (void)uv_checked(status, "uv_write");
    connection->writing = false;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *received)
{
    struct connection *connection = (struct connection *)stream;
    const struct server *server = stream->loop->data;
    if (count < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (count == 0) { /* libuv's way to say EAGAIN */
        return;
    }
    uv_buf_t bytes = uv_buf_init(received->base, (unsigned)count);
    if (server->try_write) {
        if (uv_checked(uv_try_write(stream, &bytes, 1), "uv_try_write") != (int)count) {
            bench_fail("uv_try_write", -EIO);
        }
        return;
    }
    connection->writing = true;
    int result = uv_write(&connection->request, stream, &bytes, 1, on_written);
    (void)uv_checked(result, "uv_write");
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = listener->loop->data;
    (void)uv_checked(status, "uv_listen");
    struct connection *connection = bench_allocate_checked(1, sizeof(*connection));
    (void)uv_checked(uv_tcp_init(&server->loop, &connection->stream), "uv_tcp_init");
    uv_stream_t *stream = (uv_stream_t *)&connection->stream;
    (void)uv_checked(uv_accept(listener, stream), "uv_accept");
    (void)uv_checked(uv_read_start(stream, on_allocate, on_read), "uv_read_start");
    server->to_accept--;
    if (server->to_accept == 0) { /* the loop then ends with the last connection */
        uv_close((uv_handle_t *)listener, NULL);
    }
}

static void serve(bool try_write, int listen_fd, unsigned connections)
{
    struct server server = { .try_write = try_write, .to_accept = connections };
    (void)uv_checked(uv_loop_init(&server.loop), "uv_loop_init");
    server.loop.data = &server;
    (void)uv_checked(uv_tcp_init(&server.loop, &server.listener), "uv_tcp_init");
    (void)uv_checked(uv_tcp_open(&server.listener, listen_fd), "uv_tcp_open");
    uv_stream_t *listener = (uv_stream_t *)&server.listener;
    (void)uv_checked(uv_listen(listener, (int)connections, on_connection), "uv_listen");
    (void)uv_run(&server.loop, UV_RUN_DEFAULT);
    (void)uv_checked(uv_loop_close(&server.loop), "uv_loop_close");
}

static void serve_write(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    serve(false, listen_fd, connections);
}

static void serve_try_write(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    serve(true, listen_fd, connections);
}

const struct bench_echo_subject bench_echo_uv[] = {
    { "libuv-write", NULL, serve_write },
    { "libuv-try-write", NULL, serve_try_write },
    { NULL, NULL, NULL },
};
