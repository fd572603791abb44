/* postgres.c - PostgreSQL as a target and as a source: the one file to compile. It includes its parts in the order in
 * which they build on each other; every name they share is static and begins coco__pg_.
 *
 * Calls cocoindex.h, rows.h and libpq. Memory comes from cx, or, where there is none, from libpq. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "postgres.h"

#include <assert.h>
#include <libpq-fe.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "postgres/connect.c" /* connections, errors, SQL text */
#include "postgres/types.c"   /* the type map, rows as parameters */
#include "postgres/shape.c"   /* tables as they are */
#include "postgres/rebuild.c" /* making, altering, rebuilding and dropping tables */
#include "postgres/rows.c"    /* writing and deleting rows */
#include "postgres/attach.c"  /* indexes and SQL of the program's own */
#include "postgres/source.c"  /* the source */
#include "postgres/watch.c"   /* following it */
#include "postgres/verify.c"  /* existence, comparison */
#include "postgres/target.c"  /* the handlers and the sink */
#include "postgres/declare.c" /* declaring tables and what they have */
