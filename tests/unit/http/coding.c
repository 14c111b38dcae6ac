/* Content codings, undone: lib/http/coding*.c, against the encoders of the same libraries. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <brotli/encode.h>
#include <criterion/criterion.h>
#include <minihttp/buffer.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/str.h"
#include "http/coding.h"
#include "../scarce.h"

TestSuite(coding, .timeout = 120);

/* ---- bytes ---- */

#define SMALL MH_STR("Hello, hello, hello! \0\1\2\3 hello again.")

static mh_buf copy_of(mh_str text)
{
    mh_buf out = {0};
    cr_assert_eq(mh_buf_append(&out, text.ptr, text.len), 0);
    return out;
}

/* Neither noise nor all the same. */
static mh_buf large_text(void)
{
    mh_buf out = {0};
    uint32_t number = 1;
    while (out.len < 200000) {
        number = number * 1664525 + 1013904223;
        cr_assert_eq(mh_buf_printf(&out, "line %x of the text\n", number >> 12), 0);
    }
    return out;
}

static void append(mh_buf *out, mh_buf more)
{
    cr_assert_eq(mh_buf_append(out, more.data, more.len), 0);
    mh_buf_free(&more);
}

/* ---- the encoders ---- */

enum { RAW = -15, ZLIB = 15, GZIP = 15 + 16 };

static mh_buf deflated_by(z_stream *z, mh_str text)
{
    mh_buf out = {0};
    unsigned char block[4096];
    z->next_in = (Bytef *)(uintptr_t)text.ptr;
    z->avail_in = (uInt)text.len;
    int err;
    do {
        z->next_out = block;
        z->avail_out = sizeof block;
        err = deflate(z, Z_FINISH);
        cr_assert_eq(mh_buf_append(&out, (char *)block, sizeof block - z->avail_out), 0);
    } while (err == Z_OK);
    cr_assert_eq(err, Z_STREAM_END);
    deflateEnd(z);
    return out;
}

static mh_buf deflated(int format, mh_str text)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY), Z_OK);
    return deflated_by(&z, text);
}

static mh_buf gzip(mh_str text)
{
    return deflated(GZIP, text);
}

static mh_buf zlib(mh_str text)
{
    return deflated(ZLIB, text);
}

static mh_buf raw(mh_str text)
{
    return deflated(RAW, text);
}

static mh_buf br(mh_str text)
{
    size_t len = BrotliEncoderMaxCompressedSize(text.len) + 64;
    uint8_t *block = malloc(len);
    cr_assert(block);
    cr_assert(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, text.len, (const uint8_t *)text.ptr,
                                    &len, block));
    mh_buf out = copy_of((mh_str){(char *)block, len});
    free(block);
    return out;
}

/* As a stream, so that its length does not stand in front. */
static mh_buf zstd_with_window(mh_str text, int window_log)
{
    size_t cap = ZSTD_compressBound(text.len) + 64;
    char *block = malloc(cap);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    cr_assert(block && context);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_outBuffer to = {block, cap, 0};
    ZSTD_inBuffer from = {text.ptr, text.len, 0};
    ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue);
    cr_assert_eq(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end), 0);
    mh_buf out = copy_of((mh_str){block, to.pos});
    ZSTD_freeCCtx(context);
    free(block);
    return out;
}

static mh_buf zstd(mh_str text)
{
    return zstd_with_window(text, 0);
}

static mh_buf zstd_with_length(mh_str text)
{
    size_t cap = ZSTD_compressBound(text.len);
    char *block = malloc(cap);
    cr_assert(block);
    mh_buf out = copy_of((mh_str){block, ZSTD_compress(block, cap, text.ptr, text.len, 3)});
    free(block);
    return out;
}

static mh_buf twice(mh_buf (*first)(mh_str), mh_buf (*second)(mh_str), mh_str text)
{
    mh_buf inner = first(text), out = second(mh_buf_str(&inner));
    mh_buf_free(&inner);
    return out;
}

static mh_buf gzip_br(mh_str text)
{
    return twice(gzip, br, text);
}

static mh_buf zstd_gzip(mh_str text)
{
    return twice(zstd, gzip, text);
}

static mh_buf gzip_gzip(mh_str text)
{
    return twice(gzip, gzip, text);
}

static mh_buf br_zstd(mh_str text)
{
    return twice(br, zstd, text);
}

static const struct way {
    const char *value;
    mh_buf (*encode)(mh_str text);
} ways[] = {
    {"identity", copy_of},
    {"gzip", gzip},
    {"x-gzip", gzip},
    {"deflate", zlib},
    {"deflate", raw},
    {"br", br},
    {"zstd", zstd},
    {"zstd", zstd_with_length},
    {"gzip, br", gzip_br},
    {"zstd, gzip", zstd_gzip},
    {"gzip, gzip", gzip_gzip},
    {"br,zstd", br_zstd},
};
static const struct way *const ways_end = ways + sizeof ways / sizeof *ways;

/* ---- decoding, and what came of it ---- */

struct decoding {
    struct mh__decoder decoder;
    mh_buf out;
    int err;      /* of any kind; 0: it is complete */
    ssize_t last; /* what decoding it said at last */
    const char *why;
};

static void begin(struct decoding *d, const char *value)
{
    *d = (struct decoding){0};
    d->err = mh__decoder_open(&d->decoder, mh_str_from(value), &d->why);
}

/* A piece, in a block of its own size. */
static void feed(struct decoding *d, mh_str piece, size_t cap)
{
    char *copy = malloc(piece.len ? piece.len : 1), *block = malloc(cap);
    cr_assert(copy && block);
    if (piece.len)
        memcpy(copy, piece.ptr, piece.len);
    mh_str in = {copy, piece.len};
    ssize_t n = 1;
    while (d->err == 0 && n > 0) {
        d->last = n = mh__decoder_decode(&d->decoder, &in, block, cap, &d->why);
        cr_assert_leq(n, (ssize_t)cap);
        if (n > 0)
            cr_assert_eq(mh_buf_append(&d->out, block, (size_t)n), 0);
        else if (n != MH__CODING_END)
            d->err = (int)n;
    }
    if (d->err == 0)
        cr_assert_eq(in.len, 0, "something is left over");
    free(copy);
    free(block);
}

static void end(struct decoding *d)
{
    if (d->err == 0) {
        d->err = mh__decoder_finish(&d->decoder, &d->why);
        if (d->decoder.started && d->decoder.count > 0)
            cr_expect((d->last == MH__CODING_END) == (d->err == 0), "what finish says is no news");
    }
    mh__decoder_close(&d->decoder);
    mh__decoder_close(&d->decoder);
}

/* In pieces of that size. */
static struct decoding decode(const char *value, mh_str coded, size_t piece, size_t cap)
{
    struct decoding d;
    begin(&d, value);
    for (size_t at = 0; at < coded.len; at += piece) {
        size_t left = coded.len - at;
        feed(&d, (mh_str){coded.ptr + at, left < piece ? left : piece}, cap);
    }
    end(&d);
    return d;
}

static void expect_text(struct decoding d, mh_str text, const char *value)
{
    cr_expect_eq(d.err, 0, "%s: %s", value, d.why);
    cr_expect(mh__str_same(mh_buf_str(&d.out), text), "%s: other bytes", value);
    mh_buf_free(&d.out);
}

static void expect_failure(struct decoding d, const char *why)
{
    cr_expect_eq(d.err, MH_ERR_CODING, "%s: %s", why, mh_errname(d.err));
    cr_expect(d.why && strcmp(d.why, why) == 0, "%s, not: %s", d.why, why);
    mh_buf_free(&d.out);
}

/* Whole, byte by byte, with little room. */
static void fails(const char *value, mh_str coded, const char *why)
{
    expect_failure(decode(value, coded, coded.len + 1, 4096), why);
    expect_failure(decode(value, coded, 1, 4096), why);
    expect_failure(decode(value, coded, coded.len + 1, 1), why);
    expect_failure(decode(value, coded, 1, 1), why);
}

static void gives(const char *value, mh_str coded, mh_str text)
{
    expect_text(decode(value, coded, coded.len + 1, 4096), text, value);
    expect_text(decode(value, coded, 1, 4096), text, value);
    expect_text(decode(value, coded, coded.len + 1, 1), text, value);
    expect_text(decode(value, coded, 1, 1), text, value);
}

/* ---- names ---- */

Test(coding, the_names_that_are_known)
{
    cr_assert(mh_str_equal(mh__coding_accepted(), "gzip, deflate, br, zstd"));
    static const char *const names[] = {"gzip", "x-gzip", "deflate", "br", "zstd"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct mh__coding *coding = mh__coding_find(mh_str_from(names[i]));
        cr_assert(coding);
        cr_assert_str_eq(coding->name, names[i]);
    }
    cr_assert_eq(mh__coding_find(MH_STR("GZip")), &mh__coding_gzip);
    cr_assert_null(mh__coding_find(MH_STR("compress")));
    cr_assert_null(mh__coding_find(MH_STR("gzi")));
    cr_assert_null(mh__coding_find(MH_STR("")));
    cr_assert_null(mh__coding_find((mh_str){0}));
}

static int count_of(mh_str value)
{
    struct mh__decoder decoder;
    const char *why = NULL;
    int err = mh__decoder_open(&decoder, value, &why);
    int count = decoder.count;
    mh__decoder_close(&decoder);
    return err < 0 ? err : count;
}

Test(coding, the_list)
{
    cr_expect_eq(count_of((mh_str){0}), 0);
    cr_expect_eq(count_of(MH_STR("")), 0);
    cr_expect_eq(count_of(MH_STR(" ,\t, ,")), 0);
    cr_expect_eq(count_of(MH_STR("identity, IDENTITY")), 0);
    cr_expect_eq(count_of(MH_STR("gzip")), 1);
    cr_expect_eq(count_of(MH_STR("\tgzip ,")), 1);
    cr_expect_eq(count_of(MH_STR(",,gzip,identity, bR\t")), 2);
    cr_expect_eq(count_of(MH_STR("gzip br")), MH_ERR_CODING);
    cr_expect_eq(count_of(MH_STR("gzip;q=1")), MH_ERR_CODING);
}

Test(coding, unknown_ones_and_too_many)
{
    fails("compress", MH_STR(""), "a content coding that is not known");
    fails("gzip, compress", MH_STR(""), "a content coding that is not known");
    fails("compress, gzip", MH_STR(""), "a content coding that is not known");
    fails("gzip, gzip, gzip", MH_STR(""), "more than 2 content codings");
}

Test(coding, a_decoder_that_was_never_opened)
{
    struct decoding d = {0};
    feed(&d, SMALL, 7);
    end(&d);
    expect_text(d, SMALL, "{0}");
}

/* ---- what was encoded comes back ---- */

Test(coding, each_small)
{
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(SMALL);
        gives(way->value, mh_buf_str(&coded), SMALL);
        mh_buf_free(&coded);
    }
}

Test(coding, each_of_nothing)
{
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(MH_STR(""));
        gives(way->value, mh_buf_str(&coded), MH_STR(""));
        mh_buf_free(&coded);
    }
}

Test(coding, each_large)
{
    mh_buf text = large_text();
    static const size_t sizes[] = {1, 7, 1000, 65536, 1000000};
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(mh_buf_str(&text));
        for (size_t i = 0; i < 5; i++) {
            mh_str all = mh_buf_str(&coded), whole = mh_buf_str(&text);
            expect_text(decode(way->value, all, sizes[i], 65536), whole, way->value);
            expect_text(decode(way->value, all, 4096, sizes[i]), whole, way->value);
        }
        mh_buf_free(&coded);
    }
    mh_buf_free(&text);
}

Test(coding, each_cut_once)
{
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(SMALL);
        for (size_t at = 0; at <= coded.len; at++) {
            struct decoding d;
            begin(&d, way->value);
            feed(&d, (mh_str){coded.data, at}, 5);
            feed(&d, (mh_str){coded.data + at, coded.len - at}, 5);
            end(&d);
            expect_text(d, SMALL, way->value);
        }
        mh_buf_free(&coded);
    }
}

Test(coding, no_bytes_at_all)
{
    for (const struct way *way = ways; way < ways_end; way++) {
        struct decoding d;
        begin(&d, way->value);
        end(&d);
        expect_text(d, MH_STR(""), way->value);
        begin(&d, way->value);
        feed(&d, (mh_str){0}, 1);
        feed(&d, MH_STR(""), 1);
        end(&d);
        expect_text(d, MH_STR(""), way->value);
    }
}

/* The library that counts useless calls must not get any. */
Test(coding, asked_often_for_what_is_not_there)
{
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(SMALL);
        struct decoding d;
        begin(&d, way->value);
        for (size_t at = 0; at < coded.len; at++) {
            feed(&d, (mh_str){coded.data + at, 1}, 100);
            for (int i = 0; i < 50; i++)
                feed(&d, (mh_str){0}, 100);
        }
        end(&d);
        expect_text(d, SMALL, way->value);
        mh_buf_free(&coded);
    }
}

/* ---- and what is not well, does not ---- */

static void cut_short(const char *value, mh_buf coded, const char *why)
{
    for (size_t len = 1; len < coded.len; len++)
        fails(value, (mh_str){coded.data, len}, why);
    mh_buf_free(&coded);
}

Test(coding, truncated_at_every_byte)
{
    cut_short("gzip", gzip(SMALL), "the gzip data ends early");
    cut_short("x-gzip", gzip(SMALL), "the gzip data ends early");
    cut_short("deflate", zlib(SMALL), "the deflate data ends early");
    cut_short("deflate", raw(SMALL), "the deflate data ends early");
    cut_short("br", br(SMALL), "the br data ends early");
    cut_short("zstd", zstd(SMALL), "the zstd data ends early");
    cut_short("zstd", zstd_with_length(SMALL), "the zstd data ends early");
    cut_short("gzip, br", gzip_br(SMALL), "the br data ends early");
    cut_short("zstd, gzip", zstd_gzip(SMALL), "the gzip data ends early");
}

static void goes_on(const char *value, mh_buf coded, mh_str more, const char *why)
{
    cr_assert_eq(mh_buf_append(&coded, more.ptr, more.len), 0);
    fails(value, mh_buf_str(&coded), why);
    mh_buf_free(&coded);
}

Test(coding, garbage_behind_the_end)
{
    static const char zlib_why[] = "there are bytes behind the end of the deflate data";
    goes_on("gzip", gzip(SMALL), MH_STR("x"), mh__coding_gzip.goes_on);
    goes_on("gzip", gzip(SMALL), MH_STR("\0"), mh__coding_gzip.goes_on);
    goes_on("gzip", gzip(SMALL), MH_STR("\x1f\x8a"), "not gzip data");
    goes_on("gzip", gzip(SMALL), MH_STR("\x1f"), "the gzip data ends early");
    goes_on("deflate", zlib(SMALL), MH_STR("x"), zlib_why);
    goes_on("deflate", raw(SMALL), MH_STR("x"), zlib_why);
    goes_on("deflate", zlib(SMALL), MH_STR("\x1f\x8b"), zlib_why);
    goes_on("br", br(SMALL), MH_STR("x"), "there are bytes behind the end of the br data");
    goes_on("zstd", zstd(SMALL), MH_STR("xxxx"), "there are bytes behind the end of the zstd data");
    goes_on("gzip, br", gzip_br(SMALL), MH_STR("xx"), mh__coding_br.goes_on);
}

/* The inner one goes on, the outer one is well. */
Test(coding, garbage_behind_the_end_of_the_second_coding)
{
    mh_buf inner = br(SMALL);
    cr_assert_eq(mh_buf_append(&inner, "x", 1), 0);
    mh_buf outer = gzip(mh_buf_str(&inner));
    fails("br, gzip", mh_buf_str(&outer), "there are bytes behind the end of the br data");
    mh_buf_free(&inner);
    mh_buf_free(&outer);
}

Test(coding, the_second_coding_is_cut_short)
{
    mh_buf inner = br(SMALL);
    for (size_t len = 1; len < inner.len; len++) {
        mh_buf outer = gzip((mh_str){inner.data, len});
        fails("br, gzip", mh_buf_str(&outer), "the br data ends early");
        mh_buf_free(&outer);
    }
    mh_buf outer = gzip(MH_STR("")); /* bytes did come, and nobody's br data is empty */
    fails("br, gzip", mh_buf_str(&outer), "the br data ends early");
    mh_buf_free(&inner);
    mh_buf_free(&outer);
}

Test(coding, not_what_it_says)
{
    fails("gzip", MH_STR("<!DOCTYPE html><title>plain</title>"), "not gzip data");
    fails("gzip", MH_STR("\x1f\x8b\x07\0\0\0\0\0\0\0\0\0\0"), "the gzip data is corrupt");
    fails("deflate", MH_STR("\x78\xbb\0\0\0\0\0\0"),
          "the deflate data is corrupt"); /* dictionary */
    fails("deflate", MH_STR("\xff\xff\xff\xff"), "the deflate data is corrupt");
    fails("br", MH_STR("\xff\xff\xff\xff\xff\xff\xff\xff"), "the br data is corrupt");
    fails("zstd", MH_STR("plain text that is longer"), "not zstd data");
    fails("zstd", MH_STR("\x27\xb5\x2f\xfd plain text that is longer"), "not zstd data"); /* v0.7 */
}

/* The byte that many from the end is another one. */
static void wrong_at(const char *value, mh_buf coded, size_t from_end, const char *why)
{
    coded.data[coded.len - from_end] ^= 1;
    fails(value, mh_buf_str(&coded), why);
    mh_buf_free(&coded);
}

Test(coding, wrong_checksums_and_lengths)
{
    for (size_t i = 1; i <= 4; i++) {
        wrong_at("gzip", gzip(SMALL), 4 + i, "the checksum of the gzip data is wrong");
        wrong_at("gzip", gzip(SMALL), i, "the length of the gzip data is wrong");
        wrong_at("deflate", zlib(SMALL), i, "the checksum of the deflate data is wrong");
        wrong_at("zstd", zstd(SMALL), i, "the checksum of the zstd data is wrong");
    }
}

Test(coding, an_error_stays)
{
    static const char *const values[] = {"gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct mh__decoder decoder;
        const char *why = NULL, *again = NULL, *finally = NULL;
        char data[64];
        mh_str in = MH_STR("\xff\xff\xff\xff\xff\xff\xff\xff");
        cr_assert_eq(mh__decoder_open(&decoder, mh_str_from(values[i]), &why), 0);
        cr_assert_eq(mh__decoder_decode(&decoder, &in, data, sizeof data, &why), MH_ERR_CODING);
        in = (mh_str){0};
        cr_expect_eq(mh__decoder_decode(&decoder, &in, data, 1, &again), MH_ERR_CODING);
        in = MH_STR("more");
        cr_expect_eq(mh__decoder_decode(&decoder, &in, data, 1, &again), MH_ERR_CODING);
        cr_expect_eq(mh__decoder_finish(&decoder, &finally), MH_ERR_CODING);
        cr_expect(why && why == again && why == finally);
        mh__decoder_close(&decoder);
    }
}

/* ---- what is special about one of them ---- */

Test(coding, gzip_with_every_field)
{
    z_stream z = {0};
    gz_header header = {.time = 1,
                        .os = 3,
                        .extra = (Bytef *)"ab\4\0extr",
                        .extra_len = 8,
                        .name = (Bytef *)"a file's name",
                        .comment = (Bytef *)"what it is",
                        .hcrc = 1};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflateSetHeader(&z, &header), Z_OK);
    mh_buf coded = deflated_by(&z, SMALL);
    cr_assert_eq(coded.data[3] & 0x1e, 0x1e);
    gives("gzip", mh_buf_str(&coded), SMALL);
    for (size_t len = 1; len < coded.len; len++)
        fails("gzip", (mh_str){coded.data, len}, "the gzip data ends early");
    coded.data[4] ^= 1; /* the time; the checksum of the header tells */
    fails("gzip", mh_buf_str(&coded), "the gzip data is corrupt");
    mh_buf_free(&coded);
}

Test(coding, gzip_of_several_members)
{
    mh_buf coded = gzip(MH_STR("one, "));
    append(&coded, gzip(MH_STR("")));
    append(&coded, gzip(MH_STR("two, ")));
    append(&coded, gzip(MH_STR("three")));
    gives("gzip", mh_buf_str(&coded), MH_STR("one, two, three"));
    mh_buf outer = br(mh_buf_str(&coded));
    gives("gzip, br", mh_buf_str(&outer), MH_STR("one, two, three"));
    coded.data[coded.len - 1] ^= 1;
    fails("gzip", mh_buf_str(&coded), "the length of the gzip data is wrong");
    mh_buf_free(&coded);
    mh_buf_free(&outer);
}

Test(coding, many_empty_members)
{
    mh_buf coded = {0};
    for (int i = 0; i < 1000; i++)
        append(&coded, gzip(MH_STR("")));
    gives("gzip", mh_buf_str(&coded), MH_STR(""));
    mh_buf_free(&coded);
}

/* One byte comes out of the two that tell the format. */
Test(coding, raw_deflate_as_short_as_can_be)
{
    gives("deflate", MH_STR("\x03\0"), MH_STR(""));
    gives("deflate", MH_STR("\x4b\x04\0"), MH_STR("a"));
    gives("deflate",
          MH_STR("\1\3\0\xfc\xff"
                 "abc"),
          MH_STR("abc"));
}

/* Bits that are to be passed over, and look like the method of the zlib format: but then its check
 * bits, or its window, are not right. */
Test(coding, raw_deflate_that_almost_looks_like_zlib)
{
    gives("deflate", MH_STR("\x08\5\0\xfa\xffhello\3\0"), MH_STR("hello"));
    gives("deflate",
          MH_STR("\x88\x1c\0\xe3\xff"
                 "hello and hello and goodbye.\3\0"),
          MH_STR("hello and hello and goodbye."));
}

/* What the sender has flushed does not wait for more to come. */
static void comes_at_once(const char *value, mh_str coded, mh_str text)
{
    struct decoding d;
    begin(&d, value);
    feed(&d, coded, 5);
    cr_expect_eq(d.err, 0);
    cr_expect(mh__str_same(mh_buf_str(&d.out), text), "%s: %zu bytes", value, d.out.len);
    mh__decoder_close(&d.decoder);
    mh_buf_free(&d.out);
}

Test(coding, what_was_flushed_comes_at_once)
{
    static char block[1024];
    mh_str text = SMALL;
    z_stream z = {.next_in = (Bytef *)(uintptr_t)text.ptr, .avail_in = (uInt)text.len};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *)block;
    z.avail_out = sizeof block;
    deflate(&z, Z_SYNC_FLUSH);
    comes_at_once("gzip", (mh_str){block, z.total_out}, text);
    deflateEnd(&z);

    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_outBuffer to = {block, sizeof block, 0};
    ZSTD_inBuffer from = {text.ptr, text.len, 0};
    cr_assert_eq(ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush), 0);
    comes_at_once("zstd", (mh_str){block, to.pos}, text);
    ZSTD_freeCCtx(context);

    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    const uint8_t *next = (const uint8_t *)text.ptr;
    uint8_t *end_of_out = (uint8_t *)block;
    size_t left = text.len, room = sizeof block;
    cr_assert(BrotliEncoderCompressStream(state, BROTLI_OPERATION_FLUSH, &left, &next, &room,
                                          &end_of_out, NULL));
    comes_at_once("br", (mh_str){block, sizeof block - room}, text);
    BrotliEncoderDestroyInstance(state);
}

Test(coding, zstd_of_several_frames)
{
    mh_buf coded = zstd(MH_STR("one, "));
    append(&coded, copy_of(MH_STR("\x53\x2a\x4d\x18\5\0\0\0what?"))); /* one to be skipped */
    append(&coded, zstd_with_length(MH_STR("two")));
    gives("zstd", mh_buf_str(&coded), MH_STR("one, two"));
    mh_buf_free(&coded);
}

Test(coding, zstd_with_a_window_of_8_mb_and_no_more)
{
    static const char why[] = "the zstd data asks for a window of more than 8 MB";
    mh_buf fits = zstd_with_window(SMALL, 23), huge = zstd_with_window(SMALL, 24);
    gives("zstd", mh_buf_str(&fits), SMALL);
    fails("zstd", mh_buf_str(&huge), why);
    mh_buf_free(&fits);
    mh_buf_free(&huge);
}

/* The second frame is looked at as the first one is. */
Test(coding, zstd_with_a_window_that_is_too_large_later)
{
    mh_buf coded = zstd(SMALL);
    append(&coded, copy_of(MH_STR("\x28\xb5\x2f\xfd\x40\x70\0\0\3\x08\0a")));
    fails("zstd", mh_buf_str(&coded), "the zstd data asks for a window of more than 8 MB");
    mh_buf_free(&coded);
}

/* A frame that says how long it is, is complete, and fits into the output, is no exception. */
Test(coding, zstd_with_a_window_that_nobody_needs)
{
    char text[256];
    memset(text, 'a', sizeof text);
    gives("zstd", MH_STR("\x28\xb5\x2f\xfd\x40\x68\0\0\3\x08\0a"), (mh_str){text, sizeof text});
    fails("zstd", MH_STR("\x28\xb5\x2f\xfd\x40\x70\0\0\3\x08\0a"),
          "the zstd data asks for a window of more than 8 MB");
}

/* ---- little in, much out ---- */

#define BOMB ((size_t)256 << 20)

static void grow_gzip(mh_buf *out, const char *zeros, size_t len)
{
    static unsigned char block[65536];
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 1, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY), Z_OK);
    for (size_t made = 0; made < BOMB; made += len) {
        z.next_in = (Bytef *)(uintptr_t)zeros;
        z.avail_in = (uInt)len;
        do {
            z.next_out = block;
            z.avail_out = sizeof block;
            deflate(&z, made + len == BOMB ? Z_FINISH : Z_NO_FLUSH);
            cr_assert_eq(mh_buf_append(out, (char *)block, sizeof block - z.avail_out), 0);
        } while (z.avail_out == 0);
    }
    deflateEnd(&z);
}

static void grow_br(mh_buf *out, const char *zeros, size_t len)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, 1);
    BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, 24);
    for (size_t made = 0; made < BOMB; made += len) {
        const uint8_t *in = (const uint8_t *)zeros;
        size_t left = len, none = 0;
        bool last = made + len == BOMB;
        while (left > 0 || BrotliEncoderHasMoreOutput(state) ||
               (last && !BrotliEncoderIsFinished(state))) {
            BrotliEncoderCompressStream(state,
                                        last ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_PROCESS,
                                        &left, &in, &none, NULL, NULL);
            size_t got = 0;
            const uint8_t *some = BrotliEncoderTakeOutput(state, &got);
            if (got > 0)
                cr_assert_eq(mh_buf_append(out, (const char *)some, got), 0);
        }
    }
    BrotliEncoderDestroyInstance(state);
}

static void grow_zstd(mh_buf *out, const char *zeros, size_t len)
{
    static char block[65536];
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    for (size_t made = 0; made < BOMB; made += len) {
        ZSTD_inBuffer from = {zeros, len, 0};
        bool last = made + len == BOMB, more = true;
        while (more) {
            ZSTD_outBuffer to = {block, sizeof block, 0};
            size_t left =
                ZSTD_compressStream2(context, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
            cr_assert(!ZSTD_isError(left));
            cr_assert_eq(mh_buf_append(out, block, to.pos), 0);
            more = last ? left > 0 : from.pos < from.size;
        }
    }
    ZSTD_freeCCtx(context);
}

static long peak_kb(void)
{
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* No more than a few windows of memory, whatever comes out; a sanitizer keeps what was freed. */
static void explodes(const char *value, mh_str coded, const char *zeros)
{
    static char data[65536];
    struct mh__decoder decoder;
    const char *why = NULL;
    long before = peak_kb();
    size_t total = 0;
    ssize_t n;
    cr_assert_eq(mh__decoder_open(&decoder, mh_str_from(value), &why), 0);
    while ((n = mh__decoder_decode(&decoder, &coded, data, sizeof data, &why)) > 0) {
        cr_assert_eq(memcmp(data, zeros, (size_t)n), 0);
        total += (size_t)n;
    }
    cr_expect_eq(n, MH__CODING_END, "%s: %s", value, why);
    cr_expect_eq(total, BOMB, "%s: %zu bytes", value, total);
    cr_expect_eq(mh__decoder_finish(&decoder, &why), 0);
    mh__decoder_close(&decoder);
    cr_expect_lt(peak_kb() - before, 96 << 10, "%s took %ld kB", value, peak_kb() - before);
}

static void bomb(const char *value, void (*grow)(mh_buf *, const char *, size_t))
{
    size_t len = (size_t)1 << 20;
    char *zeros = calloc(1, len);
    cr_assert(zeros);
    mh_buf coded = {0};
    grow(&coded, zeros, len);
    cr_expect_lt(coded.len, 2u << 20);
    explodes(value, mh_buf_str(&coded), zeros);
    mh_buf_free(&coded);
    free(zeros);
}

Test(coding, a_bomb_of_gzip)
{
    bomb("gzip", grow_gzip);
}

Test(coding, a_bomb_of_br)
{
    bomb("br", grow_br);
}

Test(coding, a_bomb_of_zstd)
{
    bomb("zstd", grow_zstd);
}

/* The bomb again, inside of another coding: it is small enough to be given whole to the second. */
Test(coding, a_bomb_in_a_bomb)
{
    size_t len = (size_t)1 << 20;
    char *zeros = calloc(1, len);
    cr_assert(zeros);
    mh_buf inner = {0};
    grow_gzip(&inner, zeros, len);
    mh_buf outer = gzip(mh_buf_str(&inner));
    cr_expect_lt(outer.len, 16384);
    explodes("gzip, gzip", mh_buf_str(&outer), zeros);
    mh_buf_free(&inner);
    mh_buf_free(&outer);
    free(zeros);
}

/* ---- no memory ---- */

/* libzstd allocates where nobody can look; so it is this file that says so in its place. */
static bool zstd_cannot_begin, zstd_cannot_go_on;

static void *the_real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (!symbol)
        abort();
    return symbol;
}

ZSTD_DStream *ZSTD_createDStream(void)
{
    ZSTD_DStream *(*real)(void);
    void *symbol = the_real("ZSTD_createDStream");
    memcpy(&real, &symbol, sizeof real);
    return zstd_cannot_begin ? NULL : real();
}

size_t ZSTD_decompressStream(ZSTD_DStream *stream, ZSTD_outBuffer *out, ZSTD_inBuffer *in)
{
    size_t (*real)(ZSTD_DStream *, ZSTD_outBuffer *, ZSTD_inBuffer *);
    void *symbol = the_real("ZSTD_decompressStream");
    memcpy(&real, &symbol, sizeof real);
    return zstd_cannot_go_on ? (size_t)-ZSTD_error_memory_allocation : real(stream, out, in);
}

Test(coding, zstd_without_memory)
{
    struct decoding d;
    zstd_cannot_begin = true;
    begin(&d, "gzip, zstd");
    cr_expect_eq(d.err, -ENOMEM);
    zstd_cannot_begin = false;
    zstd_cannot_go_on = true;
    begin(&d, "gzip, zstd");
    feed(&d, SMALL, 10);
    cr_expect_eq(d.err, -ENOMEM);
    zstd_cannot_go_on = false;
    mh_str in = SMALL;
    cr_expect_eq(mh__decoder_decode(&d.decoder, &in, (char[1]){0}, 1, &d.why), -ENOMEM);
    cr_expect_eq(mh__decoder_finish(&d.decoder, &d.why), -ENOMEM);
    mh__decoder_close(&d.decoder);
}

static bool works_with(int allocations, const struct way *way, mh_str coded, mh_str text)
{
    static char data[300000];
    struct mh__decoder decoder;
    const char *why = NULL;
    size_t len = 0;
    allocations_left = allocations;
    ssize_t n = mh__decoder_open(&decoder, mh_str_from(way->value), &why);
    if (n == 0) {
        while ((n = mh__decoder_decode(&decoder, &coded, data + len, sizeof data - len, &why)) > 0)
            len += (size_t)n;
    }
    allocations_left = -1;
    mh__decoder_close(&decoder);
    cr_expect(n == 0 || n == MH__CODING_END || n == -ENOMEM, "%s: %zd", way->value, n);
    if (n == -ENOMEM)
        return false;
    cr_expect(mh__str_same((mh_str){data, len}, text), "%s: other bytes", way->value);
    return true;
}

Test(coding, without_memory)
{
    mh_buf text = large_text();
    for (const struct way *way = ways; way < ways_end; way++) {
        mh_buf coded = way->encode(mh_buf_str(&text));
        int allocations = 0;
        while (!works_with(allocations, way, mh_buf_str(&coded), mh_buf_str(&text)))
            allocations++;
        cr_expect(way->encode == copy_of ? allocations == 0 : allocations > 0);
        cr_expect_lt(allocations, 1000);
        mh_buf_free(&coded);
    }
    mh_buf_free(&text);
}
