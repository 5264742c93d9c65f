/* Counts what a process writes below a folder, and makes one of these calls fail. For LD_PRELOAD.
 *
 *   FAULT_UNDER    the folder, an absolute path without links
 *   FAULT_COUNTER  a file of 8 bytes: the number of calls so far, of all threads and child processes
 *   FAULT_LIST     a file that gets a line for each call: its number, its name, the path; or not set
 *   FAULT_AT       the number of the call that fails, from 1; 0: none
 *   FAULT_KIND     kill:  the process is killed instead of the call
 *                  half:  half of the bytes are written, then the process is killed
 *                  power: as kill, and what was not flushed to the disk is lost, as when the power goes
 *                  lying: as power, on a disk that says that it has flushed, and has not
 *                  full:  from this call on, no space is left on the disk
 *                  read-only: from this call on, the disk can't be written to
 *                  slow:  from this call on, each call takes FAULT_MILLISECONDS more
 *                  clock: from this call on, the clock is a year fast in every odd second, a year slow in the others
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>
#include <pthread.h>

#define REAL(name) ((__typeof__(real_##name))found((void **)&real_##name, #name))
#define MOST 4096

/* The C library's own function. */
static void *found(void **slot, const char *name)
{
    if (!*slot)
        *slot = dlsym(RTLD_NEXT, name);
    return *slot;
}

enum kind { KILL, HALF, POWER, LYING, FULL, READ_ONLY, SLOW, CLOCK };
static const char *const words[] = {"kill", "half", "power", "lying", "full", "read-only", "slow", "clock"};

static const char *under;
static long *counter, at, pause_ms;
static enum kind kind;
static int list = -1;

/* Files with bytes that were not flushed: where they are now, and how long they were at the last flush. */
static struct { dev_t device; ino_t inode; off_t safe; char path[PATH_MAX]; } dirty[MOST];
static int dirty_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("FAULT_COUNTER"), *word = getenv("FAULT_KIND"), *number = getenv("FAULT_AT");
    under = getenv("FAULT_UNDER");
    if (!under || !file || !number)
        return;
    int handle = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (handle < 0 || ftruncate(handle, sizeof *counter))
        abort();
    counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    at = atol(number);
    if (getenv("FAULT_LIST"))
        list = open(getenv("FAULT_LIST"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    while (word && kind <= CLOCK && strcmp(word, words[kind]))
        kind++;
    if (kind > CLOCK)
        abort();
    pause_ms = getenv("FAULT_MILLISECONDS") ? atol(getenv("FAULT_MILLISECONDS")) : 100;
}

static int below(const char *path)
{
    size_t length = strlen(under);
    return !strncmp(path, under, length) && (path[length] == '/' || !path[length]);
}

/* The absolute path that a call means; 0 where it is not below the folder. */
static int path_of(int folder, const char *name, char *out)
{
    char base[PATH_MAX] = "";
    if (!counter || !name)
        return 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base))
                return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0)
                return 0;
            base[length] = 0;
        }
        strcat(base, "/");
    }
    if (strlen(base) + strlen(name) >= PATH_MAX)
        return 0;
    sprintf(out, "%s%s", base, name);
    return below(out);
}

static int path_of_handle(int handle, char *out)
{
    char link[64];
    if (!counter)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0)
        return 0;
    out[length] = 0;
    return below(out);
}

static void end(void)
{
    if (kind == POWER || kind == LYING)
        for (int i = 0; i < dirty_count; i++) {
            struct stat now;
            if (!stat(dirty[i].path, &now) && now.st_ino == dirty[i].inode && now.st_dev == dirty[i].device)
                if (truncate(dirty[i].path, dirty[i].safe)) {}
        }
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Whether this call fails. Killing happens here, but for half of a write. */
static int fails(int writes, const char *name, const char *path)
{
    long number = __sync_add_and_fetch(counter, 1);
    if (list >= 0)
        dprintf(list, "%ld %s %s\n", number, name, path);
    if (!at || number < at)
        return 0;
    if (kind == FULL || kind == READ_ONLY)
        return 1;
    if (kind == SLOW)
        usleep(1000 * pause_ms);
    if (kind >= SLOW || number > at)
        return 0;
    if (kind != HALF || !writes)
        end();
    return 1;
}

static void note(int handle, int flushed)
{
    struct stat now;
    if ((kind != POWER && kind != LYING) || fstat(handle, &now) || !S_ISREG(now.st_mode))
        return;
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < dirty_count && (dirty[i].inode != now.st_ino || dirty[i].device != now.st_dev))
        i++;
    if (i < MOST) {
        if (i == dirty_count) {
            dirty_count++;
            dirty[i].device = now.st_dev;
            dirty[i].inode = now.st_ino;
            dirty[i].safe = 0;
            path_of_handle(handle, dirty[i].path);
        }
        if (flushed && kind == POWER)
            dirty[i].safe = now.st_size;
    }
    pthread_mutex_unlock(&lock);
}

static void moved(const char *from, const char *to)
{
    if (kind != POWER && kind != LYING)
        return;
    pthread_mutex_lock(&lock);
    size_t length = strlen(from);
    for (int i = 0; i < dirty_count; i++)
        if (!strncmp(dirty[i].path, from, length) && (dirty[i].path[length] == '/' || !dirty[i].path[length])) {
            char rest[PATH_MAX];
            strcpy(rest, dirty[i].path + length);
            if (strlen(to) + strlen(rest) < PATH_MAX)
                sprintf(dirty[i].path, "%s%s", to, rest);
        }
    pthread_mutex_unlock(&lock);
}

#define FAIL(value) do { errno = kind == FULL ? ENOSPC : EROFS; return value; } while (0)

/* Writing: type of the result, name, parameters, the handle, the call with all bytes, the call with half of them. */
#define WRITES(type, name, parameters, handle, whole, half)                                                          \
    static type (*real_##name) parameters;                                                                           \
    type name parameters                                                                                             \
    {                                                                                                                \
        char path[PATH_MAX];                                                                                         \
        if (!path_of_handle(handle, path))                                                                           \
            return REAL(name) whole;                                                                                 \
        if (fails(1, #name, path)) {                                                                                 \
            if (kind == FULL || kind == READ_ONLY)                                                                   \
                FAIL(-1);                                                                                        \
            if (REAL(name) half) {}                                                                                  \
            end();                                                                                                   \
        }                                                                                                            \
        type result = REAL(name) whole;                                                                              \
        note(handle, 0);                                                                                             \
        return result;                                                                                               \
    }

WRITES(ssize_t, write, (int h, const void *b, size_t n), h, (h, b, n), (h, b, n / 2))
WRITES(ssize_t, pwrite, (int h, const void *b, size_t n, off_t p), h, (h, b, n, p), (h, b, n / 2, p))
WRITES(ssize_t, pwrite64, (int h, const void *b, size_t n, off64_t p), h, (h, b, n, p), (h, b, n / 2, p))
WRITES(ssize_t, writev, (int h, const struct iovec *v, int n), h, (h, v, n), (h, v, n / 2))
WRITES(ssize_t, sendfile, (int h, int from, off_t *p, size_t n), h, (h, from, p, n), (h, from, p, n / 2))
WRITES(ssize_t, sendfile64, (int h, int from, off64_t *p, size_t n), h, (h, from, p, n), (h, from, p, n / 2))
WRITES(int, ftruncate, (int h, off_t n), h, (h, n), (h, n / 2))
WRITES(int, ftruncate64, (int h, off64_t n), h, (h, n), (h, n / 2))

static size_t (*real_fwrite)(const void *, size_t, size_t, FILE *);
size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    char path[PATH_MAX];
    if (!path_of_handle(fileno(file), path))
        return REAL(fwrite)(data, size, count, file);
    if (fails(1, "fwrite", path)) {
        if (kind == FULL || kind == READ_ONLY)
            FAIL(0);
        REAL(fwrite)(data, size, count / 2, file);
        fflush(file);
        end();
    }
    size_t result = REAL(fwrite)(data, size, count, file);
    note(fileno(file), 0);
    return result;
}

/* Flushing. */
#define FLUSHES(name)                                                                                                \
    static int (*real_##name)(int);                                                                                  \
    int name(int handle)                                                                                             \
    {                                                                                                                \
        char path[PATH_MAX];                                                                                         \
        int ours = path_of_handle(handle, path);                                                                     \
        if (ours && fails(0, #name, path))                                                                           \
            FAIL(-1);                                                                                            \
        int result = REAL(name)(handle);                                                                             \
        if (ours)                                                                                                    \
            note(handle, 1);                                                                                         \
        return result;                                                                                               \
    }

FLUSHES(fsync)
FLUSHES(fdatasync)

/* Names: `space` says whether the call needs space on the disk. */
#define NAMES(name, parameters, folder, path_, space, call)                                                          \
    static int (*real_##name) parameters;                                                                            \
    int name parameters                                                                                              \
    {                                                                                                                \
        char path[PATH_MAX];                                                                                         \
        if (path_of(folder, path_, path) && fails(0, #name, path) && (space || kind == READ_ONLY))                                          \
            FAIL(-1);                                                                                            \
        return REAL(name) call;                                                                                      \
    }

NAMES(mkdir, (const char *p, mode_t m), AT_FDCWD, p, 1, (p, m))
NAMES(mkdirat, (int d, const char *p, mode_t m), d, p, 1, (d, p, m))
NAMES(unlink, (const char *p), AT_FDCWD, p, 0, (p))
NAMES(unlinkat, (int d, const char *p, int f), d, p, 0, (d, p, f))
NAMES(rmdir, (const char *p), AT_FDCWD, p, 0, (p))
NAMES(remove, (const char *p), AT_FDCWD, p, 0, (p))
NAMES(truncate, (const char *p, off_t n), AT_FDCWD, p, 0, (p, n))
NAMES(chmod, (const char *p, mode_t m), AT_FDCWD, p, 0, (p, m))
NAMES(fchmodat, (int d, const char *p, mode_t m, int f), d, p, 0, (d, p, m, f))
NAMES(link, (const char *a, const char *p), AT_FDCWD, p, 1, (a, p))
NAMES(symlink, (const char *a, const char *p), AT_FDCWD, p, 1, (a, p))

#define RENAMES(name, parameters, old_folder, old, new_folder, new, call)                                            \
    static int (*real_##name) parameters;                                                                            \
    int name parameters                                                                                              \
    {                                                                                                                \
        char from[PATH_MAX], to[PATH_MAX];                                                                           \
        int ours = path_of(new_folder, new, to);                                                                     \
        if (ours && fails(0, #name, to) && kind == READ_ONLY)                                                        \
            FAIL(-1);                                                                                            \
        int result = REAL(name) call;                                                                                \
        if (ours && !result && path_of(old_folder, old, from))                                                       \
            moved(from, to);                                                                                         \
        return result;                                                                                               \
    }

RENAMES(rename, (const char *a, const char *b), AT_FDCWD, a, AT_FDCWD, b, (a, b))
RENAMES(renameat, (int c, const char *a, int d, const char *b), c, a, d, b, (c, a, d, b))
RENAMES(renameat2, (int c, const char *a, int d, const char *b, unsigned f), c, a, d, b, (c, a, d, b, f))

/* Opening counts where it may create a file. */
#define OPENS(name, parameters, last, folder, path_, arguments)                                                      \
    static int (*real_##name) parameters;                                                                            \
    int name parameters                                                                                              \
    {                                                                                                                \
        char path[PATH_MAX];                                                                                         \
        mode_t mode = 0;                                                                                             \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                         \
            va_list list;                                                                                            \
            va_start(list, last);                                                                                    \
            mode = va_arg(list, int);                                                                                \
            va_end(list);                                                                                            \
        }                                                                                                            \
        if (flags & O_CREAT && path_of(folder, path_, path) && fails(0, #name, path))                                \
            FAIL(-1);                                                                                            \
        return REAL(name) arguments;                                                                                 \
    }

OPENS(open, (const char *p, int flags, ...), flags, AT_FDCWD, p, (p, flags, mode))
OPENS(open64, (const char *p, int flags, ...), flags, AT_FDCWD, p, (p, flags, mode))
OPENS(openat, (int d, const char *p, int flags, ...), flags, d, p, (d, p, flags, mode))
OPENS(openat64, (int d, const char *p, int flags, ...), flags, d, p, (d, p, flags, mode))

#define OPENS_STREAM(name)                                                                                           \
    static FILE *(*real_##name)(const char *, const char *);                                                         \
    FILE *name(const char *p, const char *mode)                                                                      \
    {                                                                                                                \
        char path[PATH_MAX];                                                                                         \
        if (mode[0] != 'r' && path_of(AT_FDCWD, p, path) && fails(0, #name, path))                                   \
            FAIL(NULL);                                                                                          \
        return REAL(name)(p, mode);                                                                                  \
    }

OPENS_STREAM(fopen)
OPENS_STREAM(fopen64)

/* The clock. */
static time_t jump(void)
{
    struct timespec steady;
    if (!counter || kind != CLOCK || !at || *counter < at)
        return 0;
    clock_gettime(CLOCK_MONOTONIC, &steady);
    return steady.tv_sec % 2 ? 31536000 : -31536000;
}

static int (*real_clock_gettime)(clockid_t, struct timespec *);
int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = REAL(clock_gettime)(id, now);
    if (!result && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump();
    return result;
}

static time_t (*real_time)(time_t *);
time_t time(time_t *now)
{
    time_t result = REAL(time)(NULL) + jump();
    if (now)
        *now = result;
    return result;
}

static int (*real_gettimeofday)(struct timeval *, void *);
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = REAL(gettimeofday)(now, zone);
    if (!result)
        now->tv_sec += jump();
    return result;
}
