/* files.h - what the tests of files under faults share: a source and a target directory beside the database, and what
 * is in them as text. */
#ifndef COCO_TEST_FILES_H
#define COCO_TEST_FILES_H

#include "sweep.h"

#include "../connectors/localfs.h"

#include <ftw.h>

static char base[80], source[100], target[120], own_db[100], before_db[100];

static inline void put(const char *root, const char *name, const char *content)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = strchr(path + strlen(base) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    assert_non_null(f = fopen(path, "w"));
    fputs(content, f);
    fclose(f);
}

static inline int take_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}
static inline void take_tree(const char *path) { nftw(path, take_one, 16, FTW_DEPTH | FTW_PHYS); }

static lines seen;

static inline int see_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    char content[200] = "";
    FILE *f = kind == FTW_F ? fopen(path, "r") : NULL;

    (void)st, (void)at;
    if (f) content[fread(content, 1, sizeof content - 1, f)] = 0, fclose(f);
    lines_add(&seen, "%s = %s", path + strlen(target), kind == FTW_F ? content : "a directory");
    return 0;
}

static inline char *look(void)
{
    char *all;

    nftw(target, see_one, 16, FTW_PHYS);
    qsort(seen.v, seen.n, sizeof seen.v[0], by_text);
    all = lines_join(seen.v, seen.n);
    lines_clear(&seen);
    return all;
}

static inline int files_begin(void **state)
{
    gate_arm(FAULT_NONE, 0, 0);
    world_begin(state);
    snprintf(base, sizeof base, "%s.files", w.dir);
    snprintf(source, sizeof source, "%s/in", base);
    snprintf(target, sizeof target, "%s/out", base);
    snprintf(own_db, sizeof own_db, "%s/data.mdb", w.dir);
    snprintf(before_db, sizeof before_db, "%s/db0", w.dir);
    return mkdir(base, 0700);
}

static inline int files_end(void **state)
{
    take_tree(base);
    remove(before_db);
    return world_end(state);
}
#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, files_begin, files_end)

#endif /* COCO_TEST_FILES_H */
