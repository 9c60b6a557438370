/* Buffers as members of structs that are made, passed on and taken apart. */
#include <kula.h>

#include <stdlib.h>
#include <string.h>

struct message {
    kula_buf head;
    kula_buf body;
    struct message *next;
};

struct message *message_new(struct kula_ring *ring, size_t body_bytes);
void message_free(struct message *message);
void message_write(struct kula_ring *ring, int fd, struct message *message);
int message_adopt(struct message *message, struct kula_event *event);

struct message *message_new(struct kula_ring *ring, size_t body_bytes)
{
    struct message *message = calloc(1, sizeof *message);
    if (!message) {
        return NULL;
    }
    message->head = kula_alloc(ring, sizeof body_bytes);
    message->body = kula_alloc(ring, body_bytes);
    if (!message->head || !message->body) {
        message_free(message);
        return NULL;
    }
    memcpy(kula_bytes(message->head), &body_bytes, sizeof body_bytes);
    return message;
}

void message_free(struct message *message)
{
    if (!message) {
        return;
    }
    kula_free(&message->head);
    kula_free(&message->body);
    free(message);
}

void message_write(struct kula_ring *ring, int fd, struct message *message)
{
    kula_vec vec = kula_vec_new(ring);
    if (vec) {
        size_t body_bytes = kula_capacity(message->body);
        kula_vec_add(vec, &message->head, sizeof body_bytes);
        kula_vec_add(vec, &message->body, body_bytes);
        kula_writev(ring, fd, &vec, KULA_CUR, message);
    }
}

int message_adopt(struct message *message, struct kula_event *event)
{
    kula_free(&message->head);
    kula_free(&message->body);
    message->head = kula_take(event);
    message->body = kula_take(event);
    return event->result;
}
