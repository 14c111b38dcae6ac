/* Lines of a log: lib/server/log.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <criterion/criterion.h>

#include <minihttp/server.h>

#include "base/clock.h"

#include "../scarce.h"

static mh_buf out;

static void end(void)
{
    mh_buf_free(&out);
}

TestSuite(log, .fini = end);

static const mh_header fields[] = {
    {{"Referer", 7}, {"http://a/b", 10}},
    {{"User-Agent", 10}, {"c/1 (\"d\")", 9}},
};

static mh_request some_request(void)
{
    return (mh_request){.method = MH_STR("GET"),
                        .target = MH_STR("/x?y"),
                        .headers = {fields, 2},
                        .minor_version = 1};
}

/* ---- when ---- */

/* Months have the same names in the date that mh_date_parse() reads. */
static int64_t time_in(const char *line)
{
    char date[MH_DATE_LEN + 1];
    int64_t unix_s;
    const char *at = strchr(line, '[');
    cr_assert(at && strlen(at) > 28);
    cr_assert_eq(strncmp(at + 21, " +0000] ", 8), 0, "%s", line);
    for (int day = 0; day < 7; day++) {
        snprintf(date, sizeof(date), "%.3s, %.2s %.3s %.4s %.8s GMT",
                 &"SunMonTueWedThuFriSat"[3 * day], at + 1, at + 4, at + 8, at + 13);
        if (mh_date_parse(&unix_s, mh_str_from(date), 0) == 0)
            return unix_s;
    }
    cr_assert_fail("no date: %s", line);
    return 0;
}

Test(log, the_time)
{
    mh_request req = some_request();
    int64_t before = mh__clock_unix_s();
    cr_assert_eq(mh_log_combined(&out, &req, 200, 13), 0);
    int64_t after = mh__clock_unix_s(), unix_s = time_in(out.data);
    cr_assert(before <= unix_s && unix_s <= after, "%s", out.data);
}

/* ---- all the rest ---- */

/* The line with "[now]" where the time was. */
static const char *line_of(const mh_request *req, int status, uint64_t sent)
{
    static char line[1024];
    mh_buf_clear(&out);
    cr_assert_eq(mh_log_combined(&out, req, status, sent), 0);
    const char *from = strchr(out.data, '['), *to = strchr(out.data, ']');
    cr_assert(from && to - from == 27, "%s", out.data);
    snprintf(line, sizeof(line), "%.*s[now%s", (int)(from - out.data), out.data, to);
    return line;
}

Test(log, a_line)
{
    mh_request req = some_request();
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(4711)};
    cr_assert_eq(inet_pton(AF_INET, "192.0.2.7", &peer.sin_addr), 1);
    req.peer = (const struct sockaddr *)&peer;
    cr_assert_str_eq(line_of(&req, 200, 13),
                     "192.0.2.7 - - [now] \"GET /x?y HTTP/1.1\" 200 13 \"http://a/b\" "
                     "\"c/1 (\\\"d\\\")\"\n");
}

Test(log, what_is_absent)
{
    mh_request req = {.method = MH_STR("HEAD"), .target = MH_STR("/")};
    cr_assert_str_eq(line_of(&req, 304, 0), "- - - [now] \"HEAD / HTTP/1.0\" 304 - \"-\" \"-\"\n");
    cr_assert_str_eq(line_of(&(mh_request){0}, 0, 0), "- - - [now] \"-\" - - \"-\" \"-\"\n");
    cr_assert_str_eq(line_of(&(mh_request){0}, 400, 18446744073709551615u),
                     "- - - [now] \"-\" 400 18446744073709551615 \"-\" \"-\"\n");
}

Test(log, what_is_empty)
{
    const mh_header empty[] = {{MH_STR("referer"), MH_STR("")}, {MH_STR("USER-AGENT"), MH_STR("")}};
    mh_request req = some_request();
    req.headers = (mh_headers){empty, 2};
    cr_assert_str_eq(line_of(&req, 200, 1), "- - - [now] \"GET /x?y HTTP/1.1\" 200 1 \"\" \"\"\n");
}

static void expect_host(const void *peer, const char *host)
{
    mh_request req = {.peer = peer};
    const char *line = line_of(&req, 200, 1);
    size_t len = strlen(host);
    cr_expect(strncmp(line, host, len) == 0 && line[len] == ' ', "%s: %s", host, line);
}

Test(log, hosts)
{
    static const char *const v6[][2] = {{"::1", "::1"},
                                        {"2001:db8::7", "2001:db8::7"},
                                        {"::ffff:192.0.2.7", "192.0.2.7"},
                                        {"64:ff9b::1", "64:ff9b::1"}};
    for (size_t i = 0; i < sizeof(v6) / sizeof(v6[0]); i++) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
        cr_assert_eq(inet_pton(AF_INET6, v6[i][0], &in6.sin6_addr), 1);
        expect_host(&in6, v6[i][1]);
    }
    expect_host(&(struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = "/a"}, "-");
    expect_host(NULL, "-");
}

/* Each byte that there is, in each place that a client fills. */
Test(log, escapes)
{
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'}, shown[16], line[256];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        if (plain)
            snprintf(shown, sizeof(shown), "a%cb", c);
        else if (c == '"' || c == '\\')
            snprintf(shown, sizeof(shown), "a\\%cb", c);
        else
            snprintf(shown, sizeof(shown), "a\\x%02xb", c);
        mh_str part = {text, 3};
        const mh_header both[] = {{MH_STR("Referer"), part}, {MH_STR("User-Agent"), part}};
        mh_request req = {.method = part, .target = part, .headers = {both, 2}};
        snprintf(line, sizeof(line), "- - - [now] \"%s %s HTTP/1.0\" 200 1 \"%s\" \"%s\"\n", shown,
                 shown, shown, shown);
        cr_expect_str_eq(line_of(&req, 200, 1), line);
    }
}

/* ---- buffers ---- */

Test(log, appends)
{
    mh_request req = some_request();
    cr_assert_eq(mh_log_combined(&out, &req, 200, 1), 0);
    size_t len = out.len;
    cr_assert_eq(mh_log_combined(&out, &req, 200, 1), 0);
    cr_assert_eq(out.len, 2 * len);
    cr_assert_eq(out.data[len - 1], '\n');
}

Test(log, all_of_a_line_or_nothing)
{
    mh_request req = some_request();
    cr_assert_eq(mh_log_combined(&out, &req, 200, 1), 0);
    size_t whole = out.len;
    for (size_t max = 5; max < 5 + whole; max++) {
        mh_buf small = {.max = max};
        cr_assert_eq(mh_buf_append(&small, "start", 5), 0);
        cr_assert_eq(mh_log_combined(&small, &req, 200, 1), MH_ERR_TOO_LARGE);
        cr_assert_str_eq(small.data, "start");
        mh_buf_free(&small);
    }
}

Test(log, no_memory)
{
    mh_request req = some_request();
    allocations_left = 0;
    cr_assert_eq(mh_log_combined(&out, &req, 200, 1), -ENOMEM);
    allocations_left = -1;
    cr_assert_eq(out.len, 0);
}
