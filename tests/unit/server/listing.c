/* A directory as a page: lib/server/listing.c. */
#include <criterion/criterion.h>

#include <errno.h>

#include "server/listing.h"
#include "../folder.h"

static mh_buf page;

static void teardown(void)
{
    mh_buf_free(&page);
    remove_folder();
}

TestSuite(listing, .init = make_folder, .fini = teardown);

static int list(const char *name, const char *path, size_t top)
{
    mh_buf_clear(&page);
    return mh__listing(&page, folder, name, mh_str_from(path), top);
}

static bool shows(const char *text)
{
    return page.data && strstr(page.data, text);
}

static size_t count(const char *text)
{
    size_t found = 0;
    for (const char *at = page.data; (at = strstr(at, text)); at++)
        found++;
    return found;
}

/* Do they come in this order? */
static void expect_order(const char *const *names)
{
    const char *at = page.data;
    for (; *names; names++) {
        char text[300];
        snprintf(text, sizeof(text), "<bdi>%s</bdi></b>", *names);
        const char *found = strstr(at, text);
        cr_assert(found, "%s", *names);
        at = found;
    }
}

Test(listing, directories_first_and_then_as_people_count)
{
    static const char *const files[] = {"file10", "file9", "File1",  "b2", "b02", "b10",
                                        "a",      "Z",     "file1b", "b",  "b1",  "b002"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        write_text(files[i], "");
    make_directory("z");
    make_directory("Y");
    cr_assert_eq(list("", "/", 1), 0);
    static const char *const order[] = {"Y",      "z",     "a",      "b",   "b1",
                                        "b002",   "b02",   "b2",     "b10", "File1",
                                        "file1b", "file9", "file10", "Z",   NULL};
    expect_order(order);
}

Test(listing, whatever_is_in_a_name_is_text)
{
    write_text("<script>alert('1')&\"x\".html", "");
    write_text("javascript:alert(1)", "");
    write_text("bad\xff\xc3(name", "");
    write_text("new\nline\x7f", "");
    write_text("gr\xc3\xb6\xc3\x9f"
               "e \xe6\x97\xa5\xf0\x9f\x90\x87",
               "");
    write_text("overlong\xc0\xaf\xed\xa0\x80", "");
    write_text("50% #?.txt", "");
    cr_assert_eq(list("", "/", 1), 0);
    cr_expect(shows("&lt;script&gt;alert(&#39;1&#39;)&amp;&quot;x&quot;.html</bdi>"));
    cr_expect(shows("href=\"%3Cscript%3Ealert%28%271%27%29%26%22x%22.html\""));
    cr_expect(shows("href=\"javascript%3Aalert%281%29\""));
    cr_expect(shows("<bdi>bad\xef\xbf\xbd\xef\xbf\xbd(name</bdi>"));
    cr_expect(shows("href=\"bad%FF%C3%28name\""));
    cr_expect(shows("<bdi>new\xef\xbf\xbdline\xef\xbf\xbd</bdi>"));
    cr_expect(shows("<bdi>gr\xc3\xb6\xc3\x9f"
                    "e \xe6\x97\xa5\xf0\x9f\x90\x87</bdi>"));
    cr_expect_not(shows("\xc0\xaf"));
    cr_expect(shows("href=\"50%25%20%23%3F.txt\""));
    cr_expect_not(shows("<script"));
}

Test(listing, the_path_is_text_too_and_its_parts_are_links)
{
    make_directory("a");
    make_directory("a/<b>");
    cr_assert_eq(list("a/<b>/", "/static/a/<b>/", strlen("/static/")), 0);
    cr_expect(shows("<title>/static/a/&lt;b&gt;/</title>"));
    cr_expect(shows("href=\"../../\"><svg"));
    cr_expect(shows("<a href=\"../\"><bdi>a</bdi></a>"));
    cr_expect(shows("aria-current=\"page\"><bdi>&lt;b&gt;</bdi></a>"));
    cr_expect(shows("Parent directory"));
    cr_expect(shows("There is nothing here."));
    cr_assert_eq(list("", "/static/", strlen("/static/")), 0);
    cr_expect_not(shows("Parent directory"));
    cr_expect_not(shows("../"));
}

Test(listing, sizes_and_dates)
{
    static const struct {
        off_t size;
        const char *text;
    } sizes[] = {{0, "<span>0 B<"},
                 {1023, "<span>1023 B<"},
                 {1024, "<span>1.0 KiB<"},
                 {1536, "<span>1.5 KiB<"},
                 {102399, "<span>99.9 KiB<"},
                 {102400, "<span>100 KiB<"},
                 {1048575, "<span>1023 KiB<"},
                 {1048576, "<span>1.0 MiB<"},
                 {(off_t)7 << 30, "<span>7.0 GiB<"},
                 {(off_t)3 << 40, "<span>3.0 TiB<"}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_text("f", "");
        cr_assert_eq(truncate(in_folder("f"), sizes[i].size), 0);
        set_time("f", 784111777);
        cr_assert_eq(list("", "/", 1), 0);
        cr_expect(shows(sizes[i].text), "%s", sizes[i].text);
        cr_expect(shows("<span>06 Nov 1994 08:49</span>"));
        cr_expect(shows("0 directories, 1 file, "));
    }
}

Test(listing, hidden_files_and_what_leads_outside_are_left_out)
{
    write_text(".hidden", "");
    write_text("seen", "");
    make_link("out", "/etc/passwd");
    make_link("in", "seen");
    cr_assert_eq(mkfifo(in_folder("fifo"), 0644), 0);
    cr_assert_eq(list("", "/", 1), 0);
    cr_expect(shows("<bdi>seen</bdi>") && shows("<bdi>in</bdi>"));
    cr_expect(!shows("<bdi>.hidden") && !shows("<bdi>out</bdi>") && !shows("fifo"));
}

Test(listing, there_is_an_end_and_it_says_so)
{
    char name[32];
    for (int i = 0; i < MH__LISTING_ENTRIES_MAX; i++) {
        snprintf(name, sizeof(name), "%d", i);
        write_text(name, "");
    }
    cr_assert_eq(list("", "/", 1), 0);
    cr_expect_eq(count("</li>"), MH__LISTING_ENTRIES_MAX);
    cr_expect_not(shows("There is more here"));
    write_text("one-more", "");
    cr_assert_eq(list("", "/", 1), 0);
    cr_expect_eq(count("</li>"), MH__LISTING_ENTRIES_MAX);
    cr_expect(shows("There is more here than is shown: "));
}

Test(listing, what_cannot_be_listed)
{
    write_text("a", "");
    cr_expect_eq(list("a", "/a/", 1), -ENOTDIR);
    cr_expect_eq(list("none/", "/none/", 1), -ENOENT);
    cr_expect_eq(list("../", "/../", 1), -EXDEV);
    cr_expect_eq(page.len, 0);
}

/* What is in the buffer already stays as it was. */
Test(listing, a_page_that_is_too_large)
{
    write_text("a", "");
    mh_buf small = {.max = 1000};
    cr_assert_eq(mh_buf_append(&small, "before", 6), 0);
    cr_expect_eq(mh__listing(&small, folder, "", MH_STR("/"), 1), MH_ERR_TOO_LARGE);
    cr_expect(small.len == 6 && strcmp(small.data, "before") == 0);
    mh_buf_free(&small);
}
