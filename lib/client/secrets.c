/* secrets.c: which fields hold credentials, and how a head looks without them. Knows nothing of
 * what they say. */
#include "client/secrets.h"

#include <string.h>

#include "base/buffer.h"
#include "base/str.h"

/* Their values begin with the name of a scheme, which is none (RFC 9110 section 11.6.2). */
static bool has_scheme(mh_str name)
{
    return mh_str_equal_nocase(name, "Authorization") ||
           mh_str_equal_nocase(name, "Proxy-Authorization");
}

bool mh__secrets_names(mh_str name, const char *const *more)
{
    for (; more && *more; more++) {
        if (mh_str_equal_nocase(name, *more))
            return true;
    }
    return has_scheme(name) || mh_str_equal_nocase(name, "Cookie");
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Bytes of the first line, its end included. */
static size_t line_len(mh_str text)
{
    const char *end = memchr(text.ptr, '\n', text.len);
    return end ? (size_t)(end - text.ptr) + 1 : text.len;
}

/* Bytes before the end of a line that has at least one. */
static size_t content_len(const char *line, size_t len)
{
    if (line[len - 1] == '\n')
        len--;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    return len;
}

/* What stands before the colon. White space between them is an error, and the field is known all
 * the same (RFC 9112 section 5.1). */
static mh_str name_of(const char *line, size_t colon)
{
    while (colon > 0 && is_blank(line[colon - 1]))
        colon--;
    return (mh_str){line, colon};
}

static size_t skip_blanks(const char *line, size_t at, size_t len)
{
    while (at < len && is_blank(line[at]))
        at++;
    return at;
}

/* Where the scheme ends; where it would begin when nothing follows it, which may be the secret. */
static size_t skip_scheme(const char *line, size_t at, size_t len)
{
    size_t end = at;
    while (end < len && !is_blank(line[end]))
        end++;
    return skip_blanks(line, end, len) < len ? end : at;
}

static void blank(char *line, size_t at, size_t len)
{
    at = skip_blanks(line, at, len);
    memset(line + at, '*', len - at);
}

/* A line that is not folded. Is it a secret one? Its end is not in len. */
static bool blank_field(char *line, size_t len, const char *const *more)
{
    const char *mark = len > 0 ? memchr(line, ':', len) : NULL;
    size_t at = mark ? (size_t)(mark - line) : len;
    mh_str name = name_of(line, at);
    if (!mark || (!mh__secrets_names(name, more) && !mh_str_equal_nocase(name, "Set-Cookie")))
        return false;
    at = skip_blanks(line, at + 1, len);
    blank(line, has_scheme(name) ? skip_scheme(line, at, len) : at, len);
    return true;
}

static void blank_lines(char *text, size_t text_len, const char *const *more)
{
    bool secret = false; /* the field that the line belongs to */
    while (text_len > 0) {
        size_t whole = line_len((mh_str){text, text_len}), len = content_len(text, whole);
        if (!is_blank(text[0]))
            secret = blank_field(text, len, more);
        else if (secret)
            blank(text, 0, len);
        text += whole;
        text_len -= whole;
    }
}

int mh__secrets_blank(mh_buf *out, mh_str head, const char *const *more)
{
    size_t start = out->len;
    int err = mh_buf_append(out, head.ptr, head.len);
    if (err == 0 && head.len > 0)
        blank_lines(out->data + start, head.len, more);
    return err;
}
