/* outcome.h - what the files of kula-info share. */
#ifndef KULA_TOOLS_OUTCOME_H
#define KULA_TOOLS_OUTCOME_H

#include <kula.h>

/* What came of a probe in a child. */
struct outcome {
    int error; /* 0, or why no backend can be had */
    struct kula_report report;
};

const char *verdict_name(int32_t verdict);
const char *seccomp_name(int32_t mode);
const char *chosen_name(const struct kula_report *report); /* "" = none */

void print_text(const struct outcome *outcome);
int print_json(const struct outcome *outcome); /* 0 or -ENOMEM */

#endif
