/* 02_echo_server - sends back whatever thousands of TCP connections send.
 *
 *     02_echo_server [-a ADDRESS] [-p PORT] [-i IDLE_SECONDS] [-q]
 *
 * New here:
 *
 *  - Accepting. A few accepts are always under way. When descriptors run out the server leaves the
 *    connections in the backlog, and comes back for them a little later by way of a timer.
 *  - kula_window. A send may take only a part of the buffer. The window moves past what has gone,
 *    the rest is sent, and the same buffer then receives again: no copy, no allocation.
 *  - kula_deadline. A connection that is silent for too long, or does not read, is ended.
 *  - kula_close_fd. The ring cancels what is under way on a descriptor before it closes it, so its
 *    number cannot be taken over by the next connection while an operation still names it.
 *  - kula_wake from a signal handler. SIGINT and SIGTERM let transfers under way finish, close every
 *    connection and print a summary; a second one does not wait for them.
 *
 * A connection has one operation under way at a time. When the peer shuts down its sending side the
 * receive ends with 0, and everything before that has already been sent back.
 */
#include <kula.h>

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_UNDER_WAY 8
#define BUFFER_BYTES      4096
#define BACK_OFF_NS       (50 * KULA_MILLISECOND)
#define GRACE_NS          (5 * KULA_SECOND)

enum state {
    STATE_RECEIVING = 1,
    STATE_SENDING,
    STATE_CLOSING,
};

struct connection {
    struct connection *previous;
    struct connection *next;
    enum state state;
    int fd;
    kula_op op;      /* the transfer under way */
    size_t received; /* bytes in the buffer, from its start */
    size_t sent;     /* how many of them have gone back */
};

struct server {
    struct kula_ring *ring;
    struct connection *connections;
    int listener; /* events of the accepts carry its address */
    int accepts;
    kula_op back_off; /* events of the timer carry its address */
    int64_t idle_ns;
    bool quiet;
    bool stopping;

    uint64_t served;
    uint64_t bytes;
    uint64_t timed_out;
    uint64_t failed;
    uint64_t pauses;
};

static struct kula_ring *ring_to_wake; /* set before the handler is, and never changed */
static volatile sig_atomic_t stop_requests;

static void on_signal(int number)
{
    (void)number;
    stop_requests = stop_requests < 2 ? stop_requests + 1 : 2;
    kula_wake(ring_to_wake);
}

static void say(const struct server *server, const char *what, int error)
{
    if (!server->quiet) {
        fprintf(stderr, "02_echo_server: %s: %s\n", what, strerror(-error));
    }
}

/* ---- One connection ------------------------------------------------------------------------- */

static void close_connection(struct server *server, struct connection *connection)
{
    connection->state = STATE_CLOSING;
    kula_close_fd(server->ring, connection->fd, connection);
}

static void forget_connection(struct server *server, struct connection *connection)
{
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        server->connections = connection->next;
    }
    free(connection);
}

static void limit(struct server *server, struct connection *connection)
{
    int64_t limit_ns = server->stopping ? GRACE_NS : server->idle_ns;
    if (limit_ns > 0) {
        kula_deadline(server->ring, connection->op, limit_ns);
    }
}

static void receive(struct server *server, struct connection *connection, kula_buf *buffer)
{
    connection->state = STATE_RECEIVING;
    connection->op =
        kula_recv(server->ring, connection->fd, buffer, BUFFER_BYTES, 0, connection);
    limit(server, connection);
}

/* Sends what the window shows of the received bytes. */
static void send_rest(struct server *server, struct connection *connection, kula_buf *buffer)
{
    size_t rest = connection->received - connection->sent;
    kula_window(*buffer, connection->sent);
    connection->state = STATE_SENDING;
    connection->op = kula_send(server->ring, connection->fd, buffer, rest, 0, connection);
    limit(server, connection);
}

static void on_received(struct server *server,
                        struct connection *connection,
                        struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (event->result > 0) {
        connection->received = (size_t)event->result;
        connection->sent = 0;
        send_rest(server, connection, &buffer);
        return;
    }
    kula_free(&buffer);
    server->timed_out += event->result == -ETIME;
    server->failed +=
        event->result < 0 && event->result != -ETIME && event->result != -ECANCELED;
    close_connection(server, connection);
}

static void on_sent(struct server *server,
                    struct connection *connection,
                    struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (event->result > 0) {
        connection->sent += (size_t)event->result;
        server->bytes += (uint64_t)event->result;
    }
    bool late = event->result == -ETIME || (event->flags & KULA_EVENT_TIMED_OUT);
    bool cancelled = event->result == -ECANCELED || (event->flags & KULA_EVENT_CANCELLED);
    bool broken = event->result < 0 || (event->flags & KULA_EVENT_ERROR);
    if (late || cancelled || broken) {
        server->timed_out += late;
        server->failed += !late && !cancelled;
    } else if (connection->sent < connection->received) {
        send_rest(server, connection, &buffer);
        return;
    } else if (!server->stopping) {
        kula_window(buffer, 0);
        receive(server, connection, &buffer);
        return;
    }
    kula_free(&buffer);
    close_connection(server, connection);
}

static void on_connection(struct server *server,
                          struct connection *connection,
                          struct kula_event *event)
{
    switch (connection->state) {
    case STATE_RECEIVING:
        on_received(server, connection, event);
        break;
    case STATE_SENDING:
        on_sent(server, connection, event);
        break;
    case STATE_CLOSING:
        forget_connection(server, connection);
        break;
    }
}

/* ---- Accepting ------------------------------------------------------------------------------ */

static void pause_accepting(struct server *server)
{
    if (server->back_off == 0 && !server->stopping) {
        server->pauses++;
        server->back_off = kula_timer(server->ring, BACK_OFF_NS, &server->back_off);
    }
}

static void keep_accepting(struct server *server)
{
    while (server->accepts < ACCEPTS_UNDER_WAY && server->back_off == 0 && !server->stopping) {
        if (kula_accept(server->ring, server->listener, &server->listener) == 0) {
            pause_accepting(server);
            return;
        }
        server->accepts++;
    }
}

static void start_connection(struct server *server, int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *connection = calloc(1, sizeof *connection);
    kula_buf buffer = connection ? kula_alloc(server->ring, BUFFER_BYTES) : NULL;
    if (!buffer || server->stopping) {
        kula_free(&buffer);
        free(connection);
        kula_close_fd(server->ring, fd, NULL);
        return;
    }
    connection->fd = fd;
    connection->next = server->connections;
    if (connection->next) {
        connection->next->previous = connection;
    }
    server->connections = connection;
    server->served++;
    receive(server, connection, &buffer);
}

static void on_accept(struct server *server, const struct kula_event *event)
{
    server->accepts--;
    if (event->result >= 0) {
        start_connection(server, event->result);
    } else if (!server->stopping) {
        if (server->back_off == 0) {
            say(server, "cannot accept for the moment", event->result);
        }
        pause_accepting(server);
    }
}

/* ---- The server ----------------------------------------------------------------------------- */

static void on_event(struct server *server, struct kula_event *event)
{
    if (event->user == &server->listener) {
        on_accept(server, event);
    } else if (event->user == &server->back_off) {
        server->back_off = 0;
    } else if (event->user) {
        on_connection(server, event->user, event);
    }
}

/* Ends idle connections at once, and the others when they have sent what they received. */
static void stop(struct server *server)
{
    server->stopping = true;
    kula_close_fd(server->ring, server->listener, NULL);
    kula_cancel(server->ring, server->back_off);
    for (struct connection *each = server->connections; each; each = each->next) {
        if (each->state == STATE_RECEIVING) {
            kula_cancel(server->ring, each->op);
        } else if (each->state == STATE_SENDING) {
            limit(server, each);
        }
    }
}

static int serve(struct server *server)
{
    for (;;) {
        if (stop_requests > 0 && !server->stopping) {
            stop(server);
        }
        if (stop_requests > 1) {
            kula_cancel_all(server->ring);
        }
        if (server->stopping && kula_outstanding(server->ring) == 0) {
            return 0;
        }
        keep_accepting(server);
        int ready = kula_wait(server->ring, KULA_FOREVER);
        if (ready < 0) {
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(server->ring));) {
            on_event(server, event);
        }
    }
}

/* ---- Setting up ----------------------------------------------------------------------------- */

static int open_listener(const char *address, const char *port)
{
    struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(address, port, &hints, &found);
    if (failure) {
        fprintf(stderr, "02_echo_server: %s port %s: %s\n", address, port,
                gai_strerror(failure));
        return -1;
    }
    int yes = 1;
    int fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0) {
        fprintf(stderr, "02_echo_server: %s port %s: %s\n", address, port, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* Prints where the server listens: port 0 means that the system chose one. */
static void announce(const struct server *server)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[64] = "?";
    char port[16] = "?";
    if (getsockname(server->listener, (struct sockaddr *)&address, &length) == 0) {
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    }
    printf("listening on %s port %s (%s)\n", host, port, kula_backend_name(server->ring));
    fflush(stdout);
}

static void allow_many_descriptors(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int run(struct server *server)
{
    ring_to_wake = server->ring;
    struct sigaction action = { .sa_handler = on_signal };
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT); /* neither interrupts the other's count */
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    announce(server);
    int error = serve(server);
    /* No wake-up may reach a ring that is being closed. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    printf("%" PRIu64 " connections, %" PRIu64 " bytes sent back, %" PRIu64
           " timed out, %" PRIu64 " failed, %" PRIu64 " pauses\n",
           server->served, server->bytes, server->timed_out, server->failed, server->pauses);
    if (error < 0) {
        fprintf(stderr, "02_echo_server: kula_wait: %s\n", kula_explain(error));
    }
    return error;
}

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1";
    const char *port = "7007";
    struct server server = { .listener = -1 };
    const char *idle = "0";
    bool usable = true;
    for (int option; (option = getopt(argc, argv, "a:p:i:q")) != -1;) {
        switch (option) {
        case 'a':
            address = optarg;
            break;
        case 'p':
            port = optarg;
            break;
        case 'i':
            idle = optarg;
            break;
        case 'q':
            server.quiet = true;
            break;
        default:
            usable = false;
        }
    }
    char *end;
    double idle_seconds = strtod(idle, &end);
    if (!usable || optind != argc || end == idle || *end || !(idle_seconds >= 0) ||
        idle_seconds > 1e6) {
        fprintf(stderr, "usage: %s [-a ADDRESS] [-p PORT] [-i IDLE_SECONDS] [-q]\n", argv[0]);
        return 2;
    }
    server.idle_ns = (int64_t)(idle_seconds * (double)KULA_SECOND);
    allow_many_descriptors();
    server.listener = open_listener(address, port);
    if (server.listener < 0) {
        return 1;
    }
    int error = kula_open(NULL, &server.ring);
    if (error < 0) {
        fprintf(stderr, "02_echo_server: kula_open: %s\n", kula_explain(error));
        close(server.listener);
        return 1;
    }
    error = run(&server);
    int left = kula_close(&server.ring, GRACE_NS);
    return error < 0 || left < 0;
}
