/* How often and how much lib/server/ allocates. The allocator is this file's own. */
#include <malloc.h>
#include <sys/mman.h>

#include "stage.h"

#include "base/mem.h"

static int allocations;
static size_t held; /* bytes */

static void *take(void *ptr)
{
    if (ptr) {
        allocations++;
        held += malloc_usable_size(ptr);
    }
    return ptr;
}

static void give_back(void *ptr)
{
    if (ptr)
        held -= malloc_usable_size(ptr);
}

void *mh__malloc(size_t size)
{
    return take(malloc(size));
}

void *mh__calloc(size_t number, size_t size)
{
    return take(calloc(number, size));
}

void *mh__realloc(void *ptr, size_t size)
{
    give_back(ptr);
    return take(realloc(ptr, size));
}

void mh__free(void *ptr)
{
    give_back(ptr);
    free(ptr);
}

TestSuite(allocations, .timeout = 60);

enum { WARM = 3, ROUNDS = 20 };

/* ---- none, once everything is there ---- */

static int copies(mh_request *req)
{
    return mh_reply_text(req, 200, "hello");
}

static int borrows(mh_request *req)
{
    return mh_reply_borrow(req, 200, "a/b", "hello", 5);
}

static int adds_fields(mh_request *req)
{
    if (mh_reply_header(req, "X-One", "1") < 0 || mh_reply_header(req, "X-Two", "2") < 0)
        return -EINVAL;
    return mh_reply_copy(req, 200, NULL, "hello", 5);
}

static int says_nothing(mh_request *req)
{
    (void)req;
    return 204;
}

static ssize_t produce(mh_request *req, char *buf, size_t cap)
{
    (void)cap;
    if (req->data)
        return 0;
    req->data = req;
    memcpy(buf, "hello", 5);
    return 5;
}

static int streams(mh_request *req)
{
    if (mh_reply_trailer(req, "X-One", "1") < 0)
        return -EINVAL;
    return mh_reply_stream(req, 200, NULL, MH_LENGTH_UNKNOWN, produce);
}

static char large[10000];

static int borrows_much(mh_request *req)
{
    return mh_reply_borrow(req, 200, NULL, large, sizeof(large));
}

static int sends_file(mh_request *req)
{
    int fd = memfd_create("reply", MFD_CLOEXEC);
    cr_assert_eq(write(fd, "hello", 5), 5);
    return mh_reply_file(req, 200, NULL, fd, 0, 5);
}

static mh_request *owed;

static int later(mh_request *req)
{
    owed = req;
    return MH_LATER;
}

#define POST "POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
#define CHUNKS                                                                                     \
    "POST /%41 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

static const struct {
    mh_handler *handler;
    const char *request, *end; /* of the reply */
} steady[] = {
    {copies, GET, "hello"},          {copies, POST, "hello"},
    {copies, CHUNKS, "hello"},       {copies, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n"},
    {borrows, GET, "hello"},         {adds_fields, GET, "hello"},
    {says_nothing, GET, "\r\n\r\n"}, {streams, GET, "5\r\nhello\r\n0\r\nX-One: 1\r\n\r\n"},
    {borrows_much, GET, "large"},    {sends_file, GET, "hello"},
    {later, GET, "hello"},
};

static bool ends_with(const char *end)
{
    size_t len = strlen(end);
    return heard.len >= len && memcmp(heard.data + heard.len - len, end, len) == 0;
}

static void exchange(int fd, const char *request, const char *end)
{
    owed = NULL;
    say(fd, request);
    if (owed)
        cr_assert_eq(mh_reply_text(owed, 200, "hello"), 200);
    hear_nothing_yet();
    stage_until((hear_more(fd), heard_end || ends_with(end)));
    cr_assert(!heard_end);
}

Test(allocations, none_on_a_kept_connection)
{
    memset(large, 'x', sizeof(large));
    memcpy(large + sizeof(large) - 5, "large", 5);
    for (size_t i = 0; i < COUNT(steady); i++) {
        int before = 0;
        stage_open((mh_server_options){.handler = steady[i].handler});
        mh_buf_free(&heard);
        cr_assert_eq(mh_buf_reserve(&heard, 1u << 18), 0);
        int fd = stage_connect();
        for (int round = 0; round < ROUNDS; round++) {
            if (round == WARM)
                before = allocations;
            exchange(fd, steady[i].request, steady[i].end);
        }
        cr_assert_eq(allocations, before, "%zu: %d", i, allocations - before);
        close(fd);
        stage_close();
    }
    mh_buf_free(&heard);
    cr_assert_eq(held, 0);
}

/* Nor is there one for a hundred at once. */
Test(allocations, none_for_a_batch)
{
    mh_buf batch = {0};
    int before = 0;
    stage_open((mh_server_options){.handler = copies});
    for (int i = 0; i < 100; i++)
        cr_assert_eq(mh_buf_printf(&batch, "%s", GET), 0);
    int fd = stage_connect();
    cr_assert_eq(mh_buf_reserve(&heard, 1u << 18), 0);
    exchange(fd, GET, "hello");
    size_t whole = 100 * heard.len;
    for (int round = 0; round < ROUNDS; round++) {
        if (round == WARM)
            before = allocations;
        say_bytes(fd, mh_buf_str(&batch));
        hear_nothing_yet();
        stage_until((hear_more(fd), heard.len == whole));
    }
    cr_assert_eq(allocations, before, "%d", allocations - before);
    close(fd);
    mh_buf_free(&batch);
    mh_buf_free(&heard);
    stage_close();
    cr_assert_eq(held, 0);
}

/* ---- how much ---- */

#define MANY 200
#define IDLE_MAX 512 /* bytes for a connection that has been answered, and waits */

Test(allocations, idle_connections)
{
    static int fds[MANY];
    stage_open((mh_server_options){.handler = copies});
    int fd = stage_connect();
    exchange(fd, GET, "hello");
    mh_buf_free(&heard);
    size_t before = held;
    for (int i = 0; i < MANY; i++) {
        fds[i] = stage_connect_with(0);
        exchange(fds[i], GET, "hello");
    }
    mh_buf_free(&heard);
    cr_assert_leq((held - before) / MANY, IDLE_MAX, "%zu each", (held - before) / MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(fd);
    stage_rest(5);
    cr_assert_lt(held, before);
    stage_close();
    cr_assert_eq(held, 0);
}
