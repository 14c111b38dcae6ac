/* quick.h: a head as nearly all of them are: there as a whole, HTTP/1.1, in the usual characters.
 * Whatever else comes is left to head.c, which knows the whole grammar; nothing is refused here,
 * and nothing accepted that head.c would not accept with the same slices. A test holds the two
 * together.
 *
 * What makes it quick, measured on a browser's request of 630 bytes: it keeps no state (three
 * quarters of the time), and both scans of a line begin at its start, so that neither waits for the
 * other's result (two thirds of what is left). It is a header so that it
 * becomes part of its one caller. */
#ifndef MH_HTTP_QUICK_H
#define MH_HTTP_QUICK_H

#include "base/str.h"
#include "http/names.h"

/* "%XX" are passed over; the result is where the target ends, if it is well-formed. */
MH__INLINE const char *mh__quick_target(const char *floor, const char *p, const char *end)
{
    p = mh__scan_target(floor, p, end);
    while (end - p > 2 && *p == '%' && mh__hex(p[1]) >= 0 && mh__hex(p[2]) >= 0)
        p = mh__scan_target(floor, p + 3, end);
    return p;
}

/* Each returns what is behind it, or NULL. */

MH__INLINE const char *mh__quick_request_line(const char *start, const char *end, mh_h1_head *head)
{
    const char *p = start;
    while (p < end && mh__is(*p, MH__TOKEN))
        p++;
    if (p == start || end - p < 3 || p[0] != ' ' || p[1] != '/')
        return NULL;
    const char *target = p + 1;
    const char *behind = target[1] == ' ' ? target + 1 : mh__quick_target(start, target, end);
    if (end - behind < 11 || *behind != ' ' || mh__word(behind + 1) != mh__word("HTTP/1.1") ||
        behind[9] != '\r' || behind[10] != '\n')
        return NULL;
    head->method = (mh_str){start, (size_t)(p - start)};
    head->target = (mh_str){target, (size_t)(behind - target)};
    head->minor_version = 1;
    return behind + 11;
}

MH__INLINE const char *mh__quick_status_line(const char *start, const char *end, mh_h1_head *head)
{
    const char *digits = start + 9, *reason = start + 13;
    if (end - start < 15 || mh__word(start) != mh__word("HTTP/1.1") || start[8] != ' ' ||
        digits[0] < '1' || digits[0] > '9' || !mh__is_digit(digits[1]) ||
        !mh__is_digit(digits[2]) || digits[3] != ' ')
        return NULL;
    const char *cr = mh__scan_value(start, reason, end);
    if (end - cr < 2 || cr[0] != '\r' || cr[1] != '\n')
        return NULL;
    head->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    head->reason = (mh_str){reason, (size_t)(cr - reason)};
    head->minor_version = 1;
    return cr + 2;
}

MH__INLINE mh_str mh__quick_value(const char *p, const char *cr)
{
    if (p < cr && *p == ' ')
        p++;
    if (p < cr && (mh__is_blank(*p) || mh__is_blank(cr[-1])))
        return mh__trimmed(p, cr);
    return (mh_str){p, (size_t)(cr - p)};
}

MH__INLINE const char *mh__quick_field(const char *floor, const char *p, const char *end,
                                       mh_header *field)
{
    const char *colon = mh__scan_name(floor, p, end);
    const char *cr = mh__scan_value(floor, p, end);
    if (end - cr < 2 || cr[0] != '\r' || cr[1] != '\n' || colon == p || *colon != ':')
        return NULL;
    field->name = (mh_str){p, (size_t)(colon - p)};
    field->value = mh__quick_value(colon + 1, cr);
    return cr + 2;
}

/* The slices of a head that is all there and nothing unusual: its bytes, or 0, which means only
 * that head.c has to look; *seen may be spoilt then. */
MH__INLINE size_t mh__quick_head(mh_h1_role role, mh_str in, mh_h1_view *view,
                                 struct mh__seen *seen)
{
    const char *start = in.ptr, *end = start + in.len;
    mh_header *field = view->headers, *full = view->headers + MH_HEADERS_MAX;
    view->head = (mh_h1_head){.headers = {view->headers, 0}};
    const char *p = role == MH_H1_SERVER ? mh__quick_request_line(start, end, &view->head)
                                         : mh__quick_status_line(start, end, &view->head);
    while (p && end - p >= 2) {
        if (*p == '\r') {
            view->head.headers.count = (size_t)(field - view->headers);
            return p[1] == '\n' ? (size_t)(p + 2 - start) : 0;
        }
        if (field == full)
            return 0;
        p = mh__quick_field(start, p, end, field);
        if (p)
            mh__note(seen, field->name, (size_t)(field - view->headers));
        field++;
    }
    return 0;
}

#endif
