/* Fields, lists, pairs and reasons. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include <minihttp/message.h>

#include "base/str.h"
#include "../scarce.h"

#define HEADER(name, value)                                                                        \
    {                                                                                              \
        {"" name "", sizeof(name) - 1},                                                            \
        {                                                                                          \
            "" value "", sizeof(value) - 1                                                         \
        }                                                                                          \
    }

/* ---- mh_headers_get ---- */

static const mh_header some[] = {
    HEADER("Host", "example.com"), HEADER("Accept", "a/b"),        HEADER("X-Empty", ""),
    HEADER("ACCEPT", "c/d"),       HEADER("Content-Length", "12"), HEADER("Content-Lengthy", "13"),
};
static const mh_headers some_headers = {some, sizeof some / sizeof *some};

Test(headers, get)
{
    static const struct {
        const char *name, *value;
    } table[] = {
        {"Host", "example.com"},
        {"host", "example.com"},
        {"HOST", "example.com"},
        {"hOsT", "example.com"},
        {"accept", "a/b"}, /* the first one */
        {"X-Empty", ""},
        {"content-length", "12"},
        {"content-lengthy", "13"},
        {"content-lengt", NULL},
        {"Hos", NULL},
        {"Hostt", NULL},
        {"Host ", NULL},
        {"", NULL},
        {"X_Empty", NULL},
        {"None", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mh_str value = mh_headers_get(some_headers, table[i].name);
        cr_expect(mh_str_equal(value, table[i].value), "%s: gives " MH_FMT,
                  table[i].name ? table[i].name : "NULL", MH_ARG(value));
    }
}

Test(headers, get_from_none)
{
    cr_expect(!mh_headers_get((mh_headers){0}, "Host").ptr, "no headers at all");
}

/* '@' and '`', '[' and '{' differ from each other as letters do, and are none. */
Test(headers, get_folds_letters_only)
{
    static const mh_header odd[] = {HEADER("a`b", "1"), HEADER("a{b", "2"), HEADER("\xe4", "3")};
    mh_headers headers = {odd, sizeof odd / sizeof *odd};
    cr_expect(!mh_headers_get(headers, "a@b").ptr, "at sign for a backtick");
    cr_expect(!mh_headers_get(headers, "a[b").ptr, "bracket for a brace");
    cr_expect(!mh_headers_get(headers, "\xc4").ptr, "a byte above 0x7f");
    cr_expect(mh_str_equal(mh_headers_get(headers, "A`B"), "1"), "letters around it");
}

Test(headers, each)
{
    size_t count = 0;
    mh_headers_each(header, some_headers)
    {
        cr_expect(header == &some[count], "header %zu", count);
        count++;
    }
    cr_expect(count == some_headers.count, "%zu headers", count);
}

/* ---- mh_headers_list ---- */

struct list_case {
    const char *values[4]; /* of fields named "Connection", up to a NULL */
    const char *token;
    bool found;
};

static const struct list_case lists[] = {
    {{NULL}, "close", false},
    {{""}, "close", false},
    {{""}, "", false},
    {{","}, "", false},
    {{"a,,b"}, "", false},
    {{"close"}, "close", true},
    {{"Close"}, "cLOSE", true},
    {{"close"}, "clos", false},
    {{"close"}, "closed", false},
    {{"close"}, NULL, false},
    {{"keep-alive, close"}, "close", true},
    {{"keep-alive,close"}, "close", true},
    {{"keep-alive , close"}, "keep-alive", true},
    {{"close, keep-alive"}, "close", true},
    {{"a,\tclose\t,b"}, "close", true},
    {{",,close"}, "close", true},
    {{" , ,close, ,"}, "close", true},
    {{"close,"}, "close", true},
    {{"a close"}, "close", false},
    {{"close b"}, "close", false},
    {{"close;q=1"}, "close", false},
    {{"x-close"}, "close", false},
    {{"a\nclose"}, "close", false},
    {{"keep-alive", "close"}, "close", true},
    {{"close", "keep-alive"}, "close", true},
    {{"a, b", "", "c, close"}, "close", true},
    {{"a", "b", "c"}, "close", false},
    {{"clo", "se"}, "close", false},
    {{"\"close\""}, "close", false},
    {{"\"a,close,b\""}, "close", false},
    {{"\"a,close,b\", close"}, "close", true},
    {{"x=\"a,close\", y"}, "close", false},
    {{"x=\"a,close\", y"}, "y", true},
    {{"x=\"a,close\""}, "x=\"a,close\"", true},
    {{"x=\"a\\\",close,\\\"b\", y"}, "close", false},
    {{"x=\"a\\\",close,\\\"b\", y"}, "y", true},
    {{"x=\"a\\\\\",close"}, "close", true}, /* an escaped backslash, then the closing quote */
    {{"x=\\\",close,\""}, "close", false},  /* outside quotes a backslash escapes nothing */
    {{"\"\",close"}, "close", true},
    {{"\"a,close"}, "close", false},   /* never closed: all of it is one element */
    {{"\"a", "close"}, "close", true}, /* but not the next field */
    {{"\"a\\"}, "a", false},           /* a backslash as the last byte */
    {{"a\"b,close\"c"}, "close", false},
};

/* In a block of its own size, so that the address sanitizer sees a byte read too far. */
static mh_str exact(const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    cr_assert(copy);
    memcpy(copy, text, len);
    return (mh_str){copy, len};
}

static bool list_in(const struct list_case *it)
{
    mh_header fields[6] = {HEADER("Host", "close"), HEADER("X-Connection", "close")};
    size_t count = 2;
    for (size_t i = 0; i < 4 && it->values[i]; i++)
        fields[count++] = (mh_header){MH_STR("Connection"), exact(it->values[i])};
    bool found = mh_headers_list((mh_headers){fields, count}, "connection", it->token);
    while (count > 2)
        free((void *)(uintptr_t)fields[--count].value.ptr);
    return found;
}

Test(headers, list)
{
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct list_case *it = &lists[i];
        cr_expect(list_in(it) == it->found, "%zu: %s in [%s] [%s]", i,
                  it->token ? it->token : "NULL", it->values[0] ? it->values[0] : "none",
                  it->values[0] && it->values[1] ? it->values[1] : "none");
    }
}

Test(headers, list_in_none)
{
    cr_expect(!mh_headers_list((mh_headers){0}, "Connection", "close"), "no headers at all");
    cr_expect(!mh_headers_list(some_headers, "Connection", "close"), "no such field");
}

/* ---- mh_pairs_next ---- */

struct pairs_case {
    const char *text;
    const char *pairs[4][2]; /* name and value, up to a NULL name; a NULL value is absent */
};

static const struct pairs_case pairs[] = {
    {"", {{NULL}}},
    {"&", {{NULL}}},
    {"&&&", {{NULL}}},
    {"a", {{"a", NULL}}},
    {"a=", {{"a", ""}}},
    {"a=1", {{"a", "1"}}},
    {"=", {{"", ""}}},
    {"=1", {{"", "1"}}},
    {"a=1&b=2", {{"a", "1"}, {"b", "2"}}},
    {"a=1&b=2&", {{"a", "1"}, {"b", "2"}}},
    {"&a=1&&b=2&&", {{"a", "1"}, {"b", "2"}}},
    {"a&b&c", {{"a", NULL}, {"b", NULL}, {"c", NULL}}},
    {"a=1&a=2&a", {{"a", "1"}, {"a", "2"}, {"a", NULL}}},
    {"a=b=c", {{"a", "b=c"}}},
    {"a==", {{"a", "="}}},
    {"a%26b=%3D+x&c", {{"a%26b", "%3D+x"}, {"c", NULL}}}, /* raw */
    {"a;b=1", {{"a;b", "1"}}},
    {"a=%", {{"a", "%"}}},
};

Test(pairs, next)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        mh_str rest = mh_str_from(pairs[i].text);
        mh_str name = MH_STR("untouched"), value = MH_STR("untouched");
        size_t count = 0;
        for (; count < 4 && pairs[i].pairs[count][0]; count++) {
            cr_assert(mh_pairs_next(&rest, &name, &value), "%s: pair %zu", pairs[i].text, count);
            cr_expect(mh_str_equal(name, pairs[i].pairs[count][0]), "%s: name %zu is " MH_FMT,
                      pairs[i].text, count, MH_ARG(name));
            cr_expect(mh_str_equal(value, pairs[i].pairs[count][1]), "%s: value %zu is " MH_FMT,
                      pairs[i].text, count, MH_ARG(value));
        }
        cr_expect(!mh_pairs_next(&rest, &name, &value), "%s: one more", pairs[i].text);
        cr_expect(rest.len == 0, "%s: something is left", pairs[i].text);
        cr_expect(!mh_pairs_next(&rest, &name, &value), "%s: asked again", pairs[i].text);
    }
}

Test(pairs, next_of_an_absent_text)
{
    mh_str rest = {0}, name, value;
    cr_expect(!mh_pairs_next(&rest, &name, &value), "absent text");
}

/* ---- mh_pairs_get ---- */

struct lookup {
    const char *pairs, *name;
    int result;
    mh_str value;
};

#define FOUND(pairs, name, value)                                                                  \
    {                                                                                              \
        pairs, name, 1,                                                                            \
        {                                                                                          \
            value, sizeof(value) - 1                                                               \
        }                                                                                          \
    }
#define NOT_FOUND(pairs, name)                                                                     \
    {                                                                                              \
        pairs, name, 0,                                                                            \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }
#define BROKEN(pairs, name)                                                                        \
    {                                                                                              \
        pairs, name, MH_ERR_URL,                                                                   \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }

static const struct lookup lookups[] = {
    FOUND("a=1", "a", "1"),
    FOUND("a=1&b=2", "b", "2"),
    FOUND("b=1&b=2", "b", "1"),
    FOUND("a", "a", ""),
    FOUND("a=", "a", ""),
    FOUND("a&a=1", "a", ""),
    FOUND("=1", "", "1"),
    FOUND("a=x+y%20z", "a", "x y z"),
    FOUND("a=+", "a", " "),
    FOUND("a=++", "a", "  "),
    FOUND("a=+b+", "a", " b "),
    FOUND("a=b+&c", "a", "b "),
    FOUND("a=%2B", "a", "+"),
    FOUND("a=%26%3d%25", "a", "&=%"),
    FOUND("a=b=c", "a", "b=c"),
    FOUND("a=%00x", "a", "\0x"),
    FOUND("a=%C3%A4", "a", "\xc3\xa4"),
    FOUND("%61=1", "a", "1"),
    FOUND("%20=1", " ", "1"),
    FOUND("%0a=1", "\n", "1"),
    FOUND("a+b=1", "a b", "1"),
    FOUND("a%2Bb=1", "a+b", "1"),
    FOUND("a%26b=1", "a&b", "1"),
    FOUND("%c3%a4=1", "\xc3\xa4", "1"),
    FOUND("%zz=1&a=2", "a", "2"),
    FOUND("a%=1&a%6=2&a=3", "a", "3"),
    FOUND("b=%zz&a=2", "a", "2"),
    NOT_FOUND("", "a"),
    NOT_FOUND("&&", "a"),
    NOT_FOUND("b=1", "a"),
    NOT_FOUND("ab=1", "a"),
    NOT_FOUND("a=1", "ab"),
    NOT_FOUND("A=1", "a"),
    NOT_FOUND("a%00=1", "a"),
    NOT_FOUND("a b=1", "a+b"),
    NOT_FOUND("b=a", "a"),
    NOT_FOUND("&", ""),
    NOT_FOUND("%zz=1", "%zz"),
    NOT_FOUND("a%ff", "a\xfe"),
    NOT_FOUND("%1g=1", "\x0f"), /* nor any other number that a broken digit could make */
    NOT_FOUND("%g1=1", "\xf1"),
    NOT_FOUND("%1=1", "\x01"),
    BROKEN("a=%", "a"),
    BROKEN("a=ok+%4", "a"),
    BROKEN("a=%4g&a=1", "a"), /* the first one counts, broken as it is */
    BROKEN("a=%4+1", "a"),
    BROKEN("a=%4&1", "a"),
};

Test(pairs, get)
{
    for (size_t i = 0; i < sizeof lookups / sizeof *lookups; i++) {
        const struct lookup *it = &lookups[i];
        mh_buf out = {0};
        cr_assert(mh_buf_append(&out, "kept", 4) == 0);
        int result = mh_pairs_get(mh_str_from(it->pairs), it->name, &out);
        cr_expect(result == it->result, "%s of %s: %d", it->name, it->pairs, result);
        mh_str value = {out.data + 4, out.len - 4};
        cr_expect(memcmp(out.data, "kept", 4) == 0 && mh__str_same(value, it->value),
                  "%s of %s: gives %s", it->name, it->pairs, out.data);
        mh_buf_free(&out);
    }
}

/* Whoever prints what was found need not look whether there is anything. */
Test(pairs, an_empty_value_is_a_text_all_the_same)
{
    static const char *const texts[] = {"a=", "a", "b=1&a=&c=2"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mh_buf out = {0};
        cr_assert_eq(mh_pairs_get(mh_str_from(texts[i]), "a", &out), 1, "%s", texts[i]);
        cr_assert_eq(out.len, 0, "%s", texts[i]);
        cr_assert_str_eq(out.data, "", "%s", texts[i]);
        mh_buf_free(&out);
    }
}

Test(pairs, get_when_the_output_cannot_grow)
{
    mh_buf out = {.max = 3};
    cr_expect(mh_pairs_get(MH_STR("a=%41+c"), "a", &out) == 1, "exactly as much as fits");
    cr_expect_str_eq(out.data, "A c");
    mh_buf_clear(&out);
    cr_expect(mh_pairs_get(MH_STR("a=ab+c"), "a", &out) == MH_ERR_TOO_LARGE, "a byte too many");
    cr_expect(mh_pairs_get(MH_STR("a=abc+"), "a", &out) == MH_ERR_TOO_LARGE, "a space too many");
    cr_expect_str_eq(out.data, "", "left by the failure");
    mh_buf_free(&out);

    allocations_left = 0;
    cr_expect(mh_pairs_get(MH_STR("a=1"), "a", &out) == -ENOMEM, "no memory");
    cr_expect(mh_pairs_get(MH_STR("a=+"), "a", &out) == -ENOMEM, "no memory for a space");
    cr_expect(mh_pairs_get(MH_STR("a=1"), "b", &out) == 0, "nothing to write, no memory needed");
    allocations_left = -1;
    cr_expect(!out.data && out.len == 0, "no memory: the buffer is empty");
}

/* ---- mh_reason ---- */

struct reason {
    int status;
    const char *text;
};

/* RFC 9110 section 15 and the registry of status codes, once more. */
static const struct reason reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
};

static const char *expected_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "";
}

Test(reason, every_status)
{
    for (int status = -10; status <= 1100; status++)
        cr_expect_str_eq(mh_reason(status), expected_reason(status), "%d: %s", status,
                         mh_reason(status));
}

Test(reason, absurd_numbers)
{
    static const int absurd[] = {INT32_MIN, INT32_MAX, 65536 + 200, -200, 612};
    for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++)
        cr_expect_str_eq(mh_reason(absurd[i]), "", "%d", absurd[i]);
}
