/* Conditions on what the client has: lib/http/conditional.c. */
#include <criterion/criterion.h>

#include <string.h>

#include "http/conditional.h"

#define EARLIER "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER "Sun, 06 Nov 1994 08:49:38 GMT"
#define MODIFIED INT64_C(784111777)
#define NOW (MODIFIED + 1000)

#define TAG "\"a\""

static const struct mh__validators strong = {{TAG, sizeof(TAG) - 1}, MODIFIED};
static const struct mh__validators weak = {{"W/" TAG, sizeof("W/" TAG) - 1}, MODIFIED};
static const struct mh__validators tagless = {{0}, MODIFIED};

/* Two fields at most, as "Name", "value". */
static size_t collect(mh_header fields[2], const char *const given[4])
{
    size_t count = 0;
    for (size_t i = 0; i < 4 && given[i]; i += 2)
        fields[count++] = (mh_header){mh_str_from(given[i]), mh_str_from(given[i + 1])};
    return count;
}

static int check(const struct mh__validators *of, bool reads, const char *const given[4])
{
    mh_header fields[2];
    size_t count = collect(fields, given);
    return mh__conditional((mh_headers){fields, count}, reads, of, NOW);
}

static const struct {
    int read, write; /* what a GET and a PUT are answered with */
    const char *given[4];
} cases[] = {
    {0, 0, {NULL}},
    {0, 0, {"Accept", "*"}},

    /* section 13.1.1: strong comparison */
    {0, 0, {"If-Match", TAG}},
    {0, 0, {"if-match", TAG}},
    {412, 412, {"If-Match", "W/" TAG}},
    {412, 412, {"If-Match", "\"b\""}},
    {412, 412, {"If-Match", "\"A\""}},
    {0, 0, {"If-Match", "*"}},
    {0, 0, {"If-Match", "\"b\", " TAG}},
    {0, 0, {"If-Match", "\"b\"", "If-Match", TAG}},
    {412, 412, {"If-Match", ""}},
    {412, 412, {"If-Match", "a"}},
    {412, 412, {"If-Match", TAG " \"b\""}},
    {412, 412, {"If-Match", TAG ", b"}},
    {412, 412, {"If-Match", "*, " TAG}},
    {412, 412, {"If-Match", "*", "If-Match", TAG}},

    /* section 13.1.2: weak comparison */
    {304, 412, {"If-None-Match", TAG}},
    {304, 412, {"If-None-Match", "W/" TAG}},
    {304, 412, {"If-None-Match", "*"}},
    {304, 412, {"If-None-Match", "\"b\"," TAG}},
    {304, 412, {"If-None-Match", ",, \"b\"\t,, " TAG " ,"}},
    {304, 412, {"If-None-Match", "\"b\"", "If-None-Match", TAG}},
    {304, 412, {"If-None-Match", "\"x,\", " TAG}},
    {0, 0, {"If-None-Match", "\"b\""}},
    {0, 0, {"If-None-Match", "\"\""}},
    {0, 0, {"If-None-Match", ""}},
    {0, 0, {"If-None-Match", "\"x, \"a\", \""}},
    {0, 0, {"If-None-Match", "w/" TAG}},
    {0, 0, {"If-None-Match", "W/ " TAG}},
    {0, 0, {"If-None-Match", "W/"}},
    {0, 0, {"If-None-Match", "\""}},
    {0, 0, {"If-None-Match", "\"a"}},
    {0, 0, {"If-None-Match", "a\""}},
    {0, 0, {"If-None-Match", "\"a b\", " TAG}}, /* no space in a tag */
    {0, 0, {"If-None-Match", TAG ";q=1"}},
    {0, 0, {"If-None-Match", TAG TAG}},
    {0, 0, {"If-None-Match", "*, \"b\""}},
    {0, 0, {"If-None-Match", "**"}},

    /* section 13.1.3: for GET and HEAD alone */
    {304, 0, {"If-Modified-Since", SAME}},
    {304, 0, {"If-Modified-Since", LATER}},
    {0, 0, {"If-Modified-Since", EARLIER}},
    {304, 0, {"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}},
    {304, 0, {"If-Modified-Since", "Sun Nov  6 08:49:37 1994"}},
    {0, 0, {"If-Modified-Since", "Mon, 06 Nov 1994 08:49:37 GMT"}},
    {0, 0, {"If-Modified-Since", "0"}},
    {0, 0, {"If-Modified-Since", ""}},
    {0, 0, {"If-Modified-Since", SAME ", " SAME}},
    {0, 0, {"If-Modified-Since", SAME, "If-Modified-Since", SAME}},

    /* section 13.1.4 */
    {0, 0, {"If-Unmodified-Since", SAME}},
    {0, 0, {"If-Unmodified-Since", LATER}},
    {412, 412, {"If-Unmodified-Since", EARLIER}},
    {0, 0, {"If-Unmodified-Since", "yesterday"}},
    {0, 0, {"If-Unmodified-Since", EARLIER, "If-Unmodified-Since", EARLIER}},

    /* section 13.2.2: which comes first, and which then counts for nothing */
    {0, 0, {"If-Unmodified-Since", EARLIER, "If-Match", TAG}},
    {412, 412, {"If-Unmodified-Since", LATER, "If-Match", "\"b\""}},
    {0, 0, {"If-Modified-Since", LATER, "If-None-Match", "\"b\""}},
    {0, 0, {"If-Modified-Since", LATER, "If-None-Match", "b"}},
    {304, 412, {"If-Modified-Since", EARLIER, "If-None-Match", TAG}},
    {412, 412, {"If-None-Match", TAG, "If-Match", "\"b\""}},
    {304, 412, {"If-None-Match", TAG, "If-Match", TAG}},
    {412, 412, {"If-Unmodified-Since", EARLIER, "If-Modified-Since", LATER}},
    {304, 0, {"If-Unmodified-Since", LATER, "If-Modified-Since", LATER}},
};

Test(conditional, cases)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const *given = cases[i].given;
        cr_expect_eq(check(&strong, true, given), cases[i].read, "%s: %s", given[0], given[1]);
        cr_expect_eq(check(&strong, false, given), cases[i].write, "%s: %s", given[0], given[1]);
    }
}

Test(conditional, a_weak_tag_matches_weakly)
{
    cr_expect_eq(check(&weak, true, (const char *const[4]){"If-None-Match", TAG}), 304);
    cr_expect_eq(check(&weak, true, (const char *const[4]){"If-None-Match", "W/" TAG}), 304);
    cr_expect_eq(check(&weak, true, (const char *const[4]){"If-Match", "W/" TAG}), 412);
    cr_expect_eq(check(&weak, true, (const char *const[4]){"If-Match", "*"}), 0);
}

Test(conditional, without_a_tag_there_is_still_something)
{
    cr_expect_eq(check(&tagless, true, (const char *const[4]){"If-None-Match", TAG}), 0);
    cr_expect_eq(check(&tagless, true, (const char *const[4]){"If-None-Match", "*"}), 304);
    cr_expect_eq(check(&tagless, true, (const char *const[4]){"If-Match", TAG}), 412);
}

static bool allows(const struct mh__validators *of, int64_t now_s, const char *const given[4])
{
    mh_header fields[2];
    size_t count = collect(fields, given);
    return mh__if_range((mh_headers){fields, count}, of, now_s);
}

/* Section 13.1.5 */
Test(conditional, if_range)
{
    cr_expect(allows(&strong, NOW, (const char *const[4]){NULL}));
    cr_expect(allows(&strong, NOW, (const char *const[4]){"If-Range", TAG}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", "W/" TAG}));
    cr_expect_not(allows(&weak, NOW, (const char *const[4]){"If-Range", "W/" TAG}));
    cr_expect_not(allows(&weak, NOW, (const char *const[4]){"If-Range", TAG}));
    cr_expect_not(allows(&tagless, NOW, (const char *const[4]){"If-Range", TAG}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", TAG ", " TAG}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", "*"}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", ""}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", TAG, "If-Range", TAG}));
}

Test(conditional, if_range_with_a_date_wants_exactly_that_one)
{
    cr_expect(allows(&strong, NOW, (const char *const[4]){"If-Range", SAME}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", LATER}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", EARLIER}));
    cr_expect_not(allows(&strong, NOW, (const char *const[4]){"If-Range", "yesterday"}));
}

/* It may change again within that second: section 8.8.2.2. */
Test(conditional, a_date_of_just_now_is_no_strong_validator)
{
    const char *const given[4] = {"If-Range", SAME};
    cr_expect_not(allows(&strong, MODIFIED, given));
    cr_expect_not(allows(&strong, MODIFIED + 1, given));
    cr_expect_not(allows(&strong, MODIFIED - 5, given));
    cr_expect(allows(&strong, MODIFIED + 2, given));
}

Test(conditional, one_look_tells_that_there_is_no_condition)
{
    static const struct {
        const char *name;
        bool plain;
    } names[] = {
        {"If-Match", false},
        {"if-none-match", false},
        {"IF-MODIFIED-SINCE", false},
        {"If-Range", false},
        {"If-Unmodified-Since", false},
        {"Range", false},
        {"rAnGe", false},
        {"Host", true},
        {"Accept-Ranges", true},
        {"I", true},
        {"If", true},
        {"Iff-Match", true},
        {"Ranges", true},
        {"", true},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        mh_header fields[] = {{MH_STR("Host"), MH_STR("a")}, {mh_str_from(names[i].name), {0}}};
        cr_expect_eq(mh__is_unconditional((mh_headers){fields, 2}), names[i].plain, "%s",
                     names[i].name);
    }
    cr_expect(mh__is_unconditional((mh_headers){0}));
}
