/* test_md_oracle.c - a site kept in step with its documents through random edits (S1.1, S6, S7, C1).
 *
 * The program converts docs/ into site/: Markdown into pages, anything else as it is, and an index of the pages'
 * titles. A model of docs/ in memory says after every update what the site must be, and how many functions must have
 * run and states must have been written for it. Now and then the site is also built from nothing and compared.
 *
 * SEED=n runs that sequence alone, STEPS=n as many steps of it; a failure names both. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif
#include "../connectors/localfs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- The program ----------------------------------------------------------------------------------------------- */

static const char *site_path = "site";
static _Atomic unsigned converted, titled; /* how often the functions ran */

COCO_FN_DECLARE(convert);

static bool is_markdown(coco_str path)
{
    return coco_str_equal(coco_path_suffix(path), COCO_STR(".md"));
}

/* The first line without its mark. */
static coco_str title_of(coco_str md)
{
    const char *eol = md.n ? memchr(md.p, '\n', md.n) : NULL;

    return (coco_str){ md.p + (md.n > 1 ? 2 : 0), eol && md.n > 1 ? (size_t)(eol - md.p) - 2 : 0 };
}

COCO_FN(convert, (coco_file *, file, coco_dir *, site), .memo = true, .version = 1)
{
    coco_str text, html;

    converted++;
    COCO_TRY(coco_file_read(cx, file, &text));
    if (!is_markdown(coco_file_path(file))) return coco_dir_declare_file(cx, site, coco_file_path(file), text);
    html = coco_format(cx, "<page v=%d>%.*s</page>\n", (int)convert.version, (int)text.n, text.p);
    return coco_dir_declare_file(cx, site, coco_path_with_suffix(cx, file, ".html"), html);
}

COCO_FN(page_title, (coco_file *, file), .memo = true)
{
    coco_str md;

    titled++;
    COCO_TRY(coco_file_read_text(cx, file, &md));
    return coco_return(cx, coco_text_n(title_of(md)));
}

COCO_FN(app_main, ())
{
    const coco_walk_opts markdown = { .include = "**.md" };
    coco_str index = COCO_STR("<index>\n");
    coco_source *pages;
    coco_dir *site;

    COCO_TRY(coco_mount_dir(cx, coco_text(site_path), &site));
    COCO_TRY(coco_mount_each(cx, COCO_AUTO, &convert, coco_walk_dir(cx, coco_text("docs"), NULL),
                             COCO_ARGS(coco_dir_value(site))));
    pages = coco_walk_dir(cx, coco_text("docs"), &markdown);
    COCO_EACH(cx, pages, key, page) {
        coco_value title;
        COCO_TRY(coco_call(cx, &page_title, COCO_ARGS(page), &title));
        index = coco_format(cx, "%.*s%s=%.*s\n", (int)index.n, index.p, coco_text_of(key).p,
                            (int)coco_text_of(title).n, coco_text_of(title).p);
    }
    COCO_TRY(coco_error(cx));
    return coco_dir_declare_file(cx, site, COCO_STR("index.html"), index);
}

/* ---- The model ------------------------------------------------------------------------------------------------- */

enum { FILES = 80, NAME = 128, TEXT = 12000 };

typedef struct tree { /* files by path */
    struct {
        char path[NAME], *text;
    } file[FILES];
    int n;
} tree;

static tree docs, docs_then, site, site_then; /* now, and after the last update */
static int version_then;
static uint64_t random_state, seed;
static int step;

static unsigned below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

static int find(const tree *t, const char *path)
{
    for (int i = 0; i < t->n; i++)
        if (strcmp(t->file[i].path, path) == 0) return i;
    return -1;
}

static void set(tree *t, const char *path, const char *text)
{
    int i = find(t, path);

    if (i < 0) {
        assert_true(t->n < FILES);
        snprintf(t->file[i = t->n++].path, NAME, "%s", path);
    } else {
        free(t->file[i].text);
    }
    t->file[i].text = strdup(text);
}

static void clear(tree *t)
{
    while (t->n) free(t->file[--t->n].text);
}

static void copy(tree *to, const tree *from)
{
    clear(to);
    for (int i = 0; i < from->n; i++) set(to, from->file[i].path, from->file[i].text);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* What the site must be. */
static void render(void)
{
    static char text[TEXT];
    char path[NAME + 8], *end = text + sprintf(text, "<index>\n");

    clear(&site);
    qsort(docs.file, (size_t)docs.n, sizeof docs.file[0], by_path);
    for (int i = 0; i < docs.n; i++) {
        const char *md = docs.file[i].text, *from = docs.file[i].path;
        coco_str title = title_of(coco_str_of(md));
        if (is_markdown(coco_str_of(from)))
            end += sprintf(end, "%s=%.*s\n", from, (int)title.n, title.p);
    }
    set(&site, "index.html", text);
    for (int i = 0; i < docs.n; i++) {
        const char *from = docs.file[i].path;
        bool page = is_markdown(coco_str_of(from));
        snprintf(path, sizeof path, "%.*s%s", (int)strlen(from) - (page ? 3 : 0), from, page ? ".html" : "");
        snprintf(text, sizeof text, "<page v=%d>%s</page>\n", (int)convert.version, docs.file[i].text);
        set(&site, path, page ? text : docs.file[i].text);
    }
}

/* ---- The disk -------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS);
}

static const char *disk(const char *path)
{
    static char full[2][NAME + 8];
    static int turn;

    turn = !turn;
    snprintf(full[turn], sizeof full[turn], "docs/%s", path);
    return full[turn];
}

static void make_parents(const char *path)
{
    char dir[NAME + 8];

    snprintf(dir, sizeof dir, "%s", disk(path));
    for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0777);
        *slash = '/';
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f;

    make_parents(path);
    assert_non_null(f = fopen(disk(path), "w"));
    fputs(text, f);
    fclose(f);
    set(&docs, path, text);
}

static void remove_file(int i)
{
    assert_int_equal(remove(disk(docs.file[i].path)), 0);
    free(docs.file[i].text);
    docs.file[i] = docs.file[--docs.n];
}

/* ---- Edits ----------------------------------------------------------------------------------------------------- */

/* A path of one to three names out of a few, so that paths meet. */
static void some_path(char out[NAME])
{
    static const char *const suffix[] = { ".md", ".md", ".md", ".txt", "" };
    size_t n = 0;

    for (unsigned deep = below(3); deep > 0; deep--) out[n++] = (char)('a' + below(3)), out[n++] = '/';
    snprintf(out + n, NAME - n, "%c%s", (int)('a' + below(4)), suffix[below(5)]);
}

static const char *some_text(void)
{
    static char text[100];

    snprintf(text, sizeof text, "# %s\n%.*s", (const char *const[]){ "One", "Two", "Six" }[below(3)], (int)below(40),
             "lorem ipsum dolor sit amet consectetur adipiscing elit");
    return text;
}

/* Whether a file may be put there: no file stands where a directory must be, nor the reverse. Empty directories go. */
static bool is_free(const char *path)
{
    size_t n = strlen(path);

    for (int i = 0; i < docs.n; i++) {
        const char *other = docs.file[i].path;
        size_t m = strlen(other);
        if (strncmp(other, path, n < m ? n : m) == 0 && (n == m || (n < m ? other[n] : path[m]) == '/')) return false;
    }
    remove_tree(disk(path));
    return true;
}

static void add(void)
{
    char path[NAME];

    for (int tries = 0; tries < 5; tries++) {
        some_path(path);
        if (docs.n >= FILES / 2 || !is_free(path)) continue;
        write_file(path, some_text());
        return;
    }
}

/* In place, or by a new file of another inode; the size may be the same, and the time is made to be now and then. */
static void edit(int i)
{
    char path[NAME];
    const char *text = some_text();
    struct stat st;

    snprintf(path, sizeof path, "%s", docs.file[i].path);
    assert_int_equal(stat(disk(path), &st), 0);
    if (below(3) == 0) assert_int_equal(remove(disk(path)), 0);
    write_file(path, text);
    if (below(3) == 0)
        assert_int_equal(utimensat(AT_FDCWD, disk(path), (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
}

static void rename_file(int i)
{
    char path[NAME];

    some_path(path);
    if (!is_free(path)) return;
    make_parents(path);
    assert_int_equal(rename(disk(docs.file[i].path), disk(path)), 0);
    snprintf(docs.file[i].path, NAME, "%s", path);
}

/* The first directory on the way to a file, with a slash behind; "" where there is none. */
static void dir_of(int i, char out[NAME])
{
    const char *slash = strchr(docs.file[i].path, '/');

    snprintf(out, NAME, "%.*s", slash ? (int)(slash - docs.file[i].path) + 1 : 0, docs.file[i].path);
}

static void move_directory(int i)
{
    char from[NAME], to[NAME], path[NAME + 4];
    size_t n;

    dir_of(i, from);
    if (!(n = strlen(from))) return;
    snprintf(to, sizeof to, "%c%s", (int)('a' + below(5)), below(2) ? "/d" : "");
    if (strncmp(from, to, 1) == 0 || !is_free(to)) return;
    make_parents(to);
    from[n - 1] = '\0';
    assert_int_equal(rename(disk(from), disk(to)), 0);
    from[n - 1] = '/';
    for (int k = 0; k < docs.n; k++) {
        if (strncmp(docs.file[k].path, from, n) != 0) continue;
        snprintf(path, sizeof path, "%.10s/%.100s", to, docs.file[k].path + n);
        snprintf(docs.file[k].path, NAME, "%.*s", NAME - 1, path);
    }
}

/* A directory becomes a file, or a file a directory with a file in it. */
static void swap_type(int i)
{
    char path[NAME], dir[NAME];

    dir_of(i, dir);
    snprintf(path, sizeof path, "%s", docs.file[i].path);
    if (dir[0] && below(2)) {
        for (int k = docs.n - 1; k >= 0; k--)
            if (strncmp(docs.file[k].path, dir, strlen(dir)) == 0) remove_file(k);
        dir[strlen(dir) - 1] = '\0';
        remove_tree(disk(dir));
        write_file(dir, some_text());
    } else if (strlen(path) < NAME - 8) {
        remove_file(i);
        strcat(path, below(2) ? "/a.md" : "/b");
        write_file(path, some_text());
    }
}

static void edit_something(void)
{
    int i = docs.n ? (int)below((unsigned)docs.n) : -1;
    unsigned what = i < 0 ? 0 : below(17);

    if (what < 6) add();
    else if (what < 9) edit(i);
    else if (what < 11) remove_file(i);
    else if (what < 12) assert_int_equal(utimensat(AT_FDCWD, disk(docs.file[i].path), NULL, 0), 0); /* touch */
    else if (what < 14) rename_file(i);
    else if (what < 15) move_directory(i);
    else if (what < 16) swap_type(i);
    else convert.version++;
}

/* ---- Updates and what they must have done ---------------------------------------------------------------------- */

static coco_env *env;
static coco_app *app;
static coco_result result;
static char failure[1024];

#define CHECK(is, should) \
    do { \
        if ((long)(is) != (long)(should)) \
            fail_msg("SEED=%llu STEPS=%d: %s is %ld, not %ld", (unsigned long long)seed, step, #is, (long)(is), \
                     (long)(should)); \
    } while (0)

static bool keep_failure(void *user, const coco_failure *f)
{
    (void)user;
    snprintf(failure, sizeof failure, "%s: %s", f->path, f->message);
    return true;
}

static void close_all(void)
{
    coco_app_close(app);
    coco_env_close(env);
    app = NULL;
    env = NULL;
}

static void update(const char *db)
{
    coco_err err = { 0 };

    converted = titled = 0;
    if (!env && coco_env_open(&(coco_env_config){ .db = db, .on_failure = keep_failure }, &env, &err) != COCO_OK)
        fail_msg("%s", err.msg);
    if (!app && coco_app_open(env, &(coco_app_config){ .name = "md", .main = &app_main }, &app, &err) != COCO_OK)
        fail_msg("%s", err.msg);
    coco_result_free(&result);
    if (coco_update(app, NULL, &result, &err) != COCO_OK)
        fail_msg("SEED=%llu STEPS=%d: %s; %s", (unsigned long long)seed, step, err.msg, failure);
}

static int files_seen;

static int check_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    const char *rel = path + strlen(site_path) + 1;
    char text[TEXT];
    size_t n = 0;
    int i;

    (void)st;
    if (where->level == 0) return 0;
    if (kind != FTW_F) { /* it must lead to a file */
        for (i = 0; i < site.n; i++)
            if (strncmp(site.file[i].path, rel, strlen(rel)) == 0 && site.file[i].path[strlen(rel)] == '/') return 0;
        fail_msg("SEED=%llu STEPS=%d: %s was left", (unsigned long long)seed, step, path);
    }
    FILE *f = fopen(path, "r");
    if (f) n = fread(text, 1, sizeof text - 1, f), fclose(f);
    text[n] = '\0';
    if ((i = find(&site, rel)) < 0) fail_msg("SEED=%llu STEPS=%d: %s was left", (unsigned long long)seed, step, path);
    if (strcmp(site.file[i].text, text) != 0)
        fail_msg("SEED=%llu STEPS=%d: %s is\n%s\nnot\n%s", (unsigned long long)seed, step, path, text,
                 site.file[i].text);
    files_seen++;
    return 0;
}

static void check_site(void)
{
    files_seen = 0;
    assert_int_equal(nftw(site_path, check_one, 20, FTW_PHYS), 0);
    CHECK(files_seen, site.n);
}

/* The counts equal the number of things that changed. */
static void check_counts(void)
{
    unsigned inserts = step == 1; /* of the directory */
    unsigned updates = 0, deletes = 0, converts = 0, titles = 0;
    int then;

    for (int i = 0; i < site.n; i++) {
        then = find(&site_then, site.file[i].path);
        inserts += then < 0;
        updates += then >= 0 && strcmp(site_then.file[then].text, site.file[i].text) != 0;
    }
    for (int i = 0; i < site_then.n; i++) deletes += find(&site, site_then.file[i].path) < 0;
    for (int i = 0; i < docs.n; i++) {
        then = find(&docs_then, docs.file[i].path);
        bool changed = then < 0 || strcmp(docs_then.file[then].text, docs.file[i].text) != 0;
        converts += changed || version_then != (int)convert.version;
        titles += changed && is_markdown(coco_str_of(docs.file[i].path));
    }
    CHECK(converted, converts);
    CHECK(titled, titles);
    CHECK(result.inserts, inserts);
    CHECK(result.updates, updates);
    CHECK(result.deletes, deletes);
}

/* The second update in a row without a change writes nothing. */
static void check_quiet(void)
{
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    update("db");
    update("db");
    CHECK(result.run, 0);
    CHECK(converted + titled, 0);
}

static void check_from_nothing(void)
{
    close_all();
    remove_tree("db2");
    site_path = "site2";
    update("db2");
    check_site();
    close_all();
    remove_tree("site2");
    site_path = "site";
}

static void run_sequence(uint64_t from, int steps)
{
    seed = from;
    random_state = from * UINT64_C(0x9E3779B97F4A7C15) + 1;
    convert.version = 1;
    assert_int_equal(mkdir("docs", 0777), 0);
    for (step = 1; step <= steps; step++) {
        for (unsigned n = step == 1 ? 20 : below(6); n > 0; n--) edit_something();
        if (below(6) == 0) close_all();
        update("db");
        render();
        check_site();
        check_counts();
        copy(&site_then, &site);
        copy(&docs_then, &docs);
        version_then = (int)convert.version;
        if (step % 25 == 0) check_quiet();
        if (step % 50 == 0) check_from_nothing();
    }
    close_all();
    coco_result_free(&result);
    clear(&docs), clear(&docs_then), clear(&site), clear(&site_then);
    remove_tree("docs"), remove_tree("site"), remove_tree("db"), remove_tree("db2");
}

static void site_equals_that_of_a_run_from_nothing_after_any_edits(void **state)
{
    const char *one = getenv("SEED"), *steps = getenv("STEPS"), *tmp = getenv("TMPDIR");
    char home[4096], dir[4096];

    (void)state;
    assert_non_null(getcwd(home, sizeof home));
    snprintf(dir, sizeof dir, "%s/oracle.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    if (one) run_sequence(strtoull(one, NULL, 10), steps ? atoi(steps) : 60);
    for (uint64_t from = 1; !one && from <= 4; from++) run_sequence(from, steps ? atoi(steps) : 60);
    assert_int_equal(chdir(home), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(site_equals_that_of_a_run_from_nothing_after_any_edits) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
