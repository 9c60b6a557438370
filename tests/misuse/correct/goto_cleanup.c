/* One exit for every failure; what was handed over is NULL there, and freeing it is fine. */
#include <kula.h>

#include <errno.h>
#include <string.h>

int exchange(struct kula_ring *ring, int fd, const char *request, char *reply, size_t size);

static int32_t finish(struct kula_ring *ring, kula_buf *ret_buffer)
{
    int ready = kula_wait(ring, KULA_SECOND);
    struct kula_event *event = ready > 0 ? kula_next(ring) : NULL;
    if (!event) {
        return ready < 0 ? ready : -ETIME;
    }
    *ret_buffer = kula_take(event);
    return event->result;
}

int exchange(struct kula_ring *ring, int fd, const char *request, char *reply, size_t size)
{
    int32_t result = -ENOMEM;
    size_t length = strlen(request);
    kula_buf incoming = NULL;
    kula_buf outgoing = kula_alloc(ring, length);
    if (!outgoing) {
        goto out;
    }
    incoming = kula_alloc(ring, size);
    if (!incoming) {
        goto out;
    }
    memcpy(kula_bytes(outgoing), request, length);
    kula_send(ring, fd, &outgoing, length, 0, NULL);
    result = finish(ring, &outgoing);
    if (result < 0) {
        goto out;
    }
    kula_recv(ring, fd, &incoming, size, 0, NULL);
    result = finish(ring, &incoming);
    if (result > 0 && incoming) {
        memcpy(reply, kula_bytes(incoming), (size_t)result);
    }
out:
    kula_free(&incoming);
    kula_free(&outgoing);
    return result;
}
