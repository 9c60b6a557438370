/* Many buffers in an array: filled, handed over one by one, brought home by index. */
#include <kula.h>

enum {
    COUNT = 16,
    SIZE = 4096
};

int read_blocks(struct kula_ring *ring, int fd, kula_buf blocks[COUNT]);
void free_blocks(kula_buf blocks[COUNT]);
long sum_blocks(struct kula_ring *ring, int fd);

void free_blocks(kula_buf blocks[COUNT])
{
    for (int i = 0; i < COUNT; i++) {
        kula_free(&blocks[i]);
    }
}

static int bring_home(struct kula_ring *ring, kula_buf blocks[COUNT], int32_t lengths[COUNT])
{
    while (kula_outstanding(ring) > 0) {
        int ready = kula_wait(ring, KULA_FOREVER);
        if (ready < 0) {
            return ready;
        }
        for (struct kula_event *event; (event = kula_next(ring));) {
            size_t index = (size_t)(uintptr_t)event->user;
            lengths[index] = event->result;
            kula_free(&blocks[index]);
            blocks[index] = kula_take(event);
        }
    }
    return 0;
}

int read_blocks(struct kula_ring *ring, int fd, kula_buf blocks[COUNT])
{
    int32_t lengths[COUNT] = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        if (!blocks[i]) {
            blocks[i] = kula_alloc(ring, SIZE);
        }
        if (!blocks[i]) {
            return -1;
        }
        kula_read(ring, fd, &blocks[i], SIZE, (int64_t)i * SIZE, (void *)(uintptr_t)i);
    }
    return bring_home(ring, blocks, lengths);
}

long sum_blocks(struct kula_ring *ring, int fd)
{
    kula_buf blocks[COUNT] = { NULL };
    long sum = read_blocks(ring, fd, blocks);
    for (int i = 0; i < COUNT && sum >= 0; i++) {
        if (blocks[i]) {
            sum += kula_bytes(blocks[i])[0];
        }
    }
    free_blocks(blocks);
    return sum;
}
