/* replay.c: a main() for a fuzzer that runs it over the files of its corpus, with any compiler.
 *
 *   replay-NAME FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a block of exactly its size, as libFuzzer does it. */
static int run(const char *folder, const char *name)
{
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = len > 0 && (size_t)len < sizeof path ? fopen(path, "rb") : NULL;
    uint8_t *bytes = malloc(FILE_MAX);
    if (!file || !bytes)
        abort();
    size_t size = fread(bytes, 1, FILE_MAX, file);
    fclose(file);
    uint8_t *exact = realloc(bytes, size ? size : 1);
    if (!exact)
        abort();
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int run_folder(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            count += run(folder, entry->d_name);
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++)
        count += run_folder(argv[i]);
    printf("%d passed, 0 failed\n", count);
    return count > 0 ? 0 : 1; /* an empty corpus says nothing */
}
