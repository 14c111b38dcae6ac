/* Where to connect in place of what a name says: lib/client/hosts.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/hosts.h"
#include "../scarce.h"

static const char *why;

static int init_one(struct mh__hosts *hosts, const char *line)
{
    const char *const lines[] = {line, NULL};
    why = NULL;
    return mh__hosts_init(hosts, lines, &why);
}

static void expect(const struct mh__hosts *hosts, const char *host, uint16_t port, const char *text)
{
    struct mh__address found = {.len = 7};
    char found_text[MH__ADDRESS_TEXT_MAX];
    bool is_there = mh__hosts_find(hosts, mh_str_from(host), port, &found);
    cr_assert_eq(is_there, text != NULL, "%s:%u", host, port);
    if (!is_there) {
        cr_assert_eq(found.len, 7, "%s:%u", host, port);
        return;
    }
    mh__address_text(found_text, sizeof(found_text), &found);
    cr_assert_str_eq(found_text, text, "%s:%u", host, port);
}

Test(hosts, what_a_line_says)
{
    static const struct {
        const char *line, *host;
        uint16_t port;
        const char *address;
    } cases[] = {
        {"example.com:80=127.0.0.1:8080", "example.com", 80, "127.0.0.1:8080"},
        {"example.com:443=[::1]:8443", "example.com", 443, "[::1]:8443"},
        {"example.com:80=unix:/run/web.sock", "example.com", 80, "unix:/run/web.sock"},
        {"Example.COM:80=127.0.0.1:1", "eXAMPLE.com", 80, "127.0.0.1:1"},
        {"127.0.0.1:65535=127.0.0.2:65535", "127.0.0.1", 65535, "127.0.0.2:65535"},
        {"[::1]:80=127.0.0.1:80", "::1", 80, "127.0.0.1:80"},
        {"h:1=unix:/a=b:c", "h", 1, "unix:/a=b:c"},
        {"h:1=unix:here", "h", 1, "unix:here"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mh__hosts hosts;
        cr_assert_eq(init_one(&hosts, cases[i].line), 0, "%s: %s", cases[i].line, why ? why : "");
        cr_assert_null(why);
        expect(&hosts, cases[i].host, cases[i].port, cases[i].address);
        expect(&hosts, cases[i].host, (uint16_t)(cases[i].port + 1), NULL);
        expect(&hosts, "other.example", cases[i].port, NULL);
        mh__hosts_deinit(&hosts);
    }
}

Test(hosts, the_first_line_of_several)
{
    static const char *const lines[] = {"a:80=127.0.0.1:1", "a:81=127.0.0.1:2", "b:80=127.0.0.1:3",
                                        "A:80=127.0.0.1:4", NULL};
    struct mh__hosts hosts;
    cr_assert_eq(mh__hosts_init(&hosts, lines, &why), 0);
    cr_assert_eq(hosts.count, 4);
    expect(&hosts, "a", 80, "127.0.0.1:1");
    expect(&hosts, "a", 81, "127.0.0.1:2");
    expect(&hosts, "b", 80, "127.0.0.1:3");
    expect(&hosts, "b", 81, NULL);
    expect(&hosts, "", 80, NULL);
    expect(&hosts, "aa", 80, NULL);
    mh__hosts_deinit(&hosts);
}

Test(hosts, none)
{
    static const char *const no_lines[] = {NULL};
    struct mh__hosts hosts = {.count = 7};
    cr_assert_eq(mh__hosts_init(&hosts, NULL, &why), 0);
    cr_assert_eq(hosts.count, 0);
    expect(&hosts, "a", 80, NULL);
    cr_assert_eq(mh__hosts_init(&hosts, no_lines, &why), 0);
    expect(&hosts, "a", 80, NULL);
    mh__hosts_deinit(&hosts);
    mh__hosts_deinit(&hosts);
}

static void refuses(const char *line, const char *words)
{
    struct mh__hosts hosts = {.count = 7};
    cr_assert_eq(init_one(&hosts, line), -EINVAL, "%s", line);
    cr_assert(why && strstr(why, words), "%s: %s", line, why ? why : "no words");
    cr_assert_eq(hosts.count, 7);
}

Test(hosts, a_bad_line_in_words)
{
    static const char *const name[] = {"=127.0.0.1:80",   "h=127.0.0.1:80",   ":80=127.0.0.1:80",
                                       "h:0=127.0.0.1:1", "h:x=127.0.0.1:80", "h:65536=127.0.0.1:1",
                                       "::1:80=[::1]:80"};
    static const char *const address[] = {
        "h:80=",       "h:80=127.0.0.1", "h:80=127.0.0.1:0",    "h:80=127.0.0.1:",   "h:80=:80",
        "h:80=::1:80", "h:80=[::1]",     "h:80=[127.0.0.1]:80", "h:80=localhost:80", "h:80=UNIX:/x",
        "h:80=unix"};
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++)
        refuses(name[i], "before the '='");
    for (size_t i = 0; i < sizeof(address) / sizeof(address[0]); i++)
        refuses(address[i], "behind the '='");
    refuses("", "without '='");
    refuses("h:80", "without '='");
    refuses("h:80=unix:", "unix socket");
}

Test(hosts, what_is_too_long)
{
    char line[512], long_text[300];
    struct mh__hosts hosts;
    memset(long_text, 'h', sizeof(long_text));
    snprintf(line, sizeof(line), "%.255s:80=127.0.0.1:80", long_text);
    cr_assert_eq(init_one(&hosts, line), 0);
    long_text[255] = '\0';
    expect(&hosts, long_text, 80, "127.0.0.1:80");
    mh__hosts_deinit(&hosts);
    long_text[255] = 'h';
    snprintf(line, sizeof(line), "%.256s:80=127.0.0.1:80", long_text);
    refuses(line, "255 bytes");
    snprintf(line, sizeof(line), "h:80=unix:/%.107s", long_text);
    refuses(line, "unix socket");
}

/* What the good one in front of it has taken is given back, as the gate sees. */
Test(hosts, a_bad_line_between_good_ones)
{
    static const char *const lines[] = {"a:80=127.0.0.1:1", "b", "c:80=127.0.0.1:1", NULL};
    struct mh__hosts hosts = {.count = 7};
    cr_assert_eq(mh__hosts_init(&hosts, lines, &why), -EINVAL);
    cr_assert_eq(hosts.count, 7);
}

Test(hosts, no_memory)
{
    struct mh__hosts hosts = {.count = 7};
    allocations_left = 0;
    cr_assert_eq(init_one(&hosts, "a:80=127.0.0.1:1"), -ENOMEM);
    cr_assert_eq(hosts.count, 7);
    cr_assert_null(why);
}
