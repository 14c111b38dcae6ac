/* stream.c: see stream.h. stdio's own write() cannot be wrapped; a stream of our own making asks
 * inject.h before it writes. */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "inject.h"

static bool fails(enum call call)
{
    const struct fault *fault = inject_due(call);
    if (fault)
        errno = fault->value;
    return fault != NULL;
}

/* ---- a file ---- */

static ssize_t write_file(void *cookie, const char *data, size_t len)
{
    if (fails(CALL_WRITE))
        return 0;
    size_t written = fwrite(data, 1, len, cookie);
    return fflush(cookie) == 0 ? (ssize_t)written : 0;
}

static int close_file(void *cookie)
{
    int result = fclose(cookie);
    return fails(CALL_FCLOSE) ? -1 : result;
}

FILE *stream_over(FILE *file)
{
    return fopencookie(file, "w",
                       (cookie_io_functions_t){.write = write_file, .close = close_file});
}

/* ---- the standard streams ---- */

static FILE *before_out, *before_err;
static struct capture *captured_out, *captured_err;

static ssize_t write_capture(void *cookie, const char *data, size_t len)
{
    struct capture *capture = cookie;
    if (capture == captured_out && fails(CALL_WRITE))
        return 0;
    size_t room = CAPTURE_MAX - capture->len;
    size_t kept = len < room ? len : room;
    memcpy(capture->text + capture->len, data, kept);
    capture->len += kept;
    capture->text[capture->len] = '\0';
    return (ssize_t)len;
}

static int close_capture(void *cookie)
{
    ((struct capture *)cookie)->stream = NULL;
    return 0;
}

static FILE *open_capture(struct capture *capture)
{
    capture->len = 0;
    capture->text[0] = '\0';
    capture->stream = fopencookie(
        capture, "w", (cookie_io_functions_t){.write = write_capture, .close = close_capture});
    return capture->stream;
}

void stream_capture(struct capture *out, struct capture *err)
{
    before_out = stdout;
    before_err = stderr;
    captured_out = out;
    captured_err = err;
    stdout = open_capture(out);
    stderr = open_capture(err);
    setvbuf(stderr, NULL, _IONBF, 0);
}

void stream_flush(void)
{
    if (captured_out->stream)
        fflush(captured_out->stream);
}

void stream_restore(void)
{
    if (captured_out->stream)
        fclose(captured_out->stream);
    if (captured_err->stream)
        fclose(captured_err->stream);
    stdout = before_out;
    stderr = before_err;
}
