/* echo_load - keeps an echo server busy and checks every byte that comes back.
 *
 *     echo_load [-a ADDRESS] [-p PORT] [-c CONNECTIONS] [-m MESSAGES] [-s BYTES] [-t SECONDS]
 *
 * The client side of 02. Each connection sends its messages one after the other; while a message
 * goes out its answer is already being received, so that a message may be larger than what the
 * sockets and the server hold. New here:
 *
 *  - kula_socket and kula_connect, for a thousand connections at once.
 *  - KULA_FULL on a stream: the event comes when the whole message has gone, or has come.
 *  - Two operations of one connection under way at a time, told apart by their kula_op.
 */
#include <kula.h>

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
    int fd;
    kula_op opening; /* the socket, then the connect */
    kula_op sending;
    kula_op receiving;
    kula_buf outgoing; /* both are here only between two messages */
    kula_buf incoming;
    unsigned long messages; /* that have come back */
    int64_t sent_ns;
    bool connected;
    bool over;
};

struct load {
    struct kula_ring *ring;
    struct addrinfo *server;
    struct client *clients;
    unsigned long client_count;
    unsigned long message_count;
    unsigned long message_bytes;
    int64_t limit_ns; /* for a connect, and for each message */
    int64_t *latencies_ns;
    size_t answers;
    unsigned long failures;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * KULA_SECOND + now.tv_nsec;
}

/* The byte at a position of a client's stream: no two clients, and no two messages, look alike, so
 * an answer that is mixed up, shifted or repeated does not go unnoticed. */
static unsigned char pattern(size_t client, uint64_t position)
{
    uint64_t mixed = (position / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15) + client;
    mixed = (mixed ^ (mixed >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (unsigned char)(mixed >> (position % 8 * 8));
}

/* ---- One client ----------------------------------------------------------------------------- */

static void end_client(struct load *load, struct client *client, const char *why, int error)
{
    if (client->over) {
        return;
    }
    client->over = true;
    if (why) {
        load->failures++;
        if (load->failures <= 10) {
            fprintf(stderr, "echo_load: connection %td, message %lu: %s%s%s\n",
                    client - load->clients, client->messages, why, error < 0 ? ": " : "",
                    error < 0 ? strerror(-error) : "");
        }
    }
    if (client->fd >= 0) {
        kula_close_fd(load->ring, client->fd, NULL); /* ends the other transfer as well */
    }
}

static void start_message(struct load *load, struct client *client)
{
    size_t index = (size_t)(client - load->clients);
    uint64_t position = (uint64_t)client->messages * load->message_bytes;
    unsigned char *bytes = kula_bytes(client->outgoing);
    for (size_t i = 0; i < load->message_bytes; i++) {
        bytes[i] = pattern(index, position + i);
    }
    memset(kula_bytes(client->incoming), 0, load->message_bytes);
    client->sent_ns = now_ns();

    client->sending =
        kula_send(load->ring, client->fd, &client->outgoing, load->message_bytes, 0, client);
    client->receiving =
        kula_recv(load->ring, client->fd, &client->incoming, load->message_bytes, 0, client);
    kula_option(load->ring, client->sending, KULA_FULL);
    kula_option(load->ring, client->receiving, KULA_FULL);
    kula_deadline(load->ring, client->sending, load->limit_ns);
    kula_deadline(load->ring, client->receiving, load->limit_ns);
}

static void finish_message(struct load *load, struct client *client)
{
    size_t index = (size_t)(client - load->clients);
    uint64_t position = (uint64_t)client->messages * load->message_bytes;
    const unsigned char *bytes = kula_bytes(client->incoming);
    for (size_t i = 0; i < load->message_bytes; i++) {
        if (bytes[i] != pattern(index, position + i)) {
            end_client(load, client, "the answer differs from what was sent", 0);
            return;
        }
    }
    load->latencies_ns[load->answers++] = now_ns() - client->sent_ns;
    client->messages++;
    if (client->messages == load->message_count) {
        end_client(load, client, NULL, 0);
        return;
    }
    start_message(load, client);
}

static void on_transfer(struct load *load, struct client *client, struct kula_event *event)
{
    bool sent = event->op == client->sending;
    kula_buf buffer = kula_take(event);
    int error = event->result < 0 ? event->result : event->error;
    if (client->over) {
        kula_free(&buffer);
        return;
    }
    if (event->result != (int64_t)load->message_bytes) {
        kula_free(&buffer);
        const char *why = event->flags & KULA_EVENT_TIMED_OUT ? "time is up"
                          : sent                              ? "cannot send"
                          : event->result >= 0                ? "the server hung up"
                                                              : "cannot receive";
        end_client(load, client, why, error);
        return;
    }
    if (sent) {
        client->outgoing = buffer;
    } else {
        client->incoming = buffer;
    }
    if (client->outgoing && client->incoming) {
        finish_message(load, client);
    }
}

static void on_socket(struct load *load, struct client *client, int result)
{
    if (result < 0) {
        end_client(load, client, "cannot make a socket", result);
        return;
    }
    int yes = 1;
    client->fd = result;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    client->opening = kula_connect(load->ring, client->fd, load->server->ai_addr,
                                   (uint32_t)load->server->ai_addrlen, client);
    if (client->opening == 0) {
        end_client(load, client, "cannot connect", -ENOMEM);
        return;
    }
    kula_deadline(load->ring, client->opening, load->limit_ns);
}

static void on_connect(struct load *load, struct client *client, int result)
{
    if (result < 0) {
        end_client(load, client, "cannot connect", result);
        return;
    }
    client->connected = true;
    client->outgoing = kula_alloc(load->ring, load->message_bytes);
    client->incoming = kula_alloc(load->ring, load->message_bytes);
    if (!client->outgoing || !client->incoming) {
        end_client(load, client, "no buffers", -ENOMEM);
        return;
    }
    start_message(load, client);
}

static void on_event(struct load *load, struct kula_event *event)
{
    struct client *client = event->user;
    if (!client) {
        return; /* a descriptor has been closed */
    }
    if (event->op != client->opening) {
        on_transfer(load, client, event);
    } else if (client->fd < 0) {
        on_socket(load, client, event->result);
    } else {
        on_connect(load, client, event->result);
    }
}

/* ---- All of them ---------------------------------------------------------------------------- */

static int run(struct load *load)
{
    for (unsigned long i = 0; i < load->client_count; i++) {
        struct client *client = &load->clients[i];
        const struct addrinfo *server = load->server;
        client->fd = -1;
        client->opening = kula_socket(load->ring, server->ai_family, server->ai_socktype,
                                      server->ai_protocol, client);
        if (client->opening == 0) {
            end_client(load, client, "cannot make a socket", -ENOMEM);
        }
    }
    while (kula_outstanding(load->ring) > 0) {
        int ready = kula_wait(load->ring, KULA_FOREVER);
        if (ready < 0) {
            fprintf(stderr, "echo_load: kula_wait: %s\n", kula_explain(ready));
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(load->ring));) {
            on_event(load, event);
        }
    }
    return 0;
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static double percentile_us(const struct load *load, size_t percent)
{
    size_t index = (load->answers - 1) * percent / 100;
    return (double)load->latencies_ns[index] / 1000.0;
}

static void print_summary(struct load *load, int64_t elapsed_ns)
{
    unsigned long connected = 0;
    for (unsigned long i = 0; i < load->client_count; i++) {
        connected += load->clients[i].connected;
    }
    double seconds = (double)elapsed_ns / (double)KULA_SECOND;
    printf("%lu connections, %zu messages of %lu bytes verified, %lu failures (%s)\n",
           connected, load->answers, load->message_bytes, load->failures,
           kula_backend_name(load->ring));
    if (load->answers > 0) {
        qsort(load->latencies_ns, load->answers, sizeof *load->latencies_ns, compare_times);
        printf("%.2f s, %.0f messages/s; microseconds: median %.0f, 99 %% %.0f, longest %.0f\n",
               seconds, (double)load->answers / seconds, percentile_us(load, 50),
               percentile_us(load, 99), percentile_us(load, 100));
    }
}

static int generate(struct load *load)
{
    load->clients = calloc(load->client_count, sizeof *load->clients);
    load->latencies_ns =
        calloc(load->client_count * load->message_count, sizeof *load->latencies_ns);
    int error = load->clients && load->latencies_ns ? kula_open(NULL, &load->ring) : -ENOMEM;
    if (error < 0) {
        fprintf(stderr, "echo_load: kula_open: %s\n", kula_explain(error));
        free(load->clients);
        free(load->latencies_ns);
        return error;
    }
    int64_t start_ns = now_ns();
    error = run(load);
    print_summary(load, now_ns() - start_ns);
    for (unsigned long i = 0; i < load->client_count; i++) {
        kula_free(&load->clients[i].outgoing);
        kula_free(&load->clients[i].incoming);
    }
    int left = kula_close(&load->ring, load->limit_ns);
    free(load->clients);
    free(load->latencies_ns);
    return error < 0 ? error : left;
}

/* ---- The command line ----------------------------------------------------------------------- */

static bool parse_number(const char *text, unsigned long most, unsigned long *ret_number)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || number == 0 || number > most) {
        return false;
    }
    *ret_number = number;
    return true;
}

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1";
    const char *port = "7007";
    unsigned long seconds = 30;
    struct load load = { .client_count = 50, .message_count = 100, .message_bytes = 64 };
    bool usable = true;
    for (int option; (option = getopt(argc, argv, "a:p:c:m:s:t:")) != -1;) {
        switch (option) {
        case 'a':
            address = optarg;
            break;
        case 'p':
            port = optarg;
            break;
        case 'c':
            usable = usable && parse_number(optarg, 100000, &load.client_count);
            break;
        case 'm':
            usable = usable && parse_number(optarg, 1000000, &load.message_count);
            break;
        case 's':
            usable = usable && parse_number(optarg, 1 << 30, &load.message_bytes);
            break;
        case 't':
            usable = usable && parse_number(optarg, 1000000, &seconds);
            break;
        default:
            usable = false;
        }
    }
    if (!usable || optind != argc) {
        fprintf(stderr,
                "usage: %s [-a ADDRESS] [-p PORT] [-c CONNECTIONS] [-m MESSAGES] [-s BYTES]"
                " [-t SECONDS]\n",
                argv[0]);
        return 2;
    }
    load.limit_ns = (int64_t)seconds * KULA_SECOND;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    int failure = getaddrinfo(address, port, &hints, &load.server);
    if (failure) {
        fprintf(stderr, "echo_load: %s port %s: %s\n", address, port, gai_strerror(failure));
        return 1;
    }
    int error = generate(&load);
    freeaddrinfo(load.server);
    return error < 0 || load.failures > 0;
}
