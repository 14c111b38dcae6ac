/* error.c: numbers to words. No locale, nothing that another thread could overwrite. */
#include <string.h>

#include <minihttp/base.h>

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

const char *mh_strerror(int err)
{
    switch (err) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        MH_ERRORS(X)
#undef X
    default:
        break;
    }
    if (err >= 0)
        return "no error";
    const char *text = err >= -4095 ? strerrordesc_np(-err) : NULL;
    return text ? text : "unknown error";
}

const char *mh_errname(int err)
{
    switch (err) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return "MH_ERR_" #name;
        MH_ERRORS(X)
#undef X
    default:
        break;
    }
    if (err >= 0)
        return "MH_OK";
    const char *name = err >= -4095 ? strerrorname_np(-err) : NULL;
    return name ? name : "unknown";
}

const char *mh_version(void)
{
    return TEXT(MH_VERSION_MAJOR) "." TEXT(MH_VERSION_MINOR) "." TEXT(MH_VERSION_PATCH);
}
