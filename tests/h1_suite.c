/* h1_suite.c: reads cases of the protocol engine (cases/README.md) into an h1_suite. Knows the
 * format, not the engine. */
#include "h1_runner.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1u << 20) /* a case file is written by hand */

struct reader {
    struct h1_suite *suite;
    const char *file;
    int line;
    bool failed;
    bool has_role;     /* the current case has said "server" or "client" */
    size_t first_case; /* of this file */
};

static void complain(struct reader *reader, const char *fmt, ...) MH_PRINTF(2, 3);

static void complain(struct reader *reader, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", reader->file, reader->line);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    reader->failed = true;
}

/* ---- arrays that grow ---- */

static void *grow(void *at, size_t count, size_t size)
{
    bool full = count == 0 || (count >= 16 && (count & (count - 1)) == 0);
    if (!full)
        return at;
    void *bigger = realloc(at, (count ? 2 * count : 16) * size);
    if (!bigger)
        abort();
    return bigger;
}

static char *keep(struct h1_suite *suite, const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    if (!copy)
        abort();
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    suite->strings = grow(suite->strings, suite->string_count, sizeof *suite->strings);
    suite->strings[suite->string_count++] = copy;
    return copy;
}

static void append(mh_buf *buf, const void *bytes, size_t len)
{
    if (mh_buf_append(buf, bytes, len))
        abort();
}

static struct h1_case *current(struct reader *reader)
{
    struct h1_suite *suite = reader->suite;
    return suite->case_count > reader->first_case ? &suite->cases[suite->case_count - 1] : NULL;
}

static struct h1_item *last_item(struct reader *reader)
{
    struct h1_case *c = current(reader);
    return c && c->items ? &reader->suite->items[reader->suite->item_count - 1] : NULL;
}

static struct h1_item *add_item(struct reader *reader, enum h1_what what)
{
    struct h1_suite *suite = reader->suite;
    suite->items = grow(suite->items, suite->item_count, sizeof *suite->items);
    struct h1_item *item = &suite->items[suite->item_count++];
    *item = (struct h1_item){.what = what,
                             .line = reader->line,
                             .offset = -1,
                             .byte = -2,
                             .first_field = suite->field_count};
    current(reader)->items++;
    return item;
}

static void add_field(struct reader *reader, mh_str name, mh_str value)
{
    struct h1_suite *suite = reader->suite;
    suite->fields = grow(suite->fields, suite->field_count, sizeof *suite->fields);
    suite->fields[suite->field_count++] = (mh_header){name, value};
    last_item(reader)->fields++;
}

/* ---- words and bytes ---- */

static bool same(mh_str a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

/* Take one word off the front, and the single space behind it. */
static mh_str word(mh_str *rest)
{
    const char *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    size_t len = space ? (size_t)(space - rest->ptr) : rest->len;
    mh_str w = {rest->ptr, len};
    size_t gone = space ? len + 1 : len;
    *rest = (mh_str){rest->ptr + gone, rest->len - gone};
    return w;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool number(mh_str text, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return text.len > 0;
}

static int small_number(struct reader *reader, mh_str text)
{
    uint64_t n;
    if (!number(text, &n) || n > 100000) {
        complain(reader, "\"%.*s\" is no number", MH_ARG(text));
        return 0;
    }
    return (int)n;
}

/* One escape, behind its backslash. Returns the bytes it took, 0 when it is none. */
static size_t escape(mh_str text, char *out)
{
    const char *names = "rnt0\\{s";
    const char bytes[] = "\r\n\t\0\\{ ";
    const char *at = text.len && text.ptr[0] ? strchr(names, text.ptr[0]) : NULL;
    if (at) {
        *out = bytes[at - names];
        return 1;
    }
    if (text.len < 3 || text.ptr[0] != 'x')
        return 0;
    int high = hex_digit(text.ptr[1]), low = hex_digit(text.ptr[2]);
    *out = (char)(high * 16 + low);
    return high < 0 || low < 0 ? 0 : 3;
}

static void unescape(struct reader *reader, mh_str text, mh_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\') {
            size_t len = escape((mh_str){text.ptr + i + 1, text.len - i - 1}, &c);
            if (len == 0)
                complain(reader, "unknown escape");
            i += len;
        }
        append(out, &c, 1);
    }
}

/* {TEXT*COUNT}, behind its brace. Returns the bytes it took, its closing brace too. */
static size_t repeat(struct reader *reader, mh_str text, mh_buf *out)
{
    const char *end = memchr(text.ptr, '}', text.len);
    size_t len = end ? (size_t)(end - text.ptr) : 0;
    const char *star = end ? memrchr(text.ptr, '*', len) : NULL;
    if (!star) {
        complain(reader, "\"{\" without \"*COUNT}\"");
        return text.len;
    }
    mh_buf once = {0};
    unescape(reader, (mh_str){text.ptr, (size_t)(star - text.ptr)}, &once);
    int count = small_number(reader, (mh_str){star + 1, (size_t)(end - star - 1)});
    for (int i = 0; i < count; i++)
        append(out, once.data, once.len);
    mh_buf_free(&once);
    return len + 1;
}

/* A brace that is not escaped; text.len when there is none. */
static size_t find_brace(mh_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '{')
            return i;
        if (text.ptr[i] == '\\')
            i++;
    }
    return text.len;
}

static void decode(struct reader *reader, mh_str text, mh_buf *out)
{
    while (text.len > 0) {
        size_t len = find_brace(text);
        unescape(reader, (mh_str){text.ptr, len}, out);
        if (len < text.len) {
            len++;
            len += repeat(reader, (mh_str){text.ptr + len, text.len - len}, out);
        }
        text = (mh_str){text.ptr + len, text.len - len};
    }
}

static mh_str decoded(struct reader *reader, mh_str text)
{
    mh_buf out = {0};
    decode(reader, text, &out);
    mh_str kept = {keep(reader->suite, out.data, out.len), out.len};
    mh_buf_free(&out);
    return kept;
}

static const struct {
    const char *name;
    int number;
} names[] = {
#define X(name, number, text) {#name, number},
    MH_ERRORS(X)
#undef X
        {"ANY", H1_ANY_ERROR},
    {"EINVAL", -EINVAL},
    {"ENOMEM", -ENOMEM},
    {"MORE", MH_H1_NEED_MORE},
    {"HEAD", MH_H1_HEAD},
    {"BODY", MH_H1_BODY},
    {"END", MH_H1_END},
    {"PAUSED", MH_H1_PAUSED},
    {"SWITCHED", MH_H1_SWITCHED},
    {"CLOSED", MH_H1_CLOSED},
};

/* CLOSED is an event and an error: `negative` says which. */
static int by_name(struct reader *reader, mh_str name, bool negative)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(name, names[i].name) && (names[i].number < 0) == negative)
            return names[i].number;
    complain(reader, "\"%.*s\" is not known", MH_ARG(name));
    return 0;
}

/* ---- lines ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int minor_version(struct reader *reader, mh_str text)
{
    if (text.len == 3 && memcmp(text.ptr, "1.", 2) == 0 && is_digit(text.ptr[2]))
        return text.ptr[2] - '0';
    complain(reader, "\"%.*s\" is no version", MH_ARG(text));
    return 0;
}

static void read_head(struct reader *reader, mh_str rest, struct h1_item *item)
{
    mh_str first = word(&rest);
    if (first.len > 0 && is_digit(first.ptr[0])) {
        item->status = small_number(reader, first);
        item->minor = minor_version(reader, word(&rest));
        item->text = decoded(reader, rest);
    } else {
        item->text = decoded(reader, first);
        item->target = decoded(reader, word(&rest));
        item->minor = minor_version(reader, rest);
    }
}

static void read_put(struct reader *reader, mh_str rest, struct h1_item *item)
{
    mh_str first = word(&rest);
    if (first.len > 0 && is_digit(first.ptr[0])) {
        item->status = small_number(reader, first);
        item->text = decoded(reader, rest);
    } else {
        item->text = decoded(reader, first);
        item->target = decoded(reader, rest);
    }
}

static int fault_byte(struct reader *reader, mh_str text)
{
    if (same(text, "none"))
        return -1;
    int high = text.len == 4 ? hex_digit(text.ptr[2]) : -1;
    int low = text.len == 4 ? hex_digit(text.ptr[3]) : -1;
    if (high >= 0 && low >= 0 && memcmp(text.ptr, "0x", 2) == 0)
        return high * 16 + low;
    complain(reader, "\"%.*s\" is no byte", MH_ARG(text));
    return -1;
}

static void read_error(struct reader *reader, mh_str rest, struct h1_item *item)
{
    item->event = by_name(reader, word(&rest), true);
    while (rest.len > 0) {
        mh_str w = word(&rest);
        if (same(w, "offset"))
            item->offset = small_number(reader, word(&rest));
        else if (same(w, "byte"))
            item->byte = fault_byte(reader, word(&rest));
        else if (same(w, "late"))
            item->late = true;
        else
            item->status = small_number(reader, w);
    }
}

static void read_eof(struct reader *reader, mh_str rest, struct h1_item *item)
{
    mh_str w = word(&rest);
    bool error = same(w, "ERROR");
    item->event = by_name(reader, error ? rest : w, error);
}

static bool yes(struct reader *reader, mh_str text)
{
    if (!same(text, "yes") && !same(text, "no"))
        complain(reader, "\"yes\" or \"no\" is missing");
    return same(text, "yes");
}

static void read_left(struct reader *reader, mh_str rest, struct h1_item *item)
{
    item->amount = MH_LENGTH_UNKNOWN;
    if (!same(rest, "unknown") && !number(rest, &item->amount))
        complain(reader, "\"%.*s\" is no length", MH_ARG(rest));
}

static void begin_case(struct reader *reader, mh_str title)
{
    struct h1_suite *suite = reader->suite;
    for (size_t i = reader->first_case; i < suite->case_count; i++)
        if (same(title, suite->cases[i].title))
            complain(reader, "the title of line %d again", suite->cases[i].line);
    if (title.len == 0)
        complain(reader, "a case needs a title");
    const char *text = keep(suite, title.ptr, title.len);
    suite->cases = grow(suite->cases, suite->case_count, sizeof *suite->cases);
    suite->cases[suite->case_count++] = (struct h1_case){
        .file = reader->file, .title = text, .line = reader->line, .first_item = suite->item_count};
    reader->has_role = false;
}

static void read_role(struct reader *reader, mh_h1_role role, mh_str rest)
{
    struct h1_case *c = current(reader);
    c->role = role;
    if (rest.len > 0 && same(word(&rest), "head_max"))
        c->head_max = (size_t)small_number(reader, rest);
    else if (rest.len > 0)
        complain(reader, "only \"head_max\" may stand here");
    if (reader->has_role)
        complain(reader, "the role is known already");
    reader->has_role = true;
}

static void read_feed(struct reader *reader, mh_str rest)
{
    struct h1_item *item = last_item(reader);
    if (!item || item->what != H1_FEED)
        item = add_item(reader, H1_FEED);
    struct h1_case *c = current(reader);
    decode(reader, rest, &c->input);
    item->to = c->input.len;
}

static void read_written(struct reader *reader, mh_str rest)
{
    struct h1_item *item = last_item(reader);
    if (!item || item->what != H1_WRITTEN)
        item = add_item(reader, H1_WRITTEN);
    mh_buf all = {0};
    append(&all, item->text.ptr, item->text.len);
    decode(reader, rest, &all);
    item->text = (mh_str){keep(reader->suite, all.data, all.len), all.len};
    mh_buf_free(&all);
}

static bool has_fields(const struct h1_item *item)
{
    bool event = item->what == H1_EVENT && (item->event == MH_H1_HEAD || item->event == MH_H1_END);
    return event || item->what == H1_PUT || item->what == H1_PUT_END;
}

static void read_field(struct reader *reader, mh_str line)
{
    struct h1_item *item = last_item(reader);
    if (!item || !has_fields(item) || item->more_fields) {
        complain(reader, "a field does not belong here");
        return;
    }
    if (same(line, "...")) {
        item->more_fields = true;
        return;
    }
    const char *colon = memchr(line.ptr, ':', line.len);
    if (!colon) {
        complain(reader, "a field without a colon");
        return;
    }
    mh_str name = {line.ptr, (size_t)(colon - line.ptr)};
    mh_str value = {colon + 1, line.len - name.len - 1};
    if (value.len > 0 && value.ptr[0] == ' ')
        value = (mh_str){value.ptr + 1, value.len - 1};
    name = decoded(reader, name);
    add_field(reader, name, decoded(reader, value));
}

static void read_fails(struct reader *reader, mh_str rest)
{
    struct h1_item *item = last_item(reader);
    bool puts =
        item && (item->what == H1_PUT || item->what == H1_PUT_BODY || item->what == H1_PUT_END);
    if (!puts)
        complain(reader, "nothing here that could fail");
    else
        item->event = by_name(reader, rest, true);
}

/* What we do, and questions. */
static bool read_deed(struct reader *reader, mh_str verb, mh_str rest)
{
    if (same(verb, "put"))
        read_put(reader, rest, add_item(reader, H1_PUT));
    else if (same(verb, "ask"))
        read_put(reader, rest, add_item(reader, H1_ASK));
    else if (same(verb, "reply"))
        read_put(reader, rest, add_item(reader, H1_REPLY));
    else if (same(verb, "body"))
        add_item(reader, H1_PUT_BODY)->text = decoded(reader, rest);
    else if (same(verb, "end"))
        add_item(reader, H1_PUT_END);
    else if (same(verb, "fails"))
        read_fails(reader, rest);
    else if (same(verb, "restart"))
        add_item(reader, H1_RESTART);
    else if (same(verb, "left"))
        read_left(reader, rest, add_item(reader, H1_LEFT));
    else if (same(verb, "wants_continue"))
        add_item(reader, H1_WANTS_CONTINUE)->yes = yes(reader, rest);
    else if (same(verb, "reusable"))
        add_item(reader, H1_REUSABLE)->yes = yes(reader, rest);
    else if (same(verb, "rest"))
        add_item(reader, H1_REST)->text = decoded(reader, rest);
    else
        return false;
    return true;
}

/* What the engine says. */
static void read_event(struct reader *reader, mh_str verb, mh_str rest)
{
    struct h1_item *item = add_item(reader, same(verb, "EOF") ? H1_EOF : H1_EVENT);
    if (item->what == H1_EOF) {
        read_eof(reader, rest, item);
    } else if (same(verb, "ERROR")) {
        read_error(reader, rest, item);
    } else {
        item->event = by_name(reader, verb, false);
        if (item->event == MH_H1_HEAD)
            read_head(reader, rest, item);
        else if (item->event == MH_H1_BODY)
            item->text = decoded(reader, rest);
        else if (rest.len > 0)
            complain(reader, "nothing may stand behind that word");
    }
}

static void read_step(struct reader *reader, mh_str line)
{
    mh_str rest = line;
    mh_str verb = word(&rest);
    if (same(verb, "server") || same(verb, "client"))
        read_role(reader, same(verb, "server") ? MH_H1_SERVER : MH_H1_CLIENT, rest);
    else if (!reader->has_role)
        complain(reader, "\"server\" or \"client\" comes first");
    else if (same(verb, "<"))
        read_feed(reader, rest);
    else if (same(verb, ">"))
        read_written(reader, rest);
    else if (!read_deed(reader, verb, rest))
        read_event(reader, verb, rest);
}

static void read_line(struct reader *reader, mh_str line)
{
    if (line.len == 0 || line.ptr[0] == '#')
        return;
    if (line.ptr[line.len - 1] == ' ' || memchr(line.ptr, '\t', line.len))
        complain(reader, "a tab, or white space at the end");
    mh_str rest = line;
    if (same(word(&rest), "case"))
        begin_case(reader, rest);
    else if (!current(reader))
        complain(reader, "\"case\" comes first");
    else if (line.len > 4 && memcmp(line.ptr, "    ", 4) == 0)
        read_field(reader, (mh_str){line.ptr + 4, line.len - 4});
    else
        read_step(reader, line);
}

/* ---- files ---- */

static void check_cases(struct reader *reader)
{
    struct h1_suite *suite = reader->suite;
    if (suite->case_count == reader->first_case)
        complain(reader, "there is no case in it");
    for (size_t i = reader->first_case; i < suite->case_count; i++) {
        reader->line = suite->cases[i].line;
        if (suite->cases[i].items == 0)
            complain(reader, "nothing happens in this case");
    }
}

bool h1_suite_parse(struct h1_suite *suite, const char *name, mh_str text)
{
    struct reader reader = {
        .suite = suite, .file = keep(suite, name, strlen(name)), .first_case = suite->case_count};
    while (text.len > 0) {
        const char *lf = memchr(text.ptr, '\n', text.len);
        size_t len = lf ? (size_t)(lf - text.ptr) : text.len;
        reader.line++;
        read_line(&reader, (mh_str){text.ptr, len});
        size_t gone = lf ? len + 1 : len;
        text = (mh_str){text.ptr + gone, text.len - gone};
    }
    check_cases(&reader);
    return !reader.failed;
}

static bool read_file(struct h1_suite *suite, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        return false;
    }
    char *text = malloc(FILE_MAX);
    size_t len = text ? fread(text, 1, FILE_MAX, file) : 0;
    bool whole = text && len < FILE_MAX && !ferror(file);
    fclose(file);
    if (!whole)
        fprintf(stderr, "%s: cannot be read, or is too large\n", path);
    bool good = whole && h1_suite_parse(suite, path, (mh_str){text, len});
    free(text);
    return good;
}

static int is_case_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return len > 4 && strcmp(entry->d_name + len - 4, ".txt") == 0;
}

static bool read_folder(struct h1_suite *suite, const char *path, struct dirent **entries,
                        int count)
{
    bool good = count > 0;
    for (int i = 0; i < count; i++) {
        mh_buf name = {0};
        if (mh_buf_printf(&name, "%s/%s", path, entries[i]->d_name))
            abort();
        good = read_file(suite, name.data) && good;
        mh_buf_free(&name);
        free(entries[i]);
    }
    if (count == 0)
        fprintf(stderr, "%s: there is no case file in it\n", path);
    return good;
}

bool h1_suite_read(struct h1_suite *suite, const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_case_file, alphasort);
    if (count < 0)
        return read_file(suite, path);
    bool good = read_folder(suite, path, entries, count);
    free(entries);
    return good;
}

void h1_suite_free(struct h1_suite *suite)
{
    for (size_t i = 0; i < suite->case_count; i++)
        mh_buf_free(&suite->cases[i].input);
    for (size_t i = 0; i < suite->string_count; i++)
        free(suite->strings[i]);
    free(suite->strings);
    free(suite->cases);
    free(suite->items);
    free(suite->fields);
    *suite = (struct h1_suite){0};
}
