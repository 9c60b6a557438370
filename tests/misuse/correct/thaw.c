/* What is shared is sent as it is; who has the only reference writes the bytes first. */
#include <kula.h>

void send_on(struct kula_ring *ring, int fd, struct kula_event *event, unsigned char value);
void send_copy(struct kula_ring *ring, int fd, kula_ref page, unsigned char value);
kula_buf take_for_writing(struct kula_event *event);
int thaw_or_keep(kula_ref *page, kula_buf *ret_buffer);

/* A reference that was not thawed is still there, and goes on. */
void send_on(struct kula_ring *ring, int fd, struct kula_event *event, unsigned char value)
{
    kula_ref page = kula_take_ref(event);
    if (!page) {
        return;
    }
    kula_buf buffer = kula_thaw(&page);
    if (!buffer) {
        kula_send(ring, fd, &page, kula_ref_size(page), 0, NULL);
    } else {
        kula_bytes(buffer)[0] = value;
        kula_send(ring, fd, &buffer, kula_capacity(buffer), 0, NULL);
    }
}

void send_copy(struct kula_ring *ring, int fd, kula_ref page, unsigned char value)
{
    kula_ref copy = kula_clone(page);
    if (!copy) {
        return;
    }
    kula_buf buffer = kula_thaw(&copy);
    if (buffer) {
        kula_bytes(buffer)[0] = value;
        copy = kula_freeze(&buffer);
    }
    kula_send(ring, fd, &copy, kula_ref_size(page), 0, NULL);
}

/* NULL: there was none, or others have it as well. */
kula_buf take_for_writing(struct kula_event *event)
{
    kula_ref page = kula_take_ref(event);
    if (!page) {
        return NULL;
    }
    kula_buf buffer = kula_thaw(&page);
    if (!buffer) {
        kula_drop(&page);
    }
    return buffer;
}

/* Exactly one of the two is left. */
int thaw_or_keep(kula_ref *page, kula_buf *ret_buffer)
{
    kula_buf buffer = *page ? kula_thaw(page) : NULL;
    if (!buffer) {
        return -1;
    }
    *ret_buffer = buffer;
    return 0;
}
