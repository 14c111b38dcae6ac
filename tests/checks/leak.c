/* leak.c: a Criterion case that passes and loses memory. leak.py expects the gate to catch it. */
#include <criterion/criterion.h>
#include <stdlib.h>

static void *volatile kept;

Test(leak, loses_memory)
{
    kept = malloc(4711);
    kept = NULL;
    cr_assert(true);
}
