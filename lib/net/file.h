/* file.h: files and directories beneath a root, and never outside of it. Knows nothing of HTTP. */
#ifndef MH_NET_FILE_H
#define MH_NET_FILE_H

#include <minihttp/base.h>

#define MH__PATH_MAX 4096       /* bytes of a path with its NUL, as the kernel has it */
#define MH__NAME_MAX 255        /* bytes of one name in it */
#define MH__OPEN_ATTEMPTS_MAX 8 /* while somebody moves directories beneath a root */

/* What tells one state of a file from another. */
struct mh__file_info {
    uint64_t device, inode, size;
    int64_t modified_s, changed_s;
    uint32_t modified_ns, changed_ns;
    bool is_directory;
};

/* Open a regular file or a directory to read. `path` is relative to `root` and must not begin with
 * '/'; "" is the root itself. Links are followed as long as they stay beneath the root and are
 * relative (openat2(2), RESOLVE_BENEATH); where the kernel has no such call, none is followed.
 * Never waits for the other end of a pipe. Returns a close-on-exec descriptor; -EXDEV or -ELOOP:
 * the path leads outside; -EINVAL: neither a file nor a directory, or no such path; and what else
 * open() and fstat() fail with. */
MH_CHECK int mh__file_open(const char *root, const char *path, struct mh__file_info *info);

/* The same without opening it to read: what would be opened? */
MH_CHECK int mh__file_look(const char *root, const char *path, struct mh__file_info *info);

/* The way of kernels that have no openat2(). For tests. */
MH_CHECK int mh__file_open_stepwise(const char *root, const char *path, struct mh__file_info *info);

/* What is at a path now? One system call, which follows every link: good for telling whether
 * something has changed, and for nothing else. */
MH_CHECK int mh__file_check(const char *path, struct mh__file_info *info);
MH_CHECK int mh__file_check_open(int fd, struct mh__file_info *info);

/* Read at an offset. Returns the bytes, less than cap only at the end of the file; or an error. */
MH_CHECK ssize_t mh__file_read(int fd, char *buf, size_t cap, uint64_t offset);

/* Call back with each name in a directory, but "." and "..", in no order, and with what it is where
 * it is a regular file or a directory: links are looked at as mh__file_open() does it; all else is
 * passed over. Ends early when `found` returns other than 0, and returns that. `path` is that of
 * the directory, which fd was opened with. */
typedef int mh__file_found(void *data, const char *name, const struct mh__file_info *info);
MH_CHECK int mh__directory_read(int fd, const char *root, const char *path, mh__file_found *found,
                                void *data);

#endif
