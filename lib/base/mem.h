/* mem.h: the only door to malloc. A test that fails the n-th allocation closes this one. */
#ifndef MH_BASE_MEM_H
#define MH_BASE_MEM_H

#include <stddef.h>

/* Not on the way of a small request, as nearly all are: made small, and put aside. */
#define MH__COLD __attribute__((cold))

void *mh__malloc(size_t size);
void *mh__calloc(size_t count, size_t size);
void *mh__realloc(void *ptr, size_t size); /* on NULL, ptr is as it was */
void mh__free(void *ptr);

#endif
