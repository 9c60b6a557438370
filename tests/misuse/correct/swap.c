/* Two variables change what they hold: double buffering. */
#include <kula.h>

void swap(kula_buf *one, kula_buf *other);
int pump(struct kula_ring *ring, int from, int to, int rounds);

void swap(kula_buf *one, kula_buf *other)
{
    kula_buf held = *one;
    *one = *other;
    *other = held;
}

static kula_buf wait_for_one(struct kula_ring *ring, int32_t *ret_result)
{
    while (kula_wait(ring, KULA_FOREVER) >= 0) {
        struct kula_event *event = kula_next(ring);
        if (event) {
            *ret_result = event->result;
            return kula_take(event);
        }
    }
    *ret_result = -1;
    return NULL;
}

int pump(struct kula_ring *ring, int from, int to, int rounds)
{
    kula_buf front = kula_alloc(ring, 4096);
    kula_buf back = kula_alloc(ring, 4096);
    int32_t result = 0;
    while (front && back && result >= 0 && rounds-- > 0) {
        kula_read(ring, from, &back, 4096, KULA_CUR, NULL);
        back = wait_for_one(ring, &result);
        if (back && result > 0) {
            swap(&front, &back);
            kula_write(ring, to, &front, (size_t)result, KULA_CUR, NULL);
            front = wait_for_one(ring, &result);
        }
    }
    kula_free(&front);
    kula_free(&back);
    return result;
}
