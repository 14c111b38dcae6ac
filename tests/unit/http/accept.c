/* What codings a client likes: lib/http/accept.c. */
#include <criterion/criterion.h>

#include "http/accept.h"

static const struct {
    const char *value;
    int br, gzip, identity;
} cases[] = {
    {NULL, 0, 0, 1},
    {"", 0, 0, 1},

    /* RFC 9110 section 12.5.3 */
    {"compress, gzip", 0, 1000, 1},
    {"*", 1000, 1000, 1000},
    {"compress;q=0.5, gzip;q=1.0", 0, 1000, 1},
    {"gzip;q=1.0, identity; q=0.5, *;q=0", 0, 1000, 500},

    {"gzip, deflate, br, zstd", 1000, 1000, 1},
    {"GZIP;Q=0.8", 0, 800, 1},
    {"x-gzip", 0, 1000, 1},
    {"br;q=0.1,gzip;q=0.123", 100, 123, 1},
    {"br;q=0", 0, 0, 1},
    {"br;q=0.000", 0, 0, 1},
    {"br;q=1.000", 1000, 0, 1},
    {"br;q=0.", 0, 0, 1},
    {"br\t; \tq=0.5 ,gzip", 500, 1000, 1},
    {"*;q=0", 0, 0, 0},
    {"identity;q=0", 0, 0, 0},
    {"*;q=0.5, br", 1000, 500, 500},
    {"br, *;q=0.5", 1000, 500, 500},

    /* an element that is wrong counts for nothing, and spoils no other */
    {"br;q=2, gzip", 0, 1000, 1},
    {"br;q=1.001, gzip", 0, 1000, 1},
    {"br;q=0.1234, gzip", 0, 1000, 1},
    {"br;q=-1, gzip", 0, 1000, 1},
    {"br;q=, gzip", 0, 1000, 1},
    {"br;level=5, gzip", 0, 1000, 1},
    {"br;q=1;q=0, gzip", 0, 1000, 1},
    {"br gzip", 0, 0, 1},
    {"b@r, gzip", 0, 1000, 1},
    {";q=1, gzip", 0, 1000, 1},
    {",,, gzip ,,", 0, 1000, 1},
    {"brotli, gzipped", 0, 0, 1},
};

static int quality(const char *value, const char *coding)
{
    mh_header field = {MH_STR("accept-encoding"), mh_str_from(value)};
    return mh__accept_quality((mh_headers){&field, value != NULL}, coding);
}

Test(accept, cases)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(quality(cases[i].value, "br"), cases[i].br, "%s: br", cases[i].value);
        cr_expect_eq(quality(cases[i].value, "gzip"), cases[i].gzip, "%s: gzip", cases[i].value);
        cr_expect_eq(quality(cases[i].value, "identity"), cases[i].identity, "%s: identity",
                     cases[i].value);
    }
}

Test(accept, several_fields_are_one_list)
{
    mh_header fields[] = {{MH_STR("Accept-Encoding"), MH_STR("br;q=0.5")},
                          {MH_STR("Accept"), MH_STR("gzip")},
                          {MH_STR("Accept-Encoding"), MH_STR("gzip")}};
    cr_expect_eq(mh__accept_quality((mh_headers){fields, 3}, "br"), 500);
    cr_expect_eq(mh__accept_quality((mh_headers){fields, 3}, "gzip"), 1000);
    cr_expect_eq(mh__accept_quality((mh_headers){fields, 2}, "gzip"), 0);
}
