/* media_type.c: see media_type.h. Text is taken for UTF-8, which is what a program writes today;
 * where a format says for itself what it is written in, nothing is added. */
#include "http/media_type.h"

#include <string.h>

#include "base/str.h"

#define EXTENSION_MAX 12 /* bytes; the longest one is "webmanifest" */
#define UTF8 "; charset=utf-8"

/* Extension and type by turns, each with its NUL: in one piece, because pointers would cost as much
 * as what they point to. Looked through from its beginning; who asks often remembers the answer. */
static const char types[] =
    "7z\0application/x-7z-compressed\0"
    "aac\0audio/aac\0"
    "apng\0image/apng\0"
    "atom\0application/atom+xml\0"
    "avi\0video/x-msvideo\0"
    "avif\0image/avif\0"
    "bmp\0image/bmp\0"
    "br\0application/x-brotli\0"
    "bz2\0application/x-bzip2\0"
    "c\0"
    "text/plain" UTF8 "\0"
    "cjs\0"
    "text/javascript" UTF8 "\0"
    "css\0"
    "text/css" UTF8 "\0"
    "csv\0"
    "text/csv" UTF8 "\0"
    "doc\0application/msword\0"
    "docx\0application/vnd.openxmlformats-officedocument.wordprocessingml.document\0"
    "epub\0application/epub+zip\0"
    "flac\0audio/flac\0"
    "geojson\0application/geo+json\0"
    "gif\0image/gif\0"
    "gz\0application/gzip\0"
    "h\0"
    "text/plain" UTF8 "\0"
    "htm\0"
    "text/html" UTF8 "\0"
    "html\0"
    "text/html" UTF8 "\0"
    "ico\0image/vnd.microsoft.icon\0"
    "ics\0"
    "text/calendar" UTF8 "\0"
    "jpeg\0image/jpeg\0"
    "jpg\0image/jpeg\0"
    "js\0"
    "text/javascript" UTF8 "\0"
    "json\0application/json\0"
    "jsonld\0application/ld+json\0"
    "jxl\0image/jxl\0"
    "log\0"
    "text/plain" UTF8 "\0"
    "m3u8\0application/vnd.apple.mpegurl\0"
    "m4a\0audio/mp4\0"
    "m4v\0video/mp4\0"
    "map\0application/json\0"
    "markdown\0"
    "text/markdown" UTF8 "\0"
    "md\0"
    "text/markdown" UTF8 "\0"
    "mid\0audio/midi\0"
    "mjs\0"
    "text/javascript" UTF8 "\0"
    "mkv\0video/matroska\0"
    "mov\0video/quicktime\0"
    "mp3\0audio/mpeg\0"
    "mp4\0video/mp4\0"
    "mpd\0application/dash+xml\0"
    "mpeg\0video/mpeg\0"
    "odp\0application/vnd.oasis.opendocument.presentation\0"
    "ods\0application/vnd.oasis.opendocument.spreadsheet\0"
    "odt\0application/vnd.oasis.opendocument.text\0"
    "oga\0audio/ogg\0"
    "ogg\0audio/ogg\0"
    "ogv\0video/ogg\0"
    "opus\0audio/ogg\0"
    "otf\0font/otf\0"
    "pdf\0application/pdf\0"
    "png\0image/png\0"
    "ppt\0application/vnd.ms-powerpoint\0"
    "pptx\0application/vnd.openxmlformats-officedocument.presentationml.presentation\0"
    "rss\0application/rss+xml\0"
    "rtf\0application/rtf\0"
    "svg\0image/svg+xml\0"
    "tar\0application/x-tar\0"
    "tif\0image/tiff\0"
    "tiff\0image/tiff\0"
    "ts\0video/mp2t\0"
    "ttf\0font/ttf\0"
    "txt\0"
    "text/plain" UTF8 "\0"
    "vtt\0"
    "text/vtt" UTF8 "\0"
    "wasm\0application/wasm\0"
    "wav\0audio/wav\0"
    "weba\0audio/webm\0"
    "webm\0video/webm\0"
    "webmanifest\0application/manifest+json\0"
    "webp\0image/webp\0"
    "woff\0font/woff\0"
    "woff2\0font/woff2\0"
    "xhtml\0application/xhtml+xml\0"
    "xls\0application/vnd.ms-excel\0"
    "xlsx\0application/vnd.openxmlformats-officedocument.spreadsheetml.sheet\0"
    "xml\0application/xml\0"
    "xz\0application/x-xz\0"
    "yaml\0application/yaml\0"
    "yml\0application/yaml\0"
    "zip\0application/zip\0"
    "zst\0application/zstd\0";

static const char *find(const char *extension)
{
    const char *at = types, *end = types + sizeof(types) - 1;
    while (at < end) {
        const char *type = at + strlen(at) + 1;
        if (strcmp(extension, at) == 0)
            return type;
        at = type + strlen(type) + 1;
    }
    return NULL;
}

/* What stands behind the last '.' of the last segment; ".profile" has nothing in front of it. */
static mh_str extension_of(mh_str name)
{
    if (!name.ptr)
        return MH_STR("");
    const char *slash = memrchr(name.ptr, '/', name.len);
    if (slash)
        name = mh__str_from(name, (size_t)(slash + 1 - name.ptr));
    const char *dot = memrchr(name.ptr, '.', name.len);
    if (!dot || dot == name.ptr)
        return MH_STR("");
    return mh__str_from(name, (size_t)(dot + 1 - name.ptr));
}

const char *mh__media_type(mh_str name)
{
    char lower[EXTENSION_MAX] = "";
    mh_str extension = extension_of(name);
    const char *found = NULL;
    for (size_t i = 0; i < extension.len && i < sizeof(lower); i++)
        lower[i] = mh__lower(extension.ptr[i]);
    if (extension.len < sizeof(lower) &&
        (extension.len == 0 || !memchr(extension.ptr, '\0', extension.len)))
        found = find(lower);
    return found ? found : "application/octet-stream";
}
