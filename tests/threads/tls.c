/* Threads that share a context of lib/tls/openssl.c, and so its sessions. Built with
 * ThreadSanitizer; plain threads, because Criterion's processes are beside the point here. */
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

int main(void)
{
    return run_all(TLS1_2_VERSION) + run_all(TLS1_3_VERSION);
}
