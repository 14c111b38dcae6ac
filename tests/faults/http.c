/* http.c: the protocol, which makes no system call: only memory can be missing. */
#include <errno.h>
#include <string.h>

#include "http/path.h"
#include "inject.h"
#include "scenario.h"
#include "steps.h"

/* ---- URLs and paths ---- */

static int resolve(mh_buf *out)
{
    static const char text[] = "http://user@example.com:8080/a/b/c?old#x";
    mh_url base;
    int err = mh_url_parse(&base, mh_str_from(text));
    return err < 0 ? err : mh_url_resolve(out, &base, MH_STR("../x/./y/../z?new=1#end"));
}

static int resolve_absolute(mh_buf *out)
{
    mh_url base;
    int err = mh_url_parse(&base, MH_STR("http://example.com/"));
    return err < 0 ? err : mh_url_resolve(out, &base, MH_STR("HTTPS://other.example/../q"));
}

static int decode(mh_buf *out)
{
    return mh_url_decode(out, MH_STR("a%20b%2Fc+d%00e"));
}

static int encode(mh_buf *out)
{
    return mh_url_encode(out, MH_STR("a b/c?d=\xc3\xa4~"));
}

static int decode_path(mh_buf *out)
{
    return mh__path_decode(out, MH_STR("/a/./b/%2e%2E/c%20d/../e"));
}

static int url(void)
{
    return steps_in_turn(
        (step *const[]){resolve, resolve_absolute, decode, encode, decode_path, NULL});
}

/* ---- pairs ---- */

static int get_pair(mh_buf *out)
{
    return mh_pairs_get(MH_STR("a=1&&%62+=two+words%21&c"), "b ", out);
}

static int get_none(mh_buf *out)
{
    return mh_pairs_get(MH_STR("a=1&b=2"), "none", out);
}

static int pairs(void)
{
    return steps_in_turn((step *const[]){get_pair, get_none, get_pair, NULL});
}

/* ---- the engine ---- */

static mh_h1 h1;
static mh_h1_view view;

static int read_all(const char *text)
{
    mh_str in = mh_str_from(text);
    int event = mh_h1_next(&h1, &in, &view);
    while (event == MH_H1_HEAD || event == MH_H1_BODY)
        event = mh_h1_next(&h1, &in, &view);
    return event == MH_H1_NEED_MORE || event == MH_H1_END ? 0 : -EPROTO;
}

static int put_interim(mh_buf *out)
{
    return mh_h1_put_head(&h1, &(mh_h1_head){.status = 100, .reason = MH_STR("Continue")}, out);
}

static int put_head(mh_buf *out)
{
    static const mh_header fields[] = {{{"Server", 6}, {"s", 1}}, {{"Vary", 4}, {"x, y", 4}}};
    return mh_h1_put_head(
        &h1, &(mh_h1_head){.status = 200, .reason = MH_STR("OK"), .headers = {fields, 2}}, out);
}

static int put_body(mh_buf *out)
{
    return mh_h1_put_body(&h1, MH_STR("some of the body"), out);
}

static int put_end(mh_buf *out)
{
    static const mh_header trailers[] = {{{"Checksum", 8}, {"0", 1}}};
    return mh_h1_put_end(&h1, (mh_headers){trailers, 1}, out);
}

/* A response of unknown length, to a request that comes in chunks; and the next one. */
static int h1_server(void)
{
    static const char request[] = "POST /a HTTP/1.1\r\n"
                                  "Host: a\r\n"
                                  "Expect: 100-continue\r\n"
                                  "Transfer-Encoding: chunked\r\n"
                                  "\r\n";
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    check(read_all(request) == 0);
    int err = steps_in_turn((step *const[]){put_interim, put_head, put_body, put_body, NULL});
    check(read_all("3\r\nabc\r\n0\r\n\r\n") == 0);
    if (err == 0)
        err = steps_in_turn((step *const[]){put_end, NULL});
    check(mh_h1_reusable(&h1) == (err == 0));
    mh_h1_restart(&h1);
    note("reusable %d\n", mh_h1_reusable(&h1));
    return err;
}

static int put_request(mh_buf *out)
{
    static const mh_header fields[] = {{{"Host", 4}, {"example.com", 11}},
                                       {{"Content-Length", 14}, {"32", 2}}};
    return mh_h1_put_head(&h1,
                          &(mh_h1_head){.method = MH_STR("PUT"),
                                        .target = MH_STR("/thing?x=y"),
                                        .headers = {fields, 2}},
                          out);
}

static int put_end_bare(mh_buf *out)
{
    return mh_h1_put_end(&h1, (mh_headers){0}, out);
}

static int h1_client(void)
{
    mh_h1_init(&h1, MH_H1_CLIENT, 0);
    int err = steps_in_turn((step *const[]){put_request, put_body, put_body, put_end_bare, NULL});
    if (err == 0)
        check(read_all("HTTP/1.1 204 No Content\r\n\r\n") == 0);
    check(mh_h1_reusable(&h1) == (err == 0));
    return err;
}

static int explain(mh_buf *out)
{
    return mh_h1_explain(&view.fault, out);
}

static int h1_explain(void)
{
    mh_str in = MH_STR("GET / HTTP/1.1\r\nHost: a\r\nBad : field\r\n\r\n");
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    check(mh_h1_next(&h1, &in, &view) == MH_ERR_MALFORMED);
    return steps_in_turn((step *const[]){explain, explain, NULL});
}

const struct scenario http_scenarios[] = {
    {.name = "url", .run = url},
    {.name = "pairs", .run = pairs},
    {.name = "h1_server", .run = h1_server},
    {.name = "h1_client", .run = h1_client},
    {.name = "h1_explain", .run = h1_explain},
    {0},
};
