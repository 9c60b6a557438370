/* The backends of this build, best first: what backends/CMakeLists.txt lists. */
#include "common/backend.h"

#include "kula_backend_list.h"

#define DECLARE(name) extern const struct kula__backend kula__backend_##name;
#define ENTRY(name)   &kula__backend_##name,

KULA_BACKEND_LIST(DECLARE)

const struct kula__backend *const kula__backends[] = { KULA_BACKEND_LIST(ENTRY) NULL };
