/* routes.c: notes that are kept in memory, behind a small API.
 *
 *   routes [--address A] [--port N]
 *
 *   GET    /notes?find=WORD   those with WORD in them, or all
 *   POST   /notes             text=..., as a form: a new one
 *   GET    /notes/{id}        one of them
 *   DELETE /notes/{id}        is gone
 *
 * What else is asked, with another path or another method, mh_serve_routes() answers. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "serving.h"

#define NOTES_MAX 1000
#define NOTE_MAX 4096 /* bytes of a text */
#define JSON "application/json"

static mh_buf notes[NOTES_MAX]; /* one without data is free */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- as JSON ---- */

static int put_string(mh_buf *out, mh_str text)
{
    int err = mh_buf_append(out, "\"", 1);
    for (size_t i = 0; i < text.len && err == 0; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20)
            err = mh_buf_printf(out, "\\u%04x", c);
        else
            err = mh_buf_printf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    return err < 0 ? err : mh_buf_append(out, "\"", 1);
}

static int put_note(mh_buf *out, int id)
{
    int err = mh_buf_printf(out, "{\"id\": %d, \"text\": ", id);
    if (err == 0)
        err = put_string(out, mh_buf_str(&notes[id]));
    return err < 0 ? err : mh_buf_append(out, "}", 1);
}

/* The library has the bytes of *json then, or they are freed here. */
static int reply_json(mh_request *req, int status, mh_buf *json, int err)
{
    if (err == 0)
        err = mh_buf_append(json, "\n", 1);
    if (err == 0)
        err = mh_reply_take(req, status, JSON, json);
    mh_buf_free(json);
    return err;
}

static int reply_note(mh_request *req, int status, int id)
{
    mh_buf json = {0};
    return reply_json(req, status, &json, put_note(&json, id));
}

/* ---- the handlers ---- */

/* The number in the path, of a note that there is; or -1. */
static int find_note(const mh_request *req)
{
    mh_str digits = mh_request_param(req, "id");
    char text[8];
    int id;
    if (digits.len >= sizeof(text))
        return -1;
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    return parse_number(&id, text, 0, NOTES_MAX - 1) && notes[id].data ? id : -1;
}

static int put_notes(mh_buf *json, const char *word)
{
    const char *between = "";
    int err = mh_buf_append(json, "[", 1);
    for (int id = 0; id < NOTES_MAX && err == 0; id++) {
        if (!notes[id].data || !strstr(notes[id].data, word))
            continue;
        err = mh_buf_printf(json, "%s", between);
        if (err == 0)
            err = put_note(json, id);
        between = ",\n ";
    }
    return err < 0 ? err : mh_buf_append(json, "]", 1);
}

static int list_notes(mh_request *req)
{
    mh_buf json = {0}, word = {0};
    int found = mh_request_query(req, "find", &word);
    if (found == MH_ERR_URL)
        return 400; /* and then nothing was put into it */
    int err = found < 0 ? found : put_notes(&json, found ? word.data : "");
    mh_buf_free(&word);
    return reply_json(req, 200, &json, err);
}

static int free_id(void)
{
    for (int id = 0; id < NOTES_MAX; id++) {
        if (!notes[id].data)
            return id;
    }
    return -1;
}

static int reply_created(mh_request *req, int id)
{
    char location[32];
    snprintf(location, sizeof(location), "/notes/%d", id);
    int err = mh_reply_header(req, "Location", location);
    return err < 0 ? err : reply_note(req, 201, id);
}

static int add_note(mh_request *req)
{
    int id = free_id();
    if (id < 0)
        return 507;
    notes[id].max = NOTE_MAX;
    int found = mh_request_form(req, "text", &notes[id]);
    if (found == 1)
        return reply_created(req, id);
    mh_buf_free(&notes[id]);
    if (found == MH_ERR_TOO_LARGE)
        return 413;
    return found == 0 || found == MH_ERR_URL ? 400 : found;
}

static int show_note(mh_request *req)
{
    int id = find_note(req);
    return id < 0 ? 404 : reply_note(req, 200, id);
}

static int delete_note(mh_request *req)
{
    int id = find_note(req);
    if (id < 0)
        return 404;
    mh_buf_free(&notes[id]);
    return 204;
}

static const mh_route routes[] = {
    {"GET", "/notes", list_notes, NULL},
    {"POST", "/notes", add_note, NULL},
    {"GET", "/notes/{id}", show_note, NULL},
    {"DELETE", "/notes/{id}", delete_note, NULL},
    {0},
};

/* Handlers are functions, so one calls another: here, with the notes for itself. */
static int serve_notes(mh_request *req)
{
    pthread_mutex_lock(&lock);
    int result = mh_serve_routes(req);
    pthread_mutex_unlock(&lock);
    return result;
}

int main(int argc, char **argv)
{
    static struct program program = {.name = "routes",
                                     .usage =
                                         "usage: routes [--address A] [--port N]\n"
                                         "Keep notes at /notes, until Control-C.\n\n" SERVING_HELP};
    struct serving serving;
    int status = parse_serving(&program, &serving, argc, argv);
    if (status != GO_ON)
        return status;
    status = run_server(&program, &serving,
                        (mh_server_options){.handler = serve_notes, .user = (void *)routes});
    for (int id = 0; id < NOTES_MAX; id++)
        mh_buf_free(&notes[id]);
    return status;
}
