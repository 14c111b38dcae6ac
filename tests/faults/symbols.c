/* symbols.c: every function that the library calls is either wrapped, or cannot fail, or fails in
 * no way that is news. The list of what it calls is checked elsewhere (checks/symbols.py). */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

/* WRAPPED is the list that the linker was given. */
static const char wrapped[] = " " WRAPPED " ";

static const char harmless[] =
    /* computes */
    " memchr memcmp memcpy memmove memrchr memset strchr strcmp strcspn strlen"
    " strncmp strnlen strstr __sched_cpucount"
    " vsnprintf inet_ntop inet_pton getenv"
    " strerrordesc_np strerrorname_np gai_strerror"
    /* cannot fail with what it is given, on Linux with glibc */
    " pthread_attr_init pthread_attr_destroy pthread_attr_setdetachstate"
    " pthread_attr_setstacksize pthread_cond_init"
    " pthread_cond_destroy pthread_cond_signal pthread_condattr_init pthread_condattr_destroy"
    " pthread_condattr_setclock pthread_mutex_init pthread_mutex_destroy pthread_mutex_lock"
    " pthread_mutex_unlock pthread_join pthread_sigmask sigaddset sigemptyset sigfillset"
    " sigismember sigpending sigtimedwait"
    /* computes, and allocates through base/mem.c */
    " inflate inflateEnd inflateInit2_ inflateReset inflateReset2"
    " BrotliDecoderCreateInstance BrotliDecoderDecompressStream BrotliDecoderDestroyInstance"
    " BrotliDecoderGetErrorCode BrotliDecoderIsFinished"
    /* allocates for itself; unit/http/coding.c makes it fail */
    " ZSTD_DCtx_setParameter ZSTD_createDStream ZSTD_decompressStream ZSTD_freeDStream"
    " ZSTD_getErrorCode ZSTD_isError"
    /* our own mistakes */
    " __assert_fail __errno_location ";

/* OpenSSL allocates for itself; unit/tls/openssl.c makes it fail. */
static const char *const foreign[] = {"ASN1_",    "BIO_", "ERR_", "GENERAL_NAME",
                                      "OPENSSL_", "SSL_", "TLS_", "X509_"};

static bool is_foreign(const char *name)
{
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (strncmp(name, foreign[i], strlen(foreign[i])) == 0)
            return true;
    }
    return false;
}

static bool has(const char *list, const char *name)
{
    char word[80];
    snprintf(word, sizeof(word), " %s ", name);
    return strstr(list, word) != NULL;
}

static int check_line(char *line)
{
    char *name = line + strspn(line, " \t");
    name[strcspn(name, " \t\n#")] = '\0';
    if (!*name || has(wrapped, name) || has(harmless, name) || is_foreign(name))
        return 0;
    printf("%s: not wrapped, and not known to be harmless\n", name);
    return 1;
}

int symbols(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int unknown = 0, lines = 0;
    if (!file) {
        perror(path);
        return 1;
    }
    for (; fgets(line, sizeof(line), file); lines++)
        unknown += check_line(line);
    fclose(file);
    return lines > 0 ? unknown : 1;
}
