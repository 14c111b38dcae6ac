/* Any bytes as what a client sends: cuts make no difference, the checker agrees, and a head that
 * was accepted can be written, and is read again as the same. */
#include "property.h"

/* Read the first head of it. */
static bool read_head(mh_str text, mh_h1_view *view)
{
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    return mh_h1_next(&h1, &text, view) == MH_H1_HEAD;
}

/* What a client may not send, although a server has to read it: no Host (HTTP/1.0), a CONNECT with
 * a length (RFC 9110 section 9.3.6). */
static bool may_be_put(const mh_h1_head *head)
{
    bool framed = mh_headers_get(head->headers, "Content-Length").ptr ||
                  mh_headers_get(head->headers, "Transfer-Encoding").ptr;
    return mh_headers_get(head->headers, "Host").ptr &&
           !(framed && mh_str_equal(head->method, "CONNECT"));
}

static void write_again(mh_str text)
{
    static mh_h1_view view, again;
    mh_h1 client;
    mh_buf out = {0};
    if (!read_head(text, &view) || !may_be_put(&view.head))
        return;
    mh_h1_init(&client, MH_H1_CLIENT, 0);
    HOLDS(mh_h1_put_head(&client, &view.head, &out) == 0);
    bool larger = out.len > MH_H1_HEAD_MAX; /* "a:b" has become "a: b" */
    HOLDS(read_head(mh_buf_str(&out), &again) || larger);
    if (!larger) {
        property_same(view.head.method, again.head.method);
        property_same(view.head.target, again.head.target);
        property_same_fields(view.head.headers, again.head.headers);
        HOLDS(view.head.headers.count == again.head.headers.count);
    }
    mh_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    if (!fuzz_input(&input, data, size))
        return 0;
    struct walk how = {.role = MH_H1_SERVER, .head_max = 40 * input.variant};
    property_cuts(how, &input, input.text);
    property_checker(MH_H1_SERVER, NULL, input.text);
    write_again(input.text);
    return 0;
}
