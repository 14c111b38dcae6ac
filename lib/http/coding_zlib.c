/* coding_zlib.c: gzip and deflate (RFC 9110 sections 8.4.1.2 and 8.4.1.3), by zlib. */
#include "http/coding.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#define ZLIB_CONST /* it does not write to its input; this makes it say so */
#include <zlib.h>

#include "base/mem.h"
#include "base/str.h"

/* For inflateInit2(): any window; which format is around the deflate data. */
enum { FORMAT_ZLIB = MAX_WBITS, FORMAT_GZIP = MAX_WBITS + 16, FORMAT_RAW = -MAX_WBITS };

#define GZIP_FIRST_BYTE 0x1f /* RFC 1952 section 2.3.1 */

struct words {
    const char *foreign, *checksum, *length, *corrupt;
};

static const struct words gzip_words = {
    .foreign = "not gzip data",
    .checksum = "the checksum of the gzip data is wrong",
    .length = "the length of the gzip data is wrong",
    .corrupt = "the gzip data is corrupt",
};

static const struct words deflate_words = {
    .foreign = "not deflate data",
    .checksum = "the checksum of the deflate data is wrong",
    .length = "the length of the deflate data is wrong",
    .corrupt = "the deflate data is corrupt",
};

struct inflation {
    z_stream z;
    const struct words *words;
    bool ended;
    uint8_t head[2]; /* of deflate: they tell which format it is */
    unsigned head_len, head_at;
};

static void *allocate(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return mh__calloc(count, size);
}

static void release(void *opaque, void *ptr)
{
    (void)opaque;
    mh__free(ptr);
}

static int open_format(void **state, const struct words *words, int format)
{
    struct inflation *inflation = mh__calloc(1, sizeof(*inflation));
    if (!inflation)
        return -ENOMEM;
    inflation->words = words;
    inflation->z.zalloc = allocate;
    inflation->z.zfree = release;
    if (inflateInit2(&inflation->z, format) != Z_OK) {
        mh__free(inflation);
        return -ENOMEM;
    }
    *state = inflation;
    return 0;
}

/* zlib has no number for each, but its words have been the same for ever; where they are others,
 * "corrupt" is true as well. */
static const char *words_about(const struct words *words, const char *msg)
{
    if (msg && strcmp(msg, "incorrect header check") == 0)
        return words->foreign;
    if (msg && strcmp(msg, "incorrect data check") == 0)
        return words->checksum;
    if (msg && strcmp(msg, "incorrect length check") == 0)
        return words->length;
    return words->corrupt;
}

static unsigned at_most(size_t len)
{
    return len < UINT_MAX ? (unsigned)len : UINT_MAX;
}

/* Z_BUF_ERROR is none: there was nothing to do. */
static ssize_t outcome(struct inflation *inflation, int result, const char **why)
{
    if (result == Z_STREAM_END) {
        inflation->ended = true;
        return MH__CODING_END;
    }
    if (result == Z_OK || result == Z_BUF_ERROR)
        return 0;
    if (result == Z_MEM_ERROR)
        return -ENOMEM;
    *why = words_about(inflation->words, inflation->z.msg);
    return MH_ERR_CODING;
}

/* One call of zlib. What it made before an error, or before the end, is handed out first: it says
 * either again in the next call. */
static ssize_t step(struct inflation *inflation, mh_str *in, void *data, size_t cap,
                    const char **why)
{
    z_stream *z = &inflation->z;
    unsigned given = at_most(in->len), room = at_most(cap);
    z->next_in = (const Bytef *)in->ptr;
    z->avail_in = given;
    z->next_out = data;
    z->avail_out = room;
    int result = inflate(z, Z_NO_FLUSH);
    if (z->avail_in < given)
        *in = mh__str_from(*in, given - z->avail_in);
    ssize_t said = outcome(inflation, result, why);
    return z->avail_out < room ? (ssize_t)(room - z->avail_out) : said;
}

static ssize_t run(struct inflation *inflation, mh_str *in, void *data, size_t cap,
                   const char **why)
{
    ssize_t n;
    do
        n = step(inflation, in, data, cap, why);
    while (n == 0 && in->len > 0);
    return n;
}

static int gzip_open(void **state)
{
    return open_format(state, &gzip_words, FORMAT_GZIP);
}

/* Members may follow each other (RFC 1952 section 2.2). */
static ssize_t gzip_decode(void *state, mh_str *in, void *data, size_t cap, const char **why)
{
    struct inflation *inflation = state;
    if (inflation->ended) {
        if (in->len == 0 || (uint8_t)in->ptr[0] != GZIP_FIRST_BYTE)
            return MH__CODING_END;
        inflateReset(&inflation->z);
        inflation->ended = false;
    }
    return run(inflation, in, data, cap, why);
}

static int deflate_open(void **state)
{
    return open_format(state, &deflate_words, FORMAT_ZLIB);
}

/* Does the zlib format (RFC 1950 section 2.2) begin so? A deflate block that does would have a bit
 * set in the padding of its header (RFC 1951 section 3.2.4), and nobody writes that. */
static bool is_zlib(const uint8_t head[2])
{
    return (head[0] & 15) == Z_DEFLATED && head[0] >> 4 <= 7 && (head[0] << 8 | head[1]) % 31 == 0;
}

/* The standard says zlib, and some servers send the deflate data without it. */
static bool take_head(struct inflation *inflation, mh_str *in)
{
    while (inflation->head_len < sizeof(inflation->head) && in->len > 0) {
        inflation->head[inflation->head_len++] = (uint8_t)in->ptr[0];
        *in = mh__str_from(*in, 1);
        if (inflation->head_len == sizeof(inflation->head) && !is_zlib(inflation->head))
            inflateReset2(&inflation->z, FORMAT_RAW);
    }
    return inflation->head_len == sizeof(inflation->head);
}

static ssize_t decode_head(struct inflation *inflation, void *data, size_t cap, const char **why)
{
    mh_str rest = {(const char *)inflation->head + inflation->head_at,
                   sizeof(inflation->head) - inflation->head_at};
    if (rest.len == 0)
        return 0;
    ssize_t n = run(inflation, &rest, data, cap, why);
    inflation->head_at = sizeof(inflation->head) - (unsigned)rest.len;
    return n;
}

static ssize_t deflate_decode(void *state, mh_str *in, void *data, size_t cap, const char **why)
{
    struct inflation *inflation = state;
    if (inflation->ended)
        return MH__CODING_END;
    if (!take_head(inflation, in))
        return 0;
    ssize_t n = decode_head(inflation, data, cap, why);
    return n != 0 ? n : run(inflation, in, data, cap, why);
}

static void close_any(void *state)
{
    struct inflation *inflation = state;
    inflateEnd(&inflation->z);
    mh__free(inflation);
}

const struct mh__coding mh__coding_gzip = {
    .name = "gzip",
    .ends_early = "the gzip data ends early",
    .goes_on = "there are bytes behind the end of the gzip data",
    .open = gzip_open,
    .decode = gzip_decode,
    .close = close_any,
};

/* RFC 9110 section 8.4.1.3: the same. */
const struct mh__coding mh__coding_x_gzip = {
    .name = "x-gzip",
    .ends_early = "the gzip data ends early",
    .goes_on = "there are bytes behind the end of the gzip data",
    .open = gzip_open,
    .decode = gzip_decode,
    .close = close_any,
};

const struct mh__coding mh__coding_deflate = {
    .name = "deflate",
    .ends_early = "the deflate data ends early",
    .goes_on = "there are bytes behind the end of the deflate data",
    .open = deflate_open,
    .decode = deflate_decode,
    .close = close_any,
};
