/* 05_broadcast - sends one file to everybody who connects, out of one copy in memory.
 *
 *     05_broadcast [-p PORT] [-c CLIENTS] [-t SECONDS] FILE
 *
 * Listens on 127.0.0.1 and ends after so many clients; 0, the default, means never. A client that does
 * not take the file within the time is hung up on.
 *
 * New here:
 *
 *  - kula_freeze. The buffer that the file was read into becomes a reference: nobody can write those
 *    bytes any more, so any number of operations may read them at the same time.
 *  - kula_clone. Each client's send takes a reference of its own; no byte is copied. Nobody takes it
 *    from the event: it is dropped with it, and that is all there is to do.
 *  - kula_after with KULA_REGARDLESS. Each close waits for its send, however that ends. So there is
 *    no list of connections, and nothing to remember about any of them.
 *  - kula_thaw. When all is sent the one reference that is left is a buffer again, which is the proof
 *    that no operation still reads it.
 */
#include <kula.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX    INT32_MAX
#define BACK_OFF_NS (50 * KULA_MILLISECOND)

/* Events tell by their `user` what they are about: an address in here. */
struct server {
    struct kula_ring *ring;
    kula_ref page; /* events of sends carry its address */
    size_t page_bytes;
    int listener;     /* events of the accept carry its address */
    kula_op back_off; /* events of the timer carry its address */
    int64_t limit_ns;
    uint64_t clients_max;

    uint64_t clients;
    uint64_t complete;
    uint64_t bytes;
};

static void say(const char *what, int error)
{
    fprintf(stderr, "05_broadcast: %s: %s\n", what, strerror(-error));
}

/* ---- The page ------------------------------------------------------------------------------- */

/* The whole of a file as a reference; NULL, and said why, when it cannot be had. */
static kula_ref load(struct kula_ring *ring, const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0 || !S_ISREG(about.st_mode) || about.st_size == 0 ||
        about.st_size > FILE_MAX) {
        say(path, fd < 0 ? -errno : -EINVAL);
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    kula_buf buffer = kula_alloc(ring, (size_t)about.st_size);
    if (!buffer) {
        say(path, -ENOMEM);
        close(fd);
        return NULL;
    }
    kula_op op = kula_read(ring, fd, &buffer, (size_t)about.st_size, 0, NULL);
    kula_option(ring, op, KULA_FULL);
    kula_wait(ring, KULA_FOREVER);
    struct kula_event *event = kula_next(ring);
    int result = event ? event->result : -EIO;
    buffer = event ? kula_take(event) : NULL;
    kula_close_fd(ring, fd, NULL);
    if (!buffer || result != (int)about.st_size) {
        say(path, result < 0 ? result : -EIO);
        kula_free(&buffer);
        return NULL;
    }
    return kula_freeze(&buffer);
}

/* ---- Clients -------------------------------------------------------------------------------- */

static void accept_next(struct server *server)
{
    bool more = server->clients_max == 0 || server->clients < server->clients_max;
    if (more && kula_accept(server->ring, server->listener, &server->listener) == 0) {
        say("accepting", -ENOMEM);
    }
}

static void send_page(struct server *server, int fd)
{
    server->clients++;
    kula_ref copy = kula_clone(server->page);
    if (!copy) {
        say("sending", -ENOMEM);
        kula_close_fd(server->ring, fd, NULL);
        return;
    }
    kula_op sent = kula_send(server->ring, fd, &copy, server->page_bytes, 0, &server->page);
    kula_option(server->ring, sent, KULA_FULL);
    kula_deadline(server->ring, sent, server->limit_ns);
    kula_op closed = kula_close_fd(server->ring, fd, NULL);
    kula_option(server->ring, closed, KULA_REGARDLESS);
    kula_after(server->ring, closed, sent);
}

static void on_accept(struct server *server, const struct kula_event *event)
{
    if (event->result < 0) {
        say("accepting", event->result);
        server->back_off = kula_timer(server->ring, BACK_OFF_NS, &server->back_off);
        return;
    }
    send_page(server, event->result);
    accept_next(server);
}

static void on_sent(struct server *server, const struct kula_event *event)
{
    if (event->result > 0) {
        server->bytes += (uint64_t)event->result;
    }
    server->complete += event->result == (int)server->page_bytes;
}

static void on_event(struct server *server, const struct kula_event *event)
{
    if (event->user == &server->listener) {
        on_accept(server, event);
    } else if (event->user == &server->page) {
        on_sent(server, event);
    } else if (event->user == &server->back_off) {
        accept_next(server);
    }
}

static int serve(struct server *server)
{
    accept_next(server);
    while (kula_outstanding(server->ring) > 0) {
        int ready = kula_wait(server->ring, KULA_FOREVER);
        if (ready < 0) {
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(server->ring));) {
            on_event(server, event);
        }
    }
    return 0;
}

/* ---- Setting up ----------------------------------------------------------------------------- */

/* Listens, and prints where: port 0 means that the system chooses one. */
static int open_listener(const struct kula_ring *ring, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        say("listening", -errno);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    printf("listening on 127.0.0.1 port %d (%s)\n", ntohs(address.sin_port),
           kula_backend_name(ring));
    fflush(stdout);
    return fd;
}

static int run(struct server *server, const char *path, uint16_t port)
{
    server->page = load(server->ring, path);
    if (!server->page) {
        return -1;
    }
    server->page_bytes = kula_ref_size(server->page);
    server->listener = open_listener(server->ring, port);
    int error = server->listener < 0 ? -1 : serve(server);
    printf("%" PRIu64 " clients, %" PRIu64 " got all of it, %" PRIu64
           " bytes out of %zu in memory\n",
           server->clients, server->complete, server->bytes, server->page_bytes);
    kula_buf buffer = kula_thaw(&server->page);
    if (!buffer) {
        fprintf(stderr, "05_broadcast: somebody still reads the page\n");
        error = -1;
    }
    kula_free(&buffer);
    kula_drop(&server->page);
    if (server->listener >= 0) {
        kula_close_fd(server->ring, server->listener, NULL);
    }
    return error;
}

/* A number from 0 to `most`, or -1. */
static long number(const char *text, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    return end == text || *end || value < 0 || value > most ? -1 : value;
}

int main(int argc, char **argv)
{
    long port = 7008;
    long clients = 0;
    long seconds = 30;
    for (int option; (option = getopt(argc, argv, "p:c:t:")) != -1;) {
        switch (option) {
        case 'p':
            port = number(optarg, UINT16_MAX);
            break;
        case 'c':
            clients = number(optarg, INT32_MAX);
            break;
        case 't':
            seconds = number(optarg, INT32_MAX);
            break;
        default:
            port = -1;
        }
    }
    if (port < 0 || clients < 0 || seconds < 0 || optind + 1 != argc) {
        fprintf(stderr, "usage: %s [-p PORT] [-c CLIENTS] [-t SECONDS] FILE\n", argv[0]);
        return 2;
    }
    struct server server = {
        .listener = -1,
        .limit_ns = seconds * KULA_SECOND,
        .clients_max = (uint64_t)clients,
    };
    int error = kula_open(NULL, &server.ring);
    if (error < 0) {
        say("kula_open", error);
        return 1;
    }
    error = run(&server, argv[optind], (uint16_t)port);
    int left = kula_close(&server.ring, KULA_FOREVER);
    return error < 0 || left < 0;
}
