/* chunk.c: the line in front of each chunk, and the CRLF behind it (RFC 9112 section 7.1). Bytes
 * are consumed as they come: nothing of a chunk line is kept but its number. */
#include "base/str.h"
#include "http/chars.h"
#include "http/h1.h"

/* chunk      = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
 * chunk-size = 1*HEXDIG
 * chunk-ext  = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
 *
 * Extensions are checked and ignored (section 7.1.1). */

enum { REFUSED = 255 };

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Where the next part of the line may begin once a name, a value or the size is over. */
static uint8_t after(char c, uint8_t on_space)
{
    if (c == ';')
        return MH__EXT_FIRST;
    if (c == '\r')
        return MH__CHUNK_LINE_LF;
    return blank(c) ? on_space : (uint8_t)REFUSED;
}

/* The next place for a byte of an extension. White space has to lead to ";" or "=", never to CR. */
static uint8_t extension(uint8_t place, char c)
{
    bool token = mh__is(c, MH__TOKEN);
    switch (place) {
    case MH__CHUNK_SPACE:
        return blank(c) ? place : c == ';' ? MH__EXT_FIRST : REFUSED;
    case MH__EXT_FIRST:
        return blank(c) ? place : token ? MH__EXT_NAME : REFUSED;
    case MH__EXT_NAME:
        if (token)
            return place;
        return c == '=' ? MH__EXT_EQUALS : after(c, MH__EXT_NAME_SPACE);
    case MH__EXT_NAME_SPACE:
        return blank(c) ? place : c == ';' ? MH__EXT_FIRST : c == '=' ? MH__EXT_EQUALS : REFUSED;
    case MH__EXT_EQUALS:
        return blank(c) ? place : token ? MH__EXT_VALUE : c == '"' ? MH__EXT_QUOTED : REFUSED;
    case MH__EXT_VALUE:
        return token ? place : after(c, MH__CHUNK_SPACE);
    case MH__EXT_QUOTED:
        if (mh__is(c, MH__QUOTED))
            return place;
        return c == '"' ? MH__EXT_QUOTED_END : c == '\\' ? MH__EXT_ESCAPED : REFUSED;
    case MH__EXT_ESCAPED:
        return mh__is(c, MH__VALUE) ? MH__EXT_QUOTED : REFUSED;
    default: /* MH__EXT_QUOTED_END */
        return after(c, MH__CHUNK_SPACE);
    }
}

/* One more digit: false when the number would not fit. */
static bool add_digit(uint64_t *size, int digit)
{
    if (*size > (uint64_t)INT64_MAX >> 4)
        return false;
    *size = *size << 4 | (uint64_t)digit;
    return true;
}

/* What a chunk line costs beyond the digits of its number is limited, or a peer could send for ever
 * without sending anything; what the chunks carry pays it back. */
static bool spend(mh_h1 *h1)
{
    if (h1->overhead == 0)
        return false;
    h1->overhead--;
    return true;
}

static void pay_back(mh_h1 *h1)
{
    uint64_t room = h1->head_max - h1->overhead;
    h1->overhead += (uint32_t)(h1->in_left < room ? h1->in_left : room);
}

/* The line is over: a chunk, or after the last one the trailers. */
static void end_line(mh_h1 *h1)
{
    if (h1->in_left > 0) {
        pay_back(h1);
        h1->reading = MH__CHUNK_DATA;
        return;
    }
    h1->reading = MH__FIELD;
    h1->flags |= MH__TRAILERS;
    h1->fields = 0;
    h1->scanned = 0;
}

static const char *odd_byte(uint8_t place, char c)
{
    if (c == '\n')
        return "LF without CR in a chunk line";
    if (place == MH__CHUNK_FIRST)
        return "a chunk size begins with a hexadecimal digit";
    return place == MH__CHUNK_SIZE ? "byte that no chunk size may hold"
                                   : "malformed chunk extension";
}

/* A byte of a size: 0, or why not. */
static const char *size_byte(mh_h1 *h1, char c, int *status)
{
    int digit = mh__hex(c);
    bool leading_zero = h1->reading == MH__CHUNK_SIZE && h1->in_left == 0;
    if (digit < 0)
        return odd_byte(h1->reading, c);
    *status = 413;
    if (leading_zero && !spend(h1))
        return "endless chunk size";
    if (!add_digit(&h1->in_left, digit))
        return "chunk size too large";
    h1->reading = MH__CHUNK_SIZE;
    return NULL;
}

/* Takes one byte. Returns 0, or why not, with the status to answer. */
static const char *take(mh_h1 *h1, char c, int *status)
{
    uint8_t place = h1->reading, next;
    *status = 400;
    switch (place) {
    case MH__CHUNK_FIRST:
        h1->in_left = 0;
        return size_byte(h1, c, status);
    case MH__CHUNK_SIZE:
        next = after(c, MH__CHUNK_SPACE);
        if (next == REFUSED)
            return size_byte(h1, c, status);
        break;
    case MH__CHUNK_LINE_LF:
        if (c != '\n')
            return "CR without LF in a chunk line";
        end_line(h1);
        return NULL;
    case MH__CHUNK_DATA_CR:
        next = MH__CHUNK_DATA_LF;
        if (c != '\r')
            return "a chunk longer than its size";
        break;
    case MH__CHUNK_DATA_LF:
        next = MH__CHUNK_FIRST;
        if (c != '\n')
            return "CR without LF behind a chunk";
        break;
    default:
        next = extension(place, c);
        if (next == REFUSED)
            return odd_byte(place, c);
        *status = 413;
        if (!spend(h1))
            return "endless chunk extension";
        break;
    }
    h1->reading = next;
    return NULL;
}

static bool in_line(const mh_h1 *h1)
{
    return h1->reading >= MH__CHUNK_FIRST && h1->reading <= MH__CHUNK_DATA_LF &&
           h1->reading != MH__CHUNK_DATA;
}

int mh__chunk_read(mh_h1 *h1, mh_str *in, mh_h1_view *view)
{
    struct mh__input at = {in->ptr, in->ptr + in->len};
    const char *p = at.start;
    while (p < at.end && in_line(h1)) {
        int status;
        const char *reason = take(h1, *p, &status);
        if (reason) {
            int err = status == 413 ? MH_ERR_TOO_LARGE : MH_ERR_MALFORMED;
            return mh__fault(h1, view, at, err, status, p, reason);
        }
        p++;
    }
    size_t used = (size_t)(p - at.start);
    h1->consumed += used;
    *in = mh__str_from(*in, used);
    return 0;
}
