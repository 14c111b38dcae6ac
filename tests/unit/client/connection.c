/* From a name to a connection: lib/client/connection.c. getaddrinfo() is this file's own: a name
 * lists the addresses that it stands for, "1-2.test" is 127.0.0.1 and then 127.0.0.2. */
#include "stage.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/un.h>

#include "client/client.h"

#define ADDRESSES 16

static struct {
    struct addrinfo info;
    struct sockaddr_in6 addr;
} list[ADDRESSES];

static int lookups;

static void add_v4(int i, unsigned last)
{
    struct sockaddr_in *addr = (struct sockaddr_in *)(void *)&list[i].addr;
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(0x7f000000 | last)}};
    list[i].info = (struct addrinfo){
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)addr, .ai_addrlen = sizeof(*addr)};
}

static void add_v6(int i)
{
    list[i].addr =
        (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    list[i].info = (struct addrinfo){.ai_family = AF_INET6,
                                     .ai_addr = (struct sockaddr *)&list[i].addr,
                                     .ai_addrlen = sizeof(list[i].addr)};
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    int count = 0;
    (void)service;
    (void)hints;
    lookups++;
    if (*node < '0' || *node > '9')
        return EAI_NONAME;
    for (char *end; *node >= '0' && *node <= '9'; node = *end == '-' ? end + 1 : end) {
        unsigned last = (unsigned)strtoul(node, &end, 10);
        if (last == 0)
            add_v6(count++);
        else
            add_v4(count++, last);
        list[count].info.ai_next = NULL;
        if (count > 1)
            list[count - 2].info.ai_next = &list[count - 1].info;
    }
    *result = &list[0].info;
    return 0;
}

void freeaddrinfo(struct addrinfo *result)
{
    cr_assert_eq(result, &list[0].info);
}

TestSuite(connection, .timeout = 60);

static struct call a, b;

/* ---- addresses that race (RFC 8305) ---- */

/* Listeners on 127.0.0.1, .2, ..., all with the same port. */
enum kind { NOBODY, LISTENS, SILENT };

#define HOSTS 5

static struct {
    int listener[HOSTS], filler[HOSTS][4];
} net;
static int net_port;
static char net_url[100];

static int bound(unsigned last, int port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr = {htonl(0x7f000000 | last)}};
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A listener whose line is full does not answer. */
static void fill(int host)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    cr_assert_eq(getsockname(net.listener[host], (struct sockaddr *)&addr, &len), 0);
    for (int i = 0; i < 4; i++) {
        net.filler[host][i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(net.filler[host][i], (struct sockaddr *)&addr, len);
    }
}

/* All of the port's addresses are taken, so that nobody else comes in between. */
static bool try_net(const enum kind *kinds, int count, int port)
{
    for (int i = 0; i < count; i++) {
        net.listener[i] = bound((unsigned)i + 1, port);
        if (net.listener[i] < 0) {
            while (i-- > 0)
                close(net.listener[i]);
            return false;
        }
        if (kinds[i] != NOBODY)
            cr_assert_eq(listen(net.listener[i], kinds[i] == SILENT ? 0 : 16), 0);
    }
    return true;
}

static void net_open(const enum kind *kinds, int count, const char *name)
{
    int port;
    do {
        close(stage_listen("127.0.0.1:0", &port));
    } while (!try_net(kinds, count, port));
    for (int i = 0; i < count; i++) {
        if (kinds[i] == SILENT)
            fill(i);
    }
    net_port = port;
    snprintf(net_url, sizeof(net_url), "http://%s.test:%d/", name, port);
    stage_open(NULL);
}

static void net_close(int count)
{
    call_free(&a);
    call_free(&b);
    for (int i = 0; i < count; i++) {
        close(net.listener[i]);
        for (int k = 0; k < 4 && net.filler[i][k] > 0; k++)
            close(net.filler[i][k]);
    }
    stage_close();
}

static void expect_peer(int last)
{
    char text[100];
    snprintf(text, sizeof(text), "127.0.0.%d:%d", last, net_port);
    cr_assert_str_eq(a.res.peer, text);
}

static void reached(int last, int64_t least_ms, int64_t most_ms)
{
    int64_t from = mh__clock_ms();
    stage_submit(&a, (mh_fetch){.url = net_url});
    int fd = stage_accept_at(net.listener[last - 1]);
    int64_t took = mh__clock_ms() - from;
    cr_assert(took >= least_ms && took <= most_ms, "%d ms", (int)took);
    stage_exchange(&a, fd);
    expect_peer(last);
    cr_assert_geq(a.res.timings.resolved_us, 0);
    cr_assert_geq(a.res.timings.connected_us, a.res.timings.resolved_us);
    close(fd);
}

Test(connection, the_first_address)
{
    net_open((enum kind[]){LISTENS, LISTENS}, 2, "1-2");
    reached(1, 0, 200);
    cr_assert_not(is_ready(net.listener[1], POLLIN, 0), "the second one is not asked");
    net_close(2);
}

/* One that refuses is passed over at once. */
Test(connection, the_first_one_that_does_not_refuse)
{
    net_open((enum kind[]){NOBODY, NOBODY, LISTENS}, 3, "1-2-3");
    reached(3, 0, 200);
    net_close(3);
}

/* One that is silent has 250 ms. */
Test(connection, the_second_one_when_the_first_is_silent)
{
    net_open((enum kind[]){SILENT, LISTENS}, 2, "1-2");
    reached(2, 245, 900);
    net_close(2);
}

Test(connection, the_third_one_when_two_are_silent)
{
    net_open((enum kind[]){SILENT, SILENT, LISTENS}, 3, "1-2-3");
    reached(3, 490, 1200);
    net_close(3);
}

Test(connection, silence_and_a_refusal)
{
    net_open((enum kind[]){SILENT, NOBODY, LISTENS}, 3, "1-2-3");
    reached(3, 245, 900);
    net_close(3);
}

/* The other family comes second, whatever the resolver's order. */
Test(connection, the_families_take_turns)
{
    net_open((enum kind[]){SILENT, SILENT, LISTENS}, 3, "1-2-3-0");
    char address[40];
    snprintf(address, sizeof(address), "[::1]:%d", net_port);
    int v6 = mh__listen(address);
    if (v6 >= 0) { /* where there is no IPv6 there is nothing to see */
        stage_submit(&a, (mh_fetch){.url = net_url});
        int64_t from = mh__clock_ms();
        int fd = stage_accept_at(v6);
        cr_assert_lt(mh__clock_ms() - from, 450);
        stage_exchange(&a, fd);
        cr_assert_str_eq(a.res.peer, address);
        close(fd);
        close(v6);
    }
    net_close(3);
}

/* Whoever loses is closed, and a first one that comes late may win. */
Test(connection, the_others_are_closed)
{
    net_open((enum kind[]){SILENT, LISTENS}, 2, "1-2");
    reached(2, 245, 900);
    int fd;
    for (int i = 0; i < 4; i++) { /* those who stood in line before */
        fd = accept4(net.listener[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            close(fd);
    }
    net_close(2);
}

Test(connection, everybody_refuses)
{
    net_open((enum kind[]){NOBODY, NOBODY}, 2, "1-2");
    stage_submit(&a, (mh_fetch){.url = net_url, .method = "POST"});
    stage_finish(&a);
    call_expect(&a, -ECONNREFUSED, MH_PHASE_CONNECT, NULL);
    cr_assert(a.res.retryable);
    cr_assert_not_null(a.res.peer, "who has refused");
    cr_assert_eq(strncmp(a.res.peer, "127.0.0.", 8), 0, "%s", a.res.peer);
    cr_assert_geq(a.res.timings.resolved_us, 0);
    cr_assert_eq(a.res.timings.connected_us, -1);
    net_close(2);
}

Test(connection, everybody_is_silent)
{
    net_open((enum kind[]){SILENT, SILENT}, 2, "1-2");
    stage_submit(&a, (mh_fetch){.url = net_url, .connect_timeout_ms = 400});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_CONNECT, "no connection within 400 ms");
    net_close(2);
}

Test(connection, the_time_is_over_before_the_second_one)
{
    net_open((enum kind[]){SILENT, LISTENS}, 2, "1-2");
    stage_submit(&a, (mh_fetch){.url = net_url, .connect_timeout_ms = 50});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_CONNECT, "no connection within 50 ms");
    stage_rest(250);
    cr_assert_not(is_ready(net.listener[1], POLLIN, 0));
    net_close(2);
}

/* No more than MH__ADDRESSES_MAX are tried. */
Test(connection, more_addresses_than_are_tried)
{
    net_open((enum kind[]){NOBODY, LISTENS}, 2, "1-1-1-1-1-1-1-1-2");
    stage_submit(&a, (mh_fetch){.url = net_url});
    stage_finish(&a);
    call_expect(&a, -ECONNREFUSED, MH_PHASE_CONNECT, NULL);
    net_close(2);
}

/* What a name said is good for a while, and for all who ask meanwhile. */
Test(connection, a_name_is_asked_for_once)
{
    net_open((enum kind[]){LISTENS}, 1, "1");
    stage_submit(&a, (mh_fetch){.url = net_url});
    stage_submit(&b, (mh_fetch){.url = net_url});
    int one = stage_accept_at(net.listener[0]), two = stage_accept_at(net.listener[0]);
    stage_exchange(&a, one);
    stage_exchange(&b, two);
    close(one);
    stage_hang_up(two);
    stage_submit(&a, (mh_fetch){.url = net_url});
    one = stage_accept_at(net.listener[0]);
    stage_exchange(&a, one);
    cr_assert_eq(lookups, 1);
    close(one);
    net_close(1);
}

Test(connection, no_such_name)
{
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.url = "http://no.invalid/"});
    stage_submit(&b, (mh_fetch){.url = "http://no.invalid/"});
    stage_finish(&a);
    stage_finish(&b);
    call_expect(&a, MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
    call_expect(&b, MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
    stage_submit(&a, (mh_fetch){.url = "http://no.invalid/"});
    stage_finish(&a);
    cr_assert_geq(lookups, 2, "a failure is not remembered");
    call_free(&a);
    call_free(&b);
    stage_close();
}

/* ---- other places ---- */

Test(connection, an_address_in_place_of_the_name)
{
    char line[100];
    int port, other = stage_listen("127.0.0.1:0", &port);
    snprintf(line, sizeof(line), "Example.com:80=127.0.0.1:%d", port);
    stage_open(&(mh_client_options){.addresses = (const char *const[]){line, NULL}});
    stage_submit(&a, (mh_fetch){.url = "http://example.COM/x"});
    int fd = stage_accept_at(other);
    stage_exchange(&a, fd);
    cr_assert(strcasestr(heard, "\r\nHost: example.com\r\n"));
    cr_assert_eq(lookups, 0);
    cr_assert_str_eq(a.res.peer, strchr(line, '=') + 1);
    stage_submit(&b, (mh_fetch){.url = "http://example.com:81/"});
    stage_finish(&b);
    call_expect(&b, MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
    call_free(&a);
    call_free(&b);
    close(fd);
    close(other);
    stage_close();
}

Test(connection, a_unix_socket)
{
    char folder[] = "/tmp/minihttp-XXXXXX", address[64], line[100], words[100];
    cr_assert(mkdtemp(folder));
    snprintf(address, sizeof(address), "unix:%s/socket", folder);
    snprintf(line, sizeof(line), "docker:80=%s", address);
    stage_count();
    int other = mh__listen(address);
    cr_assert_geq(other, 0);
    stage_open(&(mh_client_options){.addresses = (const char *const[]){line, NULL}});
    stage_submit(&a, (mh_fetch){.url = "http://docker/info"});
    int fd = stage_accept_at(other);
    stage_exchange(&a, fd);
    cr_assert(strstr(heard, "\r\nHost: docker\r\n"));
    cr_assert_str_eq(a.res.peer, address);
    stage_submit(&a, (mh_fetch){.url = "http://docker/info"});
    stage_exchange(&a, fd);
    cr_assert(a.res.timings.reused);
    close(fd);
    close(other);
    unlink(address + 5);
    stage_rest(5);
    stage_submit(&a, (mh_fetch){.url = "http://docker/info"});
    stage_finish(&a);
    snprintf(words, sizeof(words), "%s: No such file or directory", address);
    call_expect(&a, -ENOENT, MH_PHASE_CONNECT, words);
    cr_assert_str_eq(a.res.peer, address);
    rmdir(folder);
    call_free(&a);
    stage_close();
}

/* ---- a proxy for http ---- */

static char proxy[120];

static void proxy_open(const char *login)
{
    int port, other = stage_listen("127.0.0.1:0", &port);
    snprintf(proxy, sizeof(proxy), "http://%s127.0.0.1:%d", login, port);
    stage_open(&(mh_client_options){.proxy = proxy, .no_proxy = "direct.test"});
    close(stage.listener);
    stage.listener = other;
    snprintf(stage.authority, sizeof(stage.authority), "127.0.0.1:%d", port);
}

static void proxy_close(int fd)
{
    call_free(&a);
    call_free(&b);
    close(fd);
    stage_close();
}

static bool head_has(const char *line)
{
    const char *at = strstr(heard, line);
    return at && at < strstr(heard, "\r\n\r\n") + 2;
}

Test(connection, a_proxy_is_asked_for_the_whole_url)
{
    proxy_open("user:pass@");
    stage_submit(&a, (mh_fetch){.url = "http://u:p@some.test:8080/path?query#fragment"});
    int fd = stage_accept();
    stage_exchange(&a, fd);
    const char line[] = "GET http://some.test:8080/path?query HTTP/1.1\r\n";
    cr_assert_eq(strncmp(heard, line, strlen(line)), 0, "%s", heard);
    cr_assert(head_has("Host: some.test:8080\r\n"));
    cr_assert(head_has("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"));
    cr_assert(head_has("Authorization: Basic dTpw\r\n"));
    cr_assert_eq(lookups, 0, "that is for the proxy to do");
    cr_assert_str_eq(a.res.peer, stage.authority);
    stage_submit(&a, (mh_fetch){.url = "http://other.test"});
    stage_exchange(&a, fd);
    cr_assert(a.res.timings.reused, "whatever the host");
    const char other[] = "GET http://other.test/ HTTP/1.1\r\n";
    cr_assert_eq(strncmp(heard, other, strlen(other)), 0, "%s", heard);
    cr_assert(head_has("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"));
    cr_assert_not(head_has("\r\nAuthorization"));
    proxy_close(fd);
}

Test(connection, a_redirect_by_a_proxy)
{
    proxy_open("user:pass@");
    stage_submit(&a, (mh_fetch){.url = "http://one.test/",
                                .headers = (const char *const[]){"Cookie: c", NULL}});
    int fd = stage_accept();
    stage_hear(fd);
    cr_assert(head_has("Cookie: c\r\n"));
    stage_say(fd, "HTTP/1.1 302 -\r\nLocation: http://two.test/\r\nContent-Length: 0\r\n\r\n");
    stage_exchange(&a, fd);
    cr_assert_eq(strncmp(heard, "GET http://two.test/ ", 21), 0);
    cr_assert_not(head_has("Cookie"));
    cr_assert(head_has("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "that is the proxy's");
    proxy_close(fd);
}

Test(connection, past_the_proxy)
{
    proxy_open("");
    stage_submit(&a, (mh_fetch){.url = "http://direct.test/"});
    stage_finish(&a);
    call_expect(&a, MH_ERR_RESOLVE, MH_PHASE_RESOLVE, gai_strerror(EAI_NONAME));
    cr_assert(nobody_comes());
    call_free(&a);
    stage_close();
}

Test(connection, a_proxy_that_refuses)
{
    proxy_open("");
    stage_submit(&a, (mh_fetch){.url = "http://some.test/"});
    int fd = stage_accept();
    stage_hear(fd);
    cr_assert_not(head_has("Proxy-Authorization"));
    stage_say(fd, "HTTP/1.1 407 -\r\nContent-Length: 0\r\n\r\n");
    stage_finish(&a);
    call_expect(&a, 407, MH_PHASE_DONE, NULL);
    proxy_close(fd);
}

/* ---- a tunnel ---- */

static int ask_for_tunnel(mh_fetch fetch)
{
    if (!fetch.url)
        fetch.url = "https://some.test/secret?path";
    stage_submit(&a, fetch);
    int fd = stage_accept();
    stage_hear(fd);
    cr_assert_not(strstr(heard, "secret"));
    return fd;
}

static void tunnel_fails(const char *answer, bool closes, int err, const char *words)
{
    proxy_open("");
    int fd = ask_for_tunnel((mh_fetch){.method = "POST", .body = MH_STR("x")});
    stage_say(fd, answer);
    if (closes)
        shutdown(fd, SHUT_WR);
    stage_finish(&a);
    call_expect(&a, err, MH_PHASE_PROXY, words);
    cr_assert(a.res.retryable, "nothing of the request was sent");
    cr_assert_eq(a.res.status, 0, "the proxy's answer is not the peer's");
    cr_assert_str_eq(a.res.peer, stage.authority);
    cr_assert_eq(a.heads, 0);
    stage_expect_closed(fd);
    call_free(&a);
    stage_close();
}

Test(connection, a_tunnel_is_asked_for)
{
    if (!mh__tls_available)
        return;
    proxy_open("user:pass@");
    int fd = ask_for_tunnel((mh_fetch){0});
    cr_assert_str_eq(heard, "CONNECT some.test:443 HTTP/1.1\r\nHost: some.test:443\r\n"
                            "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
    mh_client_cancel(&a.res);
    stage_finish(&a);
    call_expect(&a, -ECANCELED, MH_PHASE_PROXY, NULL);
    close(fd);
    fd = ask_for_tunnel((mh_fetch){.url = "https://[::1]:8443/"});
    cr_assert_eq(strncmp(heard, "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n", 47), 0);
    mh_client_cancel(&a.res);
    stage_finish(&a);
    proxy_close(fd);
}

Test(connection, a_tunnel_is_refused)
{
    if (!mh__tls_available)
        return;
    tunnel_fails("HTTP/1.1 407 -\r\nContent-Length: 0\r\n\r\n", false, MH_ERR_PROXY,
                 "the proxy answered 407 Proxy Authentication Required");
    tunnel_fails("HTTP/1.1 502 Bad\r\nContent-Length: 10\r\n\r\n", false, MH_ERR_PROXY,
                 "the proxy answered 502 Bad Gateway");
    tunnel_fails("HTTP/1.1 302 -\r\nLocation: http://h/\r\n\r\n", false, MH_ERR_PROXY,
                 "the proxy answered 302 Found");
    tunnel_fails("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 403 -\r\n\r\n", false, MH_ERR_PROXY,
                 "the proxy answered 403 Forbidden");
}

Test(connection, a_tunnel_and_the_proxy_closes)
{
    if (!mh__tls_available)
        return;
    tunnel_fails("", true, MH_ERR_PROXY, "the proxy closed before it had answered");
    tunnel_fails("HTTP/1.1 200 O", true, MH_ERR_PROXY, "the proxy closed before it had answered");
    tunnel_fails("HTTP/1.1 100 Continue\r\n\r\n", true, MH_ERR_PROXY,
                 "the proxy closed before it had answered");
}

/* Behind the tunnel nobody speaks before the client does. */
Test(connection, a_tunnel_and_more)
{
    if (!mh__tls_available)
        return;
    tunnel_fails("HTTP/1.1 200 OK\r\n\r\nx", false, MH_ERR_PROXY,
                 "the proxy sent more than its answer to CONNECT");
}

Test(connection, a_tunnel_and_garbage)
{
    if (!mh__tls_available)
        return;
    proxy_open("");
    int fd = ask_for_tunnel((mh_fetch){0});
    stage_say(fd, "garbage\r\n\r\n");
    stage_finish(&a);
    cr_assert_eq(a.result, MH_ERR_MALFORMED);
    cr_assert_eq(a.res.phase, MH_PHASE_PROXY);
    cr_assert(a.res.detail && strstr(a.res.detail, "offset 0"), "%s", a.res.detail);
    proxy_close(fd);
}

Test(connection, a_tunnel_and_silence)
{
    if (!mh__tls_available)
        return;
    proxy_open("");
    int fd = ask_for_tunnel((mh_fetch){.connect_timeout_ms = 50});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_PROXY, "no connection within 50 ms");
    close(fd);
    fd = ask_for_tunnel((mh_fetch){.timeout_ms = 50});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_PROXY, "not complete within 50 ms");
    proxy_close(fd);
}

Test(connection, a_tunnel_and_an_endless_answer)
{
    static char fields[MH_FETCH_HEAD_MAX + 10000];
    if (!mh__tls_available)
        return;
    for (size_t i = 0; i + 8 < sizeof(fields); i += 6)
        memcpy(fields + i, "A: b\r\n", 6);
    proxy_open("");
    int fd = ask_for_tunnel((mh_fetch){0});
    stage_say(fd, "HTTP/1.1 200 OK\r\n");
    for (size_t at = 0; a.done == 0 && at < strlen(fields); at += 1000)
        (void)!send(fd, fields + at, 1000, MSG_NOSIGNAL), stage_turn();
    stage_finish(&a);
    cr_assert_eq(a.result, MH_ERR_TOO_LARGE);
    cr_assert_eq(a.res.phase, MH_PHASE_PROXY);
    cr_assert_not_null(a.res.detail);
    proxy_close(fd);
}

/* It could go on for ever, a few bytes at a time. */
Test(connection, a_tunnel_and_endless_interim_answers)
{
    if (!mh__tls_available)
        return;
    proxy_open("");
    int fd = ask_for_tunnel((mh_fetch){.connect_timeout_ms = 300});
    for (int i = 0; i < 100000 && a.done == 0; i++) {
        (void)!send(fd, "HTTP/1.1 102 -\r\n\r\n", 18, MSG_NOSIGNAL);
        stage_turn();
    }
    cr_assert(a.result == -ETIMEDOUT || a.result == MH_ERR_TOO_LARGE, "%s", mh_errname(a.result));
    cr_assert_eq(a.res.phase, MH_PHASE_PROXY);
    proxy_close(fd);
}

Test(connection, no_proxy_there)
{
    proxy_open("");
    stage_submit(&a, (mh_fetch){.url = "http://some.test/"});
    shutdown(stage.listener, SHUT_RDWR); /* nobody listens, and the port stays taken */
    stage_finish(&a);
    char words[100];
    snprintf(words, sizeof(words), "proxy %s: Connection refused", a.res.peer);
    call_expect(&a, -ECONNREFUSED, MH_PHASE_CONNECT, words);
    call_free(&a);
    stage_close();
}

/* What the options say is nearer than what the environment says. */
Test(connection, an_address_of_the_options_goes_before_a_proxy_of_the_environment)
{
    char line[100];
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    stage_open(NULL);
    snprintf(line, sizeof(line), "docker:80=%s", stage.url + strlen("http://"));
    line[strlen(line) - 1] = '\0'; /* the "/" */
    mh_client_free(stage.client);
    mh_client_options options = {.addresses = (const char *const[]){line, NULL}};
    cr_assert_eq(mh_client_new(&stage.client, &options), 0);
    stage_submit(&a, (mh_fetch){.url = "http://docker/info"});
    int fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert(strstr(heard, "GET /info HTTP/1.1\r\nHost: docker\r\n"), "%s", heard);
    close(fd);
    call_free(&a);
    stage_close();
    unsetenv("http_proxy");
}
