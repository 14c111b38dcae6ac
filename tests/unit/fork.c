/* fork.c: linked to every Criterion test, in place of the C library's fork().
 *
 * Criterion forks while its own threads run, and the child allocates before it executes anything.
 * If another thread holds the lock of the sanitizer's allocator in that moment, the child waits for
 * it for ever: seen once in some ten thousand cases. So this fork() waits until all other threads
 * sleep in the kernel, where none of them allocates. With one case at a time (-j1), nothing wakes
 * them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

pid_t fork(void);

enum { ROUNDS_MAX = 5000, PAUSE_US = 100, CALM_ROUNDS = 2 };

/* "1234 (name) S ...": the state stands behind the last parenthesis. */
static char state_of(const char *task)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", task);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return 'X'; /* it is gone */
    text[len] = '\0';
    const char *name_end = strrchr(text, ')');
    return name_end && name_end[1] == ' ' ? name_end[2] : '?';
}

static bool all_others_sleep(void)
{
    char self[32];
    bool calm = true;
    snprintf(self, sizeof self, "%d", gettid());
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return true; /* nothing can be known */
    for (const struct dirent *task; calm && (task = readdir(tasks));) {
        if (task->d_name[0] == '.' || strcmp(task->d_name, self) == 0)
            continue;
        calm = strchr("SZX", state_of(task->d_name)) != NULL;
    }
    closedir(tasks);
    return calm;
}

pid_t fork(void)
{
    int calm = 0;
    for (int i = 0; i < ROUNDS_MAX && calm < CALM_ROUNDS; i++) {
        calm = all_others_sleep() ? calm + 1 : 0;
        if (calm < CALM_ROUNDS)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_US * 1000}, NULL);
    }
    return _Fork();
}
