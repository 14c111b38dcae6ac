/* carrier.c: what a connection's bytes travel on: a socket of the loop's, and TLS on one. Knows no
 * HTTP. */
#include "server/worker.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"

#define PLAIN_SIZE 16384             /* the most that one record holds (RFC 8446 section 5.1) */
#define CIPHER_MAX (256u << 10)      /* of what TLS has to say to a peer that takes nothing */
#define CIPHER_KEPT_MAX (512u << 10) /* of the buffer that a worker keeps */

static struct mh__session *session_of(struct mh__socket *socket)
{
    return MH__CONTAINER(socket, struct mh__session, socket);
}

/* ---- a socket ---- */

static void socket_received(struct mh__socket *socket, const char *data, ssize_t len)
{
    mh__session_received(session_of(socket), data, len);
}

static void socket_sent(struct mh__socket *socket, int err)
{
    mh__session_sent(session_of(socket), err);
}

static void socket_released(struct mh__socket *socket)
{
    mh__session_release(session_of(socket));
}

static int socket_send(struct mh__session *c, const struct iovec *pieces, int count)
{
    return mh__socket_send(&c->socket, pieces, count);
}

static int socket_send_file(struct mh__session *c, const struct iovec *pieces, int count, int file,
                            uint64_t offset, uint64_t len)
{
    return mh__socket_send_file(&c->socket, pieces, count, file, offset, len);
}

static int socket_receive(struct mh__session *c, bool on)
{
    return mh__socket_receive(&c->socket, on);
}

static void socket_finish(struct mh__session *c)
{
    mh__socket_finish(&c->socket);
}

static void socket_close(struct mh__session *c)
{
    mh__socket_close(&c->socket);
}

static size_t socket_left(const struct mh__session *c)
{
    size_t sum = (size_t)c->socket.file_left;
    for (int i = 0; i < c->socket.unsent_count; i++)
        sum += c->socket.unsent[i].iov_len;
    return sum;
}

static uint64_t socket_untaken(const struct mh__session *c)
{
    return mh__socket_untaken(&c->socket);
}

const struct mh__carrier mh__carrier_socket = {
    true,          socket_send,  socket_send_file, socket_receive,
    socket_finish, socket_close, socket_left,      socket_untaken,
};

/* ---- TLS on a socket ---- */

struct mh__secure {
    struct mh__tls *tls;
    char *unsent;  /* on its way; NULL: nothing is */
    mh_buf behind; /* what comes after it */
    bool ready;    /* the handshake is done */
    bool ending;   /* a handshake that failed: closed once its alert has gone */
    bool tell;     /* mh__session_sent() is owed */
    bool finished; /* no more from us, once all is sent */
};

/* What the worker's buffer holds goes out, or waits behind what is on its way. As
 * mh__socket_send().
 */
static int send_cipher(struct mh__session *c)
{
    struct mh__secure *secure = c->secure;
    mh_buf *cipher = &c->worker->cipher;
    int result = 1;
    if (secure->unsent) {
        int err = mh_buf_append(&secure->behind, cipher->data, cipher->len);
        mh_buf_clear(cipher);
        return err < 0 ? err : 0;
    }
    if (cipher->len > 0) {
        struct iovec piece = {cipher->data, cipher->len};
        result = mh__socket_send(&c->socket, &piece, 1);
    }
    if (result == 0)
        secure->unsent = mh_buf_take(cipher, NULL);
    else if (cipher->cap > CIPHER_KEPT_MAX)
        mh_buf_free(cipher);
    else
        mh_buf_clear(cipher);
    return result;
}

static int tls_send(struct mh__session *c, const struct iovec *pieces, int count)
{
    struct mh__secure *secure = c->secure;
    mh_buf *cipher = &c->worker->cipher;
    for (int i = 0; i < count; i++) {
        int err =
            mh__tls_write(secure->tls, (mh_str){pieces[i].iov_base, pieces[i].iov_len}, cipher);
        if (err < 0) {
            mh_buf_clear(cipher);
            secure->finished =
                true; /* a record is missing, and what came behind it could not be read */
            return err;
        }
    }
    int result = send_cipher(c);
    secure->tell = result == 0;
    return result;
}

static int tls_send_file(struct mh__session *c, const struct iovec *pieces, int count, int file,
                         uint64_t offset, uint64_t len)
{
    (void)c, (void)pieces, (void)count, (void)file, (void)offset, (void)len;
    return -EINVAL;
}

static void tls_finish(struct mh__session *c)
{
    struct mh__secure *secure = c->secure;
    mh__tls_close(secure->tls, &c->worker->cipher);
    secure->finished = true;
    if (send_cipher(c) == 1)
        mh__socket_finish(&c->socket);
}

/* close_notify goes out where the kernel takes it at once. */
static void tls_close(struct mh__session *c)
{
    struct mh__secure *secure = c->secure;
    if (secure->ready && !secure->finished && !secure->unsent) {
        mh__tls_close(secure->tls, &c->worker->cipher);
        (void)!send_cipher(c);
    }
    mh_buf_clear(&c->worker->cipher);
    mh__socket_close(&c->socket);
}

static size_t tls_left(const struct mh__session *c)
{
    return socket_left(c) + c->secure->behind.len;
}

static uint64_t tls_untaken(const struct mh__session *c)
{
    return socket_untaken(c) + c->secure->behind.len;
}

const struct mh__carrier mh__carrier_tls = {
    false, tls_send, tls_send_file, socket_receive, tls_finish, tls_close, tls_left, tls_untaken,
};

/* The bytes came in order, and so do the words about them; the alert that OpenSSL has written is
 * sent if it can be. */
static void tls_failed(struct mh__session *c, int err)
{
    char words[MH__TLS_WHY_MAX + 20];
    mh_buf text = mh__buf_over(words, sizeof(words));
    const char *why = err == MH_ERR_TLS ? mh__tls_why(c->secure->tls) : mh_strerror(err);
    (void)!mh_buf_printf(&text, "TLS: %s", why);
    (void)!send_cipher(c);
    c->secure->finished = true; /* no close_notify behind an alert */
    mh__session_close(c, err, words);
}

static bool shake_hands(struct mh__session *c, mh_str *in)
{
    int result = mh__tls_handshake(c->secure->tls, in, &c->worker->cipher);
    if (result < 0) {
        tls_failed(c, result);
        return false;
    }
    if (send_cipher(c) < 0) {
        mh__session_close(c, MH_ERR_CLOSED, "TLS handshake: the peer has gone");
        return false;
    }
    if (result == 0)
        return false;
    c->secure->ready = true;
    mh__session_line(c, MH__LINE_IDLE, c->worker->loop->now);
    return true;
}

/* What TLS itself has to say: to a key update, for one. */
static void answer(struct mh__session *c)
{
    if (c->closed || c->worker->cipher.len == 0)
        return;
    if (send_cipher(c) < 0 || c->secure->behind.len > CIPHER_MAX)
        mh__session_close(c, MH_ERR_CLOSED, "TLS: the peer takes nothing");
}

static void decrypt(struct mh__session *c, mh_str *in)
{
    mh_buf *plain = &c->worker->plain;
    if (mh_buf_reserve(plain, PLAIN_SIZE) < 0) {
        mh__session_close(c, -ENOMEM, "no memory for a record of TLS");
        return;
    }
    while (!c->closed) {
        ssize_t len = mh__tls_read(c->secure->tls, in, plain->data, PLAIN_SIZE, &c->worker->cipher);
        answer(c);
        if (c->closed || len == 0)
            return;
        if (len == MH__TLS_END) {
            mh__session_received(c, NULL, 0);
            return;
        }
        if (len < 0)
            tls_failed(c, (int)len);
        else
            mh__session_received(c, plain->data, len);
    }
}

static void tls_received(struct mh__socket *socket, const char *data, ssize_t len)
{
    struct mh__session *c = session_of(socket);
    if (c->closed)
        return;
    if (len <= 0 && !c->secure->ready) {
        mh__session_close(c, len < 0 ? (int)len : MH_ERR_CLOSED,
                          "TLS handshake: the peer has gone");
        return;
    }
    if (len <= 0) {
        mh__session_received(c, NULL, len);
        return;
    }
    mh_str in = {data, (size_t)len};
    if (!c->secure->ready && !shake_hands(c, &in))
        return;
    decrypt(c, &in);
}

static void send_behind(struct mh__session *c)
{
    struct mh__secure *secure = c->secure;
    mh_buf next = secure->behind;
    secure->behind = (mh_buf){0};
    if (next.len == 0) {
        mh_buf_free(&next);
        return;
    }
    struct iovec piece = {next.data, next.len};
    int result = mh__socket_send(&c->socket, &piece, 1);
    if (result == 0)
        secure->unsent = next.data;
    else
        mh_buf_free(&next);
    if (result < 0)
        mh__session_close(c, result, "send: the peer has gone");
}

static void tls_sent(struct mh__socket *socket, int err)
{
    struct mh__session *c = session_of(socket);
    struct mh__secure *secure = c->secure;
    if (c->closed)
        return;
    mh__free(secure->unsent);
    secure->unsent = NULL;
    if (err == 0)
        send_behind(c);
    if (c->closed || secure->unsent)
        return;
    if (secure->finished && err == 0)
        mh__socket_finish(socket);
    if (secure->tell || err < 0) {
        secure->tell = false;
        mh__session_sent(c, err);
    }
}

static void tls_released(struct mh__socket *socket)
{
    struct mh__session *c = session_of(socket);
    mh__tls_free(c->secure->tls);
    mh__free(c->secure->unsent);
    mh_buf_free(&c->secure->behind);
    mh__free(c->secure);
    mh__session_release(c);
}

static int begin_tls(struct mh__session *c)
{
    struct mh__secure *secure = mh__calloc(1, sizeof(*secure));
    if (!secure)
        return -ENOMEM;
    int err = mh__tls_server(&secure->tls, c->worker->settings->tls);
    if (err < 0)
        mh__free(secure);
    else
        c->secure = secure;
    return err;
}

int mh__carrier_adopt(struct mh__session *c, int fd)
{
    static const struct mh__socket_events plain = {NULL, socket_received, socket_sent,
                                                   socket_released};
    static const struct mh__socket_events tls = {NULL, tls_received, tls_sent, tls_released};
    bool secure = c->carrier == &mh__carrier_tls;
    int err = secure ? begin_tls(c) : 0;
    if (err < 0) {
        mh__session_drop(c);
        return err;
    }
    mh__socket_adopt(&c->socket, c->worker->loop, secure ? &tls : &plain, fd);
    mh__session_start(c);
    if (secure && !c->closed)
        mh__session_line(c, MH__LINE_HANDSHAKE, c->worker->loop->now);
    return 0;
}
