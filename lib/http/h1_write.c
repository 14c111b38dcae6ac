/* h1_write.c: our own messages, from fields to bytes. All of a head is checked before any of it is
 * written, so that an error leaves the output as it was. */
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/str.h"
#include "http/h1.h"
#include "http/scan.h"
#include "http/url.h"

/* The longest of the fields that may be added, and one more of them. */
#define ADDED_MAX (sizeof "Transfer-Encoding: chunked\r\n" + sizeof "Connection: keep-alive\r\n")
/* "HTTP/1.1 " or " HTTP/1.1\r\n", a status, three spaces, the empty line. */
#define START_LINE_MAX 24
/* 16 digits, CRLF, and CRLF behind the data. */
#define CHUNK_FRAME_MAX 20

struct plan {
    const mh_h1_head *head;
    struct mh__seen seen;
    uint8_t framing; /* enum mh__framing */
    uint8_t options; /* MH__SAYS_... */
    uint64_t length;
    mh_str add_framing, add_connection; /* nothing, or a line */
};

/* ---- what may be written ---- */

static bool all_of(mh_str text, int set)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!mh__is(text.ptr[i], set))
            return false;
    }
    return true;
}

bool mh__is_token(mh_str text)
{
    if (text.len == 0)
        return false;
    const char *end = text.ptr + text.len;
    const char *p = mh__scan_name(text.ptr, text.ptr, end);
    return all_of((mh_str){p, (size_t)(end - p)}, MH__TOKEN);
}

bool mh__is_text(mh_str text)
{
    if (text.len == 0)
        return true;
    const char *end = text.ptr + text.len;
    const char *p = mh__scan_value(text.ptr, text.ptr, end);
    return all_of((mh_str){p, (size_t)(end - p)}, MH__VALUE);
}

/* Only whole "%XX" beside the bytes of the form (RFC 3986 section 2.1). */
static bool is_target(mh_str target)
{
    int set = target.len > 0 && target.ptr[0] == '/' ? MH__TARGET : MH__URI;
    for (size_t i = 0; i < target.len; i++) {
        if (mh__is(target.ptr[i], set))
            continue;
        if (target.ptr[i] != '%' || target.len - i < 3 || mh__hex(target.ptr[i + 1]) < 0 ||
            mh__hex(target.ptr[i + 2]) < 0)
            return false;
        i += 2;
    }
    return true;
}

/* Every name a token, every value without CR, LF, NUL and the like (RFC 9110 section 5.5). */
static bool fields_are_valid(struct plan *plan)
{
    mh_headers headers = plan->head->headers;
    if (headers.count > MH_HEADERS_MAX)
        return false;
    for (size_t i = 0; i < headers.count; i++) {
        if (!mh__is_token(headers.at[i].name) || !mh__is_text(headers.at[i].value))
            return false;
        mh__see(&plan->seen, headers.at[i].name, i);
    }
    plan->options = mh__connection_options(headers, &plan->seen);
    return true;
}

static mh_str first_value(const struct plan *plan, enum mh__kind kind)
{
    return plan->head->headers.at[plan->seen.first[kind]].value;
}

/* Framing as the caller's fields have it: at most one of them, and that one well-formed. */
static bool plan_framing(struct plan *plan, enum mh__framing otherwise)
{
    int lengths = plan->seen.count[MH__CONTENT_LENGTH];
    int codings = plan->seen.count[MH__TRANSFER_ENCODING];
    plan->framing = (uint8_t)otherwise;
    if (lengths + codings > 1)
        return false;
    if (lengths == 1) {
        plan->framing = MH__BY_LENGTH;
        return mh__length_parse(&plan->length, first_value(plan, MH__CONTENT_LENGTH));
    }
    if (codings == 1) {
        plan->framing = MH__CHUNKED;
        return mh_str_equal_nocase(first_value(plan, MH__TRANSFER_ENCODING), "chunked");
    }
    return true;
}

static bool has_framing_field(const struct plan *plan)
{
    return plan->seen.count[MH__CONTENT_LENGTH] > 0 || plan->seen.count[MH__TRANSFER_ENCODING] > 0;
}

/* ---- bytes ---- */

MH__INLINE void put_str(mh_buf *out, mh_str s)
{
    if (s.len > 0)
        memcpy(out->data + out->len, s.ptr, s.len);
    out->len += s.len;
}

static void put_fields(mh_buf *out, mh_headers headers)
{
    mh_headers_each(h, headers)
    {
        put_str(out, h->name);
        put_str(out, MH_STR(": "));
        put_str(out, h->value);
        put_str(out, MH_STR("\r\n"));
    }
}

/* Bytes of the fields; SIZE_MAX when no buffer could hold them. */
static size_t fields_size(mh_headers headers, size_t more)
{
    size_t size = more;
    mh_headers_each(h, headers)
    {
        size_t part;
        if (__builtin_add_overflow(h->name.len, h->value.len, &part) ||
            __builtin_add_overflow(part, sizeof ": \r\n" - 1, &part) ||
            __builtin_add_overflow(size, part, &size))
            return SIZE_MAX;
    }
    return size;
}

static int reserve_head(const struct plan *plan, mh_buf *out)
{
    const mh_h1_head *head = plan->head;
    size_t size = START_LINE_MAX + ADDED_MAX, line;
    if (__builtin_add_overflow(head->method.len, head->target.len, &line) ||
        __builtin_add_overflow(line, head->reason.len, &line) ||
        __builtin_add_overflow(size, line, &size))
        return MH_ERR_TOO_LARGE;
    return mh_buf_reserve(out, fields_size(head->headers, size));
}

/* Room was made for all of it. */
static void put_rest(const struct plan *plan, mh_buf *out)
{
    put_fields(out, plan->head->headers);
    put_str(out, plan->add_framing);
    put_str(out, plan->add_connection);
    put_str(out, MH_STR("\r\n"));
    out->data[out->len] = '\0';
}

static void begin_body(mh_h1 *h1, const struct plan *plan)
{
    h1->out_framing = plan->framing;
    h1->out_left = plan->length;
    h1->writing = MH__PUT_BODY;
}

/* ---- requests ---- */

static bool plan_request(struct plan *plan)
{
    const mh_h1_head *head = plan->head;
    if (!mh__is_token(head->method) || !is_target(head->target) ||
        !mh__target_fits(head->method, head->target))
        return false;
    if (!fields_are_valid(plan) || !plan_framing(plan, MH__NO_BODY))
        return false;
    if (plan->seen.count[MH__HOST] != 1 || !mh__host_valid(first_value(plan, MH__HOST)))
        return false; /* RFC 9112 section 3.2 */
    /* RFC 9110 section 9.3.6: nothing is defined for a body of CONNECT */
    return mh__request_kind(head->method) != MH__CONNECT || !has_framing_field(plan);
}

static int put_request(mh_h1 *h1, struct plan *plan, mh_buf *out)
{
    const mh_h1_head *head = plan->head;
    if (h1->reading != MH__START || !plan_request(plan))
        return -EINVAL;
    int err = reserve_head(plan, out);
    if (err < 0)
        return err;
    put_str(out, head->method);
    put_str(out, MH_STR(" "));
    put_str(out, head->target);
    put_str(out, MH_STR(" HTTP/1.1\r\n"));
    put_rest(plan, out);
    h1->request = (uint8_t)mh__request_kind(head->method);
    if (plan->options & MH__SAYS_CLOSE)
        h1->flags |= MH__CLOSE;
    if (plan->seen.count[MH__UPGRADE_FIELD] > 0 && plan->options & MH__SAYS_UPGRADE)
        h1->flags |= MH__UPGRADE;
    begin_body(h1, plan);
    return 0;
}

/* ---- responses ---- */

/* 101, and 2xx to a CONNECT, end what is HTTP. */
static bool switches(const mh_h1 *h1, int status)
{
    return status == 101 || (h1->request == MH__CONNECT && status >= 200 && status <= 299);
}

static bool is_interim(int status)
{
    return status < 200 && status != 101;
}

/* Neither Content-Length (RFC 9110 section 8.6) nor Transfer-Encoding (RFC 9112 section 6.1). */
static bool forbids_framing(const mh_h1 *h1, int status)
{
    return status < 200 || status == 204 || switches(h1, status);
}

/* A client that has not said that it knows HTTP/1.1 gets nothing chunked (RFC 9112 section 6.1) and
 * no interim response (RFC 9110 section 15.2). */
static bool is_old(const mh_h1 *h1)
{
    return h1->flags & MH__PEER_IS_1_0 || !(h1->flags & MH__HEARD);
}

static bool plan_response(const mh_h1 *h1, struct plan *plan)
{
    int status = plan->head->status;
    bool old = is_old(h1);
    if (status < 100 || status > 599 || !mh__is_text(plan->head->reason))
        return false;
    if (!fields_are_valid(plan) || !plan_framing(plan, old ? MH__UNTIL_CLOSE : MH__CHUNKED))
        return false;
    if (forbids_framing(h1, status) && has_framing_field(plan))
        return false;
    if (old && plan->seen.count[MH__TRANSFER_ENCODING] > 0)
        return false; /* RFC 9112 section 6.1 */
    if (status == 205 &&
        (plan->framing == MH__CHUNKED ? has_framing_field(plan) : plan->length > 0))
        return false; /* RFC 9110 section 15.3.6: no content */
    /* RFC 9110 section 7.8: not to a protocol that was not offered */
    return status != 101 || h1->flags & MH__UPGRADE;
}

/* What the caller's fields leave open (RFC 9112 sections 6.3 and 9.3). */
static void complete_response(mh_h1 *h1, struct plan *plan)
{
    int status = plan->head->status;
    if (forbids_framing(h1, status) || status == 304)
        plan->framing = MH__NO_BODY;
    else if (h1->request == MH__HEAD)
        h1->flags |= MH__SKIP_BODY;
    if (status == 205 && !has_framing_field(plan)) { /* RFC 9110 section 15.3.6 */
        plan->framing = MH__BY_LENGTH;
        plan->add_framing = MH_STR("Content-Length: 0\r\n");
    }
    if (plan->framing == MH__CHUNKED && plan->seen.count[MH__TRANSFER_ENCODING] == 0)
        plan->add_framing = MH_STR("Transfer-Encoding: chunked\r\n");
    /* Until its request is read to the head's end, we cannot know where the next one begins. */
    if (h1->reading <= MH__FIELD_VALUE && !(h1->flags & MH__TRAILERS))
        h1->flags |= MH__CLOSE;
    if (plan->framing == MH__UNTIL_CLOSE || plan->options & MH__SAYS_CLOSE)
        h1->flags |= MH__CLOSE;
    if (h1->flags & MH__CLOSE && !(plan->options & MH__SAYS_CLOSE))
        plan->add_connection = MH_STR("Connection: close\r\n");
    if (!(h1->flags & MH__CLOSE) && h1->flags & MH__KEEP_ALIVE &&
        !(plan->options & MH__SAYS_KEEP_ALIVE))
        plan->add_connection = MH_STR("Connection: keep-alive\r\n");
}

static void put_status_line(mh_buf *out, const mh_h1_head *head)
{
    if (head->status == 200 && head->reason.len == 2 && memcmp(head->reason.ptr, "OK", 2) == 0) {
        put_str(out, MH_STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    char digits[] = {(char)('0' + head->status / 100), (char)('0' + head->status / 10 % 10),
                     (char)('0' + head->status % 10)};
    put_str(out, MH_STR("HTTP/1.1 "));
    put_str(out, (mh_str){digits, sizeof digits});
    put_str(out, MH_STR(" "));
    put_str(out, head->reason);
    put_str(out, MH_STR("\r\n"));
}

static int put_response(mh_h1 *h1, struct plan *plan, mh_buf *out)
{
    int status = plan->head->status;
    if (!plan_response(h1, plan))
        return -EINVAL;
    if (is_interim(status) && is_old(h1))
        return 0;
    int err = reserve_head(plan, out);
    if (err < 0)
        return err;
    if (status >= 200 && !switches(h1, status))
        complete_response(h1, plan);
    put_status_line(out, plan->head);
    put_rest(plan, out);
    if (switches(h1, status))
        h1->writing = MH__PUT_SWITCHED;
    else if (!is_interim(status))
        begin_body(h1, plan);
    else if (status == 100)
        h1->flags &= ~(uint32_t)MH__EXPECTS_100;
    return 0;
}

/* ---- responses whose lines are known to be valid ---- */

#define LENGTH_LINE_MAX (sizeof "Content-Length: 18446744073709551615\r\n")

static void put_length(mh_buf *out, uint64_t length)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    put_str(out, MH_STR("Content-Length: "));
    put_str(out, (mh_str){digits + at, sizeof digits - at});
    put_str(out, MH_STR("\r\n"));
}

/* RFC 9110 section 8.6: not with 204; with 304 it would be that of a 200, which nobody counted. A
 * 205 gets its 0 from complete_response(). */
static bool says_length(int status, uint64_t length)
{
    return length != MH_LENGTH_UNKNOWN && status != 204 && status != 304 && status != 205;
}

static mh_str reason_of(int status)
{
    return status == 200 ? MH_STR("OK") : mh_str_from(mh_reason(status));
}

static enum mh__framing ready_framing(const mh_h1 *h1, const struct mh__ready_head *ready)
{
    if (ready->length != MH_LENGTH_UNKNOWN)
        return MH__BY_LENGTH;
    return is_old(h1) ? MH__UNTIL_CLOSE : MH__CHUNKED;
}

int mh__h1_put_ready_head(mh_h1 *h1, const struct mh__ready_head *ready, mh_buf *out)
{
    mh_h1_head head = {.status = ready->status, .reason = reason_of(ready->status)};
    struct plan plan = {.head = &head,
                        .framing = (uint8_t)ready_framing(h1, ready),
                        .length = ready->length != MH_LENGTH_UNKNOWN ? ready->length : 0};
    if (h1->writing != MH__PUT_HEAD || ready->status < 200 || switches(h1, ready->status))
        return -EINVAL;
    size_t size = START_LINE_MAX + ADDED_MAX + LENGTH_LINE_MAX + head.reason.len;
    int err = mh_buf_reserve(out, size + ready->date.len + ready->lines.len);
    if (err < 0)
        return err;
    if (ready->close)
        h1->flags |= MH__CLOSE;
    complete_response(h1, &plan);
    put_status_line(out, &head);
    put_str(out, ready->date);
    put_str(out, ready->lines);
    if (says_length(ready->status, ready->length))
        put_length(out, ready->length);
    put_rest(&plan, out);
    begin_body(h1, &plan);
    return 0;
}

bool mh__h1_sends_body(const mh_h1 *h1)
{
    return h1->out_framing != MH__NO_BODY && !(h1->flags & MH__SKIP_BODY);
}

bool mh__h1_sends_chunks(const mh_h1 *h1)
{
    return h1->out_framing == MH__CHUNKED;
}

int mh_h1_put_head(mh_h1 *h1, const mh_h1_head *head, mh_buf *out)
{
    struct plan plan = {.head = head};
    if (h1->writing != MH__PUT_HEAD)
        return -EINVAL;
    return h1->role == MH_H1_CLIENT ? put_request(h1, &plan, out) : put_response(h1, &plan, out);
}

/* ---- bodies ---- */

/* May these bytes follow? Nothing is changed yet. */
static int check_body(const mh_h1 *h1, uint64_t len)
{
    if (h1->writing != MH__PUT_BODY)
        return -EINVAL;
    bool too_long = (h1->out_framing == MH__NO_BODY && len > 0) ||
                    (h1->out_framing == MH__BY_LENGTH && len > h1->out_left);
    return too_long && !(h1->flags & MH__SKIP_BODY) ? MH_ERR_FRAMING : 0;
}

static void count_body(mh_h1 *h1, uint64_t len)
{
    if (h1->out_framing == MH__BY_LENGTH && !(h1->flags & MH__SKIP_BODY))
        h1->out_left -= len;
}

int mh__h1_account_body(mh_h1 *h1, uint64_t len)
{
    int err = check_body(h1, len);
    if (err < 0)
        return err;
    if (h1->out_framing == MH__CHUNKED && !(h1->flags & MH__SKIP_BODY))
        return -EINVAL;
    count_body(h1, len);
    return h1->flags & MH__SKIP_BODY ? 0 : 1;
}

/* chunk-size in hexadecimal, without leading zeros. */
static void put_chunk_size(mh_buf *out, size_t size)
{
    char digits[sizeof size * 2];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[size & 15];
        size >>= 4;
    } while (size > 0);
    put_str(out, (mh_str){digits + at, sizeof digits - at});
    put_str(out, MH_STR("\r\n"));
}

static int put_chunk(mh_str data, mh_buf *out)
{
    if (data.len > SIZE_MAX - CHUNK_FRAME_MAX)
        return MH_ERR_TOO_LARGE;
    int err = mh_buf_reserve(out, data.len + CHUNK_FRAME_MAX);
    if (err < 0)
        return err;
    put_chunk_size(out, data.len);
    put_str(out, data);
    put_str(out, MH_STR("\r\n"));
    out->data[out->len] = '\0';
    return 0;
}

int mh_h1_put_body(mh_h1 *h1, mh_str data, mh_buf *out)
{
    int err = check_body(h1, data.len);
    /* An empty chunk would end the body (RFC 9112 section 7.1). */
    if (err < 0 || data.len == 0 || h1->flags & MH__SKIP_BODY)
        return err;
    if (h1->out_framing == MH__CHUNKED)
        return put_chunk(data, out);
    err = mh_buf_append(out, data.ptr, data.len);
    if (err == 0)
        count_body(h1, data.len);
    return err;
}

/* ---- the end ---- */

/* RFC 9110 section 6.5.1: nothing that frames or routes; the kinds are just those. */
static bool trailers_are_valid(mh_headers trailers)
{
    if (trailers.count > MH_HEADERS_MAX)
        return false;
    mh_headers_each(h, trailers)
    {
        if (!mh__is_token(h->name) || !mh__is_text(h->value) ||
            mh__field_kind(h->name) != MH__KINDS)
            return false;
    }
    return true;
}

static int put_last_chunk(mh_headers trailers, mh_buf *out)
{
    int err = mh_buf_reserve(out, fields_size(trailers, sizeof "0\r\n\r\n"));
    if (err < 0)
        return err;
    put_str(out, MH_STR("0\r\n"));
    put_fields(out, trailers);
    put_str(out, MH_STR("\r\n"));
    out->data[out->len] = '\0';
    return 0;
}

int mh_h1_put_end(mh_h1 *h1, mh_headers trailers, mh_buf *out)
{
    if (h1->writing == MH__PUT_SWITCHED)
        return 0;
    if (h1->writing != MH__PUT_BODY || !trailers_are_valid(trailers))
        return -EINVAL;
    bool sent = !(h1->flags & MH__SKIP_BODY);
    if (sent && h1->out_framing == MH__BY_LENGTH && h1->out_left > 0)
        return MH_ERR_FRAMING;
    if (sent && h1->out_framing == MH__CHUNKED) {
        int err = put_last_chunk(trailers, out);
        if (err < 0)
            return err;
    }
    h1->writing = MH__PUT_DONE;
    return 0;
}

int mh_h1_explain(const mh_h1_fault *fault, mh_buf *out)
{
    unsigned long long offset = fault->offset;
    if (fault->byte < 0)
        return mh_buf_printf(out, "%s (%llu bytes in)", fault->reason, offset);
    return mh_buf_printf(out, "byte 0x%02x at offset %llu: %s", (unsigned)fault->byte, offset,
                         fault->reason);
}
