/* openssl.c: TLS by OpenSSL 3, the only file that names it. Bytes in, bytes out: a BIO of our own
 * hands OpenSSL the caller's input where it lies, and lets it write into the caller's output. It
 * knows no socket, no clock, and of threads only the lock around the sessions that they share.
 *
 * OpenSSL's queue of errors belongs to the thread. It is empty before and after each call here, so
 * neither does somebody else's old error become ours, nor ours theirs. */
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

/* Of one host and port, so that one of them does not drive out all others. Servers send two with
 * each TLS 1.3 handshake; a burst of connections takes one each. */
#define SESSIONS_PER_PEER_MAX 8
_Static_assert(SESSIONS_PER_PEER_MAX < MH__TLS_SESSIONS_MAX, "a peer has a part of the cache");

/* What a record adds at most to its data, rounded up: a head of 5, and with the oldest ciphers of
 * TLS 1.2 an initial vector of 16, a MAC of 48 and padding of 16 (RFC 5246 section 6.2.3.2). */
#define RECORD_OVERHEAD_MAX 96
#define RECORD_DATA_MAX 16384 /* RFC 8446 section 5.1 */

/* That a server gives with each TLS 1.3 handshake. A client uses each once, and gets the next when
 * it has; so one is enough for it to come back. */
#define TICKETS 1

/* Of key updates (RFC 8446 section 4.6.3) one behind the other in what is given to us at once: each
 * costs its 27 bytes a thousand times what data do. Who keeps to the section needs one in years. */
#define KEY_UPDATES_MAX 32

#define NAMES_TOLD_MAX 3 /* of a certificate, in words about it */
#define FILE_TOLD_MAX 80 /* bytes of a file's name, in words about it */

/* On the wire a name begins with its length (RFC 7301 section 3.1). */
#define PROTOCOL "http/1.1"
static const unsigned char protocols[] = "\x08" PROTOCOL;
_Static_assert(sizeof(PROTOCOL) - 1 == 8, "the length on the wire");

static const char no_tls[] = "peer speaks no TLS";
static const char no_tls_but_http[] = "the peer speaks plain HTTP, not TLS";
static const char too_old[] = "protocol version too old: the peer knows neither TLS 1.2 nor 1.3";

const bool mh__tls_available = true;

/* Sessions to take up again, the newest first. They are copies, so no session is ever seen by two
 * threads: OpenSSL writes into those that are in use, and locks only a part of that. */
struct sessions {
    pthread_mutex_t lock;
    struct mh__link list;
    size_t count;
};

struct saved {
    struct mh__link link;
    SSL_SESSION *session;
    uint16_t port;
    char host[];
};

struct mh__tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *method;
    struct sessions sessions;
};

struct mh__tls {
    struct mh__tls_context *context;
    SSL *ssl;
    mh_str *in;  /* the caller's, for the time of one call */
    mh_buf *out; /* likewise */
    int out_err; /* why out took no more */
    int err;     /* that ended the connection */
    int updates; /* of the peer's key, since there was nothing more to take in */
    bool heard;  /* the peer has said something */
    bool done;   /* the handshake */
    bool offered;
    uint16_t port;
    char why[MH__TLS_WHY_MAX];
    char host[]; /* without the dot of a rooted name */
};

/* ---- words ---- */

/* Add what fits; what does not is told by "...". Certificates say what they like, so only what can
 * be printed goes in. */
static void say_bytes(mh_buf *words, const char *text, size_t len)
{
    size_t room = words->max - words->len;
    size_t count = len < room ? len : room;
    for (size_t i = 0; i < count; i++)
        words->data[words->len++] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    words->data[words->len] = '\0';
    if (count < len && words->len >= 3)
        memcpy(words->data + words->len - 3, "...", 3);
}

static void say(mh_buf *words, const char *text)
{
    say_bytes(words, text, strlen(text));
}

static mh_buf words_in(char why[MH__TLS_WHY_MAX])
{
    return mh__buf_over(why, MH__TLS_WHY_MAX);
}

static const char *reason(unsigned long code)
{
    const char *text = ERR_reason_error_string(code);
    return text ? text : "an error without words";
}

static bool is_error(unsigned long code, int lib, int why)
{
    return ERR_GET_LIB(code) == lib && ERR_GET_REASON(code) == why;
}

/* Empty the queue, and return what says most: the first error of the library `lib`, or the first.
 * 0: there was none. Memory that was refused comes before everything else. */
static unsigned long take_errors(int lib, bool *no_memory)
{
    unsigned long first = 0, code;
    *no_memory = false;
    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
            *no_memory = true;
        if (first == 0 || (ERR_GET_LIB(first) != lib && ERR_GET_LIB(code) == lib))
            first = code;
    }
    return first;
}

/* ---- sessions ---- */

static bool is_of(const struct saved *saved, const struct mh__tls *tls)
{
    return saved->port == tls->port && strcmp(saved->host, tls->host) == 0;
}

static struct saved *saved_of(struct mh__link *link)
{
    return MH__CONTAINER(link, struct saved, link);
}

/* RFC 8446 appendix C.4: who sees a ticket twice knows that it is the same client. */
static bool only_once(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

static void saved_free(struct saved *saved)
{
    SSL_SESSION_free(saved->session);
    mh__free(saved);
}

static void drop(struct sessions *sessions, struct saved *saved)
{
    mh__list_remove(&saved->link);
    sessions->count--;
    saved_free(saved);
}

/* Leave the newest `keep` of a peer. */
static void thin_out(struct sessions *sessions, const struct mh__tls *tls, size_t keep)
{
    struct mh__link *link = sessions->list.next;
    while (link != &sessions->list) {
        struct saved *saved = saved_of(link);
        link = link->next;
        if (!is_of(saved, tls))
            continue;
        if (keep == 0)
            drop(sessions, saved);
        else
            keep--;
    }
}

static struct saved *saved_new(const struct mh__tls *tls, SSL_SESSION *session)
{
    size_t size = strlen(tls->host) + 1;
    struct saved *saved = mh__calloc(1, sizeof(*saved) + size);
    if (!saved)
        return NULL;
    saved->session = SSL_SESSION_dup(session);
    saved->port = tls->port;
    memcpy(saved->host, tls->host, size);
    if (saved->session)
        return saved;
    mh__free(saved);
    return NULL;
}

/* Without memory there is nothing to take up later, which is no error. */
static void keep(struct sessions *sessions, const struct mh__tls *tls, SSL_SESSION *session)
{
    struct saved *saved = saved_new(tls, session);
    if (!saved)
        return;
    pthread_mutex_lock(&sessions->lock);
    thin_out(sessions, tls, only_once(session) ? SESSIONS_PER_PEER_MAX - 1 : 0);
    if (sessions->count == MH__TLS_SESSIONS_MAX)
        drop(sessions, saved_of(sessions->list.prev));
    mh__list_prepend(&sessions->list, &saved->link);
    sessions->count++;
    pthread_mutex_unlock(&sessions->lock);
}

static SSL_SESSION *take_saved(struct sessions *sessions, struct saved *saved)
{
    if (!only_once(saved->session)) {
        mh__list_remove(&saved->link);
        mh__list_prepend(&sessions->list, &saved->link);
        return SSL_SESSION_dup(saved->session);
    }
    SSL_SESSION *session = saved->session;
    saved->session = NULL;
    drop(sessions, saved);
    return session;
}

/* The newest of a peer; the caller owns it. NULL: there is none. */
static SSL_SESSION *take(struct sessions *sessions, const struct mh__tls *tls)
{
    SSL_SESSION *session = NULL;
    pthread_mutex_lock(&sessions->lock);
    struct mh__link *link = sessions->list.next;
    while (link != &sessions->list && !is_of(saved_of(link), tls))
        link = link->next;
    if (link != &sessions->list)
        session = take_saved(sessions, saved_of(link));
    pthread_mutex_unlock(&sessions->lock);
    return session;
}

static void forget(struct sessions *sessions, const struct mh__tls *tls)
{
    pthread_mutex_lock(&sessions->lock);
    thin_out(sessions, tls, 0);
    pthread_mutex_unlock(&sessions->lock);
}

static void sessions_init(struct sessions *sessions)
{
    pthread_mutex_init(&sessions->lock, NULL);
    mh__list_init(&sessions->list);
}

static void sessions_deinit(struct sessions *sessions)
{
    while (!mh__list_empty(&sessions->list))
        drop(sessions, saved_of(sessions->list.next));
    pthread_mutex_destroy(&sessions->lock);
}

/* Called with TLS 1.2 at the end of a handshake, and with 1.3 for each ticket that comes later.
 * What goes wrong here must not be taken for an error of the call that is under way. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct mh__tls *tls = SSL_get_app_data(ssl);
    ERR_set_mark();
    keep(&tls->context->sessions, tls, session);
    ERR_pop_to_mark();
    return 0; /* it stays theirs */
}

/* ---- the bytes: what OpenSSL takes for a socket ---- */

static bool floods(const struct mh__tls *tls)
{
    return tls->updates > KEY_UPDATES_MAX;
}

/* A TCP end is never seen here: that is for the caller to tell. */
static int nothing_now(BIO *bio)
{
    BIO_set_retry_read(bio);
    return -1;
}

static int on_want_bytes(BIO *bio, char *data, int len)
{
    struct mh__tls *tls = BIO_get_data(bio);
    size_t cap = len > 0 ? (size_t)len : 0;
    size_t count = tls->in->len < cap ? tls->in->len : cap;
    BIO_clear_retry_flags(bio);
    if (floods(tls))
        return nothing_now(bio);
    if (count == 0) {
        tls->updates = 0;
        return nothing_now(bio);
    }
    memcpy(data, tls->in->ptr, count);
    *tls->in = mh__str_from(*tls->in, count);
    return (int)count;
}

static int on_have_bytes(BIO *bio, const char *data, int len)
{
    struct mh__tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    int err = mh_buf_append(tls->out, data, len > 0 ? (size_t)len : 0);
    if (err == 0)
        return len;
    tls->out_err = err;
    return -1;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing is held back; all other questions: no */
}

/* Called for what is sent, too, and for the head of each record. */
static void on_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl,
                       void *user)
{
    struct mh__tls *tls = SSL_get_app_data(ssl);
    const unsigned char *message = data;
    (void)version;
    (void)user;
    if (!sent && type == SSL3_RT_HANDSHAKE && len > 0 && message[0] == SSL3_MT_KEY_UPDATE)
        tls->updates++;
}

/* Around each call of OpenSSL that may move bytes. To empty a queue that is empty costs OpenSSL a
 * fifth of what a small record does. */
static void begin(struct mh__tls *tls, mh_str *in, mh_buf *out)
{
    tls->in = in;
    tls->out = out;
    tls->out_err = 0;
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static void end(struct mh__tls *tls)
{
    tls->in = NULL;
    tls->out = NULL;
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

/* ---- words about certificates ---- */

static void say_address(mh_buf *words, const unsigned char *bytes, int len)
{
    char text[48];
    mh_buf buf = mh__buf_over(text, sizeof(text));
    int err = 0;
    for (int i = 0; len == 4 && i < 4 && err == 0; i++)
        err = mh_buf_printf(&buf, "%s%u", i ? "." : "", bytes[i]);
    for (int i = 0; len == 16 && i < 16 && err == 0; i += 2)
        err = mh_buf_printf(&buf, "%s%x", i ? ":" : "", bytes[i] << 8 | bytes[i + 1]);
    say(words, text);
}

/* Is it a name that a host may have? */
static bool say_name(mh_buf *words, const GENERAL_NAME *name, bool first)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD)
        return false;
    const unsigned char *bytes = ASN1_STRING_get0_data(value);
    int len = ASN1_STRING_length(value);
    say(words, first ? "" : ", ");
    if (type == GEN_IPADD)
        say_address(words, bytes, len);
    else
        say_bytes(words, (const char *)bytes, (size_t)len);
    return true;
}

/* RFC 9110 section 4.3.4: only these names count, and not the subject's. */
static void say_names(mh_buf *words, const X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int told = 0, i = 0;
    for (; i < sk_GENERAL_NAME_num(names) && told < NAMES_TOLD_MAX; i++)
        told += say_name(words, sk_GENERAL_NAME_value(names, i), told == 0);
    if (told == 0)
        say(words, "no host");
    else if (i < sk_GENERAL_NAME_num(names))
        say(words, ", ...");
    GENERAL_NAMES_free(names);
}

/* The host stands last and is what the reader knows; so the names are cut first. */
static void say_mismatch(struct mh__tls *tls, const X509 *cert)
{
    char names[80];
    mh_buf listed = mh__buf_over(names, sizeof(names));
    say_names(&listed, cert);
    mh_buf words = words_in(tls->why);
    say(&words, "host name mismatch: the certificate is for ");
    say(&words, names);
    say(&words, ", not ");
    say(&words, tls->host);
}

/* The words are made here, where the certificate can be seen. */
static int on_verified(int fine, X509_STORE_CTX *store)
{
    struct mh__tls *tls = SSL_get_app_data(
        (SSL *)X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    if (fine)
        return 1;
    int err = X509_STORE_CTX_get_error(store);
    if (err == X509_V_ERR_HOSTNAME_MISMATCH || err == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        say_mismatch(tls, X509_STORE_CTX_get_current_cert(store));
    } else {
        mh_buf words = words_in(tls->why);
        say(&words, X509_verify_cert_error_string(err));
    }
    return 0;
}

/* ---- errors of a connection ---- */

static int give_up(struct mh__tls *tls, int err, const char *text)
{
    mh_buf words = words_in(tls->why);
    say(&words, text);
    return tls->err = err;
}

static void say_alert(struct mh__tls *tls, int alert)
{
    mh_buf words = words_in(tls->why);
    say(&words, "alert from the peer: ");
    /* RFC 8446 section 6.2; OpenSSL has no words for it. */
    say(&words, alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required"
                                                     : SSL_alert_desc_string_long(alert));
}

static int say_ssl_error(struct mh__tls *tls, unsigned long code)
{
    int why = ERR_GET_REASON(code);
    if (why == SSL_R_CERTIFICATE_VERIFY_FAILED && tls->why[0] != '\0')
        return tls->err = MH_ERR_TLS;
    if (why == SSL_R_WRONG_VERSION_NUMBER && !tls->done)
        return give_up(tls, MH_ERR_TLS, no_tls);
    if (why == SSL_R_NO_APPLICATION_PROTOCOL)
        return give_up(tls, MH_ERR_TLS, "the peer offers other protocols than http/1.1 (ALPN)");
    if (why == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || why == SSL_R_UNSUPPORTED_PROTOCOL)
        return give_up(tls, MH_ERR_TLS, too_old);
    if (why < SSL_AD_REASON_OFFSET)
        return give_up(tls, MH_ERR_TLS, reason(code));
    say_alert(tls, why - SSL_AD_REASON_OFFSET);
    return tls->err = MH_ERR_TLS;
}

static int broken(struct mh__tls *tls)
{
    bool no_memory;
    unsigned long code = take_errors(ERR_LIB_SSL, &no_memory);
    if (tls->offered && !tls->done)
        forget(&tls->context->sessions, tls); /* in case that it is to blame */
    if (no_memory || SSL_get_verify_result(tls->ssl) == X509_V_ERR_OUT_OF_MEM)
        return give_up(tls, -ENOMEM, mh_strerror(-ENOMEM));
    if (tls->out_err < 0)
        return give_up(tls, tls->out_err, mh_strerror(tls->out_err));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL)
        return say_ssl_error(tls, code);
    return give_up(tls, MH_ERR_TLS, reason(code));
}

/* Of a call that did not do what it was to do. */
static int outcome(struct mh__tls *tls, int ret)
{
    switch (SSL_get_error(tls->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return MH__TLS_END;
    default:
        return broken(tls);
    }
}

/* ---- errors of a context ---- */

/* In place of memory, it may be the machine's configuration of OpenSSL that is no good. */
static int setup_error(char why[MH__TLS_WHY_MAX])
{
    bool no_memory;
    unsigned long code = take_errors(ERR_LIB_SSL, &no_memory);
    if (no_memory || code == 0)
        return -ENOMEM;
    mh_buf words = words_in(why);
    say(&words, reason(code));
    return MH_ERR_TLS;
}

/* What a person with a text editor would call it. */
static const char *file_reason(unsigned long code)
{
    if (is_error(code, ERR_LIB_PEM, PEM_R_NO_START_LINE) ||
        is_error(code, ERR_LIB_X509, X509_R_NO_CERTIFICATE_OR_CRL_FOUND) ||
        is_error(code, ERR_LIB_OSSL_DECODER, ERR_R_UNSUPPORTED))
        return "there is none in it";
    if (is_error(code, ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH) ||
        is_error(code, ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH) ||
        is_error(code, ERR_LIB_SSL, SSL_R_NO_CERTIFICATE_ASSIGNED)) /* for a key of this kind */
        return "it is not that of the certificate";
    if (ERR_GET_REASON(code) == ERR_R_INTERRUPTED_OR_CANCELLED)
        return "it is locked by a password";
    return reason(code);
}

/* `file` was to hold `what`. The end of its name says most. */
static int file_error(const char *what, const char *file, char why[MH__TLS_WHY_MAX])
{
    bool no_memory;
    unsigned long code = take_errors(ERR_LIB_SYS, &no_memory);
    if (no_memory || code == 0)
        return -ENOMEM;
    bool of_system = ERR_SYSTEM_ERROR(code);
    int err = of_system ? -ERR_GET_REASON(code) : MH_ERR_TLS;
    size_t len = strlen(file);
    mh_buf words = words_in(why);
    say(&words, what);
    say(&words, len > FILE_TOLD_MAX ? " in ..." : " in ");
    say(&words, len > FILE_TOLD_MAX ? file + len - FILE_TOLD_MAX : file);
    say(&words, ": ");
    say(&words, of_system ? mh_strerror(err) : file_reason(code));
    return err;
}

/* Never ask at the terminal. */
static int on_want_password(char *buf, int size, int writing, void *user)
{
    (void)writing;
    (void)user;
    if (size > 0)
        buf[0] = '\0';
    return -1;
}

static int use_certificate(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                           char why[MH__TLS_WHY_MAX])
{
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        return file_error("the certificate", cert_file, why);
    if (!key_file)
        key_file = cert_file;
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return file_error("the key", key_file, why);
    return 0;
}

static int use_roots(SSL_CTX *ctx, const char *ca_file, char why[MH__TLS_WHY_MAX])
{
    if (!ca_file)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : setup_error(why);
    if (SSL_CTX_load_verify_file(ctx, ca_file) != 1)
        return file_error("the roots", ca_file, why);
    return 0;
}

/* ---- contexts ---- */

static bool set_up_method(struct mh__tls_context *context)
{
    context->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "mh_str and mh_buf");
    return context->method && BIO_meth_set_read(context->method, on_want_bytes) &&
           BIO_meth_set_write(context->method, on_have_bytes) &&
           BIO_meth_set_ctrl(context->method, on_control);
}

/* A policy of the system that asks for more than TLS 1.2 is respected. */
static bool set_up_protocol(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* an idle connection holds none */
    SSL_CTX_set_default_passwd_cb(ctx, on_want_password);
    SSL_CTX_set_msg_callback(ctx, on_message);
    return SSL_CTX_get_min_proto_version(ctx) >= TLS1_2_VERSION ||
           SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1;
}

/* OpenSSL would tear itself down at exit(), below the feet of threads that are still in it, and we
 * promise to leave no handler behind. Nothing but memory is lost with that. Where the program has
 * used OpenSSL before, its own choice stands. */
static bool start_openssl(void)
{
    return OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
}

static bool set_up(struct mh__tls_context *context, const SSL_METHOD *side)
{
    context->ctx = SSL_CTX_new(side);
    return context->ctx && set_up_method(context) && set_up_protocol(context->ctx);
}

static int context_new(struct mh__tls_context **out, const SSL_METHOD *(*side)(void),
                       char why[MH__TLS_WHY_MAX])
{
    why[0] = '\0';
    ERR_clear_error();
    if (!start_openssl())
        return setup_error(why);
    struct mh__tls_context *context = mh__calloc(1, sizeof(*context));
    if (!context)
        return -ENOMEM;
    sessions_init(&context->sessions);
    if (!set_up(context, side())) {
        mh__tls_context_free(context);
        return setup_error(why);
    }
    *out = context;
    return 0;
}

/* All of it, or nothing. */
static int hand_over(struct mh__tls_context **out, struct mh__tls_context *context, int err)
{
    if (err == 0)
        *out = context;
    else
        mh__tls_context_free(context);
    ERR_clear_error();
    return err;
}

static int set_up_client(SSL_CTX *ctx, const struct mh__tls_client_options *options,
                         char why[MH__TLS_WHY_MAX])
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    /* 0 is success, of this one function. */
    if (SSL_CTX_set_alpn_protos(ctx, protocols, sizeof(protocols) - 1) != 0)
        return -ENOMEM;
    int err = 0;
    if (!options->insecure) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verified);
        err = use_roots(ctx, options->ca_file, why);
    }
    if (err == 0 && options->cert_file)
        err = use_certificate(ctx, options->cert_file, options->key_file, why);
    return err;
}

/* RFC 7301 section 3.2: whoever offers protocols, and not ours, is told that there is none. */
static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *user)
{
    (void)ssl;
    (void)user;
    unsigned char *chosen;
    int found =
        SSL_select_next_proto(&chosen, out_len, protocols, sizeof(protocols) - 1, in, in_len);
    if (found != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Sessions are in the tickets that clients keep; here nothing grows with their number. */
static int set_up_server(SSL_CTX *ctx, const char *cert_file, const char *key_file,
                         char why[MH__TLS_WHY_MAX])
{
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    /* Early data can be replayed (RFC 8470 section 3): none. */
    if (SSL_CTX_set_max_early_data(ctx, 0) != 1 || SSL_CTX_set_num_tickets(ctx, TICKETS) != 1 ||
        SSL_CTX_set_session_id_context(ctx, protocols, sizeof(protocols) - 1) != 1)
        return setup_error(why);
    return use_certificate(ctx, cert_file, key_file, why);
}

/* ---- connections ---- */

static struct mh__tls *tls_new(struct mh__tls_context *context, mh_str host, uint16_t port)
{
    struct mh__tls *tls = mh__calloc(1, sizeof(*tls) + host.len + 1);
    if (!tls)
        return NULL;
    tls->context = context;
    tls->port = port;
    memcpy(tls->host, host.ptr, host.len);
    tls->ssl = SSL_new(context->ctx);
    BIO *bio = tls->ssl ? BIO_new(context->method) : NULL;
    if (!bio || SSL_set_app_data(tls->ssl, tls) != 1) {
        BIO_free(bio);
        mh__tls_free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

/* RFC 9110 section 4.3.4: an address has to stand in the certificate as one. OpenSSL says what is
 * one; where it could not because there is no memory, the name cannot be set either. */
static bool set_host(struct mh__tls *tls)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1)
        return true;
    return X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
}

static void offer_session(struct mh__tls *tls)
{
    SSL_SESSION *session = take(&tls->context->sessions, tls);
    if (!session)
        return;
    tls->offered = SSL_set_session(tls->ssl, session) == 1;
    SSL_SESSION_free(session);
}

/* A method and a space (RFC 9112 section 3). */
static bool is_request(mh_str in)
{
    size_t len = 0;
    while (len < in.len && in.ptr[len] >= 'A' && in.ptr[len] <= 'Z')
        len++;
    return len > 0 && len < in.len && in.ptr[len] == ' ';
}

/* RFC 8446 section 5.1: what a peer says first is a handshake record, or an alert. */
static int check_first(struct mh__tls *tls, mh_str in)
{
    if (tls->heard || in.len == 0)
        return 0;
    tls->heard = true;
    if (in.ptr[0] == SSL3_RT_HANDSHAKE || in.ptr[0] == SSL3_RT_ALERT)
        return 0;
    return give_up(tls, MH_ERR_TLS, is_request(in) ? no_tls_but_http : no_tls);
}

/* OpenSSL of late looks at this itself, and calls it a "bad extension". */
static int check_protocol(struct mh__tls *tls)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    if (len == 0 || mh__str_same((mh_str){(const char *)name, len}, MH_STR(PROTOCOL)))
        return 1;
    return give_up(tls, MH_ERR_TLS, "the peer chose another protocol than http/1.1 (ALPN)");
}

static int handshaken(struct mh__tls *tls)
{
    tls->done = true;
    return check_protocol(tls);
}

/* Nothing more to say without input. OpenSSL would find out by means of a buffer for a record,
 * which it gives back again. */
static bool holds_nothing(const struct mh__tls *tls)
{
    return !SSL_has_pending(tls->ssl) && SSL_get_shutdown(tls->ssl) == 0;
}

/* All that `data` becomes, reserved at once. */
static int reserve_records(mh_buf *out, size_t len)
{
    size_t more = (len / RECORD_DATA_MAX + 1) * RECORD_OVERHEAD_MAX;
    return len <= SIZE_MAX - more ? mh_buf_reserve(out, len + more) : MH_ERR_TOO_LARGE;
}

/* ---- */

int mh__tls_client_context(struct mh__tls_context **out,
                           const struct mh__tls_client_options *options, char why[MH__TLS_WHY_MAX])
{
    struct mh__tls_context *context = NULL;
    int err = context_new(&context, TLS_client_method, why);
    if (err == 0)
        err = set_up_client(context->ctx, options, why);
    return hand_over(out, context, err);
}

int mh__tls_server_context(struct mh__tls_context **out, const char *cert_file,
                           const char *key_file, char why[MH__TLS_WHY_MAX])
{
    struct mh__tls_context *context = NULL;
    int err = context_new(&context, TLS_server_method, why);
    if (err == 0)
        err = set_up_server(context->ctx, cert_file, key_file, why);
    return hand_over(out, context, err);
}

void mh__tls_context_free(struct mh__tls_context *context)
{
    if (!context)
        return;
    sessions_deinit(&context->sessions);
    SSL_CTX_free(context->ctx);
    BIO_meth_free(context->method);
    mh__free(context);
}

int mh__tls_client(struct mh__tls **out, struct mh__tls_context *context, mh_str host,
                   uint16_t port)
{
    /* RFC 6066 section 3: SNI is "without a trailing dot", and so are certificates. */
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > TLSEXT_MAXLEN_host_name || memchr(host.ptr, '\0', host.len))
        return -EINVAL;
    if (host.ptr[0] == '.') /* which OpenSSL takes for every name below it */
        return -EINVAL;
    ERR_clear_error();
    struct mh__tls *tls = tls_new(context, host, port);
    if (tls && !set_host(tls)) {
        mh__tls_free(tls);
        tls = NULL;
    }
    if (tls) {
        SSL_set_connect_state(tls->ssl);
        offer_session(tls);
        *out = tls;
    }
    ERR_clear_error();
    return tls ? 0 : -ENOMEM;
}

int mh__tls_server(struct mh__tls **out, struct mh__tls_context *context)
{
    ERR_clear_error();
    struct mh__tls *tls = tls_new(context, MH_STR(""), 0);
    if (tls) {
        SSL_set_accept_state(tls->ssl);
        *out = tls;
    }
    ERR_clear_error();
    return tls ? 0 : -ENOMEM;
}

void mh__tls_free(struct mh__tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    mh__free(tls);
}

int mh__tls_handshake(struct mh__tls *tls, mh_str *in, mh_buf *out)
{
    if (tls->err < 0 || check_first(tls, *in) < 0)
        return tls->err;
    begin(tls, in, out);
    int ret = SSL_do_handshake(tls->ssl);
    int result = ret == 1 ? handshaken(tls) : outcome(tls, ret);
    if (result == MH__TLS_END)
        result = give_up(tls, MH_ERR_TLS, "the peer ended the connection during the handshake");
    end(tls);
    return result;
}

ssize_t mh__tls_read(struct mh__tls *tls, mh_str *in, void *data, size_t cap, mh_buf *out)
{
    assert(cap > 0);
    size_t count = 0;
    if (tls->err < 0)
        return tls->err;
    assert(tls->done);
    if (in->len == 0 && holds_nothing(tls)) {
        tls->updates = 0;
        return 0;
    }
    begin(tls, in, out);
    int ret = SSL_read_ex(tls->ssl, data, cap, &count);
    ssize_t result = ret == 1 ? (ssize_t)count : outcome(tls, ret);
    if (result == 0 && floods(tls))
        result = give_up(tls, MH_ERR_TLS, "too many key updates");
    end(tls);
    return result;
}

int mh__tls_write(struct mh__tls *tls, mh_str data, mh_buf *out)
{
    if (tls->err < 0 || data.len == 0)
        return tls->err;
    assert(tls->done);
    int err = reserve_records(out, data.len);
    if (err < 0)
        return err;
    size_t count = 0;
    mh_str nothing = {0};
    begin(tls, &nothing, out);
    int ret = SSL_write_ex(tls->ssl, data.ptr, data.len, &count);
    int result = ret == 1 ? 0 : broken(tls);
    end(tls);
    return result;
}

void mh__tls_close(struct mh__tls *tls, mh_buf *out)
{
    mh_str nothing = {0};
    if (tls->err < 0 || !tls->done)
        return;
    begin(tls, &nothing, out);
    (void)SSL_shutdown(tls->ssl);
    end(tls);
}

const char *mh__tls_why(const struct mh__tls *tls)
{
    return tls->why;
}

bool mh__tls_resumed(const struct mh__tls *tls)
{
    return SSL_session_reused(tls->ssl) == 1;
}
