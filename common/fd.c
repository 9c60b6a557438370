/* fd.c - the two-level table of descriptor records, and what a descriptor is. */
#include "fd.h"

#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct kula__fd_page *page_make(struct kula_ring *ring, uint32_t page)
{
    if (page >= ring->fd_page_count) {
        uint32_t count = ring->fd_page_count ? ring->fd_page_count : 8;
        while (count <= page) {
            count *= 2;
        }
        struct kula__fd_page **grown =
            kula__memory_resize(ring->fd_pages, count * sizeof(struct kula__fd_page *));
        if (!grown) {
            return NULL;
        }
        ring->fd_pages = grown;
        uint8_t *plain = kula__memory_resize(ring->fd_plain, (size_t)count * KULA__FD_PAGE);
        if (!plain) {
            return NULL;
        }
        ring->fd_plain = plain;
        uint32_t old = ring->fd_page_count;
        memset(grown + old, 0, (count - old) * sizeof(struct kula__fd_page *));
        memset(plain + (size_t)old * KULA__FD_PAGE, 0, (size_t)(count - old) * KULA__FD_PAGE);
        ring->fd_page_count = count;
        ring->fd_plain_count = ring->closing_down || ring->broken ? 0 : count * KULA__FD_PAGE;
    }
    struct kula__fd_page *made = kula__pages_new(sizeof *made, 0);
    if (!made) {
        return NULL;
    }
    made->close_slots = kula__chunk_take(ring);
    if (!made->close_slots) {
        kula__pages_free(made, sizeof *made);
        return NULL;
    }
    ring->fd_pages[page] = made;
    return made;
}

struct kula__fd *kula__fd_get(struct kula_ring *ring, int fd)
{
    uint32_t page = (uint32_t)fd / KULA__FD_PAGE;
    struct kula__fd_page *found = page < ring->fd_page_count ? ring->fd_pages[page] : NULL;
    if (kula__unlikely(!found) && kula__sys_is_open(fd)) {
        found = page_make(ring, page);
    }
    return kula__likely(found) ? &found->fds[(uint32_t)fd % KULA__FD_PAGE] : NULL;
}

int kula__fd_missing(int fd)
{
    return kula__sys_is_open(fd) ? -ENOMEM : -EBADF;
}

struct kula__fd *kula__fd_peek(const struct kula_ring *ring, int fd)
{
    uint32_t page = (uint32_t)fd / KULA__FD_PAGE;
    if (fd < 0 || page >= ring->fd_page_count || !ring->fd_pages[page]) {
        return NULL;
    }
    return &ring->fd_pages[page]->fds[(uint32_t)fd % KULA__FD_PAGE];
}

void kula__fds_fini(struct kula_ring *ring)
{
    for (uint32_t page = 0; page < ring->fd_page_count; page++) {
        if (ring->fd_pages[page]) {
            kula__chunk_return(ring->fd_pages[page]->close_slots);
            kula__pages_free(ring->fd_pages[page], sizeof *ring->fd_pages[page]);
        }
    }
    kula__memory_free(ring->fd_pages);
    kula__memory_free(ring->fd_plain);
    ring->fd_pages = NULL;
    ring->fd_plain = NULL;
    ring->fd_plain_count = 0;
    ring->fd_page_count = 0;
}

void kula__fd_note(struct kula_ring *ring, const struct kula__fd *record, int fd)
{
    ring->fd_plain[fd] = record->kind == KULA__FD_FILE && record->closing == KULA__FD_OPEN;
}

/* KULA__FD_STREAM, KULA__FD_DATAGRAM or a negative errno. */
static int socket_kind(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;
    int error = kula__fault("getsockopt", ENOMEM);
    if (error < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) {
        return error < 0 ? error : -errno;
    }
    return type == SOCK_STREAM ? KULA__FD_STREAM : KULA__FD_DATAGRAM;
}

int kula__fd_classify(struct kula_ring *ring, struct kula__fd *record, int fd)
{
    struct stat status;
    int error = kula__fault("fstat", ENOMEM);
    if (error < 0 || fstat(fd, &status) < 0) {
        return error < 0 ? error : -errno;
    }
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) {
        record->kind = KULA__FD_FILE;
    } else if (S_ISDIR(status.st_mode)) {
        record->kind = KULA__FD_DIRECTORY;
    } else if (S_ISFIFO(status.st_mode)) {
        record->kind = KULA__FD_PIPE;
    } else if (S_ISSOCK(status.st_mode)) {
        int kind = socket_kind(fd);
        if (kind < 0) {
            return kind; /* to be asked again */
        }
        record->kind = (uint8_t)kind;
    } else {
        /* Character devices: /dev/null and /dev/zero have positions and never wait; a tty has none.
         * An eventfd has no type at all, and answers to lseek although it has no positions. */
        bool device = S_ISCHR(status.st_mode);
        bool seekable =
            device && kula__fault("lseek", ESPIPE) == 0 && lseek(fd, 0, SEEK_CUR) >= 0;
        record->kind = seekable ? KULA__FD_FILE : device ? KULA__FD_TERMINAL : KULA__FD_OTHER;
    }
    kula__fd_note(ring, record, fd);
    return 0;
}
