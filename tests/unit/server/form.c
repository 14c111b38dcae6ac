/* Values of a query, and of a form: lib/server/form.c. How pairs are taken apart has its own test.
 */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include <minihttp/server.h>

#include "../scarce.h"

static mh_buf out;

static void end(void)
{
    mh_buf_free(&out);
}

TestSuite(form, .fini = end);

static int query(const char *text, const char *name)
{
    mh_request req = {.query = mh_str_from(text)};
    mh_buf_clear(&out);
    return mh_request_query(&req, name, &out);
}

static int form(const char *type, const char *body, const char *name)
{
    mh_header field = {MH_STR("content-type"), mh_str_from(type)};
    mh_request req = {.headers = {&field, type ? 1 : 0}, .body = mh_str_from(body)};
    mh_buf_clear(&out);
    return mh_request_form(&req, name, &out);
}

Test(form, queries)
{
    cr_assert_eq(query("a=1&b=%32+3&a=4", "a"), 1);
    cr_assert_str_eq(out.data, "1");
    cr_assert_eq(query("a=1&b=%32+3&a=4", "b"), 1);
    cr_assert_str_eq(out.data, "2 3");
    cr_assert_eq(query("a", "a"), 1);
    cr_assert_str_eq(out.data, "");
    cr_assert_eq(query("a=1", "c"), 0);
    cr_assert_eq(query("", "a"), 0);
    cr_assert_eq(query(NULL, "a"), 0);
    cr_assert_eq(query("a=%zz", "a"), MH_ERR_URL);
}

#define FORM "application/x-www-form-urlencoded"

static const struct {
    const char *type;
    bool is_form;
} types[] = {
    {FORM, true},
    {"Application/X-WWW-Form-URLEncoded", true},
    {FORM ";charset=utf-8", true},
    {FORM " ; charset=\"utf-8\"; a=b", true},
    {FORM "\t;", true},
    {FORM ";", true},
    {FORM "ed", false},
    {FORM ", text/plain", false},
    {FORM " charset=utf-8", false},
    {"text/plain;" FORM, false},
    {"application/x-www-form-urlencode", false},
    {"multipart/form-data; boundary=a", false},
    {";", false},
    {"", false},
    {NULL, false},
};

Test(form, types)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        cr_expect_eq(form(types[i].type, "a=1", "a"), types[i].is_form, "%zu", i);
}

Test(form, bodies)
{
    cr_assert_eq(form(FORM, "a=1&b=2%0A", "b"), 1);
    cr_assert_str_eq(out.data, "2\n");
    cr_assert_eq(form(FORM, "a=1", "b"), 0);
    cr_assert_eq(form(FORM, NULL, "b"), 0);
    cr_assert_eq(form(FORM, "b=%", "b"), MH_ERR_URL);
}

Test(form, appends)
{
    mh_request req = {.query = MH_STR("a=1")};
    cr_assert_eq(mh_buf_append(&out, "0", 1), 0);
    cr_assert_eq(mh_request_query(&req, "a", &out), 1);
    cr_assert_str_eq(out.data, "01");
}

Test(form, no_memory)
{
    allocations_left = 0;
    cr_assert_eq(query("a=1", "a"), -ENOMEM);
    cr_assert_eq(form(FORM, "a=1", "a"), -ENOMEM);
    allocations_left = -1;
}
