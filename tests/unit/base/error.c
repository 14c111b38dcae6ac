/* Error numbers: each has a text and a name, and no number makes trouble. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include <minihttp/base.h>

struct own {
    int number;
    const char *name, *text;
};

static const struct own own[] = {
#define X(name, number, text) {MH_ERR_##name, "MH_ERR_" #name, text},
    MH_ERRORS(X)
#undef X
};
static const size_t own_count = sizeof own / sizeof *own;

Test(error, each_of_our_own)
{
    for (size_t i = 0; i < own_count; i++) {
        cr_expect_str_eq(mh_errname(own[i].number), own[i].name);
        cr_expect_str_eq(mh_strerror(own[i].number), own[i].text);
        cr_expect(own[i].number < -5000, "%s is no errno", own[i].name);
        cr_expect(strlen(own[i].text) > 0, "%s has a text", own[i].name);
    }
}

Test(error, numbers_and_texts_are_not_used_twice)
{
    for (size_t i = 0; i < own_count; i++) {
        for (size_t j = i + 1; j < own_count; j++) {
            cr_expect(own[i].number != own[j].number, "%s and %s", own[i].name, own[j].name);
            cr_expect(strcmp(own[i].text, own[j].text) != 0, "%s and %s", own[i].name, own[j].name);
        }
    }
}

/* They are part of the binary interface. */
Test(error, numbers_stay)
{
    cr_expect(MH_OK == 0 && MH_ERR_URL == -5001 && MH_ERR_SCHEME == -5002);
    cr_expect(MH_ERR_RESOLVE == -5003 && MH_ERR_TLS == -5004 && MH_ERR_CLOSED == -5005);
    cr_expect(MH_ERR_MALFORMED == -5006 && MH_ERR_FRAMING == -5007 && MH_ERR_TOO_LARGE == -5008);
    cr_expect(MH_ERR_CODING == -5009 && MH_ERR_REDIRECT == -5010);
}

Test(error, errnos)
{
    static const struct own known[] = {
        {-ECONNREFUSED, "ECONNREFUSED", "Connection refused"},
        {-ENOMEM, "ENOMEM", "Cannot allocate memory"},
        {-EINVAL, "EINVAL", "Invalid argument"},
        {-ETIMEDOUT, "ETIMEDOUT", "Connection timed out"},
        {-EPERM, "EPERM", "Operation not permitted"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        cr_expect_str_eq(mh_errname(known[i].number), known[i].name);
        cr_expect_str_eq(mh_strerror(known[i].number), known[i].text);
    }
}

Test(error, every_errno_has_both_or_neither)
{
    int known = 0;
    for (int err = -1; err >= -4095; err--) {
        bool has_text = strcmp(mh_strerror(err), "unknown error") != 0;
        bool has_name = strcmp(mh_errname(err), "unknown") != 0;
        cr_expect(has_text == has_name, "%d: %s, %s", err, mh_errname(err), mh_strerror(err));
        known += has_text;
    }
    cr_expect(known > 100, "%d errnos are known", known);
}

Test(error, unknown_numbers)
{
    static const int unknown[] = {-4095, -4096, -5000, -5012, -6000, -1000000, INT_MIN, -INT_MAX};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        cr_expect_str_eq(mh_strerror(unknown[i]), "unknown error", "%d", unknown[i]);
        cr_expect_str_eq(mh_errname(unknown[i]), "unknown", "%d", unknown[i]);
    }
}

/* What is returned may be a status or a count of bytes. */
Test(error, numbers_that_are_no_errors)
{
    static const int fine[] = {0, 1, 200, 5001, INT_MAX};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        cr_expect_str_eq(mh_strerror(fine[i]), "no error", "%d", fine[i]);
        cr_expect_str_eq(mh_errname(fine[i]), "MH_OK", "%d", fine[i]);
    }
}

Test(error, version)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", MH_VERSION_MAJOR, MH_VERSION_MINOR,
             MH_VERSION_PATCH);
    cr_expect_str_eq(mh_version(), expected);
    cr_expect(MH_VERSION_HEX ==
              MH_VERSION_MAJOR * 65536 + MH_VERSION_MINOR * 256 + MH_VERSION_PATCH);
}
