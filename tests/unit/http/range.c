/* Which bytes a Range asks for: lib/http/range.c. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "http/range.h"

#define LENGTH 10000
#define NOW INT64_C(1000000000)

/* The ranges in words: "0-9,500-600"; "" where there are none. */
static const struct {
    const char *value;
    uint64_t length;
    int status;
    const char *ranges;
} cases[] = {
    /* RFC 9110 section 14.1.2 */
    {"bytes=0-499", LENGTH, 206, "0-499"},
    {"bytes=500-999", LENGTH, 206, "500-999"},
    {"bytes=-500", LENGTH, 206, "9500-9999"},
    {"bytes=9500-", LENGTH, 206, "9500-9999"},
    {"bytes=0-0,-1", LENGTH, 206, "0-0,9999-9999"},
    {"bytes= 0-999, 4500-5499, -1000", LENGTH, 200, ""},
    {"bytes=0-999, 4500-5499, -1000", LENGTH, 206, "0-999,4500-5499,9000-9999"},
    {"bytes=500-700,601-999", LENGTH, 206, "500-999"},

    {"BYTES=0-0", LENGTH, 206, "0-0"},
    {"bytes=0-", LENGTH, 206, "0-9999"},
    {"bytes=0-9999", LENGTH, 206, "0-9999"},
    {"bytes=0-10000", LENGTH, 206, "0-9999"},
    {"bytes=-10000", LENGTH, 206, "0-9999"},
    {"bytes=-10001", LENGTH, 206, "0-9999"},
    {"bytes=9999-", LENGTH, 206, "9999-9999"},
    {"bytes=000-009", LENGTH, 206, "0-9"},

    /* nothing of it is there */
    {"bytes=10000-", LENGTH, 416, ""},
    {"bytes=10000-10001", LENGTH, 416, ""},
    {"bytes=-0", LENGTH, 416, ""},
    {"bytes=20000-,-0", LENGTH, 416, ""},
    {"bytes=20000-,5-6", LENGTH, 206, "5-6"},
    {"bytes=0-0", 0, 416, ""},
    {"bytes=0-", 0, 416, ""},
    {"bytes=-0", 0, 416, ""},
    {"bytes=-5", 0, 200, ""},
    {"bytes=0-0", 1, 206, "0-0"},

    /* numbers that are too large are as good as the largest */
    {"bytes=0-18446744073709551615", LENGTH, 206, "0-9999"},
    {"bytes=0-18446744073709551616", LENGTH, 206, "0-9999"},
    {"bytes=0-99999999999999999999999999", LENGTH, 206, "0-9999"},
    {"bytes=-18446744073709551616", LENGTH, 206, "0-9999"},
    {"bytes=18446744073709551616-", LENGTH, 416, ""},
    {"bytes=18446744073709551621-18446744073709551622", LENGTH, 416, ""},
    {"bytes=18446744073709551614-", UINT64_MAX, 206, "18446744073709551614-18446744073709551614"},
    {"bytes=-1", UINT64_MAX, 206, "18446744073709551614-18446744073709551614"},
    {"bytes=0-0,18446744073709551614-", UINT64_MAX, 206,
     "0-0,18446744073709551614-18446744073709551614"},

    /* what is no list of ranges is ignored, all of it */
    {"", LENGTH, 200, ""},
    {"bytes", LENGTH, 200, ""},
    {"bytes=", LENGTH, 200, ""},
    {"bytes=,", LENGTH, 200, ""},
    {"bytes=-", LENGTH, 200, ""},
    {"bytes=5", LENGTH, 200, ""},
    {"bytes=5-4", LENGTH, 200, ""},
    {"bytes=0-1,5-4", LENGTH, 200, ""},
    {"bytes=0-1 2-3", LENGTH, 200, ""},
    {"bytes=0 -1", LENGTH, 200, ""},
    {"bytes=0- 1", LENGTH, 200, ""},
    {"bytes=0-1;", LENGTH, 200, ""},
    {"bytes=0-1x", LENGTH, 200, ""},
    {"bytes=a-b", LENGTH, 200, ""},
    {"bytes=+1-2", LENGTH, 200, ""},
    {"bytes=--1", LENGTH, 200, ""},
    {"bytes=1--2", LENGTH, 200, ""},
    {"bytes=0x1-2", LENGTH, 200, ""},
    {"bytes =0-1", LENGTH, 200, ""},
    {"lines=0-1", LENGTH, 200, ""},
    {"bytesx=0-1", LENGTH, 200, ""},

    /* empty elements count for nothing */
    {"bytes=,0-1", LENGTH, 206, "0-1"},
    {"bytes=0-1,", LENGTH, 206, "0-1"},
    {"bytes=0-1, ,\t,300-301", LENGTH, 206, "0-1,300-301"},

    /* what touches is one range; the others stay in their order */
    {"bytes=0-9,10-19", LENGTH, 206, "0-19"},
    {"bytes=10-19,0-9", LENGTH, 206, "0-19"},
    {"bytes=0-0,0-0,0-0", LENGTH, 206, "0-0"},
    {"bytes=0-,0-,0-,0-", LENGTH, 206, "0-9999"},
    {"bytes=0-99,180-200", LENGTH, 206, "0-200"},
    {"bytes=0-99,181-200", LENGTH, 206, "0-99,181-200"},
    {"bytes=5000-5100,0-9,5050-6000", LENGTH, 206, "5000-6000,0-9"},
    {"bytes=0-9,5000-5100,200-4999", LENGTH, 206, "0-9,200-5100"},
    {"bytes=4000-4999,0-999,900-4100", LENGTH, 206, "0-4999"},
    {"bytes=9000-,0-0,-500", LENGTH, 206, "9000-9999,0-0"},
};

static void describe(char *out, size_t cap, const struct mh__ranges *ranges)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ranges->count; i++) {
        const struct mh__range *range = &ranges->at[i];
        len += (size_t)snprintf(out + len, cap - len, "%s%llu-%llu", i ? "," : "",
                                (unsigned long long)range->first,
                                (unsigned long long)(range->first + range->len - 1));
    }
}

/* From a block of its own size, so that the address sanitizer sees a byte read too far. */
static int parse(struct mh__ranges *ranges, const char *value, uint64_t length)
{
    size_t len = strlen(value);
    char *copy = malloc(len ? len : 1);
    cr_assert(copy);
    memcpy(copy, value, len);
    int status = mh__ranges_parse(ranges, (mh_str){copy, len}, length);
    free(copy);
    return status;
}

Test(range, cases)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mh__ranges ranges;
        char text[256];
        int status = parse(&ranges, cases[i].value, cases[i].length);
        cr_expect_eq(status, cases[i].status, "%s: %d", cases[i].value, status);
        if (status != 206)
            continue;
        describe(text, sizeof(text), &ranges);
        cr_expect_str_eq(text, cases[i].ranges, "%s: %s", cases[i].value, text);
    }
}

static size_t print_ranges(char *out, size_t cap, size_t count)
{
    size_t len = (size_t)snprintf(out, cap, "bytes=");
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%zu-%zu", i ? "," : "", i * 1000,
                                i * 1000 + 1);
    return len;
}

Test(range, there_is_a_limit_and_then_all_of_it_is_sent)
{
    char value[4096];
    struct mh__ranges ranges;
    print_ranges(value, sizeof(value), MH__RANGES_MAX);
    cr_assert_eq(parse(&ranges, value, 1000000), 206);
    cr_assert_eq(ranges.count, MH__RANGES_MAX);
    print_ranges(value, sizeof(value), MH__RANGES_MAX + 1);
    cr_assert_eq(parse(&ranges, value, 1000000), 200);
}

/* However they overlap, no byte comes twice. */
Test(range, never_more_than_there_is)
{
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        char value[1024];
        size_t len = (size_t)snprintf(value, sizeof(value), "bytes=");
        struct mh__ranges ranges;
        int count = 1 + round % 12;
        for (int i = 0; i < count; i++) {
            seed = seed * 1103515245u + 12345u;
            unsigned first = (seed >> 8) % 3000;
            seed = seed * 1103515245u + 12345u;
            len += (size_t)snprintf(value + len, sizeof(value) - len, "%s%u-%u", i ? "," : "",
                                    first, first + (seed >> 8) % 300);
        }
        if (parse(&ranges, value, 2500) != 206)
            continue;
        for (size_t i = 0; i < ranges.count; i++) {
            const struct mh__range *a = &ranges.at[i];
            cr_assert(a->len > 0 && a->first + a->len <= 2500, "%s", value);
            for (size_t j = 0; j < i; j++) {
                const struct mh__range *b = &ranges.at[j];
                cr_assert(a->first > b->first + b->len + MH__RANGE_GAP_MAX ||
                              b->first > a->first + a->len + MH__RANGE_GAP_MAX,
                          "%s", value);
            }
        }
    }
}

static const struct mh__validators validators = {{"\"a\"", 3}, NOW};

static int select_with(size_t count, const mh_header *fields, int64_t now_s)
{
    struct mh__ranges ranges;
    return mh__ranges_select(&ranges, (mh_headers){fields, count}, LENGTH, &validators, now_s);
}

Test(range, one_field_is_needed)
{
    mh_header none[] = {{MH_STR("Accept"), MH_STR("bytes=0-1")}};
    mh_header one[] = {{MH_STR("range"), MH_STR("bytes=0-1")}};
    mh_header two[] = {{MH_STR("Range"), MH_STR("bytes=0-1")},
                       {MH_STR("Range"), MH_STR("bytes=5-6")}};
    cr_expect_eq(select_with(1, none, NOW), 200);
    cr_expect_eq(select_with(1, one, NOW), 206);
    cr_expect_eq(select_with(2, two, NOW), 200);
}

Test(range, a_condition_that_fails_means_all_of_it)
{
    mh_header same[] = {{MH_STR("Range"), MH_STR("bytes=0-1")},
                        {MH_STR("If-Range"), MH_STR("\"a\"")}};
    mh_header other[] = {{MH_STR("Range"), MH_STR("bytes=0-1")},
                         {MH_STR("If-Range"), MH_STR("\"b\"")}};
    mh_header beyond[] = {{MH_STR("Range"), MH_STR("bytes=20000-")},
                          {MH_STR("If-Range"), MH_STR("\"b\"")}};
    cr_expect_eq(select_with(2, same, NOW), 206);
    cr_expect_eq(select_with(2, other, NOW), 200);
    cr_expect_eq(select_with(2, beyond, NOW), 200);
}
