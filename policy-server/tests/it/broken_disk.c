/* Lets the disk of the processes into which it is loaded (LD_PRELOAD) break: files in the folder
 * BROKEN_DISK_UNDER are no longer written, or no longer synced. What was opened before counts too.
 *
 * What is broken is the first byte of the file named by BROKEN_DISK; it may change at any time. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FINE = '0', READ_ONLY = '1', NO_WRITE = '2', NO_SYNC = '3' };

static const volatile char *broken;
static const char *under;

__attribute__((constructor)) static void map_broken(void) {
  const char *path = getenv("BROKEN_DISK");
  int file = path == NULL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
  under = getenv("BROKEN_DISK_UNDER");
  /* A disk that silently did not break would make a test pass that has tested nothing. */
  if (page == MAP_FAILED || under == NULL) abort();
  close(file);
  broken = page;
}

static int is_under(const char *path) {
  return under != NULL && strncmp(path, under, strlen(under)) == 0;
}

static int is_open_under(int file) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_under(path);
}

/* The error of a write to this file, or 0. */
static int write_error(int file) {
  char now = broken == NULL ? FINE : *broken;
  if ((now != READ_ONLY && now != NO_WRITE) || !is_open_under(file)) return 0;
  return now == READ_ONLY ? EROFS : EIO;
}

static int fails(int error) {
  if (error != 0) errno = error;
  return error != 0;
}

ssize_t write(int file, const void *bytes, size_t size) {
  return fails(write_error(file)) ? -1 : syscall(SYS_write, file, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
  return fails(write_error(file)) ? -1 : syscall(SYS_pwrite64, file, bytes, size, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
  return pwrite(file, bytes, size, at);
}

int ftruncate(int file, off_t size) {
  return fails(write_error(file)) ? -1 : (int)syscall(SYS_ftruncate, file, size);
}

int ftruncate64(int file, off64_t size) { return ftruncate(file, size); }

static int sync_error(int file) {
  return broken != NULL && *broken == NO_SYNC && is_open_under(file) ? EIO : 0;
}

int fsync(int file) { return fails(sync_error(file)) ? -1 : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) { return fails(sync_error(file)) ? -1 : (int)syscall(SYS_fdatasync, file); }

static int open_as(int folder, const char *path, int flags, va_list more) {
  int mode = flags & O_CREAT ? va_arg(more, int) : 0;
  int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
  if (fails(writes && broken != NULL && *broken == READ_ONLY && is_under(path) ? EROFS : 0)) return -1;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN(name)                             \
  int name(const char *path, int flags, ...) { \
    va_list more;                              \
    va_start(more, flags);                     \
    int file = open_as(AT_FDCWD, path, flags, more); \
    va_end(more);                              \
    return file;                               \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                       \
  int name(int folder, const char *path, int flags, ...) { \
    va_list more;                                          \
    va_start(more, flags);                                 \
    int file = open_as(folder, path, flags, more);         \
    va_end(more);                                          \
    return file;                                           \
  }
OPENAT(openat)
OPENAT(openat64)
