/* URLs: every rule of RFC 3986 that <minihttp/url.h> promises, as tables. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/str.h"
#include "http/url.h"
#include "../scarce.h"

/* In a block of its own size, so that the address sanitizer sees a byte read too far. */
static mh_str exact(mh_str text)
{
    char *copy = malloc(text.len ? text.len : 1);
    cr_assert(copy);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return (mh_str){copy, text.len};
}

static void drop(mh_str copy)
{
    free((void *)(uintptr_t)copy.ptr);
}

static bool within(mh_str part, mh_str text)
{
    return !part.ptr || (part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len);
}

/* ---- mh_url_parse ---- */

struct good {
    const char *text, *scheme, *userinfo, *host, *target, *path, *query, *fragment;
    int port;
};

static const struct good good_urls[] = {
    {"http://example.com/", "http", NULL, "example.com", "/", "/", NULL, NULL, 80},
    {"https://example.com/", "https", NULL, "example.com", "/", "/", NULL, NULL, 443},
    {"HTTP://EXAMPLE.com", "HTTP", NULL, "EXAMPLE.com", "", "", NULL, NULL, 80},
    {"hTtPs://a/", "hTtPs", NULL, "a", "/", "/", NULL, NULL, 443},
    {"http://a?", "http", NULL, "a", "?", "", "", NULL, 80},
    {"http://a?q/r?s", "http", NULL, "a", "?q/r?s", "", "q/r?s", NULL, 80},
    {"http://a#", "http", NULL, "a", "", "", NULL, "", 80},
    {"http://a#f/?:@", "http", NULL, "a", "", "", NULL, "f/?:@", 80},
    {"http://a/b?c=d&e#f", "http", NULL, "a", "/b?c=d&e", "/b", "c=d&e", "f", 80},
    {"http://a/b#f?g", "http", NULL, "a", "/b", "/b", NULL, "f?g", 80},
    {"http://a/?#", "http", NULL, "a", "/?", "/", "", "", 80},
    {"http://a//b//", "http", NULL, "a", "//b//", "//b//", NULL, NULL, 80},
    {"http://a/../b/.", "http", NULL, "a", "/../b/.", "/../b/.", NULL, NULL, 80},
    {"http://a/%00%fF%2e", "http", NULL, "a", "/%00%fF%2e", "/%00%fF%2e", NULL, NULL, 80},
    {"http://a:8080/x", "http", NULL, "a", "/x", "/x", NULL, NULL, 8080},
    {"http://a:/x", "http", NULL, "a", "/x", "/x", NULL, NULL, 80},
    {"https://a:", "https", NULL, "a", "", "", NULL, NULL, 443},
    {"http://a:1", "http", NULL, "a", "", "", NULL, NULL, 1},
    {"http://a:65535", "http", NULL, "a", "", "", NULL, NULL, 65535},
    {"http://a:0000000000000000000000080/", "http", NULL, "a", "/", "/", NULL, NULL, 80},
    {"https://a:80?x", "https", NULL, "a", "?x", "", "x", NULL, 80},
    {"http://u@a/", "http", "u", "a", "/", "/", NULL, NULL, 80},
    {"http://u:p:q@a:1/", "http", "u:p:q", "a", "/", "/", NULL, NULL, 1},
    {"http://@a/", "http", "", "a", "/", "/", NULL, NULL, 80},
    {"http://:@a", "http", ":", "a", "", "", NULL, NULL, 80},
    {"http://u%40v@a/", "http", "u%40v", "a", "/", "/", NULL, NULL, 80},
    {"http://a/@b", "http", NULL, "a", "/@b", "/@b", NULL, NULL, 80},
    {"http://a?u@b", "http", NULL, "a", "?u@b", "", "u@b", NULL, 80},
    {"http://[::1]", "http", NULL, "::1", "", "", NULL, NULL, 80},
    {"http://[::1]:/", "http", NULL, "::1", "/", "/", NULL, NULL, 80},
    {"http://[2001:DB8::7]:99/x", "http", NULL, "2001:DB8::7", "/x", "/x", NULL, NULL, 99},
    {"http://u:p@[::ffff:1.2.3.4]?q", "http", "u:p", "::ffff:1.2.3.4", "?q", "", "q", NULL, 80},
    {"http://127.0.0.1:80/", "http", NULL, "127.0.0.1", "/", "/", NULL, NULL, 80},
    {"http://256.0.0.1/", "http", NULL, "256.0.0.1", "/", "/", NULL, NULL, 80}, /* a name */
    {"http://%61%2F/", "http", NULL, "%61%2F", "/", "/", NULL, NULL, 80},
    {"http://_a-b.c~!$&'()*+,;=/", "http", NULL, "_a-b.c~!$&'()*+,;=", "/", "/", NULL, NULL, 80},
    {"http://./", "http", NULL, ".", "/", "/", NULL, NULL, 80},
};

static void expect_part(const char *name, mh_str part, const char *expected, const char *text)
{
    cr_expect(mh_str_equal(part, expected), "%s: %s is \"" MH_FMT "\", not \"%s\"", text, name,
              MH_ARG(part), expected ? expected : "(absent)");
}

static void expect_parts(const mh_url *url, const struct good *it)
{
    expect_part("scheme", url->scheme, it->scheme, it->text);
    expect_part("userinfo", url->userinfo, it->userinfo, it->text);
    expect_part("host", url->host, it->host, it->text);
    expect_part("target", url->target, it->target, it->text);
    expect_part("path", url->path, it->path, it->text);
    expect_part("query", url->query, it->query, it->text);
    expect_part("fragment", url->fragment, it->fragment, it->text);
    cr_expect(url->port == it->port, "%s: port %d", it->text, url->port);
}

static void expect_slices(const mh_url *url, mh_str text, const char *name)
{
    bool inside = within(url->scheme, text) && within(url->userinfo, text) &&
                  within(url->host, text) && within(url->target, text) && within(url->path, text) &&
                  within(url->query, text) && within(url->fragment, text);
    cr_expect(inside, "%s: a slice is not of the text", name);
}

Test(url_parse, takes_apart)
{
    for (size_t i = 0; i < sizeof good_urls / sizeof *good_urls; i++) {
        const struct good *it = &good_urls[i];
        mh_str text = exact(mh_str_from(it->text));
        mh_url url;
        int err = mh_url_parse(&url, text);
        cr_expect(err == 0, "%s: %s", it->text, mh_errname(err));
        if (err == 0) {
            expect_parts(&url, it);
            expect_slices(&url, text, it->text);
        }
        drop(text);
    }
}

struct bad {
    mh_str text;
    int err;
    const char *why;
};

#define BAD(text, name, why)                                                                       \
    {                                                                                              \
        {"" text "", sizeof(text) - 1}, MH_ERR_##name, why                                         \
    }

static const struct bad bad_urls[] = {
    BAD("", URL, "empty"),
    BAD(" ", URL, "a space"),
    BAD("/", URL, "only a path"),
    BAD("//a/", URL, "no scheme"),
    BAD("a/b", URL, "relative"),
    BAD("?q", URL, "only a query"),
    BAD("://a/", URL, "empty scheme"),
    BAD("1http://a/", URL, "scheme begins with a digit"),
    BAD("+http://a/", URL, "scheme begins with a plus"),
    BAD("ht_tp://a/", URL, "underscore in the scheme"),
    BAD("ht%74p://a/", URL, "escape in the scheme"),
    BAD("http", URL, "no colon"),
    BAD("http:", URL, "no authority"),
    BAD("http:/", URL, "one slash"),
    BAD("http:/a", URL, "one slash and a path"),
    BAD("http:a", URL, "a path without a slash"),
    BAD("http:?//a/", URL, "a query where the authority should be"),
    BAD("http://", URL, "empty host"),
    BAD("http:///", URL, "empty host before a path"),
    BAD("http:///a", URL, "three slashes"),
    BAD("http://?q", URL, "empty host before a query"),
    BAD("http://#f", URL, "empty host before a fragment"),
    BAD("http://:80/", URL, "empty host before a port"),
    BAD("http://@/", URL, "empty host after a user"),
    BAD("http://u:p@:80/", URL, "empty host between user and port"),
    BAD("https://", URL, "empty host, https"),
    BAD("http://a:0/", URL, "port 0"),
    BAD("http://a:00000/", URL, "port 0 in five digits"),
    BAD("http://a:65536/", URL, "port above 65535"),
    BAD("http://a:99999999999999999999/", URL, "port above 2^64"),
    BAD("http://a:18446744073709551696/", URL, "port 2^64 + 80"),
    BAD("http://a:4294967376/", URL, "port 2^32 + 80"),
    BAD("http://a:+80/", URL, "plus before the port"),
    BAD("http://a:-1/", URL, "negative port"),
    BAD("http://a: 80/", URL, "space before the port"),
    BAD("http://a:80 /", URL, "space behind the port"),
    BAD("http://a:8a/", URL, "letter in the port"),
    BAD("http://a:0x50/", URL, "hexadecimal port"),
    BAD("http://a:80:80/", URL, "two ports"),
    BAD("http://a:%38%30/", URL, "escaped port"),
    BAD("http://a@b@c/", URL, "two users"),
    BAD("http://u/p@a b/", URL, "space in the path"),
    BAD("http://u[@a/", URL, "bracket in the user"),
    BAD("http://a b/", URL, "space in the host"),
    BAD(" http://a/", URL, "leading space"),
    BAD("http://a/ ", URL, "trailing space"),
    BAD("http://a/\n", URL, "trailing newline"),
    BAD("http://a/\r\nHost: b", URL, "a line break"),
    BAD("http://a/\0", URL, "trailing NUL"),
    BAD("http://a\0b/", URL, "NUL in the host"),
    BAD("http://a\tb/", URL, "tab in the host"),
    BAD("http://a\\b/", URL, "backslash in the host"),
    BAD("http:\\\\a/", URL, "backslashes for slashes"),
    BAD("http://a/b\\c", URL, "backslash in the path"),
    BAD("http://\xc3\xa4/", URL, "UTF-8 in the host"),
    BAD("http://a/\xc3\xa4", URL, "UTF-8 in the path"),
    BAD("http://a/\x7f", URL, "DEL"),
    BAD("http://a/%", URL, "a lone percent at the end"),
    BAD("http://a/%4", URL, "half an escape at the end"),
    BAD("http://a/%4/", URL, "half an escape"),
    BAD("http://a/%g0", URL, "first digit not hexadecimal"),
    BAD("http://a/%0g", URL, "second digit not hexadecimal"),
    BAD("http://a/%%41", URL, "percent before an escape"),
    BAD("http://a?%", URL, "percent in the query"),
    BAD("http://a#%", URL, "percent in the fragment"),
    BAD("http://a%/", URL, "percent in the host"),
    BAD("http://u%@a/", URL, "percent in the user"),
    BAD("http://a#b#c", URL, "two fragments"),
    BAD("http://a/?[x]", URL, "brackets in the query"),
    BAD("http://[::1", URL, "bracket never closed"),
    BAD("http://[::1/", URL, "bracket closed by nothing"),
    BAD("http://::1/", URL, "address without brackets"),
    BAD("http://::1]/", URL, "bracket never opened"),
    BAD("http://[::1]a/", URL, "a name behind the brackets"),
    BAD("http://[::1]80/", URL, "a port without its colon"),
    BAD("http://a[::1]/", URL, "a name before the brackets"),
    BAD("http://[[::1]]/", URL, "brackets twice"),
    BAD("http://[]/", URL, "empty brackets"),
    BAD("http://[a.b]/", URL, "a name in brackets"),
    BAD("http://[1.2.3.4]/", URL, "IPv4 in brackets"),
    BAD("http://[v1.a]/", URL, "an IP of the future"),
    BAD("http://[fe80::1%25eth0]/", URL, "a zone id"),
    BAD("http://[fe80::1%eth0]/", URL, "a zone id, raw"),
    BAD("ftp://a b/", URL, "another scheme, and malformed"),
    BAD("ftp://a/%", URL, "another scheme with a broken escape"),
    BAD("ftp://[1]/", URL, "another scheme with a broken address"),
    BAD("ftp://a/", SCHEME, "ftp"),
    BAD("file:///etc/passwd", SCHEME, "file, without a host"),
    BAD("mailto:a@b", SCHEME, "mailto"),
    BAD("httpss://a/", SCHEME, "a letter too many"),
    BAD("htt://a/", SCHEME, "a letter too few"),
    BAD("http+unix://a/", SCHEME, "http with a suffix"),
    BAD("localhost:8080", SCHEME, "what reads like a scheme"),
    BAD("javascript:alert(1)", SCHEME, "javascript"),
    BAD("a://b", SCHEME, "the first letter"),
    BAD("z://b", SCHEME, "the last letter"),
    BAD("A:b", SCHEME, "the first capital"),
    BAD("Z:b", SCHEME, "the last capital"),
    BAD("x:", SCHEME, "a scheme and nothing else"),
};

Test(url_parse, refuses_and_leaves_the_output_alone)
{
    for (size_t i = 0; i < sizeof bad_urls / sizeof *bad_urls; i++) {
        mh_url url, before;
        memset(&url, 0x5a, sizeof url);
        memcpy(&before, &url, sizeof url);
        mh_str text = exact(bad_urls[i].text);
        int err = mh_url_parse(&url, text);
        cr_expect(err == bad_urls[i].err, "%s: %s", bad_urls[i].why, mh_errname(err));
        cr_expect(memcmp(&url, &before, sizeof url) == 0, "%s: url was changed", bad_urls[i].why);
        drop(text);
    }
}

Test(url_parse, refuses_an_absent_text)
{
    mh_url url;
    cr_expect(mh_url_parse(&url, (mh_str){0}) == MH_ERR_URL, "absent text");
}

/* The alphabets of RFC 3986, spelled out here once more, against each of the 256 bytes. */
#define ALNUM                                                                                      \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"                                                                   \
    "abcdefghijklmnopqrstuvwxyz"                                                                   \
    "0123456789"
#define REG_NAME ALNUM "-._~!$&'()*+,;="

struct place {
    const char *name, *before, *after, *allowed;
};

static const struct place places[] = {
    {"scheme", "ht", "p://h/", ALNUM "+-.:"}, /* the colon ends it: a scheme, but unknown */
    {"userinfo", "http://u", "v@h/", REG_NAME ":/?#"}, /* the last three make "u" a host */
    {"host", "http://h", "i/", REG_NAME "/?#@"},
    {"path", "http://h/", "i", REG_NAME ":@/?#"},
    {"query", "http://h/?", "i", REG_NAME ":@/?#"},
    {"fragment", "http://h/#", "i", REG_NAME ":@/?"},
};

Test(url_parse, every_byte_in_every_part)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[64];
            int len =
                snprintf(text, sizeof text, "%s%c%s", places[i].before, byte, places[i].after);
            mh_url url;
            int err = mh_url_parse(&url, (mh_str){text, (size_t)len});
            bool allowed = byte != 0 && strchr(places[i].allowed, byte);
            cr_expect((err == MH_ERR_URL) == !allowed, "byte 0x%02x in the %s: %s", (unsigned)byte,
                      places[i].name, mh_errname(err));
        }
    }
}

/* Below each byte: is what ends with it a URL? */
Test(url_parse, every_prefix)
{
    static const char text[] = "https://us%41er:pw@[2001:db8::1.2.3.4]:8443/a/%2e/b;c?d=%26#e%20f";
    static const char good[] = "--------++--++++---------------------+++++++++--++++++++--+++--++";
    _Static_assert(sizeof text == sizeof good, "a mark for each byte");
    for (size_t i = 0; i < sizeof text - 1; i++) {
        mh_str prefix = exact((mh_str){text, i + 1});
        mh_url url;
        int err = mh_url_parse(&url, prefix);
        cr_expect(err == (good[i] == '+' ? 0 : MH_ERR_URL), MH_FMT ": %s", MH_ARG(prefix),
                  mh_errname(err));
        drop(prefix);
    }
}

/* ---- addresses ---- */

struct address {
    const char *text;
    bool valid;
};

static const struct address addresses[] = {
    {"::", true},
    {"::1", true},
    {"1::", true},
    {"1:2:3:4:5:6:7:8", true},
    {"ABCD:ef01:2345:6789:abcd:EF01:2345:6789", true},
    {"0000:0000:0000:0000:0000:0000:0000:0000", true},
    {"1:2:3:4:5:6:7::", true},
    {"::2:3:4:5:6:7:8", true},
    {"1::3:4:5:6:7:8", true},
    {"1:2:3::6:7:8", true},
    {"1:2:3:4:5:6::8", true},
    {"1:2:3:4:5:6:1.2.3.4", true},
    {"::1.2.3.4", true},
    {"::ffff:255.255.255.255", true},
    {"1:2:3:4:5::1.2.3.4", true},
    {"1::1.2.3.4", true},
    {"::2:3:4:5:6:1.2.3.4", true},
    {"::0.0.0.0", true},
    {"", false},
    {":", false},
    {":::", false},
    {"1", false},
    {"1:", false},
    {":1", false},
    {"1:2:3:4:5:6:7", false},
    {"1:2:3:4:5:6:7:", false},
    {"1:2:3:4:5:6:7:8:", false},
    {":1:2:3:4:5:6:7:8", false},
    {"1:2:3:4:5:6:7:8:9", false},
    {"1:2:3:4:5:6:7:8::", false},
    {"1:2:3:4::5:6:7:8", false}, /* "::" stands for at least one group */
    {"::1:2:3:4:5:6:7:8", false},
    {"1::2::3", false},
    {"::1::", false},
    {"1:::2", false},
    {"::::", false},
    {"12345::", false},
    {"::00001", false},
    {"g::", false},
    {"::-1", false},
    {" ::1", false},
    {"::1 ", false},
    {"::1%1", false},
    {"1:2:3:4:5:6:7:1.2.3.4", false},
    {"1:2:3:4:5:6::1.2.3.4", false},
    {"1:2:3:4:5:1.2.3.4", false},
    {"1.2.3.4", false},
    {"1.2.3.4::", false},
    {"::1.2.3.4:5", false},
    {"::1.2.3", false},
    {"::1.2.3.", false},
    {"::1.2.3.4.", false},
    {"::1.2.3.4.5", false},
    {"::1..3.4", false},
    {"::.1.2.3", false},
    {"::256.2.3.4", false},
    {"::1.2.3.256", false},
    {"::1.2.3.1000", false},
    {"::01.2.3.4", false},
    {"::1.2.3.00", false},
    {"::a.2.3.4", false},
    {"::1.2.3.a", false},
    {"::1.2.3.4a", false},
    {"::1a.2.3.4", false},
    {"1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20", false},
};

Test(url_parse, addresses)
{
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        char text[128];
        int len = snprintf(text, sizeof text, "http://[%s]/", addresses[i].text);
        mh_str url_text = exact((mh_str){text, (size_t)len});
        mh_url url;
        int err = mh_url_parse(&url, url_text);
        cr_expect((err == 0) == addresses[i].valid, "%s: %s", text, mh_errname(err));
        if (err == 0)
            cr_expect(mh_str_equal(url.host, addresses[i].text), "%s: host", text);
        drop(url_text);
    }
}

/* ---- mh_url_resolve ---- */

struct resolution {
    const char *reference, *result; /* NULL: MH_ERR_URL */
};

static void expect_resolution(const char *base_text, const struct resolution *it)
{
    mh_url base;
    cr_assert(mh_url_parse(&base, mh_str_from(base_text)) == 0, "%s", base_text);
    mh_str reference = exact(mh_str_from(it->reference));
    mh_buf out = {0};
    cr_assert(mh_buf_append(&out, "kept ", 5) == 0);
    int err = mh_url_resolve(&out, &base, reference);
    drop(reference);
    cr_expect(err == (it->result ? 0 : MH_ERR_URL), "%s at %s: %s", it->reference, base_text,
              mh_errname(err));
    cr_expect(strncmp(out.data, "kept ", 5) == 0 && strlen(out.data) == out.len,
              "%s at %s: what was there before is gone", it->reference, base_text);
    cr_expect_str_eq(out.data + 5, it->result ? it->result : "", "%s at %s gives %s", it->reference,
                     base_text, out.data + 5);
    mh_buf_free(&out);
}

#define EXPECT_RESOLUTIONS(base, table)                                                            \
    for (size_t i = 0; i < sizeof(table) / sizeof *(table); i++)                                   \
    expect_resolution(base, &(table)[i])

Test(url_resolve, normal_examples) /* RFC 3986 section 5.4.1 */
{
    static const struct resolution table[] = {
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
    };
    EXPECT_RESOLUTIONS("http://a/b/c/d;p?q", table);
}

Test(url_resolve, abnormal_examples) /* RFC 3986 section 5.4.2 */
{
    static const struct resolution table[] = {
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        {"http:g", "http:g"}, /* the strict algorithm */
    };
    EXPECT_RESOLUTIONS("http://a/b/c/d;p?q", table);
}

Test(url_resolve, more_references)
{
    static const struct resolution table[] = {
        {"#", "http://a/b/c/d;p?q#"},
        {"?", "http://a/b/c/d;p?"},
        {"?#", "http://a/b/c/d;p?#"},
        {"//g/x/../y?z#s", "http://g/y?z#s"},
        {"//u:p@g:81", "http://u:p@g:81"},
        {"//[::1]:9/", "http://[::1]:9/"},
        {"https://h/../x/./y/..", "https://h/x/"},
        {"HTTP://H:/%2E", "HTTP://H:/%2E"}, /* an escaped dot is no dot segment here */
        {"ftp://h/a/../b", "ftp://h/b"},
        {"mailto:x@y", "mailto:x@y"},
        {"urn:a:b", "urn:a:b"},
        {"g:", "g:"},
        {"g:/..", "g:/"},
        {"g:../x", "g:x"},
        {"g:a/../b", "g:/b"}, /* as section 5.2.4 has it, to the letter */
        {"g:?y#s", "g:?y#s"},
        {"file:///x/../y", "file:///y"},
        {"./a:b", "http://a/b/c/a:b"},
        {"a/b:c", "http://a/b/c/a/b:c"},
        {"/a:b", "http://a/a:b"},
        {"?a:b", "http://a/b/c/d;p?a:b"},
        {".//x", "http://a/b/c//x"},
        {"/.//x", "http://a//x"},
        {"/x//../y", "http://a/x/y"},
        {"/x//../../y", "http://a/y"},
        {"...", "http://a/b/c/..."},
        {"/..", "http://a/"},
        {"/.", "http://a/"},
        {"/../../..", "http://a/"},
        {"%2e%2e/g", "http://a/b/c/%2e%2e/g"},
    };
    EXPECT_RESOLUTIONS("http://a/b/c/d;p?q", table);
}

Test(url_resolve, refused_references)
{
    static const struct resolution table[] = {
        {" g", NULL},
        {"g ", NULL},
        {"g\n", NULL},
        {"a b", NULL},
        {"\x7f", NULL},
        {"\xc3\xa4", NULL},
        {"%", NULL},
        {"%4", NULL},
        {"%zz", NULL},
        {"?%", NULL},
        {"#%", NULL},
        {"#a#b", NULL},
        {"a\\b", NULL},
        {"\\\\evil\\x", NULL},
        {"<g>", NULL},
        {"\"g\"", NULL},
        {"[g]", NULL},
        {":", NULL},
        {":x", NULL},
        {"1a:b", NULL}, /* a first segment with a colon, but no scheme */
        {"a_b:c", NULL},
        {"%61:b", NULL},
        {"//", NULL},
        {"///x", NULL},
        {"//:80", NULL},
        {"//u@", NULL},
        {"//g:0/", NULL},
        {"//g:65536/", NULL},
        {"//g:x/", NULL},
        {"//a@b@c/", NULL},
        {"//[::1", NULL},
        {"//[v1.x]/", NULL},
        {"http://", NULL},
        {"https:///x", NULL},
        {"http:/.//evil", NULL}, /* without its dots this would be "http://evil" */
        {"http:/x/..//evil", NULL},
        {"g:/.//h", NULL},
        {"g:.//h/../..//i", NULL},
    };
    EXPECT_RESOLUTIONS("http://a/b/c/d;p?q", table);
}

Test(url_resolve, base_without_a_path)
{
    static const struct resolution table[] = {
        {"", "https://u:p@h:8443?q"},
        {"#f", "https://u:p@h:8443?q#f"},
        {"?r", "https://u:p@h:8443?r"},
        {"g", "https://u:p@h:8443/g"},
        {"./g", "https://u:p@h:8443/g"},
        {"..", "https://u:p@h:8443/"},
        {"../../g/h", "https://u:p@h:8443/g/h"},
        {"/", "https://u:p@h:8443/"},
        {"//i", "https://i"},
    };
    EXPECT_RESOLUTIONS("https://u:p@h:8443?q#gone", table);
}

Test(url_resolve, base_as_it_was_written)
{
    static const struct resolution table[] = {
        {"x", "HTTP://[::1]:080/a/x"},
        {"", "HTTP://[::1]:080/a/./b/../c"}, /* section 5.2.2: T.path = Base.path */
        {"?", "HTTP://[::1]:080/a/./b/../c?"},
        {"../x", "HTTP://[::1]:080/x"},
        {"..", "HTTP://[::1]:080/"},
    };
    EXPECT_RESOLUTIONS("HTTP://[::1]:080/a/./b/../c", table);
}

Test(url_resolve, absent_reference_is_an_empty_one)
{
    mh_url base;
    cr_assert(mh_url_parse(&base, MH_STR("http://a/b#c")) == 0);
    mh_buf out = {0};
    cr_expect(mh_url_resolve(&out, &base, (mh_str){0}) == 0, "absent reference");
    cr_expect_str_eq(out.data, "http://a/b");
    mh_buf_free(&out);
}

Test(url_resolve, output_that_cannot_grow)
{
    mh_url base;
    cr_assert(mh_url_parse(&base, MH_STR("http://a/b/c?q")) == 0);
    mh_buf out = {.max = 19};
    cr_assert(mh_buf_append(&out, "kept", 4) == 0);
    cr_expect(mh_url_resolve(&out, &base, MH_STR("/123456")) == 0, "exactly as much as fits");
    cr_expect_str_eq(out.data, "kepthttp://a/123456");
    cr_expect(mh_url_resolve(&out, &base, MH_STR("")) == MH_ERR_TOO_LARGE, "no room at all");
    cr_expect_str_eq(out.data, "kepthttp://a/123456", "changed by the failure");
    mh_buf_free(&out);

    allocations_left = 0;
    cr_expect(mh_url_resolve(&out, &base, MH_STR("g")) == -ENOMEM, "no memory");
    allocations_left = -1;
    cr_expect(!out.data && out.len == 0, "no memory: the buffer is empty");
}

Test(url_resolve, long_path_of_dots)
{
    mh_buf reference = {0}, out = {0};
    for (int i = 0; i < 10000; i++)
        cr_assert(mh_buf_append(&reference, "x/../y/./", 9) == 0);
    for (int i = 0; i < 10000; i++)
        cr_assert(mh_buf_append(&reference, "../", 3) == 0);
    mh_url base;
    cr_assert(mh_url_parse(&base, MH_STR("http://a/b/c")) == 0);
    cr_assert(mh_url_resolve(&out, &base, mh_buf_str(&reference)) == 0);
    cr_expect_str_eq(out.data, "http://a/b/");
    mh_buf_free(&reference);
    mh_buf_free(&out);
}

/* ---- mh_url_decode, mh_url_encode ---- */

struct coding {
    mh_str plain, encoded;
};

#define CODING(plain, encoded)                                                                     \
    {                                                                                              \
        {plain, sizeof(plain) - 1},                                                                \
        {                                                                                          \
            encoded, sizeof(encoded) - 1                                                           \
        }                                                                                          \
    }

static const struct coding codings[] = {
    CODING("", ""),
    CODING("abcXYZ019-._~", "abcXYZ019-._~"),
    CODING(" ", "%20"),
    CODING("a b", "a%20b"),
    CODING("/?#[]@:", "%2F%3F%23%5B%5D%40%3A"),
    CODING("!$&'()*+,;=", "%21%24%26%27%28%29%2A%2B%2C%3B%3D"),
    CODING("100%", "100%25"),
    CODING("\0", "%00"),
    CODING("a\0b", "a%00b"),
    CODING("\xc3\xa4\xff\x80", "%C3%A4%FF%80"),
    CODING("\r\n\t\x7f", "%0D%0A%09%7F"),
};

Test(url_coding, both_ways)
{
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        const struct coding *it = &codings[i];
        mh_buf encoded = {0}, plain = {0};
        mh_str from = exact(it->plain), back = exact(it->encoded);
        cr_expect(mh_url_encode(&encoded, from) == 0, "%s: encode", it->encoded.ptr);
        cr_expect(mh__str_same(mh_buf_str(&encoded), it->encoded), "%s: encoded to " MH_FMT,
                  it->encoded.ptr, MH_ARG(mh_buf_str(&encoded)));
        cr_expect(mh_url_decode(&plain, back) == 0, "%s: decode", it->encoded.ptr);
        cr_expect(mh__str_same(mh_buf_str(&plain), it->plain), "%s: decoded", it->encoded.ptr);
        drop(from);
        drop(back);
        mh_buf_free(&encoded);
        mh_buf_free(&plain);
    }
}

Test(url_coding, every_byte_comes_back)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    mh_buf encoded = {0}, plain = {0};
    cr_assert(mh_url_encode(&encoded, (mh_str){all, sizeof all}) == 0);
    cr_expect(encoded.len == 66 + 3 * 190, "66 unreserved characters, not %zu", encoded.len);
    cr_assert(mh_url_decode(&plain, mh_buf_str(&encoded)) == 0);
    cr_expect(plain.len == sizeof all && memcmp(plain.data, all, sizeof all) == 0, "round trip");
    mh_buf_free(&encoded);
    mh_buf_free(&plain);
}

static void expect_decoded(const char *text, int err, const char *expected)
{
    mh_buf out = {0};
    cr_assert(mh_buf_append(&out, "kept ", 5) == 0);
    mh_str copy = exact(mh_str_from(text));
    int got = mh_url_decode(&out, copy);
    drop(copy);
    cr_expect(got == err, "%s: %s", text, mh_errname(got));
    cr_expect(strcmp(out.data + 5, expected) == 0 && strncmp(out.data, "kept ", 5) == 0,
              "%s: gives %s", text, out.data);
    mh_buf_free(&out);
}

Test(url_coding, decode_only)
{
    expect_decoded("a+b", 0, "a+b");
    expect_decoded("%2f%2F%41%7e", 0, "//A~");
    expect_decoded("%2525", 0, "%25");
    expect_decoded("a b\xff", 0, "a b\xff");
    expect_decoded("%", MH_ERR_URL, "");
    expect_decoded("%4", MH_ERR_URL, "");
    expect_decoded("ok%41%4", MH_ERR_URL, "");
    expect_decoded("%4g", MH_ERR_URL, "");
    expect_decoded("%g4", MH_ERR_URL, "");
    expect_decoded("%%41", MH_ERR_URL, "");
    expect_decoded("% 1", MH_ERR_URL, "");
    expect_decoded("%-1", MH_ERR_URL, "");
    expect_decoded("%0x", MH_ERR_URL, "");
}

Test(url_coding, absent_text_is_an_empty_one)
{
    mh_buf out = {0};
    cr_expect(mh_url_decode(&out, (mh_str){0}) == 0, "decode");
    cr_expect(mh_url_encode(&out, (mh_str){0}) == 0, "encode");
    cr_expect(out.len == 0, "nothing was written");
    mh_buf_free(&out);
}

Test(url_coding, output_that_cannot_grow)
{
    mh_buf out = {.max = 4};
    cr_expect(mh_url_decode(&out, MH_STR("a%62c%64")) == 0, "decoded it fits");
    cr_expect_str_eq(out.data, "abcd");
    mh_buf_clear(&out);
    cr_expect(mh_url_decode(&out, MH_STR("a%62c%64e")) == MH_ERR_TOO_LARGE, "one byte too many");
    cr_expect_str_eq(out.data, "", "left by a failed decode");
    cr_expect(mh_url_encode(&out, MH_STR("a/")) == 0, "encoded it fits");
    mh_buf_clear(&out);
    cr_expect(mh_url_encode(&out, MH_STR("ab/")) == MH_ERR_TOO_LARGE, "an escape does not fit");
    cr_expect_str_eq(out.data, "", "left by a failed encode");
    mh_buf_free(&out);

    allocations_left = 0;
    cr_expect(mh_url_decode(&out, MH_STR("a")) == -ENOMEM, "decode without memory");
    cr_expect(mh_url_decode(&out, MH_STR("%41")) == -ENOMEM, "decode an escape without memory");
    cr_expect(mh_url_encode(&out, MH_STR("/")) == -ENOMEM, "encode without memory");
    allocations_left = -1;
    cr_expect(!out.data && out.len == 0, "no memory: the buffer is empty");
}

/* ---- what the engine asks ---- */

struct form {
    mh_str text;
    bool host, authority, absolute;
};

#define FORM(text, host, authority, absolute)                                                      \
    {                                                                                              \
        {"" text "", sizeof(text) - 1}, host, authority, absolute                                  \
    }

static const struct form forms[] = {
    FORM("", false, false, false),
    FORM("a", true, false, false),
    FORM("example.com", true, false, false),
    FORM("example.com:", true, false, false),
    FORM("example.com:80", true, true, false),
    FORM("example.com:0", true, false, false),
    FORM("example.com:00", true, false, false),
    FORM("example.com:1", true, true, false),
    FORM("example.com:65535", true, true, false),
    FORM("example.com:000000000443", true, true, false),
    FORM("example.com:65536", false, false, false),
    FORM("example.com:4294967376", false, false, false),
    FORM("example.com:18446744073709551696", false, false, false),
    FORM("example.com:80:80", false, false, false),
    FORM("example.com:8x", false, false, false),
    FORM("example.com:-1", false, false, false),
    FORM("example.com:80 ", false, false, false),
    FORM(" example.com:80", false, false, false),
    FORM("exa mple.com", false, false, false),
    FORM("example.com/", false, false, false),
    FORM("example.com:80/", false, false, false),
    FORM("example.com?", false, false, false),
    FORM("example.com#", false, false, false),
    FORM("u@example.com", false, false, false),
    FORM("u:p@example.com:80", false, false, false),
    FORM("a,b", true, false, false), /* a comma is a sub-delim */
    FORM("a, b", false, false, false),
    FORM("a\0b", false, false, false),
    FORM("a\tb", false, false, false),
    FORM("a\x80", false, false, false),
    FORM("a%41", true, false, false),
    FORM("%41%2e:1", true, true, false),
    FORM("a%", false, false, false),
    FORM("a%4", false, false, false),
    FORM("a%4g", false, false, false),
    FORM("a_b!$&'()*+;=~", true, false, false),
    FORM(":80", false, false, false),
    FORM(":", false, false, false),
    FORM("127.0.0.1:8080", true, true, false),
    FORM("[::1]", true, false, false),
    FORM("[::1]:", true, false, false),
    FORM("[::1]:443", true, true, false),
    FORM("[1:2:3:4:5:6:7:8]:1", true, true, false),
    FORM("[::1]443", false, false, false),
    FORM("[::1", false, false, false),
    FORM("[", false, false, false),
    FORM("[]", false, false, false),
    FORM("[]:80", false, false, false),
    FORM("[::g]", false, false, false),
    FORM("[v1.a]", false, false, false),
    FORM("::1", false, false, false),
    FORM("*", true, false, false),
    FORM("/", false, false, false),
    FORM("http://a", false, false, true),
    FORM("http://a/", false, false, true),
    FORM("HTTPS://a:1/b?c", false, false, true),
    FORM("http://a?c", false, false, true),
    FORM("http://[::1]/", false, false, true),
    FORM("http://a/#", false, false, false),
    FORM("http://a#f", false, false, false),
    FORM("http://u@a/", false, false, false),
    FORM("http://@a/", false, false, false),
    FORM("http://a:0/", false, false, false),
    FORM("http:///", false, false, false),
    FORM("http:a", false, false, false),
    FORM("ftp://a/", false, false, false),
    FORM("http://a/ b", false, false, false),
};

Test(url_forms, host_authority_absolute)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const struct form *it = &forms[i];
        mh_str text = exact(it->text);
        cr_expect(mh__host_valid(text) == it->host, "host: %s", it->text.ptr);
        cr_expect(mh__authority_valid(text) == it->authority, "authority: %s", it->text.ptr);
        cr_expect(mh__absolute_form_valid(text) == it->absolute, "absolute: %s", it->text.ptr);
        drop(text);
    }
}

Test(url_forms, absent)
{
    mh_str absent = {0};
    cr_expect(!mh__host_valid(absent), "host");
    cr_expect(!mh__authority_valid(absent), "authority");
    cr_expect(!mh__absolute_form_valid(absent), "absolute");
}

Test(url_forms, every_byte_in_a_host)
{
    for (int byte = 0; byte < 256; byte++) {
        char text[] = {'a', (char)byte, 'b'};
        bool allowed = byte != 0 && strchr(REG_NAME, byte);
        cr_expect(mh__host_valid((mh_str){text, 3}) == allowed, "byte 0x%02x", (unsigned)byte);
    }
}
