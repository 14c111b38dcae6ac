/* Any bytes as the values of conditions: the answer is one that there is, a tag that is no tag
 * never matches, and fields that say the same thing in two pieces say it in one. The first byte
 * says which fields there are; a NUL ends a value. */
#include "property.h"

#include <stdlib.h>
#include <string.h>

#include "http/accept.h"
#include "http/conditional.h"

#define NOW INT64_C(1000000000)
#define FIELDS_MAX 6

static const char *const names[FIELDS_MAX] = {"If-Match",          "If-None-Match",
                                              "If-Modified-Since", "If-Unmodified-Since",
                                              "If-Range",          "Accept-Encoding"};

static const struct mh__validators strong = {{"\"tag\"", 5}, 784111777};
static const struct mh__validators tagless = {{0}, 784111777};

static mh_str take_value(mh_str *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\0', rest->len) : NULL;
    mh_str value = {rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len};
    size_t taken = end ? value.len + 1 : value.len;
    *rest = (mh_str){rest->ptr + taken, rest->len - taken};
    return value;
}

static size_t collect(mh_header fields[FIELDS_MAX], unsigned which, mh_str rest)
{
    size_t count = 0;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        if (which >> i & 1)
            fields[count++] = (mh_header){mh_str_from(names[i]), take_value(&rest)};
    }
    return count;
}

static void check_answer(mh_headers headers, const struct mh__validators *validators)
{
    int read = mh__conditional(headers, true, validators, NOW);
    int write = mh__conditional(headers, false, validators, NOW);
    HOLDS(read == 0 || read == 304 || read == 412);
    HOLDS(write == 0 || write == 412);
    HOLDS(read != 412 || write == 412); /* If-Match and If-Unmodified-Since are for both */
    (void)mh__if_range(headers, validators, NOW);
    if (headers.count == 0 || mh__is_unconditional(headers))
        HOLDS(read == 0 && mh__if_range(headers, validators, NOW));
}

/* A list that does not have the tag's bytes in it does not match. */
static void check_match(mh_headers headers)
{
    mh_str list = mh_headers_get(headers, "If-None-Match");
    mh_header alone = {MH_STR("If-None-Match"), list};
    if (!list.ptr)
        return;
    bool there = memmem(list.ptr, list.len, "\"tag\"", 5) || mh_str_equal(list, "*");
    int status = mh__conditional((mh_headers){&alone, 1}, true, &strong, NOW);
    HOLDS(status == 0 || (status == 304 && there));
}

static void check_quality(mh_headers headers)
{
    static const char *const codings[] = {"br", "gzip", "identity"};
    for (size_t i = 0; i < 3; i++) {
        int quality = mh__accept_quality(headers, codings[i]);
        HOLDS(quality >= 0 && quality <= 1000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mh_header fields[FIELDS_MAX];
    if (size == 0)
        return 0;
    char *text = malloc(size);
    HOLDS(text != NULL);
    memcpy(text, data + 1, size - 1);
    size_t count = collect(fields, data[0], (mh_str){text, size - 1});
    mh_headers headers = {fields, count};
    check_answer(headers, &strong);
    check_answer(headers, &tagless);
    check_match(headers);
    check_quality(headers);
    free(text);
    return 0;
}
