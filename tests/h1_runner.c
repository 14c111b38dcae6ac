/* h1_runner.c: tells a case to the engine, in every way to cut its input, and holds what the engine
 * says against the story. Knows the public interface only. */
#include "h1_runner.h"
#include "memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX 40    /* bytes of input that are cut at every pair of positions */
#define CUTS_ALL 4096   /* bytes of input that are cut at every position */
#define CUTS_EDGE 128   /* and of larger ones, so many at either end, */
#define CUTS_STRIDE 251 /* and in the middle one of so many */

struct run {
    const struct h1_suite *suite;
    const struct h1_case *c;
    struct memory *memory;
    const char *way; /* how the input is cut: "whole" */
    size_t cuts[2];  /* positions; 0: none */
    bool bytewise;
    bool quiet;
    bool in_body; /* the last event was BODY: the next piece is logged behind it */
    mh_h1 h1;
    mh_h1_view view;
    mh_buf out;     /* what we put */
    size_t written; /* of it, what was held against the case */
    mh_buf log;     /* what the engine said, in bytes that only need to be compared */
    size_t taken;   /* input that the engine has consumed */
    size_t fed;     /* input that it was shown */
    size_t limit;   /* input that the story has come to */
    size_t message; /* where the current message begins in the input */
    int last;       /* event */
};

/* ---- saying what went wrong ---- */

static bool wrong(const struct run *run, int line, const char *fmt, ...) MH_PRINTF(3, 4);

static bool wrong(const struct run *run, int line, const char *fmt, ...)
{
    if (run->quiet)
        return false;
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: %s: ", run->c->file, line, run->c->title);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, " (%s", run->way);
    if (run->cuts[0])
        fprintf(stderr, " %zu", run->cuts[0]);
    if (run->cuts[1])
        fprintf(stderr, " %zu", run->cuts[1]);
    fputs(")\n", stderr);
    va_end(args);
    return false;
}

static void say(mh_buf *out, const char *fmt, ...) MH_PRINTF(2, 3);

static void say(mh_buf *out, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0 ||
        mh_buf_append(out, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1))
        abort();
}

/* As a case would write it. */
static void say_bytes(mh_buf *out, mh_str bytes)
{
    size_t shown = bytes.len < 200 ? bytes.len : 200;
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c == '\r' || c == '\n')
            say(out, c == '\r' ? "\\r" : "\\n");
        else if (c < ' ' || c > '~' || c == '\\' || c == '{')
            say(out, "\\x%02x", c);
        else
            say(out, "%c", c);
    }
    if (shown < bytes.len)
        say(out, "... (%zu bytes)", bytes.len);
}

static void say_fields(mh_buf *out, mh_headers fields)
{
    mh_headers_each(field, fields)
    {
        say(out, "\n    ");
        say_bytes(out, field->name);
        say(out, ": ");
        say_bytes(out, field->value);
    }
}

static void say_head(mh_buf *out, const mh_h1_head *head, bool request)
{
    if (request) {
        say_bytes(out, head->method);
        say(out, " ");
        say_bytes(out, head->target);
        say(out, " 1.%d", head->minor_version);
    } else {
        say(out, "%d 1.%d ", head->status, head->minor_version);
        say_bytes(out, head->reason);
    }
    say_fields(out, head->headers);
}

static const char *event_name(int event)
{
    static const char *const names[] = {"MORE",   "HEAD",     "BODY",  "END",
                                        "PAUSED", "SWITCHED", "CLOSED"};
    return event < 0 ? mh_errname(event) : event <= MH_H1_CLOSED ? names[event] : "?";
}

static void say_event(mh_buf *out, const struct run *run, int event)
{
    const mh_h1_fault *fault = &run->view.fault;
    say(out, "%s ", event_name(event));
    if (event == MH_H1_HEAD)
        say_head(out, &run->view.head, run->c->role == MH_H1_SERVER);
    else if (event == MH_H1_BODY)
        say_bytes(out, run->view.body);
    else if (event == MH_H1_END)
        say_fields(out, run->view.head.headers);
    else if (event < 0)
        say(out, "%d offset %llu byte %d: %s", fault->status, (unsigned long long)fault->offset,
            fault->byte, fault->reason ? fault->reason : "(null)");
}

static bool wrong_event(const struct run *run, const struct h1_item *item, int event)
{
    mh_buf said = {0};
    say_event(&said, run, event);
    wrong(run, item->line, "%s was expected; the engine says %s", event_name(item->event),
          said.data);
    mh_buf_free(&said);
    return false;
}

/* ---- the log ---- */

static void log_bytes(struct run *run, mh_str bytes)
{
    if (mh_buf_append(&run->log, &bytes.len, sizeof bytes.len) ||
        mh_buf_append(&run->log, bytes.ptr, bytes.len))
        abort();
}

static void log_head(struct run *run)
{
    const mh_h1_head *head = &run->view.head;
    say(&run->log, "%d %d", head->status, head->minor_version);
    log_bytes(run, head->method);
    log_bytes(run, head->target);
    log_bytes(run, head->reason);
    log_bytes(run, run->view.raw);
}

static void log_fields(struct run *run)
{
    mh_headers_each(field, run->view.head.headers)
    {
        log_bytes(run, field->name);
        log_bytes(run, field->value);
    }
}

static void log_fault(struct run *run)
{
    const mh_h1_fault *fault = &run->view.fault;
    say(&run->log, "%s at %llu, byte %d, status %d", fault->reason ? fault->reason : "",
        (unsigned long long)fault->offset, fault->byte, fault->status);
}

static void log_event(struct run *run, int event)
{
    bool goes_on = event == MH_H1_BODY && run->in_body;
    if (!goes_on)
        say(&run->log, "\n%s ", event_name(event));
    if (event == MH_H1_HEAD)
        log_head(run);
    if (event == MH_H1_HEAD || event == MH_H1_END)
        log_fields(run);
    if (event == MH_H1_BODY && mh_buf_append(&run->log, run->view.body.ptr, run->view.body.len))
        abort();
    if (event < 0)
        log_fault(run);
    run->in_body = event == MH_H1_BODY;
}

/* ---- driving the engine ---- */

/* Ask once. The engine sees its input at a new place each time. */
static int ask_once(struct run *run)
{
    size_t len = run->fed - run->taken;
    const char *from = run->c->input.data ? run->c->input.data + run->taken : "";
    char *place = memory_place(run->memory, from, len);
    if (!place)
        abort();
    mh_str in = {place, len};
    int event = mh_h1_next(&run->h1, &in, &run->view);
    if (in.len > len || in.ptr != place + (len - in.len)) {
        fputs("the engine moved *in to somewhere else\n", stderr);
        abort();
    }
    run->taken += len - in.len;
    return event;
}

static size_t next_cut(const struct run *run)
{
    size_t to = run->limit;
    if (run->bytewise && run->fed + 1 < to)
        to = run->fed + 1;
    for (size_t i = 0; i < 2; i++)
        if (run->cuts[i] > run->fed && run->cuts[i] < to)
            to = run->cuts[i];
    return to;
}

/* Show the engine more of what the story has come to. false: there is no more. */
static bool feed(struct run *run)
{
    size_t to = next_cut(run);
    bool more = to > run->fed;
    run->fed = to;
    return more;
}

/* An interim response ends with its head; anything else with END. */
static void mark_message(struct run *run, int event)
{
    bool interim =
        event == MH_H1_HEAD && run->c->role == MH_H1_CLIENT && run->view.head.status < 200;
    if (event == MH_H1_END || interim)
        run->message = run->taken;
}

/* A client that pauses shows the engine what else has come: it is nothing that was asked for. */
static bool wants_more(const struct run *run, int event)
{
    return event == MH_H1_NEED_MORE || (event == MH_H1_PAUSED && run->c->role == MH_H1_CLIENT);
}

static int pull(struct run *run)
{
    int event;
    if (run->fed == run->taken && !run->bytewise)
        feed(run);
    do {
        event = ask_once(run);
        if (event == MH_H1_NEED_MORE && run->bytewise)
            event = ask_once(run); /* asking again changes nothing */
    } while (wants_more(run, event) && feed(run));
    mark_message(run, event);
    if (event != MH_H1_NEED_MORE)
        log_event(run, event);
    run->last = event;
    return event;
}

/* ---- holding events against the story ---- */

static bool same(mh_str a, mh_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static mh_headers told_fields(const struct run *run, const struct h1_item *item)
{
    if (item->fields == 0)
        return (mh_headers){0}; /* the suite may have no array of them at all */
    return (mh_headers){run->suite->fields + item->first_field, item->fields};
}

static bool same_fields(const struct run *run, const struct h1_item *item)
{
    mh_headers told = told_fields(run, item), said = run->view.head.headers;
    if (said.count < told.count || (said.count > told.count && !item->more_fields))
        return false;
    for (size_t i = 0; i < told.count; i++)
        if (!same(told.at[i].name, said.at[i].name) || !same(told.at[i].value, said.at[i].value))
            return false;
    return true;
}

static bool same_head(const struct run *run, const struct h1_item *item)
{
    const mh_h1_head *head = &run->view.head;
    bool line = run->c->role == MH_H1_SERVER
                    ? same(head->method, item->text) && same(head->target, item->target)
                    : head->status == item->status && same(head->reason, item->text);
    return line && head->minor_version == item->minor && same_fields(run, item);
}

/* The byte that a fault names is the byte that stands there. */
static bool fault_fits_input(const struct run *run)
{
    const mh_h1_fault *fault = &run->view.fault;
    size_t at = run->message + (size_t)fault->offset;
    if (fault->byte < 0)
        return true;
    return at < run->fed && (unsigned char)run->c->input.data[at] == fault->byte;
}

static bool fault_in_time(const struct run *run, const struct h1_item *item)
{
    if (!run->bytewise || item->late || item->byte < 0)
        return true;
    return run->fed == run->message + run->view.fault.offset + 1;
}

/* After an error nothing more can be read, however often one asks. */
static bool stays_an_error(struct run *run)
{
    return ask_once(run) < 0 && !mh_h1_reusable(&run->h1);
}

static bool check_error(struct run *run, const struct h1_item *item)
{
    const mh_h1_fault *fault = &run->view.fault;
    bool told = (item->status == 0 || item->status == fault->status) &&
                (item->offset < 0 || (uint64_t)item->offset == fault->offset) &&
                (item->byte == -2 || item->byte == fault->byte);
    if (!told || !fault->reason || !fault->reason[0])
        return wrong_event(run, item, item->event);
    if (!fault_fits_input(run))
        return wrong(run, item->line, "byte 0x%02x is not at offset %llu", (unsigned)fault->byte,
                     (unsigned long long)fault->offset);
    if (!fault_in_time(run, item))
        return wrong(run, item->line, "the fault was seen only after byte %zu", run->fed - 1);
    if (!stays_an_error(run))
        return wrong(run, item->line, "the error went away");
    return true;
}

static bool check_body(struct run *run, const struct h1_item *item)
{
    mh_str left = item->text;
    while (left.len > 0) {
        int event = pull(run);
        mh_str body = run->view.body;
        bool fits = event == MH_H1_BODY && body.len > 0 && body.len <= left.len &&
                    memcmp(body.ptr, left.ptr, body.len) == 0;
        if (!fits)
            return wrong_event(run, item, event);
        left = (mh_str){left.ptr + body.len, left.len - body.len};
    }
    return true;
}

static bool check_event(struct run *run, const struct h1_item *item)
{
    if (item->event == MH_H1_BODY)
        return check_body(run, item);
    int event = pull(run);
    bool any = item->event == H1_ANY_ERROR && event < 0;
    if (event != item->event && !any)
        return wrong_event(run, item, event);
    if (event < 0)
        return check_error(run, item);
    if (event == MH_H1_HEAD && !same_head(run, item))
        return wrong_event(run, item, event);
    if (event == MH_H1_END && !same_fields(run, item))
        return wrong_event(run, item, event);
    return true;
}

static bool check_eof(struct run *run, const struct h1_item *item)
{
    bool open =
        run->last != MH_H1_PAUSED && run->last != MH_H1_SWITCHED && run->last != MH_H1_CLOSED;
    int event = open ? pull(run) : MH_H1_NEED_MORE;
    if (event != MH_H1_NEED_MORE)
        return wrong_event(run, item, event);
    event = mh_h1_eof(&run->h1, &run->view);
    log_event(run, event);
    run->last = MH_H1_CLOSED;
    return event == item->event || wrong_event(run, item, event);
}

/* ---- what we do ---- */

static bool check_put(struct run *run, const struct h1_item *item, size_t before, int result)
{
    if (result != item->event)
        return wrong(run, item->line, "it returns %s", result ? mh_errname(result) : "0");
    if (result < 0 && run->out.len != before)
        return wrong(run, item->line, "it failed, and has written something");
    return true;
}

static bool do_put(struct run *run, const struct h1_item *item)
{
    size_t before = run->out.len;
    mh_headers fields = told_fields(run, item);
    mh_h1_head head = {.status = item->status, .headers = fields};
    head.method = item->status ? (mh_str){0} : item->text;
    head.target = item->target;
    head.reason = item->status ? item->text : (mh_str){0};
    int result = item->what == H1_PUT       ? mh_h1_put_head(&run->h1, &head, &run->out)
                 : item->what == H1_PUT_END ? mh_h1_put_end(&run->h1, fields, &run->out)
                                            : mh_h1_put_body(&run->h1, item->text, &run->out);
    return check_put(run, item, before, result);
}

/* A whole message in one line; its bytes are not looked at. */
static bool do_short(struct run *run, const struct h1_item *item)
{
    static const mh_header host = {{"Host", 4}, {"a", 1}},
                           zero = {{"Content-Length", 14}, {"0", 1}};
    bool ask = item->what == H1_ASK;
    bool bare = item->status < 200 || item->status == 204 || item->status == 304;
    mh_headers fields = {ask ? &host : &zero, ask || !bare ? 1 : 0};
    mh_h1_head head = {.method = ask ? item->text : (mh_str){0},
                       .target = item->target,
                       .status = item->status,
                       .headers = fields};
    int result = mh_h1_put_head(&run->h1, &head, &run->out);
    if (result == 0)
        result = mh_h1_put_end(&run->h1, (mh_headers){0}, &run->out);
    run->written = run->out.len;
    return result == 0 || wrong(run, item->line, "it returns %s", mh_errname(result));
}

static bool check_written(struct run *run, const struct h1_item *item)
{
    mh_str put = {run->out.data + run->written, run->out.len - run->written};
    run->written = run->out.len;
    if (same(put, item->text))
        return true;
    mh_buf said = {0};
    say_bytes(&said, put);
    wrong(run, item->line, "written was %s", said.len ? said.data : "nothing");
    mh_buf_free(&said);
    return false;
}

static bool check_rest(const struct run *run, const struct h1_item *item)
{
    const mh_buf *input = &run->c->input;
    mh_str rest = {input->data ? input->data + run->taken : NULL, run->limit - run->taken};
    return same(rest, item->text) || wrong(run, item->line, "%zu bytes are left", rest.len);
}

static bool check_left(const struct run *run, const struct h1_item *item)
{
    uint64_t left = mh_h1_body_left(&run->h1);
    return left == item->amount || wrong(run, item->line, "left is %llu", (unsigned long long)left);
}

static bool check_answer(const struct run *run, const struct h1_item *item, bool answer)
{
    return answer == item->yes || wrong(run, item->line, "it is not so");
}

static bool tell(struct run *run, const struct h1_item *item)
{
    switch (item->what) {
    case H1_FEED:
        run->limit = item->to;
        return true;
    case H1_WRITTEN:
        return check_written(run, item);
    case H1_PUT:
    case H1_PUT_BODY:
    case H1_PUT_END:
        return do_put(run, item);
    case H1_ASK:
    case H1_REPLY:
        return do_short(run, item);
    case H1_RESTART:
        mh_h1_restart(&run->h1);
        run->last = MH_H1_NEED_MORE;
        return true;
    case H1_EOF:
        return check_eof(run, item);
    case H1_EVENT:
        return check_event(run, item);
    case H1_LEFT:
        return check_left(run, item);
    case H1_WANTS_CONTINUE:
        return check_answer(run, item, mh_h1_wants_continue(&run->h1));
    case H1_REUSABLE:
        return check_answer(run, item, mh_h1_reusable(&run->h1));
    case H1_REST:
        return check_rest(run, item);
    }
    return false;
}

/* The story is over: the engine has nothing to add. */
static bool check_silence(struct run *run)
{
    if (run->last < 0 || run->last == MH_H1_SWITCHED || run->last == MH_H1_CLOSED)
        return true;
    int event = pull(run);
    if (event == MH_H1_NEED_MORE || event == MH_H1_PAUSED)
        return true;
    struct h1_item end = {.line = run->c->line, .event = MH_H1_NEED_MORE};
    return wrong_event(run, &end, event);
}

static bool run_story(struct run *run)
{
    const struct h1_case *c = run->c;
    mh_h1_init(&run->h1, c->role, c->head_max);
    run->taken = run->fed = run->limit = run->message = run->written = 0;
    run->last = MH_H1_NEED_MORE;
    run->in_body = false;
    mh_buf_clear(&run->log);
    mh_buf_clear(&run->out);
    for (size_t i = 0; i < c->items; i++)
        if (!tell(run, &run->suite->items[c->first_item + i]))
            return false;
    return check_silence(run);
}

/* ---- every way to cut ---- */

struct ways {
    struct run run;
    mh_buf first; /* the log of the first run: all others have to be equal */
    size_t runs;
};

static bool run_way(struct ways *ways, const char *way, size_t cut, size_t cut2)
{
    struct run *run = &ways->run;
    run->way = way;
    run->cuts[0] = cut;
    run->cuts[1] = cut2;
    if (!run_story(run))
        return false;
    if (ways->runs++ == 0)
        return mh_buf_append(&ways->first, run->log.data, run->log.len) == 0;
    return same(mh_buf_str(&run->log), mh_buf_str(&ways->first)) ||
           wrong(run, run->c->line, "the engine says something else than before:%s\n-- before:%s",
                 run->log.data, ways->first.data);
}

static bool run_bytewise(struct ways *ways, const char *way)
{
    ways->run.bytewise = true;
    bool good = run_way(ways, way, 0, 0);
    ways->run.bytewise = false;
    return good;
}

static bool is_cut(size_t at, size_t len)
{
    bool edge = at < CUTS_EDGE || len - at < CUTS_EDGE;
    return len <= CUTS_ALL || edge || at % CUTS_STRIDE == 0;
}

static bool run_cuts(struct ways *ways)
{
    size_t len = ways->run.c->input.len;
    for (size_t at = 1; at < len; at++)
        if (is_cut(at, len) && !run_way(ways, "cut at", at, 0))
            return false;
    return true;
}

static bool run_pairs(struct ways *ways)
{
    size_t len = ways->run.c->input.len;
    for (size_t a = 1; len <= PAIRS_MAX && a < len; a++)
        for (size_t b = a + 1; b < len; b++)
            if (!run_way(ways, "cut at", a, b))
                return false;
    return true;
}

static bool run_ways(struct ways *ways, enum h1_depth depth, struct memory memory[3])
{
    ways->run.memory = &memory[MEMORY_HEAP];
    if (!run_way(ways, "whole", 0, 0) || !run_bytewise(ways, "byte by byte"))
        return false;
    if (depth == H1_DEPTH_QUICK)
        return true;
    if (!run_cuts(ways))
        return false;
    ways->run.memory = &memory[MEMORY_AFTER_GUARD];
    if (!run_way(ways, "whole, behind a guard page", 0, 0))
        return false;
    ways->run.memory = &memory[MEMORY_BEFORE_GUARD];
    return run_way(ways, "whole, before a guard page", 0, 0) &&
           run_bytewise(ways, "byte by byte, before a guard page") && run_pairs(ways);
}

size_t h1_suite_run(const struct h1_suite *suite, enum h1_depth depth, bool quiet, size_t *runs)
{
    struct memory memory[3];
    for (int kind = 0; kind < 3; kind++)
        if (!memory_open(&memory[kind], (enum memory_kind)kind))
            abort();
    struct ways ways = {.run = {.suite = suite, .quiet = quiet}};
    size_t failed = 0;
    *runs = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        ways.run.c = &suite->cases[i];
        ways.runs = 0;
        mh_buf_clear(&ways.first);
        failed += !run_ways(&ways, depth, memory);
        *runs += ways.runs;
    }
    mh_buf_free(&ways.first);
    mh_buf_free(&ways.run.log);
    mh_buf_free(&ways.run.out);
    for (int kind = 0; kind < 3; kind++)
        memory_close(&memory[kind]);
    return failed;
}
