/* block.c - argument blocks in four sizes, kept by the ring for reuse. */
#include "block.h"

#include "ring.h"

/* An address; a short path with room for the answer of statx; a path of PATH_MAX likewise; 1024
 * iovecs and a message header. Anything else is a vector that fits the last one. */
static const uint32_t class_bytes[] = { 192, 1024, 5120, 17408 };
#define CLASSES (sizeof class_bytes / sizeof class_bytes[0])

/* Stands before the bytes that are handed out, and keeps them aligned for anything. */
union header {
    struct {
        void *next;
        uint32_t class;
    };
    max_align_t alignment;
};

static_assert(CLASSES == sizeof((struct kula_ring *)0)->free_blocks / sizeof(void *),
              "one list for each class");

void *kula__block_new(struct kula_ring *ring, struct kula__slot *slot, size_t bytes)
{
    uint32_t class = 0;
    while (class < CLASSES && class_bytes[class] < bytes) {
        class ++;
    }
    if (class == CLASSES) {
        return NULL;
    }
    union header *header = ring->free_blocks[class];
    if (header) {
        ring->free_blocks[class] = header->next;
    } else {
        header = kula__memory_new(sizeof *header + class_bytes[class]);
        if (!header) {
            return NULL;
        }
        header->class = class;
    }
    slot->attention |= KULA__BLOCK;
    kula__cold_of(slot)->block = header + 1;
    return header + 1;
}

void kula__block_free(struct kula_ring *ring, struct kula__slot *slot)
{
    union header *header = (union header *)kula__cold_of(slot)->block - 1;
    header->next = ring->free_blocks[header->class];
    ring->free_blocks[header->class] = header;
    slot->attention &= (uint16_t)~KULA__BLOCK;
}

void kula__blocks_fini(struct kula_ring *ring)
{
    for (size_t class = 0; class < CLASSES; class ++) {
        union header *header = ring->free_blocks[class];
        while (header) {
            union header *next = header->next;
            kula__memory_free(header);
            header = next;
        }
        ring->free_blocks[class] = NULL;
    }
}
