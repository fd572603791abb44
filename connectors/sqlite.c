/* sqlite.c - SQLite as a target and as a source: the one file to compile. It includes its parts in the order in which
 * they build on each other; every name they share is static and begins coco__sq_.
 *
 * Calls cocoindex.h, rows.h and SQLite. Memory comes from cx, or, where there is none, from SQLite's own allocator. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "sqlite.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sqlite/conn.c"    /* connections, errors, running statements */
#include "sqlite/place.c"   /* what handlers and actions carry */
#include "sqlite/shape.c"   /* tables as they are, and as they should be */
#include "sqlite/attach.c"  /* indexes, full-text search, SQL */
#include "sqlite/alter.c"   /* making, altering, rebuilding and dropping tables */
#include "sqlite/write.c"   /* rows, one by one */
#include "sqlite/bulk.c"    /* rows, many at once */
#include "sqlite/target.c"  /* the sink and the handlers */
#include "sqlite/verify.c"  /* existence, comparison */
#include "sqlite/declare.c" /* declaring tables and what they have */
#include "sqlite/source.c"  /* the source */
#include "sqlite/watch.c"   /* following it */
#include "sqlite/search.c"  /* vectors without an extension */
