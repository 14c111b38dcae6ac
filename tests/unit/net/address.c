/* Text to socket addresses: lib/net/address.c. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "net/net.h"

Test(address, an_ipv4_literal)
{
    struct mh__address at;
    cr_assert(mh__literal_address(&at, MH_STR("127.0.0.1"), 8080));
    const struct sockaddr_in *in = (const struct sockaddr_in *)&at.addr;
    cr_assert_eq(in->sin_family, AF_INET);
    cr_assert_eq(in->sin_port, htons(8080));
    cr_assert_eq(in->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    cr_assert_eq(at.len, sizeof(struct sockaddr_in));
}

Test(address, an_ipv6_literal)
{
    struct mh__address at;
    cr_assert(mh__literal_address(&at, MH_STR("::1"), 80));
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&at.addr;
    cr_assert_eq(in->sin6_family, AF_INET6);
    cr_assert_eq(in->sin6_port, htons(80));
    cr_assert_eq(memcmp(&in->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback)), 0);
    cr_assert_eq(at.len, sizeof(struct sockaddr_in6));
}

Test(address, what_is_no_literal_leaves_the_output)
{
    static const char *const names[] = {"",
                                        "localhost",
                                        "127.1",
                                        "1.2.3.4.5",
                                        "0x7f.0.0.1",
                                        "1.2.3.256",
                                        "[::1]",
                                        "::1%lo",
                                        ":::",
                                        "127.0.0.1 ",
                                        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct mh__address at = {.len = 7};
        cr_assert_not(mh__literal_address(&at, mh_str_from(names[i]), 80), "%s", names[i]);
        cr_assert_eq(at.len, 7);
    }
}

Test(address, a_nul_is_not_the_end_of_a_literal)
{
    struct mh__address at;
    cr_assert_not(mh__literal_address(&at, MH_STR("127.0.0.1\0x"), 80));
}

Test(address, host_and_port)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"localhost:80", "localhost", 80},
                {":8080", "", 8080},
                {"127.0.0.1:0", "127.0.0.1", 0},
                {"[::1]:65535", "::1", 65535},
                {"[::]:00080", "::", 80}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        mh_str host;
        uint16_t port;
        cr_assert_eq(mh__host_port(mh_str_from(good[i].text), &host, &port), 0, "%s", good[i].text);
        cr_assert(mh_str_equal(host, good[i].host), "%s", good[i].text);
        cr_assert_eq(port, good[i].port, "%s", good[i].text);
    }
}

Test(address, what_is_no_host_and_port_is_refused_and_leaves_the_output)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "80",
                                      "localhost",
                                      "localhost:",
                                      "localhost:+80",
                                      ":65536",
                                      ":100000",
                                      ":-1",
                                      ": 80",
                                      ":80 ",
                                      ":8o",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[::1]:",
                                      "[]:80",
                                      "[::1:80",
                                      "::1]:80",
                                      "[127.0.0.1]:80",
                                      "[host]:1",
                                      "a:b:80",
                                      "[",
                                      ":000080",
                                      ":18446744073709551696"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        mh_str host = MH_STR("before");
        uint16_t port = 7;
        cr_assert_eq(mh__host_port(mh_str_from(bad[i]), &host, &port), -EINVAL, "%s", bad[i]);
        cr_assert(mh_str_equal(host, "before"), "%s", bad[i]);
    }
}

Test(address, unix_paths)
{
    struct mh__address at;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    memset(path, 'p', sizeof(path));
    cr_assert_eq(mh__unix_address(&at, (mh_str){path, sizeof(path) - 1}), 0);
    cr_assert_eq(((const struct sockaddr_un *)&at.addr)->sun_path[sizeof(path) - 1], '\0');
    cr_assert_eq(mh__unix_address(&at, (mh_str){path, sizeof(path)}), -ENAMETOOLONG);
    cr_assert_eq(mh__unix_address(&at, MH_STR("")), -EINVAL);
    cr_assert_eq(mh__unix_address(&at, MH_STR("a\0b")), -EINVAL);
}

/* ---- back to text ---- */

static struct mh__address unix_address(const char *path)
{
    struct mh__address at;
    cr_assert_eq(mh__unix_address(&at, mh_str_from(path)), 0);
    return at;
}

static struct mh__address ip_address(const char *ip, uint16_t port)
{
    struct mh__address at;
    cr_assert(mh__literal_address(&at, mh_str_from(ip), port), "%s", ip);
    return at;
}

static void expect_text(const struct mh__address *address, const char *text)
{
    char out[MH__ADDRESS_TEXT_MAX];
    mh__address_text(out, sizeof(out), address);
    cr_assert_str_eq(out, text);
}

Test(address, ip_addresses_as_text)
{
    static const struct {
        const char *ip;
        uint16_t port;
        const char *text;
    } cases[] = {
        {"127.0.0.1", 80, "127.0.0.1:80"},
        {"0.0.0.0", 0, "0.0.0.0:0"},
        {"255.255.255.255", 65535, "255.255.255.255:65535"},
        {"10.0.0.1", 9, "10.0.0.1:9"},
        {"10.0.0.1", 10, "10.0.0.1:10"},
        {"::1", 80, "[::1]:80"},
        {"::", 10000, "[::]:10000"},
        {"FD00:0:0::0A", 443, "[fd00::a]:443"},
        {"1111:2222:3333:4444:5555:6666:7777:8888", 65535,
         "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"},
        {"::ffff:1.2.3.4", 1, "[::ffff:1.2.3.4]:1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mh__address at = ip_address(cases[i].ip, cases[i].port);
        expect_text(&at, cases[i].text);
    }
}

Test(address, unix_addresses_as_text)
{
    struct mh__address at = unix_address("/run/web.sock");
    expect_text(&at, "unix:/run/web.sock");
    at.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 4); /* as accept() may say it */
    expect_text(&at, "unix:/run");
    at.len = offsetof(struct sockaddr_un, sun_path); /* without a name */
    expect_text(&at, "unix:");
    at.len = 0;
    expect_text(&at, "unix:");
}

/* Linux lets a path fill all of sun_path, without a NUL. */
Test(address, the_longest_path_as_text)
{
    struct mh__address at = unix_address("/");
    struct sockaddr_un *un = (struct sockaddr_un *)&at.addr;
    char text[MH__ADDRESS_TEXT_MAX] = "unix:";
    memset(un->sun_path, 'p', sizeof(un->sun_path));
    memset((char *)&at.addr + sizeof(*un), 'q', sizeof(at.addr) - sizeof(*un));
    memset(text + 5, 'p', sizeof(un->sun_path));
    text[5 + sizeof(un->sun_path)] = '\0';
    expect_text(&at, text);
}

Test(address, no_text_for_other_families)
{
    struct mh__address at = {.addr = {.ss_family = AF_UNSPEC}};
    expect_text(&at, "");
}

Test(address, text_is_cut_where_there_is_no_room)
{
    static const char text[] = "[fd00::a]:443";
    struct mh__address ip = ip_address("fd00::a", 443), path = unix_address("/run/web.sock");
    for (size_t cap = 2; cap <= sizeof(text); cap++) {
        char *out = malloc(cap);
        cr_assert(out);
        mh__address_text(out, cap, &ip);
        cr_assert_eq(strlen(out), cap - 1);
        cr_assert_arr_eq(out, text, cap - 1);
        mh__address_text(out, cap, &path);
        cr_assert_eq(strlen(out), cap - 1);
        cr_assert_arr_eq(out, "unix:/run/web.sock", cap - 1);
        free(out);
    }
}

Test(address, the_bytes_of_an_ip_address)
{
    struct mh__address v4 = ip_address("1.2.3.4", 80), v6 = ip_address("::102", 80),
                       path = unix_address("/x");
    mh_str ip = mh__address_ip(&v4);
    cr_assert_eq(ip.len, 4);
    cr_assert_arr_eq(ip.ptr, "\1\2\3\4", 4);
    ip = mh__address_ip(&v6);
    cr_assert_eq(ip.len, 16);
    cr_assert_arr_eq(ip.ptr, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\2", 16);
    cr_assert_null(mh__address_ip(&path).ptr);
}
