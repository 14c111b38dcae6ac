/* coding_zstd.c: zstd (RFC 8878), by its library. The window is at most 8 MB (RFC 9659 section 3).
 *
 * The library allocates for itself: hooks for it stand only in its static interface, which is of no
 * use with a shared one. */
#include "http/coding.h"

#include <errno.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "base/mem.h"
#include "base/str.h"

#define WINDOW_LOG_MAX 23

/* Magic number, descriptor, window, dictionary, content size (RFC 8878 section 3.1.1). */
#define HEADER_MAX (4 + 1 + 1 + 4 + 8)

struct frames {
    ZSTD_DStream *stream;
    unsigned header_len; /* bytes of this frame, counted up to HEADER_MAX */
    bool full;           /* the output was: there may be more without any input */
    bool ended;
    bool again; /* there was a frame before this one */
};

static int zstd_open(void **state)
{
    struct frames *frames = mh__calloc(1, sizeof(*frames));
    if (!frames)
        return -ENOMEM;
    frames->stream = ZSTD_createDStream();
    if (!frames->stream) {
        mh__free(frames);
        return -ENOMEM;
    }
    ZSTD_DCtx_setParameter(frames->stream, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    *state = frames;
    return 0;
}

static ssize_t failure(const struct frames *frames, size_t result, const char **why)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
        return -ENOMEM;
    case ZSTD_error_frameParameter_windowTooLarge:
        *why = "the zstd data asks for a window of more than 8 MB";
        break;
    case ZSTD_error_prefix_unknown:
        *why = frames->again ? mh__coding_zstd.goes_on : "not zstd data";
        break;
    case ZSTD_error_checksum_wrong:
        *why = "the checksum of the zstd data is wrong";
        break;
    default:
        *why = "the zstd data is corrupt";
        break;
    }
    return MH_ERR_CODING;
}

/* The header of a frame is fed byte by byte. A frame that lies in the input as a whole would be
 * decoded at once, and then its window is not looked at, and formats from before the standard are
 * accepted; whether it does depends on how the network has cut it. */
static size_t portion(const struct frames *frames, size_t len)
{
    return frames->header_len < HEADER_MAX && len > 1 ? 1 : len;
}

static void count(struct frames *frames, size_t taken)
{
    size_t room = HEADER_MAX - frames->header_len;
    frames->header_len += (unsigned)(taken < room ? taken : room);
}

/* One call of the library. Of the last byte of a frame it says that it is not taken yet, until all
 * output is. */
static ssize_t step(struct frames *frames, mh_str *in, void *data, size_t cap, const char **why)
{
    ZSTD_inBuffer from = {in->ptr, portion(frames, in->len), 0};
    ZSTD_outBuffer to = {data, cap, 0};
    size_t result = ZSTD_decompressStream(frames->stream, &to, &from);
    if (ZSTD_isError(result))
        return failure(frames, result, why);
    if (from.pos > 0)
        *in = mh__str_from(*in, from.pos);
    count(frames, from.pos);
    frames->full = to.pos == cap;
    if (result == 0) {
        frames->ended = frames->again = true;
        frames->header_len = 0;
    }
    if (to.pos > 0)
        return (ssize_t)to.pos;
    return frames->ended ? MH__CODING_END : 0;
}

/* Frames may follow each other (RFC 8878 section 3). The library counts calls that change nothing,
 * and fails in the end, so there are none. */
static ssize_t zstd_decode(void *state, mh_str *in, void *data, size_t cap, const char **why)
{
    struct frames *frames = state;
    if (frames->ended && in->len == 0)
        return MH__CODING_END;
    frames->ended = false;
    ssize_t n = 0;
    while (n == 0 && (in->len > 0 || frames->full))
        n = step(frames, in, data, cap, why);
    return n;
}

static void zstd_close(void *state)
{
    struct frames *frames = state;
    ZSTD_freeDStream(frames->stream);
    mh__free(frames);
}

const struct mh__coding mh__coding_zstd = {
    .name = "zstd",
    .ends_early = "the zstd data ends early",
    .goes_on = "there are bytes behind the end of the zstd data",
    .open = zstd_open,
    .decode = zstd_decode,
    .close = zstd_close,
};
