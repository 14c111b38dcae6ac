/* Paths as handlers get them: decoded, and never above the root. */
#include <errno.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/str.h"
#include "http/path.h"
#include "../scarce.h"

struct path_case {
    mh_str raw, path;
};

#define CASE(raw, path)                                                                            \
    {                                                                                              \
        {"" raw "", sizeof(raw) - 1},                                                              \
        {                                                                                          \
            "" path "", sizeof(path) - 1                                                           \
        }                                                                                          \
    }

static const struct path_case cases[] = {
    CASE("", "/"),
    CASE("*", "/"),
    CASE("a/b", "/"), /* no request line brings it, and it could only be misunderstood */
    CASE("%2fa", "/"),
    CASE("/", "/"),
    CASE("/a", "/a"),
    CASE("/a/", "/a/"),
    CASE("/a/b/c", "/a/b/c"),
    CASE("//", "//"),
    CASE("//a//b", "//a//b"),

    CASE("/.", "/"),
    CASE("/./", "/"),
    CASE("/./a", "/a"),
    CASE("/a/.", "/a/"),
    CASE("/a/./b", "/a/b"),
    CASE("/././././", "/"),
    CASE("/..", "/"),
    CASE("/../", "/"),
    CASE("/../a", "/a"),
    CASE("/../../../etc/passwd", "/etc/passwd"),
    CASE("/a/..", "/"),
    CASE("/a/../", "/"),
    CASE("/a/../..", "/"),
    CASE("/a/../../b", "/b"),
    CASE("/a/b/..", "/a/"),
    CASE("/a/b/../c", "/a/c"),
    CASE("/a/b/c/./../../g", "/a/g"),
    CASE("//..", "/"),
    CASE("//../a", "/a"),
    CASE("/a//../b", "/a/b"),
    CASE("/a/.//../b", "/a/b"),

    CASE("/...", "/..."),
    CASE("/.a", "/.a"),
    CASE("/..a", "/..a"),
    CASE("/a.", "/a."),
    CASE("/a..", "/a.."),
    CASE("/a./b", "/a./b"),
    CASE("/a../b", "/a../b"),
    CASE("/.../b", "/.../b"),
    CASE("/.well-known/x", "/.well-known/x"),

    CASE("/%61", "/a"),
    CASE("/a%20b+c", "/a b+c"),
    CASE("/%C3%A4", "/\xc3\xa4"),
    CASE("/%ff%01", "/\xff\x01"),
    CASE("/%25", "/%"),
    CASE("/%252e%252e/a", "/%2e%2e/a"), /* decoded once, not twice */
    CASE("/%2e", "/"),
    CASE("/%2E%2e/a", "/a"),
    CASE("/a/.%2e/b", "/b"),
    CASE("/a/%2e./b", "/b"),
    CASE("/a%2f..%2fb", "/b"),
    CASE("/a/..%2f..%2fetc", "/etc"),
    CASE("/%2f%2e%2e%2f%2e%2e", "/"),
    CASE("/a%2Fb", "/a/b"),
    CASE("/a;p=1/..;x/b", "/a;p=1/..;x/b"),
    CASE("/a\\..\\b", "/a\\..\\b"),
    CASE("/?", "/?"), /* a query is not looked for here */
};

static mh_str exact(mh_str text)
{
    char *copy = malloc(text.len ? text.len : 1);
    cr_assert(copy);
    memcpy(copy, text.ptr, text.len);
    return (mh_str){copy, text.len};
}

static int decode(mh_buf *out, mh_str raw)
{
    mh_str copy = exact(raw);
    int err = mh__path_decode(out, copy);
    free((void *)(uintptr_t)copy.ptr);
    return err;
}

Test(path, decode)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mh_buf out = {0};
        int err = decode(&out, cases[i].raw);
        cr_expect(err == 0, "%s: %s", cases[i].raw.ptr, mh_errname(err));
        cr_expect(mh__str_same(mh_buf_str(&out), cases[i].path), "%s: gives %s", cases[i].raw.ptr,
                  out.data);
        mh_buf_free(&out);
    }
}

Test(path, decode_appends)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mh_buf out = {0};
        cr_assert(mh_buf_append(&out, "/x/y", 4) == 0);
        cr_expect(decode(&out, cases[i].raw) == 0, "%s", cases[i].raw.ptr);
        mh_str added = {out.data + 4, out.len - 4};
        cr_expect(memcmp(out.data, "/x/y", 4) == 0 && mh__str_same(added, cases[i].path),
                  "%s: behind /x/y gives %s", cases[i].raw.ptr, out.data);
        mh_buf_free(&out);
    }
}

/* Every path of seven bytes over the bytes that matter stays below the root, and is clean. */
Test(path, all_small_ones)
{
    static const char alphabet[] = "/.a";
    mh_buf out = {0};
    for (int number = 0; number < 3 * 3 * 3 * 3 * 3 * 3; number++) {
        char raw[] = "/xxxxxx";
        for (int i = 1, rest = number; i <= 6; i++, rest /= 3)
            raw[i] = alphabet[rest % 3];
        cr_expect(mh__path_decode(&out, mh_str_from(raw)) == 0, "%s", raw);
        cr_expect(out.data[0] == '/', "%s: gives %s", raw, out.data);
        mh_str once = {out.data, out.len};
        cr_assert(mh_buf_append(&out, "/", 1) == 0);
        cr_expect(!strstr(out.data, "/../") && !strstr(out.data, "/./"), "%s: gives %s", raw,
                  out.data);
        once.ptr = out.data;
        mh_buf again = {0};
        cr_expect(mh__path_decode(&again, once) == 0, "%s again", raw);
        cr_expect(mh__str_same(mh_buf_str(&again), once), "%s: %s then %s", raw, out.data,
                  again.data);
        mh_buf_free(&again);
        mh_buf_clear(&out);
    }
    mh_buf_free(&out);
}

Test(path, refused)
{
    static const mh_str refused[] = {
        {"/%", 2},        {"/%4", 3},      {"/%4/", 4},    {"/%g4", 4},   {"/%4g", 4},
        {"/%%41", 5},     {"/a/%zz/b", 8}, {"/%00", 4},    {"/a%00b", 6}, {"/a/..%00", 8},
        {"/%00/../b", 9}, {"/a\0b", 4},    {"/%u0041", 7}, {"/%+1", 4},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        mh_buf out = {0};
        cr_assert(mh_buf_append(&out, "kept", 4) == 0);
        cr_expect(decode(&out, refused[i]) == MH_ERR_URL, "%s", refused[i].ptr);
        cr_expect_str_eq(out.data, "kept", "%s: left %s", refused[i].ptr, out.data);
        mh_buf_free(&out);
    }
}

Test(path, absent_means_the_root)
{
    mh_buf out = {0};
    cr_expect(mh__path_decode(&out, (mh_str){0}) == 0, "absent path");
    cr_expect_str_eq(out.data, "/");
    mh_buf_free(&out);
}

Test(path, output_that_cannot_grow)
{
    mh_buf out = {.max = 4};
    cr_expect(mh__path_decode(&out, MH_STR("/%61bc")) == 0, "exactly as much as fits");
    cr_expect(mh__path_decode(&out, MH_STR("/")) == MH_ERR_TOO_LARGE, "a byte too many");
    cr_expect(mh__path_decode(&out, MH_STR("")) == MH_ERR_TOO_LARGE, "the root of an empty path");
    cr_expect_str_eq(out.data, "/abc", "changed by the failure");
    mh_buf_free(&out);

    allocations_left = 0;
    cr_expect(mh__path_decode(&out, MH_STR("/a")) == -ENOMEM, "no memory");
    cr_expect(mh__path_decode(&out, MH_STR("")) == -ENOMEM, "no memory for the root");
    allocations_left = -1;
    cr_expect(!out.data && out.len == 0, "no memory: the buffer is empty");
}

/* ---- mh__path_remove_dots: what only a reference brings, a path without a slash in front ---- */

Test(path, remove_dots_from_relative_paths)
{
    static const struct {
        const char *path, *result;
    } table[] = {
        {"", ""},
        {".", ""},
        {"..", ""},
        {"./", ""},
        {"../", ""},
        {"./..", ""},
        {"../.", ""},
        {"a", "a"},
        {"./a", "a"},
        {"../a", "a"},
        {"../../a", "a"},
        {"./../../a/..", "/"},
        {"a/.", "a/"},
        {"a/..", "/"},
        {"a/../b", "/b"},
        {"a/b/..", "a/"},
        {".a", ".a"},
        {"..a", "..a"},
        {"...", "..."},
        {".../x", ".../x"},
        {"a.", "a."},
        {"a..", "a.."},
        {"x./y", "x./y"},
        {"x../y", "x../y"},
        {".//a", "/a"},
        {"..//..", "/"},
        {"mid/content=5/../6", "mid/6"},
        {"/a/b/c/./../../g", "/a/g"}, /* both examples of RFC 3986 section 5.2.4 */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mh_str copy = exact(mh_str_from(table[i].path));
        char *path = (char *)(uintptr_t)copy.ptr;
        mh_str result = {path, mh__path_remove_dots(path, copy.len)};
        cr_expect(mh_str_equal(result, table[i].result), "%s: gives " MH_FMT, table[i].path,
                  MH_ARG(result));
        free(path);
    }
}
