/* accept.c: see accept.h. */
#include "http/accept.h"

#include "base/str.h"
#include "http/chars.h"

#define NOT_NAMED (-1)
#define LAST_RESORT 1
#define QUALITY_MAX 1000

static void skip_blanks(mh_str *rest)
{
    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t'))
        *rest = mh__str_from(*rest, 1);
}

static bool take(mh_str *rest, char c)
{
    if (rest->len == 0 || mh__lower(rest->ptr[0]) != c)
        return false;
    *rest = mh__str_from(*rest, 1);
    return true;
}

static mh_str take_token(mh_str *rest)
{
    size_t len = 0;
    while (len < rest->len && mh__is(rest->ptr[len], MH__TOKEN))
        len++;
    mh_str token = {rest->ptr, len};
    *rest = mh__str_from(*rest, len);
    return token;
}

/* "0.5", "1", "1.000": at most three digits behind the point, and nothing above 1 (section 12.4.2).
 * In thousandths, or -1. */
static int take_quality(mh_str *rest)
{
    if (rest->len == 0 || (rest->ptr[0] != '0' && rest->ptr[0] != '1'))
        return -1;
    int quality = (rest->ptr[0] - '0') * QUALITY_MAX;
    *rest = mh__str_from(*rest, 1);
    if (!take(rest, '.'))
        return quality;
    for (int unit = 100; unit > 0 && rest->len > 0 && mh__is_digit(rest->ptr[0]); unit /= 10) {
        quality += (rest->ptr[0] - '0') * unit;
        *rest = mh__str_from(*rest, 1);
    }
    return quality <= QUALITY_MAX ? quality : -1;
}

/* ";q=0.5", or nothing. -1: it is something else. */
static int take_weight(mh_str *rest)
{
    skip_blanks(rest);
    if (!take(rest, ';'))
        return QUALITY_MAX;
    skip_blanks(rest);
    return take(rest, 'q') && take(rest, '=') ? take_quality(rest) : -1;
}

/* To behind the next comma. Neither a token nor a weight has one in it. false: there was more than
 * white space before it. */
static bool end_element(mh_str *rest)
{
    skip_blanks(rest);
    bool clean = rest->len == 0 || rest->ptr[0] == ',';
    while (rest->len > 0 && !take(rest, ','))
        *rest = mh__str_from(*rest, 1);
    return clean;
}

struct answer {
    int named, any;
};

/* "x-gzip" is "gzip" (section 8.4.1.3). */
static bool is_coding(mh_str name, const char *coding)
{
    if (mh_str_equal_nocase(name, coding))
        return true;
    return mh_str_equal_nocase(name, "x-gzip") && mh_str_equal(mh_str_from(coding), "gzip");
}

static void look_through(mh_str list, const char *coding, struct answer *answer)
{
    while (list.len > 0) {
        skip_blanks(&list);
        mh_str name = take_token(&list);
        int quality = take_weight(&list);
        if (!end_element(&list) || quality < 0 || name.len == 0)
            continue;
        if (mh_str_equal(name, "*"))
            answer->any = quality;
        else if (is_coding(name, coding))
            answer->named = quality;
    }
}

int mh__accept_quality(mh_headers headers, const char *coding)
{
    struct answer answer = {NOT_NAMED, NOT_NAMED};
    mh_headers_each(header, headers)
    {
        if (mh_str_equal_nocase(header->name, "Accept-Encoding"))
            look_through(header->value, coding, &answer);
    }
    if (answer.named != NOT_NAMED)
        return answer.named;
    if (answer.any != NOT_NAMED)
        return answer.any;
    return mh_str_equal(mh_str_from(coding), "identity") ? LAST_RESORT : 0;
}
