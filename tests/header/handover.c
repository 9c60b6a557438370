/* Handing a buffer over costs nothing: each of these has to become the by-value call itself. */
#include <kula.h>

kula_op hand_over_read(struct kula_ring *ring, int fd, kula_buf *buffer, void *user);
kula_op hand_over_recv(struct kula_ring *ring, int fd, kula_buf buffer, void *user);
kula_op hand_over_writev(struct kula_ring *ring, int fd, kula_vec *vec, void *user);
void hand_over_free(kula_buf *buffer);
kula_op hand_over_write_ref(struct kula_ring *ring, int fd, kula_ref *ref, void *user);
kula_op hand_over_send_ref(struct kula_ring *ring, int fd, kula_ref ref, void *user);
int hand_over_post_ref(struct kula_ring *ring, kula_ref *ref, void *pointer);
void hand_over_drop(kula_ref *ref);
kula_ref hand_over_freeze(kula_buf *buffer);

kula_op hand_over_read(struct kula_ring *ring, int fd, kula_buf *buffer, void *user)
{
    return kula_read(ring, fd, buffer, 4096, 0, user);
}

kula_op hand_over_recv(struct kula_ring *ring, int fd, kula_buf buffer, void *user)
{
    return kula_recv(ring, fd, &buffer, 4096, 0, user);
}

kula_op hand_over_writev(struct kula_ring *ring, int fd, kula_vec *vec, void *user)
{
    return kula_writev(ring, fd, vec, KULA_CUR, user);
}

void hand_over_free(kula_buf *buffer)
{
    kula_free(buffer);
}

kula_op hand_over_write_ref(struct kula_ring *ring, int fd, kula_ref *ref, void *user)
{
    return kula_write(ring, fd, ref, 4096, 0, user);
}

kula_op hand_over_send_ref(struct kula_ring *ring, int fd, kula_ref ref, void *user)
{
    return kula_send(ring, fd, &ref, 4096, 0, user);
}

int hand_over_post_ref(struct kula_ring *ring, kula_ref *ref, void *pointer)
{
    return kula_post(ring, ref, 1, pointer);
}

void hand_over_drop(kula_ref *ref)
{
    kula_drop(ref);
}

kula_ref hand_over_freeze(kula_buf *buffer)
{
    return kula_freeze(buffer);
}
