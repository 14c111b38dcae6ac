/* The protocol engine against the checker, in spaces that are small enough to be searched to the
 * end: every run of up to five bytes behind each element of a message, and every change of one
 * byte. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../agree.h"

#define RUN_MAX 5   /* bytes that are put in between */
#define RUN_ALL 3   /* so many are tried whether or not the engine has refused their beginning */
#define SHOWN_MAX 5 /* disagreements that are printed */

static struct memory memory;
static struct walked whole, cut;
static size_t tried, failed;

static void open_memory(void)
{
    cr_assert(memory_open(&memory, MEMORY_BEFORE_GUARD));
}

static void close_memory(void)
{
    memory_close(&memory);
    walked_free(&whole);
    walked_free(&cut);
}

TestSuite(h1_small, .init = open_memory, .fini = close_memory, .timeout = 300);

struct message {
    const char *text;   /* "^" stands where something may be put in */
    const char *method; /* of the request that a response answers; NULL: it is a request */
};

static void show(mh_str text, const char *what)
{
    if (failed++ >= SHOWN_MAX)
        return;
    fprintf(stderr, "%s: \"", what);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < ' ' || c > '~')
            fprintf(stderr, "\\x%02x", c);
        else
            fputc(c, stderr);
    }
    fprintf(stderr, "\" (engine: %d at %llu)\n", whole.event,
            (unsigned long long)whole.fault.offset);
}

static void ask_both(mh_str text, const char *method, struct check *checker)
{
    struct walk how = {.role = method ? MH_H1_CLIENT : MH_H1_SERVER,
                       .method = method,
                       .messages_max = 1,
                       .memory = &memory};
    walk(&how, text, &whole);
    if (method)
        check_response(checker, text, method);
    else
        check_request(checker, text);
    tried++;
}

static void compare(mh_str text, const char *method)
{
    struct check checker;
    ask_both(text, method, &checker);
    const char *said = agree(&whole, &checker);
    if (said)
        show(text, said);
}

/* ---- runs of bytes ---- */

static const char bytes[] = {' ', '\t', '\r', '\n', '\0', ':', ',', 'a', '0', '\x80'};

struct place {
    const char *method;
    const char *rest; /* of the message, behind what is put in */
    char text[512];
    size_t len;
};

static void compare_with_rest(struct place *place, size_t len)
{
    size_t rest = strlen(place->rest);
    memcpy(place->text + len, place->rest, rest);
    compare((mh_str){place->text, len + rest}, place->method);
}

/* What is put in is place->text[place->len .. len). A beginning that is refused cannot be saved by
 * what follows; from RUN_ALL bytes on, that is taken for granted. */
static void put_in(struct place *place, size_t len)
{
    compare((mh_str){place->text, len}, place->method);
    bool refused = whole.event < 0;
    compare_with_rest(place, len);
    size_t count = len - place->len;
    if (count == RUN_MAX || (count >= RUN_ALL && refused))
        return;
    for (size_t i = 0; i < sizeof bytes; i++) {
        place->text[len] = bytes[i];
        put_in(place, len + 1);
    }
}

static void put_in_everywhere(const struct message *message)
{
    struct place place = {.method = message->method};
    for (const char *at = message->text; *at; at++) {
        if (*at != '^') {
            place.text[place.len++] = *at;
            continue;
        }
        char rest[256];
        size_t len = 0;
        for (const char *c = at; *c; c++)
            if (*c != '^')
                rest[len++] = *c;
        rest[len] = '\0';
        place.rest = rest;
        put_in(&place, place.len);
    }
}

static void put_in_all(const struct message *messages, size_t count)
{
    tried = failed = 0;
    for (size_t i = 0; i < count; i++)
        put_in_everywhere(&messages[i]);
    cr_assert_gt(tried, 10000);
    cr_assert_eq(failed, 0, "%zu of %zu", failed, tried);
}

Test(h1_small, runs_in_requests)
{
    static const struct message messages[] = {
        {"^GET^ ^/^ ^HTTP/1.^1^\r^\n^Host^:^ ^a^\r^\n^\r^\n^", NULL},
        {"OPTIONS ^*^ HTTP/1.1\r\nHost:^a:1^\r\n\r\n", NULL},
        {"CONNECT ^a^:^1^ HTTP/1.1\r\nHost:a\r\n\r\n", NULL},
        {"GET http://^a^/ HTTP/1.0\r\n\r\n", NULL},
        {"POST / HTTP/1.0\r\nContent-Length^:^1^\r\n\r\n^x^", NULL},
        {"POST / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:^chunked^\r\n\r\n0\r\n\r\n", NULL},
    };
    put_in_all(messages, sizeof messages / sizeof *messages);
}

Test(h1_small, runs_in_chunks)
{
    static const struct message messages[] = {
        {"POST / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n"
         "^1^\r^\n^x^\r^\n^0^\r^\n^\r^\n^",
         NULL},
        {"POST / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n"
         "1^;^a^=^b^;^c^=^\"^d^\"^\r\nx\r\n0;^a^\r\n\r\n",
         NULL},
        {"POST / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:chunked\r\n\r\n0\r\n^X^:^y^\r^\n^\r^\n",
         NULL},
    };
    put_in_all(messages, sizeof messages / sizeof *messages);
}

Test(h1_small, runs_in_responses)
{
    static const struct message messages[] = {
        {"^HTTP/1.1^ ^2^0^0^ ^O^K^\r^\n^Content-Length^:^ ^1^\r^\n^\r^\n^x^", "GET"},
        {"HTTP/1.1 200 \r\nX:^a^\r\n ^b^\r\n^Content-Length:1\r\n^\r\nx", "GET"},
        {"HTTP/1.1 200 \r\nTransfer-Encoding:^chunked^\r\n\r\n0^\r\nX:^a\r\n ^b\r\n^\r\n", "GET"},
        {"HTTP/1.1 200 \r\nContent-Length:^1^\r\n\r\n^", "HEAD"},
    };
    put_in_all(messages, sizeof messages / sizeof *messages);
}

/* ---- changes of one byte ---- */

#define H "Host: a\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static const struct message originals[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", NULL},
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n", NULL},
    {"GET / HTTP/1.0\r\n\r\n", NULL},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", NULL},
    {"GET /a/b%20c?d=e&f=%41 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", NULL},
    {"HEAD / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\nHost: [2001:db8::1.2.3.4]\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", NULL},
    {"GET http://a/ HTTP/1.1\r\n" H "\r\n", NULL},
    {"GET https://a:443/b?c HTTP/1.1\r\nHost: b\r\n\r\n", NULL},
    {"GET http://[::1]?q HTTP/1.1\r\n" H "\r\n", NULL},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", NULL},
    {"OPTIONS http://a HTTP/1.1\r\n" H "\r\n", NULL},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", NULL},
    {"CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\n" H "X: y\r\nX:\r\nY:\t z \t\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", NULL},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\nhello world", NULL},
    {"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", NULL},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", NULL},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\nx", NULL},
    {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" H "\r\n0\r\n\r\n", NULL},
    {CHUNKED "5\r\nhello\r\n0\r\n\r\n", NULL},
    {CHUNKED "0a\r\n0123456789\r\n1\r\nx\r\n00\r\n\r\n", NULL},
    {CHUNKED "1;a=b\r\nx\r\n0;c\r\n\r\n", NULL},
    {CHUNKED "1 ; a = \"b\\\"c\" ; d\r\nx\r\n0\r\n\r\n", NULL},
    {CHUNKED "7fffffffffffffff\r\nx", NULL},
    {CHUNKED "1\r\nx\r\n0\r\nX: y\r\nZ:\r\n\r\n", NULL},
    {CHUNKED "3\r\n\r\n0\r\n0\r\n\r\n", NULL},
    {"GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"},
    {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "GET"},
    {"HTTP/1.0 200 OK\r\n\r\nuntil close", "GET"},
    {"HTTP/1.1 200 OK\r\n\r\nuntil close", "GET"},
    {"HTTP/1.1 204 No Content\r\n\r\n", "GET"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n", "GET"},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "GET"},
    {"HTTP/1.1 100 Continue\r\n\r\n", "POST"},
    {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "GET"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "GET"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\r\nx\r\n0\r\nX: y\r\n z\r\n\r\n",
     "GET"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "GET"},
    {"HTTP/1.1 200 OK\r\nContent-Length:\r\n\t5\r\n\r\nhello", "GET"},
    {"HTTP/1.1 200 OK\r\nX: a \r\n  b\t\r\n\tc\r\nContent-Length: 1\r\n\r\nx", "GET"},
    {"HTTP/1.1 200 OK\r\n\r\n\x16\x03", "CONNECT"},
    {"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", "CONNECT"},
    {"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 1\r\n\r\nx", "GET"},
    {"HTTP/1.2 299 X\r\nContent-Length: 1\r\n\r\nx", "GET"},
    {"HTTP/1.1 999 X\r\nContent-Length: 1\r\n\r\nx", "GET"},
};

static const char replacements[] = "\0\t\n\v\r \"#%,/0159:;=AaHxz{\x7f\x80\xff";

/* And what the engine says of it byte by byte is what it says of the whole. */
static void compare_cut(mh_str text, const char *method)
{
    static const unsigned char one_byte[] = {0};
    struct walk how = {.role = method ? MH_H1_CLIENT : MH_H1_SERVER,
                       .method = method,
                       .cuts = one_byte,
                       .cut_count = 1,
                       .messages_max = 1,
                       .memory = &memory};
    walk(&how, text, &cut);
    bool same =
        cut.log.len == whole.log.len && memcmp(cut.log.data, whole.log.data, cut.log.len) == 0;
    if (!same)
        show(text, "cut into bytes it is something else");
}

static void compare_all_ways(const char *text, size_t len, const char *method)
{
    compare((mh_str){text, len}, method);
    compare_cut((mh_str){text, len}, method);
}

static void change(const struct message *original, size_t at)
{
    char text[512];
    size_t len = strlen(original->text);
    memcpy(text, original->text, len);
    for (size_t i = 0; i + 1 < sizeof replacements; i++) {
        text[at] = replacements[i];
        compare_all_ways(text, len, original->method);
    }
    memcpy(text + at, original->text + at + 1, len - at - 1); /* without it */
    compare_all_ways(text, len - 1, original->method);
    memcpy(text + at + 1, original->text + at, len - at); /* twice */
    text[at] = original->text[at];
    compare_all_ways(text, len + 1, original->method);
}

Test(h1_small, changes_of_one_byte)
{
    tried = failed = 0;
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++)
        for (size_t at = 0; originals[i].text[at]; at++)
            change(&originals[i], at);
    cr_assert_gt(tried, 50000);
    cr_assert_eq(failed, 0, "%zu of %zu", failed, tried);
}

/* The originals are what they look like: both accept each, and wait for each shorter beginning. */
Test(h1_small, originals)
{
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++) {
        const struct message *original = &originals[i];
        size_t len = strlen(original->text);
        struct check checker;
        ask_both((mh_str){original->text, len}, original->method, &checker);
        cr_expect_null(agree(&whole, &checker), "%s", original->text);
        cr_expect_neq(checker.result, CHECK_BAD, "%s", original->text);
        cr_expect(checker.head_len > 0 && whole.head, "%s", original->text);
        for (size_t part = 0; part < checker.head_len; part++) {
            ask_both((mh_str){original->text, part}, original->method, &checker);
            cr_expect_eq(checker.result, CHECK_MORE, "%zu of %s", part, original->text);
            cr_expect_eq(whole.event, MH_H1_NEED_MORE, "%zu of %s", part, original->text);
        }
    }
}
