/* watch.h - checked mode: following each buffer, to find what generations cannot see.
 *
 * A generation refuses a stale handle. It says nothing of a pointer that kula_bytes gave and that was
 * kept, of a byte written behind the end of a buffer, or of bytes that change while they are sent.
 * With any level on, kula_alloc gives buffers of kind SPECIAL with the trait WATCHED. The short
 * ways accept plain kinds only, so what follows costs those nothing.
 *
 *     kula__watch_take   a buffer out of the ring's pool, with room before and behind it;
 *     kula__watch_place  or out of a kula_pool
 *     kula__watch_away   it is handed over: canaries, checksum, hidden from the program
 *     kula__watch_home   it comes back: the same, and what the kernel has written is known
 *     kula__watch_end    its memory is free; kula__watch_rest: hidden until it is given out again
 *
 * With the levels GUARD and VALGRIND the memory is mapped twice. slot->data is the address that kernel
 * and workers use, and never hidden; the program has the other one, cold->alias bytes further.
 */
#ifndef KULA_COMMON_WATCH_H
#define KULA_COMMON_WATCH_H

#include "instruments.h"
#include "slot.h"

struct kula__pool;
struct kula__settings;

enum kula__watch_level {
    KULA__WATCH_OWNERSHIP = 1 << 0, /* who had it last, and where in the program */
    KULA__WATCH_CANARY = 1 << 1,    /* bytes before and behind it */
    KULA__WATCH_CHECKSUM = 1 << 2,  /* of what is being written or sent */
    KULA__WATCH_GUARD = 1 << 3,     /* pages that the program cannot touch */
    KULA__WATCH_SANITIZER = 1 << 4, /* the library is built with one */
    KULA__WATCH_VALGRIND = 1 << 5,  /* it is built for valgrind, and runs under it */
};

extern atomic_uint kula__watch_levels;

/* relaxed: it is written before the first ring is there, and never again */
static inline unsigned kula__watching(void)
{
    return atomic_load_explicit(&kula__watch_levels, memory_order_relaxed);
}

/* The levels that a word of KULA_DEBUG asks for; 0: it is no level. */
unsigned kula__watch_level(const char *word);

/* Called by each kula_open; the first one of the process decides. */
void kula__watch_start(const struct kula__settings *settings, unsigned levels);

/* Keep the decision still while fork() copies it. */
void kula__watch_lock(void);
void kula__watch_unlock(void);

/* Where in the program the by-value half of a public call was called. Only in that function itself, so that
 * it is no address of ours. */
#define KULA__PLACE __builtin_return_address(0)

/* "kula_read" and so on. The text is static. */
const char *kula__operation_function(enum kula__operation operation);

/* As kula__pool_take, for kula_alloc; `paged`: aligned to 4096, else to 64. */
struct kula__slot *kula__watch_take(struct kula__pool *pool, size_t size_bytes, bool paged);

/* How many bytes the memory of such a buffer has, and how many of them are before it: 0 without a level
 * that looks there. */
size_t kula__watch_lay_out(size_t size_bytes, bool paged, uint32_t *ret_front);

/* Makes a buffer of a record with memory that is laid out in this way: data, capacity and its other traits
 * are set. False, and nothing has changed that matters: the program could not touch it. */
bool kula__watch_place(struct kula__slot *slot, uint32_t front);

/* Follows a buffer whose memory came in another way: the program's own, or a region of its own. Its
 * surroundings are left alone. `undefined`: so is what it holds. */
void kula__watch_adopt(struct kula__slot *slot, bool undefined);

/* `slot` leaves the program by a call of `function` at `place`. All kinds may be passed. */
void kula__watch_away(struct kula__slot *slot,
                      enum kula__transfer transfer,
                      const char *function,
                      const void *place);

/* It becomes the member of a vec; and then the vec is handed over to an operation. */
void kula__watch_away_in_vec(struct kula__slot *member,
                             const char *function,
                             const void *place);
void kula__watch_vec(struct kula__slot *vec, enum kula__operation operation, const void *place);

/* `child` shares the memory of `parent`, as a part or a reference. */
void kula__watch_share(const struct kula__slot *parent, struct kula__slot *child);

/* A buffer, exclusive before and after, whose memory nobody may write in between. */
void kula__watch_freeze(struct kula__slot *slot, const char *function, const void *place);
void kula__watch_thaw(struct kula__slot *slot, const char *function, const void *place);

/* The bytes of a part belong to its neighbour from here on. */
void kula__watch_join(struct kula__slot *part);

/* `slot` goes back to the program out of an event; `member` out of the vec in it. */
void kula__watch_home(struct kula__slot *slot);
void kula__watch_home_member(struct kula__slot *vec, struct kula__slot *member);

/* Remembers who gives up the handle of `slot`. */
void kula__watch_note(struct kula__slot *slot, const char *function, const void *place);

/* The handle of `slot` is given up. Parts of the memory may live on with other handles. */
void kula__watch_leave(struct kula__slot *slot);

/* No handle is left for the memory of `slot`, which goes back to where it came from; and when nobody of
 * the library has to touch it any more either. */
void kula__watch_end(struct kula__slot *slot);
void kula__watch_rest(struct kula__slot *slot);

/* What misuse.c prints: the function that had the record last, or NULL, and the place. Thread: any. */
const char *kula__watch_last(const struct kula__slot *slot, const void **ret_place);

/* Pages for buffers, and their other mapping's distance; `alias` is 0 for those without one. */
unsigned char *kula__watch_pages_new(size_t bytes, ptrdiff_t *ret_alias);
/* Those that are mapped twice. 0 or a negative errno. */
int kula__watch_pages_twice(size_t bytes, unsigned char **ret_pages, ptrdiff_t *ret_alias);
void kula__watch_pages_free(unsigned char *pages, size_t bytes, ptrdiff_t alias);

#endif
