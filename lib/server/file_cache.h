/* file_cache.h: the files that a worker has been asked for, open or in memory, with what is said of
 * them in a head. Knows no request and no reply.
 *
 * Nothing here is for more than one thread. What is found in it is what was there at the first use
 * in this turn of the loop: one system call tells whether it still is. */
#ifndef MH_SERVER_FILE_CACHE_H
#define MH_SERVER_FILE_CACHE_H

#include <minihttp/message.h>

#include "base/list.h"
#include "net/file.h"

#define MH__CONTENT_MAX (16u << 10)     /* bytes of a file that is kept in memory */
#define MH__CACHED_BYTES_MAX (4u << 20) /* of those, in one worker */
#define MH__CACHED_FILES_MAX 1024       /* the same, counted */
#define MH__CACHED_OPEN_MAX 64          /* larger ones, each with a descriptor */
#define MH__FILE_CACHE_BUCKETS 1024     /* a power of two */
#define MH__ETAG_MAX 64                 /* three numbers of 16 digits in quotes */

struct mh__file_cache;

/* "root/name", with its NUL: name is relative to the root, and beneath it. */
struct mh__file_place {
    size_t root_len, len;
    char path[MH__PATH_MAX];
};

/* Siblings of a file that hold the same in another coding. */
enum { MH__CODED_BR, MH__CODED_GZIP, MH__CODINGS };

/* Lines of a head, "Name: value CR LF", made by whoever needs them first: those about which
 * representation it is (of which a 304 consists), and behind them the others. */
struct mh__file_lines {
    mh_buf text;
    size_t validators_len, validators_count, count;
    int max_age_s; /* what they were made for */
    bool varies;
    const char *coding;
};

struct mh__cached_file {
    struct mh__link link;         /* among those in memory, or those that are open */
    struct mh__cached_file *next; /* in its bucket */
    unsigned references;          /* one of them the cache's */
    uint64_t turn;                /* in which it was last seen to be as it is */
    uint64_t lacks[MH__CODINGS];  /* the turn in which it had no such sibling */
    bool settled;                 /* it has not changed just now, so its times tell it apart */

    struct mh__file_info info;
    int fd;              /* -1: it is in memory */
    const char *content; /* info.size bytes, where it is in memory */
    const char *type;    /* of the name */
    size_t etag_len;
    char etag[MH__ETAG_MAX];
    int64_t modified_s;             /* as it is said: never later than now */
    char modified[MH_DATE_LEN + 1]; /* the same in words; "" where it cannot be said */
    struct mh__file_lines lines;

    size_t root_len, path_len;
    uint32_t hash;
    char path[]; /* and its NUL, and the content */
};

/* What is at that place, with a reference for the caller. cache: NULL: there is none; *cache: NULL:
 * it is made, and if there is no memory for it, done without. turn: any number but 0. Returns 0;
 * -EISDIR; -ENOMEM; or what mh__file_open() and reading fail with. */
MH_CHECK int mh__file_cache_get(struct mh__file_cache **cache, const struct mh__file_place *place,
                                uint64_t turn, struct mh__cached_file **file);

/* Give a reference back: a struct mh__cached_file. */
void mh__cached_file_release(void *owner);

/* What is in use stays until it is released. NULL is fine. */
void mh__file_cache_free(struct mh__file_cache *cache);

#endif
