/* date.c: HTTP dates (RFC 9110 section 5.6.7). Only arithmetic: no time zone, locale or clock. */
#include <minihttp/message.h>

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define DAY_S INT64_C(86400)
#define EPOCH_DAY INT64_C(719528) /* days from 0000-01-01 to 1970-01-01 */
#define FIRST_WEEKDAY 6           /* 0000-01-01 is a Saturday */
#define YEAR_MAX 9999

static const char weekdays[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                     "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct date {
    int64_t year;
    int month; /* 0..11 */
    int day;   /* 1..31 */
    int weekday, hour, minute, second;
};

/* ---- the calendar: Gregorian, also before there was one; years and days are not negative ---- */

static int month_len(int64_t year, int month)
{
    static const uint8_t lens[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return lens[month] + (month == 1 && leap);
}

/* Days from 0000-01-01 to the first of that year. */
static int64_t days_before(int64_t year)
{
    return year * 365 + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static int64_t day_number(const struct date *date)
{
    int64_t days = days_before(date->year) + date->day - 1;
    for (int month = 0; month < date->month; month++)
        days += month_len(date->year, month);
    return days;
}

static int weekday_of(int64_t days)
{
    return (int)((days + FIRST_WEEKDAY) % 7);
}

static int64_t unix_seconds(const struct date *date)
{
    int64_t days = day_number(date) - EPOCH_DAY;
    return days * DAY_S + date->hour * INT64_C(3600) + date->minute * INT64_C(60) + date->second;
}

/* 400 years have 146097 days; the guess is at most one year off. */
static int64_t year_of(int64_t days)
{
    int64_t year = days * 400 / 146097;
    if (days_before(year + 1) <= days)
        return year + 1;
    return days_before(year) <= days ? year : year - 1;
}

static struct date date_of(int64_t unix_s)
{
    int64_t seconds = unix_s + EPOCH_DAY * DAY_S;
    int64_t days = seconds / DAY_S;
    int of_day = (int)(seconds % DAY_S);
    struct date date = {.year = year_of(days),
                        .weekday = weekday_of(days),
                        .hour = of_day / 3600,
                        .minute = of_day / 60 % 60,
                        .second = of_day % 60};
    int day = (int)(days - days_before(date.year));
    while (day >= month_len(date.year, date.month))
        day -= month_len(date.year, date.month++);
    date.day = day + 1;
    return date;
}

/* ---- writing ---- */

static bool can_be_written(int64_t unix_s)
{
    int64_t end = days_before(YEAR_MAX + 1);
    return unix_s >= -EPOCH_DAY * DAY_S && unix_s < (end - EPOCH_DAY) * DAY_S;
}

static void put_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

int mh_date_format(char out[MH_DATE_LEN + 1], int64_t unix_s)
{
    if (!can_be_written(unix_s))
        return -ERANGE;
    struct date date = date_of(unix_s);
    memcpy(out, "www, dd mmm yyyy hh:mm:ss GMT", MH_DATE_LEN + 1);
    memcpy(out, weekdays[date.weekday], 3);
    put_two(out + 5, date.day);
    memcpy(out + 8, months[date.month], 3);
    put_two(out + 12, (int)date.year / 100);
    put_two(out + 14, (int)date.year % 100);
    put_two(out + 17, date.hour);
    put_two(out + 20, date.minute);
    put_two(out + 23, date.second);
    return MH_DATE_LEN;
}

/* ---- reading ---- */

/* Exactly `len` digits, or -1. */
static int take_number(mh_str *rest, size_t len)
{
    int value = 0;
    for (size_t i = 0; i < len; i++) {
        if (i == rest->len || !mh__is_digit(rest->ptr[i]))
            return -1;
        value = value * 10 + (rest->ptr[i] - '0');
    }
    *rest = mh__str_from(*rest, len);
    return value;
}

static bool take_text(mh_str *rest, const char *text, size_t len)
{
    if (rest->len < len || memcmp(rest->ptr, text, len) != 0)
        return false;
    *rest = mh__str_from(*rest, len);
    return true;
}

static int take_weekday(mh_str *rest, bool in_full)
{
    for (int i = 0; i < 7; i++) {
        if (take_text(rest, weekdays[i], in_full ? strlen(weekdays[i]) : 3))
            return i;
    }
    return -1;
}

static int take_month(mh_str *rest)
{
    for (int i = 0; i < 12; i++) {
        if (take_text(rest, months[i], 3))
            return i;
    }
    return -1;
}

static int take_padded_day(mh_str *rest)
{
    return take_text(rest, " ", 1) ? take_number(rest, 1) : take_number(rest, 2);
}

/* One directive of a pattern, named as strptime() names them. -1: the text does not fit. */
static int take_directive(mh_str *rest, char directive, struct date *date)
{
    switch (directive) {
    case 'a':
        return date->weekday = take_weekday(rest, false);
    case 'A':
        return date->weekday = take_weekday(rest, true);
    case 'b':
        return date->month = take_month(rest);
    case 'd':
        return date->day = take_number(rest, 2);
    case 'e':
        return date->day = take_padded_day(rest);
    case 'H':
        return date->hour = take_number(rest, 2);
    case 'M':
        return date->minute = take_number(rest, 2);
    case 'S':
        return date->second = take_number(rest, 2);
    case 'y':
        return (int)(date->year = take_number(rest, 2));
    default:
        return (int)(date->year = take_number(rest, 4));
    }
}

static bool fits(mh_str text, const char *pattern, struct date *date)
{
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p != '%' && !take_text(&text, p, 1))
            return false;
        if (*p == '%' && take_directive(&text, *++p, date) < 0)
            return false;
    }
    return text.len == 0;
}

/* A leap second is the last one of a day (RFC 9110 section 5.6.7 with RFC 5322 section 3.3). */
static bool time_is_valid(const struct date *date)
{
    bool leap_second = date->hour == 23 && date->minute == 59 && date->second == 60;
    return date->hour < 24 && date->minute < 60 && (date->second < 60 || leap_second);
}

static bool date_is_valid(const struct date *date)
{
    return date->day >= 1 && date->day <= month_len(date->year, date->month) &&
           date->weekday == weekday_of(day_number(date)) && time_is_valid(date);
}

/* A clock that shows a time before 1970, or a year of five digits, is not set. */
static int64_t sane_clock(int64_t now_s)
{
    if (now_s < 0)
        return 0;
    return can_be_written(now_s) ? now_s : (days_before(YEAR_MAX) - EPOCH_DAY) * DAY_S;
}

/* Of all years with those two digits the latest that is not more than 50 years ahead of now (RFC
 * 9110 section 5.6.7). */
static int64_t full_year(const struct date *date, int64_t now_s)
{
    struct date latest = date_of(sane_clock(now_s));
    latest.year += 50;
    struct date guess = *date;
    guess.year += latest.year - latest.year % 100;
    if (unix_seconds(&guess) > unix_seconds(&latest))
        guess.year -= 100;
    return guess.year;
}

int mh_date_parse(int64_t *unix_s, mh_str text, int64_t now_s)
{
    struct date date = {0};
    if (fits(text, "%A, %d-%b-%y %H:%M:%S GMT", &date))
        date.year = full_year(&date, now_s);
    else if (!fits(text, "%a, %d %b %Y %H:%M:%S GMT", &date) &&
             !fits(text, "%a %b %e %H:%M:%S %Y", &date))
        return -EINVAL;
    if (!date_is_valid(&date))
        return -EINVAL;
    *unix_s = unix_seconds(&date);
    return 0;
}
