/* Files beneath a root: lib/net/file.c, both ways of opening. */
#include <criterion/criterion.h>

#include <errno.h>

#include "net/file.h"
#include "../descriptors.h"
#include "../folder.h"

typedef int opening(const char *root, const char *path, struct mh__file_info *info);

static opening *const openings[] = {mh__file_open, mh__file_open_stepwise};

TestSuite(file, .init = make_folder, .fini = remove_folder);

/* What comes of it; the descriptor is closed again. */
static int try_open(opening *how, const char *path, struct mh__file_info *info)
{
    int fd = how(in_folder("root"), path, info);
    if (fd < 0)
        return fd;
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    return 0;
}

static void make_tree(void)
{
    make_directory("root");
    make_directory("root/sub");
    make_directory("root/sub/deep");
    make_directory("roots");
    write_text("root/a.txt", "hello");
    write_text("root/sub/b.txt", "hello, b");
    write_text("secret", "secret");
    write_text("roots/secret", "secret");
    make_link("root/out", "../secret");
    make_link("root/outside", "..");
    make_link("root/absolute", "/etc/passwd");
    make_link("root/loop", "loop");
    make_link("root/inside", "sub/b.txt");
    make_link("root/sub/up", "../a.txt");
    make_link("root/folder", "sub");
    make_link("root/self", "/proc/self/exe");
    cr_assert_eq(mkfifo(in_folder("root/fifo"), 0644), 0);
}

Test(file, regular_files_and_directories)
{
    make_tree();
    int before = open_descriptors();
    for (int i = 0; i < 2; i++) {
        struct mh__file_info info;
        cr_assert_eq(try_open(openings[i], "a.txt", &info), 0);
        cr_expect(info.size == 5 && !info.is_directory && info.inode > 0);
        cr_assert_eq(try_open(openings[i], "sub/b.txt", &info), 0);
        cr_expect(info.size == 8 && !info.is_directory);
        cr_expect(try_open(openings[i], "sub//b.txt", &info) == 0 && info.size == 8);
        static const char *const directories[] = {"", ".", "sub", "sub/", "sub/deep", "sub/deep/"};
        for (int j = 0; j < 6; j++)
            cr_expect(try_open(openings[i], directories[j], &info) == 0 && info.is_directory, "%s",
                      directories[j]);
    }
    cr_expect_eq(open_descriptors(), before);
}

Test(file, nothing_else)
{
    make_tree();
    int before = open_descriptors();
    char long_name[300];
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        struct mh__file_info info;
        cr_expect_eq(try_open(openings[i], "nothing", &info), -ENOENT);
        cr_expect_eq(try_open(openings[i], "nothing/b", &info), -ENOENT);
        cr_expect_eq(try_open(openings[i], "a.txt/b", &info), -ENOTDIR);
        cr_expect_eq(try_open(openings[i], "a.txt/", &info), -ENOTDIR);
        cr_expect_eq(try_open(openings[i], "/etc/passwd", &info), -EINVAL);
        cr_expect_eq(try_open(openings[i], "fifo", &info), -EINVAL); /* and does not wait */
        cr_expect(try_open(openings[i], long_name, &info) < 0);
        cr_expect_eq(openings[i](in_folder("none"), "a.txt", &info), -ENOENT);
        cr_expect_eq(openings[i](in_folder("root/a.txt"), "a.txt", &info), -ENOTDIR);
    }
    cr_expect_eq(open_descriptors(), before);
}

Test(file, no_way_leads_outside)
{
    make_tree();
    static const char *const paths[] = {
        "..",
        "../",
        "../secret",
        "../roots/secret",
        "sub/../../secret",
        "sub/deep/../../../secret",
        "out",
        "outside",
        "outside/secret",
        "outside/roots/secret",
        "absolute",
        "loop",
        "self",
        "../root/a.txt",
        "folder/../../secret",
    };
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof(paths) / sizeof(paths[0]); j++) {
            struct mh__file_info info;
            int err = try_open(openings[i], paths[j], &info);
            cr_expect(err == -EXDEV || err == -ELOOP || err == -EINVAL || err == -ENOTDIR, "%s: %d",
                      paths[j], err);
        }
    }
}

/* Where there is openat2(), which every kernel of ours has. */
Test(file, links_that_stay_inside_are_followed)
{
    make_tree();
    struct mh__file_info info;
    static const struct {
        const char *path;
        uint64_t size;
    } links[] = {{"inside", 8}, {"folder/b.txt", 8}, {"sub/up", 5}, {"folder/up", 5}};
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(try_open(mh__file_open, links[i].path, &info), 0, "%s", links[i].path);
        cr_expect_eq(info.size, links[i].size);
        cr_expect_eq(mh__file_look(in_folder("root"), links[i].path, &info), 0);
        cr_expect_eq(info.size, links[i].size);
        cr_expect(try_open(mh__file_open_stepwise, links[i].path, &info) < 0, "%s", links[i].path);
    }
}

Test(file, a_change_shows)
{
    make_tree();
    struct mh__file_info opened, now;
    cr_assert_eq(try_open(mh__file_open, "a.txt", &opened), 0);
    cr_assert_eq(mh__file_check(in_folder("root/a.txt"), &now), 0);
    cr_expect(now.inode == opened.inode && now.device == opened.device && now.size == opened.size);
    cr_expect(now.modified_s == opened.modified_s && now.modified_ns == opened.modified_ns);
    cr_expect(now.changed_s == opened.changed_s && now.changed_ns == opened.changed_ns);
    set_time("root/a.txt", 1000);
    cr_assert_eq(mh__file_check(in_folder("root/a.txt"), &now), 0);
    cr_expect(now.modified_s == 1000 && now.inode == opened.inode);
    cr_expect_eq(mh__file_check(in_folder("root/none"), &now), -ENOENT);
    cr_expect_eq(mh__file_check(in_folder("root/fifo"), &now), -EINVAL);
}

Test(file, reading)
{
    struct mh__file_info info;
    char buf[8];
    make_tree();
    int fd = mh__file_open(in_folder("root"), "sub/b.txt", &info);
    cr_assert(fd >= 0);
    cr_expect_eq(mh__file_read(fd, buf, 8, 0), 8);
    cr_expect_eq(memcmp(buf, "hello, b", 8), 0);
    cr_expect_eq(mh__file_read(fd, buf, 8, 7), 1);
    cr_expect_eq(buf[0], 'b');
    cr_expect_eq(mh__file_read(fd, buf, 8, 8), 0);
    cr_expect_eq(mh__file_read(fd, buf, 8, 800), 0);
    close(fd);
    cr_expect_eq(mh__file_read(-1, buf, 8, 0), -EBADF);
}

/* ---- directories ---- */

struct found {
    int count, directories, stop_at;
    uint64_t bytes;
    bool out, dots;
};

static int count_found(void *data, const char *name, const struct mh__file_info *info)
{
    struct found *found = data;
    found->count++;
    found->directories += info->is_directory;
    found->bytes += info->is_directory ? 0 : info->size;
    found->dots |= name[0] == '.';
    found->out |= strcmp(name, "out") == 0 || strcmp(name, "absolute") == 0;
    return found->count == found->stop_at ? 7 : 0;
}

static int read_all(const char *path, struct found *found)
{
    struct mh__file_info info;
    int fd = mh__file_open(in_folder("root"), path, &info);
    cr_assert(fd >= 0);
    int result = mh__directory_read(fd, in_folder("root"), path, count_found, found);
    close(fd);
    return result;
}

/* "a.txt", "sub", and of the links "inside" and "folder": neither pipes nor what leads outside. */
Test(file, a_directory_has_what_could_be_opened)
{
    struct found found = {0};
    make_tree();
    cr_assert_eq(read_all("", &found), 0);
    cr_expect_eq(found.count, 4);
    cr_expect_eq(found.directories, 2);
    cr_expect_eq(found.bytes, 5 + 8);
    cr_expect(!found.out && !found.dots);
    found = (struct found){0};
    cr_assert_eq(read_all("sub/", &found), 0);
    cr_expect_eq(found.count, 3);
    cr_expect_eq(found.bytes, 8 + 5);
}

Test(file, a_large_directory)
{
    struct found found = {0};
    make_directory("root");
    for (int i = 0; i < 500; i++) {
        char name[64];
        snprintf(name, sizeof(name), "root/a-name-that-is-not-too-short-%d", i);
        write_text(name, "x");
    }
    cr_assert_eq(read_all("", &found), 0);
    cr_expect_eq(found.count, 500);
    found = (struct found){.stop_at = 123};
    cr_assert_eq(read_all("", &found), 7);
    cr_expect_eq(found.count, 123);
}

Test(file, what_is_no_directory)
{
    struct mh__file_info info;
    struct found found = {0};
    make_tree();
    int fd = mh__file_open(in_folder("root"), "a.txt", &info);
    cr_expect_eq(mh__directory_read(fd, in_folder("root"), "a.txt", count_found, &found), -ENOTDIR);
    close(fd);
}
