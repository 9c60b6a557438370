/* Memory of the program that the library gives back when it is done with it, and constant memory. */
#include <kula.h>

#include <stdlib.h>
#include <string.h>

struct record {
    struct record *next_free;
    unsigned char bytes[512];
};

struct store {
    struct kula_ring *ring;
    struct record *free_records;
    int error;
};

void store_write(struct store *store, int fd, const char *text);
void store_greet(struct store *store, int fd);
kula_buf store_copy(struct store *store, const void *bytes, size_t size);

static void give_back(void *arg, void *memory, size_t size)
{
    struct store *store = arg;
    struct record *record = (struct record *)((char *)memory - offsetof(struct record, bytes));
    (void)size;
    record->next_free = store->free_records;
    store->free_records = record;
}

void store_write(struct store *store, int fd, const char *text)
{
    struct record *record = store->free_records;
    if (!record) {
        return;
    }
    store->free_records = record->next_free;
    size_t length = strnlen(text, sizeof record->bytes);
    memcpy(record->bytes, text, length);
    kula_buf buffer =
        kula_vouch(store->ring, record->bytes, sizeof record->bytes, give_back, store);
    if (!buffer) {
        record->next_free = store->free_records;
        store->free_records = record;
        return;
    }
    kula_write(store->ring, fd, &buffer, length, KULA_CUR, store);
}

static void free_memory(void *arg, void *memory, size_t size)
{
    (void)arg;
    (void)size;
    free(memory);
}

kula_buf store_copy(struct store *store, const void *bytes, size_t size)
{
    void *memory = malloc(size);
    if (!memory) {
        return NULL;
    }
    memcpy(memory, bytes, size);
    kula_buf buffer = kula_vouch(store->ring, memory, size, free_memory, NULL);
    if (!buffer) {
        free(memory);
    }
    return buffer;
}

void store_greet(struct store *store, int fd)
{
    static const char greeting[] = "hello\n";
    kula_ref text = kula_const(store->ring, greeting, sizeof greeting - 1);
    if (text) {
        kula_send(store->ring, fd, &text, sizeof greeting - 1, 0, NULL);
    }
}
