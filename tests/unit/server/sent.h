/* sent.h: what a server put on the wire, made comparable: all of it counts but the time of day. */
#ifndef TESTS_UNIT_SERVER_SENT_H
#define TESTS_UNIT_SERVER_SENT_H

#include <criterion/criterion.h>
#include <string.h>

#include <minihttp/message.h>

#include "base/buffer.h"
#include "base/clock.h"

#define SENT_DATE "Date: now\r\n"

/* time() is some milliseconds late, so the server's own clock is asked. A date of the last minute
 * becomes "now"; any other stays, and spoils the comparison. */
static inline void scrub_date_at(mh_buf *sent, char *date)
{
    int64_t unix_s = 0, now_s = mh__clock_unix_s();
    if (strlen(date) < MH_DATE_LEN ||
        mh_date_parse(&unix_s, (mh_str){date, MH_DATE_LEN}, now_s) < 0 || unix_s > now_s ||
        unix_s < now_s - 60)
        return;
    size_t rest = (size_t)(date - sent->data) + MH_DATE_LEN;
    memmove(date + 3, sent->data + rest, sent->len - rest + 1);
    memcpy(date, "now", 3);
    mh__buf_truncate(sent, sent->len - MH_DATE_LEN + 3);
}

static inline void scrub_date(mh_buf *sent)
{
    static const char field[] = "\r\nDate: ";
    char *at = sent->data;
    while (at && (at = strstr(at, field))) {
        at += sizeof(field) - 1;
        scrub_date_at(sent, at);
    }
}

static inline void check_sent(mh_buf *sent, const char *expected, const char *name)
{
    scrub_date(sent);
    mh_str want = mh_str_from(expected);
    bool same = sent->len == want.len && (want.len == 0 || !memcmp(sent->data, want.ptr, want.len));
    cr_assert(same, "%s: expected\n%s\n---- but got\n%.*s\n----", name, expected, (int)sent->len,
              sent->data ? sent->data : "");
}

#endif
