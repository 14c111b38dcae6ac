/* mem.c: see mem.h. Nothing but the C library's allocator, so that a caller may free() what it was
 * given. */
#include "base/mem.h"

#include <stdlib.h>

void *mh__malloc(size_t size)
{
    return malloc(size);
}

void *mh__calloc(size_t count, size_t size)
{
    return calloc(count, size);
}

void *mh__realloc(void *ptr, size_t size)
{
    return realloc(ptr, size);
}

void mh__free(void *ptr)
{
    free(ptr);
}
