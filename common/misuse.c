/* misuse.c - the misuse hook and its default. */
#include "misuse.h"

#include "process.h"
#include "slot.h"
#include "watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#if defined __linux__ && !defined KULA_NO_LINUX
#    include <dlfcn.h>
#endif

static pthread_mutex_t hook_mutex = PTHREAD_MUTEX_INITIALIZER;
static kula_misuse_fn hook_function; /* under hook_mutex, with its argument */
static void *hook_argument;
static _Atomic uint64_t found;

/* Set while the hook runs on this thread. */
static _Thread_local bool in_hook;

static atomic_bool abort_wanted = KULA_DEBUG_BUILD;

void kula__misuse_abort(void)
{
    atomic_store(&abort_wanted, true);
}

/* Why a handle that is valid is not what the call wants. */
static const char *of_another_kind(const struct kula__slot *slot)
{
    switch (slot->kind) {
    case KULA__KIND_REF:
        return "a handle of another kind: a reference (kula_ref) where a buffer or a vec is "
               "wanted; shared bytes are not written: kula_thaw makes the last one a buffer";
    case KULA__KIND_VEC:
        return "a handle of another kind: a vec where a buffer or a reference is wanted";
    default:
        return "a handle of another kind: a buffer where a reference (kula_ref) or a vec is "
               "wanted; kula_freeze makes it a reference";
    }
}

const char *kula__misuse_reason(uint64_t word)
{
    const struct kula__slot *slot = kula__slot_find(word);
    if (word == 0) {
        return "the handle is empty: its buffer was already handed over, or never allocated";
    }
    uint64_t current = slot ? atomic_load_explicit(&slot->word, memory_order_relaxed) : 0;
    /* the words of records that are nobody's name another index than theirs (slot.c) */
    if (current == 0 || kula__word_index(current) != kula__word_index(word)) {
        return "not a handle: forged, or never initialised";
    }
    if (current == word) {
        return kula__word_holder(word) == KULA__HELD_BY_PROGRAM
                   ? of_another_kind(slot)
                   : "the name of an operation is not a handle: take the buffer from its event";
    }
    if (kula__word_generation(word) > kula__word_generation(current)) {
        return "not a handle: forged, or never initialised";
    }
    switch (kula__word_holder(current)) {
    case KULA__HELD_BY_RING:
        return "stale copy: the buffer is with a ring; it comes home with kula_take";
    case KULA__HELD_BY_EVENT:
        return "stale copy: the buffer's operation is done; take it from the event";
    case KULA__HELD_BY_NOBODY:
        return "stale copy: the buffer was freed";
    default:
        return "stale copy: ownership moved since this handle was issued";
    }
}

#define PLACE_BYTES 320

/* " at SYMBOL+0x12 (FILE+0x3456)": the latter is what addr2line -e FILE wants. A return address is that
 * of the instruction after the call, which may be another line's. */
static void describe_place(const void *place, char text[PLACE_BYTES])
{
    text[0] = '\0';
    if (!place) {
        return;
    }
    const char *call = (const char *)place - 1;
#if defined __linux__ && !defined KULA_NO_LINUX
    Dl_info info;
    if (dladdr(call, &info) != 0 && info.dli_fname) {
        size_t offset = (size_t)(call - (const char *)info.dli_fbase);
        if (info.dli_sname) {
            snprintf(text, PLACE_BYTES, " at %s+%#zx (%s+%#zx)", info.dli_sname,
                     (size_t)(call - (const char *)info.dli_saddr), info.dli_fname, offset);
        } else {
            snprintf(text, PLACE_BYTES, " at %s+%#zx", info.dli_fname, offset);
        }
        return;
    }
#endif
    snprintf(text, PLACE_BYTES, " at %p", (const void *)call);
}

/* One write, so that the lines of two threads do not mix. */
static void report_to_stderr(const struct kula_misuse *misuse)
{
    char place[PLACE_BYTES];
    describe_place(misuse->place, place);
    fprintf(stderr,
            "kula: misuse: %s (buffer %" PRIu32 ", generation %" PRIu64 ", now %" PRIu64
            "): %s%s%s%s\n",
            misuse->operation, misuse->index, misuse->generation, misuse->current,
            misuse->reason, misuse->last_operation ? "; last handed over by " : "",
            misuse->last_operation ? misuse->last_operation : "", place);
}

/* What the hook itself does wrong does not call it again, and again. */
static void call_hook(kula_misuse_fn hook, void *arg, const struct kula_misuse *misuse)
{
    in_hook = true;
    bool outermost = kula__program_begin();
    hook(arg, misuse);
    kula__program_end(outermost);
    in_hook = false;
}

void kula__misuse(const char *operation, uint64_t word, const char *reason)
{
    const struct kula__slot *slot = word ? kula__slot_find(word) : NULL;
    uint64_t current = slot ? atomic_load_explicit(&slot->word, memory_order_relaxed) : 0;
    struct kula_misuse misuse = {
        .operation = operation,
        .reason = reason,
        .handle = word,
        .index = kula__word_index(word),
        .generation = kula__word_generation(word),
        .current = kula__word_generation(current),
    };
    /* A word that no record ever had says nothing of the record that its index names; and the word of
     * record 0 names none. */
    if (slot && kula__word_index(current) == misuse.index &&
        misuse.generation <= misuse.current) {
        misuse.last_operation = kula__watch_last(slot, &misuse.place);
    }
    atomic_fetch_add(&found, 1);
    pthread_mutex_lock(&hook_mutex);
    kula_misuse_fn hook = hook_function;
    void *arg = hook_argument;
    pthread_mutex_unlock(&hook_mutex);
    if (hook && !in_hook) {
        call_hook(hook, arg, &misuse);
        return;
    }
    report_to_stderr(&misuse);
    if (!hook && atomic_load(&abort_wanted)) {
        abort();
    }
}

void kula__misuse_lock(void)
{
    pthread_mutex_lock(&hook_mutex);
}

void kula__misuse_unlock(void)
{
    pthread_mutex_unlock(&hook_mutex);
}

void kula_on_misuse(kula_misuse_fn hook, void *arg)
{
    pthread_mutex_lock(&hook_mutex);
    hook_function = hook;
    hook_argument = arg;
    pthread_mutex_unlock(&hook_mutex);
}

uint64_t kula_misuse_count(void)
{
    return atomic_load(&found);
}

/* Called where a compiler has proved a misuse and the program was built all the same: the next call
 * of that program refuses and reports it. */
void kula_static_moved_(void)
{
}

void kula_static_length_(void)
{
}
