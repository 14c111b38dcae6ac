/* Which proxy a URL goes by: lib/client/proxy.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/proxy.h"
#include "../scarce.h"

/* Each case is a process of its own, so that its environment is too. */
static void forget_environment(void)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
}

TestSuite(proxy, .init = forget_environment);

static const char *why;
static struct mh__proxies proxies;

static int init(const char *proxy, const char *no_proxy)
{
    why = NULL;
    return mh__proxies_init(&proxies, proxy, no_proxy, &why);
}

static const struct mh__proxy *find(const char *text)
{
    mh_url url;
    cr_assert_eq(mh_url_parse(&url, mh_str_from(text)), 0, "%s", text);
    return mh__proxies_find(&proxies, &url);
}

/* By which host, or NULL. */
static void expect_by(const char *url, const char *host)
{
    const struct mh__proxy *proxy = find(url);
    cr_assert_eq(proxy != NULL, host != NULL, "%s", url);
    if (host)
        cr_assert(mh_str_equal(proxy->host, host), "%s", url);
}

/* ---- what a proxy is ---- */

Test(proxy, forms)
{
    static const struct {
        const char *proxy, *host;
        uint16_t port;
        const char *authorization;
    } cases[] = {
        {"http://proxy.example:3128", "proxy.example", 3128, NULL},
        {"http://proxy.example:3128/", "proxy.example", 3128, NULL},
        {"HTTP://proxy.example", "proxy.example", 80, NULL},
        {"http://proxy.example:", "proxy.example", 80, NULL},
        {"proxy.example:8080", "proxy.example", 8080, NULL},
        {"proxy.example", "proxy.example", 80, NULL},
        {"127.0.0.1:3128", "127.0.0.1", 3128, NULL},
        {"[::1]:3128", "::1", 3128, NULL},
        {"http://[::1]", "::1", 80, NULL},
        {"http://user:pass@p:1", "p", 1, "Basic dXNlcjpwYXNz"},
        {"user:pass@p:1/", "p", 1, "Basic dXNlcjpwYXNz"},
        {"http://user@p", "p", 80, "Basic dXNlcjo="},
        {"http://us%65r:p%61ss@p", "p", 80, "Basic dXNlcjpwYXNz"},
        {"http://user:a%40b@[::1]:2", "::1", 2, "Basic dXNlcjphQGI="},
        {"http://:@p", "p", 80, "Basic Og=="},
        {"http://@p", "p", 80, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(init(cases[i].proxy, NULL), 0, "%s: %s", cases[i].proxy, why ? why : "");
        cr_assert_null(why);
        for (int secure = 0; secure < 2; secure++) {
            const struct mh__proxy *proxy = find(secure ? "https://h/" : "http://h/");
            cr_assert(proxy, "%s", cases[i].proxy);
            cr_assert(mh_str_equal(proxy->host, cases[i].host), "%s", cases[i].proxy);
            cr_assert_eq(proxy->port, cases[i].port, "%s", cases[i].proxy);
            cr_assert(mh_str_equal(proxy->authorization, cases[i].authorization), "%s",
                      cases[i].proxy);
        }
        mh__proxies_deinit(&proxies);
    }
}

static void refuses(const char *proxy, int expected, const char *words)
{
    mh__proxies_deinit(&proxies);
    cr_assert_eq(init(proxy, "x"), expected, "%s", proxy);
    cr_assert(why && strstr(why, words), "%s: %s", proxy ? proxy : "", why ? why : "no words");
    cr_assert_null(proxies.http.host.ptr);
    cr_assert_null(proxies.no_proxy.data);
}

Test(proxy, forms_that_are_refused)
{
    static const char *const malformed[] = {
        "http://",
        "http://p:0",
        "http://p:65536",
        "http://p:x",
        "http://p/path",
        "http://p/?",
        "http://p?q",
        "http://p#f",
        "http://p#",
        "http://p p",
        " http://p",
        "http://p ",
        "://p",
        ":80",
        "::1",
        "[::1",
        "http:/p",
        "http://u%3Ax:y@p",
        "u:%zz@p",
        "http://u:%00@p",
        "http://u:p%0a@p",
        "http://p\r\n",
        "http://p/http://q",
        "\xc3\xa4",
    };
    static const char *const schemes[] = {"https://p:443", "HTTPS://p", "socks5://p:1080",
                                          "socks5h://p",   "socks://p", "ftp://p"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
        refuses(malformed[i], MH_ERR_URL, "proxy: malformed");
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        refuses(schemes[i], MH_ERR_SCHEME, "proxy: not an http:// proxy");
}

Test(proxy, an_error_leaves_what_was_there)
{
    cr_assert_eq(init("p:1", "direct"), 0);
    cr_assert_eq(mh__proxies_init(&proxies, "p:0", NULL, &why), MH_ERR_URL);
    expect_by("http://h/", "p");
    expect_by("http://direct/", NULL);
    mh__proxies_deinit(&proxies);
}

Test(proxy, none)
{
    setenv("http_proxy", "env:1", 1);
    setenv("https_proxy", "env:1", 1);
    cr_assert_eq(init("", NULL), 0);
    expect_by("http://h/", NULL);
    expect_by("https://h/", NULL);
    mh__proxies_deinit(&proxies);
    mh__proxies_deinit(&proxies);
    expect_by("http://h/", NULL);
}

/* ---- the environment ---- */

struct set {
    const char *name, *value;
};

Test(proxy, variables)
{
    static const struct {
        struct set set[5];
        const char *http, *https;
    } cases[] = {
        {{{NULL, NULL}}, NULL, NULL},
        {{{"http_proxy", "a:1"}}, "a", NULL},
        {{{"HTTP_PROXY", "a:1"}}, NULL, NULL},
        {{{"https_proxy", "a:1"}}, NULL, "a"},
        {{{"HTTPS_PROXY", "a:1"}}, NULL, "a"},
        {{{"https_proxy", "a:1"}, {"HTTPS_PROXY", "b:1"}}, NULL, "a"},
        {{{"all_proxy", "a:1"}}, "a", "a"},
        {{{"ALL_PROXY", "a:1"}}, "a", "a"},
        {{{"all_proxy", "a:1"}, {"ALL_PROXY", "b:1"}}, "a", "a"},
        {{{"http_proxy", "a:1"}, {"all_proxy", "b:1"}}, "a", "b"},
        {{{"HTTPS_PROXY", "a:1"}, {"all_proxy", "b:1"}}, "b", "a"},
        {{{"http_proxy", "a:1"}, {"https_proxy", "b:1"}, {"ALL_PROXY", "c:1"}}, "a", "b"},
        {{{"http_proxy", ""}, {"https_proxy", ""}, {"all_proxy", ""}}, NULL, NULL},
        {{{"http_proxy", ""}, {"https_proxy", ""}, {"HTTPS_PROXY", "b:1"}, {"ALL_PROXY", "c:1"}},
         "c",
         "b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        forget_environment();
        for (const struct set *it = cases[i].set; it->name; it++)
            setenv(it->name, it->value, 1);
        cr_assert_eq(init(NULL, NULL), 0, "%zu", i);
        expect_by("http://h/", cases[i].http);
        expect_by("https://h/", cases[i].https);
        expect_by("HTTPS://h/", cases[i].https);
        mh__proxies_deinit(&proxies);
    }
}

Test(proxy, a_bad_variable_is_named)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        forget_environment();
        setenv(names[i], "http://p:x", 1);
        refuses(NULL, MH_ERR_URL, names[i]);
        setenv(names[i], "socks5://p:1080", 1);
        refuses(NULL, MH_ERR_SCHEME, names[i]);
    }
}

Test(proxy, a_bad_variable_that_is_not_needed_is_not_read)
{
    setenv("https_proxy", "a:1", 1);
    setenv("HTTPS_PROXY", "%", 1);
    setenv("HTTP_PROXY", "%", 1);
    cr_assert_eq(init(NULL, NULL), 0);
    mh__proxies_deinit(&proxies);
    setenv("all_proxy", "%", 1);
    cr_assert_eq(init("b:1", NULL), 0);
    mh__proxies_deinit(&proxies);
}

Test(proxy, no_proxy_is_that_of_where_the_proxy_is_from)
{
    setenv("all_proxy", "p:1", 1);
    setenv("NO_PROXY", "upper", 1);
    cr_assert_eq(init(NULL, "option"), 0);
    expect_by("http://upper/", NULL);
    expect_by("http://option/", "p");
    mh__proxies_deinit(&proxies);

    setenv("no_proxy", "lower", 1);
    cr_assert_eq(init(NULL, NULL), 0);
    expect_by("http://lower/", NULL);
    expect_by("https://lower/", NULL);
    expect_by("http://upper/", "p");
    mh__proxies_deinit(&proxies);

    setenv("no_proxy", "", 1);
    cr_assert_eq(init(NULL, NULL), 0);
    expect_by("http://upper/", NULL);
    mh__proxies_deinit(&proxies);

    cr_assert_eq(init("q:1", "option"), 0);
    expect_by("http://option/", NULL);
    expect_by("http://upper/", "q");
    mh__proxies_deinit(&proxies);
}

/* ---- what goes directly ---- */

static const struct {
    const char *list, *url;
    bool directly;
} exclusions[] = {
    {"", "http://h/", false},
    {" , ,\t,", "http://h/", false},

    /* everything */
    {"*", "http://h/", true},
    {"*", "https://[::1]/", true},
    {"a,*", "http://h/", true},
    {"*.com", "http://h.com/", false},
    {"**", "http://h/", false},

    /* domains */
    {"example.com", "http://example.com/", true},
    {"example.com", "https://example.com:8443/", true},
    {"example.com", "http://www.example.com/", true},
    {"example.com", "http://a.b.example.com/", true},
    {"example.com", "http://notexample.com/", false},
    {"example.com", "http://example.com.org/", false},
    {"example.com", "http://com/", false},
    {"example.com", "http://example.org/", false},
    {".example.com", "http://example.com/", true},
    {".example.com", "http://www.example.com/", true},
    {".example.com", "http://notexample.com/", false},
    {"..example.com", "http://example.com/", false},
    {"EXAMPLE.com", "http://www.Example.COM/", true},
    {"example.com.", "http://example.com/", true},
    {"example.com", "http://www.example.com./", true},
    {".example.com.", "http://example.com./", true},
    {"com", "http://example.com/", true},
    {"localhost", "http://localhost:8080/", true},
    {".", "http://h/", false},
    {".", "http://./", false},
    {"h", "http://./", false},
    {"..", "http://h/", false},

    /* several */
    {"a,b", "http://b/", true},
    {"a b", "http://b/", true},
    {"a\tb", "http://b/", true},
    {"a , b", "http://a/", true},
    {",,a,", "http://a/", true},
    {"a,b", "http://c/", false},
    {"ab", "http://b/", false},

    /* ports */
    {"example.com:8080", "http://example.com:8080/", true},
    {"example.com:8080", "http://www.example.com:8080/", true},
    {"example.com:8080", "http://example.com/", false},
    {"example.com:80", "http://example.com/", true},
    {"example.com:443", "https://example.com/", true},
    {"example.com:443", "http://example.com/", false},
    {".example.com:80", "http://www.example.com/", true},
    {"example.com.:80", "http://example.com/", true},
    {"127.0.0.1:80", "http://127.0.0.1/", true},
    {"127.0.0.1:81", "http://127.0.0.1/", false},
    {"[::1]:80", "http://[::1]/", true},
    {"[::1]:81", "http://[::1]/", false},
    {"example.com:", "http://example.com/", false},
    {"example.com:x", "http://example.com/", false},
    {"example.com:65616", "http://example.com/", false},
    {"a:b:80", "http://a/", false},
    {":80", "http://h/", false},
    {"*:80", "http://h/", false},

    /* addresses */
    {"127.0.0.1", "http://127.0.0.1:8080/", true},
    {"127.0.0.1", "http://127.0.0.2/", false},
    {"[127.0.0.1]", "http://127.0.0.1/", true},
    {"[127.0.0.1]:80", "http://127.0.0.1/", false},
    {"::1", "http://[::1]/", true},
    {"[::1]", "http://[::1]/", true},
    {"0:0:0:0:0:0:0:1", "http://[::1]/", true},
    {"[FD00::0A]", "http://[fd00:0::a]/", true},
    {"::1", "http://[0::0001]:81/", true},
    {"::1", "http://[::2]/", false},
    {"::1:80", "http://[::1]/", false},
    {"::1:80", "http://[::1:80]/", true},
    {"::7f00:1", "http://127.0.0.1/", false},
    {"127.0.0.1", "http://[::ffff:127.0.0.1]/", false},
    {"::ffff:127.0.0.1", "http://[::ffff:7f00:1]/", true},
    {"0.1", "http://127.0.0.1/", false},
    {".0.0.1", "http://127.0.0.1/", false},
    {"1", "http://[::1]/", false},
    {"127.0.0.1", "http://a.127.0.0.1/", false},
    {"127.0.0.1", "http://127.1/", false},
    {"[::1", "http://[::1]/", false},
    {"::1]", "http://[::1]/", false},
    {"[]", "http://h/", false},
    {"[", "http://h/", false},
    {"[h]", "http://h/", false},
    {"[::1]80", "http://[::1]/", false},

    /* networks */
    {"10.0.0.0/8", "http://10.255.0.1/", true},
    {"10.0.0.0/8", "http://11.0.0.1/", false},
    {"10.1.2.3/8", "http://10.9.9.9/", true},
    {"192.168.64.0/18", "http://192.168.127.255/", true},
    {"192.168.64.0/18", "http://192.168.128.0/", false},
    {"192.168.64.0/18", "http://192.168.63.255/", false},
    {"192.168.1.1/32", "http://192.168.1.1/", true},
    {"192.168.1.1/32", "http://192.168.1.0/", false},
    {"192.168.1.0/31", "http://192.168.1.1/", true},
    {"192.168.1.0/31", "http://192.168.1.2/", false},
    {"128.0.0.0/1", "http://255.0.0.1/", true},
    {"128.0.0.0/1", "http://127.0.0.1/", false},
    {"1.2.3.4/0", "http://9.9.9.9/", true},
    {"0.0.0.0/0", "http://[::1]/", false},
    {"0.0.0.0/0", "http://h/", false},
    {"::/0", "http://[fe80::1]/", true},
    {"::/0", "http://127.0.0.1/", false},
    {"::/0", "http://h/", false},
    {"fd00::/8", "http://[fdab::1]/", true},
    {"fd00::/8", "http://[fc00::1]/", false},
    {"fc00::/7", "http://[fdab::1]/", true},
    {"[fd00::]/8", "http://[fdab::1]/", true},
    {"::1/128", "http://[::1]/", true},
    {"::1/128", "http://[::]/", false},
    {"::1/127", "http://[::]/", true},
    {"10.0.0.0/08", "http://10.0.0.1/", true},
    {"10.0.0.0/33", "http://10.0.0.0/", false},
    {"::1/129", "http://[::1]/", false},
    {"::1/999", "http://[::1]/", false},
    {"10.0.0.0/", "http://10.0.0.0/", false},
    {"10.0.0.0/0008", "http://10.0.0.0/", false},
    {"10.0.0.0/-8", "http://10.0.0.0/", false},
    {"10.0.0.0/8x", "http://10.0.0.0/", false},
    {"10.0.0.0/ 8", "http://10.0.0.0/", false},
    {"10.0.0.0/8/8", "http://10.0.0.0/", false},
    {"10.0.0.0/8:80", "http://10.0.0.0/", false},
    {"10/8", "http://10.0.0.1/", false},
    {"/8", "http://10.0.0.1/", false},
    {"h/8", "http://h/", false},
    {"10.0.0.0/33,10.0.0.0", "http://10.0.0.0/", true},
};

Test(proxy, exclusions)
{
    for (size_t i = 0; i < sizeof(exclusions) / sizeof(exclusions[0]); i++) {
        cr_assert_eq(init("p:1", exclusions[i].list), 0);
        cr_assert_eq(find(exclusions[i].url) == NULL, exclusions[i].directly, "\"%s\" %s",
                     exclusions[i].list, exclusions[i].url);
        mh__proxies_deinit(&proxies);
    }
}

/* No byte of it stops the list from being read, or is read too far. */
Test(proxy, every_byte_in_an_element)
{
    for (int byte = 1; byte < 256; byte++) {
        char list[] = {'x', (char)byte, 'y', ',', 'h', '\0'};
        cr_assert_eq(init("p:1", list), 0);
        expect_by("http://h/", NULL);
        expect_by("http://other/", "p");
        mh__proxies_deinit(&proxies);
    }
}

Test(proxy, no_memory)
{
    setenv("http_proxy", "http://user:pass@a:1", 1);
    setenv("https_proxy", "user:pass@b:1", 1);
    setenv("no_proxy", "h", 1);
    int allowed = 0, err;
    do {
        allocations_left = allowed++;
        err = init(NULL, NULL);
        cr_assert(err == 0 || (err == -ENOMEM && !proxies.http.host.ptr), "%d", err);
        cr_assert_null(why);
    } while (err < 0);
    cr_assert_gt(allowed, 6);
    expect_by("http://g/", "a");
    mh__proxies_deinit(&proxies);
}
