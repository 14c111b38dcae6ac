/* log.c: a request and its reply as a line of the Combined log format. Knows no file: where lines
 * go is the program's. */
#include <netinet/in.h>
#include <string.h>

#include <minihttp/server.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "net/net.h"

#define ABSENT "-"

/* ---- who ---- */

static size_t address_len(int family)
{
    if (family == AF_INET)
        return sizeof(struct sockaddr_in);
    return family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
}

/* "127.0.0.1" and "::1" out of "127.0.0.1:80" and "[::1]:80". */
static mh_str without_port(const char *text)
{
    const char *colon = memrchr(text, ':', strlen(text));
    size_t len = colon ? (size_t)(colon - text) : 0;
    return text[0] == '[' ? (mh_str){text + 1, len - 2} : (mh_str){text, len};
}

/* An IPv4 client of a socket for both is no client of IPv6 (RFC 4291 section 2.5.5.2). */
static mh_str unmapped(mh_str host)
{
    static const char prefix[] = "::ffff:";
    size_t len = sizeof(prefix) - 1;
    bool mapped = host.len > len && memcmp(host.ptr, prefix, len) == 0;
    return mapped && memchr(host.ptr, '.', host.len) ? (mh_str){host.ptr + len, host.len - len}
                                                     : host;
}

static int put_host(mh_buf *out, const struct sockaddr *peer)
{
    struct mh__address address = {.len = 0};
    char text[MH__ADDRESS_TEXT_MAX];
    size_t len = peer ? address_len(peer->sa_family) : 0;
    if (len == 0) /* a unix socket, or nobody knows */
        return mh_buf_append(out, ABSENT, 1);
    memcpy(&address.addr, peer, len);
    address.len = (socklen_t)len;
    mh__address_text(text, sizeof(text), &address);
    mh_str host = unmapped(without_port(text));
    return mh_buf_append(out, host.ptr, host.len);
}

/* ---- when ---- */

/* The pieces of "Sun, 06 Nov 1994 08:49:37 GMT" in another order. */
static int put_time(mh_buf *out, int64_t unix_s)
{
    char date[MH_DATE_LEN + 1];
    if (mh_date_format(date, unix_s) < 0)
        return mh_buf_append(out, ABSENT, 1);
    return mh_buf_printf(out, "[%.2s/%.3s/%.4s:%.8s +0000]", date + 5, date + 8, date + 12,
                         date + 17);
}

/* ---- what ---- */

static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

static int put_byte(mh_buf *out, unsigned char byte)
{
    bool printable = byte == '"' || byte == '\\';
    return mh_buf_printf(out, printable ? "\\%c" : "\\x%02x", byte);
}

/* No byte that a client sends ends a line or a field, or reaches a terminal. */
static int put_escaped(mh_buf *out, mh_str text)
{
    size_t at = 0;
    int err = 0;
    while (at < text.len && err == 0) {
        size_t start = at;
        while (at < text.len && is_plain(text.ptr[at]))
            at++;
        err = mh_buf_append(out, text.ptr + start, at - start);
        if (err == 0 && at < text.len)
            err = put_byte(out, (unsigned char)text.ptr[at++]);
    }
    return err;
}

static int put_quoted(mh_buf *out, mh_str text)
{
    int err = mh_buf_append(out, " \"", 2);
    if (err == 0)
        err = put_escaped(out, text.ptr ? text : MH_STR(ABSENT));
    return err < 0 ? err : mh_buf_append(out, "\"", 1);
}

/* As it was received: between its three parts stands one space each (RFC 9112 section 3), and what
 * was no request has none of them. */
static int put_request_line(mh_buf *out, const mh_request *req)
{
    if (!req->method.ptr)
        return mh_buf_append(out, " \"" ABSENT "\"", 4);
    int err = mh_buf_append(out, " \"", 2);
    if (err == 0)
        err = put_escaped(out, req->method);
    if (err == 0)
        err = mh_buf_append(out, " ", 1);
    if (err == 0)
        err = put_escaped(out, req->target);
    return err < 0 ? err : mh_buf_printf(out, " HTTP/1.%d\"", req->minor_version);
}

static int put_number(mh_buf *out, uint64_t number)
{
    if (number == 0)
        return mh_buf_append(out, " " ABSENT, 2);
    return mh_buf_printf(out, " %llu", (unsigned long long)number);
}

/* ---- all of it ---- */

static int put_line(mh_buf *out, const mh_request *req, int status, uint64_t sent)
{
    int err = put_host(out, req->peer);
    if (err == 0)
        err = mh_buf_append(out, " - - ", 5); /* what identd says, which user: nobody asks */
    if (err == 0)
        err = put_time(out, mh__clock_unix_s());
    if (err == 0)
        err = put_request_line(out, req);
    if (err == 0)
        err = put_number(out, status > 0 ? (uint64_t)status : 0);
    if (err == 0)
        err = put_number(out, sent);
    if (err == 0)
        err = put_quoted(out, mh_headers_get(req->headers, "Referer"));
    if (err == 0)
        err = put_quoted(out, mh_headers_get(req->headers, "User-Agent"));
    return err < 0 ? err : mh_buf_append(out, "\n", 1);
}

int mh_log_combined(mh_buf *out, const mh_request *req, int status, uint64_t sent)
{
    size_t len = out->len;
    int err = put_line(out, req, status, sent);
    if (err < 0)
        mh__buf_truncate(out, len);
    return err;
}
