/* Buffers that go out and in through pointers, and helpers that sometimes hand over. */
#include <kula.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int make(struct kula_ring *ring, size_t size, kula_buf *ret_buffer);
int make_pair(struct kula_ring *ring, kula_buf *ret_one, kula_buf *ret_other);
bool flush(struct kula_ring *ring, int fd, kula_buf *buffer, size_t length);
void log_line(struct kula_ring *ring, int fd, kula_buf *line, size_t *length, const char *text);
kula_buf replace(kula_buf *place, kula_buf with);
kula_buf larger(struct kula_ring *ring, kula_buf old, size_t size);

int make(struct kula_ring *ring, size_t size, kula_buf *ret_buffer)
{
    kula_buf buffer = kula_alloc(ring, size);
    if (!buffer) {
        return -ENOMEM;
    }
    memset(kula_bytes(buffer), 0, size);
    *ret_buffer = buffer;
    return 0;
}

int make_pair(struct kula_ring *ring, kula_buf *ret_one, kula_buf *ret_other)
{
    kula_buf one = NULL;
    kula_buf other = NULL;
    int error = make(ring, 64, &one);
    if (error == 0) {
        error = make(ring, 128, &other);
    }
    if (error < 0) {
        kula_free(&one);
        return error;
    }
    *ret_one = one;
    *ret_other = other;
    return 0;
}

/* Hands over only what is worth it; the handle tells which. */
bool flush(struct kula_ring *ring, int fd, kula_buf *buffer, size_t length)
{
    if (length < 32) {
        return false;
    }
    kula_write(ring, fd, buffer, length, KULA_CUR, NULL);
    return true;
}

void log_line(struct kula_ring *ring, int fd, kula_buf *line, size_t *length, const char *text)
{
    size_t more = strlen(text);
    if (*line && *length + more > kula_capacity(*line)) {
        flush(ring, fd, line, *length);
        kula_free(line);
    }
    if (!*line) {
        *line = kula_alloc(ring, 4096);
        *length = 0;
    }
    if (*line && more <= kula_capacity(*line)) {
        memcpy(kula_bytes(*line) + *length, text, more);
        *length += more;
        if (flush(ring, fd, line, *length)) {
            *length = 0;
        }
    }
}

kula_buf replace(kula_buf *place, kula_buf with)
{
    kula_buf old = *place;
    *place = with;
    return old;
}

/* Takes a buffer and gives a larger one; the old one is gone either way. */
kula_buf larger(struct kula_ring *ring, kula_buf old, size_t size)
{
    kula_buf grown = kula_alloc(ring, size);
    if (grown && old) {
        memcpy(kula_bytes(grown), kula_bytes(old), kula_capacity(old));
    }
    kula_free(&old);
    return grown;
}
