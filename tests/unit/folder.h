/* folder.h: a folder of its own for each test, that is gone afterwards. */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

#include <criterion/criterion.h>

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

/* "folder/name", in one of four arrays that take turns. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/minihttp-XXXXXX");
    cr_assert(mkdtemp(folder));
}

static inline int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static inline void remove_folder(void)
{
    cr_assert_eq(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void make_directory(const char *name)
{
    cr_assert_eq(mkdir(in_folder(name), 0755), 0);
}

static inline void make_link(const char *name, const char *target)
{
    cr_assert_eq(symlink(target, in_folder(name)), 0);
}

static inline void write_file(const char *name, const void *data, size_t len)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    close(fd);
}

static inline void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* When it was written, in seconds since 1970. Its time of change stays that of now. */
static inline void set_time(const char *name, time_t at)
{
    struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    cr_assert_eq(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

#endif
