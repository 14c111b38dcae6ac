/* Byte strings: equal or not, in any case. */
#include <string.h>

#include <criterion/criterion.h>

#include "base/str.h"

static const mh_str absent = {NULL, 0};

Test(str, from)
{
    mh_str s = mh_str_from("abc");
    cr_expect(s.len == 3 && memcmp(s.ptr, "abc", 3) == 0, "abc");
    s = mh_str_from("");
    cr_expect(s.len == 0 && s.ptr, "an empty string is there");
    s = mh_str_from(NULL);
    cr_expect(s.len == 0 && !s.ptr, "NULL is absent");
    s = MH_STR("a\0b");
    cr_expect(s.len == 3, "a literal keeps its NUL");
}

struct pair {
    const char *name;
    mh_str a;
    const char *b;
    bool equal, equal_nocase;
};

static const struct pair pairs[] = {
    {"same", {"abc", 3}, "abc", true, true},
    {"both empty", {"", 0}, "", true, true},
    {"other case", {"aBc", 3}, "AbC", false, true},
    {"other letter", {"abc", 3}, "abd", false, false},
    {"shorter", {"ab", 2}, "abc", false, false},
    {"longer", {"abcd", 4}, "abc", false, false},
    {"a slice", {"abcd", 3}, "abc", true, true},
    {"empty and not", {"", 0}, "a", false, false},
    {"not and empty", {"a", 1}, "", false, false},
    {"a NUL inside", {"a\0b", 3}, "a", false, false},
    {"a NUL at the end", {"a\0", 2}, "a", false, false},
    {"absent and NULL", {NULL, 0}, NULL, true, true},
    {"absent and empty", {NULL, 0}, "", false, false},
    {"empty and NULL", {"", 0}, NULL, false, false},
    {"at sign and backtick", {"@", 1}, "`", false, false},
    {"bracket and brace", {"[", 1}, "{", false, false},
    {"bytes above 0x7f", {"\xc4", 1}, "\xe4", false, false},
    {"all letters", {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 26}, "abcdefghijklmnopqrstuvwxyz", false, true},
};

Test(str, equal)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct pair *it = &pairs[i];
        cr_expect(mh_str_equal(it->a, it->b) == it->equal, "%s", it->name);
        cr_expect(mh_str_equal_nocase(it->a, it->b) == it->equal_nocase, "%s, any case", it->name);
    }
}

Test(str, same_takes_absent_for_empty)
{
    cr_expect(mh__str_same(absent, MH_STR("")), "absent and empty");
    cr_expect(mh__str_same(absent, absent), "absent twice");
    cr_expect(mh__str_same_nocase(MH_STR(""), absent), "empty and absent, any case");
    cr_expect(!mh__str_same(absent, MH_STR("a")), "absent and a letter");
    cr_expect(!mh__str_same_nocase(absent, MH_STR("a")), "absent and a letter, any case");
}

Test(str, from_an_offset)
{
    mh_str s = MH_STR("abc");
    cr_expect(mh_str_equal(mh__str_from(s, 0), "abc"), "from 0");
    cr_expect(mh_str_equal(mh__str_from(s, 2), "c"), "from 2");
    cr_expect(mh_str_equal(mh__str_from(s, 3), ""), "from the end");
}

Test(str, classes_of_every_byte)
{
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        const char *digit = i != 0 ? strchr("0123456789", i) : NULL;
        const char *upper = i != 0 ? strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ", i) : NULL;
        cr_expect(mh__is_digit(c) == (digit != NULL), "is 0x%02x a digit", (unsigned)i);
        char lower = upper ? "abcdefghijklmnopqrstuvwxyz"[*upper - 'A'] : c;
        cr_expect(mh__lower(c) == lower, "0x%02x in lower case", (unsigned)i);
    }
}

Test(str, hex_value_of_every_byte)
{
    static const char lower[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    for (int i = 0; i < 256; i++) {
        const char *at = i != 0 ? strchr(lower, i) : NULL;
        const char *at_upper = i != 0 ? strchr(upper, i) : NULL;
        int value = at ? (int)(at - lower) : at_upper ? (int)(at_upper - upper) : -1;
        cr_expect(mh__hex((char)i) == value, "0x%02x as a digit", (unsigned)i);
    }
}
