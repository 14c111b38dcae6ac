/* memory.c: places for input bytes where reading too far, or too late, is noticed. */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

bool memory_open(struct memory *memory, enum memory_kind kind)
{
    *memory = (struct memory){.kind = kind};
    if (kind == MEMORY_HEAP)
        return true;
    size_t size = MEMORY_MAX + 2 * page();
    char *map = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    memory->map = map;
    return mprotect(map + page(), MEMORY_MAX, PROT_READ | PROT_WRITE) == 0;
}

static char *place_on_heap(struct memory *memory, const void *bytes, size_t len)
{
    char *block = malloc(len ? len : 1);
    if (block && len)
        memcpy(block, bytes, len);
    free(memory->block);
    memory->block = block;
    return block;
}

/* The old bytes are overwritten first, so that a slice that should be dead reads as nonsense. */
static char *place_at_guard(struct memory *memory, const void *bytes, size_t len)
{
    if (len > MEMORY_MAX)
        return NULL;
    char *room = memory->map + page();
    char *place = memory->kind == MEMORY_BEFORE_GUARD ? room + MEMORY_MAX - len : room;
    if (memory->block)
        memset(memory->block, 0xa5, memory->len);
    if (len)
        memcpy(place, bytes, len);
    memory->block = place;
    memory->len = len;
    return place;
}

char *memory_place(struct memory *memory, const void *bytes, size_t len)
{
    return memory->kind == MEMORY_HEAP ? place_on_heap(memory, bytes, len)
                                       : place_at_guard(memory, bytes, len);
}

void memory_close(struct memory *memory)
{
    if (memory->kind == MEMORY_HEAP)
        free(memory->block);
    if (memory->map)
        munmap(memory->map, MEMORY_MAX + 2 * page());
    *memory = (struct memory){0};
}
