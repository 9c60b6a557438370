#include "outcome.h"

#include <string.h>

static unsigned events_pulled;

void outcome_store(struct kula_event *event)
{
    struct outcome *outcome = event->user;
    events_pulled++;
    if (!outcome) {
        kula_buf buffer = kula_take(event);
        kula_free(&buffer);
        return;
    }
    if (!(event->flags & KULA_EVENT_MORE)) {
        outcome->events++;
    }
    assert_true(outcome->events <= 1);
    if (outcome->op != 0) {
        assert_true(outcome->op == event->op);
    }
    outcome->result = event->result;
    outcome->error = event->error;
    outcome->flags = event->flags;
    outcome->place = events_pulled;
    uint32_t length = 0;
    const struct sockaddr *address = kula_event_address(event, &length);
    if (address && length <= sizeof outcome->address) {
        memcpy(&outcome->address, address, length);
        outcome->address_length = length;
    }
    const struct kula_stat *stat = kula_event_stat(event);
    if (stat) {
        outcome->stat = *stat;
    }
    for (kula_buf buffer; (buffer = kula_take(event));) {
        if (outcome->more) {
            assert_true(outcome->buffers < outcome->more_max);
            outcome->more[outcome->buffers] = buffer;
        } else {
            assert_int_equal(outcome->buffers, 0);
            outcome->buffer = buffer;
        }
        outcome->buffers++;
    }
    if (outcome->keeps_ref) {
        assert_true(outcome->ref == NULL);
        outcome->ref = kula_take_ref(event);
    }
}

unsigned pump(struct kula_ring *ring, int64_t timeout_ns)
{
    unsigned count = 0;
    int ready = kula_wait(ring, timeout_ns);
    assert_true(ready >= 0);
    for (struct kula_event *event; (event = kula_next(ring));) {
        outcome_store(event);
        count++;
    }
    /* "> 0: at least that many events can be pulled" */
    assert_true(count >= (unsigned)ready);
    return count;
}

void await(struct kula_ring *ring, const struct outcome *outcome)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (outcome->events == 0) {
        pump(ring, KULA_SECOND);
        if (outcome->events == 0 && harness_now_ns() > limit) {
            fail_msg("no event came for an operation");
        }
    }
}

void await_all(struct kula_ring *ring)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (kula_outstanding(ring) > 0) {
        pump(ring, KULA_SECOND);
        if (harness_now_ns() > limit) {
            fail_msg("%zu operations do not end", kula_outstanding(ring));
        }
    }
}

void await_count(struct kula_ring *ring, unsigned count)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    unsigned pulled = 0;
    while (pulled < count) {
        pulled += pump(ring, KULA_SECOND);
        if (pulled < count && harness_now_ns() > limit) {
            fail_msg("%u events came, %u expected", pulled, count);
        }
    }
    assert_int_equal(pulled, count);
}

void assert_pending(struct kula_ring *ring, const struct outcome *outcome)
{
    for (int round = 0; round < 5; round++) {
        pump(ring, 2 * KULA_MILLISECOND);
        assert_int_equal(outcome->events, 0);
    }
}

unsigned char pattern_byte(size_t index, unsigned seed)
{
    return (unsigned char)((index * 131 + (index >> 8) * 7 + seed * 29 + 17) & 0xff);
}

kula_buf buffer_empty(struct kula_ring *ring, size_t size)
{
    kula_buf buffer = kula_alloc(ring, size);
    assert_true(buffer != NULL);
    return buffer;
}

kula_buf buffer_text(struct kula_ring *ring, const char *text)
{
    kula_buf buffer = buffer_empty(ring, strlen(text));
    memcpy(kula_bytes(buffer), text, strlen(text));
    return buffer;
}

kula_buf buffer_pattern(struct kula_ring *ring, size_t size, unsigned seed)
{
    kula_buf buffer = buffer_empty(ring, size);
    unsigned char *bytes = kula_bytes(buffer);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern_byte(i, seed);
    }
    return buffer;
}

kula_buf alias_of(kula_buf buffer)
{
    return buffer;
}

kula_ref ref_alias_of(kula_ref ref)
{
    return ref;
}

void outcome_release_at(struct outcome *outcome, const char *file, int line)
{
    if (outcome->events != 1 || outcome->buffers != 1) {
        print_error("%u events with %u buffers\n", outcome->events, outcome->buffers);
        _fail(file, line);
    }
    kula_free(&outcome->buffer);
}

void assert_read_text_at(const struct outcome *outcome,
                         const char *text,
                         const char *file,
                         int line)
{
    int32_t length = (int32_t)strlen(text);
    harness_assert_result(outcome->result, length, "result", file, line);
    if (outcome->buffers != 1 ||
        memcmp(kula_bytes(outcome->buffer), text, (size_t)length) != 0) {
        print_error("the buffer does not hold \"%s\"\n", text);
        _fail(file, line);
    }
}
