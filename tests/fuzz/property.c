/* property.c: what holds of every input, for the fuzzers of the protocol engine. */
#include "property.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void property_holds(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    abort();
}

bool fuzz_input(struct fuzz_input *out, const uint8_t *data, size_t size)
{
    size_t count = size > 0 ? data[0] & 15 : 0;
    if (size < 1 + count)
        return false;
    *out = (struct fuzz_input){.variant = data[0] >> 4, .cuts = data + 1, .cut_count = count};
    out->text = (mh_str){(const char *)data + 1 + count, size - 1 - count};
    return true;
}

static bool same_log(const struct walked *a, const struct walked *b)
{
    return a->log.len == b->log.len &&
           (a->log.len == 0 || memcmp(a->log.data, b->log.data, a->log.len) == 0);
}

void property_cuts(struct walk how, const struct fuzz_input *input, mh_str text)
{
    static struct walked whole, pieces;
    struct memory memory;
    HOLDS(memory_open(&memory, MEMORY_HEAP));
    how.memory = &memory;
    walk(&how, text, &whole);
    how.cuts = input->cuts;
    how.cut_count = input->cut_count;
    walk(&how, text, &pieces);
    memory_close(&memory);
    HOLDS(same_log(&whole, &pieces));
}

void property_checker(mh_h1_role role, const char *method, mh_str text)
{
    static struct walked said;
    struct memory memory;
    struct check checker;
    if (text.len > CHECK_MAX)
        return;
    HOLDS(memory_open(&memory, MEMORY_HEAP));
    struct walk how = {.role = role, .method = method, .messages_max = 1, .memory = &memory};
    walk(&how, text, &said);
    memory_close(&memory);
    if (role == MH_H1_SERVER)
        check_request(&checker, text);
    else
        check_response(&checker, text, method);
    const char *differs = agree(&said, &checker);
    if (differs)
        fprintf(stderr, "%s (event %d)\n", differs, said.event);
    HOLDS(!differs);
}

void property_same(mh_str a, mh_str b)
{
    HOLDS(a.len == b.len);
    HOLDS(a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

void property_same_fields(mh_headers wrote, mh_headers read)
{
    HOLDS(read.count >= wrote.count);
    for (size_t i = 0; i < wrote.count; i++) {
        property_same(wrote.at[i].name, read.at[i].name);
        property_same(wrote.at[i].value, read.at[i].value);
    }
}
