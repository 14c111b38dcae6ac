/* The blocks of scan.h against its plain way, and the table of chars.h against the grammar. */
#include "http/scan.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef const char *scan(const char *floor, const char *p, const char *end);
typedef const char *plain(const char *p, const char *end);

static const struct {
    const char *name;
    scan *blocks;
    plain *plain;
    char filler; /* a byte that each of them passes */
} scans[] = {
    {"value", mh__scan_value, mh__plain_value, 'a'},
    {"target", mh__scan_target, mh__plain_target, 'a'},
    {"name", mh__scan_name, mh__plain_name, 'a'},
};

enum { SCANS = sizeof scans / sizeof *scans, LONGEST = 70 };

static void same(size_t which, const char *floor, const char *p, const char *end, const char *what)
{
    const char *a = scans[which].blocks(floor, p, end), *b = scans[which].plain(p, end);
    cr_assert_eq(a, b, "%s: %s: blocks stop at %td of %td, plain at %td", scans[which].name, what,
                 a - p, end - p, b - p);
}

/* Each byte value at each place of runs of each length, with every number of bytes in front. */
Test(scan, every_byte_at_every_place)
{
    char text[LONGEST];
    for (size_t which = 0; which < SCANS; which++) {
        memset(text, scans[which].filler, sizeof text);
        for (size_t at = 0; at < 40; at++) {
            for (int byte = 0; byte < 256; byte++) {
                text[at] = (char)byte;
                for (size_t from = 0; from <= at; from += 5)
                    same(which, text, text + from, text + 48, "one odd byte");
                same(which, text + at, text + at, text + at + 1, "alone");
                same(which, text, text + at, text + at + 1, "last");
                text[at] = scans[which].filler;
            }
        }
    }
}

Test(scan, every_length_without_a_stop)
{
    char text[LONGEST];
    memset(text, 'a', sizeof text);
    for (size_t which = 0; which < SCANS; which++) {
        for (size_t len = 0; len < sizeof text; len++) {
            for (size_t from = 0; from <= len; from++)
                same(which, text, text + from, text + len, "no stop");
        }
    }
}

Test(scan, random_texts)
{
    unsigned seed = 9112;
    char text[LONGEST];
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)rand_r(&seed) % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(rand_r(&seed) % 8 ? 'a' + rand_r(&seed) % 26 : rand_r(&seed));
        size_t from = len ? (size_t)rand_r(&seed) % len : 0;
        for (size_t which = 0; which < SCANS; which++)
            same(which, text, text + from, text + len, "random");
    }
}

/* Not a byte outside of [floor, end) is read: both ends lie at pages that may not be. */
Test(scan, reads_nothing_outside)
{
    enum { PAGE = 4096 };
    char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pages, MAP_FAILED);
    cr_assert_eq(mprotect(pages, PAGE, PROT_NONE), 0);
    cr_assert_eq(mprotect(pages + 2 * PAGE, PAGE, PROT_NONE), 0);
    char *first = pages + PAGE, *end = pages + 2 * PAGE;
    memset(first, 'a', PAGE);
    for (size_t which = 0; which < SCANS; which++) {
        for (ptrdiff_t len = 0; len < LONGEST; len++) {
            same(which, end - len, end - len, end, "at the upper page");
            same(which, first, first, first + len, "at the lower page");
        }
    }
    munmap(pages, 3 * PAGE);
}

/* The table, from the words of the RFCs. */

static bool alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool one_of(int c, const char *set)
{
    return c != 0 && c < 128 && strchr(set, c) != NULL;
}

static bool is_target(int c)
{
    return alnum(c) || one_of(c, "-._~"
                                 "!$&'()*+,;="
                                 ":@"
                                 "/?");
}

static bool is_value(int c)
{
    return c == '\t' || (c >= 0x20 && c <= 0x7e) || c >= 0x80;
}

Test(chars, the_table_is_the_grammar)
{
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        cr_assert_eq(mh__is(byte, MH__TOKEN), alnum(c) || one_of(c, "!#$%&'*+-.^_`|~"),
                     "token: 0x%02x", c);
        cr_assert_eq(mh__is(byte, MH__TARGET), is_target(c), "target: 0x%02x", c);
        cr_assert_eq(mh__is(byte, MH__URI), is_target(c) || one_of(c, "[]"), "URI: 0x%02x", c);
        cr_assert_eq(mh__is(byte, MH__VALUE), is_value(c), "value: 0x%02x", c);
        cr_assert_eq(mh__is(byte, MH__QUOTED), is_value(c) && !one_of(c, "\"\\"), "quoted: 0x%02x",
                     c);
    }
}
