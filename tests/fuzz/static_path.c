/* Any bytes as a target: where it leads lies below the root, and has no name in it that is hidden,
 * or empty, or not one. */
#include "property.h"

#include <stdlib.h>
#include <string.h>

#include "http/path.h"
#include "server/files.h"

static const char root[] = "/srv/www";

static void check_name(const char *name, size_t len, bool first)
{
    HOLDS(len > 0);
    HOLDS(name[0] != '.' || (first && len == 11 && memcmp(name, ".well-known", len) == 0));
}

static void check_place(const struct mh__file_place *place)
{
    size_t root_len = sizeof(root) - 1;
    HOLDS(place->len < sizeof(place->path) && strlen(place->path) == place->len);
    HOLDS(place->root_len == root_len && place->len > root_len + 1);
    HOLDS(memcmp(place->path, root, root_len) == 0 && place->path[root_len] == '/');
    const char *at = place->path + root_len + 1;
    for (bool first = true; at; first = false) {
        const char *slash = strchr(at, '/');
        check_name(at, slash ? (size_t)(slash - at) : strlen(at), first);
        at = slash ? slash + 1 : NULL;
    }
}

static void check(const mh_files *files, mh_str path, mh_str target)
{
    struct mh__file_place place;
    int status = mh__files_locate(&place, files, path, target);
    HOLDS(status == 0 || status == 301 || status == 404);
    HOLDS(status != 301 || mh_str_equal(path, "/a"));
    if (status == 0)
        check_place(&place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mh_files plain = {.root = root}, below = {.root = root, .prefix = "/a/"};
    mh_buf path = {0};
    char *text = malloc(size ? size : 1);
    HOLDS(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    mh_str target = {text, size};
    const char *mark = size > 0 ? memchr(text, '?', size) : NULL;
    if (mh__path_decode(&path, (mh_str){text, mark ? (size_t)(mark - text) : size}) == 0) {
        check(&plain, mh_buf_str(&path), target);
        check(&below, mh_buf_str(&path), target);
    }
    mh_buf_free(&path);
    free(text);
    return 0;
}
