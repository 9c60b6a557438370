/* report.h - filling the public report. */
#ifndef KULA_COMMON_REPORT_H
#define KULA_COMMON_REPORT_H

#include "config.h"

/* Fills in what does not depend on a backend: kernel, limits, the mask; and a row for each backend
 * that this library was built with, not tried yet, in the order of the request. */
void kula__report_begin(struct kula_report *report, const struct kula__request *request);

/* Copies a report out to a program whose struct may be smaller than ours. 0 or -EINVAL. */
int kula__report_copy(struct kula_report *target, const struct kula_report *source);

/* Turns an open's error into the verdict of its candidate. */
void kula__report_verdict(struct kula_candidate *candidate, int error);

/* Says why candidate `chosen` was taken, or that none was. */
void kula__report_choice(struct kula_report *report,
                         const struct kula__request *request,
                         int32_t chosen);

#endif
