/* Several buffers in one call, and back again one by one; a buffer in parts, and whole again. */
#include <kula.h>

#include <string.h>

enum {
    PARTS = 4
};

int gather(struct kula_ring *ring, int fd, kula_buf parts[PARTS]);
long scatter(struct kula_ring *ring, int fd);
int fill_halves(struct kula_ring *ring, int fd, kula_buf *buffer);

int gather(struct kula_ring *ring, int fd, kula_buf parts[PARTS])
{
    kula_vec vec = kula_vec_new(ring);
    if (!vec) {
        return -1;
    }
    for (int i = 0; i < PARTS; i++) {
        if (parts[i]) {
            size_t length = kula_capacity(parts[i]);
            kula_vec_add(vec, &parts[i], length);
        }
    }
    if (kula_vec_count(vec) == 0) {
        kula_vec_free(&vec);
        return 0;
    }
    kula_writev(ring, fd, &vec, KULA_CUR, NULL);
    struct kula_event *event = kula_wait(ring, KULA_FOREVER) > 0 ? kula_next(ring) : NULL;
    if (!event) {
        return -1;
    }
    int result = event->result;
    kula_buf back;
    for (int i = 0; i < PARTS && (back = kula_take(event)); i++) {
        kula_free(&parts[i]);
        parts[i] = back;
    }
    return result;
}

long scatter(struct kula_ring *ring, int fd)
{
    kula_vec vec = kula_vec_new(ring);
    for (int i = 0; vec && i < PARTS; i++) {
        kula_buf part = kula_alloc(ring, 128);
        if (!part) {
            kula_vec_free(&vec);
            return -1;
        }
        kula_vec_add(vec, &part, 128);
    }
    if (!vec) {
        return -1;
    }
    kula_readv(ring, fd, &vec, 0, NULL);
    long sum = 0;
    while (kula_wait(ring, KULA_FOREVER) > 0) {
        struct kula_event *event = kula_next(ring);
        if (!event) {
            continue;
        }
        kula_buf part;
        while ((part = kula_take(event))) {
            sum += kula_bytes(part)[0];
            kula_free(&part);
        }
        break;
    }
    return sum;
}

/* Two reads into one buffer at a time. */
int fill_halves(struct kula_ring *ring, int fd, kula_buf *buffer)
{
    size_t half = kula_capacity(*buffer) / 2;
    kula_buf second = kula_split(*buffer, half);
    if (!second) {
        return -1;
    }
    kula_read(ring, fd, buffer, half, 0, buffer);
    kula_read(ring, fd, &second, half, (int64_t)half, &second);
    int left = 2;
    while (left > 0 && kula_wait(ring, KULA_FOREVER) >= 0) {
        for (struct kula_event *event; (event = kula_next(ring)); left--) {
            kula_buf *home = event->user;
            *home = kula_take(event);
        }
    }
    int error = *buffer && second ? kula_join(*buffer, &second) : -1;
    kula_free(&second);
    return error;
}
