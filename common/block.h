/* block.h - room for the arguments and results that are larger than a record.
 *
 * The kernel and the workers read names, paths and vectors from here, never from the program's
 * memory: they are copied before the call returns. Blocks come in four sizes and are kept by the ring
 * for reuse, so that a steady program allocates none.
 */
#ifndef KULA_COMMON_BLOCK_H
#define KULA_COMMON_BLOCK_H

#include "slot.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* POSIX has no such flag: there kula_statx on a descriptor itself is fstat(2), and this our number. */
#ifdef AT_EMPTY_PATH
#    define KULA__AT_EMPTY_PATH AT_EMPTY_PATH
#else
#    define KULA__AT_EMPTY_PATH 0x1000
#endif

struct kula_ring;

struct kula__address_block { /* accept, connect, bind */
    struct sockaddr_storage address;
    socklen_t length; /* accept: in 128, out the peer's */
};

struct kula__path_block { /* openat, and the head of statx */
    char *path;           /* points behind the struct, into the same block */
};

struct kula__stat_block { /* statx */
    struct kula__path_block path;
    struct kula_stat stat; /* the answer, filled before the operation is done */
#if defined __linux__ && !defined KULA_NO_LINUX
    struct statx raw; /* what the ring writes; finish turns it into stat */
    bool raw_filled;  /* set by the performer that already filled `stat` itself: false then */
#endif
};

/* readv, writev: the block is an array of slot->length struct iovec. */

/* A block of at least `bytes`, kept in cold->block with KULA__BLOCK set; NULL: no memory. */
void *kula__block_new(struct kula_ring *ring, struct kula__slot *slot, size_t bytes);
void kula__block_free(struct kula_ring *ring, struct kula__slot *slot);
void kula__blocks_fini(struct kula_ring *ring);

#endif
