/* A file copy with several blocks in flight: a block is read, and written from the same buffer. */
#include <kula.h>

#include <errno.h>
#include <stdbool.h>

enum {
    BLOCKS = 8,
    BLOCK_BYTES = 65536
};

struct block {
    int64_t offset;
    bool writing;
};

struct copy {
    struct kula_ring *ring;
    int from;
    int to;
    int64_t next;
    bool ended;
    int error;
    struct block blocks[BLOCKS];
};

int copy_file(struct kula_ring *ring, int from, int to);

static void read_block(struct copy *copy, struct block *block, kula_buf buffer)
{
    if (copy->ended || copy->error < 0) {
        kula_free(&buffer);
        return;
    }
    block->writing = false;
    block->offset = copy->next;
    copy->next += BLOCK_BYTES;
    kula_op op = kula_read(copy->ring, copy->from, &buffer, BLOCK_BYTES, block->offset, block);
    kula_option(copy->ring, op, KULA_FULL);
}

static void advance(struct copy *copy, struct kula_event *event)
{
    struct block *block = event->user;
    kula_buf buffer = kula_take(event);
    if (event->result < 0 || !buffer) {
        copy->error = event->result < 0 ? event->result : -EIO;
        kula_free(&buffer);
        return;
    }
    if (block->writing) {
        read_block(copy, block, buffer);
        return;
    }
    if (event->result < BLOCK_BYTES) {
        copy->ended = true;
    }
    if (event->result == 0) {
        kula_free(&buffer);
        return;
    }
    block->writing = true;
    size_t length = (size_t)event->result;
    kula_op op = kula_write(copy->ring, copy->to, &buffer, length, block->offset, block);
    kula_option(copy->ring, op, KULA_FULL);
}

int copy_file(struct kula_ring *ring, int from, int to)
{
    struct copy copy = { .ring = ring, .from = from, .to = to };
    for (int i = 0; i < BLOCKS; i++) {
        kula_buf buffer = kula_alloc(ring, BLOCK_BYTES);
        if (!buffer) {
            copy.error = -ENOMEM;
            break;
        }
        read_block(&copy, &copy.blocks[i], buffer);
    }
    while (kula_outstanding(ring) > 0) {
        int ready = kula_wait(ring, KULA_FOREVER);
        if (ready < 0) {
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(ring));) {
            advance(&copy, event);
        }
    }
    return copy.error;
}
