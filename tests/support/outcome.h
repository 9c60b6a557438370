/* support/outcome.h - what became of one operation.
 *
 * A test passes the address of an outcome as `user`. Whoever pulls events then knows where each
 * belongs, takes its buffer, and notices a second final event, an event for another operation and
 * an event that brings more than one buffer.
 */
#ifndef KULA_TESTS_OUTCOME_H
#define KULA_TESTS_OUTCOME_H

#include "harness.h"

#include <sys/socket.h>

struct outcome {
    kula_op op; /* set by the test when it wants the event's op to be checked */
    int32_t result;
    int32_t error;
    uint32_t flags;
    unsigned events;  /* final events seen: never more than one */
    unsigned buffers; /* buffers that came with them */
    unsigned place;   /* the how-manieth event of this thread it was */
    kula_buf buffer;  /* the first buffer */
    kula_buf *more; /* where the buffers go from the first on, when the test expects several */
    unsigned more_max;
    bool keeps_ref; /* the test wants the reference that comes; else it goes with the event */
    kula_ref ref;
    struct kula_stat stat;
    struct sockaddr_storage address;
    uint32_t address_length;
};

/* Takes what an event brought into its outcome. An event without `user` gives its buffer back. */
void outcome_store(struct kula_event *event);

/* Waits once and pulls everything; returns how many events there were. */
unsigned pump(struct kula_ring *ring, int64_t timeout_ns);

/* Waits until an outcome has its event, or until nothing is outstanding. */
void await(struct kula_ring *ring, const struct outcome *outcome);
void await_all(struct kula_ring *ring);

/* Waits until `count` events in all have been pulled. */
void await_count(struct kula_ring *ring, unsigned count);

/* Pumps for a while and checks that the outcome stays open. */
void assert_pending(struct kula_ring *ring, const struct outcome *outcome);

/* A buffer that holds a text (without its terminating zero), or `size` bytes of a pattern. */
kula_buf buffer_text(struct kula_ring *ring, const char *text);
kula_buf buffer_pattern(struct kula_ring *ring, size_t size, unsigned seed);
kula_buf buffer_empty(struct kula_ring *ring, size_t size);
unsigned char pattern_byte(size_t index, unsigned seed);

/* A copy of a handle that no compiler can follow, for tests of what run time refuses. */
kula_buf alias_of(kula_buf buffer);
kula_ref ref_alias_of(kula_ref ref);

/* Fails unless an outcome carries exactly one buffer, then frees it. */
#define outcome_release(outcome) outcome_release_at(outcome, __FILE__, __LINE__)
void outcome_release_at(struct outcome *outcome, const char *file, int line);

/* The result was `text` exactly, and the buffer came back with it. */
#define assert_read_text(outcome, text) assert_read_text_at(outcome, text, __FILE__, __LINE__)
void assert_read_text_at(const struct outcome *outcome,
                         const char *text,
                         const char *file,
                         int line);

#endif
