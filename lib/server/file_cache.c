/* file_cache.c: see file_cache.h. */
#include "server/file_cache.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/media_type.h"
#include "net/net.h"

/* A file that was written within the tick of the file system's clock in which it was looked at
 * could be written once more without a difference in its times. No tick is that long. */
#define SETTLED_S 2

_Static_assert((MH__FILE_CACHE_BUCKETS & (MH__FILE_CACHE_BUCKETS - 1)) == 0, "a mask, see below");
_Static_assert(MH__CONTENT_MAX <= MH__CACHED_BYTES_MAX, "one always fits");

struct mh__file_cache {
    struct mh__link kept, open; /* the last used one first */
    size_t kept_count, kept_bytes, open_count;
    struct mh__cached_file *buckets[MH__FILE_CACHE_BUCKETS];
};

/* ---- one file ---- */

static void free_file(struct mh__cached_file *file)
{
    if (file->fd >= 0)
        mh__close(file->fd);
    mh_buf_free(&file->lines.text);
    mh__free(file);
}

void mh__cached_file_release(void *owner)
{
    struct mh__cached_file *file = owner;
    if (--file->references == 0)
        free_file(file);
}

static char *put_hex(char *out, uint64_t value)
{
    int shift = 60;
    while (shift > 0 && value >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[value >> shift & 15];
    return out;
}

/* Strong (RFC 9110 section 8.8.3): whatever is written to a file moves its time. */
static void set_etag(struct mh__cached_file *file)
{
    const struct mh__file_info *info = &file->info;
    char *end = file->etag;
    *end++ = '"';
    end = put_hex(end, info->inode);
    *end++ = '-';
    end = put_hex(end, info->size);
    *end++ = '-';
    end = put_hex(end, (uint64_t)info->modified_s * 1000000000u + info->modified_ns);
    *end++ = '"';
    file->etag_len = (size_t)(end - file->etag);
}

/* Not later than the response (section 8.8.2.1). */
static void set_modified(struct mh__cached_file *file, int64_t now_s)
{
    file->modified_s = file->info.modified_s < now_s ? file->info.modified_s : now_s;
    if (mh_date_format(file->modified, file->modified_s) < 0)
        file->modified[0] = '\0';
}

static bool is_settled(const struct mh__file_info *info, int64_t now_s)
{
    return now_s - info->modified_s >= SETTLED_S && now_s - info->changed_s >= SETTLED_S;
}

static bool same_state(const struct mh__file_info *a, const struct mh__file_info *b)
{
    return a->inode == b->inode && a->device == b->device && a->size == b->size &&
           a->modified_s == b->modified_s && a->modified_ns == b->modified_ns &&
           a->changed_s == b->changed_s && a->changed_ns == b->changed_ns;
}

/* All of it into memory, and the descriptor is no longer needed. One that changes meanwhile is sent
 * from its descriptor, like a large one: nobody can say which of its states that would be. */
static int keep_content(struct mh__cached_file *file, char *room)
{
    struct mh__file_info after;
    ssize_t len = mh__file_read(file->fd, room, (size_t)file->info.size, 0);
    int err = len < 0 ? (int)len : mh__file_check_open(file->fd, &after);
    if (err < 0)
        return err;
    if ((uint64_t)len < file->info.size || !same_state(&file->info, &after))
        return 0;
    mh__close(file->fd);
    file->fd = -1;
    file->content = room;
    return 0;
}

static size_t content_size(const struct mh__file_info *info)
{
    return info->size <= MH__CONTENT_MAX ? (size_t)info->size : 0;
}

static struct mh__cached_file *new_file(const struct mh__file_place *place, int fd,
                                        const struct mh__file_info *info)
{
    struct mh__cached_file *file = mh__malloc(sizeof(*file) + place->len + 1 + content_size(info));
    if (!file)
        return NULL;
    *file = (struct mh__cached_file){
        .references = 1,
        .info = *info,
        .fd = fd,
        .lacks = {UINT64_MAX, UINT64_MAX},
        .type = mh__media_type((mh_str){place->path, place->len}),
        .root_len = place->root_len,
        .path_len = place->len,
    };
    memcpy(file->path, place->path, place->len + 1);
    return file;
}

static int take_file(struct mh__cached_file **out, const struct mh__file_place *place, int fd,
                     const struct mh__file_info *info)
{
    int64_t now_s = mh__clock_unix_s();
    struct mh__cached_file *file = new_file(place, fd, info);
    if (!file)
        return -ENOMEM;
    set_etag(file);
    set_modified(file, now_s);
    file->settled = is_settled(info, now_s);
    int err = info->size <= MH__CONTENT_MAX ? keep_content(file, file->path + place->len + 1) : 0;
    if (err == 0)
        *out = file;
    else {
        file->fd = -1; /* the caller's again */
        free_file(file);
    }
    return err;
}

static int open_place(const struct mh__file_place *place, struct mh__file_info *info)
{
    char root[MH__PATH_MAX];
    memcpy(root, place->path, place->root_len);
    root[place->root_len] = '\0';
    return mh__file_open(root, place->path + place->root_len + 1, info);
}

static int load(struct mh__cached_file **file, const struct mh__file_place *place)
{
    struct mh__file_info info;
    int fd = open_place(place, &info);
    if (fd < 0)
        return fd;
    int err = info.is_directory ? -EISDIR : take_file(file, place, fd, &info);
    if (err < 0)
        mh__close(fd);
    return err;
}

/* ---- all of them ---- */

/* Eight bytes at a time: a path is hashed for every request. Who asks cannot fill a bucket, for
 * only what exists is in it. */
static uint32_t hash_of(const struct mh__file_place *place)
{
    uint64_t hash = place->len, word = 0;
    size_t at = 0;
    for (; at + sizeof(word) <= place->len; at += sizeof(word)) {
        memcpy(&word, place->path + at, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, place->path + at, place->len - at);
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32);
}

static struct mh__cached_file **bucket_of(struct mh__file_cache *cache, uint32_t hash)
{
    return &cache->buckets[hash & (MH__FILE_CACHE_BUCKETS - 1)];
}

static bool is_at(const struct mh__cached_file *file, const struct mh__file_place *place)
{
    return file->path_len == place->len && file->root_len == place->root_len &&
           memcmp(file->path, place->path, place->len) == 0;
}

static struct mh__cached_file *find(struct mh__file_cache *cache, uint32_t hash,
                                    const struct mh__file_place *place)
{
    struct mh__cached_file *file = *bucket_of(cache, hash);
    while (file && !(file->hash == hash && is_at(file, place)))
        file = file->next;
    return file;
}

static void count(struct mh__file_cache *cache, const struct mh__cached_file *file, bool more)
{
    size_t one = more ? 1 : SIZE_MAX, size = content_size(&file->info);
    if (file->fd >= 0) {
        cache->open_count += one;
        return;
    }
    cache->kept_count += one;
    cache->kept_bytes += more ? size : 0 - size;
}

static struct mh__link *list_of(struct mh__file_cache *cache, const struct mh__cached_file *file)
{
    return file->fd >= 0 ? &cache->open : &cache->kept;
}

static void drop(struct mh__file_cache *cache, struct mh__cached_file *file)
{
    struct mh__cached_file **at = bucket_of(cache, file->hash);
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    mh__list_remove(&file->link);
    count(cache, file, false);
    mh__cached_file_release(file);
}

static void drop_last(struct mh__file_cache *cache, struct mh__link *list)
{
    drop(cache, MH__CONTAINER(list->prev, struct mh__cached_file, link));
}

static void drop_all(struct mh__file_cache *cache, struct mh__link *list)
{
    while (!mh__list_empty(list))
        drop_last(cache, list);
}

static void make_room(struct mh__file_cache *cache)
{
    while (cache->open_count > MH__CACHED_OPEN_MAX)
        drop_last(cache, &cache->open);
    while (cache->kept_count > MH__CACHED_FILES_MAX || cache->kept_bytes > MH__CACHED_BYTES_MAX)
        drop_last(cache, &cache->kept);
}

static void insert(struct mh__file_cache *cache, struct mh__cached_file *file, uint32_t hash)
{
    struct mh__cached_file **bucket = bucket_of(cache, hash);
    file->hash = hash;
    file->next = *bucket;
    *bucket = file;
    file->references++;
    mh__list_prepend(list_of(cache, file), &file->link);
    count(cache, file, true);
    make_room(cache);
}

/* Is it still what was opened? The path is looked at, not the descriptor: a file is best replaced
 * by renaming another one over it. */
static bool is_fresh(struct mh__cached_file *file, uint64_t turn)
{
    struct mh__file_info now;
    if (file->turn == turn)
        return true;
    if (!file->settled || mh__file_check(file->path, &now) < 0 || !same_state(&file->info, &now))
        return false;
    file->turn = turn;
    return true;
}

static struct mh__cached_file *find_fresh(struct mh__file_cache *cache, uint32_t hash,
                                          const struct mh__file_place *place, uint64_t turn)
{
    struct mh__cached_file *file = find(cache, hash, place);
    if (!file)
        return NULL;
    if (!is_fresh(file, turn)) {
        drop(cache, file);
        return NULL;
    }
    struct mh__link *list = list_of(cache, file);
    mh__list_remove(&file->link);
    mh__list_prepend(list, &file->link);
    file->references++;
    return file;
}

/* Where the process is out of descriptors, those that are only kept for later come first. */
static int load_somehow(struct mh__file_cache *cache, const struct mh__file_place *place,
                        struct mh__cached_file **file)
{
    int err = load(file, place);
    if (!cache || (err != -EMFILE && err != -ENFILE) || mh__list_empty(&cache->open))
        return err;
    drop_all(cache, &cache->open);
    return load(file, place);
}

static struct mh__file_cache *open_cache(struct mh__file_cache **cache)
{
    if (!cache || *cache)
        return cache ? *cache : NULL;
    struct mh__file_cache *made = mh__calloc(1, sizeof(*made));
    if (!made)
        return NULL;
    mh__list_init(&made->kept);
    mh__list_init(&made->open);
    return *cache = made;
}

int mh__file_cache_get(struct mh__file_cache **slot, const struct mh__file_place *place,
                       uint64_t turn, struct mh__cached_file **file)
{
    struct mh__file_cache *cache = open_cache(slot);
    uint32_t hash = cache ? hash_of(place) : 0;
    *file = cache ? find_fresh(cache, hash, place, turn) : NULL;
    if (*file)
        return 0;
    int err = load_somehow(cache, place, file);
    if (err < 0)
        return err;
    (*file)->turn = turn;
    if (cache)
        insert(cache, *file, hash);
    return 0;
}

void mh__file_cache_free(struct mh__file_cache *cache)
{
    if (!cache)
        return;
    drop_all(cache, &cache->kept);
    drop_all(cache, &cache->open);
    mh__free(cache);
}
