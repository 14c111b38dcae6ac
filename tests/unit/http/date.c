/* HTTP dates, checked against a calendar that counts days one by one. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include <minihttp/message.h>

#include "base/str.h"

#define FIRST_S INT64_C(-62167219200) /* Sat, 01 Jan 0000 00:00:00 GMT */
#define LAST_S INT64_C(253402300799)  /* Fri, 31 Dec 9999 23:59:59 GMT */
#define NOW_S INT64_C(1700000000)     /* Tue, 14 Nov 2023 22:13:20 GMT */

static int parse(int64_t *unix_s, mh_str text, int64_t now_s)
{
    char *copy = malloc(text.len ? text.len : 1);
    cr_assert(copy);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    int err = mh_date_parse(unix_s, (mh_str){copy, text.len}, now_s);
    free(copy);
    return err;
}

struct known {
    int64_t unix_s;
    const char *text;
};

static const struct known known[] = {
    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
    {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the example of RFC 9110 */
    {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
    {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
    {NOW_S, "Tue, 14 Nov 2023 22:13:20 GMT"},
    {INT32_MAX, "Tue, 19 Jan 2038 03:14:07 GMT"},
    {INT64_C(2147483648), "Tue, 19 Jan 2038 03:14:08 GMT"},
    {INT32_MIN, "Fri, 13 Dec 1901 20:45:52 GMT"},
    {INT64_C(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT"},
    {INT64_C(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT"},
    {INT64_C(-11676096000), "Sat, 01 Jan 1600 00:00:00 GMT"},
    {FIRST_S, "Sat, 01 Jan 0000 00:00:00 GMT"},
    {LAST_S, "Fri, 31 Dec 9999 23:59:59 GMT"},
};

Test(date, known_dates_both_ways)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[MH_DATE_LEN + 1];
        int64_t unix_s = 42;
        cr_expect(mh_date_format(text, known[i].unix_s) == MH_DATE_LEN, "%s", known[i].text);
        cr_expect_str_eq(text, known[i].text, "%s is written as %s", known[i].text, text);
        cr_expect(parse(&unix_s, mh_str_from(known[i].text), NOW_S) == 0, "%s", known[i].text);
        cr_expect(unix_s == known[i].unix_s, "%s: %lld", known[i].text, (long long)unix_s);
    }
}

Test(date, format_out_of_range_writes_nothing)
{
    static const int64_t outside[] = {FIRST_S - 1, LAST_S + 1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char text[MH_DATE_LEN + 1] = "untouched";
        cr_expect(mh_date_format(text, outside[i]) == -ERANGE, "%lld", (long long)outside[i]);
        cr_expect_str_eq(text, "untouched", "%lld", (long long)outside[i]);
    }
}

/* ---- every month of ten thousand years, every day of four hundred ---- */

struct calendar {
    int year, month, day, weekday;
};

static const char *const weekday_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool is_leap(int year)
{
    if (year % 400 == 0)
        return true;
    return year % 4 == 0 && year % 100 != 0;
}

static int days_in(int year, int month)
{
    if (month == 1)
        return is_leap(year) ? 29 : 28;
    return month == 3 || month == 5 || month == 8 || month == 10 ? 30 : 31;
}

static void next_day(struct calendar *c)
{
    c->weekday = (c->weekday + 1) % 7;
    if (++c->day <= days_in(c->year, c->month))
        return;
    c->day = 1;
    if (++c->month < 12)
        return;
    c->month = 0;
    c->year++;
}

static void write_day(char *out, const struct calendar *c, const char *time)
{
    snprintf(out, 64, "%.3s, %02d %s %04d %s GMT", weekday_names[c->weekday], c->day,
             month_names[c->month], c->year, time);
}

/* The calendar repeats itself after 400 years; elsewhere it is enough to see where months begin and
 * end. */
static bool is_looked_at(const struct calendar *c)
{
    bool this_cycle = c->year >= 1800 && c->year < 2200;
    return this_cycle || c->day == 1 || c->day == days_in(c->year, c->month);
}

Test(date, every_month_from_0_to_9999, .timeout = 60)
{
    struct calendar c = {0, 0, 1, 6};
    int64_t unix_s = FIRST_S;
    for (; c.year <= 9999; next_day(&c), unix_s += 86400) {
        if (!is_looked_at(&c))
            continue;
        char expected[64], text[MH_DATE_LEN + 1];
        write_day(expected, &c, "00:00:00");
        int64_t back = 0;
        bool same = mh_date_format(text, unix_s) == MH_DATE_LEN && strcmp(text, expected) == 0 &&
                    mh_date_parse(&back, (mh_str){text, MH_DATE_LEN}, NOW_S) == 0 && back == unix_s;
        cr_assert(same, "%s is written as %s, read as %lld", expected, text, (long long)back);
    }
    cr_expect(unix_s == LAST_S + 1, "the calendar ends at %lld", (long long)unix_s);
}

Test(date, every_second_of_a_day)
{
    for (int64_t s = 0; s < 86400; s++) {
        char expected[64], text[MH_DATE_LEN + 1];
        snprintf(expected, sizeof expected, "Sun, 06 Nov 1994 %02d:%02d:%02d GMT", (int)(s / 3600),
                 (int)(s / 60 % 60), (int)(s % 60));
        int64_t back = 0;
        bool same = mh_date_format(text, 784080000 + s) == MH_DATE_LEN &&
                    strcmp(text, expected) == 0 &&
                    mh_date_parse(&back, mh_str_from(text), NOW_S) == 0 && back == 784080000 + s;
        cr_assert(same, "%s is written as %s, read as %lld", expected, text, (long long)back);
    }
}

/* ---- the three forms, and what is none of them ---- */

static const struct known other_forms[] = {
    {784111777, "Sunday, 06-Nov-94 08:49:37 GMT"},
    {784111777, "Sun Nov  6 08:49:37 1994"},
    {784111777, "Sun Nov 06 08:49:37 1994"}, /* date3 allows two digits */
    {785062177, "Thu Nov 17 08:49:37 1994"},
    {157766400, "Wednesday, 01-Jan-75 00:00:00 GMT"},
    {0, "Thu Jan  1 00:00:00 1970"},
    {1709164800, "Thursday, 29-Feb-24 00:00:00 GMT"},
    {LAST_S, "Fri Dec 31 23:59:59 9999"},
    {1483228800, "Sat, 31 Dec 2016 23:59:60 GMT"}, /* there was one */
    {1483228800, "Saturday, 31-Dec-16 23:59:60 GMT"},
    {1483228800, "Sat Dec 31 23:59:60 2016"},
};

Test(date, other_forms)
{
    for (size_t i = 0; i < sizeof other_forms / sizeof *other_forms; i++) {
        int64_t unix_s = 42;
        int err = parse(&unix_s, mh_str_from(other_forms[i].text), NOW_S);
        cr_expect(err == 0, "%s: %s", other_forms[i].text, mh_errname(err));
        cr_expect(unix_s == other_forms[i].unix_s, "%s: %lld", other_forms[i].text,
                  (long long)unix_s);
    }
}

static const char *const refused[] = {
    "",
    " ",
    "0",
    "784111777",
    "1994-11-06T08:49:37Z",
    "Sun",
    "Sun,",
    "Sun, ",
    /* IMF-fixdate */
    "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
    "sun, 06 Nov 1994 08:49:37 GMT",
    "SUN, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 06 NOV 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 gmt",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 +0000",
    "Sun, 06 Nov 1994 08:49:37 Z",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 GM",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
    " Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun,  06 Nov 1994 08:49:37 GMT",
    "Sun,06 Nov 1994 08:49:37 GMT",
    "Sun 06 Nov 1994 08:49:37 GMT",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun,  6 Nov 1994 08:49:37 GMT",
    "Sun, 006 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 94 08:49:37 GMT",
    "Sun, 06 Nov 01994 08:49:37 GMT",
    "Sun, 06 Nov -994 08:49:37 GMT",
    "Sun, 06 Nov +994 08:49:37 GMT",
    "Sun, 06-Nov-1994 08:49:37 GMT",
    "Sun, 06 November 1994 08:49:37 GMT",
    "Sunday, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 8:49:37 GMT",
    "Sun, 06 Nov 1994 08:49 GMT",
    "Sun, 06 Nov 1994 08.49.37 GMT",
    "Sun, 06 Nov 1994  8:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, 06 Nov 1994 08:49:60 GMT", /* a leap second is the last of its day */
    "Sun, 06 Nov 1994 23:58:60 GMT",
    "Sun, 06 Nov 1994 22:59:60 GMT",
    "Sun, 06 Nov 1994 23:59:61 GMT",
    "Sun, 06 Nov 1994 99:99:99 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Thu, 31 Nov 1994 08:49:37 GMT",
    "Thu, 01 Nov 1994 08:49:37 GMT",
    "Sun, 32 Jan 1994 08:49:37 GMT",
    "Wed, 29 Feb 1995 00:00:00 GMT",
    "Wed, 30 Feb 2000 00:00:00 GMT",
    "Thu, 29 Feb 1900 00:00:00 GMT",
    "Mon, 29 Feb 2100 00:00:00 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Foo, 06 Nov 1994 08:49:37 GMT",
    "Sun, 0x Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:3\xb3 GMT",
    /* RFC 850 */
    "Monday, 06-Nov-94 08:49:37 GMT",
    "Sun, 06-Nov-94 08:49:37 GMT",
    "sunday, 06-Nov-94 08:49:37 GMT",
    "Sunday, 06-Nov-1994 08:49:37 GMT",
    "Sunday, 6-Nov-94 08:49:37 GMT",
    "Sunday, 06 Nov 94 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37",
    "Sunday, 06-Nov-94 08:49:37 GMT ",
    "Sunday, 06-Nov-4 08:49:37 GMT",
    "Sunday, 32-Nov-94 08:49:37 GMT",
    "Sunday,06-Nov-94 08:49:37 GMT",
    "Sunda, 06-Nov-94 08:49:37 GMT",
    /* asctime */
    "Mon Nov  6 08:49:37 1994",
    "Sun Nov 6 08:49:37 1994",
    "Sun Nov   6 08:49:37 1994",
    "Sun Nov  06 08:49:37 1994",
    "Sun Nov  6 08:49:37 1994 ",
    "Sun Nov  6 08:49:37 1994\n",
    "Sun Nov  6 08:49:37 1994 GMT",
    "Sun Nov  6 08:49:37 94",
    "Sun Nov  6 08:49:37 19940",
    "Sun Nov  0 08:49:37 1994",
    "Sun, Nov  6 08:49:37 1994",
    "Sun nov  6 08:49:37 1994",
    "Sunday Nov  6 08:49:37 1994",
    "Sun Nov  a 08:49:37 1994",
};

Test(date, refused_and_the_output_left_alone)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        int64_t unix_s = 42;
        int err = parse(&unix_s, mh_str_from(refused[i]), NOW_S);
        cr_expect(err == -EINVAL, "\"%s\": %s", refused[i], mh_errname(err));
        cr_expect(unix_s == 42, "\"%s\": %lld was written", refused[i], (long long)unix_s);
    }
}

static void expect_only_whole(const char *text)
{
    size_t len = strlen(text);
    int64_t unix_s = 42;
    for (size_t i = 0; i < len; i++)
        cr_expect(parse(&unix_s, (mh_str){text, i}, NOW_S) == -EINVAL, "%zu bytes of %s", i, text);
    cr_expect(parse(&unix_s, (mh_str){text, len + 1}, NOW_S) == -EINVAL, "%s and a NUL", text);
    cr_expect(parse(&unix_s, (mh_str){text, len}, NOW_S) == 0, "all of %s", text);
}

Test(date, no_prefix_is_a_date)
{
    expect_only_whole("Sun, 06 Nov 1994 08:49:37 GMT");
    expect_only_whole("Sunday, 06-Nov-94 08:49:37 GMT");
    expect_only_whole("Sun Nov  6 08:49:37 1994");
}

Test(date, absent_text)
{
    int64_t unix_s = 42;
    cr_expect(mh_date_parse(&unix_s, (mh_str){0}, NOW_S) == -EINVAL, "absent text");
}

/* ---- two digits for the year ---- */

struct century {
    const char *text, *now, *meant; /* the last two as IMF-fixdate */
};

static const struct century centuries[] = {
    {"Sunday, 06-Nov-94 08:49:37 GMT", "Thu, 01 Jan 2026 00:00:00 GMT",
     "Sun, 06 Nov 1994 08:49:37 GMT"},
    {"Thursday, 01-Jan-26 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT",
     "Thu, 01 Jan 2026 00:00:00 GMT"},
    {"Sunday, 01-Jan-40 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT",
     "Sun, 01 Jan 2040 00:00:00 GMT"},
    /* fifty years ahead, not more */
    {"Wednesday, 01-Jan-76 00:00:00 GMT", "Thu, 01 Jan 2026 00:00:00 GMT",
     "Wed, 01 Jan 2076 00:00:00 GMT"},
    /* one second more */
    {"Thursday, 01-Jan-76 00:00:01 GMT", "Thu, 01 Jan 2026 00:00:00 GMT",
     "Thu, 01 Jan 1976 00:00:01 GMT"},
    /* the century turns on either side of now */
    {"Friday, 31-Dec-99 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:00 GMT",
     "Fri, 31 Dec 1999 23:59:59 GMT"},
    {"Saturday, 01-Jan-00 00:00:00 GMT", "Fri, 31 Dec 1999 23:59:59 GMT",
     "Sat, 01 Jan 2000 00:00:00 GMT"},
    {"Thursday, 01-Jan-15 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT",
     "Thu, 01 Jan 2015 00:00:00 GMT"},
    /* now is a 29 February; fifty years later there is none */
    {"Sunday, 29-Feb-76 00:00:00 GMT", "Thu, 29 Feb 2024 00:00:00 GMT",
     "Sun, 29 Feb 1976 00:00:00 GMT"},
    {"Wednesday, 28-Feb-74 00:00:00 GMT", "Thu, 29 Feb 2024 00:00:00 GMT",
     "Wed, 28 Feb 2074 00:00:00 GMT"},
};

static int64_t seconds(const char *text)
{
    int64_t unix_s = 0;
    cr_assert(mh_date_parse(&unix_s, mh_str_from(text), 0) == 0, "%s", text);
    return unix_s;
}

Test(date, two_digits_for_the_year)
{
    for (size_t i = 0; i < sizeof centuries / sizeof *centuries; i++) {
        int64_t unix_s = 42;
        int err = parse(&unix_s, mh_str_from(centuries[i].text), seconds(centuries[i].now));
        cr_expect(err == 0, "%s in %s: %s", centuries[i].text, centuries[i].now, mh_errname(err));
        cr_expect(unix_s == seconds(centuries[i].meant), "%s in %s: %lld", centuries[i].text,
                  centuries[i].now, (long long)unix_s);
    }
}

/* A clock that is not set must not overflow anything. */
Test(date, two_digits_and_an_absurd_clock)
{
    static const int64_t clocks[] = {INT64_MIN, FIRST_S - 1, -1, LAST_S, LAST_S + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        int64_t unix_s = 42;
        int valid = 0;
        for (int weekday = 0; weekday < 7; weekday++) {
            char text[64];
            snprintf(text, sizeof text, "%s, 06-Nov-70 08:49:37 GMT", weekday_names[weekday]);
            valid += mh_date_parse(&unix_s, mh_str_from(text), clocks[i]) == 0;
        }
        cr_expect(valid == 1, "%lld: %d weekdays are right", (long long)clocks[i], valid);
        cr_expect(unix_s >= -50 * INT64_C(31622400), "%lld: %lld", (long long)clocks[i],
                  (long long)unix_s);
    }
}

Test(date, the_clock_matters_only_for_two_digits)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int64_t unix_s = 42;
        cr_expect(parse(&unix_s, mh_str_from(known[i].text), INT64_MAX) == 0, "%s", known[i].text);
        cr_expect(unix_s == known[i].unix_s, "%s", known[i].text);
    }
}
