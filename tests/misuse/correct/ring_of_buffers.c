/* A queue that buffers enter at one end and leave at the other, by value, without ever being in two
 * places: the slot is emptied when its buffer goes. */
#include <kula.h>

enum {
    CAPACITY = 8
};

struct queue {
    kula_buf slots[CAPACITY];
    unsigned head;
    unsigned tail;
};

int queue_put(struct queue *queue, kula_buf *buffer);
kula_buf queue_get(struct queue *queue);
int send_all(struct kula_ring *ring, int fd, struct queue *queue);
void fill(struct kula_ring *ring, struct queue *queue);

int queue_put(struct queue *queue, kula_buf *buffer)
{
    if (queue->tail - queue->head == CAPACITY) {
        return -1;
    }
    queue->slots[queue->tail++ % CAPACITY] = *buffer;
    *buffer = NULL;
    return 0;
}

kula_buf queue_get(struct queue *queue)
{
    if (queue->tail == queue->head) {
        return NULL;
    }
    kula_buf *slot = &queue->slots[queue->head++ % CAPACITY];
    kula_buf buffer = *slot;
    *slot = NULL;
    return buffer;
}

int send_all(struct kula_ring *ring, int fd, struct queue *queue)
{
    int sent = 0;
    for (kula_buf buffer; (buffer = queue_get(queue)); sent++) {
        kula_send(ring, fd, &buffer, kula_capacity(buffer), 0, NULL);
    }
    return sent;
}

void fill(struct kula_ring *ring, struct queue *queue)
{
    for (;;) {
        kula_buf buffer = kula_alloc(ring, 512);
        if (!buffer) {
            return;
        }
        kula_bytes(buffer)[0] = 1;
        if (queue_put(queue, &buffer) < 0) {
            kula_free(&buffer);
            return;
        }
    }
}
