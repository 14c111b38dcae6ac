/* A user's name and password for a field: lib/client/basic.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "client/basic.h"
#include "../scarce.h"

static const struct {
    const char *userinfo, *field;
} good[] = {
    {"Aladdin:open%20sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}, /* RFC 7617 section 2 */
    {"test:123%C2%A3", "Basic dGVzdDoxMjPCow=="},                    /* RFC 7617 section 2.1 */
    {"user:pass", "Basic dXNlcjpwYXNz"},
    {"user", "Basic dXNlcjo="},
    {"user:", "Basic dXNlcjo="},
    {":pass", "Basic OnBhc3M="},
    {":", "Basic Og=="},
    {"", "Basic Og=="},
    {"user:a:b", "Basic dXNlcjphOmI="},
    {"user:a%3ab", "Basic dXNlcjphOmI="},
    {"us%65r:p%61ss", "Basic dXNlcjpwYXNz"},
    {"a+b:+", "Basic YStiOis="},
};

Test(basic, what_is_sent)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        mh_buf out = {0};
        cr_assert_eq(mh__basic(&out, mh_str_from(good[i].userinfo)), 0, "%s", good[i].userinfo);
        cr_assert_str_eq(out.data, good[i].field, "%s", good[i].userinfo);
        mh_buf_free(&out);
    }
}

Test(basic, what_cannot_be_sent_leaves_the_output)
{
    static const char *const bad[] = {"us%3Aer:pass", "us%3aer", "%:x",       "u%1:x",  "u:%",
                                      "u:%zz",        "u%00:x",  "u:x%0d%0a", "u%1f:x", "u:%7F"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mh_buf out = {0};
        cr_assert_eq(mh_buf_append(&out, "before", 6), 0);
        cr_assert_eq(mh__basic(&out, mh_str_from(bad[i])), MH_ERR_URL, "%s", bad[i]);
        cr_assert_str_eq(out.data, "before", "%s", bad[i]);
        mh_buf_free(&out);
    }
}

Test(basic, a_ceiling)
{
    for (size_t max = 1; max < 18; max++) {
        mh_buf out = {.max = max};
        cr_assert_eq(mh__basic(&out, MH_STR("user:pass")), MH_ERR_TOO_LARGE, "%zu", max);
        cr_assert_eq(out.len, 0, "%zu", max);
        mh_buf_free(&out);
    }
    mh_buf out = {.max = 18};
    cr_assert_eq(mh__basic(&out, MH_STR("user:pass")), 0);
    mh_buf_free(&out);
}

/* A long name, so that each step has to grow its buffer. */
static void with_less_memory(size_t name_len)
{
    char userinfo[2000];
    memset(userinfo, 'x', sizeof(userinfo));
    userinfo[name_len] = ':';
    int allowed = 0, err;
    do {
        mh_buf out = {0};
        allocations_left = allowed++;
        err = mh__basic(&out, (mh_str){userinfo, sizeof(userinfo)});
        cr_assert(err == 0 || (err == -ENOMEM && out.len == 0), "%d", err);
        mh_buf_free(&out);
    } while (err < 0);
    cr_assert_gt(allowed, 4);
}

Test(basic, no_memory)
{
    for (size_t name_len = 500; name_len < 520; name_len++)
        with_less_memory(name_len);
}
