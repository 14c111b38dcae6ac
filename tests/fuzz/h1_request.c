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

static void write_again(mh_str text)
{
    static mh_h1_view view, again;
    mh_h1 client;
    mh_buf out = {0};
    if (!read_head(text, &view) || !mh_headers_get(view.head.headers, "Host").ptr)
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
