/* live.h: what has been allocated and not given back, by what is tested. */
#ifndef TESTS_FAULTS_LIVE_H
#define TESTS_FAULTS_LIVE_H

#include <stdbool.h>
#include <stddef.h>

void live_add(void *ptr, size_t size);
bool live_remove(void *ptr, size_t *size); /* false: not one of ours; size may be NULL */
int live_count(void);
size_t live_bytes(void);
void live_forget(void); /* after a leak was reported, so that it is reported once */

#endif
