#include "operation.h"

const struct kula__operation_facts kula__operation_facts[KULA__OP_COUNT] = {
#define X(NAME, operation_name, transfer_kind, ready_events, result_kind, cost) \
    [KULA__OP_##NAME] = { .name = #operation_name,                              \
                          .transfer = KULA__TRANSFER_##transfer_kind,           \
                          .result = KULA__RESULT_##result_kind,                 \
                          .class = KULA__CLASS_##cost,                          \
                          .readiness = (ready_events) },
    KULA__OPERATIONS(X)
#undef X
};
