/* memory.h: places for input bytes where reading too far, or too late, is noticed. */
#ifndef TESTS_MEMORY_H
#define TESTS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

enum memory_kind {
    MEMORY_HEAP,         /* an exact-size block; a new one each time, and the old one is freed */
    MEMORY_BEFORE_GUARD, /* the last byte touches a page that cannot be read */
    MEMORY_AFTER_GUARD   /* the first byte does */
};

#define MEMORY_MAX (2u << 20) /* bytes that fit between the guards */

struct memory {
    enum memory_kind kind;
    char *block; /* where the bytes are now */
    size_t len;
    char *map;
};

/* false when there is no memory for it. */
bool memory_open(struct memory *memory, enum memory_kind kind);

/* Copy the bytes to a place of that kind; those placed before are gone. NULL: no memory. */
char *memory_place(struct memory *memory, const void *bytes, size_t len);

void memory_close(struct memory *memory);

#endif
