/* account.h: what a response says of itself: to be noted, and to be true however it ended. */
#ifndef TESTS_FAULTS_ACCOUNT_H
#define TESTS_FAULTS_ACCOUNT_H

#include <minihttp/client.h>

#define TIMEOUT_MS 2000

#define LINE_ "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n" /* 64 bytes */
#define KIB_                                                                                       \
    LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_ LINE_

void note_response(const mh_response *res);
void check_account(const mh_response *res, int result);

/* Has this build such a coding? */
bool has_coding(const char *name);
extern const mh_str gzipped; /* 1031 bytes, KIB_ and "the end", in 57 */

#endif
