/* A database with arbitrary records under right checksums: it opens, is inspected, checked and updated, or refuses
 * with an error; one that passes check still does after an update; repaired, any does.
 *
 * A program with something of everything makes a database first. The input edits its records, one operation after the
 * other: {0, key as a blob, payload as a blob} puts a record, {1, n, at, bytes as a blob} overwrites part of the n-th,
 * {2, n} takes it away, {3, n, m} gives it the payload of another, {4, n, length} cuts it, {5, n} damages it. */
#include "fuzz.h"

#include <unistd.h>

/* ---- A target that keeps nothing, and a program ---- */

static coco_status apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n, (void)err;
    return COCO_OK;
}

static coco_sink sink = { .apply = apply, .name = "nothing" };

static coco_status reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    (void)cx, (void)self;
    out->act = !in->desired || in->npossible != 1 || in->may_be_missing || in->possible[0].n != 1;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    if (in->desired) out->record = COCO_STR("r");
    return COCO_OK;
}

static void handler(coco_target_handler *out);

static coco_status child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                         coco_target_handler *out)
{
    (void)cx, (void)self, (void)key, (void)desired, (void)record;
    handler(out);
    return COCO_OK;
}

static coco_status attachment(coco_ctx *cx, void *self, const char *name, coco_target_handler *out)
{
    (void)cx, (void)self, (void)name;
    handler(out);
    return COCO_OK;
}

static void handler(coco_target_handler *out)
{
    *out = (coco_target_handler){ .name = "nothing", .sink = &sink, .reconcile = reconcile, .child = child,
                                  .attachment = attachment };
}

static coco_status make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    handler(out);
    return COCO_OK;
}

static coco_target_type type = { .name = "nothing", .make = make };
COCO_AT_START(fuzz_target) { coco_target_register(&type); }

COCO_FN(twice, (int, i), .memo = true) { return coco_return(cx, coco_int(2 * i)); }
COCO_FN(thrice, (int, i), .memo = true) /* its result is kept apart */
{
    char much[COCO__PIECE + 30];
    coco_value v;

    COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(i)), &v));
    memset(much, 'a' + (int)(coco_int_of(v) + i) % 26, sizeof much);
    return coco_return(cx, coco_text_n((coco_str){ much, sizeof much }));
}
COCO_FN(owning, (int, i, coco_value, tab), .memo = true)
{
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(100 + i), coco_null());
}
COCO_FN(leaf, (int, i, coco_value, tab), .memo = true)
{
    coco_value was;
    int64_t id;

    COCO_TRY(coco_call(cx, &thrice, COCO_ARGS(coco_int(i)), NULL));
    COCO_TRY(coco_call(cx, &owning, COCO_ARGS(coco_int(i), tab), NULL));
    COCO_TRY(coco_generate_id(cx, coco_int(i), &id));
    COCO_TRY(coco_use_state(cx, coco_text("s"), coco_int(i), &was));
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(i), coco_null());
}
/* A few states with long keys, more than a page holds; the last key is too long for a record's. */
COCO_FN(wide, (int, n, coco_value, tab), .memo = true)
{
    char key[COCO__CUT + 30];

    for (int i = 1; i <= n; i++) {
        memset(key, 'a' + i, sizeof key);
        coco_value text = coco_text_n((coco_str){ key, i == n ? sizeof key : COCO__CUT * 5 / 6 });
        COCO_TRY(coco_declare(cx, coco_object_of(tab, &coco_target_class), text, coco_null()));
    }
    return COCO_OK;
}
COCO_FN(fuzz_main, ())
{
    coco_target *root = coco_target_new(cx, "nothing", coco_null(), NULL), *tab, *index;
    coco_value keys[] = { coco_int(1), coco_int(2) };

    COCO_TRY(coco_mount_target(cx, root, coco_text("tab"), coco_null(), NULL, &tab));
    COCO_TRY(coco_attachment(cx, tab, "index", &index));
    COCO_TRY(coco_declare(cx, index, coco_int(1), coco_null()));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a"), coco_text("b")), &wide,
                        COCO_ARGS(coco_int(8), coco_target_value(tab)), NULL));
    return coco_mount_each(cx, COCO_AUTO, &leaf, coco_source_of(cx, keys, keys, 2), COCO_ARGS(coco_target_value(tab)));
}

/* ---- The database ---- */

static char dir[64];
static coco_env *env;
static coco_app *app;
static struct { coco__dbkey key; char *payload; size_t n; } *records; /* of the database that was made first */
static size_t nrecords;

static bool swallow(void *user, const coco_failure *f)
{
    (void)user, (void)f;
    return true;
}

static void start(void)
{
    coco_app_config main_app = { .name = "fuzz", .main = &fuzz_main };

    PROMISE(coco_app_open(env, &main_app, &app, NULL) == COCO_OK);
}

/* Keeps a copy of each record. */
static void keep_records(void)
{
    MDB_val key, data;
    MDB_cursor *cur;
    MDB_txn *reader = NULL;
    coco__txn t;

    PROMISE(coco__read_begin(app, &reader, &t, NULL) == COCO_OK && mdb_cursor_open(t.mdb, t.dbi, &cur) == 0);
    while (mdb_cursor_get(cur, &key, &data, MDB_NEXT) == 0) {
        records = realloc(records, (nrecords + 1) * sizeof *records);
        PROMISE(records && (records[nrecords].payload = malloc(data.mv_size)));
        memcpy(records[nrecords].key.b, key.mv_data, records[nrecords].key.n = key.mv_size);
        memcpy(records[nrecords].payload, (char *)data.mv_data + 4, records[nrecords].n = data.mv_size - 4);
        nrecords++;
    }
    mdb_cursor_close(cur);
    coco__read_end(app, &t);
    mdb_txn_abort(reader);
}

static void make_database(void)
{
    coco_env_config config = { .db = dir, .map_size = (size_t)8 << 20, .on_failure = swallow };

    snprintf(dir, sizeof dir, "%s/coco-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    PROMISE(mkdtemp(dir) && coco_env_open(&config, &env, NULL) == COCO_OK);
    PROMISE(mdb_env_set_flags(env->mdb, MDB_NOSYNC, 1) == 0); /* it needn't outlive the machine */
    start();
    PROMISE(coco_update(app, NULL, NULL, NULL) == COCO_OK);
    keep_records();
    coco_app_close(app);
}

/* ---- Editing ---- */

static coco_status edit(coco__txn *t, coco__reader *r)
{
    static char payload[1 << 16];
    coco__dbkey k = { .n = 0 };
    coco_str key, bytes;
    uint8_t op = coco__read_byte(r) % 6;
    size_t i = op ? coco__read_byte(r) % nrecords : 0, n = records[i].n, at;

    memcpy(payload, records[i].payload, n < sizeof payload ? n : 0);
    if (op == 0) {
        key = coco__read_blob(r);
        bytes = coco__read_blob(r);
        if (r->bad || key.n == 0 || key.n > COCO__KEY_MAX) return COCO_OK;
        memcpy(k.b, key.p, k.n = key.n);
        return coco__put(t, &k, bytes.p, bytes.n);
    }
    if (op == 2) return coco__del(t, &records[i].key);
    if (op == 1) {
        at = n ? coco__read_byte(r) % n : 0;
        bytes = coco__read_blob(r);
        for (size_t b = 0; b < bytes.n && at + b < n; b++) payload[at + b] = bytes.p[b];
    } else if (op == 3) {
        size_t other = coco__read_byte(r) % nrecords;
        memcpy(payload, records[other].payload, n = records[other].n);
    } else if (op == 4) {
        n = n ? coco__read_byte(r) % n : 0;
    }
    COCO_TRY(coco__put(t, &records[i].key, payload, n));
    if (op != 5) return COCO_OK;
    MDB_val mk = { records[i].key.n, records[i].key.b }, mv = { n, payload };
    return mdb_put(t->mdb, t->dbi, &mk, &mv, 0) ? COCO_EIO : COCO_OK; /* its first bytes are no checksum */
}

static coco_status edits(void *self, coco__txn *t)
{
    coco__reader r = *(coco__reader *)self;
    coco_status rc = mdb_drop(t->mdb, t->dbi, 0) ? COCO_EIO : COCO_OK;

    for (size_t i = 0; i < nrecords && rc == COCO_OK; i++)
        rc = coco__put(t, &records[i].key, records[i].payload, records[i].n);
    for (int n = 0; n < 16 && coco__left(&r) && rc == COCO_OK; n++) rc = edit(t, &r);
    return rc;
}

/* ---- What is tried ---- */

enum { SEEN_MAX = 500 }; /* components that stand in one another have so many more */

static coco_status see_component(void *user, const coco_component_info *info)
{
    PROMISE(info->path && *info->path == '/');
    return ++*(int *)user > SEEN_MAX ? COCO_ESTOP : COCO_OK;
}
static coco_status see_state(void *user, const coco_component_info *info, const coco_state_info *s)
{
    (void)info;
    PROMISE(s->state);
    return ++*(int *)user > SEEN_MAX ? COCO_ESTOP : COCO_OK;
}
struct telling { const char *when; int *found; };
static coco_status see_problem(void *user, const coco_problem *p)
{
    const struct telling *to = user;

    if (getenv("SAY")) fprintf(stderr, "%s %s: %s\n", to->when, p->path, p->what);
    PROMISE(p->path && *p->what);
    if (to->found) ++*to->found;
    return COCO_OK;
}

/* What is found, when asked for, is counted. */
static coco_status check(const char *when, bool repair, int *found)
{
    coco_check_visitor v = { &(struct telling){ when, found }, see_problem };
    coco_check_opts opts = { .repair = repair, .same_process = true };
    coco_err err = { 0 };
    coco_status rc = coco_check(env, "fuzz", &opts, &v, &err);

    if (getenv("SAY")) fprintf(stderr, "%s: %d %s\n", when, rc, err.msg);
    return rc;
}

static void list(void)
{
    int seen = 0;
    coco_inspect_visitor v = { &seen, see_component, see_state };

    coco_inspect(env, "fuzz", NULL, 0, &v, NULL);
}

/* One that is sound stays so. After a repair, records that meant something else need not add up yet. */
static void update_checked(bool sound, bool repaired)
{
    coco_update(app, NULL, NULL, NULL);
    if (sound) PROMISE(check("updated", repaired, NULL) == COCO_OK);
}

static void repair(bool update)
{
    int found = 0;

    PROMISE(check("repaired", true, &found) == COCO_OK);
    if (update) update_checked(true, found != 0);
    else PROMISE(check("after the repair", false, NULL) == COCO_OK);
}

/* All would take ten times as long as reading does: the length of the input says what is done. */
static void use(size_t n)
{
    switch (n % 8) {
    case 0: repair(true); break;
    case 1: repair(false); break;
    case 2: update_checked(check("edited", false, NULL) == COCO_OK, false); break;
    case 3: case 4: update_checked(false, false); break;
    default: list(); check("edited", false, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    coco__reader r = coco__reader_of(data, n);
    coco__writer w = { edits, NULL, &r, false };

    if (!env) make_database();
    start();
    if (coco__write(app, &w, NULL) == COCO_OK) use(n);
    coco_app_close(app);
    return 0;
}
