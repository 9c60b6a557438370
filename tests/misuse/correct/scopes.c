/* Memory of the stack, lent for a call or for a block. */
#include <kula.h>

#include <stdint.h>
#include <string.h>

struct header {
    uint32_t magic;
    uint32_t length;
};

int32_t read_header(struct kula_ring *ring, int fd, struct header *ret_header);
int read_two(struct kula_ring *ring, int fd, unsigned char *body, size_t size);
int copy_and_keep(struct kula_ring *ring, int from, int to, kula_buf *ret_kept);

int32_t read_header(struct kula_ring *ring, int fd, struct header *ret_header)
{
    return kula_read_sync(ring, fd, ret_header, sizeof *ret_header, 0, KULA_FULL, KULA_SECOND);
}

int read_two(struct kula_ring *ring, int fd, unsigned char *body, size_t size)
{
    unsigned char head[16];
    struct kula_scope scope;
    int error = kula_scope_begin(ring, &scope);
    if (error < 0) {
        return error;
    }
    kula_scope_read(&scope, fd, head, sizeof head, 0, NULL);
    kula_scope_read(&scope, fd, body, size, sizeof head, NULL);
    error = kula_scope_end(&scope, KULA_SECOND);
    return error < 0 ? error : memcmp(head, body, sizeof head);
}

/* Lent and owned memory in one function. */
int copy_and_keep(struct kula_ring *ring, int from, int to, kula_buf *ret_kept)
{
    unsigned char bytes[256];
    kula_buf kept = kula_alloc(ring, sizeof bytes);
    if (!kept) {
        return -1;
    }
    int32_t length = kula_read_sync(ring, from, bytes, sizeof bytes, KULA_CUR, 0, KULA_FOREVER);
    if (length < 0) {
        kula_free(&kept);
        return length;
    }
    memcpy(kula_bytes(kept), bytes, (size_t)length);
    int32_t written =
        kula_write_sync(ring, to, bytes, (size_t)length, KULA_CUR, KULA_FULL, KULA_FOREVER);
    *ret_kept = kept;
    return written;
}
