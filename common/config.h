/* config.h - what is asked for: config and environment, checked and resolved. */
#ifndef KULA_COMMON_CONFIG_H
#define KULA_COMMON_CONFIG_H

#include "ring.h"

#define KULA__CANDIDATES 8u

struct kula__request {
    struct kula__settings settings;
    const struct kula__backend
        *candidates[KULA__CANDIDATES]; /* in the order to be tried; NULL ends */
    char mask[120];                    /* the mask in force */
    char environment[200];             /* the variables that were heeded */
};

/* Resolves a config (NULL = defaults) and the environment. 0, or -EINVAL after logging which field or
 * variable is impossible and what is possible. */
int kula__config_resolve(const struct kula_config *config, struct kula__request *ret_request);

/* Reads a mask, such as "op:statx,feat:ext_arg", into settings. 0, or -EINVAL with the bad item. */
int kula__mask_parse(const char *mask,
                     struct kula__settings *settings,
                     char *ret_bad,
                     size_t bad_bytes);

#endif
