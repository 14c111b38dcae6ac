/* Any bytes as what a server sends: cuts make no difference, the checker agrees, and a final head
 * that was accepted can be written, and is read again as the same. */
#include "property.h"

#include <string.h>

static const char *const methods[] = {"GET", "HEAD", "CONNECT", "POST"};

/* A client that has asked with that method. */
static void ask(mh_h1 *client, const char *method, mh_buf *out)
{
    const mh_header host = {MH_STR("Host"), MH_STR("a")};
    bool tunnel = strcmp(method, "CONNECT") == 0;
    mh_h1_head head = {.method = mh_str_from(method),
                       .target = mh_str_from(tunnel ? "a:1" : "/"),
                       .headers = {&host, 1}};
    mh_h1_init(client, MH_H1_CLIENT, 0);
    HOLDS(mh_h1_put_head(client, &head, out) == 0);
    HOLDS(mh_h1_put_end(client, (mh_headers){0}, out) == 0);
}

/* A server that was asked with that method. */
static void be_asked(mh_h1 *server, mh_str request)
{
    static mh_h1_view view;
    mh_h1_init(server, MH_H1_SERVER, 0);
    HOLDS(mh_h1_next(server, &request, &view) == MH_H1_HEAD);
    HOLDS(mh_h1_next(server, &request, &view) == MH_H1_END);
}

/* What a server may not say, although a client has to bear it (RFC 9110 8.6, 15;
 * RFC 9112 6.1), or not with every length. */
static bool may_be_put(const mh_h1_head *head, const char *method)
{
    bool framed = mh_headers_get(head->headers, "Content-Length").ptr ||
                  mh_headers_get(head->headers, "Transfer-Encoding").ptr;
    bool tunnel = strcmp(method, "CONNECT") == 0 && head->status < 300;
    bool bare =
        head->status < 200 || head->status == 204 || head->status == 205 || head->status == 304;
    if (head->status > 599)
        return false;
    return !framed || (!bare && !tunnel && strcmp(method, "HEAD") != 0);
}

static void write_again(mh_str text, const char *method)
{
    static mh_h1_view view, again;
    mh_buf request = {0}, out = {0};
    mh_h1 client, server;
    ask(&client, method, &request);
    if (mh_h1_next(&client, &text, &view) == MH_H1_HEAD && may_be_put(&view.head, method)) {
        be_asked(&server, mh_buf_str(&request));
        HOLDS(mh_h1_put_head(&server, &view.head, &out) == 0);
        mh_buf_clear(&request);
        ask(&client, method, &request);
        mh_str in = mh_buf_str(&out);
        bool room = out.len <= MH_H1_HEAD_MAX && view.head.headers.count + 2 <= MH_HEADERS_MAX;
        int event = mh_h1_next(&client, &in, &again);
        HOLDS(event == MH_H1_HEAD || !room);
        if (event == MH_H1_HEAD) {
            HOLDS(view.head.status == again.head.status);
            property_same(view.head.reason, again.head.reason);
            property_same_fields(view.head.headers, again.head.headers);
        }
    }
    mh_buf_free(&request);
    mh_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    if (!fuzz_input(&input, data, size))
        return 0;
    const char *method = methods[input.variant & 3];
    struct walk how = {
        .role = MH_H1_CLIENT, .method = method, .head_max = 40 * (input.variant >> 2)};
    property_cuts(how, &input, input.text);
    property_checker(MH_H1_CLIENT, method, input.text);
    write_again(input.text, method);
    return 0;
}
