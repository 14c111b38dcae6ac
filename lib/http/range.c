/* range.c: see range.h. Whatever is asked for, no byte is sent twice. */
#include "http/range.h"

#include <string.h>

#include "base/str.h"

/* One element of the list, as it was written. */
struct spec {
    bool has_first, has_last;
    uint64_t first, last;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(mh_str *rest)
{
    while (rest->len > 0 && is_blank(rest->ptr[0]))
        *rest = mh__str_from(*rest, 1);
}

/* Digits; a number that is too large is as good as the largest. false: there are none. */
static bool take_number(mh_str *rest, uint64_t *number)
{
    size_t len = 0;
    *number = 0;
    for (; len < rest->len && mh__is_digit(rest->ptr[len]); len++) {
        uint64_t digit = (uint64_t)(rest->ptr[len] - '0');
        *number = *number <= (UINT64_MAX - digit) / 10 ? *number * 10 + digit : UINT64_MAX;
    }
    *rest = mh__str_from(*rest, len);
    return len > 0;
}

/* "0-499", "500-", "-500" (section 14.1.2). */
static bool take_spec(mh_str *rest, struct spec *spec)
{
    spec->has_first = take_number(rest, &spec->first);
    if (rest->len == 0 || rest->ptr[0] != '-')
        return false;
    *rest = mh__str_from(*rest, 1);
    spec->has_last = take_number(rest, &spec->last);
    if (spec->has_first && spec->has_last)
        return spec->first <= spec->last;
    return spec->has_first || spec->has_last;
}

/* false: it is not satisfiable. */
static bool resolve(struct mh__range *range, const struct spec *spec, uint64_t length)
{
    if (!spec->has_first) {
        uint64_t len = spec->last < length ? spec->last : length;
        *range = (struct mh__range){length - len, len};
        return len > 0;
    }
    if (spec->first >= length)
        return false;
    uint64_t last = spec->has_last && spec->last < length ? spec->last : length - 1;
    *range = (struct mh__range){spec->first, last - spec->first + 1};
    return true;
}

static uint64_t end_of(const struct mh__range *range)
{
    return range->first + range->len;
}

/* No sum here passes the length of the representation, but for the gap. */
static bool is_near(const struct mh__range *a, const struct mh__range *b)
{
    const struct mh__range *low = a->first <= b->first ? a : b, *high = low == a ? b : a;
    return high->first <= end_of(low) || high->first - end_of(low) <= MH__RANGE_GAP_MAX;
}

static void join(struct mh__range *into, const struct mh__range *other)
{
    uint64_t end = end_of(into) > end_of(other) ? end_of(into) : end_of(other);
    if (other->first < into->first)
        into->first = other->first;
    into->len = end - into->first;
}

static void drop(struct mh__ranges *ranges, size_t at)
{
    ranges->count--;
    memmove(ranges->at + at, ranges->at + at + 1, (ranges->count - at) * sizeof(ranges->at[0]));
}

/* Section 15.3.7.2: what overlaps, or has a gap that is smaller than the cost of another part, may
 * be one part, wherever it stood. What has grown may touch another one now. */
static void add(struct mh__ranges *ranges, struct mh__range range)
{
    size_t home = ranges->count;
    for (size_t i = 0; i < ranges->count;) {
        if (i == home || !is_near(&ranges->at[i], &range)) {
            i++;
            continue;
        }
        join(&range, &ranges->at[i]);
        if (home < ranges->count)
            drop(ranges, home > i ? home : i);
        home = home < i ? home : i;
        i = 0;
    }
    if (home == ranges->count)
        ranges->count++;
    ranges->at[home] = range;
}

/* Range units are compared without case (section 14.1). */
static bool take_unit(mh_str *rest)
{
    mh_str unit = MH_STR("bytes=");
    if (rest->len < unit.len || !mh__str_same_nocase((mh_str){rest->ptr, unit.len}, unit))
        return false;
    *rest = mh__str_from(*rest, unit.len);
    return true;
}

/* White space and commas; an empty element counts for nothing (section 5.6.1.2). false: there is
 * something else where a comma must stand. */
static bool skip_commas(mh_str *rest, bool first)
{
    if (!first)
        skip_blanks(rest);
    if (rest->len > 0 && rest->ptr[0] != ',')
        return first;
    while (rest->len > 0 && (rest->ptr[0] == ',' || is_blank(rest->ptr[0])))
        *rest = mh__str_from(*rest, 1);
    return true;
}

/* A field that is wrong anywhere is ignored (section 14.2), and so is one that asks for the end of
 * nothing: no Content-Range could say what that is. */
int mh__ranges_parse(struct mh__ranges *ranges, mh_str value, uint64_t length)
{
    size_t count = 0;
    ranges->count = 0;
    if (!take_unit(&value))
        return 200;
    for (; skip_commas(&value, count == 0) && value.len > 0; count++) {
        struct spec spec;
        struct mh__range range;
        if (count == MH__RANGES_MAX || !take_spec(&value, &spec))
            return 200;
        if (resolve(&range, &spec, length))
            add(ranges, range);
        else if (length == 0 && !spec.has_first && spec.last > 0)
            return 200;
    }
    if (value.len > 0 || count == 0)
        return 200;
    return ranges->count > 0 ? 206 : 416;
}

int mh__ranges_select(struct mh__ranges *ranges, mh_headers headers, uint64_t length,
                      const struct mh__validators *validators, int64_t now_s)
{
    mh_str value = {0};
    ranges->count = 0;
    if (mh__field_count(headers, "Range", &value) != 1)
        return 200;
    if (!mh__if_range(headers, validators, now_s))
        return 200;
    return mh__ranges_parse(ranges, value, length);
}
