/* The reply verbs, without a connection: lib/server/reply.c. */
#include <errno.h>

#include <fcntl.h>
#include <unistd.h>

#include "../descriptors.h"
#include "../scarce.h"
#include "alone.h"
#include "sent.h"

/* ---- the verbs ---- */

Test(reply, text)
{
    begin(GET);
    cr_assert_eq(mh_reply_text(req, 200, "caf\xc3\xa9"), 200);
    check_reply(200, PLAIN, "caf\xc3\xa9");
    end();
}

Test(reply, empty_text)
{
    begin(GET);
    cr_assert_eq(mh_reply_text(req, 200, ""), 200);
    check_reply(200, PLAIN, "");
    end();
}

Test(reply, printf)
{
    begin(GET);
    cr_assert_eq(mh_reply_printf(req, 201, "a/b", "%d-%s", 7, "x"), 201);
    check_reply(201, "Content-Type: a/b\r\n", "7-x");
    end();
}

Test(reply, copy_without_a_type)
{
    char data[] = "abc";
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 404, NULL, data, 3), 404);
    data[0] = 'X';
    check_reply(404, "", "abc");
    end();
}

Test(reply, borrow_does_not_copy)
{
    static const char data[] = "borrowed";
    begin(GET);
    cr_assert_eq(mh_reply_borrow(req, 200, "a/b", data, 8), 200);
    cr_assert_eq(ex->reply.bytes.ptr, data);
    check_reply(200, "Content-Type: a/b\r\n", "borrowed");
    end();
}

Test(reply, take_takes)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "taken"), 0);
    const char *data = body.data;
    begin(GET);
    cr_assert_eq(mh_reply_take(req, 200, "a/b", &body), 200);
    cr_assert(!body.data && body.len == 0 && body.cap == 0 && body.max == 0);
    cr_assert_eq(ex->reply.bytes.ptr, data);
    check_reply(200, "Content-Type: a/b\r\n", "taken");
    end();
}

Test(reply, take_leaves_the_body_after_an_error)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "kept"), 0);
    begin(GET);
    cr_assert_eq(mh_reply_take(req, 99, "a/b", &body), -EINVAL);
    cr_assert_str_eq(body.data, "kept");
    check_no_reply();
    mh_buf_free(&body);
    end();
}

Test(reply, binary_body)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "a\0\r\n", 4), 200);
    cr_assert_eq(ex->reply.bytes.len, 4);
    cr_assert_eq(memcmp(ex->reply.bytes.ptr, "a\0\r\n", 4), 0);
    end();
}

Test(reply, no_data_of_no_length)
{
    begin(GET);
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, NULL, 0), 200);
    check_reply(200, "", "");
    end();
}

Test(reply, statuses_without_content)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 204, NULL, "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 304, NULL, "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 205, NULL, "x", 1), -EINVAL);
    check_no_reply();
    cr_assert_eq(mh_reply_copy(req, 204, NULL, NULL, 0), 204);
    check_reply(204, "", "");
    end();
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 304, NULL, NULL, 0), 304);
    check_reply(304, "", "");
    end();
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 205, NULL, NULL, 0), 205);
    check_reply(205, "", "");
    end();
}

Test(reply, a_status_without_a_name)
{
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 299, NULL, "x", 1), 299);
    check_reply(299, "", "x");
    end();
}

Test(reply, arguments_that_are_refused)
{
    mh_buf body = {0};
    begin(GET);
    static const int statuses[] = {-1, 0, 1, 100, 101, 199, 600, 1000};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        cr_assert_eq(mh_reply_text(req, statuses[i], "x"), -EINVAL, "%d", statuses[i]);
    cr_assert_eq(mh_reply_text(req, 200, NULL), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 1), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, NULL, 1), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, "a/b\r\nSet-Cookie: x", "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 200, "a/b\n", "x", 1), -EINVAL);
    cr_assert_eq(mh_reply_take(req, 200, "\x01", &body), -EINVAL);
    cr_assert_eq(mh_reply_printf(req, 200, "\x7f", "x"), -EINVAL);
    check_no_reply();
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "x", 1), 200);
    check_reply(200, "", "x");
    end();
}

Test(reply, a_second_one_is_refused)
{
    mh_buf body = {0};
    begin(GET);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "first", 5), 200);
    cr_assert_eq(mh_reply_text(req, 404, "second"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 404, NULL, "second", 6), -EINVAL);
    cr_assert_eq(mh_reply_borrow(req, 404, NULL, "second", 6), -EINVAL);
    cr_assert_eq(mh_reply_take(req, 404, NULL, &body), -EINVAL);
    cr_assert_eq(mh_reply_printf(req, 404, NULL, "second"), -EINVAL);
    cr_assert_eq(mh_reply_header(req, "X-Late", "1"), -EINVAL);
    check_reply(200, "", "first");
    end();
}

Test(reply, no_tunnel_is_promised)
{
    begin(CONNECT);
    cr_assert_eq(mh_reply_text(req, 200, "x"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 204, NULL, NULL, 0), -EINVAL);
    check_no_reply();
    cr_assert_eq(mh_reply_copy(req, 405, NULL, NULL, 0), 405);
    check_reply(405, "", "");
    end();
}

/* ---- fields ---- */

Test(reply, fields_stand_in_order)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X-One", "1"), 0);
    cr_assert_eq(mh_reply_header(req, "Set-Cookie", "a=\"b c\"; Path=/"), 0);
    cr_assert_eq(mh_reply_header(req, "Set-Cookie", "c\t\xc3\xa9"), 0);
    cr_assert_eq(mh_reply_header(req, "X-Empty", ""), 0);
    cr_assert_eq(mh_reply_copy(req, 200, "a/b", "x", 1), 200);
    check_reply(200,
                "X-One: 1\r\nSet-Cookie: a=\"b c\"; Path=/\r\nSet-Cookie: c\t\xc3\xa9\r\nX-Empty: "
                "\r\nContent-Type: a/b\r\n",
                "x");
    end();
}

Test(reply, fields_that_are_refused)
{
    static const char *const refused[][2] = {
        {NULL, "x"},
        {"X", NULL},
        {"", "x"},
        {"X Y", "x"},
        {"X:", "x"},
        {"X\r\nY", "x"},
        {"X\xc3\xa9", "x"},
        {"X", "a\r\nSet-Cookie: b"},
        {"X", "a\nb"},
        {"X", "a\rb"},
        {"X", "\x01"},
        {"X", "\x7f"},
        {"X", " a"},
        {"X", "a "},
        {"X", "\ta"},
        {"X", " "},
        {"Content-Length", "1"},
        {"content-length", "1"},
        {"Transfer-Encoding", "chunked"},
        {"TRANSFER-ENCODING", "chunked"},
        {"Connection", "keep-alive"},
        {"connection", "close"},
    };
    begin(GET);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_assert_eq(mh_reply_header(req, refused[i][0], refused[i][1]), -EINVAL, "%zu", i);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_reply(200, "", "");
    end();
}

Test(reply, a_date_of_the_callers)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "date", "Sun, 06 Nov 1994 08:49:37 GMT"), 0);
    cr_assert_eq(mh_reply_header(req, "Date", "Sun, 06 Nov 1994 08:49:38 GMT"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_reply(200, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "");
    end();
}

Test(reply, a_type_of_the_callers)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "Content-Type", "a/b"), 0);
    cr_assert_eq(mh_reply_header(req, "content-type", "c/d"), -EINVAL);
    cr_assert_eq(mh_reply_text(req, 200, "x"), -EINVAL);
    cr_assert_eq(mh_reply_copy(req, 200, "c/d", "x", 1), -EINVAL);
    cr_assert_eq(ex->reply.status, 0);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, "x", 1), 200);
    check_reply(200, "Content-Type: a/b\r\n", "x");
    end();
}

Test(reply, as_many_fields_as_a_head_may_have)
{
    begin(GET);
    for (int i = 0; i < MH__REPLY_FIELDS_MAX; i++)
        cr_assert_eq(mh_reply_header(req, "X", "1"), 0);
    cr_assert_eq(mh_reply_header(req, "X", "1"), -EINVAL);
    cr_assert_eq(mh_reply_text(req, 200, "x"), 200);
    size_t fields = 0;
    for (const char *at = ex->reply.lines.data; (at = strstr(at, "X: 1\r\n")); at++)
        fields++;
    cr_assert_eq(fields, MH__REPLY_FIELDS_MAX);
    end();
}

Test(reply, fields_that_are_too_large)
{
    static char value[MH__REPLY_FIELDS_BYTES];
    memset(value, 'v', sizeof(value) - 1);
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X", value), MH_ERR_TOO_LARGE);
    cr_assert_eq(mh_reply_header(req, "Y", value + 4), 0); /* "Y: " and CR LF */
    cr_assert_eq(mh_reply_header(req, "Z", ""), MH_ERR_TOO_LARGE);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    cr_assert_eq(ex->reply.lines.len, MH__REPLY_FIELDS_BYTES);
    cr_assert_eq(strncmp(ex->reply.lines.data, "Y: vvv", 6), 0);
    end();
}

/* ---- pages ---- */

Test(reply, pages)
{
    begin(GET);
    cr_assert_eq(mh__reply_page(ex, 404, (mh_str){0}), 404);
    check_reply(404, PLAIN, "404 Not Found\n");
    end();
    begin(GET);
    cr_assert_eq(mh__reply_page(ex, 400, MH_STR("so it is")), 400);
    check_reply(400, PLAIN, "400 Bad Request\nso it is\n");
    end();
    begin(GET);
    cr_assert_eq(mh__reply_page(ex, 204, (mh_str){0}), 204);
    check_reply(204, "", "");
    end();
}

Test(reply, a_page_keeps_the_fields)
{
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "Allow", "GET"), 0);
    cr_assert_eq(mh_reply_header(req, "Content-Type", "text/plain"), 0);
    cr_assert_eq(mh__reply_page(ex, 405, (mh_str){0}), 405);
    check_reply(405, "Allow: GET\r\nContent-Type: text/plain\r\n", "405 Method Not Allowed\n");
    end();
}

Test(reply, a_refusal_replaces_everything)
{
    mh_buf body = {0};
    cr_assert_eq(mh_buf_printf(&body, "taken"), 0);
    begin(GET);
    cr_assert_eq(mh_reply_header(req, "X-Of", "the first"), 0);
    cr_assert_eq(mh_reply_take(req, 200, "a/b", &body), 200);
    cr_assert_eq(mh__reply_refuse(ex, 500, (mh_str){0}), 0);
    check_reply(500, PLAIN, "500 Internal Server Error\n");
    end();
}

/* ---- out of memory ---- */

static int reply_by_verb(int verb)
{
    if (verb == 0)
        return mh_reply_text(req, 200, "text");
    if (verb == 1)
        return mh_reply_borrow(req, 200, NULL, "text", 4);
    if (verb == 2)
        return mh_reply_printf(req, 200, NULL, "text");
    return mh__reply_page(ex, 200, MH_STR("text"));
}

/* Each verb with room for n allocations: either it is done, or nothing of it is. To borrow without
 * a type takes none. */
Test(reply, without_memory)
{
    for (int verb = 0; verb < 4; verb++) {
        int result = -ENOMEM;
        int n = 0;
        for (; result == -ENOMEM && n < 10; n++) {
            begin(GET);
            allocations_left = n;
            result = reply_by_verb(verb);
            allocations_left = -1;
            if (result == -ENOMEM) {
                check_no_reply();
                cr_assert_eq(reply_by_verb(verb), 200);
            }
            end();
        }
        cr_assert(result == 200 && n > (verb != 1), "verb %d: %d with %d", verb, result, n);
    }
}

Test(reply, a_field_without_memory)
{
    begin(GET);
    allocations_left = 0;
    cr_assert_eq(mh_reply_header(req, "X", "1"), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(mh_reply_header(req, "Y", "2"), 0);
    cr_assert_eq(mh_reply_copy(req, 200, NULL, NULL, 0), 200);
    check_reply(200, "Y: 2\r\n", "");
    end();
}

/* A buffer with a low ceiling stands for a body that is too large to be copied. */
Test(reply, too_large_to_copy)
{
    static char large[2048];
    begin(GET);
    ex->reply.copy.max = 1024;
    cr_assert_eq(mh_reply_copy(req, 200, NULL, large, sizeof(large)), MH_ERR_TOO_LARGE);
    check_no_reply();
    cr_assert_eq(mh_reply_borrow(req, 200, NULL, large, sizeof(large)), 200);
    cr_assert_eq(ex->reply.bytes.ptr, large);
    end();
}

/* ---- bodies that belong to somebody ---- */

static int released;

static void release(void *owner)
{
    cr_assert_eq(owner, &released);
    released++;
}

static ssize_t produce_nothing(mh_request *request, char *buf, size_t cap)
{
    (void)request, (void)buf, (void)cap;
    return 0;
}

static int owned_by_verb(int verb, int status)
{
    if (verb == 0)
        return mh__reply_borrow(req, status, NULL, MH_STR("x"), release, &released);
    if (verb == 1)
        return mh__reply_file(req, status, NULL, 0, 0, 1, release, &released);
    return mh__reply_stream(req, status, NULL, 1, produce_nothing, release, &released);
}

/* Exactly once: at the end, or when it is refused, or when another reply takes its place. */
Test(reply, owners_are_told)
{
    for (int verb = 0; verb < 3; verb++) {
        released = 0;
        begin(GET);
        cr_assert_eq(owned_by_verb(verb, 200), 200);
        cr_assert_eq(released, 0);
        cr_assert_eq(owned_by_verb(verb, 200), -EINVAL);
        cr_assert_eq(released, 1);
        end();
        cr_assert_eq(released, 2);
        begin(GET);
        cr_assert_eq(owned_by_verb(verb, 204), -EINVAL);
        cr_assert_eq(released, 3);
        cr_assert_eq(owned_by_verb(verb, 200), 200);
        cr_assert_eq(mh__reply_refuse(ex, 500, (mh_str){0}), 0);
        cr_assert_eq(released, 4);
        end();
        cr_assert_eq(released, 4);
    }
}

Test(reply, files)
{
    int before = open_descriptors();
    begin(GET);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(mh_reply_file(req, 206, "a/b", fd, 3, 5), 206);
    cr_assert_eq(ex->reply.source, MH__SOURCE_FILE);
    cr_assert(ex->reply.file == fd && ex->reply.file_offset == 3 && ex->reply.length == 5);
    end();
    cr_assert_eq(open_descriptors(), before);
}

/* The descriptor is closed all the same. */
Test(reply, files_that_are_refused)
{
    static const struct {
        int status;
        const char *type;
        uint64_t offset, len;
    } refused[] = {{99, NULL, 0, 1},
                   {204, NULL, 0, 1},
                   {200, "a\nb", 0, 1},
                   {200, NULL, UINT64_MAX, 1},
                   {200, NULL, 1, UINT64_MAX - 1},
                   {200, NULL, INT64_MAX, 1}};
    begin(GET);
    int before = open_descriptors();
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_eq(mh_reply_file(req, refused[i].status, refused[i].type, fd, refused[i].offset,
                                   refused[i].len),
                     -EINVAL, "%zu", i);
        cr_assert_eq(open_descriptors(), before);
    }
    cr_assert_eq(mh_reply_file(req, 200, NULL, -1, 0, 1), -EINVAL);
    check_no_reply();
    end();
}

Test(reply, streams)
{
    begin(GET);
    cr_assert_eq(mh_reply_stream(req, 200, NULL, 1, NULL), -EINVAL);
    cr_assert_eq(mh_reply_stream(req, 204, NULL, 1, produce_nothing), -EINVAL);
    cr_assert_eq(mh_reply_stream(req, 304, NULL, MH_LENGTH_UNKNOWN, produce_nothing), -EINVAL);
    check_no_reply();
    cr_assert_eq(mh_reply_stream(req, 200, "a/b", MH_LENGTH_UNKNOWN, produce_nothing), 200);
    cr_assert_eq(ex->reply.source, MH__SOURCE_PRODUCER);
    cr_assert_eq(ex->reply.length, MH_LENGTH_UNKNOWN);
    end();
}

/* ---- trailers ---- */

Test(reply, trailers)
{
    begin(GET);
    cr_assert_eq(mh_reply_trailer(req, "X-One", "1"), 0);
    cr_assert_eq(mh_reply_stream(req, 200, NULL, 1, produce_nothing), 200);
    cr_assert_eq(mh_reply_trailer(req, "X-Two", ""), 0);
    cr_assert(same(mh_buf_str(&ex->reply.trailers), "X-One: 1\r\nX-Two: \r\n"));
    end();
}

Test(reply, trailers_that_are_refused)
{
    static const char *const refused[][2] = {
        {NULL, "x"},
        {"X", NULL},
        {"", "x"},
        {"X Y", "x"},
        {"X", "a\nb"},
        {"X", " a"},
        {"Content-Length", "1"},
        {"Transfer-Encoding", "chunked"},
        {"connection", "close"},
        {"host", "a"},
        {"content-type", "a/b"},
    };
    begin(GET);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_assert_eq(mh_reply_trailer(req, refused[i][0], refused[i][1]), -EINVAL, "%zu", i);
    for (int i = 0; i < MH_HEADERS_MAX; i++)
        cr_assert_eq(mh_reply_trailer(req, "X", "1"), 0);
    cr_assert_eq(mh_reply_trailer(req, "X", "1"), -EINVAL);
    end();
}

Test(reply, trailers_that_are_too_large)
{
    static char value[MH__REPLY_FIELDS_BYTES];
    memset(value, 'v', sizeof(value) - 1);
    begin(GET);
    cr_assert_eq(mh_reply_trailer(req, "X", value), MH_ERR_TOO_LARGE);
    cr_assert_eq(ex->reply.trailers.len, 0);
    allocations_left = 0;
    cr_assert_eq(mh_reply_trailer(req, "X", "1"), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(ex->reply.trailer_count, 0);
    end();
}

/* ---- on the wire ---- */

#define CLOSE "Connection: close\r\n\r\n"

static int say_text(mh_request *request)
{
    return mh_reply_text(request, 200, "caf\xc3\xa9");
}

static int say_borrowed(mh_request *request)
{
    return mh_reply_borrow(request, 200, "a/b", "body", 4);
}

static int say_nothing(mh_request *request)
{
    return mh_reply_copy(request, 200, NULL, NULL, 0);
}

static int say_204(mh_request *request)
{
    return mh_reply_copy(request, 204, NULL, NULL, 0);
}

static int say_205(mh_request *request)
{
    return mh_reply_copy(request, 205, NULL, NULL, 0);
}

static int say_304(mh_request *request)
{
    return mh_reply_header(request, "ETag", "\"x\"") < 0 ? -EINVAL : 304;
}

static int say_299(mh_request *request)
{
    return mh_reply_copy(request, 299, NULL, "x", 1);
}

static int say_fields(mh_request *request)
{
    if (mh_reply_header(request, "date", "Sun, 06 Nov 1994 08:49:37 GMT") < 0 ||
        mh_reply_header(request, "Set-Cookie", "a") < 0 ||
        mh_reply_header(request, "Set-Cookie", "b") < 0 ||
        mh_reply_header(request, "Content-Type", "c/d") < 0)
        return -EINVAL;
    return mh_reply_copy(request, 200, NULL, "x", 1);
}

static int say_page(mh_request *request)
{
    return mh_reply_header(request, "Allow", "GET") < 0 ? -EINVAL : 405;
}

static const struct {
    const char *name;
    mh_handler *handler;
    const char *method, *sent;
} wires[] = {
    {"text", say_text, "GET",
     "HTTP/1.1 200 OK\r\n" SENT_DATE PLAIN "Content-Length: 5\r\n" CLOSE "caf\xc3\xa9"},
    {"borrowed", say_borrowed, "GET",
     "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\nContent-Length: 4\r\n" CLOSE "body"},
    /* RFC 9110 section 9.3.2: the fields of a GET, and no content. */
    {"HEAD", say_borrowed, "HEAD",
     "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Type: a/b\r\nContent-Length: 4\r\n" CLOSE},
    {"nothing", say_nothing, "GET", "HTTP/1.1 200 OK\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE},
    {"204", say_204, "GET", "HTTP/1.1 204 No Content\r\n" SENT_DATE CLOSE},
    {"205", say_205, "GET",
     "HTTP/1.1 205 Reset Content\r\n" SENT_DATE "Content-Length: 0\r\n" CLOSE},
    {"304", say_304, "GET", "HTTP/1.1 304 Not Modified\r\n" SENT_DATE "ETag: \"x\"\r\n" CLOSE},
    {"no name", say_299, "GET", "HTTP/1.1 299 \r\n" SENT_DATE "Content-Length: 1\r\n" CLOSE "x"},
    {"fields", say_fields, "GET",
     "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nSet-Cookie: a\r\n"
     "Set-Cookie: b\r\nContent-Type: c/d\r\nContent-Length: 1\r\n" CLOSE "x"},
    {"page", say_page, "GET",
     "HTTP/1.1 405 Method Not Allowed\r\n" SENT_DATE "Allow: GET\r\n" PLAIN
     "Content-Length: 23\r\n" CLOSE "405 Method Not Allowed\n"},
};

/* What is said fits into the buffers of a socket, so one thread can be both ends. */
static void hear_reply(mh_buf *sent, const char *method, mh_handler *handler)
{
    int fds[2];
    mh_buf request = {0};
    cr_assert_eq(mh_buf_printf(&request, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", method), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    cr_assert_eq(write(fds[0], request.data, request.len), (ssize_t)request.len);
    cr_assert_gt(mh_respond(fds[1], handler, NULL), 0);
    cr_assert_eq(mh_buf_reserve(sent, 4096), 0);
    ssize_t len = 0;
    while ((len = read(fds[0], sent->data + sent->len, 4096 - sent->len)) > 0)
        sent->len += (size_t)len;
    cr_assert_eq(len, 0);
    sent->data[sent->len] = '\0';
    close(fds[0]);
    mh_buf_free(&request);
}

Test(reply, on_the_wire)
{
    for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
        mh_buf sent = {0};
        hear_reply(&sent, wires[i].method, wires[i].handler);
        check_sent(&sent, wires[i].sent, wires[i].name);
        mh_buf_free(&sent);
    }
}
