/* Threads that share a context of lib/tls/openssl.c, of a client and so its sessions, or of a
 * server. Built with ThreadSanitizer; plain threads, because Criterion's processes are beside the
 * point here. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "../unit/tls/peer.h"

/* OpenSSL is not built with ThreadSanitizer, which so does not see how it keeps its own threads
 * apart, but does see what it asks of malloc() and memcmp(). What we do is still watched, also
 * where it is OpenSSL that calls us. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:libcrypto.so\nrace:libssl.so\n";
}

enum { THREADS = 4, VISITS = 40 };

struct shared {
    struct host host;
    struct mh__tls_context *context;
    atomic_int failures, resumed;
};

static bool talk_some(struct talk *talk)
{
    char data[16];
    return talk_handshake(talk) == 1 &&
           mh__tls_write(talk->tls, MH_STR("ping"), &talk->to_peer) == 0 && carry(talk) &&
           SSL_read(talk->peer, data, sizeof(data)) == 4 && peer_write(talk, "pong", 4) &&
           talk_read(talk, data, sizeof(data)) == 4;
}

/* Few ports, so that they want the same sessions. */
static bool visit(struct shared *shared, uint16_t port)
{
    struct mh__tls *tls;
    struct talk talk;
    if (mh__tls_client(&tls, shared->context, MH_STR("localhost"), port) < 0)
        return false;
    if (!talk_open(&talk, &shared->host, tls))
        return false;
    bool fine = talk_some(&talk);
    atomic_fetch_add(&shared->resumed, mh__tls_resumed(tls));
    if (!fine)
        fprintf(stderr, "port %u: %s\n", port, mh__tls_why(tls));
    talk_close(&talk);
    return fine;
}

static void *run(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < VISITS; i++)
        atomic_fetch_add(&shared->failures, !visit(shared, (uint16_t)(1 + i % 3)));
    return NULL;
}

static bool set_up(struct shared *shared, int version)
{
    char why[MH__TLS_WHY_MAX];
    struct mh__tls_client_options options = {.ca_file = cert_path("root", ".pem")};
    if (!host_open(&shared->host, "good", version) ||
        mh__tls_client_context(&shared->context, &options, why) < 0)
        return false;
    /* What these note is for one thread. */
    SSL_CTX_set_alpn_select_cb(shared->host.ctx, NULL, NULL);
    SSL_CTX_set_tlsext_servername_callback(shared->host.ctx, NULL);
    return true;
}

static int run_all(int version)
{
    struct shared shared = {.failures = 0};
    pthread_t threads[THREADS];
    if (!set_up(&shared, version))
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, &shared) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%d of %d failed, %d resumed\n", shared.failures, THREADS * VISITS, shared.resumed);
    mh__tls_context_free(shared.context);
    host_close(&shared.host);
    return shared.failures > 0 || shared.resumed < THREADS * VISITS / 2;
}

/* ---- both ends ours ---- */

struct both {
    struct mh__tls_context *clients, *servers;
    atomic_int failures, resumed;
};

struct ends {
    struct mh__tls *client, *server;
    mh_buf there, back;
};

static int shake_hands(struct ends *ends)
{
    int ours = 0, theirs = 0;
    for (int turn = 0; turn < 5 && ours >= 0 && theirs >= 0 && ours + theirs < 2; turn++) {
        mh_str in = mh_buf_str(&ends->back);
        if (ours == 0)
            ours = mh__tls_handshake(ends->client, &in, &ends->there);
        mh_buf_clear(&ends->back);
        in = mh_buf_str(&ends->there);
        if (theirs == 0)
            theirs = mh__tls_handshake(ends->server, &in, &ends->back);
        mh_buf_clear(&ends->there);
    }
    return ours + theirs;
}

static bool answer(struct ends *ends)
{
    char data[16];
    if (mh__tls_write(ends->server, MH_STR("pong"), &ends->back) < 0)
        return false;
    mh_str in = mh_buf_str(&ends->back);
    return mh__tls_read(ends->client, &in, data, sizeof(data), &ends->there) == 4;
}

static bool meet(struct both *both, uint16_t port)
{
    struct ends ends = {0};
    bool fine = mh__tls_client(&ends.client, both->clients, MH_STR("localhost"), port) == 0 &&
                mh__tls_server(&ends.server, both->servers) == 0 && shake_hands(&ends) == 2 &&
                answer(&ends);
    atomic_fetch_add(&both->resumed, fine && mh__tls_resumed(ends.server));
    mh__tls_free(ends.client);
    mh__tls_free(ends.server);
    mh_buf_free(&ends.there);
    mh_buf_free(&ends.back);
    return fine;
}

static void *run_both(void *arg)
{
    struct both *both = arg;
    for (int i = 0; i < VISITS; i++)
        atomic_fetch_add(&both->failures, !meet(both, (uint16_t)(1 + i % 3)));
    return NULL;
}

static int run_ours(void)
{
    char why[MH__TLS_WHY_MAX];
    struct both both = {.failures = 0};
    struct mh__tls_client_options options = {.ca_file = cert_path("root", ".pem")};
    pthread_t threads[THREADS];
    if (mh__tls_client_context(&both.clients, &options, why) < 0 ||
        mh__tls_server_context(&both.servers, cert_path("good", ".pem"), cert_path("good", ".key"),
                               why) < 0)
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_both, &both) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%d of %d failed, %d resumed\n", both.failures, THREADS * VISITS, both.resumed);
    mh__tls_context_free(both.clients);
    mh__tls_context_free(both.servers);
    return both.failures > 0 || both.resumed < THREADS * VISITS / 2;
}

int main(void)
{
    return run_all(TLS1_2_VERSION) + run_all(TLS1_3_VERSION) + run_ours();
}
