/* cocoindex_lmdb.c - the whole library as one translation unit, and the map of the house.
 *
 * Compile this file and link -llmdb -pthread; there is nothing else to build. Each #include below is a floor. A
 * floor may call only the floors named before it, so reading downwards never meets a function that has not been
 * explained yet. Every internal function is static here and begins coco__; what the program sees stands in
 * cocoindex.h and begins coco_.
 *
 * Options, by -D:
 *     COCO_NO_CLI      leaves out coco_main and its progress display: for hosts that call coco_update themselves
 *     COCO_NO_LIVE     leaves out live mode: nothing is followed, and what only tells changes is refused
 *     COCO_NO_CHECK    leaves out check, verify, compact and backup; only without the command line, which calls them
 *     COCO_SMALL       tiny limits (rounds of 2, pages of 4, short keys), so that tests meet the rare paths often
 *     COCO_USE_LIBB2   takes BLAKE2b from the BLAKE2 team's libb2 (link -lb2) in place of the one in fingerprint.c
 *
 * The order in which an update passes through the floors is told in ARCHITECTURE.md. */

/* Asked for before the first system header: openat and fdatasync are POSIX.1-2008, d_type and MAP_ANONYMOUS are
 * not POSIX. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#if defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#endif

#if defined(COCO_NO_CHECK) && !defined(COCO_NO_CLI)
#error "the command line calls what COCO_NO_CHECK leaves out: define COCO_NO_CLI too"
#endif

#include "cocoindex.h"

/* engine.h declares what a smaller build leaves out */
#if defined(COCO_NO_CHECK) || defined(COCO_NO_LIVE)
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include "engine/engine.h"

/* Ground: memory, errors and time; then the one place through which every decision is told and counted. */
#include "engine/base.c"
#include "engine/event.c"

/* What data is: its fingerprint, its encoding, and the keys and paths that name things. */
#include "engine/fingerprint.c"
#include "engine/value.c"
#include "engine/key.c"

/* Who runs when: the engine's lock, the pool, and what makes a call wait. */
#include "engine/schedule.c"

/* Where state lives: LMDB, its transactions, and the codecs of the records;
 * then the pages that let a component own a million things and rewrite one. */
#include "engine/open.c"
#include "engine/store.c"
#include "engine/states.c"

/* What makes a stored result valid: logic, context and parameters; then the memos that depend on them. */
#include "engine/logic.c"
#include "engine/inputs.c"
#include "engine/memo.c"

/* What should exist outside: providers, handlers, declarations. */
#include "engine/provider.c"
#include "engine/target.c"

/* What a function sees as cx; how its component gets out and survives a crash on the way; how what is gone is
 * removed. */
#include "engine/context.c"
#include "engine/batch.c"
#include "engine/map.c"
#include "engine/record.c"
#include "engine/sink.c"
#include "engine/failure.c"
#include "engine/submit.c"
#include "engine/remove.c"

/* What runs and what doesn't: mounts, sources, states and ids; and the app and environment in which they do. */
#include "engine/component.c"
#include "engine/each.c"

/* Live mode: what threads outside hand in, what is done with it, and collections that one part fills and another
 * follows. */
#ifdef COCO_NO_LIVE
#include "engine/nolive.c"
#else
#include "engine/feed.c"
#include "engine/part.c"
#include "engine/live.c"
#include "engine/livemap.c"
#endif

/* The environment and the app in which all of it happens. */
#include "engine/app.c"

/* Looking at what is recorded, from a running program or from the database alone. */
#include "engine/inspect.c"

/* Walking all of it, putting right what is wrong, and copies of it. */
#ifndef COCO_NO_CHECK
#include "engine/check.c"
#include "engine/recount.c"
#include "engine/repair.c"
#include "engine/audit.c"
#include "engine/backup.c"
#endif

/* The command line: its words, what looks at databases, what shows an update, and the commands. */
#ifndef COCO_NO_CLI
#include "engine/cli_line.c"
#include "engine/cli_store.c"
#include "engine/progress.c"
#include "engine/cli.c"
#endif
