/* account.c: see account.h. */
#include "account.h"

#include <string.h>

#include "http/coding.h"
#include "scenario.h"

void note_response(const mh_response *res)
{
    note("status %d received %llu of %llu, %llu decoded, %d redirects\n", res->status,
         (unsigned long long)res->received, (unsigned long long)res->received_total,
         (unsigned long long)res->decoded, res->redirects);
    note_bytes("url", res->url);
    note_bytes("head", res->head);
    mh_headers_each(header, res->headers) note_bytes("value", header->value);
    mh_headers_each(trailer, res->trailers) note_bytes("trailer", trailer->value);
    note_bytes("body", mh_buf_str(&res->body));
}

void check_account(const mh_response *res, int result)
{
    check(res->error == (result < 0 ? result : 0));
    check((res->phase == MH_PHASE_DONE) == (result >= 0));
    check(result < 0 || !res->detail);
    check(!res->detail || strlen(res->detail) > 0);
    check(mh_phase_name(res->phase)[0] != '\0');
}

bool has_coding(const char *name)
{
    return mh__coding_find(mh_str_from(name)) != NULL;
}

static const char bytes[] =
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x33\x30\x34\x32\x36\x31\x35\x33\xb7\xb0\x4c\x4c\x4a"
    "\x4e\x49\x4d\x33\x20\x8d\xcf\x65\x30\xaa\x7f\x54\xff\xa8\xfe\x21\xab\xbf\x24\x23\x55\x21\x35"
    "\x2f\x05\x00\xd9\x89\x07\x9b\x07\x04\x00\x00";

const mh_str gzipped = {bytes, sizeof(bytes) - 1};
