/* Any bytes as a chunked body: cuts make no difference, the checker agrees, and what was decoded is
 * decoded again when it was put into chunks. */
#include "property.h"

#define CODING "Transfer-Encoding: chunked\r\n\r\n"

static mh_h1_view view;

/* Decode as far as it goes. Returns the event behind the last piece. */
static int decode(mh_str in, mh_buf *body)
{
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    HOLDS(mh_h1_next(&h1, &in, &view) == MH_H1_HEAD);
    int event;
    while ((event = mh_h1_next(&h1, &in, &view)) == MH_H1_BODY) {
        HOLDS(view.body.len > 0);
        HOLDS(mh_buf_append(body, view.body.ptr, view.body.len) == 0);
    }
    return event;
}

/* Put into chunks, in pieces as large as the cuts say. */
static void encode(const struct fuzz_input *input, mh_str body, mh_buf *out)
{
    const mh_header fields[] = {{MH_STR("Host"), MH_STR("a")},
                                {MH_STR("Transfer-Encoding"), MH_STR("chunked")}};
    mh_h1_head head = {.method = MH_STR("POST"), .target = MH_STR("/"), .headers = {fields, 2}};
    mh_h1 client;
    mh_h1_init(&client, MH_H1_CLIENT, 0);
    HOLDS(mh_h1_put_head(&client, &head, out) == 0);
    for (size_t i = 0; body.len > 0; i++) {
        size_t piece = input->cut_count ? 1u + input->cuts[i % input->cut_count] : body.len;
        piece = piece < body.len ? piece : body.len;
        HOLDS(mh_h1_put_body(&client, (mh_str){body.ptr, piece}, out) == 0);
        body = (mh_str){body.ptr + piece, body.len - piece};
    }
    HOLDS(mh_h1_put_end(&client, (mh_headers){0}, out) == 0);
}

static void encode_again(const struct fuzz_input *input, mh_str text)
{
    mh_buf body = {0}, again = {0}, out = {0};
    if (decode(text, &body) == MH_H1_END) {
        encode(input, mh_buf_str(&body), &out);
        HOLDS(decode(mh_buf_str(&out), &again) == MH_H1_END);
        property_same(mh_buf_str(&body), mh_buf_str(&again));
    }
    mh_buf_free(&body);
    mh_buf_free(&again);
    mh_buf_free(&out);
}

static mh_buf behind(const char *head, mh_str body)
{
    mh_buf all = {0};
    HOLDS(mh_buf_printf(&all, "%s", head) == 0);
    HOLDS(mh_buf_append(&all, body.ptr, body.len) == 0);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input;
    if (!fuzz_input(&input, data, size))
        return 0;
    mh_buf request = behind("POST / HTTP/1.1\r\nHost: a\r\n" CODING, input.text);
    mh_buf response = behind("HTTP/1.1 200 OK\r\n" CODING, input.text);
    size_t head_max = input.variant ? 80 + 8 * input.variant : 0;
    struct walk how = {.role = MH_H1_SERVER, .head_max = head_max};
    property_cuts(how, &input, mh_buf_str(&request));
    property_checker(MH_H1_SERVER, NULL, mh_buf_str(&request));
    how = (struct walk){.role = MH_H1_CLIENT, .method = "GET", .head_max = head_max};
    property_cuts(how, &input, mh_buf_str(&response));
    property_checker(MH_H1_CLIENT, "GET", mh_buf_str(&response));
    encode_again(&input, mh_buf_str(&request));
    mh_buf_free(&request);
    mh_buf_free(&response);
    return 0;
}
