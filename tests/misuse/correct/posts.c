/* Two threads pass buffers to each other, hand to hand. */
#include <kula.h>

#include <pthread.h>
#include <stdatomic.h>

struct stage {
    pthread_t thread;
    struct kula_ring *ring;
    _Atomic(struct kula_ring *) next;
    int fd;
    unsigned passed;
};

int pipeline_run(struct stage *first, struct stage *second, int count);

/* A message without a buffer means that there will be no more. */
static int handle(struct stage *stage, struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (!(event->flags & KULA_EVENT_MESSAGE)) {
        kula_free(&buffer);
        return 1;
    }
    if (!buffer) {
        return 0;
    }
    kula_bytes(buffer)[0]++;
    struct kula_ring *next = atomic_load(&stage->next);
    if (next) {
        kula_post(next, &buffer, event->result + 1, NULL);
    } else {
        kula_write(stage->ring, stage->fd, &buffer, kula_capacity(buffer), KULA_CUR, stage);
    }
    stage->passed++;
    return 1;
}

static void *serve(void *arg)
{
    struct stage *stage = arg;
    int running = 1;
    while (running && kula_wait(stage->ring, KULA_FOREVER) >= 0) {
        for (struct kula_event *event; running && (event = kula_next(stage->ring));) {
            running = handle(stage, event);
        }
    }
    kula_close(&stage->ring, KULA_FOREVER);
    return NULL;
}

int pipeline_run(struct stage *first, struct stage *second, int count)
{
    if (pthread_create(&second->thread, NULL, serve, second) != 0) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        kula_buf buffer = kula_alloc(first->ring, 64);
        if (!buffer) {
            break;
        }
        kula_bytes(buffer)[0] = 0;
        kula_post(second->ring, &buffer, i, first);
    }
    kula_post(second->ring, NULL, 0, NULL);
    return pthread_join(second->thread, NULL);
}
