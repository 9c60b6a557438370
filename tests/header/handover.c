/* Handing a buffer over costs nothing: each of these has to become the by-value call itself. */
#include <kula.h>

kula_op hand_over_read(struct kula_ring *ring, int fd, kula_buf *buffer, void *user);
kula_op hand_over_recv(struct kula_ring *ring, int fd, kula_buf buffer, void *user);
kula_op hand_over_writev(struct kula_ring *ring, int fd, kula_vec *vec, void *user);
void hand_over_free(kula_buf *buffer);

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
