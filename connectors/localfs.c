/* localfs.c - local files as a source and as a target: the one file to compile. It includes its parts in the order in
 * which they build on each other; every name they share is static and begins coco__fs_.
 *
 * Calls cocoindex.h and POSIX, nothing else. Memory comes from cx alone, so none is freed here; what must be closed
 * (directory streams, descriptors) is closed by the source's close hook or before the call returns. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* d_type of directory entries */
#endif

#include "localfs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "localfs/glob.c"    /* UTF-8, globs, path operations */
#include "localfs/file.c"    /* bases, files, reading, memo key and state */
#include "localfs/text.c"    /* decoding */
#include "localfs/overlap.c" /* what is both listed and written to */
#include "localfs/walk.c"    /* the source */
#include "localfs/target.c"  /* the target's handler and sink */
#include "localfs/declare.c" /* declaring what it should hold */
