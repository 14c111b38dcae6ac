/* conditional.c: see conditional.h. */
#include "http/conditional.h"

#include <string.h>

#include "base/str.h"

/* A time in the second that has just begun, or the one before, may still be that of two versions:
 * it is no strong validator yet (section 8.8.2.2). */
#define SETTLED_S 2

/* ---- entity tags (section 8.8.3) ---- */

struct tag {
    bool weak;
    mh_str opaque; /* with its quotes */
};

static bool is_etagc(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

/* One off the front; "W/" is written with a large W. */
static bool take_tag(mh_str *rest, struct tag *tag)
{
    tag->weak = rest->len >= 2 && memcmp(rest->ptr, "W/", 2) == 0;
    mh_str s = mh__str_from(*rest, tag->weak ? 2 : 0);
    size_t len = 1;
    if (s.len == 0 || s.ptr[0] != '"')
        return false;
    while (len < s.len && is_etagc(s.ptr[len]))
        len++;
    if (len == s.len || s.ptr[len] != '"')
        return false;
    tag->opaque = (mh_str){s.ptr, len + 1};
    *rest = mh__str_from(s, len + 1);
    return true;
}

static bool parse_tag(mh_str text, struct tag *tag)
{
    return take_tag(&text, tag) && text.len == 0;
}

/* Section 8.8.3.2 */
static bool same_strongly(const struct tag *a, const struct tag *b)
{
    return !a->weak && !b->weak && mh__str_same(a->opaque, b->opaque);
}

static bool same_weakly(const struct tag *a, const struct tag *b)
{
    return mh__str_same(a->opaque, b->opaque);
}

typedef bool comparison(const struct tag *a, const struct tag *b);

/* ---- lists of them ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(mh_str *rest)
{
    while (rest->len > 0 && is_blank(rest->ptr[0]))
        *rest = mh__str_from(*rest, 1);
}

static void skip_empty_elements(mh_str *rest)
{
    while (rest->len > 0 && (is_blank(rest->ptr[0]) || rest->ptr[0] == ','))
        *rest = mh__str_from(*rest, 1);
}

/* A comma may stand within a tag, so the list is read tag by tag. Returns 1: the tag is among them,
 * 0: it is not, -1: this is no list of tags. */
static int search_list(mh_str list, const struct tag *wanted, comparison *same)
{
    int found = 0;
    skip_empty_elements(&list);
    while (list.len > 0) {
        struct tag tag;
        if (!take_tag(&list, &tag))
            return -1;
        if (wanted && same(&tag, wanted))
            found = 1;
        skip_blanks(&list);
        if (list.len > 0 && list.ptr[0] != ',')
            return -1;
        skip_empty_elements(&list);
    }
    return found;
}

/* All fields of the name make one list. "*" stands for any representation that there is, and alone
 * (section 13.1.1). Where the list is wrong, nothing in it counts. */
static bool matches(mh_headers headers, const char *name, const struct tag *current,
                    comparison *same)
{
    bool found = false;
    size_t count = 0, stars = 0;
    mh_headers_each(header, headers)
    {
        if (!mh_str_equal_nocase(header->name, name))
            continue;
        count++;
        bool star = mh_str_equal(header->value, "*");
        stars += star;
        int result = star ? 1 : search_list(header->value, current, same);
        if (result < 0)
            return false;
        found |= result > 0;
    }
    return found && (stars == 0 || count == 1);
}

/* ---- dates ---- */

/* A field that is there twice, or is no date, is ignored (sections 13.1.3 and 13.1.4). */
static bool get_date(mh_headers headers, const char *name, int64_t now_s, int64_t *date)
{
    mh_str value = {0};
    return mh__field_count(headers, name, &value) == 1 && mh_date_parse(date, value, now_s) == 0;
}

/* ---- the conditions ---- */

static bool is_there(mh_headers headers, const char *name)
{
    return mh_headers_get(headers, name).ptr != NULL;
}

/* Does what the client wants to work on exist no more? */
static bool has_passed(mh_headers headers, const struct mh__validators *validators,
                       const struct tag *tag, int64_t now_s)
{
    int64_t date;
    if (is_there(headers, "If-Match"))
        return !matches(headers, "If-Match", tag, same_strongly);
    return get_date(headers, "If-Unmodified-Since", now_s, &date) && validators->modified_s > date;
}

/* Does the client have what it would be sent? If-Modified-Since is for GET and HEAD alone (section
 * 13.1.3). */
static bool is_known(mh_headers headers, bool reads, const struct mh__validators *validators,
                     const struct tag *tag, int64_t now_s)
{
    int64_t date;
    if (is_there(headers, "If-None-Match"))
        return matches(headers, "If-None-Match", tag, same_weakly);
    return reads && get_date(headers, "If-Modified-Since", now_s, &date) &&
           validators->modified_s <= date;
}

int mh__conditional(mh_headers headers, bool reads, const struct mh__validators *validators,
                    int64_t now_s)
{
    struct tag tag;
    const struct tag *current = parse_tag(validators->etag, &tag) ? &tag : NULL;
    if (has_passed(headers, validators, current, now_s))
        return 412;
    if (is_known(headers, reads, validators, current, now_s))
        return reads ? 304 : 412;
    return 0;
}

static bool is_strong_date(mh_str value, const struct mh__validators *validators, int64_t now_s)
{
    int64_t date;
    return mh_date_parse(&date, value, now_s) == 0 && date == validators->modified_s &&
           now_s - date >= SETTLED_S;
}

bool mh__if_range(mh_headers headers, const struct mh__validators *validators, int64_t now_s)
{
    mh_str value = {0};
    struct tag tag, current;
    size_t count = mh__field_count(headers, "If-Range", &value);
    if (count != 1)
        return count == 0;
    if (parse_tag(value, &tag))
        return parse_tag(validators->etag, &current) && same_strongly(&tag, &current);
    return is_strong_date(value, validators, now_s);
}

/* ---- fields ---- */

size_t mh__field_count(mh_headers headers, const char *name, mh_str *value)
{
    size_t count = 0;
    mh_headers_each(header, headers)
    {
        if (!mh_str_equal_nocase(header->name, name))
            continue;
        *value = header->value;
        count++;
    }
    return count;
}

/* "If-..." or "Range" */
static bool may_be_condition(mh_str name)
{
    if (name.len < 5)
        return false;
    if (mh__lower(name.ptr[0]) == 'i')
        return mh__lower(name.ptr[1]) == 'f' && name.ptr[2] == '-';
    return name.len == 5 && mh__lower(name.ptr[0]) == 'r';
}

bool mh__is_unconditional(mh_headers headers)
{
    mh_headers_each(header, headers)
    {
        if (may_be_condition(header->name))
            return false;
    }
    return true;
}
