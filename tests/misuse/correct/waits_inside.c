/* The struct that an operation names as its user has its buffer again when the loop has run: somebody
 * else put it there. */
#include <kula.h>

#include <stdbool.h>

struct request {
    kula_buf buffer;
    int32_t result;
    bool over;
};

void run(struct kula_ring *ring);
int receive_and_look(struct kula_ring *ring, int fd, struct request *request);
int receive_into_a_variable(struct kula_ring *ring, int fd);
int receive_into_a_local_struct(struct kula_ring *ring, int fd);

int receive_and_look(struct kula_ring *ring, int fd, struct request *request)
{
    kula_recv(ring, fd, &request->buffer, 64, 0, request);
    while (kula_outstanding(ring) > 0) {
        run(ring);
    }
    return request->result > 0 ? kula_bytes(request->buffer)[0] : -1;
}

/* Its handler stores the buffer where `user` points to. */
int receive_into_a_variable(struct kula_ring *ring, int fd)
{
    kula_buf buffer = kula_alloc(ring, 64);
    if (!buffer) {
        return -1;
    }
    kula_recv(ring, fd, &buffer, 64, 0, &buffer);
    while (kula_outstanding(ring) > 0) {
        run(ring);
    }
    int first = kula_bytes(buffer)[0];
    kula_free(&buffer);
    return first;
}

int receive_into_a_local_struct(struct kula_ring *ring, int fd)
{
    struct request request = { .buffer = kula_alloc(ring, 64) };
    if (!request.buffer) {
        return -1;
    }
    kula_op op = kula_recv(ring, fd, &request.buffer, 64, 0, &request);
    kula_deadline(ring, op, KULA_SECOND);
    run(ring);
    int first = request.over ? kula_bytes(request.buffer)[0] : -1;
    kula_free(&request.buffer);
    return first;
}
