/* What a file is, by its name. The source is included, to look at its table. */
#include <criterion/criterion.h>

#include "../lib/http/media_type.c"

#define UNKNOWN "application/octet-stream"

static const struct {
    const char *name, *type;
} cases[] = {
    {"index.html", "text/html; charset=utf-8"},
    {"/a/b.c/index.HTML", "text/html; charset=utf-8"},
    {"a.tar.gz", "application/gzip"},
    {"style.css", "text/css; charset=utf-8"},
    {"app.js", "text/javascript; charset=utf-8"},
    {"notes.txt", "text/plain; charset=utf-8"},
    {"logo.svg", "image/svg+xml"},
    {"data.json", "application/json"},
    {"photo.JPG", "image/jpeg"},
    {"font.woff2", "font/woff2"},
    {"site.webmanifest", "application/manifest+json"},
    {"module.wasm", "application/wasm"},
    {"", UNKNOWN},
    {".", UNKNOWN},
    {"..", UNKNOWN},
    {"html", UNKNOWN},
    {".html", UNKNOWN},
    {"/a/.html", UNKNOWN},
    {"a.", UNKNOWN},
    {"a.html/", UNKNOWN},
    {"a.html/b", UNKNOWN},
    {"a.htmlx", UNKNOWN},
    {"a.webmanifestx", UNKNOWN},
    {"a.a-very-long-extension-indeed", UNKNOWN},
};

Test(media_type, cases)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(mh__media_type(mh_str_from(cases[i].name)), cases[i].type, "%s",
                         cases[i].name);
    cr_expect_str_eq(mh__media_type((mh_str){0}), UNKNOWN);
    cr_expect_str_eq(mh__media_type((mh_str){"a.html\0", 7}), UNKNOWN);
}

/* No extension is there twice, or too long to be found. */
Test(media_type, all_of_the_table_is_found)
{
    size_t count = 0;
    for (const char *at = types, *end = types + sizeof(types) - 1; at < end; count++) {
        const char *type = at + strlen(at) + 1;
        cr_expect_lt(strlen(at), EXTENSION_MAX, "%s", at);
        cr_expect_eq(find(at), type, "%s", at);
        cr_expect_not_null(strchr(type, '/'), "%s: %s", at, type);
        at = type + strlen(type) + 1;
    }
    cr_expect_gt(count, 80);
}
