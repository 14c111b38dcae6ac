/* coding.c: the codings of one message, one behind the other, and the table of those that this
 * build has. Knows none of the libraries. */
#include "http/coding.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

/* Enough that a call of the second coding is worth it. */
#define BETWEEN_MAX 16384

static const struct mh__coding *const codings[] = {
#ifdef MH__ZLIB
    &mh__coding_gzip,
    &mh__coding_x_gzip,
    &mh__coding_deflate,
#endif
#ifdef MH__BROTLI
    &mh__coding_br,
#endif
#ifdef MH__ZSTD
    &mh__coding_zstd,
#endif
    NULL,
};

/* Each name with what separates it from the one before, which the first one has as well. */
static const char accepted[] = ""
#ifdef MH__ZLIB
                               ", gzip, deflate"
#endif
#ifdef MH__BROTLI
                               ", br"
#endif
#ifdef MH__ZSTD
                               ", zstd"
#endif
    ;

static int fail(struct mh__decoder *decoder, int err, const char *text, const char **why)
{
    decoder->err = err;
    decoder->why = text;
    if (text)
        *why = text;
    return err;
}

/* ---- the list of names ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts the last element off, without the blanks around it. It may be empty (RFC 9110 section
 * 5.6.1.2). */
static mh_str take_last(mh_str *list)
{
    size_t end = list->len, at = end;
    while (at > 0 && list->ptr[at - 1] != ',')
        at--;
    list->len = at > 0 ? at - 1 : 0;
    while (at < end && is_blank(list->ptr[at]))
        at++;
    while (at < end && is_blank(list->ptr[end - 1]))
        end--;
    return at < end ? (mh_str){list->ptr + at, end - at} : (mh_str){"", 0};
}

static int add(struct mh__decoder *decoder, mh_str name, const char **why)
{
    if (name.len == 0 || mh_str_equal_nocase(name, "identity"))
        return 0;
    _Static_assert(MH__CODINGS_MAX == 2, "the text names it");
    if (decoder->count == MH__CODINGS_MAX)
        return fail(decoder, MH_ERR_CODING, "more than 2 content codings", why);
    const struct mh__coding *coding = mh__coding_find(name);
    if (!coding)
        return fail(decoder, MH_ERR_CODING, "a content coding that is not known", why);
    int err = coding->open(&decoder->state[decoder->count]);
    if (err == 0)
        decoder->coding[decoder->count++] = coding;
    return err;
}

static int add_between(struct mh__decoder *decoder)
{
    if (decoder->count < 2)
        return 0;
    decoder->between = mh__malloc(BETWEEN_MAX);
    return decoder->between ? 0 : -ENOMEM;
}

/* ---- the chain ---- */

static ssize_t copy(mh_str *in, void *data, size_t cap)
{
    size_t len = in->len < cap ? in->len : cap;
    if (len == 0)
        return 0;
    memcpy(data, in->ptr, len);
    *in = mh__str_from(*in, len);
    return (ssize_t)len;
}

/* As mh__decoder_decode(), of one of them. After an end it goes on for as long as another member
 * begins there: each takes something of *in. */
static ssize_t decode_one(struct mh__decoder *decoder, int i, mh_str *in, void *data, size_t cap,
                          const char **why)
{
    const struct mh__coding *coding = decoder->coding[i];
    const char *text = NULL;
    size_t before;
    ssize_t n;
    do {
        before = in->len;
        n = coding->decode(decoder->state[i], in, data, cap, &text);
    } while (n == MH__CODING_END && in->len > 0 && in->len < before);
    decoder->ended[i] = n == MH__CODING_END;
    if (n == MH__CODING_END && in->len > 0)
        return fail(decoder, MH_ERR_CODING, coding->goes_on, why);
    return n < 0 && n != MH__CODING_END ? fail(decoder, (int)n, text, why) : n;
}

static ssize_t decode_second(struct mh__decoder *decoder, void *data, size_t cap, const char **why)
{
    mh_str rest = {decoder->between + decoder->between_at,
                   decoder->between_len - decoder->between_at};
    ssize_t n = decode_one(decoder, 1, &rest, data, cap, why);
    decoder->between_at = decoder->between_len - rest.len;
    return n;
}

/* Gives when the second gives, and fails when one of them fails. */
static ssize_t decode_two(struct mh__decoder *decoder, mh_str *in, void *data, size_t cap,
                          const char **why)
{
    for (;;) {
        ssize_t n = decode_second(decoder, data, cap, why);
        if (n > 0 || decoder->err < 0)
            return n;
        n = decode_one(decoder, 0, in, decoder->between, BETWEEN_MAX, why);
        if (decoder->err < 0)
            return n;
        if (n <= 0)
            return decoder->ended[0] && decoder->ended[1] ? MH__CODING_END : 0;
        decoder->between_at = 0;
        decoder->between_len = (size_t)n;
    }
}

const struct mh__coding *mh__coding_find(mh_str name)
{
    for (const struct mh__coding *const *coding = codings; *coding; coding++) {
        if (mh_str_equal_nocase(name, (*coding)->name))
            return *coding;
    }
    return NULL;
}

mh_str mh__coding_accepted(void)
{
    mh_str all = {accepted, sizeof(accepted) - 1};
    return all.len > 0 ? mh__str_from(all, 2) : all;
}

int mh__decoder_open(struct mh__decoder *decoder, mh_str value, const char **why)
{
    int err = 0;
    *decoder = (struct mh__decoder){0};
    while (err == 0 && value.len > 0)
        err = add(decoder, take_last(&value), why);
    if (err == 0)
        err = add_between(decoder);
    if (err < 0)
        mh__decoder_close(decoder);
    return err;
}

ssize_t mh__decoder_decode(struct mh__decoder *decoder, mh_str *in, void *data, size_t cap,
                           const char **why)
{
    assert(cap > 0);
    if (decoder->err < 0)
        return fail(decoder, decoder->err, decoder->why, why);
    if (decoder->count == 0)
        return copy(in, data, cap);
    if (in->len > 0)
        decoder->started = true;
    if (decoder->count == 1)
        return decode_one(decoder, 0, in, data, cap, why);
    return decode_two(decoder, in, data, cap, why);
}

int mh__decoder_finish(const struct mh__decoder *decoder, const char **why)
{
    if (decoder->err < 0 && decoder->why)
        *why = decoder->why;
    if (decoder->err < 0)
        return decoder->err;
    for (int i = 0; decoder->started && i < decoder->count; i++) {
        if (decoder->ended[i])
            continue;
        *why = decoder->coding[i]->ends_early;
        return MH_ERR_CODING;
    }
    return 0;
}

void mh__decoder_close(struct mh__decoder *decoder)
{
    for (int i = 0; i < decoder->count; i++)
        decoder->coding[i]->close(decoder->state[i]);
    mh__free(decoder->between);
    *decoder = (struct mh__decoder){0};
}
