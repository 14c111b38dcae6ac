/* coding.h: content codings (RFC 9110 section 8.4), undone in a stream. Each external library is
 * named in one file, coding_zlib.c, coding_brotli.c, coding_zstd.c, which a build may leave out:
 * then its names are not known (coding.c has the table). */
#ifndef MH_HTTP_CODING_H
#define MH_HTTP_CODING_H

#include <minihttp/base.h>

/* One that this build can undo. What it says with *why is static text. */
struct mh__coding {
    const char *name;          /* "gzip" */
    const char *ends_early;    /* "the gzip data ends early" */
    const char *goes_on;       /* "there are bytes behind the end of the gzip data" */
    int (*open)(void **state); /* 0, -ENOMEM */
    /* Takes from the front of *in, puts up to cap bytes (at least one) into data. Returns their
     * number; 0: more is needed and *in is used up; MH__CODING_END: the coded data is complete;
     * MH_ERR_CODING, with *why: corrupt; -ENOMEM. After the end it returns MH__CODING_END again
     * and leaves *in alone, unless another member begins there. After an error it is not called
     * any more. */
    ssize_t (*decode)(void *state, mh_str *in, void *data, size_t cap, const char **why);
    void (*close)(void *state);
};
#define MH__CODING_END (-5998)

extern const struct mh__coding mh__coding_gzip, mh__coding_x_gzip, mh__coding_deflate; /* zlib */
extern const struct mh__coding mh__coding_br;                                          /* brotli */
extern const struct mh__coding mh__coding_zstd;                                        /* zstd */

/* The one of that name, compared without case (RFC 9110 section 8.4.1); NULL: there is none. */
const struct mh__coding *mh__coding_find(mh_str name);

/* The value of Accept-Encoding: "gzip, deflate, br, zstd"; empty where nothing is built in.
 * "x-gzip" is understood and not asked for. */
mh_str mh__coding_accepted(void);

/* All codings of one message, undone in their order (RFC 9110 section 8.4: the last one that is
 * listed was applied last). At most MH__CODINGS_MAX. {0}: none. */
#define MH__CODINGS_MAX 2
struct mh__decoder {
    const struct mh__coding *coding[MH__CODINGS_MAX]; /* [0] is undone first */
    void *state[MH__CODINGS_MAX];
    int count;
    bool started, ended[MH__CODINGS_MAX];
    int err; /* the first one stays */
    const char *why;
    char *between; /* what the first makes and the second takes; only where there are two */
    size_t between_len, between_at;
};

/* `value`: of all Content-Encoding fields, joined by commas; "identity" is nothing. 0, -ENOMEM,
 * MH_ERR_CODING: one that is not known, or too many; *why gets static text. After an error there is
 * nothing to close. */
MH_CHECK int mh__decoder_open(struct mh__decoder *decoder, mh_str value, const char **why);

/* Takes from the front of *in, puts up to cap bytes (at least one) into data. Returns their number;
 * 0: more is needed and *in is used up; MH__CODING_END: complete so far, and *in is used up;
 * MH_ERR_CODING with *why; -ENOMEM. Call it until it does not return a number above 0, also when
 * *in is used up: there may be more to come out. What follows the end of a coding is MH_ERR_CODING,
 * but for another member of a gzip (RFC 1952 section 2.2) or another frame of zstd (RFC 8878
 * section 3). Without codings the bytes are copied. An error comes again in each later call. How
 * many bytes came before one may depend on the cuts; nothing else does. */
MH_CHECK ssize_t mh__decoder_decode(struct mh__decoder *decoder, mh_str *in, void *data, size_t cap,
                                    const char **why);

/* The message is over, and mh__decoder_decode() had no more to give: 0, or MH_ERR_CODING when the
 * coded data is not complete; an error of before comes again. A body of no bytes at all is
 * complete. */
MH_CHECK int mh__decoder_finish(const struct mh__decoder *decoder, const char **why);
void mh__decoder_close(struct mh__decoder *decoder); /* also on {0}, and twice */

#endif
