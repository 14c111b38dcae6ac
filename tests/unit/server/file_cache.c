/* Files that are kept from one request to the next: lib/server/file_cache.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <sys/resource.h>

#include "server/file_cache.h"
#include "../descriptors.h"
#include "../folder.h"

TestSuite(file_cache, .init = make_folder, .fini = remove_folder);

static struct mh__file_cache *cache;
static uint64_t turn = 1;

static void place_at(struct mh__file_place *place, const char *name)
{
    place->root_len = strlen(folder);
    place->len = (size_t)snprintf(place->path, sizeof(place->path), "%s/%s", folder, name);
}

static int get(const char *name, struct mh__cached_file **file)
{
    struct mh__file_place place;
    place_at(&place, name);
    return mh__file_cache_get(&cache, &place, turn, file);
}

/* A file has to be a little older than now to be kept; its time of change cannot be set. */
static void settle(void)
{
    usleep(2100000);
}

static void write_size(const char *name, size_t size)
{
    char *data = malloc(size + 1);
    cr_assert(data);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)('a' + i % 23);
    write_file(name, data, size);
    free(data);
}

Test(file_cache, a_small_file_is_in_memory_and_what_is_said_of_it_is_there)
{
    struct mh__cached_file *file;
    int before = open_descriptors();
    write_text("a.html", "hello");
    set_time("a.html", 784111777);
    cr_assert_eq(get("a.html", &file), 0);
    cr_expect(file->fd == -1 && file->info.size == 5 && memcmp(file->content, "hello", 5) == 0);
    cr_expect_str_eq(file->type, "text/html; charset=utf-8");
    cr_expect_str_eq(file->modified, "Sun, 06 Nov 1994 08:49:37 GMT");
    cr_expect_eq(file->modified_s, 784111777);
    cr_expect_eq(file->etag_len, strlen(file->etag));
    cr_expect(file->etag[0] == '"' && file->etag[file->etag_len - 1] == '"');
    cr_expect_not(file->settled);
    mh__cached_file_release(file);
    mh__file_cache_free(cache);
    cr_expect_eq(open_descriptors(), before);
}

Test(file_cache, a_large_file_is_open)
{
    struct mh__cached_file *file;
    int before = open_descriptors();
    write_size("small", MH__CONTENT_MAX);
    write_size("large", MH__CONTENT_MAX + 1);
    write_size("empty", 0);
    cr_assert_eq(get("small", &file), 0);
    cr_expect(file->fd == -1 &&
              file->content[MH__CONTENT_MAX - 1] == 'a' + (MH__CONTENT_MAX - 1) % 23);
    mh__cached_file_release(file);
    cr_assert_eq(get("empty", &file), 0);
    cr_expect(file->fd == -1 && file->content);
    mh__cached_file_release(file);
    cr_assert_eq(get("large", &file), 0);
    cr_expect(file->fd >= 0 && !file->content);
    mh__cached_file_release(file);
    cr_expect_eq(open_descriptors(), before + 1);
    mh__file_cache_free(cache);
    cr_expect_eq(open_descriptors(), before);
}

Test(file_cache, in_one_turn_it_is_looked_at_once)
{
    struct mh__cached_file *first, *again;
    write_text("a", "hello");
    cr_assert_eq(get("a", &first), 0);
    cr_assert_eq(unlink(in_folder("a")), 0);
    cr_assert_eq(get("a", &again), 0);
    cr_expect_eq(first, again);
    turn++;
    struct mh__cached_file *gone;
    cr_expect_eq(get("a", &gone), -ENOENT);
    cr_expect_eq(memcmp(first->content, "hello", 5), 0);
    mh__cached_file_release(first);
    mh__cached_file_release(again);
    mh__file_cache_free(cache);
}

Test(file_cache, one_that_has_settled_is_kept_until_it_changes)
{
    struct mh__cached_file *file, *again;
    write_text("a", "hello");
    settle();
    cr_assert_eq(get("a", &file), 0);
    cr_expect(file->settled);
    turn++;
    cr_assert_eq(get("a", &again), 0);
    cr_expect_eq(again, file);
    mh__cached_file_release(again);

    /* written in place: the same length, the same node */
    turn++;
    write_text("a", "HELLO");
    cr_assert_eq(get("a", &again), 0);
    cr_expect_neq(again, file);
    cr_expect_eq(memcmp(again->content, "HELLO", 5), 0);
    cr_expect_str_neq(again->etag, file->etag);
    cr_expect_eq(memcmp(file->content, "hello", 5), 0);
    mh__cached_file_release(again);
    mh__cached_file_release(file);

    /* replaced by another one, which says that it is as old */
    turn++;
    write_text("b", "World");
    cr_assert_eq(rename(in_folder("b"), in_folder("a")), 0);
    cr_assert_eq(get("a", &again), 0);
    cr_expect_eq(memcmp(again->content, "World", 5), 0);
    mh__cached_file_release(again);
    mh__file_cache_free(cache);
}

/* It could change again within the same tick of the file system's clock. */
Test(file_cache, one_that_has_just_changed_is_loaded_in_each_turn)
{
    struct mh__cached_file *file;
    for (int i = 0; i < 200; i++) {
        char text[8];
        snprintf(text, sizeof(text), "%05d", i);
        write_text("a", text);
        turn++;
        cr_assert_eq(get("a", &file), 0);
        cr_expect_eq(memcmp(file->content, text, 5), 0, "%s", text);
        mh__cached_file_release(file);
    }
    mh__file_cache_free(cache);
}

Test(file_cache, what_cannot_be_had)
{
    struct mh__cached_file *file;
    make_directory("sub");
    make_link("out", "/etc/passwd");
    cr_expect_eq(get("sub", &file), -EISDIR);
    cr_expect_eq(get("", &file), -EISDIR);
    cr_expect_eq(get("none", &file), -ENOENT);
    cr_expect_eq(get("out", &file), -EXDEV);
    mh__file_cache_free(cache);
}

/* The same path is another file's with another root: what may be opened depends on it. */
Test(file_cache, roots_are_told_apart)
{
    struct mh__file_place outer, inner;
    struct mh__cached_file *file, *other;
    make_directory("sub");
    write_text("a", "hello");
    make_link("sub/a", "../a");
    place_at(&outer, "sub/a");
    inner = outer;
    inner.root_len += strlen("/sub");
    cr_assert_eq(mh__file_cache_get(&cache, &outer, 1, &file), 0);
    cr_expect_eq(mh__file_cache_get(&cache, &inner, 1, &other), -EXDEV);
    mh__cached_file_release(file);
    mh__file_cache_free(cache);
}

Test(file_cache, there_are_limits_and_what_is_in_use_survives_them)
{
    struct mh__cached_file *first, *file;
    int before = open_descriptors();
    write_size("first", MH__CONTENT_MAX + 1);
    cr_assert_eq(get("first", &first), 0);
    for (int i = 0; i < MH__CACHED_OPEN_MAX + 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d", i);
        write_size(name, MH__CONTENT_MAX + 1);
        cr_assert_eq(get(name, &file), 0);
        mh__cached_file_release(file);
    }
    cr_expect_eq(open_descriptors(), before + MH__CACHED_OPEN_MAX + 1);
    char byte;
    cr_expect_eq(pread(first->fd, &byte, 1, 0), 1);
    mh__cached_file_release(first);
    cr_expect_eq(open_descriptors(), before + MH__CACHED_OPEN_MAX);
    mh__file_cache_free(cache);
    cr_expect_eq(open_descriptors(), before);
}

Test(file_cache, many_small_ones)
{
    struct mh__cached_file *file, *kept = NULL;
    for (int i = 0; i < MH__CACHED_FILES_MAX + 100; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d", i);
        write_size(name, 16);
        cr_assert_eq(get(name, &file), 0);
        mh__cached_file_release(file);
        cr_assert_eq(get("0", &kept), 0); /* used all the time, so it stays */
        mh__cached_file_release(kept);
    }
    cr_assert_eq(unlink(in_folder("0")), 0);
    cr_assert_eq(unlink(in_folder("1")), 0);
    cr_expect_eq(get("0", &file), 0); /* in this turn it is known */
    mh__cached_file_release(file);
    cr_expect_eq(get("1", &file), -ENOENT);
    mh__file_cache_free(cache);
}

Test(file_cache, the_contents_have_a_limit_too)
{
    struct mh__cached_file *file;
    unsigned count = MH__CACHED_BYTES_MAX / MH__CONTENT_MAX + 10;
    for (unsigned i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%u", i);
        write_size(name, MH__CONTENT_MAX);
        cr_assert_eq(get(name, &file), 0);
        mh__cached_file_release(file);
    }
    cr_assert_eq(unlink(in_folder("5")), 0);
    cr_expect_eq(get("5", &file), -ENOENT);
    mh__file_cache_free(cache);
}

Test(file_cache, without_a_cache_each_one_is_for_itself)
{
    struct mh__file_place place;
    struct mh__cached_file *file, *again;
    int before = open_descriptors();
    write_size("a", MH__CONTENT_MAX + 1);
    place_at(&place, "a");
    cr_assert_eq(mh__file_cache_get(NULL, &place, 1, &file), 0);
    cr_assert_eq(mh__file_cache_get(NULL, &place, 1, &again), 0);
    cr_expect_neq(file, again);
    mh__cached_file_release(file);
    mh__cached_file_release(again);
    cr_expect_eq(open_descriptors(), before);
    mh__file_cache_free(NULL);
}

Test(file_cache, what_is_in_use_outlives_the_cache)
{
    struct mh__cached_file *file;
    write_text("a", "hello");
    cr_assert_eq(get("a", &file), 0);
    mh__file_cache_free(cache);
    cr_expect_eq(memcmp(file->content, "hello", 5), 0);
    mh__cached_file_release(file);
}

/* Out of descriptors: those that are kept for later make way. */
Test(file_cache, descriptors_make_way)
{
    struct mh__cached_file *file;
    struct rlimit limit;
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d", i);
        write_size(name, MH__CONTENT_MAX + 1);
    }
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    limit.rlim_cur = (rlim_t)next + 6;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d", i);
        cr_assert_eq(get(name, &file), 0, "%d", i);
        mh__cached_file_release(file);
    }
    mh__file_cache_free(cache);
}
