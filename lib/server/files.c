/* files.c: the handler that answers with files. What is open is in file_cache.c, what a directory
 * looks like in listing.c; which bytes are asked for, and whether they are, in http/. */
#include "server/files.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <minihttp/url.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/accept.h"
#include "http/conditional.h"
#include "http/range.h"
#include "server/exchange.h"
#include "server/listing.h"

#define ALLOWED "GET, HEAD, OPTIONS"
#define INDEX "index.html"
#define BOUNDARY_BYTES 16 /* of chance: no file has it in it */

/* ---- where a path leads ---- */

static bool begins_with(mh_str text, mh_str start)
{
    return text.len >= start.len && mh__str_same((mh_str){text.ptr, start.len}, start);
}

/* "/static" and "/static/" mean the same. Absent where there is none. */
static mh_str prefix_of(const mh_files *files)
{
    mh_str prefix = mh_str_from(files->prefix);
    while (prefix.len > 0 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    return prefix;
}

/* In the path, decoded, it cannot be told from one that separates two names. */
static bool has_encoded_slash(mh_str target)
{
    for (size_t at = 0; at + 2 < target.len && target.ptr[at] != '?'; at++) {
        if (target.ptr[at] == '%' && target.ptr[at + 1] == '2' &&
            mh__lower(target.ptr[at + 2]) == 'f')
            return true;
    }
    return false;
}

static bool append(struct mh__file_place *place, mh_str text)
{
    if (text.len >= sizeof(place->path) - place->len)
        return false;
    if (text.len > 0)
        memcpy(place->path + place->len, text.ptr, text.len);
    place->len += text.len;
    place->path[place->len] = '\0';
    return true;
}

/* Hidden files are not served, "/.well-known/" is (RFC 8615); it stands at the top. */
static bool is_hidden(mh_str name, size_t at)
{
    return name.ptr[at] == '.' && !(at == 0 && begins_with(name, MH_STR(".well-known/")));
}

/* Several '/' in a row are one, as they are for the kernel: so each file is known by one name. */
static bool append_name(struct mh__file_place *place, mh_str name)
{
    char *out = place->path + place->len, before = '/';
    if (name.len >= sizeof(place->path) - place->len)
        return false;
    for (size_t at = 0; at < name.len; before = name.ptr[at++]) {
        if (before == '/' && is_hidden(name, at))
            return false;
        if (before != '/' || name.ptr[at] != '/')
            *out++ = name.ptr[at];
    }
    *out = '\0';
    place->len = (size_t)(out - place->path);
    return true;
}

static mh_str index_of(const mh_files *files)
{
    return files->index ? mh_str_from(files->index) : MH_STR(INDEX);
}

static bool is_directory_path(mh_str path)
{
    return path.len > 0 && path.ptr[path.len - 1] == '/';
}

int mh__files_locate(struct mh__file_place *place, const mh_files *files, mh_str path,
                     mh_str target)
{
    mh_str prefix = prefix_of(files), root = mh_str_from(files->root);
    if (!begins_with(path, prefix))
        return 404;
    if (path.len == prefix.len)
        return prefix.len > 0 ? 301 : 404;
    if (path.ptr[prefix.len] != '/' || has_encoded_slash(target))
        return 404;
    place->root_len = root.len;
    place->len = 0;
    bool fits = append(place, root) && append(place, MH_STR("/")) &&
                append_name(place, mh__str_from(path, prefix.len + 1)) &&
                append(place, is_directory_path(path) ? index_of(files) : (mh_str){0});
    return fits ? 0 : 404;
}

/* ---- what is said of a file ---- */

struct reply {
    mh_request *req;
    const mh_files *files;
    struct mh__cached_file *file;
    const char *type;   /* of the name that was asked for */
    const char *coding; /* NULL, or that of a sibling */
};

static bool needs_lines(const struct reply *reply)
{
    const struct mh__file_lines *lines = &reply->file->lines;
    return lines->count == 0 || lines->max_age_s != reply->files->max_age_s ||
           lines->varies != reply->files->precompressed || lines->coding != reply->coding;
}

static int put_line(struct mh__file_lines *lines, const char *name, const char *value)
{
    int err = mh_buf_printf(&lines->text, "%s: %s\r\n", name, value);
    lines->count += err == 0;
    return err;
}

static int put_max_age(struct mh__file_lines *lines)
{
    if (lines->max_age_s <= 0)
        return 0;
    int err = mh_buf_printf(&lines->text, "Cache-Control: max-age=%d\r\n", lines->max_age_s);
    lines->count += err == 0;
    return err;
}

/* What a 304 has to say as well (RFC 9110 section 15.4.5). */
static int put_validators(struct mh__file_lines *lines, const struct mh__cached_file *file)
{
    int err = put_line(lines, "ETag", file->etag);
    if (err == 0 && file->modified[0] != '\0')
        err = put_line(lines, "Last-Modified", file->modified);
    if (err == 0)
        err = put_max_age(lines);
    if (err == 0 && lines->varies)
        err = put_line(lines, "Vary", "Accept-Encoding");
    lines->validators_len = lines->text.len;
    lines->validators_count = lines->count;
    return err;
}

static int make_lines(const struct reply *reply)
{
    struct mh__file_lines *lines = &reply->file->lines;
    mh_buf_clear(&lines->text);
    *lines = (struct mh__file_lines){
        .text = lines->text,
        .max_age_s = reply->files->max_age_s,
        .varies = reply->files->precompressed,
        .coding = reply->coding,
    };
    int err = put_validators(lines, reply->file);
    if (err == 0)
        err = put_line(lines, "Accept-Ranges", "bytes");
    if (err == 0)
        err = put_line(lines, "X-Content-Type-Options", "nosniff");
    if (err == 0 && lines->coding)
        err = put_line(lines, "Content-Encoding", lines->coding);
    if (err < 0)
        lines->count = 0;
    return err;
}

/* They were made by put_line(), so nobody needs to look at them again. */
static int add_lines(const struct reply *reply, bool all)
{
    struct mh__reply *to = &mh__exchange_of(reply->req)->reply;
    const struct mh__file_lines *lines = &reply->file->lines;
    int err = needs_lines(reply) ? make_lines(reply) : 0;
    if (err < 0)
        return err;
    size_t count = all ? lines->count : lines->validators_count;
    if (to->status || to->line_count > MH__REPLY_FIELDS_MAX - count)
        return -EINVAL;
    err =
        mh_buf_append(&to->lines, lines->text.data, all ? lines->text.len : lines->validators_len);
    to->line_count += err == 0 ? count : 0;
    return err;
}

/* A type that was set before, by whoever calls this handler from his own, stays. */
static const char *type_for(const struct reply *reply, const char *type)
{
    return mh__exchange_of(reply->req)->reply.has_type ? NULL : type;
}

/* ---- one piece of it ---- */

/* The reference goes with the reply, also after an error. */
static int send_piece(const struct reply *reply, int status, uint64_t first, uint64_t len)
{
    struct mh__cached_file *file = reply->file;
    const char *type = type_for(reply, reply->type);
    if (file->fd >= 0)
        return mh__reply_file(reply->req, status, type, file->fd, first, len,
                              mh__cached_file_release, file);
    mh_str bytes = {file->content + first, (size_t)len};
    return mh__reply_borrow(reply->req, status, type, bytes, mh__cached_file_release, file);
}

static int fail(const struct reply *reply, int result)
{
    mh__cached_file_release(reply->file);
    return result;
}

static int send_whole(const struct reply *reply)
{
    int err = add_lines(reply, true);
    return err < 0 ? fail(reply, err) : send_piece(reply, 200, 0, reply->file->info.size);
}

/* "bytes 0-499/1234" (section 14.4) */
static int print_content_range(mh_buf *out, const struct mh__range *range, uint64_t size)
{
    return mh_buf_printf(out, "bytes %llu-%llu/%llu", (unsigned long long)range->first,
                         (unsigned long long)(range->first + range->len - 1),
                         (unsigned long long)size);
}

static int send_part(const struct reply *reply, const struct mh__range *range)
{
    char text[96];
    mh_buf value = mh__buf_over(text, sizeof(text));
    int err = add_lines(reply, true);
    if (err == 0)
        err = print_content_range(&value, range, reply->file->info.size);
    if (err == 0)
        err = mh_reply_header(reply->req, "Content-Range", text);
    return err < 0 ? fail(reply, err) : send_piece(reply, 206, range->first, range->len);
}

/* Section 15.5.17 */
static int refuse_range(const struct reply *reply)
{
    char text[32];
    mh_buf value = mh__buf_over(text, sizeof(text));
    int err = mh_buf_printf(&value, "bytes */%llu", (unsigned long long)reply->file->info.size);
    if (err == 0)
        err = mh_reply_header(reply->req, "Content-Range", text);
    return fail(reply, err < 0 ? err : 416);
}

/* ---- several pieces of it: multipart/byteranges (section 14.6) ---- */

struct parts {
    struct mh__cached_file *file;
    struct mh__ranges ranges;
    mh_buf texts;                         /* what stands before each part, and behind the last */
    size_t text_ends[MH__RANGES_MAX + 1]; /* in texts */
    char type[96];                        /* with the boundary */
    const char *boundary;                 /* in it */

    size_t at;        /* the part that is being sent */
    uint64_t text_at; /* in texts */
    uint64_t data_at; /* in the part */
};

static void free_parts(void *owner)
{
    struct parts *parts = owner;
    mh__cached_file_release(parts->file);
    mh_buf_free(&parts->texts);
    mh__free(parts);
}

static int set_boundary(struct parts *parts)
{
    unsigned char chance[BOUNDARY_BYTES];
    mh_buf type = mh__buf_over(parts->type, sizeof(parts->type));
    if (getrandom(chance, sizeof(chance), GRND_NONBLOCK) != (ssize_t)sizeof(chance))
        return -EAGAIN;
    int err = mh_buf_printf(&type, "multipart/byteranges; boundary=");
    parts->boundary = parts->type + type.len;
    for (size_t i = 0; i < sizeof(chance) && err == 0; i++)
        err = mh_buf_printf(&type, "%02x", chance[i]);
    return err;
}

static int print_part(struct parts *parts, const struct mh__range *range, const char *type)
{
    int err = mh_buf_printf(
        &parts->texts, "\r\n--%s\r\nContent-Type: %s\r\nContent-Range: ", parts->boundary, type);
    if (err == 0)
        err = print_content_range(&parts->texts, range, parts->file->info.size);
    return err < 0 ? err : mh_buf_append(&parts->texts, "\r\n\r\n", 4);
}

static int print_texts(struct parts *parts, const char *type)
{
    int err = 0;
    for (size_t i = 0; i < parts->ranges.count && err == 0; i++) {
        err = print_part(parts, &parts->ranges.at[i], type);
        parts->text_ends[i] = parts->texts.len;
    }
    if (err == 0)
        err = mh_buf_printf(&parts->texts, "\r\n--%s--\r\n", parts->boundary);
    parts->text_ends[parts->ranges.count] = parts->texts.len;
    return err;
}

static uint64_t length_of(const struct parts *parts)
{
    uint64_t length = parts->texts.len;
    for (size_t i = 0; i < parts->ranges.count; i++)
        length += parts->ranges.at[i].len;
    return length;
}

static ssize_t take_text(struct parts *parts, char *buf, size_t cap)
{
    size_t left = parts->text_ends[parts->at] - (size_t)parts->text_at;
    size_t len = left < cap ? left : cap;
    memcpy(buf, parts->texts.data + parts->text_at, len);
    parts->text_at += len;
    return (ssize_t)len;
}

/* A file that has become shorter ends the reply, and so the connection. */
static ssize_t take_data(struct parts *parts, char *buf, size_t cap)
{
    const struct mh__range *range = &parts->ranges.at[parts->at];
    uint64_t left = range->len - parts->data_at, from = range->first + parts->data_at;
    size_t len = left < cap ? (size_t)left : cap;
    if (parts->file->fd >= 0) {
        ssize_t got = mh__file_read(parts->file->fd, buf, len, from);
        if (got < 0 || (size_t)got < len)
            return got < 0 ? got : MH_ERR_CLOSED;
    } else {
        memcpy(buf, parts->file->content + from, len);
    }
    parts->data_at += len;
    return (ssize_t)len;
}

static ssize_t produce_parts(mh_request *req, char *buf, size_t cap)
{
    struct parts *parts = mh__exchange_of(req)->reply.owner;
    if (parts->text_at < parts->text_ends[parts->at])
        return take_text(parts, buf, cap);
    if (parts->at == parts->ranges.count)
        return 0;
    ssize_t len = take_data(parts, buf, cap);
    if (len > 0 && parts->data_at == parts->ranges.at[parts->at].len) {
        parts->at++;
        parts->data_at = 0;
    }
    return len;
}

static struct parts *new_parts(const struct reply *reply, const struct mh__ranges *ranges)
{
    struct parts *parts = mh__malloc(sizeof(*parts));
    if (!parts)
        return NULL;
    *parts = (struct parts){.file = reply->file, .ranges = *ranges};
    if (set_boundary(parts) == 0 && print_texts(parts, reply->type) == 0)
        return parts;
    mh_buf_free(&parts->texts);
    mh__free(parts);
    return NULL;
}

/* A server may send all of it instead (section 14.2): where it cannot send parts, it does; and also
 * where a type was set that is not ours to replace, or where the Content-Encoding of the parts
 * would be taken for that of the whole. */
static int send_parts(const struct reply *reply, const struct mh__ranges *ranges)
{
    bool is_bare = !mh__exchange_of(reply->req)->reply.has_type && !reply->coding;
    struct parts *parts = is_bare ? new_parts(reply, ranges) : NULL;
    if (!parts)
        return send_whole(reply);
    int err = add_lines(reply, true);
    if (err < 0) {
        free_parts(parts);
        return err;
    }
    return mh__reply_stream(reply->req, 206, parts->type, length_of(parts), produce_parts,
                            free_parts, parts);
}

/* ---- which of that ---- */

static bool is_get(const mh_request *req)
{
    return mh_str_equal(req->method, "GET");
}

/* Section 14.2: a Range is for GET alone. */
static int send_selected(const struct reply *reply, const struct mh__validators *validators,
                         int64_t now_s)
{
    struct mh__ranges ranges;
    int status = 200;
    if (is_get(reply->req))
        status = mh__ranges_select(&ranges, reply->req->headers, reply->file->info.size, validators,
                                   now_s);
    if (status == 416)
        return refuse_range(reply);
    if (status == 200)
        return send_whole(reply);
    return ranges.count == 1 ? send_part(reply, &ranges.at[0]) : send_parts(reply, &ranges);
}

static int send_not_modified(const struct reply *reply)
{
    int err = add_lines(reply, false);
    return fail(reply, err < 0 ? err : mh_reply_copy(reply->req, 304, NULL, NULL, 0));
}

static int send_file(const struct reply *reply)
{
    const struct mh__cached_file *file = reply->file;
    if (mh__is_unconditional(reply->req->headers))
        return send_whole(reply);
    struct mh__validators validators = {{file->etag, file->etag_len}, file->modified_s};
    int64_t now_s = mh__clock_unix_s();
    int status = mh__conditional(reply->req->headers, true, &validators, now_s);
    if (status == 304)
        return send_not_modified(reply);
    return status ? fail(reply, status) : send_selected(reply, &validators, now_s);
}

/* ---- siblings that are compressed already ---- */

struct sibling {
    const char *coding, *extension;
};

static const struct sibling siblings[MH__CODINGS] = {
    [MH__CODED_BR] = {"br", ".br"}, [MH__CODED_GZIP] = {"gzip", ".gz"}};

static int find_file(mh_request *req, const struct mh__file_place *place,
                     struct mh__cached_file **file)
{
    struct mh__exchange *ex = mh__exchange_of(req);
    return mh__file_cache_get(mh__exchange_file_cache(ex), place, mh__exchange_turn(ex), file);
}

/* One that is older than the file itself was made of another one. */
static bool is_of(const struct mh__cached_file *sibling, const struct mh__cached_file *file)
{
    return sibling->info.modified_s >= file->info.modified_s;
}

/* That there is none is asked for once in a turn. */
static bool find_sibling(const struct reply *reply, struct mh__file_place *place, int which,
                         struct mh__cached_file **sibling)
{
    uint64_t turn = mh__exchange_turn(mh__exchange_of(reply->req));
    size_t len = place->len;
    if (reply->file->lacks[which] == turn || !append(place, mh_str_from(siblings[which].extension)))
        return false;
    int err = find_file(reply->req, place, sibling);
    place->len = len;
    place->path[len] = '\0';
    if (err == 0 && is_of(*sibling, reply->file))
        return true;
    if (err == 0)
        mh__cached_file_release(*sibling);
    reply->file->lacks[which] = turn;
    return false;
}

static bool replace(struct reply *reply, struct mh__file_place *place, int which)
{
    struct mh__cached_file *sibling;
    if (!find_sibling(reply, place, which, &sibling))
        return false;
    mh__cached_file_release(reply->file);
    reply->file = sibling;
    reply->coding = siblings[which].coding;
    return true;
}

/* Then nobody needs to know what the client likes. */
static bool lacks_all(const struct reply *reply)
{
    uint64_t turn = mh__exchange_turn(mh__exchange_of(reply->req));
    return reply->file->lacks[MH__CODED_BR] == turn && reply->file->lacks[MH__CODED_GZIP] == turn;
}

/* What the client likes best of what there is; of two that it likes as much, the smaller one. One
 * that likes none of them gets the file as it is (section 12.5.3). */
static void negotiate(struct reply *reply, struct mh__file_place *place)
{
    if (lacks_all(reply))
        return;
    mh_headers headers = reply->req->headers;
    int as_it_is = mh__accept_quality(headers, "identity");
    int br = mh__accept_quality(headers, siblings[MH__CODED_BR].coding);
    int gzip = mh__accept_quality(headers, siblings[MH__CODED_GZIP].coding);
    int first = br >= gzip ? MH__CODED_BR : MH__CODED_GZIP;
    int better = br >= gzip ? br : gzip, other = br >= gzip ? gzip : br;
    if (better > 0 && better >= as_it_is && replace(reply, place, first))
        return;
    if (other > 0 && other >= as_it_is)
        (void)replace(reply, place, first == MH__CODED_BR ? MH__CODED_GZIP : MH__CODED_BR);
}

/* ---- directories ---- */

/* To the same with a '/' behind it, relative to where the client is: so nothing in front of us that
 * changes paths, and no path that looks like a host, leads it elsewhere. "./" because a name may
 * have a colon in it (RFC 3986 section 4.2). */
static int print_location(mh_buf *out, const mh_request *req)
{
    const char *slash = memrchr(req->path.ptr, '/', req->path.len);
    if (!slash)
        return -EINVAL;
    int err = mh_buf_append(out, "./", 2);
    if (err == 0)
        err = mh_url_encode(out, mh__str_from(req->path, (size_t)(slash + 1 - req->path.ptr)));
    if (err == 0)
        err = mh_buf_append(out, "/", 1);
    if (err == 0 && req->query.ptr)
        err = mh_buf_printf(out, "?" MH_FMT, MH_ARG(req->query));
    return err;
}

static int redirect(mh_request *req)
{
    mh_buf location = {0};
    int err = print_location(&location, req);
    if (err == 0)
        err = mh_reply_header(req, "Location", location.data);
    mh_buf_free(&location);
    return err < 0 ? err : 301;
}

static int send_page(mh_request *req, mh_buf *page)
{
    int err = mh_reply_header(req, "Content-Security-Policy", MH__LISTING_POLICY);
    if (err == 0)
        err = mh_reply_header(req, "X-Content-Type-Options", "nosniff");
    if (err < 0)
        return err;
    const char *type = mh__exchange_of(req)->reply.has_type ? NULL : MH__LISTING_TYPE;
    return mh_reply_take(req, 200, type, page);
}

/* ---- what cannot be sent ---- */

static int status_of(int err)
{
    switch (err) {
    case -EACCES:
    case -EPERM:
        return 403;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        return 503;
    case -EIO:
    case MH_ERR_TOO_LARGE: /* a page of names that are all long and strange */
        return 500;
    default:
        return 404; /* it is not there, or not beneath the root, or nothing that can be sent */
    }
}

/* The place is that of its index, which is not there. */
static int list(mh_request *req, const mh_files *files, struct mh__file_place *place)
{
    mh_buf page = {.max = MH__LISTING_PAGE_MAX};
    place->path[place->len - index_of(files).len] = '\0';
    int err = mh__listing(&page, files->root, place->path + place->root_len + 1, req->path,
                          prefix_of(files).len + 1);
    int result = err < 0 ? status_of(err) : send_page(req, &page);
    mh_buf_free(&page);
    return result;
}

/* There is no file there: a directory, or nothing. An index that may not be read hides the rest. */
static int send_other(mh_request *req, const mh_files *files, struct mh__file_place *place, int err)
{
    if (!is_directory_path(req->path))
        return err == -EISDIR ? redirect(req) : status_of(err);
    if (!files->listing || (err != -ENOENT && err != -EISDIR))
        return status_of(err);
    return list(req, files, place);
}

/* ---- the handler ---- */

static int answer_method(mh_request *req)
{
    int err = mh_reply_header(req, "Allow", ALLOWED);
    if (err < 0)
        return err;
    return mh_str_equal(req->method, "OPTIONS") ? mh_reply_copy(req, 204, NULL, NULL, 0) : 405;
}

static bool is_read(const mh_request *req)
{
    return is_get(req) || mh_str_equal(req->method, "HEAD");
}

int mh_serve_files(mh_request *req)
{
    const mh_files *files = req->user;
    struct mh__file_place place;
    struct reply reply = {.req = req, .files = files};
    if (!files || !files->root || files->root[0] == '\0')
        return -EINVAL;
    if (!is_read(req))
        return answer_method(req);
    int status = mh__files_locate(&place, files, req->path, req->target);
    if (status)
        return status == 301 ? redirect(req) : status;
    int err = find_file(req, &place, &reply.file);
    if (err < 0)
        return send_other(req, files, &place, err);
    reply.type = reply.file->type;
    if (files->precompressed)
        negotiate(&reply, &place);
    return send_file(&reply);
}
