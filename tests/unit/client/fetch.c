/* One request, one response: lib/client/fetch.c. */
#include "peer.h"

#include <errno.h>
#include <time.h>

#include "client/client.h"

TestSuite(fetch, .timeout = 60);

static struct peer *peer;
static mh_response res;

static int fetch_from(mh_str script, enum peer_end end, mh_fetch fetch)
{
    peer = peer_new(script, end);
    fetch.url = peer->url;
    int status = mh_client_fetch(NULL, &fetch, &res);
    cr_assert_eq(status < 0 ? status : 0, res.error);
    peer_join(peer);
    return status;
}

static void done(void)
{
    mh_response_free(&res);
    free(peer);
}

/* ---- responses ---- */

Test(fetch, a_response_with_a_length)
{
    const char script[] = "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 5\r\n\r\nhello";
    cr_assert_eq(fetch_from(mh_str_from(script), PEER_WAITS, (mh_fetch){.user = &res}), 200);
    cr_assert_eq(res.status, 200);
    cr_assert_eq(res.phase, MH_PHASE_DONE);
    cr_assert(res.retryable);
    cr_assert_null(res.detail);
    cr_assert(mh_str_equal(res.reason, "Fine"));
    cr_assert(mh_str_equal(res.url, peer->url));
    cr_assert_neq((const void *)res.url.ptr, (const void *)peer->url, "a copy");
    cr_assert_eq(res.head.len, strlen(script) - 5);
    cr_assert_eq(memcmp(res.head.ptr, script, res.head.len), 0);
    cr_assert_eq(res.headers.count, 2);
    cr_assert(mh_str_equal(mh_headers_get(res.headers, "a"), "b"));
    cr_assert_eq(res.trailers.count, 0);
    cr_assert_str_eq(res.body.data, "hello");
    cr_assert_eq(res.received, 5);
    cr_assert_eq(res.received_total, 5);
    cr_assert_eq(res.user, &res);
    done();
}

Test(fetch, the_request_says_who_asks)
{
    char wanted[256];
    mh_str codings = mh__coding_accepted();
    fetch_from(MH_STR("HTTP/1.1 204 -\r\n\r\n"), PEER_WAITS, (mh_fetch){0});
    snprintf(wanted, sizeof(wanted),
             "GET / HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: minihttp/%s\r\n"
             "%s" MH_FMT "%s\r\n",
             (int)strlen(peer->url) - 8, peer->url + 7, mh_version(),
             codings.len > 0 ? "Accept-Encoding: " : "", MH_ARG(codings),
             codings.len > 0 ? "\r\n" : "");
    cr_assert_str_eq(peer->request, wanted);
    done();
}

Test(fetch, every_cut_gives_the_same_response)
{
    const char script[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA:  folded\r\n value\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n"
                          "T: railer\r\n\r\n";
    for (size_t piece = 0; piece < sizeof(script); piece = piece < 3 ? piece + 1 : piece * 2) {
        peer = calloc(1, sizeof(*peer));
        peer->script = mh_str_from(script);
        peer->piece = piece;
        peer->end = PEER_WAITS;
        peer_start(peer);
        mh_fetch fetch = {.url = peer->url};
        cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), 200, "%zu: %s", piece, res.detail);
        peer_join(peer);
        cr_assert_str_eq(res.body.data, "hello world");
        cr_assert(mh_str_equal(mh_headers_get(res.headers, "A"), "folded value"));
        cr_assert_eq(res.head.len, (size_t)(strstr(script, "5\r\nhello") - script) - 25);
        cr_assert_eq(memcmp(res.head.ptr, script + 25, res.head.len), 0);
        cr_assert_eq(res.trailers.count, 1);
        cr_assert(mh_str_equal(mh_headers_get(res.trailers, "t"), "railer"));
        cr_assert_eq(res.received, 11);
        cr_assert_eq(res.received_total, 11);
        free(peer);
    }
    mh_response_free(&res);
}

Test(fetch, a_body_until_close)
{
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.0 200 OK\r\n\r\nhello"), PEER_CLOSES, (mh_fetch){0}),
                 200);
    cr_assert_str_eq(res.body.data, "hello");
    cr_assert_eq(res.received_total, 5);
    done();
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.0 200 OK\r\n\r\n"), PEER_CLOSES, (mh_fetch){0}), 200);
    cr_assert_eq(res.body.len, 0);
    cr_assert_eq(res.received_total, 0);
    done();
}

/* PEER_WAITS: the end is known before the connection is closed. */
Test(fetch, responses_without_a_body)
{
    static const struct {
        const char *method, *script;
        int status;
    } cases[] = {
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n", 200},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
        {"HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", 404},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mh_fetch fetch = {.method = cases[i].method};
        int status = fetch_from(mh_str_from(cases[i].script), PEER_WAITS, fetch);
        cr_assert_eq(status, cases[i].status, "%s", cases[i].script);
        cr_assert_eq(res.body.len, 0);
        cr_assert_eq(res.received, 0);
        done();
    }
}

Test(fetch, interim_heads_are_passed_over)
{
    cr_assert_eq(
        fetch_from(MH_STR("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
                          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                   PEER_WAITS, (mh_fetch){0}),
        200);
    cr_assert_eq(res.headers.count, 1);
    cr_assert(mh_str_equal(res.head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"));
    cr_assert_str_eq(res.body.data, "ok");
    done();
}

Test(fetch, another_protocol_ends_the_fetch)
{
    const char *const headers[] = {"Connection: upgrade", "Upgrade: other", NULL};
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n"
                                   "Upgrade: other\r\n\r\nnot HTTP"),
                            PEER_WAITS, (mh_fetch){.headers = headers}),
                 101);
    cr_assert_eq(res.body.len, 0);
    done();
}

Test(fetch, what_comes_after_the_end_is_not_looked_at)
{
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok nonsense"),
                            PEER_WAITS, (mh_fetch){0}),
                 200);
    cr_assert_str_eq(res.body.data, "ok");
    done();
}

static mh_str large_script(const char *head, size_t body)
{
    char *script = malloc(strlen(head) + body + 1);
    cr_assert(script);
    snprintf(script, strlen(head) + 1, "%s", head);
    for (size_t i = 0; i < body; i++)
        script[strlen(head) + i] = (char)(i * 31 + i / 257);
    return (mh_str){script, strlen(head) + body};
}

Test(fetch, a_body_larger_than_any_buffer)
{
    const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n";
    mh_str script = large_script(head, 3000000);
    cr_assert_eq(fetch_from(script, PEER_WAITS, (mh_fetch){0}), 200);
    cr_assert_eq(res.body.len, 3000000);
    cr_assert_eq(memcmp(res.body.data, script.ptr + strlen(head), 3000000), 0);
    cr_assert(mh_str_equal(res.head, head), "the head is as it was");
    done();
    free((void *)(uintptr_t)script.ptr);
}

static void *head_of(char *script, size_t len)
{
    const char begin[] = "HTTP/1.1 204 No Content\r\nA: ", end[] = "\r\n\r\n";
    memset(script, 'a', len);
    memcpy(script, begin, strlen(begin));
    memcpy(script + len - strlen(end), end, strlen(end));
    return script;
}

Test(fetch, a_head_as_large_as_it_may_be_and_one_byte_more)
{
    static char script[MH_FETCH_HEAD_MAX + 1];
    mh_str most = {head_of(script, MH_FETCH_HEAD_MAX), MH_FETCH_HEAD_MAX};
    cr_assert_eq(fetch_from(most, PEER_WAITS, (mh_fetch){0}), 204);
    cr_assert_eq(res.head.len, MH_FETCH_HEAD_MAX);
    done();
    mh_str more = {head_of(script, sizeof(script)), sizeof(script)};
    cr_assert_eq(fetch_from(more, PEER_WAITS, (mh_fetch){0}), MH_ERR_TOO_LARGE);
    cr_assert_eq(res.phase, MH_PHASE_HEAD);
    done();
}

Test(fetch, the_largest_head_and_the_largest_trailers)
{
    static char script[3 * MH_FETCH_HEAD_MAX];
    const char chunked[] = "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: ";
    const size_t head = MH_FETCH_HEAD_MAX, trailers = MH_FETCH_HEAD_MAX;
    const size_t behind = strlen("1\r\nx\r\n0\r\nT: "), at = head - (strlen(chunked) - behind);
    memset(script, 'a', sizeof(script));
    memcpy(script, "HTTP/1.1 200 OK\r\nA: ", 20);
    memcpy(script + at, chunked, strlen(chunked));
    size_t len = head + strlen("1\r\nx\r\n0\r\n") + trailers;
    memcpy(script + len - 4, "\r\n\r\n", 4);
    cr_assert_eq(fetch_from((mh_str){script, len}, PEER_WAITS, (mh_fetch){0}), 200, "%s",
                 res.detail);
    cr_assert_eq(res.head.len, head);
    cr_assert_eq(mh_headers_get(res.trailers, "T").len, trailers - strlen("T: \r\n\r\n"));
    done();
}

/* However it is cut: an interim head and the final one may come in one piece. */
Test(fetch, two_large_heads_leave_room_for_the_trailers)
{
    enum { EARLY = 62 << 10, FINAL = 61 << 10, TRAILERS = 20 << 10 };
    static const char early[] = "HTTP/1.1 103 Early Hints\r\nA: ", end[] = "\r\n\r\n",
                      final[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: ",
                      body[] = "1\r\nx\r\n0\r\nT: ";
    static char script[EARLY + FINAL + TRAILERS];
    memset(script, 'a', sizeof(script));
    memcpy(script, early, strlen(early));
    memcpy(script + EARLY - 4, end, 4);
    memcpy(script + EARLY, final, strlen(final));
    memcpy(script + EARLY + FINAL - 4, end, 4);
    memcpy(script + EARLY + FINAL, body, strlen(body));
    memcpy(script + sizeof(script) - 4, end, 4);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(fetch_from((mh_str){script, sizeof(script)}, PEER_WAITS, (mh_fetch){0}), 200,
                     "%s", res.detail);
        cr_assert_eq(res.head.len, FINAL);
        cr_assert_gt(mh_headers_get(res.trailers, "T").len, TRAILERS - 50);
        done();
    }
}

/* ---- requests with a body ---- */

Test(fetch, a_body_is_sent_behind_its_head)
{
    static char body[100000];
    memset(body, 'b', sizeof(body));
    peer = calloc(1, sizeof(*peer));
    peer->script = MH_STR("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    peer->end = PEER_WAITS;
    peer->wanted_body = sizeof(body);
    peer_start(peer);
    mh_fetch fetch = {.url = peer->url, .body = {body, sizeof(body)}};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), 201);
    cr_assert_not(res.retryable, "a POST");
    peer_join(peer);
    cr_assert_eq(strncmp(peer->request, "POST / HTTP/1.1\r\n", 17), 0);
    cr_assert(strstr(peer->request, "\r\nContent-Length: 100000\r\n\r\nbbb"));
    cr_assert_eq(memcmp(peer->request + peer->len - sizeof(body), body, sizeof(body)), 0);
    done();
}

/* A server may refuse a body before it has read it (RFC 9112 section 9.5). */
Test(fetch, an_answer_before_the_body_is_sent_counts)
{
    static char body[8 << 20];
    mh_fetch fetch = {.body = {body, sizeof(body)}};
    int status = fetch_from(MH_STR("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
                            PEER_IS_RUDE, fetch);
    /* Whether the answer outlives the reset is the kernel's to say; success it cannot be. */
    cr_assert(status == 413 || status == -ECONNRESET || status == -EPIPE, "%d", status);
    if (status < 0)
        cr_assert(res.phase == MH_PHASE_SEND || res.phase == MH_PHASE_HEAD);
    done();
}

static char upload[20 << 20];

/* To a peer that takes a little of it. */
static int post_upload(const char *script, mh_fetch fetch)
{
    fetch.body = (mh_str){upload, sizeof(upload)};
    return fetch_from(mh_str_from(script), PEER_STOPS, fetch);
}

Test(fetch, an_answer_ends_a_request_that_is_not_taken)
{
    cr_assert_eq(post_upload("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n"
                             "Connection: close\r\n\r\nno",
                             (mh_fetch){.idle_timeout_ms = 5000}),
                 413, "%s", res.detail);
    cr_assert_eq(res.phase, MH_PHASE_DONE);
    cr_assert_str_eq(res.body.data, "no");
    done();
}

static int64_t processor_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Test(fetch, silence_both_ways_in_the_middle_of_a_request)
{
    static const char early[] = "HTTP/1.1 100 Continue\r\n\r\n",
                      head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    cr_assert_eq(post_upload(early, (mh_fetch){.idle_timeout_ms = 40}), -ETIMEDOUT);
    cr_assert_eq(res.phase, MH_PHASE_SEND);
    cr_assert_str_eq(res.detail, "no byte for 40 ms");
    cr_assert_not(res.retryable);
    done();
    cr_assert_eq(post_upload(head, (mh_fetch){.idle_timeout_ms = 40}), -ETIMEDOUT);
    cr_assert_eq(res.phase, MH_PHASE_BODY);
    cr_assert_str_eq(res.detail, "no byte for 40 ms");
    done();
    int64_t before = processor_ms();
    cr_assert_eq(post_upload(head, (mh_fetch){.timeout_ms = 600, .idle_timeout_ms = -1}),
                 -ETIMEDOUT);
    cr_assert_lt(processor_ms() - before, 400, "it waits");
    cr_assert_str_eq(res.detail, "not complete within 600 ms");
    done();
}

static char mirrored[40 << 20];

static int compare(mh_response *r, const char *data, size_t len)
{
    return memcmp(mirrored + r->received - len, data, len) == 0 ? 0 : -EBADMSG;
}

/* Neither side can go on when the other one only sends. */
Test(fetch, a_request_that_comes_back_while_it_is_sent)
{
    for (size_t i = 0; i < sizeof(mirrored); i++)
        mirrored[i] = (char)(i * 31 + i / 257);
    mh_fetch fetch = {.body = {mirrored, sizeof(mirrored)}, .on_body = compare};
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 41943040\r\n\r\n"),
                            PEER_ECHOES, fetch),
                 200, "%s", res.detail);
    cr_assert_eq(res.received, sizeof(mirrored));
    done();
}

/* ---- what goes wrong ---- */

static void fails(mh_str script, enum peer_end end, mh_fetch fetch, int err, mh_phase phase,
                  const char *detail)
{
    cr_assert_eq(fetch_from(script, end, fetch), err, MH_FMT ": %s", MH_ARG(script),
                 mh_errname(res.error));
    cr_assert_eq(res.phase, phase, "%s", mh_phase_name(res.phase));
    cr_assert_eq(!detail, !res.detail, "%s", res.detail ? res.detail : "NULL");
    if (detail)
        cr_assert_str_eq(res.detail, detail);
    cr_assert(res.retryable, "a GET");
    done();
}

static const mh_fetch standard;

Test(fetch, refused)
{
    char url[64];
    int held = peer_deaf(url, sizeof(url)), before = open_descriptors();
    mh_fetch fetch = {.url = url, .body = MH_STR("x")};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ECONNREFUSED);
    cr_assert_eq(res.error, -ECONNREFUSED);
    cr_assert_eq(res.phase, MH_PHASE_CONNECT);
    cr_assert(res.retryable, "a POST, but nobody has seen it");
    cr_assert_null(res.detail);
    cr_assert_eq(res.status, 0);
    cr_assert(mh_str_equal(res.url, url));
    cr_assert_eq(open_descriptors(), before);
    mh_response_free(&res);
    mh__close(held);
}

Test(fetch, closed_early)
{
    static const struct {
        const char *script;
        mh_phase phase;
        const char *detail;
    } cases[] = {
        {"", MH_PHASE_HEAD, "closed before a byte of the response came"},
        {"H", MH_PHASE_HEAD, "closed in the middle of the head"},
        {"HTTP/1.1 200 OK\r\nA: b\r\n", MH_PHASE_HEAD, "closed in the middle of the head"},
        {"HTTP/1.1 103 Early Hints\r\n\r\n", MH_PHASE_HEAD, "closed before the final response"},
        {"HTTP/1.1 103 Early Hints\r\n\r\nHTTP", MH_PHASE_HEAD, "closed in the middle of the head"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", MH_PHASE_BODY,
         "closed after 5 of 9 bytes of the body"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", MH_PHASE_BODY,
         "closed after 0 of 9 bytes of the body"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", MH_PHASE_BODY,
         "closed after 5 bytes of the body, before its last chunk"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", MH_PHASE_BODY,
         "closed after 5 bytes of the body, before its last chunk"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        fails(mh_str_from(cases[i].script), PEER_CLOSES, standard, MH_ERR_CLOSED, cases[i].phase,
              cases[i].detail);
}

Test(fetch, reset)
{
    fails(MH_STR(""), PEER_RESETS, standard, -ECONNRESET, MH_PHASE_HEAD, NULL);
}

static void fails_with_words(mh_str script, int err, mh_phase phase, const char *begin)
{
    cr_assert_eq(fetch_from(script, PEER_WAITS, standard), err, MH_FMT, MH_ARG(script));
    cr_assert_eq(res.phase, phase, "%s", mh_phase_name(res.phase));
    cr_assert_eq(strncmp(res.detail, begin, strlen(begin)), 0, "%s", res.detail);
    cr_assert_gt(strlen(res.detail), strlen(begin), "and the reason");
    done();
}

Test(fetch, bytes_that_are_not_http)
{
    fails_with_words(MH_STR("SSH-2.0-OpenSSH\r\n"), MH_ERR_MALFORMED, MH_PHASE_HEAD,
                     "byte 0x53 at offset 0: ");
    fails_with_words(MH_STR("HTTP/1.1 200 OK\r\nA: \v\r\n\r\n"), MH_ERR_MALFORMED, MH_PHASE_HEAD,
                     "byte 0x0b at offset 20: ");
    fails_with_words(MH_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"),
                     MH_ERR_MALFORMED, MH_PHASE_BODY, "byte 0x58 at offset 55: ");
}

Test(fetch, framing_that_contradicts_itself)
{
    cr_assert_eq(
        fetch_from(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
                   PEER_WAITS, standard),
        MH_ERR_FRAMING);
    cr_assert_eq(res.phase, MH_PHASE_HEAD);
    cr_assert(res.detail && *res.detail);
    done();
}

Test(fetch, a_coding_that_is_not_known)
{
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
                            PEER_WAITS, standard),
                 MH_ERR_CODING);
    cr_assert_eq(res.phase, MH_PHASE_HEAD);
    cr_assert(res.detail && *res.detail);
    done();
}

/* ---- without an end ---- */

/* `first`, and then `again` until nobody can want more. */
static mh_str without_end(mh_str first, mh_str again)
{
    enum { LONG = 200000 };
    char *script = malloc(first.len + LONG);
    cr_assert(script);
    memcpy(script, first.ptr, first.len);
    for (size_t at = 0; at < LONG; at++)
        script[first.len + at] = again.ptr[at % again.len];
    return (mh_str){script, first.len + LONG};
}

static void endless(mh_str first, mh_str again, mh_phase phase)
{
    mh_str script = without_end(first, again);
    cr_assert_eq(fetch_from(script, PEER_WAITS, standard), MH_ERR_TOO_LARGE, MH_FMT ": %s",
                 MH_ARG(again), mh_errname(res.error));
    cr_assert_eq(res.phase, phase);
    cr_assert(res.detail && *res.detail);
    done();
    free((void *)(uintptr_t)script.ptr);
}

Test(fetch, an_endless_head)
{
    endless(MH_STR("HTTP/1.1 200 OK\r\n"), MH_STR("A: b\r\n"), MH_PHASE_HEAD);
    endless(MH_STR("HTTP/1.1 200 OK\r\nA: "), MH_STR("bbbbbbbb"), MH_PHASE_HEAD);
    endless(MH_STR("HTTP/1.1 200 "), MH_STR("OK OK OK"), MH_PHASE_HEAD);
}

Test(fetch, endless_interim_heads)
{
    endless(MH_STR(""), MH_STR("HTTP/1.1 100 Continue\r\n\r\n"), MH_PHASE_HEAD);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(fetch, an_endless_chunk_line)
{
    endless(MH_STR(CHUNKED "5"), MH_STR(";aaaaaaa"), MH_PHASE_BODY);
}

Test(fetch, endless_trailers)
{
    endless(MH_STR(CHUNKED "0\r\n"), MH_STR("A: bbbbbbbbbbbbbbb\r\n"), MH_PHASE_BODY);
}

Test(fetch, an_endless_body)
{
    fails(MH_STR("HTTP/1.1 200 OK\r\n\r\n0123456789"), PEER_REPEATS, (mh_fetch){.body_max = 100000},
          MH_ERR_TOO_LARGE, MH_PHASE_BODY, "a body of more than 100000 bytes");
}

/* ---- the ceiling ---- */

Test(fetch, a_length_above_the_ceiling_is_refused_before_the_body)
{
    mh_str script = MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 5000000000000\r\n\r\n");
    fails(script, PEER_WAITS, standard, MH_ERR_TOO_LARGE, MH_PHASE_HEAD,
          "a body of 5000000000000 bytes, and no more than 67108864 wanted");
    fails(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), PEER_WAITS,
          (mh_fetch){.body_max = 5}, MH_ERR_TOO_LARGE, MH_PHASE_HEAD,
          "a body of 6 bytes, and no more than 5 wanted");
}

Test(fetch, the_ceiling_of_the_buffer)
{
    res.body.max = 4;
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), PEER_CLOSES, standard),
                 MH_ERR_TOO_LARGE);
    cr_assert_eq(res.phase, MH_PHASE_BODY);
    cr_assert_str_eq(res.detail, "a body of more than 4 bytes");
    done();
    cr_assert_eq(res.body.max, 4, "kept");
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\n\r\nhell"), PEER_CLOSES, standard), 200);
    done();
}

Test(fetch, of_two_ceilings_the_smaller_one)
{
    static const struct {
        size_t buffer, fetch;
    } cases[] = {{4, 100}, {100, 4}};
    for (size_t i = 0; i < 2; i++) {
        res.body.max = cases[i].buffer;
        fails(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), PEER_CLOSES,
              (mh_fetch){.body_max = cases[i].fetch}, MH_ERR_TOO_LARGE, MH_PHASE_BODY,
              "a body of more than 4 bytes");
    }
    res.body.max = 0;
    fails(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"), PEER_WAITS,
          (mh_fetch){.body_max = 100000000}, MH_ERR_TOO_LARGE, MH_PHASE_HEAD,
          "a body of 99999999 bytes, and no more than 67108864 wanted");
}

static int swallow(mh_response *swallowed, const char *data, size_t len)
{
    (void)swallowed, (void)data, (void)len;
    return 1; /* counts as 0 */
}

Test(fetch, the_ceiling_of_a_buffer_that_is_not_used)
{
    res.body.max = 4;
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\n\r\nhello"), PEER_CLOSES,
                            (mh_fetch){.on_body = swallow}),
                 200);
    cr_assert_eq(res.received, 5);
    done();
    res.body.max = 0;
}

Test(fetch, a_body_that_just_fits)
{
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), PEER_WAITS,
                            (mh_fetch){.body_max = 5}),
                 200);
    done();
}

/* ---- time ---- */

Test(fetch, silence)
{
    fails(MH_STR(""), PEER_WAITS, (mh_fetch){.idle_timeout_ms = 30}, -ETIMEDOUT, MH_PHASE_HEAD,
          "no byte for 30 ms");
    fails(MH_STR("HTTP/1.1 200 OK\r\n"), PEER_WAITS, (mh_fetch){.idle_timeout_ms = 30}, -ETIMEDOUT,
          MH_PHASE_HEAD, "no byte for 30 ms");
    fails(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), PEER_WAITS,
          (mh_fetch){.idle_timeout_ms = 30}, -ETIMEDOUT, MH_PHASE_BODY, "no byte for 30 ms");
}

Test(fetch, the_time_in_all)
{
    fails(MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"), PEER_WAITS,
          (mh_fetch){.timeout_ms = 40, .idle_timeout_ms = -1}, -ETIMEDOUT, MH_PHASE_BODY,
          "not complete within 40 ms");
    fails(MH_STR(CHUNKED "1\r\nx\r\n"), PEER_WAITS, (mh_fetch){.timeout_ms = 40}, -ETIMEDOUT,
          MH_PHASE_BODY, "not complete within 40 ms");
}

/* The deadline does not wait for a moment in which nothing is there. */
Test(fetch, the_time_in_all_of_a_body_that_never_stops)
{
    static char body[100000];
    memset(body, 'x', sizeof(body));
    memcpy(body, "HTTP/1.1 200 OK\r\n\r\n", 19);
    fails((mh_str){body, sizeof(body)}, PEER_REPEATS,
          (mh_fetch){.timeout_ms = 100, .on_body = swallow}, -ETIMEDOUT, MH_PHASE_BODY,
          "not complete within 100 ms");
}

Test(fetch, a_peer_that_takes_no_body)
{
    static char body[16 << 20];
    char url[64];
    int held = peer_deaf(url, sizeof(url));
    cr_assert_eq(listen(held, 5), 0); /* connections are made, and nobody reads */
    mh_fetch fetch = {.url = url, .body = {body, sizeof(body)}, .idle_timeout_ms = 50};
    cr_assert_eq(mh_client_fetch(NULL, &fetch, &res), -ETIMEDOUT);
    cr_assert_eq(res.phase, MH_PHASE_SEND);
    cr_assert_str_eq(res.detail, "no byte for 50 ms");
    cr_assert_not(res.retryable);
    mh_response_free(&res);
    mh__close(held);
}

/* ---- options ---- */

static void refuses(mh_client *client, mh_fetch fetch, int err, const char *detail)
{
    int before = open_descriptors();
    cr_assert_eq(mh_client_fetch(client, &fetch, &res), err);
    cr_assert_eq(res.error, err);
    cr_assert_eq(res.phase, MH_PHASE_START);
    cr_assert_eq(!res.detail, !detail);
    if (detail)
        cr_assert_str_eq(res.detail, detail);
    cr_assert(res.retryable);
    cr_assert_eq(open_descriptors(), before);
    mh_response_free(&res);
}

Test(fetch, options_that_are_no_good)
{
    static const char reserved[] = "what is reserved is to be zero",
                      below[] = "a timeout or a limit below -1";
    refuses(NULL, (mh_fetch){.url = "http://h/", .flags = 1u << 31}, -EINVAL, reserved);
    refuses(NULL, (mh_fetch){.url = "http://h/", .reserved = {[7] = 1}}, -EINVAL, reserved);
    refuses(NULL, (mh_fetch){.url = "http://h/", .timeout_ms = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .resolve_timeout_ms = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .connect_timeout_ms = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .tls_timeout_ms = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .idle_timeout_ms = -9}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .expect_timeout_ms = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = "http://h/", .redirects_max = -2}, -EINVAL, below);
    refuses(NULL, (mh_fetch){.url = NULL}, -EINVAL, "there is no URL");
    refuses(NULL, (mh_fetch){.url = "http//h/"}, MH_ERR_URL,
            "malformed URL, not http://host:port/path?query");
    refuses(NULL, (mh_fetch){.url = "http://h/a b"}, MH_ERR_URL,
            "malformed URL: byte 0x20 at offset 10");
    refuses(NULL, (mh_fetch){.url = "ftp://h/"}, MH_ERR_SCHEME, NULL);
    cr_assert_eq(mh_client_fetch(NULL, NULL, &res), -EINVAL);
    cr_assert_eq(mh_client_fetch(NULL, &standard, NULL), -EINVAL);
}

/* ---- callbacks ---- */

struct seen {
    int heads, bodies, progress;
    int fail_head, fail_body, fail_progress;
    mh_phase phase_in_head, phase_in_body;
    uint64_t total;
    char body[64];
    size_t len;
};

static int on_head(mh_response *r)
{
    struct seen *seen = r->user;
    seen->heads++;
    seen->phase_in_head = r->phase;
    seen->total = r->received_total;
    cr_assert_eq(r->status, 200);
    cr_assert_gt(r->headers.count, 0);
    return seen->fail_head;
}

static int on_body(mh_response *r, const char *data, size_t len)
{
    struct seen *seen = r->user;
    seen->bodies++;
    seen->phase_in_body = r->phase;
    cr_assert_leq(seen->len + len, sizeof(seen->body));
    memcpy(seen->body + seen->len, data, len);
    seen->len += len;
    cr_assert_eq(r->received, seen->len);
    return seen->fail_body;
}

static int on_progress(mh_response *r)
{
    struct seen *seen = r->user;
    seen->progress++;
    cr_assert_eq(r->received, seen->len);
    return seen->fail_progress;
}

static int with_callbacks(struct seen *seen, mh_str script)
{
    return fetch_from(
        script, PEER_WAITS,
        (mh_fetch){
            .on_head = on_head, .on_body = on_body, .on_progress = on_progress, .user = seen});
}

static const char two_chunks[] =
    "HTTP/1.1 103 Early\r\n\r\n" CHUNKED "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

Test(fetch, callbacks_see_the_head_and_the_body)
{
    struct seen seen = {0};
    cr_assert_eq(with_callbacks(&seen, mh_str_from(two_chunks)), 200);
    cr_assert_eq(seen.heads, 1);
    cr_assert_eq(seen.phase_in_head, MH_PHASE_HEAD);
    cr_assert_eq(seen.phase_in_body, MH_PHASE_BODY);
    cr_assert_eq(seen.total, MH_LENGTH_UNKNOWN);
    cr_assert_geq(seen.bodies, 2);
    cr_assert_geq(seen.progress, 1);
    cr_assert_eq(memcmp(seen.body, "hello world", 11), 0);
    cr_assert_eq(res.body.len, 0);
    done();
}

Test(fetch, a_callback_ends_the_fetch_with_its_error)
{
    struct seen head = {.fail_head = -ECANCELED}, body = {.fail_body = -ENOSPC},
                progress = {.fail_progress = -EDOM};
    cr_assert_eq(with_callbacks(&head, mh_str_from(two_chunks)), -ECANCELED);
    cr_assert_eq(res.phase, MH_PHASE_HEAD);
    cr_assert_eq(res.status, 200);
    cr_assert_eq(head.bodies, 0);
    done();
    cr_assert_eq(with_callbacks(&body, mh_str_from(two_chunks)), -ENOSPC);
    cr_assert_eq(res.phase, MH_PHASE_BODY);
    cr_assert_eq(body.bodies, 1);
    cr_assert_eq(body.progress, 0);
    done();
    cr_assert_eq(with_callbacks(&progress, mh_str_from(two_chunks)), -EDOM);
    cr_assert_eq(res.phase, MH_PHASE_BODY);
    cr_assert_eq(progress.progress, 1);
    done();
}

Test(fetch, no_ceiling_when_the_body_goes_to_a_callback)
{
    struct seen seen = {.fail_head = -ECANCELED};
    with_callbacks(&seen, MH_STR("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n"));
    cr_assert_eq(res.error, -ECANCELED);
    cr_assert_eq(seen.total, 9000000000000u);
    done();
}

/* ---- a response again ---- */

Test(fetch, a_response_is_used_again)
{
    cr_assert_eq(fetch_from(MH_STR("HTTP/1.1 200 Fine\r\n\r\nhello"), PEER_CLOSES, standard), 200);
    const void *data = res.body.data, *private_ = res.private_;
    free(peer);
    cr_assert_eq(fetch_from(MH_STR("nonsense\r\n"), PEER_CLOSES, standard), MH_ERR_MALFORMED);
    cr_assert_eq(res.status, 0);
    cr_assert_eq(res.body.len, 0);
    cr_assert_eq(res.headers.count, 0);
    cr_assert_null(res.head.ptr);
    cr_assert_null(res.reason.ptr);
    cr_assert_eq(res.received, 0);
    cr_assert_eq(res.received_total, MH_LENGTH_UNKNOWN);
    free(peer);
    cr_assert_eq(
        fetch_from(MH_STR("HTTP/1.1 404 -\r\nContent-Length: 2\r\n\r\nno"), PEER_WAITS, standard),
        404);
    cr_assert_str_eq(res.body.data, "no");
    cr_assert_eq((const void *)res.body.data, data, "the memory is kept");
    cr_assert_eq((const void *)res.private_, private_);
    cr_assert_null(res.detail);
    done();
}

/* Where there is no body there is nothing to be undone. */
Test(fetch, no_body_in_a_coding_that_is_not_known)
{
    const char script[] = "HTTP/1.1 200 OK\r\nContent-Encoding: other\r\nContent-Length: 5\r\n\r\n";
    mh_fetch head = {.method = "HEAD"};
    cr_assert_eq(fetch_from(mh_str_from(script), PEER_WAITS, head), 200, "%s", res.detail);
    done();
    mh_str none = MH_STR("HTTP/1.1 304 -\r\nContent-Encoding: other\r\n\r\n");
    cr_assert_eq(fetch_from(none, PEER_WAITS, (mh_fetch){0}), 304, "%s", res.detail);
    done();
}
