/* coding_brotli.c: br (RFC 7932), by Google's library. Its memory is bounded by the format: a
 * window of at most 16 MB, and the tables of one block. */
#include "http/coding.h"

#include <errno.h>

#include <brotli/decode.h>

#include "base/mem.h"
#include "base/str.h"

static void *allocate(void *opaque, size_t size)
{
    (void)opaque;
    return mh__malloc(size);
}

static void release(void *opaque, void *ptr)
{
    (void)opaque;
    mh__free(ptr);
}

static int br_open(void **state)
{
    *state = BrotliDecoderCreateInstance(allocate, release, NULL);
    return *state ? 0 : -ENOMEM;
}

static ssize_t failure(const BrotliDecoderState *br, const char **why)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(br);
    if (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
        code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES)
        return -ENOMEM;
    *why = "the br data is corrupt";
    return MH_ERR_CODING;
}

/* What it made before an error, or before the end, is handed out first: it says either again in the
 * next call. */
static ssize_t br_decode(void *state, mh_str *in, void *data, size_t cap, const char **why)
{
    if (BrotliDecoderIsFinished(state))
        return MH__CODING_END;
    const uint8_t *next_in = (const uint8_t *)in->ptr;
    uint8_t *next_out = data;
    size_t left = in->len, room = cap;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(state, &left, &next_in, &room, &next_out, NULL);
    if (left < in->len)
        *in = mh__str_from(*in, in->len - left);
    if (room < cap)
        return (ssize_t)(cap - room);
    if (result == BROTLI_DECODER_RESULT_ERROR)
        return failure(state, why);
    return result == BROTLI_DECODER_RESULT_SUCCESS ? MH__CODING_END : 0;
}

static void br_close(void *state)
{
    BrotliDecoderDestroyInstance(state);
}

const struct mh__coding mh__coding_br = {
    .name = "br",
    .ends_early = "the br data ends early",
    .goes_on = "there are bytes behind the end of the br data",
    .open = br_open,
    .decode = br_decode,
    .close = br_close,
};
