/* listing.c: see listing.h. One page, no script; what a name contains is text, whatever it is. */
#include "server/listing.h"

#include <errno.h>
#include <string.h>

#include <minihttp/message.h>
#include <minihttp/url.h>

#include "base/buffer.h"
#include "base/str.h"
#include "http/media_type.h"
#include "net/file.h"
#include "net/net.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD: no character, or none that can be seen */

struct entry {
    size_t name, name_len; /* in listing.names */
    uint64_t size;
    int64_t modified_s;
    bool is_directory;
};

struct listing {
    mh_buf names, entries; /* of struct entry */
    size_t directories, files;
    uint64_t bytes;
    bool is_cut;
};

/* ---- what there is ---- */

static struct entry *entries_of(const struct listing *listing)
{
    return (struct entry *)(void *)listing->entries.data;
}

static size_t count_of(const struct listing *listing)
{
    return listing->directories + listing->files;
}

static mh_str name_of(const struct listing *listing, const struct entry *entry)
{
    return (mh_str){listing->names.data + entry->name, entry->name_len};
}

/* Other than 0 ends the reading. */
static int take_entry(void *data, const char *name, const struct mh__file_info *info)
{
    struct listing *listing = data;
    if (name[0] == '.')
        return 0;
    listing->is_cut = count_of(listing) == MH__LISTING_ENTRIES_MAX;
    if (listing->is_cut)
        return 1;
    struct entry entry = {listing->names.len, strlen(name), info->size, info->modified_s,
                          info->is_directory};
    int err = mh_buf_append(&listing->names, name, entry.name_len);
    if (err == MH_ERR_TOO_LARGE)
        return listing->is_cut = true;
    if (err == 0)
        err = mh_buf_append(&listing->entries, &entry, sizeof(entry));
    if (err < 0)
        return err;
    listing->directories += entry.is_directory;
    listing->files += !entry.is_directory;
    listing->bytes += entry.is_directory ? 0 : entry.size;
    return 0;
}

static int read_directory(struct listing *listing, const char *root, const char *name)
{
    struct mh__file_info info;
    int fd = mh__file_open(root, name, &info);
    if (fd < 0)
        return fd;
    int result =
        info.is_directory ? mh__directory_read(fd, root, name, take_entry, listing) : -ENOTDIR;
    mh__close(fd);
    return result < 0 ? result : 0;
}

/* ---- in which order ---- */

static size_t digits_at(mh_str text, size_t at)
{
    size_t len = 0;
    while (at + len < text.len && mh__is_digit(text.ptr[at + len]))
        len++;
    return len;
}

static size_t zeros_at(mh_str text, size_t at, size_t digits)
{
    size_t len = 0;
    while (len + 1 < digits && text.ptr[at + len] == '0')
        len++;
    return len;
}

/* By their value, however long they are. */
static int compare_numbers(mh_str a, size_t *i, mh_str b, size_t *j)
{
    size_t a_len = digits_at(a, *i), b_len = digits_at(b, *j);
    size_t a_zeros = zeros_at(a, *i, a_len), b_zeros = zeros_at(b, *j, b_len);
    const char *a_digits = a.ptr + *i + a_zeros, *b_digits = b.ptr + *j + b_zeros;
    *i += a_len;
    *j += b_len;
    a_len -= a_zeros;
    b_len -= b_zeros;
    if (a_len != b_len)
        return a_len < b_len ? -1 : 1;
    return memcmp(a_digits, b_digits, a_len);
}

static int compare_bytes(mh_str a, mh_str b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* As people do: "file2" before "file10", large letters like small ones. */
static int compare_names(mh_str a, mh_str b)
{
    size_t i = 0, j = 0;
    while (i < a.len && j < b.len) {
        int order;
        if (mh__is_digit(a.ptr[i]) && mh__is_digit(b.ptr[j]))
            order = compare_numbers(a, &i, b, &j);
        else
            order = (unsigned char)mh__lower(a.ptr[i++]) - (unsigned char)mh__lower(b.ptr[j++]);
        if (order != 0)
            return order;
    }
    if (i < a.len || j < b.len)
        return i < a.len ? 1 : -1;
    return compare_bytes(a, b);
}

static bool comes_later(const struct listing *listing, size_t a, size_t b)
{
    const struct entry *x = entries_of(listing) + a, *y = entries_of(listing) + b;
    if (x->is_directory != y->is_directory)
        return y->is_directory;
    return compare_names(name_of(listing, x), name_of(listing, y)) > 0;
}

static void swap(struct listing *listing, size_t a, size_t b)
{
    struct entry *entries = entries_of(listing), kept = entries[a];
    entries[a] = entries[b];
    entries[b] = kept;
}

static void sift_down(struct listing *listing, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_later(listing, child + 1, child))
            child++;
        if (!comes_later(listing, child, at))
            return;
        swap(listing, at, child);
    }
}

/* A heap: it needs no memory, which qsort() may, and has no bad case. */
static void sort(struct listing *listing)
{
    size_t count = count_of(listing);
    for (size_t at = count / 2; at-- > 0;)
        sift_down(listing, at, count);
    for (size_t last = count; last-- > 1;) {
        swap(listing, 0, last);
        sift_down(listing, 0, last);
    }
}

/* ---- text ---- */

/* The length of the UTF-8 character at the front (RFC 3629 section 4), or 0: it is none. */
static size_t character_len(mh_str text)
{
    const unsigned char *at = (const unsigned char *)text.ptr;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    size_t len = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    unsigned char low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
    if (text.len < len || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    }
    return len;
}

static int put(mh_buf *out, const char *text)
{
    return mh_buf_append(out, text, strlen(text));
}

static int put_character(mh_buf *out, mh_str character)
{
    switch (character.ptr[0]) {
    case '&':
        return put(out, "&amp;");
    case '<':
        return put(out, "&lt;");
    case '>':
        return put(out, "&gt;");
    case '"':
        return put(out, "&quot;");
    case '\'':
        return put(out, "&#39;");
    default:
        break;
    }
    bool is_control = (unsigned char)character.ptr[0] < 0x20 || character.ptr[0] == 0x7f;
    return is_control ? put(out, REPLACEMENT) : mh_buf_append(out, character.ptr, character.len);
}

static int put_text(mh_buf *out, mh_str text)
{
    int err = 0;
    while (text.len > 0 && err == 0) {
        size_t len = character_len(text);
        err = len > 0 ? put_character(out, (mh_str){text.ptr, len}) : put(out, REPLACEMENT);
        text = mh__str_from(text, len > 0 ? len : 1);
    }
    return err;
}

/* "987 B", "1.4 MiB" */
static int put_size(mh_buf *out, uint64_t size)
{
    const char *unit = "KMGTPE";
    uint64_t tenths = size;
    if (size < 1024)
        return mh_buf_printf(out, "%u B", (unsigned)size);
    while (tenths >= 1024 * 1024) {
        tenths /= 1024;
        unit++;
    }
    unsigned whole = (unsigned)(tenths / 1024), tenth = (unsigned)(tenths % 1024 * 10 / 1024);
    return whole < 100 ? mh_buf_printf(out, "%u.%u %ciB", whole, tenth, *unit)
                       : mh_buf_printf(out, "%u %ciB", whole, *unit);
}

/* "06 Nov 1994 08:49", out of "Sun, 06 Nov 1994 08:49:37 GMT" */
static int put_date(mh_buf *out, int64_t unix_s)
{
    char date[MH_DATE_LEN + 1];
    return mh_date_format(date, unix_s) < 0 ? 0 : mh_buf_append(out, date + 5, 17);
}

/* ---- the page ---- */

static const char head_end[] =
    "</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style>\n"
    ":root{--ink:#1c2024;--dim:#667079;--paper:#f6f7f9;--card:#fff;--line:#e6e9ed;"
    "--hover:#eef4ff;--link:#1c2024;--accent:#2f6fed;--folder:#3d7ff0;"
    "--image:#1f9d6b;--media:#c2497f;--archive:#b9770e;--text:#667079}"
    "@media (prefers-color-scheme:dark){"
    ":root{--ink:#e6e9ed;--dim:#8f99a3;--paper:#111418;--card:#191d22;--line:"
    "#272c33;"
    "--hover:#212a38;--link:#e6e9ed;--accent:#7fadff;--folder:#7fadff;"
    "--image:#57c79b;--media:#e889b3;--archive:#e0ae57;--text:#8f99a3}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:2.5rem 1rem;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",sans-serif}"
    "main{max-width:58rem;margin:0 auto}"
    "nav{font-size:1.25rem;font-weight:600;margin:0 .25rem 1.25rem;"
    "overflow-wrap:anywhere;line-height:1.6}"
    "nav a{color:var(--accent);text-decoration:none;border-radius:.3rem}"
    "nav a:hover{text-decoration:underline}"
    "nav a[aria-current]{color:var(--ink)}"
    "nav i{color:var(--dim);font-style:normal;font-weight:400;padding:0 .4rem}"
    "nav svg{width:1.25rem;height:1.25rem;vertical-align:-.18rem;"
    "margin-right:.15rem}"
    "ul{list-style:none;margin:0;padding:0;background:var(--card);"
    "border:1px solid var(--line);border-radius:.8rem;overflow:hidden;"
    "box-shadow:0 1px 3px rgb(0 0 0 / 6%)}"
    "li+li{border-top:1px solid var(--line)}"
    "li a{display:grid;grid-template-columns:1.4rem 1fr 6rem 10rem;gap:0 .9rem;"
    "align-items:center;padding:.55rem 1.1rem;color:var(--link);text-decoration:none}"
    "li a:hover{background:var(--hover)}"
    "li a:visited b{color:var(--dim)}"
    "a:focus-visible{outline:2px solid var(--accent);outline-offset:-2px}"
    "li svg{width:1.4rem;height:1.4rem;color:var(--text)}"
    "svg{fill:none;stroke:currentcolor;stroke-width:1.7;stroke-linejoin:round;"
    "stroke-linecap:round}"
    "li .d{color:var(--folder);fill:color-mix(in srgb,currentcolor 18%,transparent)}"
    "li .i{color:var(--image)}"
    "li .m{color:var(--media)}"
    "li .a{color:var(--archive)}"
    "b{font-weight:450;overflow-wrap:anywhere}"
    "li span{color:var(--dim);font-size:.87rem;text-align:right;white-space:nowrap;"
    "font-variant-numeric:tabular-nums}"
    "p{color:var(--dim);font-size:.87rem;margin:1rem .35rem}"
    "p.n{padding:2rem;text-align:center;font-size:1rem}"
    "@media (max-width:40rem){"
    "body{padding:1.25rem .6rem}"
    "li a{grid-template-columns:1.4rem auto 1fr;gap:0 .8rem;padding:.6rem .8rem}"
    "li svg{grid-row:1 / span 2}"
    "li b{grid-column:2 / span 2}"
    "li span{text-align:left;font-size:.8rem}"
    "li span:empty{display:none}"
    "li b:only-of-type:nth-last-child(1){grid-row:1 / span 2}}"
    "</style>\n"
    "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\">\n"
    "<symbol id=\"d\" viewBox=\"0 0 24 24\"><path d=\"M3 7a2 2 0 0 1 2-2h4l2.2 2.5H19a2 2 0 0 1 2 "
    "2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z\"/></symbol>\n"
    "<symbol id=\"f\" viewBox=\"0 0 24 24\"><path d=\"M6 3h8l4.5 4.5V20a1 1 0 0 1-1 1H6.5a1 1 0 0 "
    "1-1-1V4a1 1 0 0 1 .5-1zM14 3v5h4.5\"/></symbol>\n"
    "<symbol id=\"t\" viewBox=\"0 0 24 24\"><path d=\"M6 3h8l4.5 4.5V20a1 1 0 0 1-1 1H6.5a1 1 0 0 "
    "1-1-1V4a1 1 0 0 1 .5-1zM14 3v5h4.5M9 12.5h6M9 16h6\"/></symbol>\n"
    "<symbol id=\"i\" viewBox=\"0 0 24 24\"><path d=\"M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 "
    "0 0 1-1-1V5a1 1 0 0 1 1-1zM4 17l5-5 4 4 3-3 4 4M15.5 9h.01\"/></symbol>\n"
    "<symbol id=\"m\" viewBox=\"0 0 24 24\"><path d=\"M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 "
    "0-17zM10 8.5v7l5.5-3.5z\"/></symbol>\n"
    "<symbol id=\"a\" viewBox=\"0 0 24 24\"><path d=\"M5 8h14v11a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1zM4 "
    "4h16v4H4zM10 12h4\"/></symbol>\n"
    "<symbol id=\"u\" viewBox=\"0 0 24 24\"><path d=\"M12 19V6M6.5 11.5 12 6l5.5 5.5\"/></symbol>\n"
    "<symbol id=\"h\" viewBox=\"0 0 24 24\"><path d=\"M4 11.5 12 4.5l8 7M6 10v9.5h12V10M10 "
    "19.5v-5h4v5\"/></symbol>\n"
    "</svg>\n"
    "<main>\n";

static int put_icon(mh_buf *page, char kind)
{
    return mh_buf_printf(page, "<svg class=\"%c\" aria-hidden=\"true\"><use href=\"#%c\"/></svg>",
                         kind, kind);
}

static bool is_of(const char *type, const char *start)
{
    return strncmp(type, start, strlen(start)) == 0;
}

static bool is_archive(const char *type)
{
    static const char *const archives[] = {"application/zip",     "application/gzip",
                                           "application/x-tar",   "application/x-xz",
                                           "application/x-bzip2", "application/x-7z-compressed",
                                           "application/zstd",    "application/x-brotli"};
    for (size_t i = 0; i < sizeof(archives) / sizeof(archives[0]); i++) {
        if (strcmp(type, archives[i]) == 0)
            return true;
    }
    return false;
}

/* Which symbol of head_end stands for it. */
static char kind_of(mh_str name, bool is_directory)
{
    const char *type = mh__media_type(name);
    if (is_directory)
        return 'd';
    if (is_of(type, "image/"))
        return 'i';
    if (is_of(type, "video/") || is_of(type, "audio/"))
        return 'm';
    if (is_archive(type))
        return 'a';
    return is_of(type, "text/") || is_of(type, "application/json") ? 't' : 'f';
}

static int put_link(mh_buf *page, mh_str name, bool is_directory)
{
    int err = put(page, "<li><a href=\"");
    if (err == 0)
        err = mh_url_encode(page, name);
    if (err == 0)
        err = put(page, is_directory ? "/\">" : "\">");
    if (err == 0)
        err = put_icon(page, kind_of(name, is_directory));
    if (err == 0)
        err = put(page, "<b><bdi>");
    if (err == 0)
        err = put_text(page, name);
    return err == 0 ? put(page, "</bdi></b><span>") : err;
}

static int put_entry(mh_buf *page, const struct listing *listing, const struct entry *entry)
{
    int err = put_link(page, name_of(listing, entry), entry->is_directory);
    if (err == 0 && !entry->is_directory)
        err = put_size(page, entry->size);
    if (err == 0)
        err = put(page, "</span><span>");
    if (err == 0)
        err = put_date(page, entry->modified_s);
    return err == 0 ? put(page, "</span></a></li>\n") : err;
}

static int put_parent(mh_buf *page)
{
    int err = put(page, "<li><a href=\"../\">");
    if (err == 0)
        err = put_icon(page, 'u');
    return err == 0 ? put(page, "<b>Parent directory</b></a></li>\n") : err;
}

static int put_entries(mh_buf *page, const struct listing *listing, bool has_parent)
{
    int err = put(page, "<ul>\n");
    if (err == 0 && has_parent)
        err = put_parent(page);
    for (size_t i = 0; i < count_of(listing) && err == 0; i++)
        err = put_entry(page, listing, entries_of(listing) + i);
    if (err == 0 && count_of(listing) == 0)
        err = put(page, "<li><p class=\"n\">There is nothing here.</p></li>\n");
    return err == 0 ? put(page, "</ul>\n") : err;
}

static size_t count_slashes(mh_str path)
{
    size_t count = 0;
    for (size_t i = 0; i < path.len; i++)
        count += path.ptr[i] == '/';
    return count;
}

static int put_ups(mh_buf *page, size_t count)
{
    int err = count == 0 ? put(page, "./") : 0;
    while (count-- > 0 && err == 0)
        err = put(page, "../");
    return err;
}

static int put_crumb(mh_buf *page, mh_str name, size_t ups)
{
    int err = put(page, "<i>/</i><a href=\"");
    if (err == 0)
        err = put_ups(page, ups);
    if (err == 0)
        err = put(page, ups == 0 ? "\" aria-current=\"page\"><bdi>" : "\"><bdi>");
    if (err == 0)
        err = put_text(page, name);
    return err == 0 ? put(page, "</bdi></a>") : err;
}

static int put_home(mh_buf *page, size_t ups)
{
    int err = put(page, "<nav aria-label=\"Path\"><a href=\"");
    if (err == 0)
        err = put_ups(page, ups);
    if (err == 0)
        err = put(page, ups == 0 ? "\" aria-current=\"page\">" : "\">");
    if (err == 0)
        err = put_icon(page, 'h');
    return err == 0 ? put(page, " Files</a>") : err;
}

/* Relative links all the way up: they hold wherever the directory is seen from. */
static int put_path(mh_buf *page, mh_str below)
{
    size_t ups = count_slashes(below);
    int err = put_home(page, ups);
    while (below.len > 0 && err == 0) {
        const char *slash = memchr(below.ptr, '/', below.len);
        size_t len = slash ? (size_t)(slash - below.ptr) : below.len;
        ups--;
        if (len > 0) /* "//" */
            err = put_crumb(page, (mh_str){below.ptr, len}, ups);
        below = mh__str_from(below, slash ? len + 1 : len);
    }
    return err == 0 ? put(page, "</nav>\n") : err;
}

static int put_count(mh_buf *page, size_t count, const char *one, const char *many)
{
    return mh_buf_printf(page, "%zu %s", count, count == 1 ? one : many);
}

static int put_end(mh_buf *page, const struct listing *listing)
{
    int err = put(page, listing->is_cut ? "<p>There is more here than is shown: " : "<p>");
    if (err == 0)
        err = put_count(page, listing->directories, "directory, ", "directories, ");
    if (err == 0)
        err = put_count(page, listing->files, "file, ", "files, ");
    if (err == 0)
        err = put_size(page, listing->bytes);
    return err == 0 ? put(page, ". Times are UTC.</p>\n</main>\n</html>\n") : err;
}

static int put_page(mh_buf *page, const struct listing *listing, mh_str path, size_t top)
{
    int err = put(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>");
    if (err == 0)
        err = put_text(page, path);
    if (err == 0)
        err = put(page, head_end);
    if (err == 0)
        err = put_path(page, mh__str_from(path, top));
    if (err == 0)
        err = put_entries(page, listing, path.len > top);
    return err == 0 ? put_end(page, listing) : err;
}

int mh__listing(mh_buf *page, const char *root, const char *name, mh_str path, size_t top)
{
    struct listing listing = {.names = {.max = MH__LISTING_NAMES_MAX}};
    size_t len = page->len;
    int err = read_directory(&listing, root, name);
    if (err == 0) {
        sort(&listing);
        err = put_page(page, &listing, path, top);
    }
    mh_buf_free(&listing.names);
    mh_buf_free(&listing.entries);
    if (err < 0)
        mh__buf_truncate(page, len);
    return err;
}
