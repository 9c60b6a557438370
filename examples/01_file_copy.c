/* 01_file_copy - copies a file with many blocks in flight, and proves the copy.
 *
 *     01_file_copy [-q] SOURCE DESTINATION
 *
 * New here:
 *
 *  - Buffers go round. Each of sixteen buffers is read into, written from and read into again; the
 *    program never copies a byte. Between two operations a buffer lives in one local variable.
 *  - Positional reads and writes run side by side and end in any order. `user` says which block an
 *    event belongs to.
 *  - KULA_FULL. The kernel may read or write less than was asked for at any time. For files the
 *    right answer is to let the ring go on; the sockets of 02 need the other one, kula_window.
 *  - One error path. Handing over cannot fail, so every error is an event, and the first one that
 *    is seen stops the copy.
 *
 * The copy is written under another name and moved into place when its blocks have been read back
 * and have the checksums that the source had. Whatever goes wrong before that leaves an older
 * destination as it was, and nothing else behind.
 */
#include <kula.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCKS_IN_FLIGHT 16
#define BLOCK_BYTES      262144

enum stage {
    STAGE_READING = 1,
    STAGE_WRITING,
    STAGE_CHECKING,
};

/* One part of the file on its way. Its buffer is not here: the ring has it. */
struct block {
    enum stage stage;
    int64_t offset;
    size_t length;
};

struct copy {
    struct kula_ring *ring;
    const char *source_path;
    const char *destination_path;
    char *part_path; /* where the copy grows; NULL once it is in place */
    int source;
    int part;
    struct stat before; /* the source as it was at the start */
    bool sparse;        /* the source has holes: so shall the copy */
    bool failed;
    bool show_progress;
    int64_t shown_ns;

    int64_t next;    /* where the next block starts */
    int64_t end;     /* where the source ended; INT64_MAX until a read has found it */
    int64_t highest; /* the end of the last byte that was read */
    int64_t done;    /* bytes of this pass that are through */
    uint64_t *digests;
    size_t digest_room;
    struct block blocks[BLOCKS_IN_FLIGHT];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * KULA_SECOND + now.tv_nsec;
}

/* Reports the first failure and ends what is under way; later ones are its consequences. */
static bool fail(struct copy *copy, const char *what, const char *path, int error)
{
    if (!copy->failed) {
        fprintf(stderr, "%s01_file_copy: %s %s%s%s\n", copy->show_progress ? "\r\033[K" : "",
                what, path, error < 0 ? ": " : "", error < 0 ? strerror(-error) : "");
        copy->failed = true;
        kula_cancel_all(copy->ring);
    }
    return false;
}

static void show_progress(struct copy *copy, const char *verb)
{
    int64_t now = now_ns();
    if (!copy->show_progress || now - copy->shown_ns < 100 * KULA_MILLISECOND) {
        return;
    }
    copy->shown_ns = now;
    double total = copy->before.st_size > 0 ? (double)copy->before.st_size : (double)copy->done;
    fprintf(stderr, "\r\033[K%s %3.0f %%  %.1f MiB", verb,
            total > 0 ? 100.0 * (double)copy->done / total : 100.0,
            (double)copy->done / (1024.0 * 1024.0));
}

/* ---- The first pass: read and write --------------------------------------------------------- */

static bool remember_digest(struct copy *copy, size_t index, uint64_t digest)
{
    if (index >= copy->digest_room) {
        size_t room = index + index / 2 + BLOCKS_IN_FLIGHT;
        uint64_t *grown = realloc(copy->digests, room * sizeof *grown);
        if (!grown) {
            return fail(copy, "no memory for the checksums of", copy->source_path, -ENOMEM);
        }
        copy->digests = grown;
        copy->digest_room = room;
    }
    copy->digests[index] = digest;
    return true;
}

static bool is_all_zero(const unsigned char *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Hands the buffer over for the next block of the source, or leaves it alone at the end. */
static void read_next(struct copy *copy, struct block *block, kula_buf *buffer)
{
    if (copy->failed || copy->next >= copy->end) {
        return;
    }
    block->stage = STAGE_READING;
    block->offset = copy->next;
    copy->next += BLOCK_BYTES;
    kula_op op = kula_read(copy->ring, copy->source, buffer, BLOCK_BYTES, block->offset, block);
    kula_option(copy->ring, op, KULA_FULL);
}

static void write_block(struct copy *copy, struct block *block, kula_buf *buffer)
{
    block->stage = STAGE_WRITING;
    kula_op op =
        kula_write(copy->ring, copy->part, buffer, block->length, block->offset, block);
    kula_option(copy->ring, op, KULA_FULL);
}

static void on_read(struct copy *copy, struct block *block, kula_buf *buffer, size_t length)
{
    block->length = length;
    int64_t end = block->offset + (int64_t)length;
    /* With KULA_FULL a short read means one thing: here the file ends. */
    if (length < BLOCK_BYTES && end < copy->end) {
        copy->end = end;
    }
    if (length == 0) {
        return;
    }
    if (end > copy->highest) {
        copy->highest = end;
    }
    const unsigned char *bytes = kula_bytes(*buffer);
    uint64_t digest = XXH3_64bits(bytes, length);
    if (!remember_digest(copy, (size_t)(block->offset / BLOCK_BYTES), digest)) {
        return;
    }
    if (copy->sparse && is_all_zero(bytes, length)) {
        copy->done += (int64_t)length;
        read_next(copy, block, buffer);
        return;
    }
    write_block(copy, block, buffer);
}

/* ---- The second pass: read back and compare ------------------------------------------------- */

static void check_next(struct copy *copy, struct block *block, kula_buf *buffer)
{
    if (copy->failed || copy->next >= copy->end) {
        return;
    }
    int64_t left = copy->end - copy->next;
    block->stage = STAGE_CHECKING;
    block->offset = copy->next;
    block->length = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
    copy->next += BLOCK_BYTES;
    kula_op op = kula_read(copy->ring, copy->part, buffer, block->length, block->offset, block);
    kula_option(copy->ring, op, KULA_FULL);
}

static void on_checked(struct copy *copy, struct block *block, kula_buf *buffer, size_t length)
{
    size_t index = (size_t)(block->offset / BLOCK_BYTES);
    if (length != block->length ||
        XXH3_64bits(kula_bytes(*buffer), length) != copy->digests[index]) {
        char what[80];
        snprintf(what, sizeof what, "byte %" PRId64 " and after differ in", block->offset);
        fail(copy, what, copy->destination_path, 0);
        return;
    }
    copy->done += (int64_t)length;
    check_next(copy, block, buffer);
}

/* ---- Both passes ---------------------------------------------------------------------------- */

static void on_event(struct copy *copy, struct kula_event *event)
{
    struct block *block = event->user;
    kula_buf buffer = kula_take(event);
    /* Bytes that moved are never hidden: an error after them is in event->error. */
    int error = event->result < 0 ? event->result : event->error;
    bool writing = block->stage == STAGE_WRITING;
    if (error < 0) {
        fail(copy, writing ? "cannot write" : "cannot read",
             block->stage == STAGE_READING ? copy->source_path : copy->destination_path, error);
    }
    if (!copy->failed) {
        size_t length = (size_t)event->result;
        switch (block->stage) {
        case STAGE_READING:
            on_read(copy, block, &buffer, length);
            break;
        case STAGE_WRITING:
            copy->done += (int64_t)length;
            read_next(copy, block, &buffer);
            break;
        case STAGE_CHECKING:
            on_checked(copy, block, &buffer, length);
            break;
        }
    }
    kula_free(&buffer); /* empty, unless this block has nothing more to do */
}

typedef void (*start_fn)(struct copy *copy, struct block *block, kula_buf *buffer);

/* Sends every block on its way with `start`, and runs the ring until the last one is through. */
static bool run_pass(struct copy *copy, start_fn start, const char *verb)
{
    copy->next = 0;
    copy->done = 0;
    for (size_t i = 0; i < BLOCKS_IN_FLIGHT && !copy->failed; i++) {
        kula_buf buffer = kula_alloc(copy->ring, BLOCK_BYTES);
        if (!buffer) {
            fail(copy, "no memory to copy", copy->source_path, -ENOMEM);
            break;
        }
        start(copy, &copy->blocks[i], &buffer);
        kula_free(&buffer);
    }
    while (kula_outstanding(copy->ring) > 0) {
        int ready = kula_wait(copy->ring, KULA_FOREVER);
        if (ready < 0) {
            return fail(copy, "cannot wait while copying", copy->source_path, ready);
        }
        for (struct kula_event *event; (event = kula_next(copy->ring));) {
            on_event(copy, event);
        }
        show_progress(copy, verb);
    }
    return !copy->failed;
}

/* ---- What surrounds them -------------------------------------------------------------------- */

/* Waits for one operation when no other is under way. */
static int await(struct kula_ring *ring, kula_op op)
{
    if (op == 0) {
        return -ENOMEM;
    }
    for (;;) {
        int ready = kula_wait(ring, KULA_FOREVER);
        struct kula_event *event = ready < 0 ? NULL : kula_next(ring);
        if (ready < 0 || event) {
            return event ? event->result : ready;
        }
    }
}

/* Plain calls are fine where nothing is gained by overlapping them. O_NONBLOCK keeps a FIFO, which
 * is refused next, from holding up the open; it means nothing to a regular file. */
static bool open_files(struct copy *copy)
{
    copy->source = open(copy->source_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (copy->source < 0 || fstat(copy->source, &copy->before) < 0) {
        return fail(copy, "cannot open", copy->source_path, -errno);
    }
    if (!S_ISREG(copy->before.st_mode)) {
        return fail(copy, "not a regular file:", copy->source_path, 0);
    }
    struct stat there;
    if (stat(copy->destination_path, &there) == 0) {
        if (there.st_dev == copy->before.st_dev && there.st_ino == copy->before.st_ino) {
            return fail(copy, "source and destination are the same file:", copy->source_path,
                        0);
        }
        if (!S_ISREG(there.st_mode)) {
            return fail(copy, "not a regular file:", copy->destination_path, 0);
        }
    }
    size_t size = strlen(copy->destination_path) + sizeof ".part-XXXXXX";
    copy->part_path = malloc(size);
    if (!copy->part_path) {
        return fail(copy, "no memory to copy", copy->source_path, -ENOMEM);
    }
    snprintf(copy->part_path, size, "%s.part-XXXXXX", copy->destination_path);
    copy->part = mkstemp(copy->part_path);
    if (copy->part < 0) {
        int error = -errno;
        free(copy->part_path);
        copy->part_path = NULL;
        return fail(copy, "cannot create", copy->destination_path, error);
    }
    copy->sparse = (int64_t)copy->before.st_blocks * 512 < (int64_t)copy->before.st_size;
    return true;
}

/* The source may have changed under our hands: then the copy is a mixture, and worth nothing. */
static bool source_is_unchanged(struct copy *copy)
{
    struct stat after;
    if (fstat(copy->source, &after) < 0) {
        return fail(copy, "cannot examine", copy->source_path, -errno);
    }
    if (copy->highest != copy->end || copy->end < copy->before.st_size ||
        after.st_size != copy->before.st_size ||
        after.st_mtim.tv_sec != copy->before.st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != copy->before.st_mtim.tv_nsec) {
        return fail(copy, "changed while it was being copied:", copy->source_path, 0);
    }
    return true;
}

/* Gives the copy its length (it may end in a hole) and mode, and brings it to the disk. */
static bool settle(struct copy *copy)
{
    /* The set-user-ID bits stay behind: the copy may have another owner. */
    if (ftruncate(copy->part, (off_t)copy->end) < 0 ||
        fchmod(copy->part, copy->before.st_mode & 0777) < 0) {
        return fail(copy, "cannot complete", copy->destination_path, -errno);
    }
    int error = await(copy->ring, kula_fsync(copy->ring, copy->part, NULL));
    if (error < 0) {
        return fail(copy, "cannot write", copy->destination_path, error);
    }
    /* Clean pages can be dropped, so that the second pass reads what the disk has. */
    posix_fadvise(copy->part, 0, 0, POSIX_FADV_DONTNEED);
    return true;
}

/* Closes the copy, moves it into place and makes the move last. */
static bool publish(struct copy *copy)
{
    int error = await(copy->ring, kula_close_fd(copy->ring, copy->part, NULL));
    copy->part = -1;
    if (error < 0) {
        return fail(copy, "cannot close", copy->destination_path, error);
    }
    if (rename(copy->part_path, copy->destination_path) < 0) {
        return fail(copy, "cannot put in place", copy->destination_path, -errno);
    }
    char *slash = strrchr(copy->part_path, '/');
    if (slash) {
        slash[1] = '\0';
    }
    int directory = open(slash ? copy->part_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy->part_path);
    copy->part_path = NULL;
    if (directory < 0) {
        return fail(copy, "cannot open the directory of", copy->destination_path, -errno);
    }
    error = await(copy->ring, kula_fsync(copy->ring, directory, NULL));
    await(copy->ring, kula_close_fd(copy->ring, directory, NULL));
    /* Some file systems have nothing to do for a directory, and say so. */
    return error == 0 || error == -EINVAL ||
           fail(copy, "cannot sync the directory of", copy->destination_path, error);
}

static bool copy_file(struct copy *copy)
{
    return open_files(copy) && run_pass(copy, read_next, "copying") &&
           source_is_unchanged(copy) && settle(copy) &&
           run_pass(copy, check_next, "checking") && publish(copy);
}

static void clean_up(struct copy *copy)
{
    if (copy->part_path) {
        unlink(copy->part_path);
        free(copy->part_path);
    }
    /* The ring has used these descriptors, so it closes them: never under an operation. */
    if (copy->source >= 0) {
        await(copy->ring, kula_close_fd(copy->ring, copy->source, NULL));
    }
    if (copy->part >= 0) {
        await(copy->ring, kula_close_fd(copy->ring, copy->part, NULL));
    }
    free(copy->digests);
}

int main(int argc, char **argv)
{
    bool quiet = false;
    for (int option; (option = getopt(argc, argv, "q")) != -1;) {
        if (option != 'q') {
            return 2;
        }
        quiet = true;
    }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: %s [-q] SOURCE DESTINATION\n", argv[0]);
        return 2;
    }
    struct copy copy = {
        .source_path = argv[optind],
        .destination_path = argv[optind + 1],
        .source = -1,
        .part = -1,
        .end = INT64_MAX,
        .show_progress = !quiet && isatty(STDERR_FILENO),
    };
    int error = kula_open(NULL, &copy.ring);
    if (error < 0) {
        fprintf(stderr, "01_file_copy: kula_open: %s\n", kula_explain(error));
        return 1;
    }
    bool good = copy_file(&copy);
    if (good && copy.show_progress) {
        fputs("\r\033[K", stderr);
    }
    if (good && !quiet) {
        printf("%" PRId64 " bytes copied and checked (%s)\n", copy.end,
               kula_backend_name(copy.ring));
    }
    clean_up(&copy);
    error = kula_close(&copy.ring, KULA_FOREVER);
    return good && error == 0 ? 0 : 1;
}
