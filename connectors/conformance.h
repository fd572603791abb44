/* conformance.h - puts a target handler through everything that may happen to it, for tests of connectors and of users'
 * own handlers. Uses cocoindex.h alone; compile connectors/conformance.c once.
 *
 *     static coco_status make(coco_ctx *cx, void *user, coco_target_handler *out);   the handler under test
 *     static coco_status set(void *user, int state);    puts the real target into a state …
 *     static coco_status get(void *user, int *state);   … and says which one it is in
 *     …
 *     const coco_value rows[] = { coco_int(1), coco_int(2) };
 *     coco_conformance c = { .make = make, .set = set, .get = get, .key = coco_int(7), .desired = rows,
 *                            .ndesired = 2 };
 *     coco_conformance_result r;
 *     coco_conformance_run(&c, "/tmp/fresh-directory", &r, &err);    0: no violations
 *
 * One state, `key`, is driven through real updates in a state directory of the run's own: for each desired value and
 * for none, each set of at most two recorded possibilities (absent, the record of each value, a record that can't be
 * read), known to be there or not, and each state in which the real target may be found then, also none, also half
 * made. What is asked of the handler:
 *   1. Its decision and record depend on its input alone.
 *   2. It never keeps a state that may not be there, or may be another; it keeps one that is known to be as desired.
 *   3. It gives a record for what should be there, of at most 1 MiB, and none for what shouldn't.
 *   4. Its action succeeds on whatever is there, and leaves what is desired, or nothing.
 *   5. Its action succeeds, and leaves the same, when it comes again after a crash.
 *   6. exists and verify, where it has them, tell what is there; where they can't, they say so. */
#ifndef COCO_CONFORMANCE_H
#define COCO_CONFORMANCE_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

/* States of the real target are numbers: 0 to ndesired - 1 hold that desired value, and … */
enum { COCO_REAL_NONE = -1 /* … nothing is there */, COCO_REAL_OTHER = -2 /* … something else (get alone) */ };

typedef struct coco_conformance {
    coco_status (*make)(coco_ctx *cx, void *user, coco_target_handler *out); /* may keep what it allocates in cx */
    /* set is also asked for ndesired to ndesired + nodd - 1: states that no update leaves behind, such as a container
     * that is half made, or of another's making, which the handler must cope with where the records don't exclude it */
    coco_status (*set)(void *user, int state);
    coco_status (*get)(void *user, int *state);
    /* provides the context values that make needs; NULL: none */
    coco_status (*setup)(coco_ctx *cx, void *user);
    void *user;                /* passed to all of them */
    coco_value key;            /* of the state */
    const coco_value *desired; /* at most 8 values that differ */
    int ndesired, nodd;
    bool container;            /* the state is declared as a container */
    bool keeps_unknown;        /* it never deletes what no record that it can read says is its own */
    /* told each violation, in words; NULL: they are counted alone */
    void (*violation)(void *user, const char *text);
} coco_conformance;

typedef struct coco_conformance_result {
    size_t cases, violations;
} coco_conformance_result;

/* Runs all of it in db, a directory that doesn't exist or is empty (remove it afterwards). Thread-safe: no: one run
 * at a time in a process, with no app open. Errors: COCO_EFAIL (violations; the message counts them and
 * tells the first), COCO_EINVAL (no desired value, or more than 8), what set and get return, and those of an update. */
coco_status coco_conformance_run(const coco_conformance *c, const char *db, coco_conformance_result *result,
                                 coco_err *err);

#ifdef __cplusplus
}
#endif
#endif
