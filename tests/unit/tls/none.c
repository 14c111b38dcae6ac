/* A build without TLS: lib/tls/none.c. */
#include <criterion/criterion.h>

#include <string.h>

#include "tls/tls.h"

Test(none, there_is_none_and_it_says_so)
{
    struct mh__tls_context *context = NULL;
    struct mh__tls_client_options options = {.insecure = true};
    char why[MH__TLS_WHY_MAX];
    cr_expect_not(mh__tls_available);
    cr_expect_eq(mh__tls_client_context(&context, &options, why), MH_ERR_SCHEME);
    cr_expect_str_eq(why, "this build of the library has no TLS");
    cr_expect_null(context);
}

Test(none, no_server)
{
    struct mh__tls_context *context = NULL;
    struct mh__tls *tls = NULL;
    char why[MH__TLS_WHY_MAX];
    cr_expect_eq(mh__tls_server_context(&context, "cert.pem", NULL, why), MH_ERR_SCHEME);
    cr_expect_str_eq(why, "this build of the library has no TLS");
    cr_expect_null(context);
    cr_expect_eq(mh__tls_server(&tls, NULL), MH_ERR_SCHEME);
    cr_expect_null(tls);
}

Test(none, nothing_to_free_or_to_close)
{
    mh_buf out = {0};
    mh__tls_context_free(NULL);
    mh__tls_free(NULL);
    mh__tls_close(NULL, &out);
    cr_expect_eq(out.len, 0);
}

Test(none, no_connection)
{
    struct mh__tls *tls = NULL;
    cr_expect_eq(mh__tls_client(&tls, NULL, MH_STR("localhost"), 443), MH_ERR_SCHEME);
    cr_expect_null(tls);
}

Test(none, whoever_calls_all_the_same_gets_an_error)
{
    char data[8];
    mh_buf out = {0};
    mh_str in = MH_STR("abc");
    cr_expect_eq(mh__tls_handshake(NULL, &in, &out), MH_ERR_SCHEME);
    cr_expect_eq(mh__tls_read(NULL, &in, data, sizeof(data), &out), MH_ERR_SCHEME);
    cr_expect_eq(mh__tls_write(NULL, in, &out), MH_ERR_SCHEME);
    cr_expect_eq(in.len, 3);
    cr_expect_eq(out.len, 0);
    cr_expect_str_eq(mh__tls_why(NULL), "this build of the library has no TLS");
    cr_expect_not(mh__tls_resumed(NULL));
}
