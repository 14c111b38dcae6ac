/* h1_cases.c: runs case files as a plain program, without Criterion: for valgrind, and by hand.
 *
 *   h1_cases [--quick] FILE-OR-FOLDER...     --quick: only whole and byte by byte */
#include "h1_runner.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    struct h1_suite suite = {0};
    bool good = argc > 1 + quick;
    for (int i = 1 + quick; i < argc; i++)
        good = h1_suite_read(&suite, argv[i]) && good;
    size_t runs;
    size_t failed = h1_suite_run(&suite, quick ? H1_DEPTH_QUICK : H1_DEPTH_FULL, false, &runs);
    printf("%zu runs\n%zu passed, %zu failed\n", runs, suite.case_count - failed, failed);
    good = good && suite.case_count > 0 && failed == 0;
    h1_suite_free(&suite);
    return good ? 0 : 1;
}
