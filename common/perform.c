#include "perform.h"

#include "block.h"
#include "calls.h"
#include "system.h"
#include "workers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sys/syscall.h>
#    include <sys/sysmacros.h>
#endif

#if !defined O_LARGEFILE
#    define O_LARGEFILE 0
#endif

/* Longest pause between two looks at something that no poll event tells of. */
#define NAP_MAX_NS (16 * KULA_MILLISECOND)

/* Waits until the operation's descriptor, which is non-blocking for the program, is ready. */
static int32_t wait_until_ready(const struct kula__slot *slot)
{
    int32_t events = kula__call_poll(slot->fd, kula__wanted(slot), -1);
    return events < 0 ? events : 0;
}

static bool is_socket(enum kula__fd_kind kind)
{
    return kind == KULA__FD_STREAM || kind == KULA__FD_DATAGRAM;
}

/* ---- Transfers ---- */

static int32_t receive(struct kula__slot *slot, int flags)
{
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    int32_t result;
    do {
        result = kula__call_receive(slot->fd, &span, flags);
    } while (result == -EAGAIN && (result = wait_until_ready(slot)) == 0);
    return result;
}

static int32_t send_off(struct kula__slot *slot, int flags)
{
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    int32_t result;
    do {
        result = kula__call_send(slot->fd, &span, flags);
    } while (result == -EAGAIN && (result = wait_until_ready(slot)) == 0);
    return result;
}

static int32_t perform_read(struct kula__slot *slot, enum kula__fd_kind kind)
{
    if (is_socket(kind)) {
        return receive(slot, 0);
    }
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    int32_t result;
    do {
        result = kula__call_read(slot->fd, &span, slot->offset);
    } while (result == -EAGAIN && (result = wait_until_ready(slot)) == 0);
    return result;
}

static int32_t perform_write(struct kula__slot *slot, enum kula__fd_kind kind)
{
    if (is_socket(kind)) {
        return send_off(slot, 0);
    }
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    struct kula__quiet quiet;
    int32_t result;
    kula__quiet_begin(&quiet);
    do {
        result = kula__call_write(slot->fd, &span, slot->offset);
    } while (result == -EAGAIN && (result = wait_until_ready(slot)) == 0);
    kula__quiet_end(&quiet, result < 0 || (uint64_t)result < kula__span_bytes(&span));
    return result;
}

static int32_t perform_readv(struct kula__slot *slot, enum kula__fd_kind kind)
{
    return perform_read(slot, kind);
}

static int32_t perform_writev(struct kula__slot *slot, enum kula__fd_kind kind)
{
    return perform_write(slot, kind);
}

static int32_t perform_recv(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    return receive(slot, (int)slot->opflags);
}

static int32_t perform_send(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    return send_off(slot, (int)slot->opflags);
}

/* ---- Sockets ---- */

static int32_t perform_socket(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t error = kula__fault("socket", EMFILE);
    if (error) {
        return error;
    }
    int type = (int)slot->opflags;
#if defined __linux__ && !defined KULA_NO_LINUX
    type |= SOCK_CLOEXEC;
#endif
    int fd = socket((int)slot->length, type, (int)slot->offset);
    if (fd < 0) {
        return -errno;
    }
#if !defined __linux__ || defined KULA_NO_LINUX
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
#endif
    return fd;
}

static int32_t perform_bind(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    const struct kula__address_block *block = kula__cold_of(slot)->block;
    int32_t error = kula__fault("bind", EADDRINUSE);
    if (error) {
        return error;
    }
    const struct sockaddr *address = (const struct sockaddr *)&block->address;
    return bind(slot->fd, address, (socklen_t)slot->length) < 0 ? -errno : 0;
}

static int32_t perform_listen(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t error = kula__fault("listen", EADDRINUSE);
    if (error) {
        return error;
    }
    return listen(slot->fd, (int)slot->opflags) < 0 ? -errno : 0;
}

static int32_t perform_accept(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t result;
    do {
        result = kula__call_accept(slot);
    } while (result == -EAGAIN && (result = wait_until_ready(slot)) == 0);
    return result;
}

/* A listener on a Unix socket whose backlog is full: poll(2) calls the connecting socket writable at once
 * (6.18), so that there is nothing to wait for but time. Not inside connect(2), where no cancel would reach
 * it. */
static int32_t perform_connect(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int64_t nap_ns = KULA_MILLISECOND;
    int32_t result = kula__call_connect_at_once(slot);
    while (result == -EAGAIN) {
        /* relaxed: it is asked again soon */
        if (atomic_load_explicit(&kula__cold_of(slot)->stop, memory_order_relaxed)) {
            return -ECANCELED;
        }
        (void)kula__sys_poll(NULL, 0, nap_ns);
        nap_ns = nap_ns < NAP_MAX_NS ? nap_ns * 2 : NAP_MAX_NS;
        result = kula__call_connect_at_once(slot);
    }
    if (result == -EINPROGRESS || result == -EALREADY || result == -EINTR) {
        result = wait_until_ready(slot);
        return result < 0 ? result : kula__call_connected(slot->fd);
    }
    return result;
}

static int32_t perform_shutdown(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t error = kula__fault("shutdown", ENOTCONN);
    if (error) {
        return error;
    }
    return shutdown(slot->fd, (int)slot->opflags) < 0 ? -errno : 0;
}

static int32_t perform_poll(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t events = kula__call_poll(slot->fd, kula__wanted(slot), -1);
    return events > 0 && (events & POLLNVAL) ? -EBADF : events;
}

/* ---- Files ---- */

bool kula__open_waits(const struct kula__slot *slot)
{
    const struct kula__path_block *block = kula__cold_of(slot)->block;
    int flags = (int)slot->opflags;
    if ((flags & O_NONBLOCK) || (flags & O_ACCMODE) == O_RDWR) {
        return false;
    }
    struct stat status;
    int follow = flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
    /* where this cannot be asked the open fails at once, as a rule */
    return kula__fault("fstatat", ENOMEM) == 0 &&
           fstatat(slot->fd, block->path, &status, follow) == 0 && S_ISFIFO(status.st_mode);
}

static int32_t perform_openat(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    const struct kula__path_block *block = kula__cold_of(slot)->block;
    int32_t error = kula__fault("openat", EMFILE);
    if (error) {
        return error;
    }
    int flags = (int)slot->opflags | O_CLOEXEC | O_LARGEFILE;
    int fd;
    do {
        fd = openat(slot->fd, block->path, flags, (mode_t)slot->length);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int32_t perform_close_fd(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    return kula__sys_close(slot->fd);
}

static int32_t perform_fsync(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t result = kula__fault("fsync", EIO);
    if (result) {
        return result;
    }
    do {
        result = fsync(slot->fd) < 0 ? -errno : 0;
    } while (result == -EINTR);
    return result;
}

static int32_t perform_fdatasync(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t result = kula__fault("fdatasync", EIO);
    if (result) {
        return result;
    }
    do {
        result = fdatasync(slot->fd) < 0 ? -errno : 0;
    } while (result == -EINTR);
    return result;
}

/* A file's time may be what somebody has set it to. */
static int64_t nanoseconds(int64_t seconds, int64_t nanoseconds_more)
{
    if (seconds > INT64_MAX / KULA_SECOND - 1) {
        return INT64_MAX;
    }
    if (seconds < INT64_MIN / KULA_SECOND + 1) {
        return INT64_MIN;
    }
    return seconds * KULA_SECOND + nanoseconds_more;
}

static void convert_plain(struct kula_stat *ret_stat, const struct stat *plain)
{
    *ret_stat = (struct kula_stat){
        .size_bytes = (uint64_t)plain->st_size,
        .inode = (uint64_t)plain->st_ino,
        .blocks_512 = (uint64_t)plain->st_blocks,
        .device = (uint64_t)plain->st_dev,
        .special = (uint64_t)plain->st_rdev,
        .accessed_ns = nanoseconds(plain->st_atim.tv_sec, plain->st_atim.tv_nsec),
        .modified_ns = nanoseconds(plain->st_mtim.tv_sec, plain->st_mtim.tv_nsec),
        .changed_ns = nanoseconds(plain->st_ctim.tv_sec, plain->st_ctim.tv_nsec),
        .mode = (uint32_t)plain->st_mode,
        .links = (uint32_t)plain->st_nlink,
        .uid = (uint32_t)plain->st_uid,
        .gid = (uint32_t)plain->st_gid,
        .block_bytes = (uint32_t)plain->st_blksize,
    };
}

static int32_t stat_plainly(const struct kula__slot *slot, struct kula__stat_block *block)
{
    struct stat plain;
    int result;
    int flags = (int)slot->opflags;
#if defined AT_EMPTY_PATH && (!defined __linux__ || defined KULA_NO_LINUX)
    if ((flags & AT_EMPTY_PATH) && block->path.path[0] == '\0') {
        result = fstat(slot->fd, &plain);
    } else {
        result = fstatat(slot->fd, block->path.path, &plain, flags & ~AT_EMPTY_PATH);
    }
#else
    result = fstatat(slot->fd, block->path.path, &plain, flags);
#endif
    if (result < 0) {
        return -errno;
    }
    convert_plain(&block->stat, &plain);
    return 0;
}

#if defined __linux__ && !defined KULA_NO_LINUX

void kula__stat_convert(struct kula__slot *slot)
{
    struct kula__stat_block *block = kula__cold_of(slot)->block;
    const struct statx *raw = &block->raw;
    block->stat = (struct kula_stat){
        .size_bytes = raw->stx_size,
        .inode = raw->stx_ino,
        .blocks_512 = raw->stx_blocks,
        .device = makedev(raw->stx_dev_major, raw->stx_dev_minor),
        .special = makedev(raw->stx_rdev_major, raw->stx_rdev_minor),
        .accessed_ns = nanoseconds(raw->stx_atime.tv_sec, raw->stx_atime.tv_nsec),
        .modified_ns = nanoseconds(raw->stx_mtime.tv_sec, raw->stx_mtime.tv_nsec),
        .changed_ns = nanoseconds(raw->stx_ctime.tv_sec, raw->stx_ctime.tv_nsec),
        .born_ns = raw->stx_mask & STATX_BTIME
                       ? nanoseconds(raw->stx_btime.tv_sec, raw->stx_btime.tv_nsec)
                       : 0,
        .mode = raw->stx_mode,
        .links = raw->stx_nlink,
        .uid = raw->stx_uid,
        .gid = raw->stx_gid,
        .block_bytes = raw->stx_blksize,
    };
}

static int32_t perform_statx(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    struct kula__stat_block *block = kula__cold_of(slot)->block;
    int32_t error = kula__fault("statx", EACCES);
    if (error) {
        return error;
    }
    block->raw_filled = false;
    if (syscall(SYS_statx, slot->fd, block->path.path, (int)slot->opflags,
                STATX_BASIC_STATS | STATX_BTIME, &block->raw) == 0) {
        kula__stat_convert(slot);
        return 0;
    }
    /* Older container filters answer -EPERM to calls that they do not know; statx(2) itself has no
     * such error, and where it is meant for the file fstatat(2) gives it again. */
    return errno == ENOSYS || errno == EPERM ? stat_plainly(slot, block) : -errno;
}

#else

static int32_t perform_statx(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    int32_t error = kula__fault("fstatat", EACCES);
    return error ? error : stat_plainly(slot, kula__cold_of(slot)->block);
}

#endif

/* ---- Neither ---- */

static int32_t perform_nop(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)slot;
    (void)kind;
    return 0;
}

/* A timer's waiting is done in the heap. */
static int32_t perform_timer(struct kula__slot *slot, enum kula__fd_kind kind)
{
    return perform_nop(slot, kind);
}

static int32_t perform_offload(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)kind;
    return kula__call_offloaded(slot);
}

static int32_t perform_nothing(struct kula__slot *slot, enum kula__fd_kind kind)
{
    (void)slot;
    (void)kind;
    return -EINVAL;
}

static int32_t (*const performers[KULA__OP_COUNT])(struct kula__slot *slot,
                                                   enum kula__fd_kind kind) = {
    [KULA__OP_NONE] = perform_nothing,
#define X(NAME, name, transfer, readiness, result, class) [KULA__OP_##NAME] = perform_##name,
    KULA__OPERATIONS(X)
#undef X
};

int32_t kula__perform(struct kula__slot *slot, enum kula__fd_kind kind)
{
    return performers[slot->operation](slot, kind);
}
