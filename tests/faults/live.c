/* live.c: see live.h. Few things live at a time, so a list will do. */
#include "live.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LIVE_MAX 4096

static struct {
    void *ptr;
    size_t size;
} live[LIVE_MAX];
static int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void live_add(void *ptr, size_t size)
{
    pthread_mutex_lock(&lock);
    if (count == LIVE_MAX) {
        fputs("more live allocations than live.c has room for\n", stderr);
        abort();
    }
    live[count].ptr = ptr;
    live[count++].size = size;
    pthread_mutex_unlock(&lock);
}

static int find(const void *ptr)
{
    int i = count - 1;
    while (i >= 0 && live[i].ptr != ptr)
        i--;
    return i;
}

bool live_remove(void *ptr, size_t *size)
{
    pthread_mutex_lock(&lock);
    int i = ptr ? find(ptr) : -1;
    if (i >= 0) {
        if (size)
            *size = live[i].size;
        live[i] = live[--count];
    }
    pthread_mutex_unlock(&lock);
    return i >= 0;
}

int live_count(void)
{
    pthread_mutex_lock(&lock);
    int now = count;
    pthread_mutex_unlock(&lock);
    return now;
}

size_t live_bytes(void)
{
    size_t bytes = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++)
        bytes += live[i].size;
    pthread_mutex_unlock(&lock);
    return bytes;
}

void live_forget(void)
{
    pthread_mutex_lock(&lock);
    count = 0;
    pthread_mutex_unlock(&lock);
}
