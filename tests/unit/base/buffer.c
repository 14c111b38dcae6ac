/* Growing buffers: their content, their NUL, their ceiling. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/buffer.h"
#include "../scarce.h"

static void expect_content(const mh_buf *buf, const char *expected)
{
    cr_expect(buf->len == strlen(expected), "\"%s\": %zu bytes", expected, buf->len);
    cr_assert(buf->data, "\"%s\": no data", expected);
    cr_expect(memcmp(buf->data, expected, buf->len + 1) == 0, "\"%s\" is \"%s\"", expected,
              buf->data);
}

Test(buffer, zero_is_empty)
{
    mh_buf buf = {0};
    mh_str s = mh_buf_str(&buf);
    cr_expect(!s.ptr && s.len == 0, "an empty buffer's text is absent");
    mh_buf_clear(&buf);
    mh_buf_consume(&buf, 0);
    mh_buf_consume(&buf, 10);
    mh_buf_free(&buf);
    mh_buf_free(&buf);
    cr_expect(!buf.data && buf.len == 0 && buf.cap == 0 && buf.max == 0, "still empty");
}

Test(buffer, append)
{
    mh_buf buf = {0};
    cr_expect(mh_buf_append(&buf, "abc", 3) == 0);
    expect_content(&buf, "abc");
    cr_expect(mh_buf_append(&buf, "defg", 2) == 0);
    expect_content(&buf, "abcde");
    cr_expect(mh_buf_append(&buf, NULL, 0) == 0);
    expect_content(&buf, "abcde");
    cr_expect(mh_buf_append(&buf, "\0x", 2) == 0);
    cr_expect(buf.len == 7 && memcmp(buf.data, "abcde\0x", 8) == 0, "a NUL in the middle");
    mh_buf_free(&buf);
}

Test(buffer, append_nothing_to_an_empty_one)
{
    mh_buf buf = {0};
    cr_expect(mh_buf_append(&buf, NULL, 0) == 0);
    cr_expect(buf.len == 0 && (!buf.data || buf.data[0] == '\0'));
    mh_buf_free(&buf);
}

/* Each length on the way, byte by byte, through several reallocations. */
Test(buffer, grows_byte_by_byte)
{
    mh_buf buf = {0};
    for (size_t i = 0; i < 5000; i++) {
        char c = (char)('a' + i % 26);
        cr_assert(mh_buf_append(&buf, &c, 1) == 0, "byte %zu", i);
        cr_assert(buf.len == i + 1 && buf.data[i] == c && buf.data[i + 1] == '\0', "byte %zu", i);
        cr_assert(buf.cap > buf.len, "byte %zu: no room for the NUL", i);
    }
    for (size_t i = 0; i < buf.len; i++)
        cr_assert(buf.data[i] == (char)('a' + i % 26), "byte %zu afterwards", i);
    mh_buf_free(&buf);
}

/* Doubling: a megabyte in single bytes costs a handful of allocations. */
Test(buffer, grows_in_few_steps)
{
    mh_buf buf = {0};
    allocations_left = 14;
    for (int i = 0; i < 1 << 20; i++)
        cr_assert(mh_buf_append(&buf, "x", 1) == 0, "byte %d", i);
    mh_buf_free(&buf);
}

Test(buffer, reserve)
{
    mh_buf buf = {0};
    cr_expect(mh_buf_reserve(&buf, 0) == 0);
    cr_expect(mh_buf_reserve(&buf, 1000) == 0);
    cr_expect(buf.len == 0 && buf.cap >= 1001 && buf.data[0] == '\0', "room, but no bytes");
    char *data = buf.data;
    allocations_left = 0;
    for (int i = 0; i < 1000; i++)
        cr_assert(mh_buf_append(&buf, "x", 1) == 0, "byte %d of what was reserved", i);
    allocations_left = -1;
    cr_expect(buf.data == data, "what was reserved does not move");
    mh_buf_free(&buf);
}

Test(buffer, put_and_truncate)
{
    mh_buf buf = {0};
    mh__buf_truncate(&buf, 0);
    cr_expect(!buf.data, "nothing to cut");
    cr_assert(mh_buf_reserve(&buf, 6) == 0);
    mh__buf_put(&buf, "abc", 3);
    mh__buf_put(&buf, "def", 3);
    expect_content(&buf, "abcdef");
    mh__buf_truncate(&buf, 6);
    expect_content(&buf, "abcdef");
    mh__buf_truncate(&buf, 2);
    expect_content(&buf, "ab");
    mh__buf_truncate(&buf, 0);
    expect_content(&buf, "");
    mh_buf_free(&buf);
}

/* ---- the ceiling ---- */

Test(buffer, max)
{
    static const size_t maxima[] = {1, 2, 3, 511, 512, 513, 1023, 1024, 5000};
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        mh_buf buf = {.max = maxima[i]};
        for (size_t n = 0; n < maxima[i]; n++)
            cr_assert(mh_buf_append(&buf, "x", 1) == 0, "byte %zu of %zu", n, maxima[i]);
        cr_expect(mh_buf_append(&buf, "y", 1) == MH_ERR_TOO_LARGE, "one above %zu", maxima[i]);
        cr_expect(mh_buf_reserve(&buf, 1) == MH_ERR_TOO_LARGE, "reserved above %zu", maxima[i]);
        cr_expect(mh_buf_printf(&buf, "y") == MH_ERR_TOO_LARGE, "printed above %zu", maxima[i]);
        cr_expect(mh_buf_append(&buf, "", 0) == 0, "nothing more than %zu", maxima[i]);
        cr_expect(buf.len == maxima[i] && strspn(buf.data, "x") == maxima[i], "as it was: %zu",
                  maxima[i]);
        cr_expect(buf.cap <= maxima[i] + 1, "%zu bytes allocated for %zu", buf.cap, maxima[i]);
        mh_buf_free(&buf);
        cr_expect(buf.max == maxima[i], "max is kept: %zu", maxima[i]);
    }
}

Test(buffer, max_at_once)
{
    mh_buf buf = {.max = 3};
    cr_expect(mh_buf_append(&buf, "abcd", 4) == MH_ERR_TOO_LARGE);
    cr_expect(!buf.data && buf.len == 0, "still empty");
    cr_expect(mh_buf_append(&buf, "abc", 3) == 0);
    expect_content(&buf, "abc");
    mh_buf_free(&buf);
}

Test(buffer, default_max)
{
    mh_buf buf = {0};
    cr_expect(mh_buf_reserve(&buf, MH_BUF_MAX) == 0, "all of it");
    cr_expect(mh_buf_reserve(&buf, (size_t)MH_BUF_MAX + 1) == MH_ERR_TOO_LARGE, "one more");
    mh_buf_free(&buf);
}

/* max was lowered although the buffer is in use: nothing more goes in, and nothing wraps round. */
Test(buffer, max_below_len)
{
    mh_buf buf = {0};
    cr_assert(mh_buf_append(&buf, "abcdef", 6) == 0);
    buf.max = 3;
    cr_expect(mh_buf_append(&buf, "g", 1) == MH_ERR_TOO_LARGE);
    cr_expect(mh_buf_reserve(&buf, SIZE_MAX) == MH_ERR_TOO_LARGE);
    expect_content(&buf, "abcdef");
    mh_buf_free(&buf);
}

Test(buffer, sizes_near_the_end_of_size_t)
{
    static const size_t maxima[] = {0, 10, PTRDIFF_MAX - 1, PTRDIFF_MAX, SIZE_MAX - 1, SIZE_MAX};
    static const size_t extras[] = {
        PTRDIFF_MAX - 6, PTRDIFF_MAX - 1, PTRDIFF_MAX,  (size_t)PTRDIFF_MAX + 1,
        SIZE_MAX - 7,    SIZE_MAX - 6,    SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        for (size_t j = 0; j < sizeof extras / sizeof *extras; j++) {
            mh_buf buf = {.max = maxima[i]};
            cr_assert(mh_buf_append(&buf, "abcdef", 6) == 0);
            int err = mh_buf_reserve(&buf, extras[j]);
            cr_expect(err == MH_ERR_TOO_LARGE, "max %zu, %zu more: %s", maxima[i], extras[j],
                      mh_errname(err));
            expect_content(&buf, "abcdef");
            mh_buf_free(&buf);
        }
    }
}

Test(buffer, no_memory)
{
    mh_buf buf = {0};
    allocations_left = 0;
    cr_expect(mh_buf_append(&buf, "a", 1) == -ENOMEM, "the first allocation");
    cr_expect(mh_buf_printf(&buf, "a") == -ENOMEM, "the first allocation, printed");
    cr_expect(!buf.data && buf.len == 0 && buf.cap == 0, "still empty");
    allocations_left = 1;
    cr_expect(mh_buf_append(&buf, "abc", 3) == 0);
    cr_expect(mh_buf_reserve(&buf, 100000) == -ENOMEM, "the second one");
    expect_content(&buf, "abc");
    allocations_left = -1;
    cr_expect(mh_buf_reserve(&buf, 100000) == 0, "once there is memory again");
    expect_content(&buf, "abc");
    mh_buf_free(&buf);
}

/* ---- printf ---- */

Test(buffer, printf_appends)
{
    mh_buf buf = {0};
    cr_expect(mh_buf_printf(&buf, "%s=%d", "a", 1) == 0);
    expect_content(&buf, "a=1");
    cr_expect(mh_buf_printf(&buf, "&%c=%05.1f", 'b', 2.5) == 0);
    expect_content(&buf, "a=1&b=002.5");
    cr_expect(mh_buf_printf(&buf, "%s", "") == 0);
    expect_content(&buf, "a=1&b=002.5");
    mh_buf_free(&buf);
}

Test(buffer, printf_of_every_length_around_the_first_allocation)
{
    for (int len = 500; len < 530; len++) {
        mh_buf buf = {0};
        cr_expect(mh_buf_printf(&buf, "%*s", len, "x") == 0, "%d bytes", len);
        cr_expect(buf.len == (size_t)len && strlen(buf.data) == (size_t)len, "%d bytes", len);
        cr_expect(buf.data[len - 1] == 'x', "the last of %d bytes", len);
        mh_buf_free(&buf);
    }
}

Test(buffer, printf_exactly_max)
{
    mh_buf buf = {.max = 5};
    cr_expect(mh_buf_printf(&buf, "%d", 123456) == MH_ERR_TOO_LARGE);
    cr_expect(mh_buf_printf(&buf, "%d", 12345) == 0);
    expect_content(&buf, "12345");
    mh_buf_free(&buf);
}

/* A wide character that has no bytes in the C locale. */
Test(buffer, printf_that_is_refused)
{
    mh_buf buf = {0};
    cr_assert(mh_buf_append(&buf, "abc", 3) == 0);
    static const wchar_t wide[] = {0xe4, 0};
    cr_expect(mh_buf_printf(&buf, "x%ls", wide) == -EINVAL);
    expect_content(&buf, "abc");
    mh_buf_free(&buf);
}

/* ---- consume, clear, take, free ---- */

Test(buffer, consume)
{
    static const struct {
        size_t len;
        const char *left;
    } table[] = {
        {0, "abcdef"}, {1, "bcdef"}, {5, "f"}, {6, ""}, {7, ""}, {SIZE_MAX, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        mh_buf buf = {0};
        cr_assert(mh_buf_append(&buf, "abcdef", 6) == 0);
        mh_buf_consume(&buf, table[i].len);
        expect_content(&buf, table[i].left);
        cr_expect(mh_buf_append(&buf, "!", 1) == 0, "%zu consumed", table[i].len);
        cr_expect(buf.data[strlen(table[i].left)] == '!', "%zu consumed", table[i].len);
        mh_buf_free(&buf);
    }
}

Test(buffer, clear_keeps_the_memory)
{
    mh_buf buf = {0};
    cr_assert(mh_buf_append(&buf, "abcdef", 6) == 0);
    char *data = buf.data;
    mh_buf_clear(&buf);
    expect_content(&buf, "");
    cr_expect(mh_buf_append(&buf, "x", 1) == 0 && buf.data == data, "the same memory");
    expect_content(&buf, "x");
    mh_buf_free(&buf);
}

Test(buffer, take)
{
    mh_buf buf = {.max = 10};
    size_t len = 99;
    cr_expect(!mh_buf_take(&buf, &len) && len == 0, "nothing was put in");
    cr_expect(!mh_buf_take(&buf, NULL), "nothing, and no length wanted");
    cr_assert(mh_buf_append(&buf, "abc", 3) == 0);
    char *data = mh_buf_take(&buf, &len);
    cr_expect(len == 3);
    cr_expect_str_eq(data, "abc");
    free(data); /* the C library's */
    cr_expect(!buf.data && buf.len == 0 && buf.cap == 0 && buf.max == 10, "empty, with its max");
    cr_expect(mh_buf_append(&buf, "de", 2) == 0, "used again");
    expect_content(&buf, "de");
    mh_buf_free(&buf);
}

Test(buffer, free_twice)
{
    mh_buf buf = {.max = 7};
    cr_assert(mh_buf_append(&buf, "abc", 3) == 0);
    mh_buf_free(&buf);
    mh_buf_free(&buf);
    cr_expect(!buf.data && buf.len == 0 && buf.cap == 0 && buf.max == 7, "empty, with its max");
    cr_expect(mh_buf_append(&buf, "abc", 3) == 0, "used again");
    mh_buf_free(&buf);
}
