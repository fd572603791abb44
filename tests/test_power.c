/* A power cut (S11.1): what the disk holds then is not what the process wrote. Of one update every write and sync of
 * the database file is recorded, and each action of the sink with the shelf that it left; then the disk is rebuilt as
 * it may be after each of them: everything up to the last sync, and of what was written since then nothing, all, each
 * write alone, or all but each one (each subset, where there are few). The shelf is as the last action left it: what
 * is outside has no power cut of its own. Each such database opens, `check` finds nothing in it, and the next update
 * brings the shelf to what it should be.
 *
 * What this rests on, and asks of a file system and a disk:
 *   - fdatasync returns when all that was written to the file before is on the disk, with the file's length; a write
 *     through a descriptor opened with O_DSYNC, when that write is (LMDB's meta pages come so).
 *   - What was written since may be there or not, write by write, in any order.
 *   - One write of at most a sector (LMDB's meta page is 120 bytes within its page) is there whole or not at all.
 * LMDB's files of the first start are not cut: an empty or half made database is made again, with nothing recorded. */
#include "scenarios.h"

enum { MOST = 20000, FEW = 6 /* unsynced writes of which every subset is tried */ };

typedef struct deed {
    enum { WRITE, SYNC, ACTION } kind;
    long long at;   /* WRITE: where in the file, … */
    size_t n;       /* … how many bytes, … */
    char *bytes;    /* … and which */
    bool durable;   /* it is its own sync */
    char *shelf;    /* ACTION: the shelf after it, as shelf_save writes it */
} deed;

static deed deeds[MOST];
static size_t ndeeds;
static long cut_disks;

/* ---- Recording ---- */

static bool of_database(int fd)
{
    char link[40], path[200];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return strcmp(path, own_db) == 0;
}

static void record_one(int fd, const struct iovec *v, long long at)
{
    deed *d = &deeds[ndeeds++];

    assert_true(ndeeds < MOST);
    *d = (deed){ .kind = WRITE, .at = at, .n = v->iov_len, .bytes = malloc(v->iov_len) };
    memcpy(d->bytes, v->iov_base, v->iov_len);
    d->durable = fcntl(fd, F_GETFL) & O_DSYNC;
}

static void record(const char *call, int fd, const struct iovec *v, int n, long long at)
{
    if (!of_database(fd)) return;
    if (at < 0) at = lseek(fd, 0, SEEK_CUR);
    if (strcmp(call, "fdatasync") == 0) deeds[ndeeds++] = (deed){ .kind = SYNC };
    for (int i = 0; i < n; at += (long long)v[i++].iov_len) record_one(fd, &v[i], at);
}

static char *file_text(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return strdup(text);
}

static coco_status recorded_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n; i++) {
        COCO_TRY(shelf_apply(self, &actions[i], 1, err));
        shelf_save(shelf_path);
        deeds[ndeeds++] = (deed){ .kind = ACTION, .shelf = file_text(shelf_path) };
    }
    return COCO_OK;
}

/* ---- A disk after the cut ---- */

static void write_at(FILE *f, const deed *d)
{
    assert_int_equal(fseeko(f, (off_t)d->at, SEEK_SET), 0);
    assert_int_equal(fwrite(d->bytes, 1, d->n, f), d->n);
}

/* The disk after `until` deeds: what is synced, and of the rest what `keep` has. */
static void make_disk(size_t until, const size_t *unsynced, size_t n, unsigned long keep)
{
    bool loose[MOST] = { false };
    FILE *f;

    copy_file(before_db, own_db);
    assert_non_null(f = fopen(own_db, "r+b"));
    for (size_t i = 0; i < n; i++) loose[unsynced[i]] = !(keep >> i & 1);
    for (size_t i = 0; i < until; i++)
        if (deeds[i].kind == WRITE && !loose[i]) write_at(f, &deeds[i]);
    fclose(f);
    shelf_load(before_path);
    for (size_t i = until; i-- > 0;)
        if (deeds[i].kind == ACTION) {
            FILE *shelf = fopen(shelf_path, "w");
            assert_non_null(shelf);
            fputs(deeds[i].shelf, shelf);
            fclose(shelf);
            shelf_load(shelf_path);
            break;
        }
}

static void recovers(size_t until, unsigned long keep, coco_status (*act)(void), const char *want)
{
    char *is;

    cut_disks++;
    if (open_world() != COCO_OK) fail_msg("cut after %zu, keeping %lx: %s", until, keep, w.err.msg);
    expect_sound(__FILE__, __LINE__);
    if (act() != COCO_OK) fail_msg("cut after %zu, keeping %lx: %s", until, keep, w.err.msg);
    is = shelf_text();
    if (strcmp(is, want) != 0) fail_msg("cut after %zu, keeping %lx: expected\n%sgot\n%s", until, keep, want, is);
    free(is);
    restart();
}

/* Which of at most 64 unsynced writes are there: the number of the case to a set; false: no more cases. */
static bool case_of(size_t n, unsigned number, unsigned long *keep)
{
    unsigned long all = n < 64 ? (1ul << n) - 1 : ~0ul;

    if (n <= FEW) return (*keep = number) <= all;
    if (number >= 2 * n + 2) return false;
    if (number < 2) *keep = number ? all : 0;
    else *keep = number < n + 2 ? 1ul << (number - 2) : all & ~(1ul << (number - 2 - n));
    return true;
}

static void cut_after(size_t until, char *const want[2])
{
    size_t unsynced[64], n = 0;
    unsigned long keep;

    for (size_t i = 0; i < until; i++) {
        if (deeds[i].kind == SYNC) n = 0;
        if (deeds[i].kind == WRITE && !deeds[i].durable && n < 64) unsynced[n++] = i;
    }
    for (unsigned c = 0; case_of(n, c, &keep); c++) {
        bool back = (until + c) % 2;
        make_disk(until, unsynced, n, keep);
        recovers(until, keep, back ? scenario_back : scenario_act, want[back]);
    }
}

static void every_power_cut_recovers(const scenario *s)
{
    static const sweep any = { .before = scenario_before, .act = scenario_act, .back = scenario_back,
                               .look = shelf_text };
    char *want[2];

    scenario_begins(s);
    sweep_wants(&any, want);
    scenario_before();
    shelf_sink.apply = recorded_apply;
    ndeeds = 0;
    gate_watch = record;
    assert_int_equal(scenario_act(), COCO_OK);
    gate_watch = NULL;
    restart();
    shelf_sink.apply = failing_apply;
    assert_true(ndeeds > 4);
    for (size_t until = 0; until <= ndeeds; until = (size_t)sweep_next((long)until)) cut_after(until, want);
    while (ndeeds) free(deeds[--ndeeds].bytes), free(deeds[ndeeds].shelf);
    free(want[0]);
    free(want[1]);
}

#define CUTS(name, ...) \
    static void name##_survives_a_power_cut(void **state) \
    { \
        (void)state; \
        every_power_cut_recovers(&(const scenario){ __VA_ARGS__ }); \
    }
SCENARIOS(CUTS)

static int say_disks(void **state)
{
    (void)state;
    print_message("swept: %ld disks after a power cut\n", cut_disks);
    return 0;
}

#define CUT_TEST(name, ...) SCENARIO_TEST(name##_survives_a_power_cut),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { SCENARIOS(CUT_TEST) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, say_disks);
}
