/* checker.c: a second opinion on what a message is. Each function is a rule of the ABNF, and reads
 * one byte after the other; nothing is remembered but the place. Limits are not its business. */
#include "checker.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define FIELDS_MAX 1024

struct text { /* a run of bytes that were copied, so that a folded value is like any other */
    size_t from, len;
};

struct field {
    struct text name, value;
};

struct checker {
    const unsigned char *bytes;
    size_t len, at;
    struct check *out;
    bool response;
    char copy[CHECK_MAX + 1];
    size_t copied;
    struct field fields[FIELDS_MAX];
    size_t count;
    struct text method, target;
    int minor;
};

/* ---- characters (RFC 5234 B.1, RFC 9110 5.6.2, RFC 3986 2) ---- */

static bool among(int c, const char *set)
{
    return c > 0 && c < 128 && strchr(set, c) != NULL;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_tchar(int c)
{
    return is_digit(c) || is_alpha(c) || among(c, "!#$%&'*+-.^_`|~");
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t';
}

static bool is_text(int c) /* HTAB, SP, VCHAR, obs-text */
{
    return c == '\t' || (c >= ' ' && c <= '~') || c >= 0x80;
}

static bool is_name_char(int c) /* unreserved, sub-delims: those of reg-name but for "%" */
{
    return is_digit(c) || is_alpha(c) || among(c, "-._~!$&'()*+,;=");
}

static bool is_pchar(int c)
{
    return is_name_char(c) || c == ':' || c == '@';
}

/* ---- the place ---- */

static bool open_end(struct checker *k)
{
    if (k->at < k->len)
        return false;
    k->out->result = CHECK_MORE;
    k->out->at = k->len;
    return true;
}

static bool bad(struct checker *k, int error)
{
    *k->out = (struct check){.result = CHECK_BAD, .error = error, .at = k->at};
    return false;
}

static bool late(struct checker *k, int error)
{
    bad(k, error);
    k->out->late = true;
    return false;
}

/* The next byte; only behind !open_end(). */
static int peek(const struct checker *k)
{
    return k->bytes[k->at];
}

static bool byte(struct checker *k, int c)
{
    if (open_end(k))
        return false;
    if (peek(k) != c)
        return bad(k, MH_ERR_MALFORMED);
    k->at++;
    return true;
}

static bool string(struct checker *k, const char *text)
{
    for (; *text; text++)
        if (!byte(k, *text))
            return false;
    return true;
}

static bool crlf(struct checker *k)
{
    return byte(k, '\r') && byte(k, '\n');
}

/* One byte of a class. */
static bool any(struct checker *k, bool (*is)(int))
{
    if (open_end(k))
        return false;
    if (!is(peek(k)))
        return bad(k, MH_ERR_MALFORMED);
    k->at++;
    return true;
}

/* As many of a class as there are; false only at the end of what is there. */
static bool some(struct checker *k, bool (*is)(int))
{
    while (!open_end(k)) {
        if (!is(peek(k)))
            return true;
        k->at++;
    }
    return false;
}

static bool next_is(struct checker *k, int c)
{
    return !open_end(k) && peek(k) == c;
}

/* ---- copies ---- */

static struct text keep(struct checker *k, size_t from, size_t to)
{
    while (from < to && is_blank(k->bytes[from]))
        from++;
    while (to > from && is_blank(k->bytes[to - 1]))
        to--;
    struct text kept = {k->copied, to - from};
    memcpy(k->copy + k->copied, k->bytes + from, kept.len);
    k->copied += kept.len;
    return kept;
}

static mh_str shown(const struct checker *k, struct text text)
{
    return (mh_str){k->copy + text.from, text.len};
}

static bool is(mh_str text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static bool is_nocase(mh_str text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

/* ---- start lines (RFC 9112 3, 4) ---- */

static bool token(struct checker *k, struct text *out)
{
    size_t from = k->at;
    if (!any(k, is_tchar) || !some(k, is_tchar))
        return false;
    *out = keep(k, from, k->at);
    return true;
}

/* Another major version is a fault at its digit, whatever comes behind it. */
static bool version(struct checker *k)
{
    if (!string(k, "HTTP/") || !byte(k, '1') || !byte(k, '.') || !any(k, is_digit))
        return false;
    k->minor = k->bytes[k->at - 1] - '0';
    return true;
}

static bool is_target_char(int c)
{
    return is_pchar(c) || c == '/' || c == '?';
}

/* What a target that does not begin with a slash may hold besides: the brackets of an IPv6 address.
 */
static bool is_other_target_char(int c)
{
    return is_target_char(c) || c == '[' || c == ']';
}

static bool target(struct checker *k)
{
    size_t from = k->at;
    bool origin = next_is(k, '/');
    while (!next_is(k, ' ') || k->at == from) {
        bool percent = next_is(k, '%');
        if (percent)
            k->at++;
        bool good = percent ? any(k, is_hex) && any(k, is_hex)
                            : any(k, origin ? is_target_char : is_other_target_char);
        if (!good)
            return false;
    }
    k->target = keep(k, from, k->at);
    return true;
}

static bool request_line(struct checker *k)
{
    if (next_is(k, '\r') && !crlf(k))
        return false;
    return token(k, &k->method) && byte(k, ' ') && target(k) && byte(k, ' ') && version(k) &&
           crlf(k);
}

static bool status_line(struct checker *k)
{
    if (!version(k) || !byte(k, ' '))
        return false;
    int status = 0;
    for (int i = 0; i < 3; i++) {
        if (i == 0 && next_is(k, '0'))
            return bad(k, MH_ERR_MALFORMED);
        if (!any(k, is_digit))
            return false;
        status = 10 * status + (k->bytes[k->at - 1] - '0');
    }
    k->out->status = status;
    return byte(k, ' ') && some(k, is_text) && crlf(k);
}

/* ---- field lines (RFC 9112 5) ---- */

/* The lines behind the first one of a folded value, each joined with a space. */
static bool folds(struct checker *k, struct text *value)
{
    while (!open_end(k) && is_blank(peek(k))) {
        size_t from = k->at;
        if (!some(k, is_text) || !crlf(k))
            return false;
        size_t space = k->copied++;
        k->copy[space] = ' ';
        struct text more = keep(k, from, k->at - 2);
        if (value->len == 0 || more.len == 0)
            memmove(k->copy + space, k->copy + space + 1, more.len);
        if (value->len == 0 || more.len == 0)
            k->copied--;
        value->len = k->copied - value->from;
    }
    return k->at < k->len;
}

static bool field_line(struct checker *k)
{
    struct field *field = &k->fields[k->count];
    if (!token(k, &field->name) || !byte(k, ':'))
        return false;
    size_t from = k->at;
    if (!some(k, is_text) || !crlf(k))
        return false;
    field->value = keep(k, from, k->at - 2);
    k->count++;
    return !k->response || folds(k, &field->value);
}

static bool field_lines(struct checker *k)
{
    while (!next_is(k, '\r')) {
        if (open_end(k) || k->count == FIELDS_MAX || !field_line(k))
            return false;
    }
    return crlf(k);
}

/* ---- hosts and targets (RFC 3986 3.2, RFC 9112 3.2) ---- */

static bool is_ip6(mh_str text)
{
    char literal[64];
    struct in6_addr address;
    if (text.len < 2 || text.len - 2 >= sizeof literal || text.ptr[text.len - 1] != ']')
        return false;
    memcpy(literal, text.ptr + 1, text.len - 2);
    literal[text.len - 2] = '\0';
    return strlen(literal) == text.len - 2 && inet_pton(AF_INET6, literal, &address) == 1;
}

static bool is_reg_name(mh_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool percent = text.ptr[i] == '%' && i + 2 < text.len &&
                       is_hex((unsigned char)text.ptr[i + 1]) &&
                       is_hex((unsigned char)text.ptr[i + 2]);
        if (percent)
            i += 2;
        else if (!is_name_char((unsigned char)text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

/* -1: not a port. */
static long port_number(mh_str text)
{
    long port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit((unsigned char)text.ptr[i]))
            return -1;
        port = 10 * port + (text.ptr[i] - '0');
        if (port > 65535)
            return -1;
    }
    return port;
}

/* Where the host ends: at a colon behind the bracket, or at the only colon. */
static size_t host_len(mh_str text)
{
    const char *from = text.ptr;
    if (text.len > 0 && text.ptr[0] == '[')
        from = memchr(text.ptr, ']', text.len);
    if (!from)
        return text.len;
    const char *colon = memchr(from, ':', text.len - (size_t)(from - text.ptr));
    return colon ? (size_t)(colon - text.ptr) : text.len;
}

/* A port of 0 may stand in Host; it is no place that a URL can mean, nor CONNECT, which needs one.
 */
enum port { PORT_ANY, PORT_OF_URL, PORT_NEEDED };

static bool is_authority(mh_str text, enum port wanted)
{
    size_t len = host_len(text);
    bool colon = len < text.len;
    mh_str host = {text.ptr, len};
    mh_str port = {text.ptr + len + colon, text.len - len - colon};
    bool good = len > 0 && text.ptr[0] == '[' ? is_ip6(host) : is_reg_name(host);
    long number = port_number(port);
    bool zero = number == 0 && (port.len > 0 || wanted == PORT_NEEDED);
    return good && number >= 0 && (wanted == PORT_ANY || !zero);
}

static bool is_absolute(mh_str text)
{
    size_t scheme = text.len > 5 && strncasecmp(text.ptr, "https", 5) == 0 ? 5 : 4;
    if (text.len < scheme + 3 || strncasecmp(text.ptr, "http", 4) != 0 ||
        memcmp(text.ptr + scheme, "://", 3) != 0)
        return false;
    mh_str rest = {text.ptr + scheme + 3, text.len - scheme - 3};
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    bool brackets =
        memchr(rest.ptr + len, '[', rest.len - len) || memchr(rest.ptr + len, ']', rest.len - len);
    return !brackets && is_authority((mh_str){rest.ptr, len}, PORT_OF_URL);
}

static bool target_fits(const struct checker *k)
{
    mh_str text = shown(k, k->target), method = shown(k, k->method);
    if (is(method, "CONNECT"))
        return is_authority(text, PORT_NEEDED);
    if (is(text, "*"))
        return is(method, "OPTIONS");
    return text.ptr[0] == '/' || is_absolute(text);
}

/* ---- what the fields mean (RFC 9112 3.2, 6.3) ---- */

static size_t named(const struct checker *k, const char *name, mh_str *value)
{
    size_t count = 0;
    for (size_t i = 0; i < k->count; i++) {
        if (!is_nocase(shown(k, k->fields[i].name), name))
            continue;
        *value = shown(k, k->fields[i].value);
        count++;
    }
    return count;
}

static bool host_fits(const struct checker *k)
{
    mh_str host;
    size_t count = named(k, "Host", &host);
    return count == 0 ? k->minor == 0 : count == 1 && is_authority(host, PORT_ANY);
}

static bool length_fits(mh_str text, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit((unsigned char)text.ptr[i]) || n > INT64_MAX / 10)
            return false;
        n = 10 * n + (uint64_t)(text.ptr[i] - '0');
        if (n > INT64_MAX)
            return false;
    }
    *out = n;
    return text.len > 0;
}

static bool by_fields(struct checker *k)
{
    mh_str length = {0}, coding = {0};
    size_t lengths = named(k, "Content-Length", &length);
    size_t codings = named(k, "Transfer-Encoding", &coding);
    if (codings > 0) {
        bool good = codings == 1 && lengths == 0 && k->minor > 0 && is_nocase(coding, "chunked");
        k->out->framing = CHECK_CHUNKED;
        return good || late(k, MH_ERR_FRAMING);
    }
    if (lengths > 0) {
        k->out->framing = CHECK_LENGTH;
        bool good = lengths == 1 && length_fits(length, &k->out->length);
        return good || late(k, MH_ERR_FRAMING);
    }
    k->out->framing = k->response ? CHECK_UNTIL_CLOSE : CHECK_NONE;
    return true;
}

static bool response_framing(struct checker *k, const char *method)
{
    int status = k->out->status;
    k->out->framing = CHECK_NONE;
    if (status == 101)
        return late(k, MH_ERR_MALFORMED); /* nobody asks for it here */
    if (strcmp(method, "HEAD") == 0 || status < 200)
        return true;
    if (strcmp(method, "CONNECT") == 0 && status < 300) {
        k->out->framing = CHECK_TUNNEL;
        return true;
    }
    return status == 204 || status == 304 || by_fields(k);
}

/* ---- bodies (RFC 9112 6, 7) ---- */

static bool counted(struct checker *k, uint64_t length)
{
    uint64_t there = k->len - k->at;
    uint64_t now = length < there ? length : there;
    k->out->body += now;
    k->at += (size_t)now;
    return now == length || !open_end(k);
}

static bool is_quoted_plain(int c)
{
    return is_text(c) && c != '"' && c != '\\';
}

static bool quoted_string(struct checker *k)
{
    if (!byte(k, '"'))
        return false;
    while (some(k, is_quoted_plain) && !next_is(k, '"')) {
        if (!byte(k, '\\') || !any(k, is_text))
            return false;
    }
    return byte(k, '"');
}

static bool extension_value(struct checker *k)
{
    if (!some(k, is_blank))
        return false;
    return next_is(k, '"') ? quoted_string(k) : any(k, is_tchar) && some(k, is_tchar);
}

/* Behind its semicolon. *blank: white space was read that must be followed by another semicolon. */
static bool extension(struct checker *k, bool *blank)
{
    if (!some(k, is_blank) || !any(k, is_tchar) || !some(k, is_tchar))
        return false;
    size_t from = k->at;
    if (!some(k, is_blank))
        return false;
    *blank = k->at > from;
    if (peek(k) != '=')
        return true;
    k->at++;
    if (!extension_value(k))
        return false;
    from = k->at;
    bool more = some(k, is_blank);
    *blank = k->at > from;
    return more;
}

static bool extensions(struct checker *k)
{
    size_t from = k->at;
    if (!some(k, is_blank))
        return false;
    bool blank = k->at > from;
    while (blank || next_is(k, ';')) {
        if (!byte(k, ';') || !extension(k, &blank))
            return false;
    }
    return crlf(k);
}

static int hex_value(int c)
{
    return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool chunk_size(struct checker *k, uint64_t *size)
{
    *size = 0;
    if (open_end(k))
        return false;
    do {
        if (!any(k, is_hex))
            return false;
        if (*size > INT64_MAX / 16) {
            k->at--;
            return bad(k, MH_ERR_MALFORMED);
        }
        *size = 16 * *size + (uint64_t)hex_value(k->bytes[k->at - 1]);
        if (open_end(k))
            return false;
    } while (is_hex(peek(k)));
    return true;
}

static bool chunked(struct checker *k)
{
    uint64_t size;
    do {
        if (!chunk_size(k, &size) || !extensions(k))
            return false;
        if (size > 0 && (!counted(k, size) || !crlf(k)))
            return false;
    } while (size > 0);
    k->count = 0;
    return field_lines(k);
}

static bool body(struct checker *k)
{
    if (k->out->framing == CHECK_LENGTH)
        return counted(k, k->out->length);
    if (k->out->framing == CHECK_CHUNKED)
        return chunked(k);
    if (k->out->framing == CHECK_UNTIL_CLOSE)
        return counted(k, UINT64_MAX);
    return true;
}

/* The head is good: keep what was found, whatever the body is. */
static void read_body(struct checker *k)
{
    struct check head = *k->out;
    head.head_len = k->at;
    head.fields = k->count;
    *k->out = head;
    bool good = body(k);
    struct check after = *k->out;
    *k->out = head;
    k->out->result = good ? CHECK_OK : after.result;
    k->out->error = good ? 0 : after.error;
    k->out->at = after.at;
    k->out->body = after.body;
    k->out->message_len = k->at;
}

static struct checker *begin(struct check *out, mh_str text, bool response)
{
    static struct checker k; /* large; tests are single-threaded */
    k.bytes = (const unsigned char *)text.ptr;
    k.len = text.len;
    k.at = k.copied = k.count = 0;
    k.out = out;
    k.response = response;
    *out = (struct check){0};
    return &k;
}

void check_request(struct check *out, mh_str text)
{
    struct checker *k = begin(out, text, false);
    if (!request_line(k) || !field_lines(k))
        return;
    if (!target_fits(k) || !host_fits(k))
        late(k, MH_ERR_MALFORMED);
    else if (by_fields(k))
        read_body(k);
}

void check_response(struct check *out, mh_str text, const char *method)
{
    struct checker *k = begin(out, text, true);
    if (status_line(k) && field_lines(k) && response_framing(k, method))
        read_body(k);
}
