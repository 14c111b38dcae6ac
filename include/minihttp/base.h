/* base.h: byte strings, error numbers, version. Everything else builds on this.
 *
 * Every function here may be called from any thread. */
#ifndef MINIHTTP_BASE_H
#define MINIHTTP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MH_VERSION_MAJOR 0
#define MH_VERSION_MINOR 1
#define MH_VERSION_PATCH 0
#define MH_VERSION_HEX ((MH_VERSION_MAJOR << 16) | (MH_VERSION_MINOR << 8) | MH_VERSION_PATCH)

#if defined(__GNUC__)
#define MH_API __attribute__((visibility("default")))
#define MH_CHECK __attribute__((warn_unused_result))
#define MH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define MH_API
#define MH_CHECK
#define MH_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A borrowed run of bytes. Not NUL-terminated. ptr is NULL when the thing is absent; a thing that
 * is there but empty has a ptr and a len of 0. */
typedef struct mh_str {
    const char *ptr;
    size_t len;
} mh_str;

/* An mh_str of a string literal. C only: C++ has mh_str_from(). */
#define MH_STR(literal) ((mh_str){"" literal "", sizeof(literal) - 1})

/* printf("path " MH_FMT "\n", MH_ARG(req->path)); */
#define MH_FMT "%.*s"
#define MH_ARG(s) (int)(s).len, (s).ptr

/* The bytes of a C string, borrowed; absent for NULL. */
MH_API mh_str mh_str_from(const char *text);

/* Are they the same bytes? An absent string equals only NULL. _nocase: A-Z as a-z in any locale. */
MH_API bool mh_str_equal(mh_str a, const char *b);
MH_API bool mh_str_equal_nocase(mh_str a, const char *b);

/* Every int or ssize_t that a function returns: >= 0 worked, < 0 is an error.
 * -1 .. -4095 is a negated errno; the numbers below are the library's own. */
#define MH_ERRORS(X)                                                                               \
    X(URL, -5001, "malformed URL")                                                                 \
    X(SCHEME, -5002, "URL scheme not supported")                                                   \
    X(RESOLVE, -5003, "host name did not resolve")                                                 \
    X(TLS, -5004, "TLS handshake or certificate check failed")                                     \
    X(CLOSED, -5005, "peer closed before the message was complete")                                \
    X(MALFORMED, -5006, "peer sent bytes that are not HTTP/1.1")                                   \
    X(FRAMING, -5007, "message length is missing or contradictory")                                \
    X(TOO_LARGE, -5008, "a limit was reached")                                                     \
    X(CODING, -5009, "transfer or content coding unknown or corrupt")                              \
    X(REDIRECT, -5010, "too many redirects, or one that cannot be followed")                       \
    X(PROXY, -5011, "the proxy refused")

#define MH_ERROR_NUMBER_(name, number, text) MH_ERR_##name = number,
typedef enum mh_error { MH_OK = 0, MH_ERRORS(MH_ERROR_NUMBER_) } mh_error;
#undef MH_ERROR_NUMBER_

/* What an error means, in English: "Connection refused". Static text, never NULL. */
MH_API const char *mh_strerror(int err);

/* Its name: "MH_ERR_CLOSED", "ECONNREFUSED". Static text, never NULL. */
MH_API const char *mh_errname(int err);

/* "0.1.0", of the library that is running (MH_VERSION_* are of the header that was compiled). */
MH_API const char *mh_version(void);

#ifdef __cplusplus
}
#endif
#endif
