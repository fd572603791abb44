/* localfs.c - local files as a source and as a target: the one file to compile. It includes its parts in the order in
 * which they build on each other; every name they share is static and begins coco__fs_.
 *
 * Calls cocoindex.h and POSIX, and on Linux inotify. Memory comes from cx, so none is freed here, but that of a watch,
 * which it frees when it ends; what must be closed (directory streams, descriptors) is closed by the source's close
 * hook or before the call returns. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* d_type of directory entries */
#endif

#include "localfs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#define COCO__FS_INOTIFY 1 /* else changes are looked for */
#include <sys/inotify.h>
#include <sys/vfs.h>
#endif

#include "localfs/hooks.inc" /* for tests */
#include "localfs/glob.c"    /* UTF-8, globs, path operations */
#include "localfs/file.c"    /* bases, files, reading, memo key and state */
#include "localfs/text.c"    /* decoding */
#include "localfs/overlap.c" /* what is both listed and written to */
#include "localfs/tree.c"    /* directories that are watched */
#include "localfs/helper.c"  /* threads that help */
#include "localfs/ahead.c"   /* files looked at by another thread */
#include "localfs/walk.c"    /* the source */
#include "localfs/wanted.c"  /* one path of it, by itself */
#include "localfs/pending.c" /* paths of which something is told soon */
#include "localfs/watch.c"   /* the source, live */
#include "localfs/write.c"   /* files and directories made and removed */
#include "localfs/apply.c"   /* the target's sink */
#include "localfs/target.c"  /* its handler */
#include "localfs/declare.c" /* declaring what it should hold */
