/* h1_walk.c: drives the engine over an input, and writes down what it says. */
#include "h1_walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walker {
    const struct walk *how;
    struct walked *out;
    mh_str input;
    mh_h1 h1;
    mh_h1_view view;
    mh_buf answer;
    size_t taken, fed, pieces, messages;
    bool in_body;
    bool tunnel; /* the request was a CONNECT */
};

static void add(mh_buf *buf, const void *bytes, size_t len)
{
    if (mh_buf_append(buf, bytes, len))
        abort();
}

static void note(struct walker *w, mh_str bytes)
{
    add(&w->out->log, &bytes.len, sizeof bytes.len);
    add(&w->out->log, bytes.ptr, bytes.len);
}

static void note_number(struct walker *w, uint64_t number)
{
    add(&w->out->log, &number, sizeof number);
}

static void note_head(struct walker *w)
{
    const mh_h1_head *head = &w->view.head;
    note(w, head->method);
    note(w, head->target);
    note(w, head->reason);
    note_number(w, (uint64_t)head->status);
    note_number(w, (uint64_t)head->minor_version);
    note(w, w->view.raw);
}

static void note_fields(struct walker *w)
{
    note_number(w, w->view.head.headers.count);
    mh_headers_each(field, w->view.head.headers)
    {
        note(w, field->name);
        note(w, field->value);
    }
}

static void note_fault(struct walker *w)
{
    const mh_h1_fault *fault = &w->view.fault;
    note(w, mh_str_from(fault->reason));
    note_number(w, fault->offset);
    note_number(w, (uint64_t)fault->byte);
    note_number(w, (uint64_t)fault->status);
}

static void note_event(struct walker *w, int event)
{
    bool goes_on = event == MH_H1_BODY && w->in_body;
    w->in_body = event == MH_H1_BODY;
    if (!goes_on)
        note_number(w, (uint64_t)event);
    if (event == MH_H1_HEAD) {
        note_head(w);
        w->tunnel = mh_str_equal(w->view.head.method, "CONNECT");
    }
    if (event == MH_H1_HEAD || event == MH_H1_END)
        note_fields(w);
    if (event == MH_H1_BODY)
        add(&w->out->log, w->view.body.ptr, w->view.body.len);
    if (event < 0)
        note_fault(w);
}

static void keep_head(struct walker *w)
{
    struct walked *out = w->out;
    out->head = true;
    out->status = w->view.head.status;
    out->fields = w->view.head.headers.count;
    out->head_len = w->taken;
    out->left = mh_h1_body_left(&w->h1);
}

static void keep_first(struct walker *w, int event)
{
    struct walked *out = w->out;
    if (event == MH_H1_HEAD && !out->head)
        keep_head(w);
    if (event == MH_H1_BODY && !out->end)
        out->body += w->view.body.len;
    if (event == MH_H1_END && !out->end) {
        out->end = true;
        out->message_len = w->taken;
    }
}

static int next(struct walker *w)
{
    size_t len = w->fed - w->taken;
    char *place = memory_place(w->how->memory, w->input.ptr + w->taken, len);
    if (!place)
        abort();
    mh_str in = {place, len};
    int event = mh_h1_next(&w->h1, &in, &w->view);
    if (in.len > len || in.ptr != place + (len - in.len))
        abort();
    w->taken += len - in.len;
    return event;
}

static bool feed(struct walker *w)
{
    size_t left = w->input.len - w->fed;
    size_t piece = left;
    if (w->how->cut_count > 0)
        piece = 1u + w->how->cuts[w->pieces++ % w->how->cut_count];
    w->fed += piece < left ? piece : left;
    return left > 0;
}

static void ask(struct walker *w)
{
    static const mh_header fields[] = {{{"Host", 4}, {"a", 1}}};
    bool tunnel = strcmp(w->how->method, "CONNECT") == 0;
    mh_h1_head head = {.method = mh_str_from(w->how->method),
                       .target = mh_str_from(tunnel ? "a:1" : "/"),
                       .headers = {fields, 1}};
    if (mh_h1_put_head(&w->h1, &head, &w->answer) ||
        mh_h1_put_end(&w->h1, (mh_headers){0}, &w->answer))
        abort();
}

/* Answer, and go on with the next request where the connection allows that. */
static bool reply(struct walker *w)
{
    static const mh_header fields[] = {{{"Content-Length", 14}, {"0", 1}}};
    mh_h1_head head = {.status = w->tunnel ? 403 : 200, .headers = {fields, 1}};
    mh_buf_clear(&w->answer);
    if (mh_h1_put_head(&w->h1, &head, &w->answer) ||
        mh_h1_put_end(&w->h1, (mh_headers){0}, &w->answer))
        return false;
    note(w, mh_buf_str(&w->answer));
    bool more = mh_h1_reusable(&w->h1);
    mh_h1_restart(&w->h1);
    return more;
}

static bool goes_on(struct walker *w, int event)
{
    if (event == MH_H1_NEED_MORE)
        return feed(w);
    /* A client that pauses shows the engine what else has come: nothing that was asked for. */
    if (event == MH_H1_PAUSED && w->how->role == MH_H1_CLIENT && feed(w))
        return true;
    note_event(w, event);
    keep_first(w, event);
    bool enough = event == MH_H1_END && ++w->messages == w->how->messages_max;
    if (event < 0 || event == MH_H1_SWITCHED || event == MH_H1_CLOSED || enough)
        return false;
    return event != MH_H1_PAUSED || (w->how->role == MH_H1_SERVER && reply(w));
}

static void begin(struct walker *w)
{
    mh_buf log = w->out->log;
    mh_buf_clear(&log);
    *w->out = (struct walked){.log = log};
    mh_h1_init(&w->h1, w->how->role, w->how->head_max);
    if (w->how->role == MH_H1_CLIENT)
        ask(w);
    feed(w);
}

void walk(const struct walk *how, mh_str input, struct walked *out)
{
    struct walker w = {.how = how, .out = out, .input = input};
    if (!input.ptr)
        w.input = mh_str_from("");
    begin(&w);
    int event;
    do
        event = next(&w);
    while (goes_on(&w, event));
    out->event = event;
    out->fault = w.view.fault;
    if (event == MH_H1_NEED_MORE)
        note_event(&w, mh_h1_eof(&w.h1, &w.view));
    mh_buf_free(&w.answer);
}

void walked_free(struct walked *out)
{
    mh_buf_free(&out->log);
    *out = (struct walked){0};
}
