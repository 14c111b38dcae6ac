/* A body whose coding is undone with pauses in between: lib/client/fetch.c. */
#include "stage.h"

#include <zlib.h>

TestSuite(coded, .timeout = 60);

static struct call a;
static int fd = -1;

#define PLAIN 100000 /* bytes, which fit in no one piece of what is decoded */

static char plain[PLAIN], coded[PLAIN + 1000], seen[PLAIN];
static size_t coded_len, seen_len;

static void make_coded(void)
{
    z_stream z = {0};
    for (size_t i = 0; i < PLAIN; i++)
        plain[i] = (char)('a' + i % 26);
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)plain;
    z.avail_in = PLAIN;
    z.next_out = (Bytef *)coded;
    z.avail_out = sizeof(coded);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    coded_len = z.total_out;
    deflateEnd(&z);
}

/* And pause after each piece. */
static int see(mh_response *res, const char *data, size_t len)
{
    cr_assert_leq(seen_len + len, sizeof(seen));
    memcpy(seen + seen_len, data, len);
    seen_len += len;
    call_of(res)->bodies++;
    mh_client_pause(res, true);
    return 0;
}

static void begin(void)
{
    make_coded();
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_body = see});
    fd = stage_accept();
    stage_hear(fd);
}

static void end(void)
{
    call_free(&a);
    close(fd);
    stage_close();
}

static void say_coded_head(void)
{
    char head[200];
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", coded_len);
    stage_say(fd, head);
}

static void finish_coded(int pauses_min)
{
    int pauses = 0;
    for (; a.done == 0; pauses++) {
        int bodies = a.bodies;
        stage_rest(5);
        cr_assert_leq(a.bodies, bodies + 1, "at most one piece between two pauses");
        mh_client_pause(&a.res, false);
        cr_assert_lt(pauses, 1000);
    }
    cr_assert_geq(pauses, pauses_min);
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_eq(seen_len, PLAIN);
    cr_assert_eq(memcmp(seen, plain, PLAIN), 0);
    cr_assert_eq(a.res.decoded, PLAIN);
    cr_assert_eq(a.res.received, coded_len);
    cr_assert(is_open(fd), "it is kept");
}

Test(coded, paused)
{
    begin();
    say_coded_head();
    stage_say_bytes(fd, (mh_str){coded, coded_len});
    finish_coded(3);
    end();
}

Test(coded, paused_byte_by_byte)
{
    begin();
    say_coded_head();
    for (size_t i = 0; i < coded_len; i++) {
        stage_say_bytes(fd, (mh_str){coded + i, 1});
        stage_turn();
    }
    finish_coded(3);
    end();
}

Test(coded, cancelled)
{
    begin();
    say_coded_head();
    stage_say_bytes(fd, (mh_str){coded, coded_len});
    stage_until(a.bodies == 1);
    mh_client_cancel(&a.res);
    stage_finish(&a);
    call_expect(&a, -ECANCELED, MH_PHASE_BODY, NULL);
    stage_get(&a);
    close(fd);
    fd = stage_accept();
    stage_exchange(&a, fd);
    cr_assert_str_eq(a.res.body.data, "hello", "nothing of before is left");
    end();
}

/* A coding that is cut short is an error also when there was a pause. */
Test(coded, cut_short)
{
    char head[200];
    begin();
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             coded_len - 1);
    stage_say(fd, head);
    stage_say_bytes(fd, (mh_str){coded, coded_len - 1});
    for (int i = 0; i < 100 && a.done == 0; i++) {
        stage_rest(5);
        mh_client_pause(&a.res, false);
    }
    cr_assert_eq(a.result, MH_ERR_CODING, "%s", mh_errname(a.result));
    end();
}

/* ---- a small response that would be a large one ---- */

#define ZEROS ((size_t)512 << 20)

static void gzip_open(z_stream *z)
{
    *z = (z_stream){0};
    cr_assert_eq(deflateInit2(z, 1, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
}

/* Twice: the output of `inner` is the input of `outer`. */
static void make_bomb(void)
{
    static char zeros[1 << 20], between[1 << 16];
    z_stream inner, outer;
    gzip_open(&inner);
    gzip_open(&outer);
    outer.next_out = (Bytef *)coded;
    outer.avail_out = sizeof(coded);
    for (size_t at = sizeof(zeros); at <= ZEROS; at += sizeof(zeros)) {
        bool last = at == ZEROS;
        inner.next_in = (Bytef *)zeros;
        inner.avail_in = sizeof(zeros);
        inner.next_out = (Bytef *)between;
        inner.avail_out = sizeof(between);
        cr_assert_neq(deflate(&inner, last ? Z_FINISH : Z_NO_FLUSH), Z_STREAM_ERROR);
        outer.next_in = (Bytef *)between;
        outer.avail_in = (uInt)(sizeof(between) - inner.avail_out);
        cr_assert_neq(deflate(&outer, last ? Z_FINISH : Z_NO_FLUSH), Z_STREAM_ERROR);
    }
    coded_len = outer.total_out;
    deflateEnd(&inner);
    deflateEnd(&outer);
}

static int pass_over(mh_response *res, const char *data, size_t len)
{
    (void)data;
    (void)len;
    call_of(res)->bodies++;
    return 0;
}

/* Whoever takes any number of bytes still waits no longer than he said. */
Test(coded, the_time_in_all_counts_in_the_midst_of_a_piece)
{
    char head[200];
    make_bomb();
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_body = pass_over, .timeout_ms = 60});
    fd = stage_accept();
    stage_hear(fd);
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %zu\r\n\r\n",
             coded_len);
    stage_say(fd, head);
    stage_say_bytes(fd, (mh_str){coded, coded_len});
    stage_finish(&a);
    call_expect(&a, -ETIMEDOUT, MH_PHASE_BODY, "not complete within 60 ms");
    cr_assert_lt(a.res.decoded, ZEROS);
    end();
}

/* ---- a few bytes that become many ---- */

#define MANY (32u << 20)

static uint64_t zeros_seen, zeros_at_other_end;

static void make_zeros(void)
{
    static char zeros[1 << 16];
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_out = (Bytef *)coded;
    z.avail_out = sizeof(coded);
    for (size_t i = 0; i < MANY / sizeof(zeros); i++) {
        z.next_in = (Bytef *)zeros;
        z.avail_in = sizeof(zeros);
        cr_assert_eq(deflate(&z, Z_NO_FLUSH), Z_OK);
    }
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    coded_len = z.total_out;
    deflateEnd(&z);
}

static int count_zeros(mh_response *res, const char *data, size_t len)
{
    (void)res;
    (void)data;
    zeros_seen += len;
    return 0;
}

static void note_zeros(mh_response *res)
{
    call_of(res)->done++;
    zeros_at_other_end = zeros_seen;
}

/* Another transfer is not kept waiting until all of them are there. */
Test(coded, many_bytes_take_more_than_one_turn)
{
    static struct call other;
    make_zeros();
    stage_open(NULL);
    stage_submit(&a, (mh_fetch){.on_body = count_zeros});
    fd = stage_accept();
    stage_hear(fd);
    stage_submit(&other, (mh_fetch){.on_done = note_zeros});
    int second = stage_accept();
    stage_hear(second);
    say_coded_head();
    cr_assert_eq(write(fd, coded, coded_len), (ssize_t)coded_len);
    cr_assert_eq(write(second, HELLO, strlen(HELLO)), (ssize_t)strlen(HELLO));
    stage_finish(&a);
    cr_assert_eq(other.done, 1);
    cr_assert_lt(zeros_at_other_end, MANY, "it came in between");
    call_expect(&a, 200, MH_PHASE_DONE, NULL);
    cr_assert_eq(zeros_seen, MANY);
    close(second);
    call_free(&other);
    end();
}
