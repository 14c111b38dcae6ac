/* self.c: does the simulator itself do what lib/loop/loop.h promises? A small client on sockets and
 * a service that sends back what it gets, in all weathers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "mem.h"
#include "sim.h"

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            sim_fail("%s:%d: not so: %s", __FILE__, __LINE__, #what);                              \
    } while (0)

static int passed;

/* ---- a service that sends back what it gets ---- */

static struct {
    int opened, closed;
    size_t got;
} echo;

static void echo_opened(struct sim_conn *conn)
{
    (void)conn;
    echo.opened++;
}

static void echo_received(struct sim_conn *conn, const char *data, size_t len)
{
    echo.got += len;
    sim_send(conn, data, len);
}

static void echo_closed(struct sim_conn *conn)
{
    (void)conn;
    echo.closed++;
}

static const struct sim_service echo_service = {
    .opened = echo_opened, .received = echo_received, .closed = echo_closed};

/* ---- a client ---- */

#define TEXT_SIZE 5000

struct talk {
    struct mh__socket socket;
    struct mh__lookup lookup;
    struct mh__timer timer;
    mh_loop *loop;
    char text[TEXT_SIZE], back[TEXT_SIZE];
    size_t len;
    int connected, sent, released, found, fired;
    int connect_err, found_err;
    ssize_t end; /* 1: not yet */
    struct mh__addresses addresses;
    const char *why;
};

static struct talk *talk_of(struct mh__socket *socket)
{
    return MH__CONTAINER(socket, struct talk, socket);
}

static void on_sent(struct mh__socket *socket, int err)
{
    talk_of(socket)->sent++;
    CHECK(err == 0 || sim.given[-err]);
}

static void on_connected(struct mh__socket *socket, int err)
{
    struct talk *talk = talk_of(socket);
    talk->connected++;
    talk->connect_err = err;
    if (err < 0)
        return;
    struct iovec pieces[2] = {{talk->text, 10}, {talk->text + 10, TEXT_SIZE - 10}};
    CHECK(mh__socket_receive(socket, true) == 0);
    talk->sent += mh__socket_send(socket, pieces, 2);
}

static void on_received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct talk *talk = talk_of(socket);
    CHECK(talk->end == 1);
    if (len <= 0) {
        talk->end = len;
        return;
    }
    CHECK((size_t)len <= TEXT_SIZE - talk->len);
    memcpy(talk->back + talk->len, data, (size_t)len);
    talk->len += (size_t)len;
}

static void on_released(struct mh__socket *socket)
{
    talk_of(socket)->released++;
}

static const struct mh__socket_events events = {on_connected, on_received, on_sent, on_released};

static void on_found(struct mh__lookup *lookup, int err, const struct mh__addresses *addresses,
                     const char *why)
{
    struct talk *talk = MH__CONTAINER(lookup, struct talk, lookup);
    talk->found++;
    talk->found_err = err;
    talk->why = why;
    if (err == 0)
        talk->addresses = *addresses;
}

static void on_time(struct mh__timer *timer)
{
    MH__CONTAINER(timer, struct talk, timer)->fired++;
}

static void begin(struct talk *talk, uint64_t seed)
{
    sim_begin(seed);
    memset(&echo, 0, sizeof(echo));
    memset(talk, 0, sizeof(*talk));
    talk->end = 1;
    talk->lookup.found = on_found;
    talk->timer.expired = on_time;
    for (size_t i = 0; i < TEXT_SIZE; i++)
        talk->text[i] = (char)random_next(&sim.random);
    CHECK(mh_loop_new(&talk->loop) == 0);
    mh__loop_hold(talk->loop); /* a loop that nothing holds does not wait */
}

static void end(struct talk *talk)
{
    mh__loop_release(talk->loop);
    mh_loop_free(talk->loop);
    sim_settle();
    sim_end();
    passed++;
}

static void connect_to(struct talk *talk, const char *text)
{
    struct mh__address to;
    CHECK(mh__literal_address(&to, mh_str_from(text), 80));
    CHECK(mh__socket_connect(&talk->socket, talk->loop, &events, &to) == 0);
    CHECK(talk->connected == 0);
}

static void turn_while(struct talk *talk, const int *still_zero)
{
    while (*still_zero == 0)
        CHECK(mh__loop_turn(talk->loop, -1) == 0);
}

/* ---- cases ---- */

static void bad_weather(void)
{
    sim.weather = (struct sim_weather){.delay_us = random_below(&sim.random, 20000),
                                       .cut = random_below(&sim.random, 1001),
                                       .piece_max = random_between(&sim.random, 1, 300),
                                       .window = random_between(&sim.random, 1, 3000),
                                       .short_send = random_below(&sim.random, 1001),
                                       .turn_us = random_below(&sim.random, 100)};
}

/* All of it comes back, whole and in order, whatever the weather. Returns the log. */
static uint64_t echoes(uint64_t seed)
{
    struct talk talk;
    begin(&talk, seed);
    bad_weather();
    sim_place_add(NULL, "10.0.0.1", SIM_ACCEPTS, &echo_service)->delay_us = 1000;
    connect_to(&talk, "10.0.0.1");
    while (talk.len < TEXT_SIZE)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    while (talk.sent == 0)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    CHECK(talk.connected == 1 && talk.connect_err == 0 && talk.sent == 1);
    CHECK(memcmp(talk.text, talk.back, TEXT_SIZE) == 0);
    CHECK(talk.end == 1 && talk.socket.unsent_count == 0);
    mh__socket_close(&talk.socket);
    CHECK(talk.released == 0);
    while (echo.closed == 0)
        CHECK(mh__loop_turn(talk.loop, 1) == 0);
    CHECK(talk.released == 1 && echo.opened == 1 && echo.got == TEXT_SIZE);
    uint64_t log = sim.log;
    end(&talk);
    return log;
}

static void same_seed_same_run(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        CHECK(echoes(seed) == echoes(seed));
    CHECK(echoes(1) != echoes(2));
}

static void address_manners(void)
{
    static const struct {
        enum sim_manner manner;
        int err;
    } cases[] = {
        {SIM_REFUSES, -ECONNREFUSED}, {SIM_UNREACHABLE, -EHOSTUNREACH}, {SIM_SILENT, -ETIMEDOUT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct talk talk;
        begin(&talk, i);
        sim_place_add(NULL, "fd00::1", cases[i].manner, &echo_service);
        connect_to(&talk, "fd00::1");
        int64_t from = sim.now_us;
        turn_while(&talk, &talk.connected);
        CHECK(talk.connect_err == cases[i].err);
        CHECK((cases[i].manner == SIM_SILENT) == (sim.now_us - from > 100 * 1000000));
        mh__socket_close(&talk.socket);
        end(&talk);
    }
}

static void no_way_at_once(void)
{
    struct talk talk;
    struct mh__address to;
    begin(&talk, 1);
    sim_place_add(NULL, "fd00::1", SIM_NO_WAY, NULL);
    CHECK(mh__literal_address(&to, MH_STR("fd00::1"), 80));
    CHECK(mh__socket_connect(&talk.socket, talk.loop, &events, &to) == -ENETUNREACH);
    CHECK(sim.given[ENETUNREACH] && !sim.given[EHOSTUNREACH]);
    end(&talk);
}

static void closed_while_connecting(void)
{
    struct talk talk;
    begin(&talk, 1);
    sim_place_add(NULL, "10.0.0.1", SIM_SILENT, &echo_service);
    connect_to(&talk, "10.0.0.1");
    mh__socket_close(&talk.socket);
    CHECK(mh__loop_turn(talk.loop, 500) == 0);
    CHECK(talk.released == 1 && talk.connected == 0 && echo.closed == 0);
    end(&talk);
}

static void names(void)
{
    struct talk talk;
    begin(&talk, 1);
    struct sim_host *host = sim_host_add("two.test", SIM_FOUND, 0);
    sim_place_add(host, "10.0.0.1", SIM_ACCEPTS, &echo_service);
    sim_place_add(host, "fd00::1", SIM_ACCEPTS, &echo_service);
    sim_host_add("none.test", SIM_FAILS, 1000)->why = "no such name";
    CHECK(mh__lookup_start(&talk.lookup, talk.loop, MH_STR("TWO.test"), 81) == 0);
    CHECK(talk.found == 0 && talk.lookup.loop);
    turn_while(&talk, &talk.found);
    CHECK(talk.found_err == 0 && talk.addresses.count == 2 && !talk.lookup.loop);
    talk.found = 0;
    CHECK(mh__lookup_start(&talk.lookup, talk.loop, MH_STR("none.test"), 81) == 0);
    turn_while(&talk, &talk.found);
    CHECK(talk.found_err == MH_ERR_RESOLVE && strcmp(talk.why, "no such name") == 0);
    talk.found = 0;
    CHECK(mh__lookup_start(&talk.lookup, talk.loop, MH_STR("127.0.0.1"), 81) == 0);
    turn_while(&talk, &talk.found);
    CHECK(talk.found_err == 0 && talk.addresses.count == 1);
    end(&talk);
}

/* More than may be asked at once: those behind them wait until one is given up. */
static void names_that_hang(void)
{
    struct talk talk;
    struct mh__lookup many[MH__LOOKUPS_MAX];
    begin(&talk, 1);
    sim_host_add("hangs.test", SIM_HANGS, 0);
    sim_place_add(sim_host_add("one.test", SIM_FOUND, 0), "10.0.0.1", SIM_ACCEPTS, NULL);
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++) {
        many[i] = (struct mh__lookup){.found = on_found};
        CHECK(mh__lookup_start(&many[i], talk.loop, MH_STR("hangs.test"), 80) == 0);
    }
    CHECK(mh__lookup_start(&talk.lookup, talk.loop, MH_STR("one.test"), 80) == 0);
    CHECK(mh__loop_turn(talk.loop, 60000) == 0);
    CHECK(talk.found == 0);
    mh__lookup_cancel(&many[3]);
    turn_while(&talk, &talk.found);
    CHECK(talk.found_err == 0);
    for (size_t i = 0; i < MH__LOOKUPS_MAX; i++)
        mh__lookup_cancel(&many[i]);
    end(&talk);
}

static void virtual_time(void)
{
    struct talk talk;
    begin(&talk, 1);
    int64_t now = mh__loop_now(talk.loop);
    mh__timer_set(talk.loop, &talk.timer, now + 86400000);
    CHECK(mh__loop_turn(talk.loop, 1000) == 0);
    CHECK(talk.fired == 0 && mh__loop_now(talk.loop) == now + 1000);
    CHECK(mh__loop_turn(talk.loop, -1) == 0);
    CHECK(talk.fired == 1 && mh__loop_now(talk.loop) == now + 86400000);
    end(&talk);
}

static void waking(void)
{
    struct talk talk;
    begin(&talk, 1);
    mh_loop_wake(talk.loop);
    CHECK(mh_loop_run(talk.loop, -1) == 1);
    mh__loop_release(talk.loop);
    CHECK(mh_loop_run(talk.loop, -1) == 0);
    mh__loop_hold(talk.loop);
    end(&talk);
}

/* What was on its way is lost; what had come can still be read. */
static void resets(void)
{
    struct talk talk;
    begin(&talk, 1);
    sim_place_add(NULL, "10.0.0.1", SIM_ACCEPTS, &echo_service);
    connect_to(&talk, "10.0.0.1");
    while (talk.len == 0)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    sim_break(sim.conns[0], -ECONNRESET);
    while (talk.end == 1)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    struct iovec piece = {talk.text, 10};
    CHECK(talk.end == -ECONNRESET && echo.closed == 1);
    CHECK(mh__socket_send(&talk.socket, &piece, 1) == -EPIPE);
    mh__socket_close(&talk.socket);
    end(&talk);
}

/* The peer's side is closed, and ours is not. */
static void half_closed(void)
{
    struct talk talk;
    begin(&talk, 1);
    sim_place_add(NULL, "10.0.0.1", SIM_ACCEPTS, &echo_service);
    connect_to(&talk, "10.0.0.1");
    while (talk.len == 0)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    sim_finish(sim.conns[0]);
    while (talk.end == 1)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    struct iovec piece = {talk.text, 10};
    CHECK(talk.end == 0 && talk.len == TEXT_SIZE && echo.closed == 0);
    CHECK(mh__socket_send(&talk.socket, &piece, 1) == 1);
    CHECK(mh__loop_turn(talk.loop, 1) == 0);
    CHECK(echo.got == TEXT_SIZE + 10);
    mh__socket_close(&talk.socket);
    end(&talk);
}

/* Nobody reads at the other end: the window fills, and what is left stays with us. */
static void stalls(void)
{
    struct talk talk;
    begin(&talk, 1);
    sim.weather.window = 1000;
    sim_place_add(NULL, "10.0.0.1", SIM_ACCEPTS, &echo_service);
    connect_to(&talk, "10.0.0.1");
    sim_stall(sim.conns[0], true);
    CHECK(mh__loop_turn(talk.loop, 100) == 0);
    CHECK(mh__loop_turn(talk.loop, 100) == 0);
    CHECK(talk.sent == 0 && echo.got == 0 && talk.socket.unsent_count == 1);
    CHECK(talk.socket.unsent[0].iov_len == TEXT_SIZE - 1000);
    sim_stall(sim.conns[0], false);
    turn_while(&talk, &talk.sent);
    CHECK(talk.sent == 1);
    mh__socket_close(&talk.socket);
    end(&talk);
}

/* Not receiving: the other side's bytes stay where they are. */
static void receives_nothing(void)
{
    struct talk talk;
    begin(&talk, 1);
    sim.weather.window = 100;
    sim_place_add(NULL, "10.0.0.1", SIM_ACCEPTS, &echo_service);
    connect_to(&talk, "10.0.0.1");
    while (talk.len == 0)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    CHECK(mh__socket_receive(&talk.socket, false) == 0);
    size_t len = talk.len;
    for (int i = 0; i < 100; i++)
        CHECK(mh__loop_turn(talk.loop, 10) == 0);
    CHECK(talk.len == len && sim_unsent(sim.conns[0]) == TEXT_SIZE - len);
    CHECK(mh__socket_receive(&talk.socket, true) == 0);
    while (talk.len < TEXT_SIZE)
        CHECK(mh__loop_turn(talk.loop, -1) == 0);
    mh__socket_close(&talk.socket);
    end(&talk);
}

/* ---- the library as a server: a service dials, and what it sends is sent back ---- */

struct host {
    struct mh__listener listener;
    struct mh__socket socket;
    struct mh__attachment attachment;
    mh_loop *loop;
    int fd;   /* that it listens on */
    int file; /* that it sends behind what it sends back; -1: none */
    bool turns_away;
    char back[TEXT_SIZE];
    size_t len;
    int accepted, sent, released, failed, nudged;
    int fail_err, sent_err;
    ssize_t end; /* 1: not yet */
};

static struct {
    int opened, ended, closed;
    char back[3 * TEXT_SIZE];
    size_t len;
    bool quiet; /* says nothing by itself */
    bool reset;
} dialler;

static char text[TEXT_SIZE];

static void dialler_opened(struct sim_conn *conn)
{
    dialler.opened++;
    if (!dialler.quiet)
        sim_send(conn, text, TEXT_SIZE);
}

static void dialler_received(struct sim_conn *conn, const char *data, size_t len)
{
    (void)conn;
    CHECK(len <= sizeof(dialler.back) - dialler.len && dialler.ended == 0 && dialler.closed == 0);
    memcpy(dialler.back + dialler.len, data, len);
    dialler.len += len;
}

static void dialler_ended(struct sim_conn *conn)
{
    (void)conn;
    dialler.ended++;
}

static void dialler_closed(struct sim_conn *conn)
{
    dialler.closed++;
    dialler.reset = conn->reset;
}

static const struct sim_service dialler_service = {.opened = dialler_opened,
                                                   .received = dialler_received,
                                                   .ended = dialler_ended,
                                                   .closed = dialler_closed};

static struct host *host_of(struct mh__socket *socket)
{
    return MH__CONTAINER(socket, struct host, socket);
}

static void send_back(struct host *host)
{
    struct iovec pieces[2] = {{host->back, 10}, {host->back + 10, TEXT_SIZE - 10}};
    int result = host->file < 0
                     ? mh__socket_send(&host->socket, pieces, 2)
                     : mh__socket_send_file(&host->socket, pieces, 2, host->file, 100, TEXT_SIZE);
    host->sent += result == 1;
    if (result < 0)
        host->sent_err = result;
}

static void host_received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct host *host = host_of(socket);
    CHECK(host->end == 1);
    if (len <= 0) {
        host->end = len;
        return;
    }
    CHECK((size_t)len <= TEXT_SIZE - host->len);
    memcpy(host->back + host->len, data, (size_t)len);
    host->len += (size_t)len;
    if (host->len == TEXT_SIZE)
        send_back(host);
}

static void host_sent(struct mh__socket *socket, int err)
{
    struct host *host = host_of(socket);
    CHECK(host->sent == 0 && host->sent_err == 0);
    host->sent += err == 0;
    host->sent_err = err;
}

static void host_released(struct mh__socket *socket)
{
    host_of(socket)->released++;
}

static const struct mh__socket_events host_events = {NULL, host_received, host_sent, host_released};

static void host_accepted(struct mh__listener *listener, int fd, const struct mh__address *from)
{
    struct host *host = MH__CONTAINER(listener, struct host, listener);
    CHECK(from->addr.ss_family == AF_INET && from->len > 0);
    host->accepted++;
    if (host->turns_away) {
        mh__descriptor_close(fd);
        return;
    }
    mh__socket_adopt(&host->socket, host->loop, &host_events, fd);
    CHECK(mh__socket_receive(&host->socket, true) == 0);
    CHECK(host->len == 0 && host->end == 1);
}

static void host_failed(struct mh__listener *listener, int err)
{
    struct host *host = MH__CONTAINER(listener, struct host, listener);
    host->failed++;
    host->fail_err = err;
}

static void host_nudged(struct mh__attachment *attachment)
{
    MH__CONTAINER(attachment, struct host, attachment)->nudged++;
}

static void host_detached(struct mh__attachment *attachment)
{
    (void)attachment;
}

static void open_loop(struct host *host, int fd)
{
    static const struct mh__listener_events listener_events = {host_accepted, host_failed};
    *host = (struct host){.fd = fd, .file = -1, .end = 1};
    CHECK(mh_loop_new(&host->loop) == 0);
    mh__loop_hold(host->loop);
    host->attachment.detached = host_detached;
    host->attachment.nudged = host_nudged;
    mh__loop_attach(host->loop, &host->attachment);
    CHECK(mh__listener_open(&host->listener, host->loop, &listener_events, fd) == 0);
}

static void begin_host(struct host *host, uint64_t seed)
{
    sim_begin(seed);
    memset(&dialler, 0, sizeof(dialler));
    for (size_t i = 0; i < TEXT_SIZE; i++)
        text[i] = (char)random_next(&sim.random);
    open_loop(host, sim_listen());
}

static void close_loop(struct host *host)
{
    mh__listener_close(&host->listener);
    mh__loop_release(host->loop);
    mh_loop_free(host->loop);
}

static void end_host(struct host *host)
{
    close_loop(host);
    sim_shut(host->fd);
    sim_settle();
    sim_end();
    passed++;
}

static void turn_host(struct host *host, const int *still_zero)
{
    while (*still_zero == 0)
        CHECK(mh__loop_turn(host->loop, -1) == 0);
}

static int file_of(const char *bytes, size_t len)
{
    int fd = memfd_create("file", 0);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

/* What was dialled is sent back, and the bytes of a file behind it, whatever the weather. */
static void serves(uint64_t seed)
{
    struct host host;
    char bytes[100 + TEXT_SIZE + 100];
    begin_host(&host, seed);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)random_next(&sim.random);
    host.file = file_of(bytes, sizeof(bytes));
    bad_weather();
    sim_dial(host.fd, &dialler_service, NULL);
    turn_host(&host, &host.sent);
    CHECK(host.accepted == 1 && dialler.opened == 1 && host.socket.file_left == 0);
    mh__socket_finish(&host.socket);
    while (dialler.ended == 0)
        CHECK(mh__loop_turn(host.loop, 1) == 0);
    CHECK(dialler.len == 2 * TEXT_SIZE && memcmp(dialler.back, text, TEXT_SIZE) == 0);
    CHECK(memcmp(dialler.back + TEXT_SIZE, bytes + 100, TEXT_SIZE) == 0);
    mh__socket_close(&host.socket);
    turn_host(&host, &host.released);
    close(host.file);
    end_host(&host);
    CHECK(dialler.closed == 1 && !dialler.reset);
}

static void serves_in_all_weathers(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        serves(seed);
}

/* At once where there is room for all of it, else when its end is found. */
static void file_that_is_short(void)
{
    for (uint32_t window = 0; window < 3000; window += 2000) {
        struct host host;
        begin_host(&host, 1);
        sim.weather.window = window;
        host.file = file_of("short", 5);
        sim_dial(host.fd, &dialler_service, NULL);
        turn_host(&host, &host.sent_err);
        CHECK(host.sent_err == MH_ERR_CLOSED && host.sent == 0);
        struct iovec piece = {text, 1};
        CHECK(mh__socket_send(&host.socket, &piece, 1) == MH_ERR_CLOSED);
        mh__socket_close(&host.socket);
        close(host.file);
        end_host(&host);
    }
}

/* After our end the other side's bytes still come. */
static void finished_on_one_side(void)
{
    struct host host;
    begin_host(&host, 1);
    dialler.quiet = true;
    struct sim_conn *conn = sim_dial(host.fd, &dialler_service, NULL);
    turn_host(&host, &host.accepted);
    mh__socket_finish(&host.socket);
    while (dialler.ended == 0)
        CHECK(mh__loop_turn(host.loop, 1) == 0);
    sim_send(conn, text, 100);
    sim_finish(conn);
    while (host.end == 1)
        CHECK(mh__loop_turn(host.loop, -1) == 0);
    CHECK(host.len == 100 && host.end == 0 && dialler.closed == 0);
    mh__socket_close(&host.socket);
    end_host(&host);
    CHECK(dialler.closed == 1 && dialler.ended == 1);
}

/* What comes after a close is answered with a reset, which takes with it what was on its way, or
 * does not. */
static void resets_who_still_sends(void)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct host host;
        begin_host(&host, seed);
        sim.weather.delay_us = 10000;
        dialler.quiet = true;
        struct sim_conn *conn = sim_dial(host.fd, &dialler_service, NULL);
        turn_host(&host, &host.accepted);
        struct iovec piece = {text, 100};
        CHECK(mh__socket_send(&host.socket, &piece, 1) == 1);
        mh__socket_close(&host.socket);
        sim_send(conn, text, 100);
        end_host(&host);
        CHECK(dialler.closed == 1 && dialler.reset && (dialler.len == 100 || dialler.len == 0));
        lost += dialler.len == 0;
    }
    CHECK(lost > 0 && lost < 20);
}

static void accepting_fails(void)
{
    struct host host;
    begin_host(&host, 1);
    sim.weather.accept_fault = 1000;
    sim_dial(host.fd, &dialler_service, NULL);
    turn_host(&host, &host.failed);
    CHECK(sim.given[-host.fail_err] && host.accepted == 0);
    sim.weather.accept_fault = 0;
    CHECK(mh__loop_turn(host.loop, 1000) == 0);
    CHECK(host.failed == 1 && host.accepted == 0);
    host.turns_away = true;
    CHECK(mh__listener_accept(&host.listener, true) == 0);
    turn_host(&host, &host.accepted);
    CHECK(host.failed == 1);
    end_host(&host);
    CHECK(dialler.closed == 1);
}

/* Broken while it waits: it is accepted, and then found out. */
static void broken_before_accepted(void)
{
    struct host host;
    begin_host(&host, 1);
    CHECK(mh__listener_accept(&host.listener, false) == 0);
    struct sim_conn *conn = sim_dial(host.fd, &dialler_service, NULL);
    while (dialler.opened == 0)
        CHECK(mh__loop_turn(host.loop, 1) == 0);
    sim_break(conn, -ECONNRESET);
    CHECK(mh__loop_turn(host.loop, 100) == 0);
    CHECK(host.accepted == 0 && dialler.closed == 1);
    CHECK(mh__listener_accept(&host.listener, true) == 0);
    while (host.end == 1)
        CHECK(mh__loop_turn(host.loop, -1) == 0);
    CHECK(host.accepted == 1 && host.end == -ECONNRESET);
    mh__socket_close(&host.socket);
    end_host(&host);
}

static void shut_down(void)
{
    struct host host;
    begin_host(&host, 1);
    sim_shut(host.fd);
    turn_host(&host, &host.failed);
    CHECK(host.fail_err == MH_ERR_CLOSED);
    sim_dial(host.fd, &dialler_service, NULL);
    end_host(&host);
    CHECK(dialler.opened == 1 && dialler.closed == 1 && host.accepted == 0);
}

/* Whoever comes first takes it, and the other one finds nothing. */
static void two_at_one_port(void)
{
    struct host host, other;
    begin_host(&host, 1);
    open_loop(&other, host.fd);
    host.turns_away = other.turns_away = true;
    sim_dial(host.fd, &dialler_service, NULL);
    turn_host(&other, &other.accepted);
    CHECK(mh__loop_turn(host.loop, 10) == 0);
    CHECK(host.accepted == 0 && other.accepted == 1);
    close_loop(&other);
    sim_dial(host.fd, &dialler_service, NULL);
    turn_host(&host, &host.accepted);
    end_host(&host);
    CHECK(dialler.closed == 2);
}

/* It ends a wait, is told once, and is no wake. */
static void nudging(void)
{
    struct host host;
    begin_host(&host, 1);
    int64_t now = sim.now_us;
    mh__loop_nudge(host.loop);
    mh__loop_nudge(host.loop);
    CHECK(mh__loop_turn(host.loop, -1) == 0);
    CHECK(host.nudged == 1 && sim.now_us == now && !host.loop->woken);
    mh__loop_nudge(host.loop);
    CHECK(mh_loop_run(host.loop, 1000) == 1);
    CHECK(host.nudged == 2 && sim.now_us >= now + 1000000);
    end_host(&host);
}

static void memory(void)
{
    sim_begin(1);
    mem.fail_at = 2;
    void *first = mh__malloc(100), *second = mh__malloc(100), *third = mh__calloc(2, 50);
    CHECK(first && !second && third);
    CHECK(mem.blocks == 2 && mem.live >= 200 && mem.failures == 1);
    first = mh__realloc(first, 1000);
    CHECK(first && mem.blocks == 2 && mem.live >= 1100);
    mem.others++;
    mh__free(mh__malloc(50));
    mem.others--;
    mh__free(first);
    mh__free(third);
    CHECK(mem.live == 0 && mem.peak >= 1100);
    mem.fail_per_mille = 1000;
    CHECK(!mh__malloc(1));
    sim_end();
    passed++;
}

int main(void)
{
    same_seed_same_run();
    address_manners();
    no_way_at_once();
    closed_while_connecting();
    names();
    names_that_hang();
    virtual_time();
    waking();
    resets();
    half_closed();
    stalls();
    receives_nothing();
    serves_in_all_weathers();
    file_that_is_short();
    finished_on_one_side();
    resets_who_still_sends();
    accepting_fails();
    broken_before_accepted();
    shut_down();
    two_at_one_port();
    nudging();
    memory();
    printf("%d passed, 0 failed\n", passed);
    return 0;
}
