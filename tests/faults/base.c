/* base.c: what appends to a buffer, and leaves it as it was when it cannot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "scenario.h"
#include "steps.h"

/* No room for one byte more: each step has to ask for memory. */
static void tighten(mh_buf *buf)
{
    if (!buf->data)
        return;
    char *data = malloc(buf->len + 1);
    if (!data)
        abort();
    memcpy(data, buf->data, buf->len + 1);
    free(buf->data);
    buf->data = data;
    buf->cap = buf->len + 1;
}

static bool same(const mh_buf *buf, const char *before, size_t len)
{
    return buf->len == len && (len == 0 || memcmp(buf->data, before, len) == 0) &&
           (!buf->data || buf->data[len] == '\0');
}

static int take_step(step *const one, mh_buf *out)
{
    static char before[65536];
    size_t len = out->len;
    if (len > 0)
        memcpy(before, out->data, len);
    int result;
    COUNTED(result = one(out));
    if (result < 0)
        check(same(out, before, len));
    return result;
}

/* What failed for want of memory succeeds once there is some. */
int steps_in_turn(step *const *steps)
{
    mh_buf out = {0};
    int result = 0;
    for (; *steps && result >= 0; steps++) {
        tighten(&out);
        result = take_step(*steps, &out);
        if (result == -ENOMEM)
            result = take_step(*steps, &out);
        note("%d ", result);
    }
    note_bytes("out", mh_buf_str(&out));
    mh_buf_free(&out);
    return result < 0 ? result : 0;
}

static int append(mh_buf *out)
{
    return mh_buf_append(out, "0123456789", 10);
}

static int append_much(mh_buf *out)
{
    static char much[3000];
    memset(much, 'm', sizeof(much));
    return mh_buf_append(out, much, sizeof(much));
}

static int print(mh_buf *out)
{
    return mh_buf_printf(out, "%s and %d%%, %0*d", "words", 100, 700, 7);
}

static int reserve(mh_buf *out)
{
    return mh_buf_reserve(out, 5000);
}

static int buffer(void)
{
    return steps_in_turn(
        (step *const[]){append, append_much, print, reserve, append, print, append, NULL});
}

/* Memory that is handed over is the caller's to free. */
static int take(void)
{
    mh_buf out = {.max = 100};
    size_t len = 0;
    int err;
    COUNTED(err = append(&out));
    char *bytes = mh_buf_take(&out, &len);
    check((bytes != NULL) == (err == 0) && !out.data && out.max == 100);
    note("%zu %s", len, bytes ? bytes : "");
    free(bytes);
    return err;
}

const struct scenario base_scenarios[] = {
    {.name = "buffer", .run = buffer},
    {.name = "buffer_take", .run = take},
    {0},
};
