/* power.h - power cuts: of one update every write and sync of the database file is recorded, and what is done outside;
 * then the disk is rebuilt as it may be after each of them: everything up to the last sync, and of what came since then
 * nothing, all, each alone, or all but each one (each subset, where there are few). Each such database opens, `check`
 * finds nothing in it, and the next update, forward or back, brings what is outside to what it should be.
 *
 * What this rests on, and asks of a file system and a disk:
 *   - fdatasync returns when all that was written to the file before is on the disk, with the file's length; a write
 *     through a descriptor opened with O_DSYNC, when that write is (LMDB's meta pages come so).
 *   - What was written since may be there or not, write by write, in any order.
 *   - One write of at most a sector (LMDB's meta page is 120 bytes within its page) is there whole or not at all.
 * LMDB's files of the first start are not cut: an empty or half made database is made again, with nothing recorded. */
#ifndef COCO_TEST_POWER_H
#define COCO_TEST_POWER_H

enum { MOST = 20000, FEW = 6 /* of which every subset is tried */ };

typedef struct deed {
    enum { WRITE, SYNC, OUTSIDE } kind;
    long long at;   /* WRITE: where in the file, … */
    size_t n;       /* … how many bytes, … */
    char *bytes;    /* … and which */
    bool durable;   /* it is its own sync */
    void *what;     /* OUTSIDE: as the test knows it; freed */
} deed;

typedef struct power {
    coco_status (*act)(void), (*back)(void); /* as of a sweep */
    char *(*look)(void);
    char *want[2];                           /* what is to be seen after each */
    void (*outside)(size_t until, const bool *lost);     /* makes it as the deeds so far but the lost ones left it */
    bool (*may_be_lost)(size_t deed, size_t until);      /* of those outside; NULL: none */
} power;

static deed deeds[MOST];
static size_t ndeeds;
static long cut_disks;

/* ---- Recording ---- */

static inline void deed_add(deed d)
{
    deeds[ndeeds++] = d;
    assert_true(ndeeds < MOST);
}

/* The path of an open file. */
static inline const char *path_of(int fd, char path[300])
{
    char link[40];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, 299);
    path[n > 0 ? n : 0] = 0;
    return path;
}

/* Records a call, if it is the database's. */
static inline bool power_record(const char *call, int fd, const struct iovec *v, int n, long long at)
{
    char path[300];

    if (strcmp(path_of(fd, path), own_db) != 0) return false;
    if (at < 0) at = lseek(fd, 0, SEEK_CUR);
    if (strcmp(call, "fdatasync") == 0) deed_add((deed){ .kind = SYNC });
    for (int i = 0; i < n; at += (long long)v[i++].iov_len) {
        char *bytes = malloc(v[i].iov_len);
        memcpy(bytes, v[i].iov_base, v[i].iov_len);
        deed_add((deed){ .kind = WRITE, .at = at, .n = v[i].iov_len, .bytes = bytes,
                         .durable = fcntl(fd, F_GETFL) & O_DSYNC });
    }
    return true;
}

/* ---- A disk after the cut ---- */

static inline bool power_may_lose(const power *p, size_t i, size_t until)
{
    if (deeds[i].kind == OUTSIDE) return p->may_be_lost && p->may_be_lost(i, until);
    if (deeds[i].kind == SYNC || deeds[i].durable) return false;
    while (++i < until)
        if (deeds[i].kind == SYNC) return false;
    return true;
}

static inline void power_disk(const power *p, size_t until, const bool *lost)
{
    FILE *f;

    copy_file(before_db, own_db);
    assert_non_null(f = fopen(own_db, "r+b"));
    for (size_t i = 0; i < until; i++) {
        if (deeds[i].kind != WRITE || lost[i]) continue;
        assert_int_equal(fseeko(f, (off_t)deeds[i].at, SEEK_SET), 0);
        assert_int_equal(fwrite(deeds[i].bytes, 1, deeds[i].n, f), deeds[i].n);
    }
    fclose(f);
    p->outside(until, lost);
}

static inline void power_recovers(const power *p, size_t until, unsigned long keep, bool back)
{
    char *is;

    cut_disks++;
    if (open_world() != COCO_OK) fail_msg("cut after %zu, keeping %lx: %s", until, keep, w.err.msg);
    expect_sound(__FILE__, __LINE__);
    if ((back ? p->back : p->act)() != COCO_OK) fail_msg("cut after %zu, keeping %lx: %s", until, keep, w.err.msg);
    is = p->look();
    if (strcmp(is, p->want[back]) != 0)
        fail_msg("cut after %zu, keeping %lx: expected\n%sgot\n%s", until, keep, p->want[back], is);
    free(is);
    restart();
}

/* Which of at most 64 deeds are there: the number of the case to a set; false: no more cases. */
static inline bool power_case(size_t n, unsigned number, unsigned long *keep)
{
    unsigned long all = n < 64 ? (1ul << n) - 1 : ~0ul;

    if (n <= FEW) return (*keep = number) <= all;
    if (number >= 2 * n + 2) return false;
    if (number < 2) *keep = number ? all : 0;
    else *keep = number < n + 2 ? 1ul << (number - 2) : all & ~(1ul << (number - 2 - n));
    return true;
}

static inline void power_cut_after(const power *p, size_t until)
{
    static bool lost[MOST];
    size_t loose[64], n = 0;
    unsigned long keep;

    for (size_t i = 0; i < until && n < 64; i++)
        if (power_may_lose(p, i, until)) loose[n++] = i;
    for (unsigned c = 0; power_case(n, c, &keep); c++) {
        for (size_t i = 0; i < n; i++) lost[loose[i]] = !(keep >> i & 1);
        power_disk(p, until, lost);
        power_recovers(p, until, keep, (until + c) % 2);
    }
    for (size_t i = 0; i < n; i++) lost[loose[i]] = false;
}

/* Cuts the power after each of the deeds that were recorded, and forgets them. */
static inline void power_cuts(const power *p)
{
    assert_true(ndeeds > 4);
    for (size_t until = 0; until <= ndeeds; until = (size_t)sweep_next((long)until)) power_cut_after(p, until);
    while (ndeeds) free(deeds[--ndeeds].bytes), free(deeds[ndeeds].what);
    free(p->want[0]);
    free(p->want[1]);
}

static inline int say_disks(void **state)
{
    (void)state;
    print_message("swept: %ld disks after a power cut\n", cut_disks);
    return 0;
}

#endif /* COCO_TEST_POWER_H */
