/* pool.c: the connections of one client on one loop: which are kept, how many there may be, and who
 * waits for one. Knows nothing of how they are made or what goes over them. */
#include "client/client.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

static struct mh__connection *first_kept(const struct mh__origin *origin)
{
    return MH__CONTAINER(origin->kept.next, struct mh__connection, link);
}

static struct mh__connection *oldest_kept(const struct mh__pool *pool)
{
    return MH__CONTAINER(pool->idle.next, struct mh__connection, idle);
}

/* ---- connections that nobody uses ---- */

static int64_t kept_until(const struct mh__pool *pool, const struct mh__connection *c)
{
    int idle_ms = pool->client->idle_ms;
    return idle_ms < 0 ? MH__NEVER : c->kept_since + idle_ms;
}

static void arm(struct mh__pool *pool)
{
    if (mh__list_empty(&pool->idle))
        return;
    int64_t at = kept_until(pool, oldest_kept(pool));
    if (at != MH__NEVER)
        mh__timer_set(pool->loop, &pool->idle_timer, at);
}

/* Not touched when a connection is kept or taken: a timer that comes too early looks again. */
static void expire(struct mh__timer *timer)
{
    struct mh__pool *pool = MH__CONTAINER(timer, struct mh__pool, idle_timer);
    int64_t now = pool->loop->now;
    while (!mh__list_empty(&pool->idle) && kept_until(pool, oldest_kept(pool)) <= now)
        mh__connection_close(oldest_kept(pool));
    arm(pool);
}

static void trim(mh_buf *buf)
{
    if (buf->cap > MH__KEPT_CAP_MAX && buf->len == 0)
        mh_buf_free(buf);
}

void mh__pool_keep(struct mh__connection *c)
{
    struct mh__pool *pool = c->origin->pool;
    trim(&c->in);
    trim(&c->out);
    trim(&c->flight);
    c->state = MH__KEPT;
    c->kept_since = pool->loop->now;
    mh__list_prepend(&c->origin->kept, &c->link);
    mh__list_append(&pool->idle, &c->idle);
    if (!pool->idle_timer.set)
        arm(pool);
    if (!mh__list_empty(&pool->wanting))
        mh__loop_defer(pool->loop, &pool->task);
}

static struct mh__connection *take_kept(struct mh__origin *origin)
{
    int64_t now = mh__loop_now(origin->pool->loop);
    while (!mh__list_empty(&origin->kept)) {
        struct mh__connection *c = first_kept(origin);
        if (kept_until(origin->pool, c) > now) {
            mh__list_remove(&c->link);
            mh__list_remove(&c->idle);
            return c;
        }
        mh__connection_close(c);
    }
    return NULL;
}

/* Nobody may have turned the loop since it was kept: the peer may have closed it meanwhile. */
bool mh__pool_is_stale(const struct mh__origin *origin)
{
    int64_t now = origin->pool->loop->now;
    return !mh__list_empty(&origin->kept) &&
           now - first_kept(origin)->kept_since > MH__PEEK_AFTER_MS;
}

/* ---- how many ---- */

static bool is_unused(const struct mh__origin *origin)
{
    return origin->connections == 0 && origin->claims == 0;
}

/* One that is not used any more is remembered for a while, for the addresses of its name. */
static void note_use(struct mh__origin *origin)
{
    struct mh__pool *pool = origin->pool;
    bool listed = mh__link_used(&origin->unused);
    if (is_unused(origin) == listed)
        return;
    if (listed)
        mh__list_remove(&origin->unused);
    else
        mh__list_append(&pool->unused, &origin->unused);
    pool->unused_count += listed ? -1 : 1;
}

void mh__pool_count(struct mh__origin *origin, int change)
{
    struct mh__pool *pool = origin->pool;
    origin->connections += change;
    pool->connections += change;
    note_use(origin);
    if (change < 0 && !mh__list_empty(&pool->wanting))
        mh__loop_defer(pool->loop, &pool->task);
}

/* Room for one more to that origin; one that is kept makes way. */
static bool may_open(struct mh__origin *origin)
{
    struct mh__pool *pool = origin->pool;
    if (origin->connections >= pool->client->per_host_max && !mh__list_empty(&origin->kept))
        mh__connection_close(first_kept(origin));
    if (origin->connections >= pool->client->per_host_max)
        return false;
    if (pool->connections >= pool->client->connections_max && !mh__list_empty(&pool->idle))
        mh__connection_close(oldest_kept(pool));
    return pool->connections < pool->client->connections_max;
}

/* ---- who waits ---- */

static void use(struct mh__connection *c, struct mh__transfer *x)
{
    c->transfer = x;
    c->reused = true;
    c->state = MH__BUSY;
    x->connection = c;
    mh__fetch_begin(c);
}

/* The transfer can end here. false: nothing was to be had. A second try does not trust in what was
 * kept. */
static bool give(struct mh__origin *origin, struct mh__transfer *x)
{
    struct mh__connection *c = x->retried ? NULL : take_kept(origin);
    if (c)
        use(c, x);
    else if (may_open(origin))
        mh__connection_open(origin, x);
    else
        return false;
    return true;
}

static void leave_line(struct mh__origin *origin, struct mh__transfer *x)
{
    mh__list_remove(&x->line);
    if (mh__list_empty(&origin->waiting))
        mh__list_remove(&origin->wanting);
}

/* Give the first in line what there is. false: nothing was to be had. */
static bool serve(struct mh__origin *origin)
{
    struct mh__link *link = origin->waiting.next;
    struct mh__transfer *x = MH__CONTAINER(link, struct mh__transfer, line);
    bool kept = !mh__list_empty(&origin->kept) && !x->retried;
    if (!kept && !may_open(origin))
        return false;
    leave_line(origin, x);
    if (mh__link_used(&origin->wanting)) { /* the others come first now */
        mh__list_remove(&origin->wanting);
        mh__list_append(&origin->pool->wanting, &origin->wanting);
    }
    if (!give(origin, x))
        mh__pool_want(x); /* what was kept had been kept for too long */
    return true;
}

/* One after the other from each origin, until a round has given nothing. */
static void serve_all(struct mh__task *task)
{
    struct mh__pool *pool = MH__CONTAINER(task, struct mh__pool, task);
    struct mh__link *link, *next;
    for (bool gave = true; gave;) {
        gave = false;
        for (link = pool->wanting.next; link != &pool->wanting; link = next) {
            next = link->next;
            gave |= serve(MH__CONTAINER(link, struct mh__origin, wanting));
        }
    }
}

void mh__pool_want(struct mh__transfer *x)
{
    struct mh__origin *origin = x->origin;
    if (mh__list_empty(&origin->waiting) && give(origin, x))
        return;
    mh__list_append(&origin->waiting, &x->line);
    if (!mh__link_used(&origin->wanting))
        mh__list_append(&x->pool->wanting, &origin->wanting);
    mh__transfer_enter(x, MH_PHASE_WAIT, MH__NEVER);
}

void mh__pool_claim(struct mh__transfer *x, struct mh__origin *origin)
{
    struct mh__origin *before = x->origin;
    x->origin = origin;
    if (origin) {
        origin->claims++;
        note_use(origin);
    }
    if (before) {
        before->claims--;
        note_use(before);
    }
}

void mh__pool_leave(struct mh__transfer *x)
{
    if (mh__link_used(&x->line))
        leave_line(x->origin, x);
    mh__pool_claim(x, NULL);
}

/* ---- origins ---- */

static uint32_t mix(uint32_t hash, mh_str bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (uint8_t)mh__lower(bytes.ptr[i])) * 16777619u;
    return hash;
}

/* What makes two URLs lead to the same origin. */
struct key {
    const struct mh__proxy *proxy;
    mh_str host;
    uint16_t port;
    enum mh__way way;
    bool tls;
};

static bool is_it(const struct mh__origin *o, const struct key *key)
{
    return o->port == key->port && o->tls == key->tls && o->way == key->way &&
           o->proxy == key->proxy && mh__str_same_nocase(o->host, key->host);
}

static void forget(struct mh__origin *origin)
{
    if (origin->pool->last.origin == origin)
        origin->pool->last.origin = NULL;
    mh__list_remove(&origin->link);
    mh__list_remove(&origin->unused);
    mh__lookup_cancel(&origin->lookup);
    mh__free(origin);
}

static void forget_oldest(struct mh__pool *pool)
{
    while (pool->unused_count > MH__ORIGINS_UNUSED_MAX) {
        forget(MH__CONTAINER(pool->unused.next, struct mh__origin, unused));
        pool->unused_count--;
    }
}

/* An address that need not be looked up: of the options, or one that is an address already. */
static void fix_address(struct mh__origin *origin)
{
    struct mh__address *at = &origin->addresses.at[0];
    if (!mh__hosts_find(&origin->pool->client->hosts, origin->dial_host, origin->dial_port, at) &&
        !mh__literal_address(at, origin->dial_host, origin->dial_port))
        return;
    origin->addresses.count = 1;
    origin->addresses_until = MH__NEVER;
}

static struct mh__origin *origin_new(struct mh__pool *pool, const struct key *key,
                                     struct mh__link *bucket)
{
    struct mh__origin *origin = mh__calloc(1, sizeof(*origin) + key->host.len);
    if (!origin)
        return NULL;
    origin->pool = pool;
    origin->proxy = key->proxy;
    origin->way = key->way;
    origin->tls = key->tls;
    origin->port = key->port;
    for (size_t i = 0; i < key->host.len; i++)
        origin->name[i] = mh__lower(key->host.ptr[i]); /* one name, one TLS session */
    origin->host = (mh_str){origin->name, key->host.len};
    origin->dial_host = key->proxy ? key->proxy->host : origin->host;
    origin->dial_port = key->proxy ? key->proxy->port : key->port;
    mh__list_init(&origin->kept);
    mh__list_init(&origin->waiting);
    mh__list_init(&origin->resolving);
    mh__list_append(bucket, &origin->link);
    fix_address(origin);
    note_use(origin);
    return origin;
}

/* Where the options say where to connect, a proxy of the environment is not meant. */
static const struct mh__proxy *proxy_for(const mh_client *client, const mh_url *url)
{
    struct mh__address place;
    if (!client->proxy_given && mh__hosts_find(&client->hosts, url->host, url->port, &place))
        return NULL;
    return mh__proxies_find(&client->proxies, url);
}

/* Plain http goes to a proxy as it is, whatever its host: all of it may share connections. */
static struct key key_of(const struct mh__pool *pool, const mh_url *url)
{
    const struct mh__proxy *proxy = proxy_for(pool->client, url);
    struct key key = {.host = url->host, .port = url->port, .proxy = proxy};
    key.tls = mh_str_equal_nocase(url->scheme, "https");
    key.way = !proxy ? MH__DIRECT : key.tls ? MH__BY_TUNNEL : MH__BY_PROXY;
    if (key.way == MH__BY_PROXY) {
        key.host = proxy->host;
        key.port = proxy->port;
    }
    return key;
}

int mh__origin_of(struct mh__origin **out, struct mh__pool *pool, const mh_url *url)
{
    struct key key = key_of(pool, url);
    struct mh__link *bucket =
        &pool->buckets[mix(2166136261u ^ key.port, key.host) % MH__ORIGIN_BUCKETS];
    struct mh__link *link = bucket->next;
    for (; link != bucket; link = link->next) {
        *out = MH__CONTAINER(link, struct mh__origin, link);
        if (is_it(*out, &key))
            return 0;
    }
    forget_oldest(pool);
    *out = origin_new(pool, &key, bucket);
    return *out ? 0 : -ENOMEM;
}

/* ---- the pool itself ---- */

static void detached(struct mh__attachment *attachment)
{
    mh__pool_free(MH__CONTAINER(attachment, struct mh__pool, attachment));
}

static struct mh__pool *pool_new(mh_client *client, mh_loop *loop)
{
    struct mh__pool *pool = mh__malloc(sizeof(*pool)); /* most of it is room for later */
    if (!pool)
        return NULL;
    memset(pool, 0, offsetof(struct mh__pool, view));
    pool->loop = loop;
    pool->client = client;
    pool->attachment = (struct mh__attachment){.owner = client, .detached = detached};
    pool->idle_timer.expired = expire;
    pool->task.run = serve_all;
    mh__list_init(&pool->transfers);
    mh__list_init(&pool->wanting);
    mh__list_init(&pool->idle);
    mh__list_init(&pool->unused);
    for (size_t i = 0; i < MH__ORIGIN_BUCKETS; i++)
        mh__list_init(&pool->buckets[i]);
    mh__loop_attach(loop, &pool->attachment);
    pthread_mutex_lock(&client->lock);
    mh__list_append(&client->pools, &pool->siblings);
    pthread_mutex_unlock(&client->lock);
    return pool;
}

struct mh__pool *mh__pool_of(mh_client *client, mh_loop *loop)
{
    struct mh__attachment *attachment = mh__loop_find(loop, client);
    return attachment ? MH__CONTAINER(attachment, struct mh__pool, attachment)
                      : pool_new(client, loop);
}

static void end_transfers(struct mh__pool *pool)
{
    while (!mh__list_empty(&pool->transfers)) {
        struct mh__link *link = pool->transfers.next;
        mh__transfer_end(MH__CONTAINER(link, struct mh__transfer, link), -ECANCELED);
    }
}

void mh__pool_free(struct mh__pool *pool)
{
    pool->closing = true;
    end_transfers(pool);
    while (!mh__list_empty(&pool->idle))
        mh__connection_close(oldest_kept(pool));
    while (!mh__list_empty(&pool->unused))
        forget(MH__CONTAINER(pool->unused.next, struct mh__origin, unused));
    mh__timer_stop(pool->loop, &pool->idle_timer);
    mh__loop_forget(&pool->task);
    mh__loop_detach(&pool->attachment);
    pthread_mutex_lock(&pool->client->lock);
    mh__list_remove(&pool->siblings);
    mh__list_remove(&pool->spare);
    pthread_mutex_unlock(&pool->client->lock);
    mh__free(pool);
}
