/* scarce.h: memory that runs out, for a test that wants to see -ENOMEM.
 *
 * Included by a test's one file it takes the place of lib/base/mem.c: the linker finds these four
 * first, and leaves that object in the archive. */
#ifndef TESTS_UNIT_SCARCE_H
#define TESTS_UNIT_SCARCE_H

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

/* How many allocations still succeed; negative: all of them. */
static int allocations_left = -1;

static bool memory_is_out(void)
{
    if (allocations_left == 0)
        return true;
    if (allocations_left > 0)
        allocations_left--;
    return false;
}

void *mh__malloc(size_t size)
{
    return memory_is_out() ? NULL : malloc(size);
}

void *mh__calloc(size_t count, size_t size)
{
    return memory_is_out() ? NULL : calloc(count, size);
}

void *mh__realloc(void *ptr, size_t size)
{
    return memory_is_out() ? NULL : realloc(ptr, size);
}

void mh__free(void *ptr)
{
    free(ptr);
}

#endif
