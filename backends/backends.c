/* The backends of this library, best first: what backends/CMakeLists.txt lists. */
#include "common/backend.h"

#include "absent.h"
#include "kula_backend_list.h"

#define DECLARE_BUILT(name) extern const struct kula__backend kula__backend_##name;
/* The parameter cannot be called "name": it would take the place of the member. */
#define DEFINE_ABSENT(absent)                                               \
    static const struct kula__backend absent_##absent = { .name = #absent,  \
                                                          .state_bytes = 1, \
                                                          .open = kula__absent_open };

KULA_BACKEND_LIST(DECLARE_BUILT, DEFINE_ABSENT)

#define BUILT(name)  &kula__backend_##name,
#define ABSENT(name) &absent_##name,

const struct kula__backend *const kula__backends[] = { KULA_BACKEND_LIST(BUILT, ABSENT) NULL };
