/* absent.h - a backend that this library was built without. It has its place in the list all the
 * same, so that whoever asks for it is told, and nobody takes it for a misspelt name. */
#ifndef KULA_BACKENDS_ABSENT_H
#define KULA_BACKENDS_ABSENT_H

#include "common/backend.h"

/* The only thing that an absent backend can do: -ENOSYS, and says why. */
int kula__absent_open(struct kula_ring *ring, struct kula_candidate *verdict);

#endif
