/* client.c: what a client is made of, and the loops that blocking calls borrow from it. */
#include "client/client.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

/* ---- options ---- */

static int check_options(const mh_client_options *options)
{
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    bool fine = options->connections_max >= 0 && options->connections_per_host_max >= 0 &&
                options->idle_timeout_ms >= -1;
    bool key_alone = options->key_file && !options->cert_file;
    return fine && !key_alone ? 0 : -EINVAL;
}

/* An empty one is none: the buffer stays without bytes. */
static int copy_agent(mh_client *client, const char *agent)
{
    mh_str text = mh_str_from(agent ? agent : MH__AGENT);
    return mh_buf_append(&client->agent, text.ptr, text.len);
}

/* The files are looked at here, so that a mistake shows at once. */
static int open_tls(mh_client *client, const mh_client_options *options)
{
    struct mh__tls_client_options tls = {.ca_file = options->ca_file,
                                         .cert_file = options->cert_file,
                                         .key_file = options->key_file,
                                         .insecure = options->insecure};
    char why[MH__TLS_WHY_MAX];
    client->insecure = options->insecure;
    if (!tls.ca_file && !tls.cert_file && !tls.key_file)
        return 0;
    return mh__tls_client_context(&client->tls, &tls, why);
}

static int set_up(mh_client *client, const mh_client_options *options)
{
    const char *why;
    client->connections_max =
        options->connections_max ? options->connections_max : MH_CLIENT_CONNECTIONS_MAX;
    client->per_host_max = options->connections_per_host_max ? options->connections_per_host_max
                                                             : MH_CLIENT_PER_HOST_MAX;
    client->idle_ms =
        options->idle_timeout_ms ? options->idle_timeout_ms : MH_CLIENT_IDLE_TIMEOUT_MS;
    int err = check_options(options);
    if (err == 0)
        err = copy_agent(client, options->user_agent);
    client->proxy_given = options->proxy != NULL;
    if (err == 0)
        err = mh__proxies_init(&client->proxies, options->proxy, options->no_proxy, &why);
    if (err == 0)
        err = mh__hosts_init(&client->hosts, options->addresses, &why);
    return err < 0 ? err : open_tls(client, options);
}

int mh_client_new(mh_client **out, const mh_client_options *options)
{
    static const mh_client_options standard = {0};
    *out = NULL;
    mh_client *client = mh__calloc(1, sizeof(*client));
    if (!client)
        return -ENOMEM;
    pthread_mutex_init(&client->lock, NULL);
    mh__list_init(&client->pools);
    mh__list_init(&client->spare);
    int err = set_up(client, options ? options : &standard);
    if (err < 0)
        mh_client_free(client);
    else
        *out = client;
    return err;
}

int mh__client_tls(mh_client *client, struct mh__tls_context **out, char why[MH__TLS_WHY_MAX])
{
    struct mh__tls_client_options options = {.insecure = client->insecure};
    int err = 0;
    pthread_mutex_lock(&client->lock);
    if (!client->tls)
        err = mh__tls_client_context(&client->tls, &options, why);
    *out = client->tls;
    pthread_mutex_unlock(&client->lock);
    return err;
}

/* ---- loops for blocking calls ---- */

static struct mh__pool *first_spare(mh_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct mh__link *link = mh__list_take(&client->spare);
    client->spares -= link ? 1 : 0;
    pthread_mutex_unlock(&client->lock);
    return link ? MH__CONTAINER(link, struct mh__pool, spare) : NULL;
}

static int new_spare(mh_client *client, struct mh__pool **out)
{
    mh_loop *loop;
    int err = mh_loop_new(&loop);
    if (err < 0)
        return err;
    *out = mh__pool_of(client, loop);
    if (*out) {
        (*out)->own_loop = true;
        return 0;
    }
    mh_loop_free(loop);
    return -ENOMEM;
}

static int take_spare(mh_client *client, struct mh__pool **pool)
{
    *pool = first_spare(client);
    return *pool ? 0 : new_spare(client, pool);
}

static void put_spare(mh_client *client, struct mh__pool *pool)
{
    pthread_mutex_lock(&client->lock);
    bool kept = client->spares < MH__SPARE_MAX;
    if (kept) {
        mh__list_prepend(&client->spare, &pool->spare);
        client->spares++;
    }
    pthread_mutex_unlock(&client->lock);
    if (!kept)
        mh_loop_free(pool->loop);
}

static struct mh__pool *any_pool(mh_client *client)
{
    pthread_mutex_lock(&client->lock);
    bool none = mh__list_empty(&client->pools);
    struct mh__link *link = client->pools.next;
    pthread_mutex_unlock(&client->lock);
    return none ? NULL : MH__CONTAINER(link, struct mh__pool, siblings);
}

void mh_client_free(mh_client *client)
{
    struct mh__pool *pool;
    if (!client)
        return;
    while ((pool = any_pool(client))) {
        if (pool->own_loop)
            mh_loop_free(pool->loop); /* and the pool with it */
        else
            mh__pool_free(pool);
    }
    mh__tls_context_free(client->tls);
    mh__hosts_deinit(&client->hosts);
    mh__proxies_deinit(&client->proxies);
    mh_buf_free(&client->agent);
    pthread_mutex_destroy(&client->lock);
    mh__free(client);
}

/* ---- fetching ---- */

/* What could not even begin. */
static int report(const mh_fetch *fetch, mh_response *res, int err)
{
    struct mh__transfer *x;
    int begun = mh__response_begin(&x, fetch, res);
    return begun < 0 ? begun : mh__response_finish(x, err);
}

/* Turn the loop until the transfer is over. */
static void wait_for(mh_loop *loop, struct mh__transfer *x, const struct mh__outcome *outcome)
{
    mh__loop_work(loop); /* the start; a turn of its own would be a wait in vain */
    while (!outcome->over) {
        int err = mh__loop_turn(loop, -1);
        if (outcome->over)
            return;
        if (err < 0)
            mh__transfer_end(x, err);
        else if (atomic_load(&x->cancelled))
            mh__transfer_end(x, -ECANCELED);
    }
}

static int fetch_on(struct mh__pool *pool, const mh_fetch *fetch, mh_response *res)
{
    struct mh__outcome outcome = {0};
    mh__loop_alone(pool->loop, true);
    int err = mh__transfer_submit(pool, fetch, res, &outcome);
    if (err < 0)
        return err;
    wait_for(pool->loop, res->private_, &outcome);
    return outcome.result;
}

static int fetch_with(mh_client *client, const mh_fetch *fetch, mh_response *res)
{
    struct mh__pool *pool;
    int err = take_spare(client, &pool);
    if (err < 0)
        return report(fetch, res, err);
    int status = fetch_on(pool, fetch, res);
    put_spare(client, pool);
    return status;
}

int mh_client_fetch(mh_client *client, const mh_fetch *fetch, mh_response *res)
{
    mh_client *own;
    if (!fetch || !res)
        return -EINVAL;
    if (client)
        return fetch_with(client, fetch, res);
    int err = mh_client_new(&own, NULL);
    if (err < 0)
        return report(fetch, res, err);
    int status = fetch_with(own, fetch, res);
    mh_client_free(own);
    return status;
}

int mh_client_submit(mh_client *client, mh_loop *loop, const mh_fetch *fetch, mh_response *res)
{
    if (!client || !loop || !fetch || !res)
        return -EINVAL;
    if (loop->ending)
        return report(fetch, res, -ECANCELED);
    struct mh__pool *pool = mh__pool_of(client, loop);
    return pool ? mh__transfer_submit(pool, fetch, res, NULL) : report(fetch, res, -ENOMEM);
}
