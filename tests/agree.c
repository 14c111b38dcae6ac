/* agree.c: do the engine and the checker say the same of a message? */
#include "agree.h"

/* Where a length is bad and where a coding is are one class: the RFCs leave open which is named. */
static bool same_error(int engine, int checker)
{
    bool malformed = engine == MH_ERR_MALFORMED;
    return checker == MH_ERR_MALFORMED ? malformed
                                       : engine == MH_ERR_FRAMING || engine == MH_ERR_CODING;
}

static const char *agree_on_fault(const struct walked *engine, const struct check *checker)
{
    if (engine->event >= 0)
        return "the checker refuses it";
    if (!same_error(engine->event, checker->error))
        return "they refuse it for different reasons";
    if (!checker->late && engine->fault.byte >= 0 && engine->fault.offset != checker->at)
        return "they refuse different bytes";
    return NULL;
}

static bool same_framing(const struct walked *engine, const struct check *checker)
{
    switch (checker->framing) {
    case CHECK_NONE:
    case CHECK_TUNNEL:
        return engine->left == 0;
    case CHECK_LENGTH:
        return engine->left == checker->length;
    case CHECK_CHUNKED:
    case CHECK_UNTIL_CLOSE:
        return engine->left == MH_LENGTH_UNKNOWN;
    }
    return false;
}

static const char *agree_on_head(const struct walked *engine, const struct check *checker)
{
    bool same = engine->head_len == checker->head_len && engine->fields == checker->fields &&
                engine->status == checker->status;
    if (!same)
        return "they read different heads";
    return same_framing(engine, checker) ? NULL : "they frame the body differently";
}

/* The checker has the whole message. */
static const char *agree_on_end(const struct walked *engine, const struct check *checker)
{
    bool interim = checker->status > 0 && checker->status < 200;
    if (interim)
        return NULL;
    if (checker->framing == CHECK_TUNNEL)
        return engine->event == MH_H1_SWITCHED ? NULL : "the engine sees no tunnel";
    if (!engine->end)
        return "the engine does not see the end";
    return engine->message_len == checker->message_len ? NULL : "they end the message elsewhere";
}

const char *agree(const struct walked *engine, const struct check *checker)
{
    if (engine->event == MH_ERR_TOO_LARGE)
        return NULL;
    if (engine->head != (checker->head_len > 0))
        return engine->head ? "only the engine sees a head" : "only the checker sees a head";
    const char *said = engine->head ? agree_on_head(engine, checker) : NULL;
    if (said)
        return said;
    if (checker->result == CHECK_BAD)
        return agree_on_fault(engine, checker);
    bool interim = checker->status > 0 && checker->status < 200;
    if (engine->event < 0 && !interim)
        return "the engine refuses it";
    if (engine->head && !interim && engine->body != checker->body)
        return "they see different bodies";
    if (checker->result == CHECK_OK)
        return agree_on_end(engine, checker);
    return engine->event == MH_H1_NEED_MORE ? NULL : "the engine does not wait for more";
}
