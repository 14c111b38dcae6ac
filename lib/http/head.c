/* head.c: start lines, field lines and trailers, from bytes to slices. Grammar only; what the
 * fields mean is for framing.c.
 *
 * One state machine reads a head in whatever pieces it comes. When the head came whole, the slices
 * are recorded on the way. When it came in pieces, the pieces are checked as they come, each byte
 * once, and the slices (which may have moved meanwhile) are recorded by another walk at the end. */
#include <string.h>

#include "base/str.h"
#include "http/names.h"

struct reader {
    mh_h1 *h1;
    mh_h1_view *view;
    struct mh__seen *seen;
    struct mh__input in;
    const char *p;        /* the next byte; a function that is on its way has its own */
    const char *overflow; /* where view->unfolded was full, or NULL */
    uint8_t state;        /* enum mh__reading */
    uint8_t fields;       /* so far */
    uint16_t folded;      /* bytes of view->unfolded in use */
    bool unfolding;       /* the value that is read belongs to the field before it */
};

enum { MORE = 1 }; /* beside 0 and errors: the input ends here */

static int bad(struct reader *r, const char *at, const char *reason)
{
    return mh__fault(r->h1, r->view, r->in, MH_ERR_MALFORMED, 400, at, reason);
}

enum mh__kind mh__field_kind(mh_str name)
{
    return mh__kind_of(name);
}

void mh__see(struct mh__seen *seen, mh_str name, size_t index)
{
    enum mh__kind kind = mh__field_kind(name);
    if (kind != MH__KINDS && seen->count[kind]++ == 0)
        seen->first[kind] = (uint8_t)index;
}

/* ---- start lines ---- */

/* Past all bytes of the set. */
static const char *run(const char *p, const char *end, int set)
{
    while (p < end && mh__is(*p, set))
        p++;
    return p;
}

/* Two hexadecimal digits behind the "%" at *p (RFC 3986 section 2.1); on 0 they are passed. */
static int percent(struct reader *r, const char **p)
{
    for (int i = 1; i <= 2; i++) {
        if (*p + i == r->in.end)
            return MORE;
        if (mh__hex((*p)[i]) < 0)
            return bad(r, *p + i, "broken percent-encoding in the target");
    }
    *p += 3;
    return 0;
}

static int bad_in_target(struct reader *r, const char *at)
{
    if (*at == '\r' || *at == '\n')
        return bad(r, at, "the request line has no version");
    return bad(r, at, "byte that this form of target may not hold");
}

/* Up to the SP behind the target. */
static int target(struct reader *r, const char **p, bool origin)
{
    for (;;) {
        *p = run(*p, r->in.end, origin ? MH__TARGET : MH__URI);
        if (*p == r->in.end)
            return MORE;
        if (**p == ' ')
            return 0;
        if (**p != '%')
            return bad_in_target(r, *p);
        int step = percent(r, p);
        if (step != 0)
            return step;
    }
}

static int bad_start(struct reader *r, const char *at, size_t i)
{
    if (*at == '\n')
        return bad(r, at, "LF without CR");
    if (i > 8)
        return bad(r, at, "malformed status");
    /* A version that we do not speak is another thing than no version at all (RFC 9110, 15.6.6). */
    if (i == 5 && mh__is_digit(*at))
        return mh__fault(r->h1, r->view, r->in, MH_ERR_MALFORMED, 505, at,
                         "HTTP version not supported");
    return bad(r, at, "malformed HTTP version");
}

/* Do the bytes from `from` on, those before *p seen already, follow the pattern? '#' stands for a
 * digit, '+' for one that is not 0. On 0 they are passed. */
static int follow(struct reader *r, const char **p, const char *from, const char *pattern)
{
    for (size_t i = (size_t)(*p - from); pattern[i] != '\0'; i++, ++*p) {
        if (*p == r->in.end)
            return MORE;
        char c = **p;
        bool fits = pattern[i] == '#'   ? mh__is_digit(c)
                    : pattern[i] == '+' ? mh__is_digit(c) && c != '0'
                                        : c == pattern[i];
        if (!fits)
            return bad_start(r, *p, i);
    }
    return 0;
}

/* HTTP-version = %s"HTTP/" DIGIT "." DIGIT, then CRLF (RFC 9112 section 2.3). */
static int odd_version(struct reader *r, const char **p)
{
    const char *from = *p;
    int step = follow(r, p, from, "HTTP/1.#\r\n");
    if (step == MORE)
        *p = from; /* ten bytes at the most: look at them again */
    return step;
}

static int version_line(struct reader *r, const char **p)
{
    const char *v = *p;
    if (r->in.end - v < 10 || mh__word(v) != mh__word("HTTP/1.1") || v[8] != '\r' || v[9] != '\n')
        return odd_version(r, p);
    *p += 10;
    return 0;
}

/* CR is at *p: is LF behind it? On 0 both are passed. */
static int line_end(struct reader *r, const char **p)
{
    if (r->in.end - *p < 2)
        return MORE;
    if ((*p)[1] != '\n')
        return bad(r, *p + 1, "CR without LF");
    *p += 2;
    return 0;
}

/* An empty line that an old client sent behind its last body (RFC 9112 section 2.2). */
static int empty_line(struct reader *r, const char **p)
{
    if (*p == r->in.end)
        return MORE;
    return **p == '\r' ? line_end(r, p) : 0;
}

/* request-line = method SP request-target SP HTTP-version CRLF (RFC 9112 section 3). */
static int request_line(struct reader *r, const char **at)
{
    const char *p = *at, *mark = p, *end = r->in.end;
    mh_h1_head *head = &r->view->head;
    uint8_t state = r->state;
    int step = MORE;
    switch (state) {
    case MH__START:
        step = empty_line(r, &p);
        if (step != 0)
            break;
        state = MH__METHOD_FIRST;
        /* fall through */
    case MH__METHOD_FIRST:
        step = MORE;
        if (p == end)
            break;
        if (!mh__is(*p, MH__TOKEN))
            return bad(r, p, "byte that no method may hold");
        mark = p;
        state = MH__METHOD;
        /* fall through */
    case MH__METHOD:
        p = run(p, end, MH__TOKEN);
        if (p == end)
            break;
        if (*p != ' ')
            return bad(r, p, "byte that no method may hold");
        head->method = (mh_str){mark, (size_t)(p - mark)};
        p++;
        state = MH__TARGET_FIRST;
        /* fall through */
    case MH__TARGET_FIRST:
        step = MORE;
        if (p == end)
            break;
        if (!mh__is(*p, MH__URI) && *p != '%')
            return bad_in_target(r, p);
        state = *p == '/' ? MH__TARGET_ORIGIN : MH__TARGET_OTHER;
        mark = p;
        /* fall through */
    case MH__TARGET_ORIGIN:
    case MH__TARGET_OTHER:
        step = target(r, &p, state == MH__TARGET_ORIGIN);
        if (step != 0)
            break;
        head->target = (mh_str){mark, (size_t)(p - mark)};
        p++;
        state = MH__VERSION;
        /* fall through */
    default: /* MH__VERSION */
        step = version_line(r, &p);
        if (step != 0)
            break;
        head->minor_version = p[-3] - '0';
        state = MH__FIELD;
    }
    r->state = state;
    *at = p;
    return step;
}

static int bad_text(struct reader *r, const char *at)
{
    return bad(r, at, *at == '\n' ? "LF without CR" : "control byte in a field value or reason");
}

/* A run of VCHAR, obs-text, SP and HTAB, up to its CRLF, which is left where it is. */
static int text(struct reader *r, const char **p)
{
    for (;;) {
        *p = mh__scan_value(r->in.start, *p, r->in.end);
        if (*p == r->in.end)
            return MORE;
        if (**p == '\r')
            return 0;
        if (**p != '\t')
            return bad_text(r, *p);
        ++*p;
    }
}

static int status_of(const char *digits)
{
    return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}

/* status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF (RFC 9112 section 4). No
 * empty line may stand in front of it. */
static int status_line(struct reader *r, const char **p)
{
    static const char pattern[] = "HTTP/1.# +## ";
    const char *start = r->in.start, *reason = start + sizeof pattern - 1;
    mh_h1_head *head = &r->view->head;
    int step;
    if (r->state == MH__START) {
        step = follow(r, p, start, pattern);
        if (step != 0)
            return step;
        r->state = MH__REASON;
    }
    step = text(r, p);
    if (step != 0)
        return step;
    head->minor_version = start[7] - '0';
    head->status = status_of(start + 9);
    head->reason = (mh_str){reason, (size_t)(*p - reason)};
    step = line_end(r, p);
    if (step == 0)
        r->state = MH__FIELD;
    return step;
}

/* ---- field lines ---- */

static int too_large(struct reader *r, const char *at, int status, const char *reason)
{
    return mh__fault(r->h1, r->view, r->in, MH_ERR_TOO_LARGE, status, at, reason);
}

/* Add to view->unfolded. What does not fit is reported when the head is complete, as all limits on
 * what a head means are, so that it does not matter how the bytes came. `at`: the byte of the input
 * that is to blame then. */
static void keep(struct reader *r, mh_str *value, mh_str piece, const char *at)
{
    if (piece.len > sizeof r->view->unfolded - r->folded) {
        r->overflow = r->overflow ? r->overflow : at;
        return;
    }
    if (piece.len > 0)
        memcpy(r->view->unfolded + r->folded, piece.ptr, piece.len);
    r->folded = (uint16_t)(r->folded + piece.len);
    value->len += piece.len;
}

/* A folded line of a response is one value, with an SP where the fold was (RFC 9112 section 5.2).
 * The caller's buffer is not ours to write in, so it is put together in the view. */
static void unfold(struct reader *r, mh_str *value, mh_str piece)
{
    const char *top = r->view->unfolded + r->folded;
    bool begun = value->len > 0 && value->ptr + value->len == top;
    if (!begun) {
        mh_str first = *value;
        *value = (mh_str){top, 0};
        keep(r, value, first, piece.ptr);
    }
    /* An empty piece adds nothing: a value has no white space at either end. */
    if (value->len > 0 && piece.len > 0)
        keep(r, value, MH_STR(" "), piece.ptr);
    keep(r, value, piece, piece.ptr);
    r->unfolding = false;
}

/* What is at the start of a line if it is no field name. 0: a fold. */
static int odd_line(struct reader *r, const char *at, bool first)
{
    if (!mh__is_blank(*at))
        return bad(r, at,
                   *at == ':'    ? "empty field name"
                   : *at == '\n' ? "LF without CR"
                                 : "byte that no field name may hold");
    if (first)
        return bad(r, at, "white space before the first field"); /* RFC 9112 section 2.2 */
    if (r->h1->role == MH_H1_SERVER)
        return bad(r, at, "folded field line"); /* obs-fold, RFC 9112 section 5.2 */
    r->unfolding = true;
    return 0;
}

static int bad_name(struct reader *r, const char *at)
{
    return bad(r, at,
               mh__is_blank(*at)            ? "white space before the colon" /* 9112, 5.1 */
               : *at == '\r' || *at == '\n' ? "a line without a colon"
                                            : "byte that no field name may hold");
}

/* field-name: a token up to its colon. */
static int name(struct reader *r, const char **p)
{
    *p = run(*p, r->in.end, MH__TOKEN);
    if (*p == r->in.end)
        return MORE;
    return **p == ':' ? 0 : bad_name(r, *p);
}

/* field-line = field-name ":" OWS field-value OWS, CRLF behind each, and an empty line behind all
 * (RFC 9112 section 5). Returns 0 when the empty line is passed. */
static int field_lines(struct reader *r, const char **at)
{
    const char *p = *at, *mark = p, *end = r->in.end, *value_end;
    mh_header *next = r->view->headers + r->fields, *field = r->fields > 0 ? next - 1 : next;
    mh_header *full = r->view->headers + MH_HEADERS_MAX;
    uint8_t state = r->state;
    int step = MORE;
    for (;;) {
        switch (state) {
        case MH__FIELD:
            step = MORE;
            if (p == end)
                goto out;
            if (*p == '\r') {
                step = line_end(r, &p);
                goto out;
            }
            mark = p;
            if (!mh__is(*p, MH__TOKEN)) {
                step = odd_line(r, p, next == r->view->headers);
                if (step != 0)
                    return step;
                state = MH__FIELD_VALUE;
                continue;
            }
            if (next == full)
                return too_large(r, p, 431, "too many fields");
            field = next++;
            state = MH__NAME;
            /* fall through */
        case MH__NAME:
            step = name(r, &p);
            if (step != 0)
                goto out;
            field->name = (mh_str){mark, (size_t)(p - mark)};
            p++;
            mark = p;
            state = MH__FIELD_VALUE;
            /* fall through */
        default: /* MH__FIELD_VALUE */
            step = text(r, &p);
            if (step != 0)
                goto out;
            value_end = p;
            step = line_end(r, &p);
            if (step != 0)
                goto out;
            if (r->unfolding) {
                unfold(r, &field->value, mh__trimmed(mark, value_end));
            } else {
                field->value = mh__trimmed(mark, value_end);
                mh__see(r->seen, field->name, (size_t)(field - r->view->headers));
            }
            state = MH__FIELD;
        }
    }
out:
    r->fields = (uint8_t)(next - r->view->headers);
    r->state = state;
    *at = p;
    return step;
}

/* ---- all of it ---- */

static int walk(struct reader *r)
{
    const char *p = r->p;
    int step = 0;
    if (r->state < MH__FIELD)
        step = r->h1->role == MH_H1_SERVER ? request_line(r, &p) : status_line(r, &p);
    if (step == 0)
        step = field_lines(r, &p);
    r->p = p;
    return step;
}

/* The slices of a head that came in pieces. */
static int walk_again(struct reader *r)
{
    r->p = r->in.start;
    r->state = r->h1->flags & MH__TRAILERS ? MH__FIELD : MH__START;
    r->fields = 0;
    r->folded = 0;
    r->unfolding = false;
    r->overflow = NULL;
    *r->seen = (struct mh__seen){{0}, {0}};
    return walk(r);
}

/* The input ends in the middle: remember where, unless it is too long already. */
static ptrdiff_t pause_at(struct reader *r)
{
    mh_h1 *h1 = r->h1;
    size_t len = (size_t)(r->in.end - r->in.start);
    if (len < h1->head_max) {
        h1->reading = r->state;
        h1->fields = r->fields;
        h1->scanned = (uint32_t)(r->p - r->in.start);
        return 0;
    }
    if (r->state >= MH__TARGET_FIRST && r->state <= MH__TARGET_OTHER)
        return too_large(r, NULL, 414, "the request target is too long");
    return too_large(r, NULL, 431,
                     h1->flags & MH__TRAILERS ? "the trailers are too long"
                                              : "the head is too long");
}

ptrdiff_t mh__head_read(mh_h1 *h1, mh_str in, mh_h1_view *view, struct mh__seen *seen)
{
    size_t len = in.len < h1->head_max ? in.len : h1->head_max;
    size_t scanned = h1->scanned < len ? h1->scanned : len; /* whoever shows less than before */
    struct reader r = {
        .h1 = h1,
        .view = view,
        .seen = seen,
        .in = {in.ptr, in.ptr + len},
        .p = in.ptr + scanned,
        .state = h1->reading,
        .fields = h1->fields,
    };
    view->head = (mh_h1_head){.headers = {view->headers, 0}};
    if (r.fields > 0) /* its name went by in an earlier call */
        view->headers[r.fields - 1] = (mh_header){{NULL, 0}, {NULL, 0}};
    int step = walk(&r);
    if (step == 0 && h1->scanned > 0)
        step = walk_again(&r);
    if (step == 0 && r.overflow)
        step = too_large(&r, r.overflow, 431, "folded field values are too long");
    if (step == MORE)
        return pause_at(&r);
    if (step < 0)
        return step;
    view->head.headers.count = r.fields;
    return r.p - in.ptr;
}
