/* The reading half of the protocol engine: all cases of tests/cases in all cuts, and what a case
 * cannot say. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../h1_runner.h"

#define CASES_MIN 1000 /* fewer means that some were lost on the way here */

/* ---- the cases ---- */

static const char *folder(void)
{
    const char *path = getenv("MINIHTTP_CASES");
    cr_assert_not_null(path, "MINIHTTP_CASES names the folder of the cases");
    return path;
}

TestSuite(h1_read, .timeout = 300);

Test(h1_read, cases)
{
    struct h1_suite suite = {0};
    bool read = h1_suite_read(&suite, folder());
    cr_expect(read);
    cr_expect_geq(suite.case_count, CASES_MIN);
    size_t runs;
    size_t failed = h1_suite_run(&suite, H1_DEPTH_FULL, false, &runs);
    cr_expect_eq(failed, 0, "%zu of %zu", failed, suite.case_count);
    cr_expect_gt(runs, 100 * suite.case_count);
    h1_suite_free(&suite);
}

/* ---- the runner itself ---- */

static bool parses(const char *text)
{
    struct h1_suite suite = {0};
    bool good = h1_suite_parse(&suite, "expected to complain", mh_str_from(text));
    h1_suite_free(&suite);
    return good;
}

Test(h1_read, case_files_that_are_none)
{
    cr_expect(parses("case a\nserver\nMORE\n"));
    cr_expect_not(parses(""), "empty");
    cr_expect_not(parses("# a comment\n"), "no case");
    cr_expect_not(parses("case a\n"), "no role, no story");
    cr_expect_not(parses("case a\nserver\n"), "no story");
    cr_expect_not(parses("case \nserver\nMORE\n"), "no title");
    cr_expect_not(parses("server\nMORE\n"), "no case line");
    cr_expect_not(parses("case a\nMORE\n"), "no role");
    cr_expect_not(parses("case a\nserver\nclient\nMORE\n"), "two roles");
    cr_expect_not(parses("case a\nserver\nMORE\ncase a\nserver\nMORE\n"), "one title twice");
    cr_expect_not(parses("case a\nserver\nMOAR\n"), "unknown event");
    cr_expect_not(parses("case a\nserver\nMORE \n"), "white space at the end");
    cr_expect_not(parses("case a\nserver\nMORE x\n"), "a word too many");
    cr_expect_not(parses("case a\nserver\n< \\q\n"), "unknown escape");
    cr_expect_not(parses("case a\nserver\n< \\x0\n"), "half a byte");
    cr_expect_not(parses("case a\nserver\n< {a}\n"), "no count");
    cr_expect_not(parses("case a\nserver\n< {a*b}\n"), "a count of letters");
    cr_expect_not(parses("case a\nserver\n< {a*2\n"), "no closing brace");
    cr_expect_not(parses("case a\nserver\nHEAD GET /\n"), "no version");
    cr_expect_not(parses("case a\nserver\nERROR NONE\n"), "unknown error");
    cr_expect_not(parses("case a\nserver\nERROR MALFORMED byte 11\n"), "byte not in hexadecimal");
    cr_expect_not(parses("case a\nserver\nERROR MALFORMED offset x\n"), "offset of letters");
    cr_expect_not(parses("case a\nserver\nEOF MALFORMED\n"), "an error without the word");
    cr_expect_not(parses("case a\nserver\nMORE\n    A: b\n"), "a field of no head");
    cr_expect_not(parses("case a\nserver\nEND\n    A b\n"), "a field without a colon");
    cr_expect_not(parses("case a\nserver\nMORE\nfails EINVAL\n"), "nothing that could fail");
    cr_expect_not(parses("case a\nserver\nleft some\n"), "a length of letters");
    cr_expect_not(parses("case a\nserver\nreusable maybe\n"), "neither yes nor no");
    cr_expect_not(parses("case a\nserver head_max\nMORE\n"), "no number");
}

static size_t failures(const char *text)
{
    struct h1_suite suite = {0};
    size_t runs;
    cr_assert(h1_suite_parse(&suite, "given", mh_str_from(text)));
    size_t failed = h1_suite_run(&suite, H1_DEPTH_FULL, true, &runs);
    h1_suite_free(&suite);
    return failed;
}

#define GET "case a\nserver\n< GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\n"
#define HEAD "HEAD GET / 1.1\n    Host: a\n"
#define BAD "case a\nserver\n< GET / HTTP/1.1\\r\\nX\\x01\n"

/* A story that is not true is noticed, whichever part of it is wrong. */
Test(h1_read, stories_that_are_not_true)
{
    cr_expect_eq(failures(GET HEAD "END\nPAUSED\n"), 0);
    cr_expect_eq(failures(GET HEAD), 1, "the end is not told");
    cr_expect_eq(failures(GET "END\n"), 1, "the head is not told");
    cr_expect_eq(failures(GET "HEAD GET /x 1.1\n    Host: a\nEND\n"), 1, "another target");
    cr_expect_eq(failures(GET "HEAD PUT / 1.1\n    Host: a\nEND\n"), 1, "another method");
    cr_expect_eq(failures(GET "HEAD GET / 1.0\n    Host: a\nEND\n"), 1, "another version");
    cr_expect_eq(failures(GET "HEAD GET / 1.1\n    Host: b\nEND\n"), 1, "another value");
    cr_expect_eq(failures(GET "HEAD GET / 1.1\n    host: a\nEND\n"), 1, "another name");
    cr_expect_eq(failures(GET "HEAD GET / 1.1\nEND\n"), 1, "no field");
    cr_expect_eq(failures(GET HEAD "END\n    A: b\n"), 1, "a trailer");
    cr_expect_eq(failures(GET HEAD "BODY x\nEND\n"), 1, "a body");
    cr_expect_eq(failures(GET HEAD "END\nCLOSED\n"), 1, "closed");
    cr_expect_eq(failures(GET "ERROR MALFORMED\n"), 1, "an error");
    cr_expect_eq(failures(GET HEAD "left 5\nEND\n"), 1, "a length");
    cr_expect_eq(failures(GET HEAD "wants_continue yes\nEND\n"), 1, "an expectation");
    cr_expect_eq(failures(GET HEAD "END\nreusable yes\n"), 1, "reusable");
    cr_expect_eq(failures(GET HEAD "END\nrest x\n"), 1, "a rest");
    cr_expect_eq(failures(GET HEAD "END\nreply 200\n> x\n"), 1, "bytes that were not put");
    cr_expect_eq(failures(GET HEAD "END\nput 200 OK\nfails EINVAL\n"), 1, "a refusal");
    cr_expect_eq(failures(GET HEAD "END\nbody x\n"), 1, "no refusal");
    cr_expect_eq(failures(GET HEAD "END\nEOF ERROR CLOSED\n"), 1, "an end in the middle");
    cr_expect_eq(failures(BAD "ERROR MALFORMED 400 offset 17 byte 0x01\n"), 0);
    cr_expect_eq(failures(BAD "ERROR FRAMING\n"), 1, "another error");
    cr_expect_eq(failures(BAD "ERROR MALFORMED 431\n"), 1, "another status");
    cr_expect_eq(failures(BAD "ERROR MALFORMED 400 offset 18\n"), 1, "another offset");
    cr_expect_eq(failures(BAD "ERROR MALFORMED 400 byte 0x02\n"), 1, "another byte");
    cr_expect_eq(failures(BAD "ERROR MALFORMED 400 byte none\n"), 1, "no byte");
    cr_expect_eq(failures("case a\nserver\n< GET * HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\n"
                          "ERROR MALFORMED 400 byte 0x2a\n"),
                 1, "a fault that only the whole head shows is late");
}

/* ---- costs ---- */

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Feed it byte by byte, in place: nothing but the engine takes time. */
static int drip(mh_h1_role role, const char *bytes, size_t len)
{
    static mh_h1_view view;
    mh_h1 h1;
    mh_h1_init(&h1, role, 4u << 20);
    mh_str in = {bytes, 0};
    int event = MH_H1_NEED_MORE;
    for (size_t fed = 1; fed <= len && event == MH_H1_NEED_MORE; fed++) {
        in.len = (size_t)(bytes + fed - in.ptr);
        event = mh_h1_next(&h1, &in, &view);
    }
    return event;
}

/* A head of two million bytes that drips in. Looking at all of it again for each byte would be 2e12
 * steps, which is more than a quarter of an hour on any machine of today; looking once is some tens
 * of milliseconds, also with sanitizers. Five seconds is far from both. */
#define LONG_HEAD (2u << 20)
#define LONG_S 5.0

static void drip_long(const char *start, const char *middle, int expected)
{
    char *text = malloc(LONG_HEAD);
    cr_assert_not_null(text);
    size_t len = strlen(start), step = strlen(middle);
    memcpy(text, start, len);
    for (; len + step <= LONG_HEAD; len += step)
        memcpy(text + len, middle, step);
    double before = cpu_s();
    int event = drip(MH_H1_SERVER, text, len);
    double spent = cpu_s() - before;
    free(text);
    cr_expect_eq(event, expected, "%s: %s", middle, event < 0 ? mh_errname(event) : "no error");
    cr_expect_lt(spent, LONG_S, "%s: %.1f s", middle, spent);
}

Test(h1_read, time_is_linear)
{
    drip_long("GET /", "a", MH_H1_NEED_MORE);
    drip_long("GET / HTTP/1.1\r\nX: ", "v", MH_H1_NEED_MORE);
    drip_long("GET / HTTP/1.1\r\nX:", " ", MH_H1_NEED_MORE);
    drip_long("GET / HTTP/1.1\r\n", "N", MH_H1_NEED_MORE);
    drip_long("", "M", MH_H1_NEED_MORE);
    drip_long("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "0", MH_H1_HEAD);
}

/* Many fields: each is looked at again once for each byte at worst, so few are all it can be. */
Test(h1_read, many_long_fields)
{
    mh_buf text = {0};
    cr_assert_eq(mh_buf_append(&text, "GET / HTTP/1.1\r\nHost: a\r\n", 25), 0);
    for (int i = 0; i < 120; i++) {
        cr_assert_eq(mh_buf_append(&text, "X: ", 3), 0);
        cr_assert_eq(mh_buf_reserve(&text, 8192), 0);
        memset(text.data + text.len, 'v', 8192);
        text.len += 8192;
        cr_assert_eq(mh_buf_append(&text, "\r\n", 2), 0);
    }
    cr_assert_eq(mh_buf_append(&text, "\r\n", 2), 0);
    double before = cpu_s();
    cr_expect_eq(drip(MH_H1_SERVER, text.data, text.len), MH_H1_HEAD);
    cr_expect_lt(cpu_s() - before, LONG_S);
    mh_buf_free(&text);
}

/* One per connection: it has to stay small. The view is one per thread. */
Test(h1_read, sizes)
{
    cr_expect_leq(sizeof(mh_h1), 64);
    cr_expect_leq(sizeof(mh_h1_view), 6 * 1024);
}

/* ---- a value, not an object ---- */

/* It holds no pointers: a copy of it goes on where it was, and the old one may be overwritten. */
Test(h1_read, may_be_moved)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n";
    static mh_h1_view view;
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    mh_str in = {text, 0};
    int ends = 0, heads = 0;
    for (size_t fed = 1; fed < sizeof text; fed++) {
        in.len = (size_t)(text + fed - in.ptr);
        mh_h1 moved = h1;
        memset(&h1, 0xa5, sizeof h1);
        int event = mh_h1_next(&moved, &in, &view);
        h1 = moved;
        cr_assert_geq(event, 0);
        heads += event == MH_H1_HEAD;
        ends += event == MH_H1_END;
    }
    cr_expect_eq(heads, 1);
    cr_expect_eq(ends, 1);
}

/* The view and the engine need not be initialised: nothing of what was there is read. */
Test(h1_read, garbage_before)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n";
    static mh_h1_view view;
    mh_h1 h1;
    mh_buf out = {0};
    const mh_header host = {MH_STR("Host"), MH_STR("a")};
    const mh_h1_head ask = {.method = MH_STR("GET"), .target = MH_STR("/"), .headers = {&host, 1}};
    memset(&view, 0xa5, sizeof view);
    memset(&h1, 0xa5, sizeof h1);
    mh_h1_init(&h1, MH_H1_CLIENT, 0);
    cr_assert_eq(mh_h1_put_head(&h1, &ask, &out), 0);
    cr_assert_eq(mh_h1_put_end(&h1, (mh_headers){0}, &out), 0);
    mh_str in = {text, sizeof text - 1};
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_H1_HEAD);
    cr_expect_eq(view.head.headers.count, 2);
    cr_expect(mh_str_equal(view.head.headers.at[0].value, "a b"));
    cr_expect_null(view.head.method.ptr);
    cr_expect_null(view.head.target.ptr);
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_H1_END);
    cr_expect_eq(view.head.headers.count, 0);
    mh_buf_free(&out);
}

/* view->raw is the head as it came, to its empty line. */
Test(h1_read, raw_head)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: \t a \r\nx:y\r\n\r\nrest";
    static mh_h1_view view;
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    mh_str in = {text, sizeof text - 1};
    cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_HEAD);
    cr_expect_eq(view.raw.ptr, text);
    cr_expect_eq(view.raw.len, sizeof text - 1 - 4);
    cr_expect_eq(view.head.target.ptr, text + 4, "slices, not copies");
    cr_expect_eq(in.ptr, text + view.raw.len);
    cr_expect_eq(in.len, 4);
}

/* A body is handed out where it lies. */
Test(h1_read, body_is_a_slice)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello";
    static mh_h1_view view;
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    mh_str in = {text, sizeof text - 1};
    cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_HEAD);
    cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_BODY);
    cr_expect_eq(view.body.ptr, text + sizeof text - 1 - 5);
    cr_expect_eq(view.body.len, 5);
    cr_expect_eq(in.len, 0);
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_H1_NEED_MORE);
    cr_expect_eq(mh_h1_body_left(&h1), 4);
}

/* More than 2^32 bytes of body: lengths are 64 bits wide. */
Test(h1_read, counts_beyond_32_bits)
{
    static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n\r\n";
    static mh_h1_view view;
    static char piece[1u << 20];
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    mh_str in = {text, sizeof text - 1};
    cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_HEAD);
    uint64_t left = 5000000000u;
    while (left > 0) {
        in = (mh_str){piece, left < sizeof piece ? (size_t)left : sizeof piece};
        left -= in.len;
        cr_assert_eq(mh_h1_next(&h1, &in, &view), MH_H1_BODY);
        cr_assert_eq(mh_h1_body_left(&h1), left);
    }
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_H1_END);
}

/* ---- faults in words ---- */

Test(h1_read, explains)
{
    mh_buf out = {0};
    const mh_h1_fault fault = {.reason = "control byte", .offset = 57, .byte = 0x0b, .status = 400};
    cr_assert_eq(mh_h1_explain(&fault, &out), 0);
    cr_expect_str_eq(out.data, "byte 0x0b at offset 57: control byte");
    mh_buf_clear(&out);
    const mh_h1_fault limit = {.reason = "too many fields", .offset = 9000, .byte = -1};
    cr_assert_eq(mh_h1_explain(&limit, &out), 0);
    cr_expect_not_null(strstr(out.data, "too many fields"));
    cr_expect_null(strstr(out.data, "0x"), "there is no byte to name: %s", out.data);
    mh_buf_free(&out);
}

Test(h1_read, explains_into_no_room)
{
    const mh_h1_fault fault = {.reason = "control byte", .offset = 57, .byte = 0x0b, .status = 400};
    mh_buf all = {0};
    cr_assert_eq(mh_h1_explain(&fault, &all), 0);
    for (size_t max = 4; max < 4 + all.len; max++) {
        mh_buf out = {.max = max};
        cr_assert_eq(mh_buf_append(&out, "kept", 4), 0);
        cr_expect_eq(mh_h1_explain(&fault, &out), MH_ERR_TOO_LARGE);
        cr_expect_str_eq(out.data, "kept");
        mh_buf_free(&out);
    }
    mh_buf_free(&all);
}

/* head_max: 0 is the default, and nothing is larger than 16 MiB. */
Test(h1_read, head_max_has_a_ceiling)
{
    const size_t len = (16u << 20) + 1;
    char *text = malloc(len);
    cr_assert_not_null(text);
    memset(text, 'a', len);
    memcpy(text, "GET /", 5);
    static mh_h1_view view;
    mh_h1 h1;
    mh_h1_init(&h1, MH_H1_SERVER, SIZE_MAX);
    mh_str in = {text, len};
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_ERR_TOO_LARGE);
    cr_expect_eq(view.fault.status, 414);
    mh_h1_init(&h1, MH_H1_SERVER, SIZE_MAX);
    in = (mh_str){text, len - 2};
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_H1_NEED_MORE);
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    in = (mh_str){text, MH_H1_HEAD_MAX + 1};
    cr_expect_eq(mh_h1_next(&h1, &in, &view), MH_ERR_TOO_LARGE);
    free(text);
}
