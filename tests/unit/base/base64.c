/* Bytes as text: lib/base/base64.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "../scarce.h"

/* In a block of its own size, so that the address sanitizer sees a byte read too far. */
static int encode(mh_buf *out, mh_str bytes)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    cr_assert(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    int err = mh__base64(out, (mh_str){copy, bytes.len});
    free(copy);
    return err;
}

static const struct {
    mh_str bytes;
    const char *text;
} vectors[] = {
    /* RFC 4648 section 10 */
    {{"", 0}, ""},
    {{"f", 1}, "Zg=="},
    {{"fo", 2}, "Zm8="},
    {{"foo", 3}, "Zm9v"},
    {{"foob", 4}, "Zm9vYg=="},
    {{"fooba", 5}, "Zm9vYmE="},
    {{"foobar", 6}, "Zm9vYmFy"},
    /* RFC 7617 section 2 */
    {{"Aladdin:open sesame", 19}, "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
    /* bytes that are no text, and the last two of the alphabet */
    {{"\0", 1}, "AA=="},
    {{"\0\0", 2}, "AAA="},
    {{"\0\0\0", 3}, "AAAA"},
    {{"\xff", 1}, "/w=="},
    {{"\xff\xff", 2}, "//8="},
    {{"\xff\xff\xff", 3}, "////"},
    {{"\xfb\xef\xbe", 3}, "++++"},
    {{"\x80\x81\x82", 3}, "gIGC"},
};

Test(base64, vectors)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        mh_buf out = {0};
        cr_assert_eq(encode(&out, vectors[i].bytes), 0);
        cr_assert_eq(out.len, strlen(vectors[i].text));
        if (out.len > 0)
            cr_assert_str_eq(out.data, vectors[i].text);
        mh_buf_free(&out);
    }
}

/* Groups of six bits that count upwards are the alphabet itself. */
Test(base64, the_whole_alphabet)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char bytes[48];
    for (unsigned i = 0; i < 16; i++) {
        unsigned group = (4 * i) << 18 | (4 * i + 1) << 12 | (4 * i + 2) << 6 | (4 * i + 3);
        bytes[3 * i] = (char)(group >> 16);
        bytes[3 * i + 1] = (char)(group >> 8);
        bytes[3 * i + 2] = (char)group;
    }
    mh_buf out = {0};
    cr_assert_eq(encode(&out, (mh_str){bytes, sizeof(bytes)}), 0);
    cr_assert_str_eq(out.data, alphabet);
    mh_buf_free(&out);
}

Test(base64, it_is_appended)
{
    mh_buf out = {0};
    cr_assert_eq(mh_buf_append(&out, "Basic ", 6), 0);
    cr_assert_eq(encode(&out, MH_STR("fo")), 0);
    cr_assert_str_eq(out.data, "Basic Zm8=");
    mh_buf_free(&out);
}

Test(base64, nothing_of_nothing)
{
    mh_buf out = {0};
    cr_assert_eq(mh__base64(&out, (mh_str){NULL, 0}), 0);
    cr_assert_eq(out.len, 0);
    mh_buf_free(&out);
}

Test(base64, a_ceiling_counts_the_padding)
{
    mh_buf out = {.max = 7};
    cr_assert_eq(encode(&out, MH_STR("foo")), 0);
    cr_assert_eq(encode(&out, MH_STR("f")), MH_ERR_TOO_LARGE);
    cr_assert_str_eq(out.data, "Zm9v");
    mh_buf_free(&out);
}

Test(base64, no_memory)
{
    mh_buf out = {0};
    allocations_left = 0;
    cr_assert_eq(encode(&out, MH_STR("foo")), -ENOMEM);
    cr_assert_null(out.data);
}
