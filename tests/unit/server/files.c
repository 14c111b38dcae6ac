/* The handler that answers with files, asked in memory: lib/server/files.c. */
#include <criterion/criterion.h>

#include "server/files.h"
#include "../descriptors.h"
#include "../folder.h"
#include "../scarce.h"

#define SIZE 100000 /* of a file that does not stay in memory */
#define TIME 784111777
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static mh_files files;
static mh_server *server;
static mh_response res;
static char big[SIZE];
static int descriptors;

static int scarce = -1; /* allocations that the handler gets; negative: all it wants */
static bool ran_out;

static int handler(mh_request *req)
{
    req->user = &files;
    allocations_left = scarce;
    int result = mh_serve_files(req);
    ran_out = allocations_left == 0;
    allocations_left = -1;
    return result;
}

static void setup(void)
{
    descriptors = open_descriptors();
    make_folder();
    files = (mh_files){.root = folder};
    for (size_t i = 0; i < SIZE; i++)
        big[i] = (char)('a' + i * 7 % 26);
    write_text("a.txt", "0123456789");
    write_file("big.bin", big, SIZE);
    write_text("empty", "");
    make_directory("sub");
    write_text("sub/index.html", "<p>sub");
    make_directory("bare");
    write_text("bare/c.css", "c");
    make_directory("co:lon & more");
    write_text(".hidden", "x");
    make_directory(".git");
    write_text(".git/config", "x");
    make_directory(".well-known");
    write_text(".well-known/token", "t");
    make_link("out", "/etc/passwd");
    make_link("in", "a.txt");
    set_time("a.txt", TIME);
    set_time("big.bin", TIME);
    mh_server_options options = {.address = "127.0.0.1:0", .handler = handler};
    cr_assert_eq(mh_server_new(&server, &options), 0);
}

static void teardown(void)
{
    mh_response_free(&res);
    mh_server_free(server);
    remove_folder();
    cr_expect_eq(open_descriptors(), descriptors);
}

TestSuite(files, .init = setup, .fini = teardown);

/* Up to three fields, as lines. */
static int ask(const char *method, const char *url, const char *a, const char *b, const char *c)
{
    const char *const lines[] = {a, b, c, NULL};
    mh_fetch fetch = {.method = method, .url = url, .headers = lines, .redirects_max = -1};
    return mh_server_fetch(server, &fetch, &res);
}

static int get(const char *url, const char *line)
{
    return ask("GET", url, line, NULL, NULL);
}

static bool has(const char *name, const char *value)
{
    return mh_str_equal(mh_headers_get(res.headers, name), value);
}

static bool body_is(const void *data, size_t len)
{
    return res.body.len == len && (len == 0 || memcmp(res.body.data, data, len) == 0);
}

static bool text_is(const char *text)
{
    return body_is(text, strlen(text));
}

/* Of the last response. */
static const char *etag_line(const char *name)
{
    static char line[160];
    mh_str etag = mh_headers_get(res.headers, "ETag");
    snprintf(line, sizeof(line), "%s: " MH_FMT, name, MH_ARG(etag));
    return line;
}

/* ---- all of it ---- */

Test(files, a_small_one)
{
    cr_assert_eq(get("/a.txt", NULL), 200);
    cr_expect(text_is("0123456789"));
    cr_expect(has("Content-Type", "text/plain; charset=utf-8") && has("Content-Length", "10"));
    cr_expect(has("Last-Modified", DATE) && has("Accept-Ranges", "bytes"));
    cr_expect(has("X-Content-Type-Options", "nosniff"));
    cr_expect(has("Cache-Control", NULL) && has("Vary", NULL) && has("Content-Encoding", NULL));
    mh_str etag = mh_headers_get(res.headers, "ETag");
    cr_expect(etag.len > 2 && etag.ptr[0] == '"');
}

Test(files, a_large_one_and_an_empty_one)
{
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(get("/big.bin", NULL), 200);
        cr_expect(body_is(big, SIZE) && has("Content-Type", "application/octet-stream"));
        cr_assert_eq(get("/empty", NULL), 200);
        cr_expect(text_is("") && has("Content-Length", "0"));
    }
}

Test(files, head_says_the_same_without_a_body)
{
    cr_assert_eq(ask("HEAD", "/big.bin", "Range: bytes=0-1", NULL, NULL), 200);
    cr_expect(has("Content-Length", "100000") && has("Last-Modified", DATE) && text_is(""));
    cr_assert_eq(ask("HEAD", "/a.txt", NULL, NULL, NULL), 200);
    cr_expect(has("Content-Length", "10") && text_is(""));
}

Test(files, other_methods)
{
    static const char *const refused[] = {"POST", "PUT", "DELETE", "PATCH", "get"};
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(ask(refused[i], "/a.txt", NULL, NULL, NULL), 405, "%s", refused[i]);
        cr_expect(has("Allow", "GET, HEAD, OPTIONS"));
    }
    cr_expect_eq(ask("OPTIONS", "/a.txt", NULL, NULL, NULL), 204);
    cr_expect(has("Allow", "GET, HEAD, OPTIONS"));
}

Test(files, a_change_shows_at_once)
{
    cr_assert_eq(get("/a.txt", NULL), 200);
    write_text("a.txt", "9876543210");
    cr_assert_eq(get("/a.txt", NULL), 200);
    cr_expect(text_is("9876543210"));
    write_text("next", "replaced");
    cr_assert_eq(rename(in_folder("next"), in_folder("a.txt")), 0);
    cr_assert_eq(get("/a.txt", NULL), 200);
    cr_expect(text_is("replaced"));
    cr_assert_eq(unlink(in_folder("a.txt")), 0);
    cr_expect_eq(get("/a.txt", NULL), 404);
}

Test(files, how_long_it_may_be_kept)
{
    files.max_age_s = 3600;
    cr_assert_eq(get("/a.txt", NULL), 200);
    cr_expect(has("Cache-Control", "max-age=3600"));
    files.max_age_s = 5;
    cr_assert_eq(get("/a.txt", NULL), 200);
    cr_expect(has("Cache-Control", "max-age=5"));
}

/* ---- where a path leads ---- */

Test(files, directories)
{
    cr_expect_eq(get("/sub/", NULL), 200);
    cr_expect(text_is("<p>sub") && has("Content-Type", "text/html; charset=utf-8"));
    cr_expect_eq(get("/sub", NULL), 301);
    cr_expect(has("Location", "./sub/"));
    cr_expect_eq(get("/sub?a=b&c=//d", NULL), 301);
    cr_expect(has("Location", "./sub/?a=b&c=//d"));
    cr_expect_eq(get("/co:lon%20%26%20more", NULL), 301);
    cr_expect(has("Location", "./co%3Alon%20%26%20more/"));
    cr_expect_eq(get("//sub", NULL), 301);
    cr_expect(has("Location", "./sub/"));
    cr_expect_eq(get("/bare/", NULL), 404);
    cr_expect_eq(get("/", NULL), 404);
    files.index = "c.css";
    cr_expect_eq(get("/bare/", NULL), 200);
    cr_expect(has("Content-Type", "text/css; charset=utf-8"));
}

Test(files, what_is_not_there)
{
    static const char *const urls[] = {
        "/none",
        "/a.txt/",
        "/a.txt/b",
        "/.hidden",
        "/.git/config",
        "/.git/",
        "/sub/.hidden",
        "/out",
        "/%2ehidden",
        "/sub%2findex.html",
        "/sub%2Findex.html",
        "/..%2f..%2fetc/passwd",
        "/%5c..%5ca.txt",
        "/..%5c..%5cetc%5cpasswd",
        "/a.txt%20",
        "/a.txt.",
        "/a.txt::$DATA",
        "/~root",
        "/A.TXT",
        "/.well-known/../.hidden",
        "/.well-known/.x",
        "/sub/.well-known/token",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        cr_expect_eq(get(urls[i], NULL), 404, "%s: %d", urls[i], res.status);
        cr_expect(has("ETag", NULL));
    }
}

Test(files, what_is)
{
    static const char *const urls[] = {
        "/in",      "//a.txt",       "/sub/../a.txt", "/../a.txt",    "/%61.txt",
        "/./a.txt", "/a.txt?x=/../", "/a.txt?%2f",    "/../../a.txt", "/%2e%2e/a.txt"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        cr_expect_eq(get(urls[i], NULL), 200, "%s: %d", urls[i], res.status);
        cr_expect(text_is("0123456789"));
    }
    cr_expect_eq(get("/.well-known/token", NULL), 200);
}

Test(files, a_prefix_is_taken_off)
{
    static const char *const prefixes[] = {"/static", "/static/"};
    for (int i = 0; i < 2; i++) {
        files.prefix = prefixes[i];
        cr_expect_eq(get("/static/a.txt", NULL), 200);
        cr_expect_eq(get("/static/sub/", NULL), 200);
        cr_expect_eq(get("/a.txt", NULL), 404);
        cr_expect_eq(get("/statica.txt", NULL), 404);
        cr_expect_eq(get("/stat", NULL), 404);
        cr_expect_eq(get("/", NULL), 404);
        cr_expect_eq(get("/static/../a.txt", NULL), 404);
        cr_expect_eq(get("/static?q", NULL), 301);
        cr_expect(has("Location", "./static/?q"));
    }
    files.prefix = "/";
    cr_expect_eq(get("/a.txt", NULL), 200);
    files.prefix = "";
    cr_expect_eq(get("/a.txt", NULL), 200);
}

Test(files, a_path_of_any_length)
{
    char url[9000];
    for (size_t len = 4000; len < 4200; len++) {
        memset(url, 'a', len);
        url[0] = '/';
        url[len] = '\0';
        cr_assert_eq(get(url, NULL), 404);
        url[len - 1] = '/';
        cr_assert_eq(get(url, NULL), 404);
    }
}

Test(files, without_a_root_it_is_an_error)
{
    files.root = NULL;
    cr_expect_eq(get("/a.txt", NULL), 500);
    files.root = "";
    cr_expect_eq(get("/a.txt", NULL), 500);
    files.root = in_folder("none");
    cr_expect_eq(get("/a.txt", NULL), 404);
}

Test(files, what_may_not_be_read)
{
    if (geteuid() == 0)
        cr_skip_test("root may read everything");
    cr_assert_eq(chmod(in_folder("a.txt"), 0), 0);
    cr_expect_eq(get("/a.txt", NULL), 403);
}

/* ---- conditions ---- */

Test(files, conditions)
{
    cr_assert_eq(get("/a.txt", NULL), 200);
    const char *match = etag_line("If-None-Match");
    files.max_age_s = 7;
    cr_expect_eq(get("/a.txt", match), 304);
    cr_expect(text_is("") && has("Content-Type", NULL) && has("Cache-Control", "max-age=7"));
    cr_expect(has("Last-Modified", DATE) && mh_headers_get(res.headers, "ETag").len > 2);
    cr_expect_eq(ask("HEAD", "/a.txt", match, NULL, NULL), 304);
    cr_expect_eq(get("/a.txt", "If-None-Match: \"x\""), 200);
    cr_expect_eq(get("/a.txt", "If-Modified-Since: " DATE), 304);
    cr_expect_eq(get("/a.txt", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT"), 200);
    cr_expect_eq(get("/a.txt", "If-Match: \"x\""), 412);
    cr_expect_eq(get("/a.txt", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"), 412);
    cr_expect_eq(get("/none", "If-None-Match: *"), 404);
}

Test(files, another_content_has_another_tag)
{
    cr_assert_eq(get("/a.txt", NULL), 200);
    const char *match = etag_line("If-None-Match");
    write_text("a.txt", "abcdefghij");
    cr_expect_eq(get("/a.txt", match), 200);
    cr_expect(text_is("abcdefghij"));
}

/* ---- parts ---- */

Test(files, one_part)
{
    cr_assert_eq(get("/a.txt", "Range: bytes=2-4"), 206);
    cr_expect(text_is("234") && has("Content-Range", "bytes 2-4/10") && has("Content-Length", "3"));
    cr_expect(has("Content-Type", "text/plain; charset=utf-8"));
    cr_assert_eq(get("/big.bin", "Range: bytes=-10"), 206);
    cr_expect(body_is(big + SIZE - 10, 10) && has("Content-Range", "bytes 99990-99999/100000"));
    cr_assert_eq(get("/big.bin", "Range: bytes=1-"), 206);
    cr_expect(body_is(big + 1, SIZE - 1));
    cr_assert_eq(get("/a.txt", "Range: lines=2-4"), 200);
    cr_assert_eq(get("/empty", "Range: bytes=-5"), 200);
}

Test(files, a_part_that_is_not_there)
{
    cr_assert_eq(get("/a.txt", "Range: bytes=10-"), 416);
    cr_expect(has("Content-Range", "bytes */10"));
    cr_assert_eq(get("/empty", "Range: bytes=0-"), 416);
    cr_expect(has("Content-Range", "bytes */0"));
}

Test(files, a_part_of_what_the_client_has)
{
    cr_assert_eq(get("/a.txt", NULL), 200);
    const char *same = etag_line("If-Range");
    cr_expect_eq(ask("GET", "/a.txt", "Range: bytes=2-4", same, NULL), 206);
    cr_expect_eq(ask("GET", "/a.txt", "Range: bytes=2-4", "If-Range: " DATE, NULL), 206);
    cr_expect_eq(ask("GET", "/a.txt", "Range: bytes=2-4", "If-Range: \"x\"", NULL), 200);
    cr_expect(text_is("0123456789"));
    cr_expect_eq(ask("GET", "/a.txt", "Range: bytes=20-", "If-Range: \"x\"", NULL), 200);
    cr_expect_eq(ask("GET", "/a.txt", "Range: bytes=2-4", "If-None-Match: *", NULL), 304);
}

/* Takes a multipart/byteranges apart; the parts' bytes come together in *out. */
static int join_parts(mh_buf *out, const char *type, size_t size)
{
    mh_str content_type = mh_headers_get(res.headers, "Content-Type");
    static const char start[] = "multipart/byteranges; boundary=";
    size_t start_len = sizeof(start) - 1;
    cr_assert(content_type.len > start_len && memcmp(content_type.ptr, start, start_len) == 0);
    mh_str boundary = {content_type.ptr + start_len, content_type.len - start_len};
    const char *at = res.body.data, *end = at + res.body.len;
    for (int count = 0;; count++) {
        char head[300];
        int len = snprintf(head, sizeof(head), "\r\n--" MH_FMT, MH_ARG(boundary));
        cr_assert(end - at >= len && memcmp(at, head, (size_t)len) == 0);
        at += len;
        if (end - at == 4 && memcmp(at, "--\r\n", 4) == 0)
            return count;
        unsigned long first, last, of;
        len = snprintf(head, sizeof(head), "\r\nContent-Type: %s\r\n", type);
        cr_assert(end - at >= len && memcmp(at, head, (size_t)len) == 0);
        at += len;
        cr_assert_eq(sscanf(at, "Content-Range: bytes %lu-%lu/%lu", &first, &last, &of), 3);
        cr_assert(of == size && first <= last && last < of);
        at = strstr(at, "\r\n\r\n") + 4;
        cr_assert_eq(mh_buf_append(out, at, last - first + 1), 0);
        at += last - first + 1;
    }
}

Test(files, several_parts)
{
    mh_buf joined = {0};
    cr_assert_eq(get("/big.bin", "Range: bytes=0-9, 50000-89999, -1"), 206);
    cr_expect_eq(join_parts(&joined, "application/octet-stream", SIZE), 3);
    cr_expect(joined.len == 40011 && memcmp(joined.data, big, 10) == 0);
    cr_expect_eq(memcmp(joined.data + 10, big + 50000, 40000), 0);
    cr_expect_eq(joined.data[40010], big[SIZE - 1]);
    cr_expect(has("Content-Range", NULL) && has("Last-Modified", DATE));
    mh_buf_free(&joined);
}

Test(files, several_parts_of_what_is_in_memory)
{
    mh_buf joined = {0};
    write_file("some.txt", big, 1000);
    cr_assert_eq(get("/some.txt", "Range: bytes=900-, 0-4"), 206);
    cr_expect_eq(join_parts(&joined, "text/plain; charset=utf-8", 1000), 2);
    cr_expect(joined.len == 105 && memcmp(joined.data, big + 900, 100) == 0);
    cr_expect_eq(memcmp(joined.data + 100, big, 5), 0);
    mh_buf_free(&joined);
}

/* ---- in another coding ---- */

static void write_coded(void)
{
    files.precompressed = true;
    write_text("a.txt.gz", "(gzip)");
    write_text("a.txt.br", "(br)");
    set_time("a.txt.gz", TIME);
    set_time("a.txt.br", TIME + 5);
}

Test(files, codings)
{
    write_coded();
    cr_assert_eq(get("/a.txt", "Accept-Encoding: gzip, br"), 200);
    cr_expect(text_is("(br)") && has("Content-Encoding", "br") && has("Vary", "Accept-Encoding"));
    cr_expect(has("Content-Type", "text/plain; charset=utf-8") && has("Content-Length", "4"));
    const char *match = etag_line("If-Match");
    cr_expect_eq(get("/a.txt", match), 412);
    static const struct {
        const char *accept, *coding, *body;
    } cases[] = {
        {"Accept-Encoding: gzip", "gzip", "(gzip)"},
        {"Accept-Encoding: br;q=0.5, gzip", "gzip", "(gzip)"},
        {"Accept-Encoding: br;q=0, gzip;q=0.1", "gzip", "(gzip)"},
        {"Accept-Encoding: gzip;q=0.5, identity", NULL, "0123456789"},
        {"Accept-Encoding: deflate", NULL, "0123456789"},
        {"Accept-Encoding: identity", NULL, "0123456789"},
        {"Accept-Encoding: *;q=0", NULL, "0123456789"},
        {"Accept-Encoding: *", "br", "(br)"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(get("/a.txt", cases[i].accept), 200);
        cr_expect(text_is(cases[i].body), "%s", cases[i].accept);
        cr_expect(has("Content-Encoding", cases[i].coding), "%s", cases[i].accept);
        cr_expect(has("Vary", "Accept-Encoding"));
    }
}

Test(files, codings_that_are_missing_or_old)
{
    write_coded();
    set_time("a.txt.br", TIME - 1);
    cr_assert_eq(get("/a.txt", "Accept-Encoding: gzip, br"), 200);
    cr_expect(has("Content-Encoding", "gzip"));
    cr_assert_eq(unlink(in_folder("a.txt.gz")), 0);
    cr_assert_eq(get("/a.txt", "Accept-Encoding: gzip, br"), 200);
    cr_expect(has("Content-Encoding", NULL) && text_is("0123456789"));
    cr_assert_eq(unlink(in_folder("a.txt")), 0);
    write_coded();
    cr_expect_eq(get("/a.txt", "Accept-Encoding: gzip, br"), 404);
    cr_expect_eq(get("/a.txt.gz", "Accept-Encoding: gzip, br"), 200);
    cr_expect(has("Content-Encoding", NULL) && has("Content-Type", "application/gzip"));
}

Test(files, parts_of_a_coding)
{
    write_coded();
    cr_assert_eq(ask("GET", "/a.txt", "Accept-Encoding: gzip", "Range: bytes=1-2", NULL), 206);
    cr_expect(text_is("gz") && has("Content-Encoding", "gzip"));
    cr_expect(has("Content-Range", "bytes 1-2/6"));
}

/* ---- listings ---- */

Test(files, a_directory_is_listed_where_that_is_wanted)
{
    cr_expect_eq(get("/bare/", NULL), 404);
    files.listing = true;
    cr_assert_eq(get("/bare/", NULL), 200);
    cr_expect(has("Content-Type", "text/html; charset=utf-8"));
    cr_expect(mh_headers_get(res.headers, "Content-Security-Policy").len > 0);
    cr_expect(strstr(res.body.data, "href=\"c.css\""));
    cr_expect_eq(get("/bare", NULL), 301);
    cr_assert_eq(get("/sub/", NULL), 200);
    cr_expect(text_is("<p>sub"));
    cr_expect_eq(get("/none/", NULL), 404);
    cr_expect_eq(get("/.git/", NULL), 404);
    cr_assert_eq(ask("HEAD", "/bare/", NULL, NULL, NULL), 200);
    cr_expect(text_is(""));
    cr_assert_eq(get("/", NULL), 200);
    cr_expect_not(strstr(res.body.data, ">.hidden"));
    cr_expect_not(strstr(res.body.data, "\"out\""));
    files.prefix = "/static";
    cr_assert_eq(get("/static/bare/", NULL), 200);
    cr_expect(strstr(res.body.data, "href=\"c.css\""));
}

/* ---- without memory ---- */

static void restart(void)
{
    mh_server_options options = {.address = "127.0.0.1:0", .handler = handler};
    mh_server_free(server);
    cr_assert_eq(mh_server_new(&server, &options), 0);
}

/* A request with one more allocation each time, until it has enough of them. */
static void expect_with_less_memory(const char *url, const char *line, int status, int otherwise)
{
    ran_out = true;
    for (scarce = 0; ran_out; scarce++) {
        restart();
        int got = get(url, line);
        cr_expect(got == status || (ran_out && (got == 500 || got == 503 || got == otherwise)),
                  "%s, %d allocations: %d", url, scarce, got);
        cr_assert_lt(scarce, 100);
    }
    scarce = -1;
}

Test(files, without_memory)
{
    write_coded();
    files.listing = true;
    expect_with_less_memory("/a.txt", NULL, 200, 200);
    expect_with_less_memory("/big.bin", NULL, 200, 200);
    expect_with_less_memory("/sub", NULL, 301, 301);
    expect_with_less_memory("/a.txt", "If-None-Match: *", 304, 304);
    expect_with_less_memory("/a.txt", "Range: bytes=1-2", 206, 206);
    expect_with_less_memory("/a.txt", "Range: bytes=20-", 416, 416);
    expect_with_less_memory("/big.bin", "Range: bytes=1-2, 1000-2000, -1", 206, 200);
    expect_with_less_memory("/a.txt", "Accept-Encoding: br", 200, 200);
    expect_with_less_memory("/bare/", NULL, 200, 200);
}

/* ---- where a path leads, by itself ---- */

Test(files, places)
{
    struct mh__file_place place;
    mh_files at = {.root = "/srv"};
    cr_expect_eq(mh__files_locate(&place, &at, MH_STR("/a//b"), MH_STR("/a//b")), 0);
    cr_expect_str_eq(place.path, "/srv/a/b");
    cr_expect_eq(place.len, strlen(place.path));
    cr_expect_eq(place.root_len, 4);
    cr_expect_eq(mh__files_locate(&place, &at, MH_STR("///"), MH_STR("///")), 0);
    cr_expect_str_eq(place.path, "/srv/index.html");
    cr_expect_eq(mh__files_locate(&place, &at, MH_STR("*"), MH_STR("*")), 404);
    cr_expect_eq(mh__files_locate(&place, &at, MH_STR(""), MH_STR("")), 404);
    cr_expect_eq(mh__files_locate(&place, &at, MH_STR("/.."), MH_STR("/..")), 404);
}
