/* bench_parse.c: how long a request head takes to parse, beside Debian's libhttp-parser, on the
 * same bytes and in the same run. Rounds alternate, and the best of each is kept: what else the
 * machine does only ever adds. */
#include <http_parser.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <minihttp/h1.h>

enum { ROUNDS = 60, PER_ROUND = 10000 };

/* About 700 bytes, as a browser of today sends them to a site it has been at before. */
static const char browser[] =
    "GET /articles/2024/05/how-a-small-parser-works.html?ref=front&page=2 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: http://www.example.com/articles/2024/\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=5f2b8c0e9d7a4b61a3c2; theme=dark; consent=all; lang=en; "
    "visit=1716200000.1716203600.17\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "If-Modified-Since: Mon, 20 May 2024 10:00:00 GMT\r\n"
    "Priority: u=0, i\r\n"
    "\r\n";

static const char small[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n";

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What a server would do with the head: look at its fields. Keeps the compiler honest. */
static size_t found;

static bool ours(const char *text, size_t len)
{
    mh_h1 h1;
    mh_h1_view view;
    mh_str in = {text, len};
    mh_h1_init(&h1, MH_H1_SERVER, 0);
    if (mh_h1_next(&h1, &in, &view) != MH_H1_HEAD)
        return false;
    found += view.head.headers.count;
    return true;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    (void)parser, (void)at, (void)len;
    found++;
    return 0;
}

static int ignore(http_parser *parser, const char *at, size_t len)
{
    (void)parser, (void)at, (void)len;
    return 0;
}

static bool theirs(const char *text, size_t len)
{
    static const http_parser_settings settings = {
        .on_url = ignore, .on_header_field = on_field, .on_header_value = ignore};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    return http_parser_execute(&parser, &settings, text, len) == len;
}

static double round_of(bool (*parse)(const char *, size_t), const char *text, size_t len)
{
    uint64_t from = now_ns();
    for (int i = 0; i < PER_ROUND; i++) {
        if (!parse(text, len))
            return -1;
    }
    return (double)(now_ns() - from) / PER_ROUND;
}

static bool compare(const char *what, const char *text, size_t len)
{
    double best[2] = {1e9, 1e9};
    for (int i = 0; i < ROUNDS; i++) {
        double a = round_of(ours, text, len), b = round_of(theirs, text, len);
        if (a < 0 || b < 0)
            return false;
        best[0] = a < best[0] ? a : best[0];
        best[1] = b < best[1] ? b : best[1];
    }
    printf("%-8s %4zu bytes  minihttp %7.1f ns  http-parser %7.1f ns  ratio %5.2f\n", what, len,
           best[0], best[1], best[1] / best[0]);
    return true;
}

int main(void)
{
    bool ok = compare("browser", browser, sizeof browser - 1) &&
              compare("small", small, sizeof small - 1 - 2);
    if (!ok)
        fprintf(stderr, "bench_parse: a request was not accepted\n");
    return ok && found > 0 ? 0 : 1;
}
