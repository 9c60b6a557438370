/* What KULA_MASK and config.mask may say, and what a config may ask for. */
#include "unit.h"

#include "common/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void expect_mask(const char *mask, uint64_t features, uint64_t operations)
{
    struct kula__settings settings = { 0 };
    char bad[64] = "untouched";
    assert_int_equal(kula__mask_parse(mask, &settings, bad, sizeof bad), 0);
    assert_true(settings.features_off == features);
    assert_true(settings.operations_off == operations);
    assert_string_equal(bad, "untouched");
}

static void nothing_masks_nothing(void **state)
{
    (void)state;
    expect_mask("", 0, 0);
    expect_mask("none", 0, 0);
    expect_mask(" , ,none,, ", 0, 0);
}

static void every_operation_can_be_masked_by_its_name(void **state)
{
    (void)state;
    uint64_t seen = 0;
    for (uint32_t op = KULA__OP_NONE + 1; op < KULA__OP_COUNT; op++) {
        char item[64];
        snprintf(item, sizeof item, "op:%s", kula__operation_facts[op].name);
        expect_mask(item, 0, UINT64_C(1) << op);
        seen |= UINT64_C(1) << op;
    }
    assert_true(seen != 0);
}

static void every_feature_can_be_masked_by_its_name(void **state)
{
    (void)state;
    assert_true(KULA__FEATURE_BITS > 0);
    for (uint32_t bit = 0; bit < KULA__FEATURE_BITS; bit++) {
        char item[64];
        snprintf(item, sizeof item, "feat:%s", kula_feature_name(bit));
        expect_mask(item, UINT64_C(1) << bit, 0);
    }
    assert_null(kula_feature_name(KULA__FEATURE_BITS));
    assert_null(kula_feature_name(UINT32_MAX));
}

static void items_add_up(void **state)
{
    (void)state;
    char list[128];
    snprintf(list, sizeof list, "op:read, feat:%s,op:statx,op:read", kula_feature_name(0));
    expect_mask(list, 1, UINT64_C(1) << KULA__OP_READ | UINT64_C(1) << KULA__OP_STATX);
}

static void what_is_not_known_is_refused_and_named(void **state)
{
    (void)state;
    const char *masks[] = { "op:nothing", "feat:",   "feat:nothing", "op:",
                            "statx",      "OP:read", "op:read;x",    "op:readx" };
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        struct kula__settings settings = { 0 };
        char bad[64] = "";
        char list[128];
        snprintf(list, sizeof list, "op:read,%s,op:write", masks[i]);
        assert_int_equal(kula__mask_parse(list, &settings, bad, sizeof bad), -EINVAL);
        assert_string_equal(bad, masks[i]);
    }
}

static void an_item_longer_than_any_name_is_refused_whole(void **state)
{
    (void)state;
    struct kula__settings settings = { 0 };
    char bad[16];
    char list[300] = "op:read";
    memset(list + 7, 'x', sizeof list - 8);
    list[sizeof list - 1] = '\0';
    assert_int_equal(kula__mask_parse(list, &settings, bad, sizeof bad), -EINVAL);
    assert_int_equal(bad[sizeof bad - 1], '\0');
    assert_true(settings.operations_off == 0);
}

static void be_silent(void *arg, int level, const char *text)
{
    (void)level;
    assert_true(strlen(text) > 0);
    ++*(int *)arg;
}

static struct kula_config silent_config(int *lines)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.flags = KULA_CONFIG_IGNORE_ENV;
    config.log = be_silent;
    config.log_arg = lines;
    return config;
}

static void impossible_configs_are_refused_and_explained(void **state)
{
    (void)state;
    int lines = 0;
    for (int field = 0; field < 9; field++) {
        struct kula_config config = silent_config(&lines);
        struct kula__request request;
        switch (field) {
        case 0:
            config.size = 0;
            break;
        case 1:
            config.flags |= 1u << 30;
            break;
        case 2:
            config.backend = "kqueue";
            break;
        case 3:
            config.backend = "strict:";
            break;
        case 4:
            config.mask = "op:teleport";
            break;
        case 5:
            config.entries = 32769;
            break;
        case 6:
            config.threads_max = 1025;
            break;
        case 7:
            config.backend = "strict:uring,nothing";
            break;
        default:
            config.backend = "epoll;blocking";
            break;
        }
        int before = lines;
        assert_int_equal(kula__config_resolve(&config, &request), -EINVAL);
        assert_true(field == 0 || lines > before);
    }
}

static void strict_is_one_candidate_and_auto_is_all(void **state)
{
    (void)state;
    int lines = 0;
    struct kula_config config = silent_config(&lines);
    struct kula__request request;
    config.backend = "strict:blocking";
    assert_int_equal(kula__config_resolve(&config, &request), 0);
    assert_string_equal(request.candidates[0]->name, "blocking");
    assert_null(request.candidates[1]);
    assert_true(request.settings.flags & KULA__SETTING_STRICT);

    config.backend = "stub,auto";
    assert_int_equal(kula__config_resolve(&config, &request), 0);
    assert_string_equal(request.candidates[0]->name, "blocking");
    size_t count = 0;
    while (kula__backends[count]) {
        count++;
    }
    size_t found = 0;
    while (request.candidates[found]) {
        for (size_t i = 0; i < found; i++) {
            assert_ptr_not_equal(request.candidates[i], request.candidates[found]);
        }
        found++;
    }
    assert_int_equal(found, count);
    assert_false(request.settings.flags & KULA__SETTING_STRICT);
}

static void the_environment_wins_unless_it_is_to_be_ignored(void **state)
{
    (void)state;
    int lines = 0;
    struct kula_config config = silent_config(&lines);
    struct kula__request request;
    config.backend = "auto";
    assert_int_equal(setenv("KULA_BACKEND", "strict:blocking", 1), 0);
    assert_int_equal(setenv("KULA_MASK", "op:statx", 1), 0);
    assert_int_equal(kula__config_resolve(&config, &request), 0);
    assert_true(request.settings.operations_off == 0);
    assert_string_equal(request.environment, "");
    config.flags = 0;
    assert_int_equal(kula__config_resolve(&config, &request), 0);
    assert_string_equal(request.candidates[0]->name, "blocking");
    assert_null(request.candidates[1]);
    assert_true(request.settings.operations_off == UINT64_C(1) << KULA__OP_STATX);
    assert_non_null(strstr(request.environment, "KULA_BACKEND"));
    assert_non_null(strstr(request.environment, "KULA_MASK"));
    unsetenv("KULA_BACKEND");
    unsetenv("KULA_MASK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_masks_nothing),
        cmocka_unit_test(every_operation_can_be_masked_by_its_name),
        cmocka_unit_test(every_feature_can_be_masked_by_its_name),
        cmocka_unit_test(items_add_up),
        cmocka_unit_test(what_is_not_known_is_refused_and_named),
        cmocka_unit_test(an_item_longer_than_any_name_is_refused_whole),
        cmocka_unit_test(impossible_configs_are_refused_and_explained),
        cmocka_unit_test(strict_is_one_candidate_and_auto_is_all),
        cmocka_unit_test(the_environment_wins_unless_it_is_to_be_ignored),
    };
    return UNIT_MAIN(tests);
}
