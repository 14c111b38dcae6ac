/* file.c: see file.h. */
#include "net/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/net.h"

#define DIRECTORY_BUF 4096 /* bytes of names that one call brings */

/* A pipe without a writer would keep open() waiting, and a terminal would become ours. */
#define READING (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define LOOKING (O_PATH | O_CLOEXEC)

/* ---- what it is ---- */

static void take_info(struct mh__file_info *info, const struct stat *found)
{
    *info = (struct mh__file_info){
        .device = found->st_dev,
        .inode = found->st_ino,
        .size = (uint64_t)found->st_size,
        .modified_s = found->st_mtim.tv_sec,
        .modified_ns = (uint32_t)found->st_mtim.tv_nsec,
        .changed_s = found->st_ctim.tv_sec,
        .changed_ns = (uint32_t)found->st_ctim.tv_nsec,
        .is_directory = S_ISDIR(found->st_mode),
    };
}

/* Devices, pipes and sockets are not what anybody wants to download. */
static int classify(struct mh__file_info *info, const struct stat *found)
{
    if (!S_ISREG(found->st_mode) && !S_ISDIR(found->st_mode))
        return -EINVAL;
    take_info(info, found);
    return 0;
}

int mh__file_check_open(int fd, struct mh__file_info *info)
{
    struct stat found;
    return fstat(fd, &found) < 0 ? -errno : classify(info, &found);
}

int mh__file_check(const char *path, struct mh__file_info *info)
{
    struct stat found;
    return fstatat(AT_FDCWD, path, &found, 0) < 0 ? -errno : classify(info, &found);
}

/* ---- opening ---- */

static int open_root(const char *root)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd;
}

/* -EAGAIN: a directory was moved meanwhile, and the kernel cannot tell whether it was fair. */
static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    for (int i = 0; i < MH__OPEN_ATTEMPTS_MAX; i++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

/* One segment off the front of *path. false: it is none that may be asked for. */
static bool take_segment(const char **path, char segment[MH__NAME_MAX + 1])
{
    while (**path == '/')
        (*path)++;
    size_t len = strcspn(*path, "/");
    if (len == 0 || len > MH__NAME_MAX)
        return false;
    memcpy(segment, *path, len);
    segment[len] = '\0';
    *path += len;
    return strcmp(segment, "..") != 0;
}

static int step_into(int directory, const char *segment, int flags)
{
    int fd = openat(directory, segment, flags | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    return fd;
}

/* One step after the other, and no link is followed. The root stays the caller's. */
static int open_stepwise(int root, const char *path, int flags)
{
    char segment[MH__NAME_MAX + 1];
    int fd = step_into(root, ".", path[0] != '\0' ? LOOKING : flags);
    while (fd >= 0 && path[0] != '\0') {
        int directory = fd;
        fd = -EINVAL;
        if (take_segment(&path, segment))
            fd = step_into(directory, segment, path[0] != '\0' ? LOOKING | O_DIRECTORY : flags);
        if (fd >= 0 && strcmp(path, "/") == 0) /* "a/b/" is the directory "a/b" */
            path = "/.";
        mh__close(directory);
    }
    return fd;
}

/* A kernel older than 5.6, or a filter that has not heard of the call. */
static bool is_unknown_call(int err)
{
    return err == -ENOSYS || err == -EPERM;
}

static int open_known(int root, const char *path, int flags, bool stepwise)
{
    if (stepwise)
        return open_stepwise(root, path, flags);
    int fd = open_beneath(root, path[0] != '\0' ? path : ".", flags);
    return is_unknown_call(fd) ? open_stepwise(root, path, flags) : fd;
}

/* What O_PATH finds at its end may be a link that O_NOFOLLOW did not follow: which is neither file
 * nor directory. */
static int open_and_check(const char *root, const char *path, int flags, bool stepwise,
                          struct mh__file_info *info)
{
    if (path[0] == '/')
        return -EINVAL;
    int directory = open_root(root);
    if (directory < 0)
        return directory;
    int fd = open_known(directory, path, flags, stepwise);
    mh__close(directory);
    int err = fd < 0 ? fd : mh__file_check_open(fd, info);
    if (err == 0)
        return fd;
    if (fd >= 0)
        mh__close(fd);
    return err;
}

int mh__file_open(const char *root, const char *path, struct mh__file_info *info)
{
    return open_and_check(root, path, READING, false, info);
}

int mh__file_open_stepwise(const char *root, const char *path, struct mh__file_info *info)
{
    return open_and_check(root, path, READING, true, info);
}

int mh__file_look(const char *root, const char *path, struct mh__file_info *info)
{
    int fd = open_and_check(root, path, LOOKING, false, info);
    if (fd < 0)
        return fd;
    mh__close(fd);
    return 0;
}

/* ---- reading ---- */

ssize_t mh__file_read(int fd, char *buf, size_t cap, uint64_t offset)
{
    size_t len = 0;
    while (len < cap) {
        ssize_t got = pread(fd, buf + len, cap - len, (off_t)(offset + len));
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -errno;
        len += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)len;
}

/* ---- directories ---- */

struct reading {
    int fd;
    const char *root, *path;
    mh__file_found *found;
    void *data;
};

static int look_at_link(const struct reading *reading, const char *name, struct mh__file_info *info)
{
    char path[MH__PATH_MAX];
    size_t len = strlen(reading->path), name_len = strlen(name);
    if (len + 1 + name_len >= sizeof(path))
        return -ENAMETOOLONG;
    memcpy(path, reading->path, len);
    if (len > 0 && path[len - 1] != '/')
        path[len++] = '/';
    memcpy(path + len, name, name_len + 1);
    return mh__file_look(reading->root, path, info);
}

static int look_at(const struct reading *reading, const char *name, struct mh__file_info *info)
{
    struct stat found;
    if (fstatat(reading->fd, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(found.st_mode))
        return look_at_link(reading, name, info);
    return classify(info, &found);
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* One that cannot be looked at, or has gone meanwhile, is as good as none. */
static int visit(const struct reading *reading, const char *name)
{
    struct mh__file_info info;
    if (is_dots(name) || look_at(reading, name, &info) < 0)
        return 0;
    return reading->found(reading->data, name, &info);
}

static int visit_all(const struct reading *reading, const char *buf, size_t len)
{
    int result = 0;
    for (size_t at = 0; at < len && result == 0;) {
        const struct dirent64 *entry = (const void *)(buf + at);
        result = visit(reading, entry->d_name);
        at += entry->d_reclen;
    }
    return result;
}

int mh__directory_read(int fd, const char *root, const char *path, mh__file_found *found,
                       void *data)
{
    struct reading reading = {fd, root, path, found, data};
    _Alignas(struct dirent64) char buf[DIRECTORY_BUF];
    for (;;) {
        ssize_t len = getdents64(fd, buf, sizeof(buf));
        if (len <= 0)
            return len < 0 ? -errno : 0;
        int result = visit_all(&reading, buf, (size_t)len);
        if (result != 0)
            return result;
    }
}
