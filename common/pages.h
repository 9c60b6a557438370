/* pages.h - pages with a wish: aligned, large, near a CPU; and what came of it.
 *
 * What cannot be had is not an error: the pages are ordinary in that respect, and the report says what
 * was not fulfilled, why, and what would help. Each wish is checked where the system lets itself be
 * asked, because it grants more than it keeps: advice for huge pages succeeds on a machine whose
 * memory is in pieces.
 */
#ifndef KULA_COMMON_PAGES_H
#define KULA_COMMON_PAGES_H

#include <kula.h>

#include <stdbool.h>
#include <stddef.h>

struct kula__pages {
    unsigned char *first; /* aligned as wished */
    size_t bytes;         /* what was asked for, rounded up to whole pages */
};

/* Maps zeroed pages, which children of fork() do not get. `wishes` has a valid alignment. Fills the
 * report's alignment, page_bytes and what the wishes for huge pages and for a node have come to; the
 * caller has set its granted bits and error to 0 and its shortfall to "". False: no memory. */
bool kula__pages_map(size_t bytes,
                     const struct kula_memory *wishes,
                     struct kula_memory_report *report,
                     struct kula__pages *ret_pages);
void kula__pages_unmap(struct kula__pages *pages);

/* Notes in a report that a wish was not fulfilled: the first one is what it tells. `text` is static. */
void kula__wish_failed(struct kula_memory_report *report, int error, const char *text);

/* Overwrites with zeros, also where nobody reads them afterwards and a compiler would leave it out. */
void kula__wipe(void *memory, size_t bytes);

#endif
