/* One page is sent to many, from one memory: the references are counted, cloned, sliced and dropped. */
#include <kula.h>

#include <stddef.h>
#include <string.h>

struct client {
    int fd;
    uint32_t sent;
    struct client *next;
};

struct page {
    kula_ref whole;
    kula_ref head;
    kula_ref body;
};

int page_make(struct kula_ring *ring,
              const char *text,
              size_t head_bytes,
              struct page *ret_page);
void page_drop(struct page *page);
int broadcast(struct kula_ring *ring, struct client *clients, const struct page *page);
void send_apart(struct kula_ring *ring, int fd, const struct page *page);
void send_failed_again(struct kula_ring *ring, struct kula_event *event);
int rewrite(kula_ref *page, size_t offset, unsigned char value);

int page_make(struct kula_ring *ring,
              const char *text,
              size_t head_bytes,
              struct page *ret_page)
{
    size_t length = strlen(text);
    kula_buf buffer = kula_alloc(ring, length);
    if (!buffer) {
        return -1;
    }
    memcpy(kula_bytes(buffer), text, length);
    struct page page = { .whole = kula_freeze(&buffer) };
    page.head = kula_slice(page.whole, 0, head_bytes);
    page.body = kula_slice(page.whole, head_bytes, length - head_bytes);
    if (!page.head || !page.body) {
        page_drop(&page);
        return -1;
    }
    *ret_page = page;
    return 0;
}

void page_drop(struct page *page)
{
    kula_drop(&page->head);
    kula_drop(&page->body);
    kula_drop(&page->whole);
}

int broadcast(struct kula_ring *ring, struct client *clients, const struct page *page)
{
    int missed = 0;
    for (struct client *client = clients; client; client = client->next) {
        kula_ref copy = kula_clone(page->whole);
        if (!copy) {
            missed++;
            continue;
        }
        kula_send(ring, client->fd, &copy, kula_ref_size(page->whole), 0, client);
    }
    while (kula_outstanding(ring) > 0 && kula_wait(ring, KULA_FOREVER) >= 0) {
        for (struct kula_event *event; (event = kula_next(ring));) {
            struct client *client = event->user;
            client->sent = event->result < 0 ? 0 : (uint32_t)event->result;
        }
    }
    return missed;
}

/* The head from one reference, the body from another, in one call. */
void send_apart(struct kula_ring *ring, int fd, const struct page *page)
{
    kula_ref head = kula_clone(page->head);
    kula_ref body = kula_clone(page->body);
    kula_vec vec = kula_vec_new(ring);
    if (head && body && vec) {
        kula_vec_add(vec, &head, kula_ref_size(page->head));
        kula_vec_add(vec, &body, kula_ref_size(page->body));
        kula_writev(ring, fd, &vec, KULA_CUR, NULL);
    }
    kula_vec_free(&vec);
    kula_drop(&head);
    kula_drop(&body);
}

/* A reference that comes with an event is taken only where it is wanted. */
void send_failed_again(struct kula_ring *ring, struct kula_event *event)
{
    struct client *client = event->user;
    if (event->result >= 0) {
        return;
    }
    kula_ref back = kula_take_ref(event);
    if (back) {
        kula_send(ring, client->fd, &back, kula_ref_size(back), 0, client);
    }
}

int rewrite(kula_ref *page, size_t offset, unsigned char value)
{
    kula_buf buffer = kula_thaw(page);
    if (!buffer) {
        return -1;
    }
    kula_bytes(buffer)[offset] = value;
    *page = kula_freeze(&buffer);
    return 0;
}
