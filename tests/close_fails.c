/* For tests: close() fails where the file's path has CLOSE_FAILS in it, as on a file system that puts writing off and then is full. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int close(int descriptor) {
    const char *wanted = getenv("CLOSE_FAILS");
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    int fails = wanted && length > 0 && strstr(path, wanted);
    long closed = syscall(SYS_close, descriptor);
    if (!fails) return (int)closed;
    errno = EDQUOT;
    return -1;
}
