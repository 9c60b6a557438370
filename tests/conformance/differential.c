/* The same random script on the backend under test and on the blocking one, each with places of its
 * own: results, bytes, positions and flags have to be the same at every step. The seed is printed; a
 * failure comes again with KULA_TEST_SEED. */
#include "support/outcome.h"
#include "support/places.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 700   /* most bytes of one transfer */
#define ROOM  40000 /* bytes that are put into a stream before something takes them out */

enum {
    FILE_PLAIN,
    FILE_APPEND,
    FILE_READ_ONLY,
    PIPE_READ,
    PIPE_WRITE,
    SOCKET_A,
    SOCKET_B,
    PLACES
};

/* One side: a ring and everything that the script works on. */
struct side {
    struct kula_ring *ring;
    int fds[PLACES];
};

struct step {
    unsigned kind;
    unsigned place;
    size_t length;
    size_t capacity;
    int64_t offset;
    uint32_t options;
    unsigned seed;
    unsigned parts; /* of a vectored transfer */
};

struct answer {
    int32_t result;
    int32_t error;
    uint32_t flags;
    uint64_t size;
    unsigned char bytes[PIECE * 4];
    size_t byte_count;
};

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ (z >> 31)) % below);
}

static void open_side(struct side *side, struct kula_ring *ring)
{
    side->ring = ring;
    side->fds[FILE_PLAIN] = make_file("the quick brown fox");
    side->fds[FILE_APPEND] = make_file_flags("begin:", O_APPEND);
    side->fds[FILE_READ_ONLY] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    make_pipe(&side->fds[PIPE_READ]);
    make_stream_pair(AF_UNIX, &side->fds[SOCKET_A]);
}

enum {
    READ,
    WRITE,
    READV,
    WRITEV,
    RECEIVE,
    SEND,
    SYNC,
    LOOK,
    KINDS
};

static struct step make_step(void)
{
    static const int64_t odd_offsets[] = {
        KULA_CUR, KULA_CUR, KULA_CUR, KULA_CUR, -2, INT64_MIN
    };
    struct step step = { .kind = pick(KINDS), .place = pick(PLACES), .seed = pick(1000) };
    step.capacity = 1 + pick(PIECE);
    step.length =
        pick(20) == 0 ? step.capacity + 1 + pick(5000) : pick((unsigned)step.capacity + 1);
    step.offset = pick(2) ? (int64_t)pick(3000) : odd_offsets[pick(6)];
    step.options = pick(3) == 0 ? KULA_FULL : 0;
    step.parts = 1 + pick(4);
    return step;
}

static bool is_stream(unsigned place)
{
    return place >= PIPE_READ;
}

/* What would wait for ever is left out: reading an empty stream, filling a full one. */
static bool would_wait(const struct step *step, const struct side *side)
{
    int fd = side->fds[step->place];
    bool reads = step->kind == READ || step->kind == READV || step->kind == RECEIVE;
    if (!is_stream(step->place) || step->kind >= SYNC) {
        return false;
    }
    if (reads) {
        return (step->options & KULA_FULL) || (step->place != PIPE_WRITE && !is_readable(fd));
    }
    return false;
}

static kula_vec make_vec(const struct side *side, const struct step *step)
{
    kula_vec vec = kula_vec_new(side->ring);
    assert_true(vec != NULL);
    for (unsigned i = 0; i < step->parts; i++) {
        kula_buf buffer = buffer_pattern(side->ring, step->capacity, step->seed + i);
        kula_vec_add(vec, &buffer, step->length);
    }
    return vec;
}

static void take_step(const struct side *side, const struct step *step, struct answer *answer)
{
    kula_buf back[4];
    struct outcome done = { .more = back, .more_max = 4 };
    int fd = side->fds[step->place];
    kula_op op = 0;
    kula_buf buffer = NULL;
    kula_vec vec = NULL;
    memset(answer, 0, sizeof *answer);
    switch (step->kind) {
    case READ:
        buffer = buffer_pattern(side->ring, step->capacity, step->seed);
        op = kula_read(side->ring, fd, &buffer, step->length, step->offset, &done);
        break;
    case WRITE:
        buffer = buffer_pattern(side->ring, step->capacity, step->seed);
        op = kula_write(side->ring, fd, &buffer, step->length, step->offset, &done);
        break;
    case READV:
        vec = make_vec(side, step);
        op = kula_readv(side->ring, fd, &vec, step->offset, &done);
        break;
    case WRITEV:
        vec = make_vec(side, step);
        op = kula_writev(side->ring, fd, &vec, step->offset, &done);
        break;
    case RECEIVE:
        buffer = buffer_pattern(side->ring, step->capacity, step->seed);
        op = kula_recv(side->ring, fd, &buffer, step->length, 0, &done);
        break;
    case SEND:
        buffer = buffer_pattern(side->ring, step->capacity, step->seed);
        op = kula_send(side->ring, fd, &buffer, step->length, 0, &done);
        break;
    case SYNC:
        op = kula_fdatasync(side->ring, fd, &done);
        break;
    default:
        op = kula_statx(side->ring, fd, "", AT_EMPTY_PATH, &done);
        break;
    }
    if (step->kind < SYNC && step->options != 0) {
        assert_int_equal(kula_option(side->ring, op, step->options), 0);
    }
    await(side->ring, &done);
    answer->result = done.result;
    answer->error = done.error;
    answer->flags = done.flags;
    answer->size = done.stat.size_bytes;
    for (unsigned i = 0; i < done.buffers; i++) {
        size_t capacity = kula_capacity(back[i]);
        harness_look_at_anything(kula_bytes(back[i]), capacity);
        memcpy(answer->bytes + answer->byte_count, kula_bytes(back[i]), capacity);
        answer->byte_count += capacity;
        kula_free(&back[i]);
    }
}

static void explain(const struct step *step,
                    const struct answer *mine,
                    const struct answer *other)
{
    static const char *const kinds[] = { "read", "write", "readv",     "writev",
                                         "recv", "send",  "fdatasync", "statx" };
    static const char *const places[] = { "file",        "appended file", "read-only device",
                                          "pipe's end",  "pipe's start",  "socket",
                                          "other socket" };
    print_error("%s on the %s, length %zu of %zu, offset %lld, options %u, parts %u\n",
                kinds[step->kind], places[step->place], step->length, step->capacity,
                (long long)step->offset, step->options, step->parts);
    print_error("%s: %d, error %d, flags %u; blocking: %d, error %d, flags %u\n",
                harness_backend(), mine->result, mine->error, mine->flags, other->result,
                other->error, other->flags);
}

static void compare(const struct step *step,
                    const struct answer *mine,
                    const struct answer *other)
{
    bool same = mine->result == other->result && mine->error == other->error &&
                mine->flags == other->flags && mine->size == other->size &&
                mine->byte_count == other->byte_count &&
                memcmp(mine->bytes, other->bytes, mine->byte_count) == 0;
    if (!same) {
        explain(step, mine, other);
    }
    assert_true(same);
}

/* Streams are emptied before they are full, so that no write ever waits. */
static void drain(int fd)
{
    static char rest[1 << 16];
    while (is_readable(fd)) {
        assert_true(read(fd, rest, sizeof rest) > 0);
    }
}

static void compare_places(const struct side *mine, const struct side *other)
{
    for (unsigned place = FILE_PLAIN; place <= FILE_APPEND; place++) {
        struct stat first;
        struct stat second;
        assert_int_equal(fstat(mine->fds[place], &first), 0);
        assert_int_equal(fstat(other->fds[place], &second), 0);
        assert_int_equal(first.st_size, second.st_size);
        assert_int_equal(lseek(mine->fds[place], 0, SEEK_CUR),
                         lseek(other->fds[place], 0, SEEK_CUR));
        unsigned char a[4096];
        unsigned char b[4096];
        for (off_t at = 0; at < first.st_size; at += (off_t)sizeof a) {
            ssize_t count = pread(mine->fds[place], a, sizeof a, at);
            assert_true(count > 0);
            assert_int_equal(pread(other->fds[place], b, sizeof b, at), count);
            assert_memory_equal(a, b, (size_t)count);
        }
    }
    for (unsigned place = 0; place < PLACES; place++) {
        assert_int_equal(fcntl(mine->fds[place], F_GETFL), fcntl(other->fds[place], F_GETFL));
    }
}

/* A ring gives up an opcode that has only ever been refused, and warns. The script's refusals are its
 * own doing, so each kind succeeds once before it begins. */
static void succeed_once(struct side *mine, struct side *other)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        bool message = kind == RECEIVE || kind == SEND;
        struct step step = { .kind = kind, .length = 4, .capacity = 4, .parts = 1 };
        step.place = message ? SOCKET_A : FILE_PLAIN;
        struct answer first;
        struct answer second;
        if (kind == RECEIVE) {
            put(mine->fds[SOCKET_B], "here");
            put(other->fds[SOCKET_B], "here");
        }
        take_step(mine, &step, &first);
        take_step(other, &step, &second);
        compare(&step, &first, &second);
        assert_true(first.result >= 0);
    }
}

static void run_script(struct side *mine, struct side *other, unsigned steps)
{
    size_t poured = 0;
    for (unsigned i = 0; i < steps; i++) {
        struct step step = make_step();
        struct answer first;
        struct answer second;
        if (would_wait(&step, mine) || would_wait(&step, other)) {
            continue;
        }
        take_step(mine, &step, &first);
        take_step(other, &step, &second);
        compare(&step, &first, &second);
        poured += is_stream(step.place) && first.result > 0 ? (size_t)first.result : 0;
        if (poured > ROOM) {
            const unsigned readable[] = { PIPE_READ, SOCKET_A, SOCKET_B };
            for (size_t k = 0; k < 3; k++) {
                drain(mine->fds[readable[k]]);
                drain(other->fds[readable[k]]);
            }
            poured = 0;
        }
        if (i % 500 == 0) {
            compare_places(mine, other);
        }
    }
    compare_places(mine, other);
}

static void a_random_script_gives_what_it_gives_on_the_blocking_backend(void **state)
{
    const char *given = getenv("KULA_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)harness_now_ns();
    print_message("KULA_TEST_SEED=%llu\n", (unsigned long long)seed);
    random_state = seed;
    struct kula_config config = harness_config();
    config.backend = "strict:blocking";
    struct kula_ring *reference = NULL;
    assert_int_equal(kula_open(&config, &reference), 0);
    struct side mine;
    struct side other;
    open_side(&mine, harness_ring(state));
    open_side(&other, reference);
    succeed_once(&mine, &other);
    run_script(&mine, &other, harness_sanitized() ? 2000 : 12000);
    retire(mine.ring, mine.fds, PLACES);
    retire(other.ring, other.fds, PLACES);
    harness_close(&reference);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_random_script_gives_what_it_gives_on_the_blocking_backend),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
