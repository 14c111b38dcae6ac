/* framing.c: what a complete head means for the connection: is the target one, which host, where
 * does the message end (RFC 9112 section 6.3), does the connection go on (section 9.3). Whoever
 * reads a message's end in another way than its peer can be made to take a body for a request; so
 * whatever is not plain is refused. */
#include "base/str.h"
#include "http/h1.h"
#include "http/scan.h"
#include "http/url.h"

int mh__fault(mh_h1 *h1, mh_h1_view *view, struct mh__input in, int err, int status, const char *at,
              const char *reason)
{
    bool inside = at && at >= in.start && at < in.end;
    size_t offset = inside ? (size_t)(at - in.start) : (size_t)(in.end - in.start);
    view->fault = (mh_h1_fault){
        .reason = reason,
        .offset = h1->consumed + offset,
        .byte = inside ? (uint8_t)*at : -1,
        .status = status,
    };
    h1->reading = MH__BROKEN;
    h1->flags |= MH__CLOSE;
    return err;
}

/* One look at a message that is checked. */
struct check {
    mh_h1 *h1;
    mh_h1_view *view;
    struct mh__input in;
    const struct mh__seen *seen;
};

static int refuse(const struct check *c, int err, int status, const char *at, const char *reason)
{
    return mh__fault(c->h1, c->view, c->in, err, status, at, reason);
}

/* The index-th field of the kind, counted from 0. */
static const mh_header *field(const struct check *c, enum mh__kind kind, int index)
{
    const mh_header *h = c->view->headers + c->seen->first[kind];
    while (index > 0) {
        h++;
        if (mh__field_kind(h->name) == kind)
            index--;
    }
    return h;
}

static bool is_word(mh_str text, const char *lower, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (mh__lower(text.ptr[i]) != lower[i])
            return false;
    }
    return true;
}

static uint8_t option(mh_str word)
{
    switch (word.len) {
    case 5:
        return is_word(word, "close", 5) ? MH__SAYS_CLOSE : 0;
    case 7:
        return is_word(word, "upgrade", 7) ? MH__SAYS_UPGRADE : 0;
    case 10:
        return is_word(word, "keep-alive", 10) ? MH__SAYS_KEEP_ALIVE : 0;
    default:
        return 0;
    }
}

/* The words of one list. There are no quoted strings in this one (RFC 9110 section 7.6.1). */
static uint8_t options_in(mh_str list)
{
    uint8_t options = 0;
    const char *p = list.ptr, *end = list.ptr + list.len;
    while (p < end) {
        const char *word = p;
        while (p < end && *p != ',' && *p != ' ' && *p != '\t')
            p++;
        options |= option((mh_str){word, (size_t)(p - word)});
        while (p < end && (*p == ',' || *p == ' ' || *p == '\t'))
            p++;
    }
    return options;
}

uint8_t mh__connection_options(mh_headers headers, const struct mh__seen *seen)
{
    uint8_t options = 0;
    int left = seen->count[MH__CONNECTION];
    for (size_t i = seen->first[MH__CONNECTION]; left > 0; i++) {
        if (mh__field_kind(headers.at[i].name) != MH__CONNECTION)
            continue;
        options |= options_in(headers.at[i].value);
        left--;
    }
    return options;
}

MH__INLINE uint8_t connection_options(mh_headers headers, const struct mh__seen *seen)
{
    return seen->count[MH__CONNECTION] > 0 ? mh__connection_options(headers, seen) : 0;
}

/* ---- target and host ---- */

enum mh__method_kind mh__request_kind(mh_str method)
{
    if (method.len == 4 && mh_str_equal(method, "HEAD"))
        return MH__HEAD;
    if (method.len == 7 && mh_str_equal(method, "CONNECT"))
        return MH__CONNECT;
    return MH__OTHER;
}

bool mh__target_fits(mh_str method, mh_str target)
{
    if (target.len == 0)
        return false;
    if (mh__request_kind(method) == MH__CONNECT)
        return mh__authority_valid(target); /* RFC 9112 section 3.2.3 */
    if (target.ptr[0] == '/')
        return true; /* section 3.2.1 */
    if (target.len == 1 && target.ptr[0] == '*')
        return mh_str_equal(method, "OPTIONS"); /* section 3.2.4 */
    return mh__absolute_form_valid(target);     /* section 3.2.2 */
}

static int check_target(const struct check *c)
{
    mh_h1_head *head = &c->view->head;
    if (head->target.ptr[0] == '/' && c->h1->request != MH__CONNECT)
        return 0; /* nearly all of them */
    if (mh__target_fits(head->method, head->target))
        return 0;
    return refuse(c, MH_ERR_MALFORMED, 400, head->target.ptr,
                  "a target that does not go with the method");
}

/* ":", and up to five digits, so that it is at most 59999. */
MH__INLINE bool is_plain_port(const char *p, const char *end)
{
    if (*p != ':' || end - p < 2 || end - p > 6 || (end - p == 6 && p[1] > '5'))
        return false;
    for (p++; p < end; p++) {
        if (!mh__is_digit(*p))
            return false;
    }
    return true;
}

/* A name or an IPv4 address, maybe with a port, and not a byte more: most are. */
MH__INLINE bool is_plain_host(const struct check *c, mh_str host)
{
    const char *end = host.ptr + host.len;
    const char *behind = mh__scan_name(c->in.start, host.ptr, end);
    return behind > host.ptr && (behind == end || is_plain_port(behind, end));
}

/* Exactly one valid Host (RFC 9112 section 3.2); HTTP/1.0 may do without. */
static int check_host(const struct check *c)
{
    int count = c->seen->count[MH__HOST];
    if (count == 0) {
        if (c->view->head.minor_version == 0)
            return 0;
        return refuse(c, MH_ERR_MALFORMED, 400, NULL, "no Host field");
    }
    if (count > 1)
        return refuse(c, MH_ERR_MALFORMED, 400, field(c, MH__HOST, 1)->name.ptr,
                      "more than one Host field");
    const mh_header *host = field(c, MH__HOST, 0);
    if (is_plain_host(c, host->value) || mh__host_valid(host->value))
        return 0;
    return refuse(c, MH_ERR_MALFORMED, 400, host->value.ptr, "invalid Host");
}

/* ---- length ---- */

bool mh__length_parse(uint64_t *out, mh_str text)
{
    uint64_t length = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!mh__is_digit(text.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (length > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        length = length * 10 + digit;
    }
    *out = length;
    return true;
}

/* Where in a value something is wrong; the field's name where that is no byte of the input. */
__attribute__((cold)) static const char *spot(const struct check *c, const mh_header *h,
                                              size_t index)
{
    bool inside = h->value.ptr > c->in.start && h->value.ptr < c->in.end;
    return inside && index < h->value.len ? h->value.ptr + index : h->name.ptr;
}

static size_t digits(mh_str text)
{
    size_t count = 0;
    while (count < text.len && mh__is_digit(text.ptr[count]))
        count++;
    return count;
}

/* Is it a list with a final "chunked", and no other? */
static bool ends_in_chunked(mh_str list)
{
    size_t comma = list.len;
    while (comma > 0 && list.ptr[comma - 1] != ',')
        comma--;
    mh_str last = mh__str_from(list, comma);
    while (last.len > 0 && (last.ptr[0] == ' ' || last.ptr[0] == '\t'))
        last = mh__str_from(last, 1);
    mh_header before = {MH_STR("Transfer-Encoding"), {list.ptr, comma}};
    return mh_str_equal_nocase(last, "chunked") &&
           !mh_headers_list((mh_headers){&before, 1}, "Transfer-Encoding", "chunked");
}

__attribute__((cold)) static int odd_coding(const struct check *c, const mh_header *te)
{
    /* Chunked that is not last, or there twice, leaves the length unknown (RFC 9112 section 6.3) */
    if (!ends_in_chunked(te->value))
        return refuse(c, MH_ERR_FRAMING, 400, spot(c, te, 0),
                      "Transfer-Encoding does not end in one chunked");
    /* and what stands before it we cannot undo (section 6.1). */
    return refuse(c, MH_ERR_CODING, 501, spot(c, te, 0), "transfer coding not supported");
}

static int frame_by_coding(const struct check *c)
{
    const mh_header *te = field(c, MH__TRANSFER_ENCODING, 0);
    if (c->seen->count[MH__CONTENT_LENGTH] > 0)
        return refuse(c, MH_ERR_FRAMING, 400, te->name.ptr,
                      "Transfer-Encoding beside Content-Length");
    if (c->view->head.minor_version == 0)
        return refuse(c, MH_ERR_FRAMING, 400, te->name.ptr, "Transfer-Encoding in HTTP/1.0");
    if (c->seen->count[MH__TRANSFER_ENCODING] > 1)
        return refuse(c, MH_ERR_FRAMING, 400, field(c, MH__TRANSFER_ENCODING, 1)->name.ptr,
                      "more than one Transfer-Encoding field");
    if (!mh_str_equal_nocase(te->value, "chunked"))
        return odd_coding(c, te);
    c->h1->in_framing = MH__CHUNKED;
    return 0;
}

static int frame_by_length(const struct check *c)
{
    const mh_header *length = field(c, MH__CONTENT_LENGTH, 0);
    if (c->seen->count[MH__CONTENT_LENGTH] > 1)
        return refuse(c, MH_ERR_FRAMING, 400, field(c, MH__CONTENT_LENGTH, 1)->name.ptr,
                      "more than one Content-Length field");
    if (!mh__length_parse(&c->h1->in_left, length->value))
        return refuse(c, MH_ERR_FRAMING, 400, spot(c, length, digits(length->value)),
                      "invalid Content-Length");
    c->h1->in_framing = c->h1->in_left > 0 ? MH__BY_LENGTH : MH__NO_BODY;
    return 0;
}

/* RFC 9112 section 6.3, from step 3 on. `otherwise`: what it is without any field. */
MH__INLINE int frame(const struct check *c, enum mh__framing otherwise)
{
    if (c->seen->count[MH__TRANSFER_ENCODING] > 0)
        return frame_by_coding(c);
    if (c->seen->count[MH__CONTENT_LENGTH] > 0)
        return frame_by_length(c);
    c->h1->in_framing = (uint8_t)otherwise;
    return 0;
}

static void read_body_next(mh_h1 *h1)
{
    static const uint8_t next[] = {
        [MH__NO_BODY] = MH__END,
        [MH__BY_LENGTH] = MH__BODY_LENGTH,
        [MH__CHUNKED] = MH__CHUNK_FIRST,
        [MH__UNTIL_CLOSE] = MH__BODY_CLOSE,
    };
    h1->reading = next[h1->in_framing];
    h1->overhead = h1->head_max;
}

/* ---- the connection ---- */

/* Does it end with this message (RFC 9112 section 9.3)? */
static void check_persistence(const struct check *c, uint8_t options)
{
    bool old = c->view->head.minor_version == 0;
    if (options & MH__SAYS_CLOSE || (old && !(options & MH__SAYS_KEEP_ALIVE)))
        c->h1->flags |= MH__CLOSE;
}

/* What an HTTP/1.0 client cannot ask for: another protocol (RFC 9110 section 7.8), or to be told to
 * go on (section 10.1.1), which makes no sense without a body either. */
static void note_wishes(const struct check *c, uint8_t options)
{
    mh_headers headers = c->view->head.headers;
    if (c->seen->count[MH__UPGRADE_FIELD] > 0 && options & MH__SAYS_UPGRADE)
        c->h1->flags |= MH__UPGRADE;
    if (c->seen->count[MH__EXPECT] > 0 && c->h1->in_framing != MH__NO_BODY &&
        mh_headers_list(headers, "Expect", "100-continue"))
        c->h1->flags |= MH__EXPECTS_100;
}

int mh__accept_request(mh_h1 *h1, struct mh__input in, mh_h1_view *view,
                       const struct mh__seen *seen)
{
    struct check c = {h1, view, in, seen};
    uint8_t options = connection_options(view->head.headers, seen);
    if (view->head.minor_version == 0)
        h1->flags |= MH__PEER_IS_1_0;
    h1->request = (uint8_t)mh__request_kind(view->head.method);
    int err = check_target(&c);
    if (err == 0)
        err = check_host(&c);
    if (err == 0)
        err = frame(&c, MH__NO_BODY); /* step 7: a request without a length has no body */
    if (err < 0)
        return err;
    check_persistence(&c, options);
    if (view->head.minor_version > 0)
        note_wishes(&c, options);
    else if (options & MH__SAYS_KEEP_ALIVE)
        h1->flags |= MH__KEEP_ALIVE;
    h1->flags |= MH__HEARD;
    read_body_next(h1);
    return 0;
}

__attribute__((cold)) static int accept_interim(const struct check *c)
{
    mh_h1 *h1 = c->h1;
    if (++h1->interims > MH_H1_INTERIM_MAX)
        return refuse(c, MH_ERR_TOO_LARGE, 502, NULL, "too many interim responses");
    h1->reading = MH__START;
    return 0;
}

int mh__accept_response(mh_h1 *h1, struct mh__input in, mh_h1_view *view,
                        const struct mh__seen *seen)
{
    struct check c = {h1, view, in, seen};
    int status = view->head.status;
    bool tunnel = h1->request == MH__CONNECT && status >= 200 && status <= 299;
    if (status == 101 && !(h1->flags & MH__UPGRADE))
        return refuse(&c, MH_ERR_MALFORMED, 502, NULL, "101 that no request asked for");
    if (status < 200 && status != 101)
        return accept_interim(&c);
    if (status == 101 || tunnel) {
        h1->reading = MH__SWITCHED; /* RFC 9110 sections 7.8 and 9.3.6 */
        return 0;
    }
    check_persistence(&c, connection_options(view->head.headers, seen));
    h1->in_framing = MH__NO_BODY;
    int err = 0;
    /* Steps 1 and 2: no body, whatever the fields say. */
    if (h1->request != MH__HEAD && status != 204 && status != 304)
        err = frame(&c, MH__UNTIL_CLOSE); /* step 8 */
    if (err < 0)
        return err;
    if (h1->in_framing == MH__UNTIL_CLOSE)
        h1->flags |= MH__CLOSE;
    read_body_next(h1);
    return 0;
}
