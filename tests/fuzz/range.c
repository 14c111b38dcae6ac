/* Any bytes as a Range: what comes of it lies within the representation, no byte of it twice, and a
 * value that was taken is taken again when it is written down. The first eight bytes of the input
 * are the length. */
#include "property.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/range.h"

static bool overlap(const struct mh__range *a, const struct mh__range *b)
{
    return a->first < b->first + b->len && b->first < a->first + a->len;
}

static void check_ranges(const struct mh__ranges *ranges, uint64_t length)
{
    uint64_t sum = 0;
    HOLDS(ranges->count > 0 && ranges->count <= MH__RANGES_MAX);
    for (size_t i = 0; i < ranges->count; i++) {
        const struct mh__range *range = &ranges->at[i];
        HOLDS(range->len > 0 && range->first < length && range->len <= length - range->first);
        HOLDS(range->len <= length - sum);
        sum += range->len;
        for (size_t j = 0; j < i; j++)
            HOLDS(!overlap(range, &ranges->at[j]));
    }
}

static size_t print_ranges(char *out, size_t cap, const struct mh__ranges *ranges)
{
    size_t len = (size_t)snprintf(out, cap, "bytes=");
    for (size_t i = 0; i < ranges->count; i++) {
        const struct mh__range *range = &ranges->at[i];
        len += (size_t)snprintf(out + len, cap - len, "%s%llu-%llu", i ? ", " : "",
                                (unsigned long long)range->first,
                                (unsigned long long)(range->first + range->len - 1));
    }
    return len;
}

static void check_again(const struct mh__ranges *ranges, uint64_t length)
{
    char text[MH__RANGES_MAX * 48];
    struct mh__ranges again;
    size_t len = print_ranges(text, sizeof(text), ranges);
    HOLDS(mh__ranges_parse(&again, (mh_str){text, len}, length) == 206);
    HOLDS(again.count == ranges->count);
    for (size_t i = 0; i < again.count; i++) {
        HOLDS(again.at[i].first == ranges->at[i].first);
        HOLDS(again.at[i].len == ranges->at[i].len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t length;
    struct mh__ranges ranges;
    if (size < sizeof(length))
        return 0;
    memcpy(&length, data, sizeof(length));
    size -= sizeof(length);
    char *value = malloc(size ? size : 1);
    HOLDS(value != NULL);
    memcpy(value, data + sizeof(length), size);
    int status = mh__ranges_parse(&ranges, (mh_str){value, size}, length);
    free(value);
    HOLDS(status == 200 || status == 206 || status == 416);
    if (status == 206) {
        check_ranges(&ranges, length);
        check_again(&ranges, length);
    }
    return 0;
}
