/* Files and a power cut (C1, S11.1): a directory and a file with `durable` set. Beside what power.h records of the database: each
 * name that comes, goes or changes below the directory that holds the target, each content and each fsync. A name is
 * certain once its directory was synced, a content once its file was; until then it may be lost, alone or with others,
 * and of a lost content half is there. After each cut the next update makes the target what it should be: what the
 * database says is there, is.
 *
 * Asked of the file system: fsync of a directory keeps the names that came and went in it before; rename puts the new
 * name in the old one's place as one change. */
#include "files.h"

#include "power.h"

COCO_FN(copy_one, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

static const char *single; /* content of a file by itself; NULL: the app's main function declares nothing */
static char site[160], single_path[160];

COCO_FN(copy_all, ())
{
    coco_dir *out;

    if (!single) return 0;
    COCO_TRY(coco_declare_file(cx, coco_text(single_path), coco_str_of(single),
                               &(coco_file_opts){ .durable = true, .create_parents = true }));
    COCO_TRY(coco_mount_dir_with(cx, coco_text(site), &(coco_dir_opts){ .durable = true }, &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_one, coco_walk_dir(cx, coco_text(source), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

/* ---- What was done ---- */

typedef struct step {
    enum { CREATE, MAKE_DIR, REMOVE, RENAME, CONTENT, SYNC_FILE, SYNC_DIR } kind;
    char path[300], to[300]; /* to: of RENAME */
    int node;                /* the file; -1: none */
    char bytes[100];         /* of CONTENT */
} step;

typedef struct entry {
    char path[300];
    int node; /* -1: a directory */
} entry;

enum { ENTRIES = 100 };
static entry before_tree[ENTRIES], tree[ENTRIES]; /* before the update; now */
static size_t nbefore, ntree;
static char contents[ENTRIES][100]; /* of those there before, by node */
static int nnodes;

static entry *tree_find(const char *path)
{
    for (size_t i = 0; i < ntree; i++)
        if (strcmp(tree[i].path, path) == 0) return &tree[i];
    return NULL;
}

static void tree_remove(const char *path)
{
    entry *e = tree_find(path);

    if (e) *e = tree[--ntree];
}

static void tree_put(const char *path, int node)
{
    tree_remove(path);
    assert_true(ntree < ENTRIES);
    snprintf(tree[ntree].path, sizeof tree[ntree].path, "%s", path);
    tree[ntree++].node = node;
}

static void tree_step(const step *s)
{
    if (s->kind == CREATE) tree_put(s->path, s->node);
    else if (s->kind == MAKE_DIR) tree_put(s->path, -1);
    else if (s->kind == REMOVE) tree_remove(s->path);
    else if (s->kind == RENAME) tree_remove(s->path), tree_put(s->to, s->node);
}

static bool ours(const char *path) { return strncmp(path, base, strlen(base)) == 0 && path[strlen(base)] == '/'; }

static void full_path(char out[300], int dir, const char *name)
{
    char at[300];

    if (*name == '/' || dir == AT_FDCWD) snprintf(out, 300, "%s", name);
    else snprintf(out, 300, "%.150s/%.140s", path_of(dir, at), name);
}

static void take_down(const step *s)
{
    step *copy = malloc(sizeof *copy);

    *copy = *s;
    tree_step(s);
    deed_add((deed){ .kind = OUTSIDE, .what = copy });
}

static void record_name(const char *call, int dir, const char *name, int dir2, const char *name2)
{
    step s = { .kind = *call == 'c' ? CREATE : *call == 'm' ? MAKE_DIR : *call == 'u' ? REMOVE : RENAME, .node = -1 };
    entry *e;

    full_path(s.path, dir, name);
    if (!ours(s.path)) return;
    if (name2) full_path(s.to, dir2, name2);
    if (s.kind == CREATE) s.node = nnodes++;
    if (s.kind == RENAME && (e = tree_find(s.path)) != NULL) s.node = e->node;
    take_down(&s);
}

static void record_call(const char *call, int fd, const struct iovec *v, int n, long long at)
{
    step s = { .kind = CONTENT };
    struct stat st;
    entry *e;

    if (power_record(call, fd, v, n, at) || (!ours(path_of(fd, s.path)) && strcmp(s.path, base) != 0)) return;
    if (strcmp(call, "fsync") == 0) s.kind = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? SYNC_DIR : SYNC_FILE;
    s.node = (e = tree_find(s.path)) != NULL ? e->node : -1;
    assert_true(n <= 1 && (n == 0 || v->iov_len < sizeof s.bytes));
    if (n) memcpy(s.bytes, v->iov_base, v->iov_len);
    take_down(&s);
}

/* ---- What is left of it ---- */

static bool in_dir(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static bool may_be_lost(size_t i, size_t until)
{
    const step *s = deeds[i].what;

    if (s->kind == SYNC_FILE || s->kind == SYNC_DIR) return false;
    while (++i < until) {
        const step *later = deeds[i].what;
        if (deeds[i].kind != OUTSIDE) continue;
        if (s->kind == CONTENT ? later->kind == SYNC_FILE && later->node == s->node
                               : later->kind == SYNC_DIR && in_dir(s->path, later->path))
            return false;
    }
    return true;
}

/* The content of a file after the deeds; half of one that was lost. */
static void content_of(int node, size_t until, const bool *lost, char out[100])
{
    memcpy(out, node < ENTRIES ? contents[node] : "", node < ENTRIES ? 100 : 1);
    for (size_t i = 0; i < until; i++) {
        const step *s = deeds[i].what;
        if (deeds[i].kind == OUTSIDE && s->kind == CONTENT && s->node == node)
            snprintf(out, 100, "%.*s", (int)(strlen(s->bytes) / (lost[i] ? 2 : 1)), s->bytes);
    }
}

static int by_path(const void *a, const void *b) { return strcmp(((const entry *)a)->path, ((const entry *)b)->path); }

/* Makes the directory as it may be; what stands in one that was lost is lost with it. */
static void files_then(size_t until, const bool *lost)
{
    memcpy(tree, before_tree, sizeof tree);
    ntree = nbefore;
    for (size_t i = 0; i < until; i++)
        if (deeds[i].kind == OUTSIDE && !lost[i]) tree_step(deeds[i].what);
    take_tree(target);
    qsort(tree, ntree, sizeof *tree, by_path);
    for (size_t i = 0; i < ntree; i++) {
        char content[100];
        FILE *f;
        if (tree[i].node < 0) {
            mkdir(tree[i].path, 0777);
        } else if ((f = fopen(tree[i].path, "w")) != NULL) {
            content_of(tree[i].node, until, lost, content);
            fputs(content, f);
            fclose(f);
        }
    }
}

static int remember_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    FILE *f = kind == FTW_F ? fopen(path, "r") : NULL;

    (void)st, (void)at;
    if (f) contents[nnodes][fread(contents[nnodes], 1, 99, f)] = 0, fclose(f);
    tree_put(path, f ? nnodes++ : -1);
    return 0;
}

/* ---- Edits ---- */

static void source_before(void)
{
    take_tree(source);
    put(source, "one.txt", "first\n");
    put(source, "two.txt", "second\n");
    put(source, "sub/three.txt", "third\n");
    single = "single\n";
}

static void source_after(void)
{
    take_tree(source);
    put(source, "one.txt", "first, edited\n");
    put(source, "new/deep/three.txt", "third\n");
    single = "single, edited\n";
}

static coco_status forward(void)
{
    source_after();
    return try_update(NULL);
}

static coco_status back(void)
{
    source_before();
    return try_update(NULL);
}

static coco_status nothing(void)
{
    single = NULL;
    return try_update(NULL);
}

static char *see(void)
{
    return access(target, F_OK) == 0 ? look() : strdup("nothing\n");
}

/* Of an update from what `first` leaves to what `act` does; another may go back to what `back_to` does. */
static void every_cut_of(coco_status (*first)(void), coco_status (*act)(void), coco_status (*back_to)(void))
{
    power p = { .act = act, .back = back_to, .look = see, .outside = files_then, .may_be_lost = may_be_lost };

    program(&copy_all);
    snprintf(target, sizeof target, "%s/top", base);
    snprintf(site, sizeof site, "%s/out/site", target);
    snprintf(single_path, sizeof single_path, "%s/a/single.txt", target);
    assert_int_equal(act(), COCO_OK);
    p.want[0] = see();
    assert_int_equal(back_to(), COCO_OK);
    p.want[1] = see();
    assert_int_equal(first(), COCO_OK);
    restart();
    copy_file(own_db, before_db);
    ntree = 0, nnodes = 0;
    nftw(target, remember_one, 16, FTW_PHYS);
    memcpy(before_tree, tree, sizeof tree);
    nbefore = ntree;
    nnodes = ENTRIES;
    gate_watch = record_call;
    gate_named = record_name;
    assert_int_equal(act(), COCO_OK);
    gate_watch = NULL;
    gate_named = NULL;
    restart();
    power_cuts(&p);
}

static void edits_survive_a_power_cut(void **state)
{
    (void)state;
    every_cut_of(back, forward, back);
}

static void first_files_survive_a_power_cut(void **state)
{
    (void)state;
    every_cut_of(nothing, forward, nothing);
}

static void removal_of_all_survives_a_power_cut(void **state)
{
    (void)state;
    every_cut_of(forward, nothing, forward);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FILES_TEST(edits_survive_a_power_cut),
        FILES_TEST(first_files_survive_a_power_cut),
        FILES_TEST(removal_of_all_survives_a_power_cut),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, say_disks);
}
