/* The writing half of the protocol engine. What it writes for which call stands in
 * cases/writing.txt; here is what a case cannot say: every byte in every place, buffers that are
 * full, memory that is out, and that the other side reads what was meant. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../h1_walk.h"
#include "../scarce.h"
#include "http/h1.h"

/* A message as a caller puts it. */
struct message {
    const char *method; /* of a request, or of the one that a response answers */
    const char *target; /* NULL: it is a response */
    int status;
    const char *reason;
    mh_header fields[4]; /* until the first without a name */
    const char *body;
    size_t piece; /* bytes that are put at a time; 0: all */
    mh_header trailers[3];
};

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        {name, sizeof name - 1},                                                                   \
        {                                                                                          \
            value, sizeof value - 1                                                                \
        }                                                                                          \
    }

static mh_headers headers(const mh_header *fields, size_t max)
{
    size_t count = 0;
    while (count < max && fields[count].name.ptr)
        count++;
    return (mh_headers){fields, count};
}

static mh_headers fields_of(const struct message *message)
{
    return headers(message->fields, sizeof message->fields / sizeof *message->fields);
}

static mh_headers trailers_of(const struct message *message)
{
    return headers(message->trailers, sizeof message->trailers / sizeof *message->trailers);
}

static mh_h1_head head_of(const struct message *message)
{
    mh_h1_head head = {.status = message->status, .headers = fields_of(message)};
    if (message->target) {
        head.method = mh_str_from(message->method);
        head.target = mh_str_from(message->target);
    } else {
        head.reason = mh_str_from(message->reason);
    }
    return head;
}

static const struct message plain_get = {
    .method = "GET", .target = "/", .fields = {FIELD("Host", "a")}};

/* ---- an engine that may put a message ---- */

/* A server that has read a request with that method. */
static void be_asked(mh_h1 *server, const char *method)
{
    static mh_h1_view view;
    mh_buf text = {0};
    bool tunnel = strcmp(method, "CONNECT") == 0;
    mh_h1_init(server, MH_H1_SERVER, 0);
    cr_assert_eq(
        mh_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, tunnel ? "a:1" : "/"), 0);
    mh_str in = mh_buf_str(&text);
    cr_assert_eq(mh_h1_next(server, &in, &view), MH_H1_HEAD);
    cr_assert_eq(mh_h1_next(server, &in, &view), MH_H1_END);
    mh_buf_free(&text);
}

static mh_h1 ready(const struct message *message)
{
    mh_h1 h1;
    if (message->target)
        mh_h1_init(&h1, MH_H1_CLIENT, 0);
    else
        be_asked(&h1, message->method);
    return h1;
}

/* The call of that number: head, one for each piece of the body, end. *last: it was the end. */
static int put_step(mh_h1 *h1, const struct message *message, size_t step, mh_buf *out, bool *last)
{
    mh_str body = mh_str_from(message->body ? message->body : "");
    size_t piece = message->piece ? message->piece : body.len;
    size_t from = (step - 1) * piece;
    mh_h1_head head = head_of(message);
    *last = step > 0 && from >= body.len;
    if (step == 0)
        return mh_h1_put_head(h1, &head, out);
    if (*last)
        return mh_h1_put_end(h1, trailers_of(message), out);
    size_t len = body.len - from < piece ? body.len - from : piece;
    return mh_h1_put_body(h1, (mh_str){body.ptr + from, len}, out);
}

static void put(mh_h1 *h1, const struct message *message, mh_buf *out)
{
    bool last = false;
    for (size_t step = 0; !last; step++)
        cr_assert_eq(put_step(h1, message, step, out, &last), 0, "step %zu", step);
}

static const struct message messages[] = {
    {.method = "GET", .target = "/", .fields = {FIELD("Host", "a")}},
    {.method = "GET", .target = "/a/b?c=d", .fields = {FIELD("Host", "[::1]:80"), FIELD("X", "")}},
    {.method = "OPTIONS", .target = "*", .fields = {FIELD("Host", "a")}},
    {.method = "GET", .target = "http://b/", .fields = {FIELD("Host", "a")}},
    {.method = "CONNECT", .target = "b:443", .fields = {FIELD("Host", "b:443")}},
    {.method = "HEAD", .target = "/", .fields = {FIELD("Host", "a"), FIELD("Connection", "close")}},
    {.method = "POST", .target = "/", .fields = {FIELD("Host", "a"), FIELD("Content-Length", "0")}},
    {.method = "POST",
     .target = "/",
     .fields = {FIELD("Host", "a"), FIELD("Content-Length", "11")},
     .body = "hello world",
     .piece = 4},
    {.method = "POST",
     .target = "/",
     .fields = {FIELD("Host", "a"), FIELD("Expect", "100-continue"),
                FIELD("Transfer-Encoding", "chunked")},
     .body = "hello, world; this is the body of it",
     .piece = 17,
     .trailers = {FIELD("X", "y"), FIELD("Z", "")}},
    {.method = "POST",
     .target = "/",
     .fields = {FIELD("Host", "a"), FIELD("Transfer-Encoding", "chunked")},
     .body = "\r\n0\r\n\r\n",
     .piece = 1},
    {.method = "GET",
     .status = 200,
     .reason = "OK",
     .fields = {FIELD("Content-Length", "5")},
     .body = "hello"},
    {.method = "GET",
     .status = 200,
     .reason = "",
     .fields = {FIELD("X", "\x80 \t\xff")},
     .body = "hello",
     .piece = 2},
    {.method = "GET", .status = 404, .reason = "Not Found"},
    {.method = "GET",
     .status = 200,
     .reason = "OK",
     .fields = {FIELD("Transfer-Encoding", "chunked")},
     .body = "hello",
     .trailers = {FIELD("X", "y")}},
    {.method = "GET", .status = 204, .reason = "No Content"},
    {.method = "GET",
     .status = 304,
     .reason = "Not Modified",
     .fields = {FIELD("Content-Length", "5")}},
    {.method = "GET",
     .status = 500,
     .reason = "Bad",
     .fields = {FIELD("Connection", "close")},
     .body = "x"},
    {.method = "HEAD",
     .status = 200,
     .reason = "OK",
     .fields = {FIELD("Content-Length", "5")},
     .body = "hello"},
    {.method = "HEAD",
     .status = 200,
     .reason = "OK",
     .fields = {FIELD("Transfer-Encoding", "chunked")}},
    {.method = "CONNECT",
     .status = 403,
     .reason = "No",
     .fields = {FIELD("Content-Length", "2")},
     .body = "no"},
};

#define MESSAGES (sizeof messages / sizeof *messages)

/* ---- the other side reads what was meant ---- */

static void expect_same(mh_str a, mh_str b)
{
    cr_expect_eq(a.len, b.len);
    cr_expect(a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0));
}

/* In order; the writer may have added some behind them. */
static void expect_fields(mh_headers wrote, mh_headers read)
{
    cr_assert_geq(read.count, wrote.count);
    for (size_t i = 0; i < wrote.count; i++) {
        expect_same(wrote.at[i].name, read.at[i].name);
        expect_same(wrote.at[i].value, read.at[i].value);
    }
}

static void expect_head(const struct message *message, const mh_h1_head *head)
{
    mh_h1_head wrote = head_of(message);
    expect_same(wrote.method, head->method);
    expect_same(wrote.target, head->target);
    expect_same(wrote.reason, head->reason);
    cr_expect_eq(wrote.status, head->status);
    cr_expect_eq(head->minor_version, 1);
    expect_fields(wrote.headers, head->headers);
}

/* What of its body goes over the wire. */
static const char *sent_body(const struct message *message)
{
    bool silent = !message->target && strcmp(message->method, "HEAD") == 0;
    return message->body && !silent ? message->body : "";
}

static mh_h1 reader_of(const struct message *message)
{
    mh_h1 h1;
    mh_buf out = {0};
    struct message asks = plain_get;
    mh_h1_init(&h1, message->target ? MH_H1_SERVER : MH_H1_CLIENT, 0);
    asks.method = message->method;
    asks.target = strcmp(message->method, "CONNECT") == 0 ? "a:1" : "/";
    if (!message->target)
        put(&h1, &asks, &out);
    mh_buf_free(&out);
    return h1;
}

static void expect_body(mh_h1 *h1, mh_str *in, mh_h1_view *view, mh_buf *body)
{
    int event;
    while ((event = mh_h1_next(h1, in, view)) == MH_H1_BODY)
        cr_assert_eq(mh_buf_append(body, view->body.ptr, view->body.len), 0);
    cr_expect_eq(event, MH_H1_END);
}

static void read_back(const struct message *message, mh_str wire)
{
    static mh_h1_view view;
    mh_h1 h1 = reader_of(message);
    mh_buf body = {0};
    cr_assert_eq(mh_h1_next(&h1, &wire, &view), MH_H1_HEAD);
    expect_head(message, &view.head);
    expect_body(&h1, &wire, &view, &body);
    expect_same(mh_buf_str(&body), mh_str_from(sent_body(message)));
    bool trailers = view.head.headers.count > 0;
    if (trailers)
        expect_fields(trailers_of(message), view.head.headers);
    cr_expect_eq(trailers, trailers_of(message).count > 0);
    cr_expect_eq(wire.len, 0, "%zu bytes too many", wire.len);
    mh_buf_free(&body);
}

/* And it reads the same in every two pieces. */
static void read_back_cut(const struct message *message, mh_str wire, struct memory *memory)
{
    struct walked whole = {0}, cut = {0};
    struct walk how = {.role = message->target ? MH_H1_SERVER : MH_H1_CLIENT,
                       .method = message->method,
                       .messages_max = 1,
                       .memory = memory};
    walk(&how, wire, &whole);
    cr_expect(whole.end);
    for (size_t at = 0; at < wire.len && at < 255; at++) {
        const unsigned char cuts[] = {(unsigned char)at, 255, 255, 255};
        how.cuts = cuts;
        how.cut_count = sizeof cuts;
        walk(&how, wire, &cut);
        expect_same(mh_buf_str(&whole.log), mh_buf_str(&cut.log));
    }
    walked_free(&whole);
    walked_free(&cut);
}

Test(h1_write, is_read_back)
{
    struct memory memory;
    cr_assert(memory_open(&memory, MEMORY_HEAP));
    for (size_t i = 0; i < MESSAGES; i++) {
        mh_buf wire = {0};
        mh_h1 h1 = ready(&messages[i]);
        put(&h1, &messages[i], &wire);
        read_back(&messages[i], mh_buf_str(&wire));
        read_back_cut(&messages[i], mh_buf_str(&wire), &memory);
        mh_buf_free(&wire);
    }
    memory_close(&memory);
}

/* ---- no room: nothing is written, nothing has happened, and the call may be made again ---- */

/* The engine makes room once, before it knows all of what it adds: so much may stay unused. */
#define SPARE_MAX 64

/* With so many bytes of room for this step. Returns whether they were enough. */
static bool put_into(mh_h1 *h1, const struct message *message, size_t step, mh_buf *out,
                     size_t room, bool *last)
{
    mh_h1 before = *h1;
    size_t len = out->len;
    out->max = len + room;
    int result = put_step(h1, message, step, out, last);
    if (result == 0)
        return true;
    cr_expect_eq(result, MH_ERR_TOO_LARGE);
    cr_expect_eq(out->len, len);
    cr_expect_eq(memcmp(&before, h1, sizeof before), 0, "the engine has changed");
    return false;
}

static void put_with_little_room(const struct message *message)
{
    mh_buf all = {0}, out = {0};
    mh_h1 h1 = ready(message);
    put(&h1, message, &all);
    h1 = ready(message);
    cr_assert_eq(mh_buf_append(&out, "kept", 4), 0); /* a max of 0 would be the default */
    bool last = false;
    for (size_t step = 0; !last; step++) {
        size_t len = out.len, room = 0;
        while (!put_into(&h1, message, step, &out, room, &last))
            room++;
        cr_expect_leq(room - (out.len - len), SPARE_MAX, "step %zu wants %zu bytes for %zu", step,
                      room, out.len - len);
    }
    cr_expect_eq(memcmp(out.data, "kept", 4), 0);
    expect_same(mh_buf_str(&all), (mh_str){out.data + 4, out.len - 4});
    mh_buf_free(&all);
    mh_buf_free(&out);
}

Test(h1_write, full_buffers)
{
    for (size_t i = 0; i < MESSAGES; i++)
        put_with_little_room(&messages[i]);
}

/* ---- no memory: the same ---- */

static void put_without_memory(const struct message *message)
{
    mh_h1 h1 = ready(message);
    bool last = false;
    for (size_t step = 0; !last; step++) {
        mh_buf out = {0};
        mh_h1 before = h1;
        allocations_left = 0;
        int result = put_step(&h1, message, step, &out, &last);
        allocations_left = -1;
        if (result != 0) {
            cr_expect_eq(result, -ENOMEM);
            cr_expect_eq(out.len, 0);
            cr_expect_eq(memcmp(&before, &h1, sizeof before), 0, "the engine has changed");
            cr_assert_eq(put_step(&h1, message, step, &out, &last), 0);
        }
        mh_buf_free(&out);
    }
}

Test(h1_write, no_memory)
{
    for (size_t i = 0; i < MESSAGES; i++)
        put_without_memory(&messages[i]);
}

Test(h1_write, the_first_head_needs_memory)
{
    mh_h1 h1 = ready(&plain_get);
    mh_h1_head head = head_of(&plain_get);
    mh_buf out = {0};
    allocations_left = 0;
    cr_expect_eq(mh_h1_put_head(&h1, &head, &out), -ENOMEM);
    allocations_left = -1;
    mh_buf_free(&out);
}

/* ---- every byte in every place ---- */

static bool among(int c, const char *set)
{
    return c > 0 && strchr(set, c) != NULL;
}

static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool in_token(int c)
{
    return is_alnum(c) || among(c, "!#$%&'*+-.^_`|~");
}

static bool in_text(int c)
{
    return c == '\t' || (c >= 0x20 && c < 0x7f) || c >= 0x80;
}

static bool in_inner_text(int c) /* of a value, which has no white space at either end */
{
    return in_text(c);
}

static bool in_origin_form(int c)
{
    return is_alnum(c) || among(c, "-._~!$&'()*+,;=:@/?");
}

enum where { METHOD, TARGET, NAME, VALUE, REASON, TRAILER_NAME, TRAILER_VALUE };

/* Put a message with `text` in that place. */
static int put_text(enum where where, mh_str text, mh_buf *out)
{
    mh_header fields[] = {FIELD("Host", "a"), FIELD("Transfer-Encoding", "chunked"),
                          FIELD("X", "y")};
    mh_header trailer[] = {FIELD("X", "y")};
    mh_h1_head head = {.method = {"POST", 4}, .target = {"/", 1}, .headers = {fields, 3}};
    mh_str *places[] = {&head.method, &head.target,     &fields[2].name,  &fields[2].value,
                        &head.reason, &trailer[0].name, &trailer[0].value};
    *places[where] = text;
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_CLIENT, 0);
    if (where == REASON) {
        be_asked(&h1, "GET");
        head.method = head.target = (mh_str){0};
        head.status = 200;
        head.headers = (mh_headers){fields + 1, 2};
    }
    int result = mh_h1_put_head(&h1, &head, out);
    bool in_trailer = where == TRAILER_NAME || where == TRAILER_VALUE;
    if (result || !in_trailer)
        return result;
    mh_buf_clear(out);
    return mh_h1_put_end(&h1, (mh_headers){trailer, 1}, out);
}

static void expect_byte(enum where where, const char *text, size_t at, int c, bool good)
{
    char bytes[16];
    size_t len = strlen(text);
    memcpy(bytes, text, len);
    bytes[at] = (char)c;
    mh_buf out = {0};
    int result = put_text(where, (mh_str){bytes, len}, &out);
    cr_expect_eq(result, good ? 0 : -EINVAL, "byte 0x%02x at %zu of place %d: %d", (unsigned)c, at,
                 (int)where, result);
    bool there = out.len > 0 && memmem(out.data, out.len, bytes, len);
    cr_expect_eq(there, good, "byte 0x%02x at %zu of place %d", (unsigned)c, at, (int)where);
    mh_buf_free(&out);
}

static void expect_bytes(enum where where, const char *text, size_t from, bool (*good)(int))
{
    for (size_t at = from; text[at]; at++)
        for (int c = 0; c < 256; c++)
            expect_byte(where, text, at, c, good(c));
}

Test(h1_write, every_byte_of_a_method)
{
    expect_bytes(METHOD, "QQQ", 0, in_token);
}

Test(h1_write, every_byte_of_a_target)
{
    expect_bytes(TARGET, "/qqq", 1, in_origin_form);
}

Test(h1_write, every_byte_of_a_name)
{
    expect_bytes(NAME, "Qqq", 0, in_token);
    expect_bytes(TRAILER_NAME, "Qqq", 0, in_token);
}

Test(h1_write, every_byte_of_a_reason)
{
    expect_bytes(REASON, "Qqq", 0, in_text);
}

/* Inside a value; at its ends white space would not be read back, so that is a test of its own. */
Test(h1_write, every_byte_of_a_value)
{
    for (int c = 0; c < 256; c++) {
        expect_byte(VALUE, "Qqq", 1, c, in_inner_text(c));
        expect_byte(TRAILER_VALUE, "Qqq", 1, c, in_inner_text(c));
        if (c == ' ' || c == '\t')
            continue;
        expect_byte(VALUE, "Qqq", 0, c, in_text(c));
        expect_byte(VALUE, "Qqq", 2, c, in_text(c));
        expect_byte(TRAILER_VALUE, "Qqq", 2, c, in_text(c));
    }
}

/* Whatever is made of white space at the ends of a value, one line stays one line. */
Test(h1_write, white_space_at_the_ends_of_a_value)
{
    static const char *const values[] = {" a", "a ", "\ta", "a\t", " ", "\t", "  \t "};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        mh_buf out = {0};
        int result = put_text(VALUE, mh_str_from(values[i]), &out);
        cr_expect(result == 0 || result == -EINVAL);
        cr_expect_eq(result == 0, out.len > 0);
        mh_buf_free(&out);
    }
}

/* ---- limits ---- */

/* A peer of our own kind has to be able to read what we write. */
Test(h1_write, many_fields)
{
    static mh_header fields[2 * MH_HEADERS_MAX];
    mh_h1_head head = {.method = MH_STR("GET"), .target = MH_STR("/"), .headers = {fields, 0}};
    for (size_t i = 0; i < 2 * MH_HEADERS_MAX; i++)
        fields[i] = (mh_header){MH_STR("X"), MH_STR("y")};
    fields[0] = (mh_header){MH_STR("Host"), MH_STR("a")};
    mh_h1 h1;
    mh_buf out = {0};
    mh_h1_init(&h1, MH_H1_CLIENT, 0);
    head.headers.count = MH_HEADERS_MAX + 1;
    cr_expect_eq(mh_h1_put_head(&h1, &head, &out), -EINVAL);
    cr_expect_eq(out.len, 0);
    head.headers.count = MH_HEADERS_MAX;
    cr_expect_eq(mh_h1_put_head(&h1, &head, &out), 0);
    mh_buf_free(&out);
}

Test(h1_write, many_trailers)
{
    static mh_header fields[MH_HEADERS_MAX + 1];
    for (size_t i = 0; i <= MH_HEADERS_MAX; i++)
        fields[i] = (mh_header){MH_STR("X"), MH_STR("y")};
    mh_h1 h1 = ready(&messages[9]);
    mh_h1_head head = head_of(&messages[9]);
    mh_buf out = {0};
    cr_assert_eq(mh_h1_put_head(&h1, &head, &out), 0);
    size_t len = out.len;
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){fields, MH_HEADERS_MAX + 1}, &out), -EINVAL);
    cr_expect_eq(out.len, len);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){fields, MH_HEADERS_MAX}, &out), 0);
    mh_buf_free(&out);
}

/* ---- a body that the caller sends himself ---- */

static mh_h1 after_head(const struct message *message)
{
    mh_h1 h1 = ready(message);
    mh_h1_head head = head_of(message);
    mh_buf out = {0};
    cr_assert_eq(mh_h1_put_head(&h1, &head, &out), 0);
    mh_buf_free(&out);
    return h1;
}

static const struct message five_bytes = {
    .method = "GET", .status = 200, .reason = "OK", .fields = {FIELD("Content-Length", "5")}};
static const struct message five_bytes_to_head = {
    .method = "HEAD", .status = 200, .reason = "OK", .fields = {FIELD("Content-Length", "5")}};
static const struct message in_chunks = {.method = "GET", .status = 200, .reason = "OK"};
static const struct message in_chunks_to_head = {.method = "HEAD", .status = 200, .reason = "OK"};

Test(h1_write, accounts_for_a_body)
{
    mh_buf out = {0};
    mh_h1 h1 = after_head(&five_bytes);
    cr_expect_eq(mh__h1_account_body(&h1, 6), MH_ERR_FRAMING);
    cr_expect_eq(mh__h1_account_body(&h1, 2), 1);
    cr_expect_eq(mh__h1_account_body(&h1, 4), MH_ERR_FRAMING);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), MH_ERR_FRAMING);
    cr_expect_eq(mh__h1_account_body(&h1, 3), 1);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), 0);
    cr_expect_eq(mh__h1_account_body(&h1, 1), -EINVAL);
    cr_expect_eq(out.len, 0);
    cr_expect(mh_h1_reusable(&h1));
    mh_buf_free(&out);
}

Test(h1_write, accounts_for_a_body_that_is_not_sent)
{
    mh_buf out = {0};
    mh_h1 h1 = after_head(&five_bytes_to_head);
    cr_expect_eq(mh__h1_account_body(&h1, 5), 0);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), 0);
    h1 = after_head(&in_chunks_to_head);
    cr_expect_eq(mh__h1_account_body(&h1, 5), 0);
    h1 = after_head(&in_chunks);
    cr_expect_eq(mh__h1_account_body(&h1, 5), -EINVAL);
    mh_buf_free(&out);
}

/* An announced length beyond 32 bits is counted down, and the last byte of it is the last. */
Test(h1_write, counts_beyond_32_bits)
{
    static const char piece[1u << 20];
    const mh_header fields[] = {FIELD("Host", "a"), FIELD("Content-Length", "4294967301")};
    mh_h1_head head = {.method = MH_STR("POST"), .target = MH_STR("/"), .headers = {fields, 2}};
    mh_h1 h1;
    mh_buf out = {0};
    mh_h1_init(&h1, MH_H1_CLIENT, 0);
    cr_assert_eq(mh_h1_put_head(&h1, &head, &out), 0);
    for (int i = 0; i < 4096; i++) {
        mh_buf_clear(&out);
        cr_assert_eq(mh_h1_put_body(&h1, (mh_str){piece, sizeof piece}, &out), 0);
    }
    cr_expect_eq(mh_h1_put_body(&h1, MH_STR("123456"), &out), MH_ERR_FRAMING);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), MH_ERR_FRAMING);
    cr_expect_eq(mh_h1_put_body(&h1, MH_STR("12345"), &out), 0);
    cr_expect_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), 0);
    mh_buf_free(&out);
}

/* A piece of a body may come from anywhere, and be empty in both ways. */
Test(h1_write, empty_pieces)
{
    mh_h1 h1 = ready(&messages[8]);
    mh_h1_head head = head_of(&messages[8]);
    mh_buf out = {0};
    cr_assert_eq(mh_h1_put_head(&h1, &head, &out), 0);
    size_t len = out.len;
    cr_expect_eq(mh_h1_put_body(&h1, (mh_str){0}, &out), 0);
    cr_expect_eq(mh_h1_put_body(&h1, MH_STR(""), &out), 0);
    cr_expect_eq(out.len, len);
    mh_buf_free(&out);
}

/* The size of each chunk, at the edges of its digits. */
Test(h1_write, chunk_sizes)
{
    static const size_t sizes[] = {1,   9,    10,   15,    16,    17,     255,
                                   256, 4095, 4096, 65535, 65536, 1048577};
    static char bytes[1048577];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mh_h1 h1 = ready(&messages[9]);
        mh_h1_head head = head_of(&messages[9]);
        mh_buf out = {0};
        cr_assert_eq(mh_h1_put_head(&h1, &head, &out), 0);
        mh_buf_clear(&out);
        cr_assert_eq(mh_h1_put_body(&h1, (mh_str){bytes, sizes[i]}, &out), 0);
        char *end;
        cr_expect_eq(strtoull(out.data, &end, 16), sizes[i]);
        cr_expect_eq(memcmp(end, "\r\n", 2), 0);
        cr_expect_eq(out.len, (size_t)(end - out.data) + 2 + sizes[i] + 2);
        cr_expect_eq(memcmp(out.data + out.len - 2, "\r\n", 2), 0);
        mh_buf_free(&out);
    }
}
