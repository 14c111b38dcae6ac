/* Any bytes as a body with content codings: pieces and small room make no difference, no more than
 * the room is used, all of the input is taken, an error stays, and it all comes to an end. */
#include "property.h"

#include <stdlib.h>
#include <string.h>

#include "http/coding.h"

#define OUT_MAX 65536u /* of a bomb, the beginning is enough */

static const char *const values[] = {
    "gzip",     "deflate",    "br",         "zstd",       "gzip, br", "br, gzip",
    "zstd, br", "gzip, zstd", "gzip, gzip", "deflate,br", "x-gzip",   "identity",
};

struct decoding {
    struct mh__decoder decoder;
    char out[OUT_MAX];
    size_t len;
    int err;      /* of any kind; 0: it is complete */
    ssize_t last; /* what decoding it said at last */
    bool full;
};

static void error_stays(struct decoding *d, const char *why)
{
    char byte;
    const char *again = NULL, *finally = NULL;
    mh_str in = {"x", 1};
    HOLDS(d->err == MH_ERR_CODING && why);
    HOLDS(mh__decoder_decode(&d->decoder, &in, &byte, 1, &again) == d->err);
    HOLDS(mh__decoder_finish(&d->decoder, &finally) == d->err);
    HOLDS(again == why && finally == why);
}

/* Each call takes something, gives something, or says that there is nothing more to do. */
static void feed(struct decoding *d, mh_str in, size_t cap)
{
    const char *why = NULL;
    while (d->err == 0 && !d->full) {
        size_t left = OUT_MAX - d->len, room = cap < left ? cap : left;
        ssize_t n = mh__decoder_decode(&d->decoder, &in, d->out + d->len, room, &why);
        d->last = n;
        if (n == 0 || n == MH__CODING_END) {
            HOLDS(in.len == 0);
            return;
        }
        HOLDS(n < 0 || (size_t)n <= room);
        d->err = n < 0 ? (int)n : 0;
        d->len += n > 0 ? (size_t)n : 0;
        d->full = d->len == OUT_MAX;
        if (d->err < 0)
            error_stays(d, why);
    }
}

/* From a block of its own size. */
static void feed_copy(struct decoding *d, mh_str piece, size_t cap)
{
    char *block = malloc(piece.len);
    HOLDS(block || piece.len == 0);
    if (piece.len > 0)
        memcpy(block, piece.ptr, piece.len);
    feed(d, (mh_str){block, piece.len}, cap);
    free(block);
}

static void begin(struct decoding *d, const char *value)
{
    const char *why = NULL;
    d->len = 0;
    d->full = false;
    d->err = mh__decoder_open(&d->decoder, mh_str_from(value), &why);
    HOLDS(d->err == 0 || (d->err == MH_ERR_CODING && why)); /* a build may lack some */
}

static void end(struct decoding *d)
{
    const char *why = NULL;
    if (d->err == 0 && !d->full) {
        d->err = mh__decoder_finish(&d->decoder, &why);
        HOLDS(d->err == 0 || (d->err == MH_ERR_CODING && why));
        if (d->decoder.started && d->decoder.count > 0)
            HOLDS((d->last == MH__CODING_END) == (d->err == 0));
    }
    mh__decoder_close(&d->decoder);
}

static void decode_whole(struct decoding *d, const char *value, mh_str text)
{
    begin(d, value);
    feed_copy(d, text, OUT_MAX);
    end(d);
}

/* A cut is the size of a piece, less one, and the room for what comes out of the next but one. */
static void decode_pieces(struct decoding *d, const char *value, const struct fuzz_input *input)
{
    mh_str text = input->text;
    begin(d, value);
    for (size_t i = 0; text.len > 0; i++) {
        size_t count = input->cut_count;
        size_t piece = count ? 1u + input->cuts[i % count] : 1;
        size_t cap = count ? 1u + input->cuts[(i + 2) % count] : 1;
        piece = piece < text.len ? piece : text.len;
        feed_copy(d, (mh_str){text.ptr, piece}, cap);
        text = (mh_str){text.ptr + piece, text.len - piece};
    }
    end(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoding whole, pieces;
    struct fuzz_input input;
    if (!fuzz_input(&input, data, size))
        return 0;
    const char *value = values[input.variant % (sizeof values / sizeof *values)];
    decode_whole(&whole, value, input.text);
    decode_pieces(&pieces, value, &input);
    /* How much came before an error, the libraries do not promise. */
    size_t shorter = whole.len < pieces.len ? whole.len : pieces.len;
    HOLDS(memcmp(whole.out, pieces.out, shorter) == 0);
    if (whole.err == 0 && pieces.err == 0)
        HOLDS(whole.len == pieces.len);
    if (!whole.full && !pieces.full)
        HOLDS(whole.err == pieces.err);
    return 0;
}
