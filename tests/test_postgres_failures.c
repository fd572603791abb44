/* test_postgres_failures.c - PostgreSQL when things go wrong: connections and processes that die, locks, hostile names
 * and values, and secrets (C0.5, C0.6, C3, S7.3, S7.10). */
#include "pg_world.h"

#include <ftw.h>
#include <sys/wait.h>

struct doc {
    int64_t id;
    coco_str body;
};
static const coco_schema DOCS = COCO_SCHEMA(struct doc,
    COCO_FIELD(struct doc, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct doc, body, COCO_TEXT_T));
static const coco_schema KEYED_BY_BOTH = COCO_SCHEMA(struct doc,
    COCO_FIELD(struct doc, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct doc, body, COCO_TEXT_T, .key = true));
static int die_at; /* the row in whose function the process dies; 0: none */

COCO_FN(put_doc, (coco_value, item, coco_table *, table), .memo = true)
{
    int64_t id = coco_int_of(coco_at(item, 0));
    struct doc d = { id, coco_format(cx, "body %lld", (long long)coco_int_of(coco_at(item, 1))) };

    if (die_at == id) kill(getpid(), SIGKILL);
    return coco_declare_row(cx, table, &d);
}

static const coco_schema *doc_schema = &DOCS;

static coco_status docs(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "docs", doc_schema, NULL, &t));
    return coco_mount_each(cx, COCO_AUTO, &put_doc, items(cx, plan.rows, true), COCO_ARGS(coco_table_value(t)));
}

#define DOCS_ARE "SELECT id, body FROM docs ORDER BY id"

/* ---- Deaths ------------------------------------------------------------------------------------------------------ */

/* A trigger that ends the connection which writes the row 2, the first time alone: a sequence outlives the rollback. */
#define KILL_ONCE \
    "CREATE SEQUENCE kills; CREATE FUNCTION kill_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 2 " \
    "THEN IF nextval('kills') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END IF; RETURN NEW; " \
    "END $$; " \
    "CREATE TRIGGER kill_once BEFORE INSERT OR UPDATE ON docs FOR EACH ROW EXECUTE FUNCTION kill_once()"

/* C3: a connection killed in the middle of a batch: nothing is half written, and the same update tries again. */
static void killed_connection_is_replaced_and_the_batch_repeated(void **state)
{
    (void)state;
    plan.rows = "9=90";
    pg_update(docs);
    sql(KILL_ONCE);
    plan.rows = "1=10 2=20 3=30";
    pg_update(docs);
    assert_true(sql_int("SELECT last_value FROM kills") >= 2);
    expect_sql(DOCS_ARE, "1|body 10", "2|body 20", "3|body 30");
}

/* The pool's connections die between two updates. */
static void connections_that_died_in_the_pool_are_passed_over(void **state)
{
    (void)state;
    plan.rows = "1=10";
    pg_update(docs);
    PQclear(PQexec(plan.conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                              "current_database() AND pid <> pg_backend_pid()"));
    plan.rows = "1=11";
    pg_update(docs);
    expect_sql(DOCS_ARE, "1|body 11");
}

/* S7.3: the process dies while rows are being declared; the next update converges. */
static void killed_process_converges_in_the_next_update(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    plan.opts.max_actions = 1;
    plan.rows = "1=10 2=20 3=30 4=40";
    pg_update(docs);
    restart();
    for (int row = 1; row <= 4; row++) {
        doc_schema = row % 2 ? &KEYED_BY_BOTH : &DOCS; /* a rebuild, too */
        fflush(NULL);
        if ((pid = fork()) == 0) {
            die_at = row;
            plan.rows = "1=11 2=21 3=31 4=41";
            pg_choose(docs);
            try_update(NULL);
            _exit(1);
        }
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(sql_int("SELECT count(*) FROM docs"), 4);
    }
    plan.rows = "1=11 2=21 3=31 4=41";
    pg_update(docs);
    expect_sql(DOCS_ARE, "1|body 11", "2|body 21", "3|body 31", "4|body 41");
    expect_no_rows("SELECT relname FROM pg_class WHERE relname LIKE 'coco%'");
    doc_schema = &DOCS;
}

/* S7.10: a lock that isn't to be had in time passes by itself: it is tried again within the budget. */
static void lock_held_by_others_is_waited_for(void **state)
{
    PGconn *other;
    pid_t pid;

    (void)state;
    plan.opts.lock_timeout_ms = 50;
    plan.rows = "1=10";
    pg_update(docs);
    fflush(NULL);
    if ((pid = fork()) == 0) {
        other = PQconnectdb(plan.conninfo);
        PQclear(PQexec(other, "BEGIN; LOCK TABLE docs; SELECT pg_sleep(0.4); COMMIT"));
        _exit(0);
    }
    while (sql_int("SELECT count(*) FROM pg_locks WHERE relation = 'docs'::regclass AND mode = "
                   "'AccessExclusiveLock'") < 1)
        pg__wait_ms(5);
    plan.rows = "1=11";
    pg_update(docs);
    waitpid(pid, NULL, 0);
    expect_sql(DOCS_ARE, "1|body 11");
}

/* ---- Hostile names and values ------------------------------------------------------------------------------------ */

static const char *hostile_table, *hostile_column, *hostile_schema, *hostile_index;
static coco_value hostile_value;

static coco_status hostile(coco_ctx *cx)
{
    coco_column columns[2] = { { "id", .type = COCO_TEXT_T, .key = true }, { hostile_column, .type = COCO_TEXT_T } };
    coco_schema *s = coco_alloc(cx, sizeof *s);
    coco_column *copy = coco_alloc(cx, sizeof columns);
    coco_value row[2] = { coco_text("'; DROP TABLE x; --"), hostile_value };
    coco_table *t;

    memcpy(copy, columns, sizeof columns);
    *s = (coco_schema){ .columns = copy, .n = 2 };
    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, hostile_table, s,
                                       &(coco_postgres_table_opts){ .schema = hostile_schema }, &t));
    COCO_TRY(coco_postgres_declare_index(cx, t, hostile_index, &(coco_postgres_index){
                                         .parts = (const char *const[]){ hostile_column, NULL }, .unique = true }));
    return coco_declare_values(cx, t, coco_list(row, 2));
}

/* C0.5: identifiers are quoted, never pasted: whatever is in a name, it works. */
static void hostile_names_work(void **state)
{
    static const char *const names[] = { "\"; DROP TABLE x; --", "'quoted'", "new\nline", "per%cent %s %I", "a\\b",
                                         "Gr\xc3\xb6\xc3\x9f", "select", "a,b" };

    (void)state;
    sql("CREATE TABLE x (a int)");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        hostile_table = names[i];
        hostile_column = names[(i + 1) % 8];
        hostile_schema = names[(i + 2) % 8];
        hostile_index = names[(i + 3) % 8];
        hostile_value = coco_text("v");
        pg_update(hostile);
        hostile_value = coco_text("w");
        pg_update(hostile);
        restart();
        pg_choose(hostile);
        expect_nothing_written();
        pg_drop();
        restart();
        pg_choose(hostile);
    }
    expect_sql("SELECT count(*) FROM x", "0");
}

/* A name of over 63 bytes, which the server would cut, is an error before anything is written. */
static void too_long_name_is_refused_before_anything_is_written(void **state)
{
    char *name = malloc(10001);

    (void)state;
    memset(name, 'n', 10000);
    name[10000] = '\0';
    hostile_value = coco_text("v");
    for (int i = 0; i < 4; i++)
        for (int length = 64; length <= 10000; length += 10000 - 64) {
            const char *longer = name + 10000 - length;
            hostile_table = i == 0 ? longer : "t";
            hostile_column = i == 1 ? longer : "c";
            hostile_schema = i == 2 ? longer : NULL;
            hostile_index = i == 3 ? longer : "i";
            pg_choose(hostile);
            assert_int_equal(try_update(NULL), COCO_EINVAL);
            assert_true(said("bytes long, over PostgreSQL's 63"));
            expect_no_rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'nnn%'");
        }
    hostile_table = name + 10000 - 63;
    hostile_column = name + 10000 - 62;
    hostile_schema = NULL;
    hostile_index = name + 10000 - 61;
    pg_update(hostile);
    expect_sql("SELECT length(relname) FROM pg_class WHERE relname LIKE 'nnn%' AND relkind = 'r'", "63");
    free(name);
}

/* Values of any content and size are values. */
static void hostile_values_are_values(void **state)
{
    char *big = malloc(10001);

    (void)state;
    memset(big, '\'', 10000);
    big[10000] = '\0';
    hostile_table = "t", hostile_column = "c", hostile_schema = NULL, hostile_index = "i";
    hostile_value = coco_text(big + 8000); /* an index takes no 10,000 bytes */
    pg_update(hostile);
    expect_sql("SELECT id, c = repeat('''', 2000) FROM t", "'; DROP TABLE x; --|t");
    free(big);
}

static const coco_schema NO_TYPE = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true, .sql_type = "bigint); DROP TABLE x; --" } }, .n = 1 };

static coco_status text_type(coco_ctx *cx)
{
    coco_table *t;

    return coco_postgres_mount_table(cx, DB_REF, "t", &NO_TYPE, NULL, &t);
}

static void sql_type_is_nothing_but_a_type(void **state)
{
    (void)state;
    pg_choose(text_type);
    assert_int_equal(try_update(NULL), COCO_EINVAL);
    assert_true(said("is no SQL type"));
}

/* ---- Secrets ----------------------------------------------------------------------------------------------------- */

#define SECRET "s3cr3t-Passw0rd"

static lines logged;

static void keep_log(void *user, coco_log_level level, const char *message)
{
    (void)user, (void)level;
    lines_add(&logged, "%s", message);
}

static bool file_has_secret;

static int look_for_secret(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    size_t n = (size_t)st->st_size;
    FILE *f = type == FTW_F ? fopen(path, "rb") : NULL;
    char *content = f ? malloc(n + 1) : NULL;

    (void)ftw;
    if (content) {
        n = fread(content, 1, n, f);
        for (size_t i = 0; i + sizeof SECRET - 1 <= n; i++)
            file_has_secret |= memcmp(content + i, SECRET, sizeof SECRET - 1) == 0;
    }
    free(content);
    if (f) fclose(f);
    return 0;
}

static void expect_no_secret(const lines *l, const char *what)
{
    for (size_t i = 0; i < l->n; i++)
        if (strstr(l->v[i], SECRET)) fail_msg("%s: %s", what, l->v[i]);
}

/* C0.5: secrets never reach a log, an error message or the state database, whatever is wrong with the string. */
static void secrets_of_a_connection_string_appear_nowhere(void **state)
{
    const char *wrong[] = { "host=%s password=" SECRET " bogus", "host=%s password='" SECRET, "host=%s " SECRET "=1",
                            "postgresql://test:" SECRET "%%zz@/test?host=%s",
                            "postgresql://test:" SECRET "@[::1/test?h=%s",
                            "postgresql://test:" SECRET "@/test?host=%s&" SECRET "=1",
                            "host=%s user=nobody_here password=" SECRET,
                            "host=%s user=test dbname=none password=" SECRET,
                            "host=%s/none user=test password=" SECRET, "postgresql://test:" SECRET "@/none?host=%s",
                            "host=%s user=test dbname=" SECRET " password=" SECRET };
    char conninfo[sizeof plan.conninfo];

    (void)state;
    w.env_config.on_log = keep_log;
    w.env_config.log_level = COCO_LOG_DEBUG;
    plan.opts.retry_ms = 100;
    plan.rows = "1=10";
    memcpy(conninfo, plan.conninfo, sizeof conninfo);
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        const char *fmt = i < sizeof wrong / sizeof wrong[0] ? wrong[i] : NULL;
        if (fmt) snprintf(plan.conninfo, sizeof plan.conninfo, fmt, pg.dir);
        else snprintf(plan.conninfo, sizeof plan.conninfo, "%.200s password=" SECRET, conninfo);
        restart();
        pg_choose(docs);
        if (fmt) assert_int_not_equal(try_update(NULL), COCO_OK);
        else pg_update(docs);
        if (strstr(w.err.msg, SECRET)) fail_msg("%s", w.err.msg);
        expect_no_secret(&w.failures, "failure");
        expect_no_secret(&w.events, "event");
        expect_no_secret(&logged, "log");
    }
    restart();
    file_has_secret = false;
    nftw(w.dir, look_for_secret, 8, FTW_PHYS);
    assert_false(file_has_secret);
    lines_clear(&logged);
}

/* Waits no longer than the options say, and says what the server says. */
static void unreachable_server_is_an_error_after_the_budget(void **state)
{
    time_t begun = time(NULL);

    (void)state;
    plan.opts.retry_ms = 200;
    snprintf(plan.conninfo, sizeof plan.conninfo, "host=/nowhere-at-all user=test");
    pg_choose(docs);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("No such file or directory"));
    assert_true(time(NULL) - begun < 8);
}

int main(void)
{
    const struct CMUnitTest postgres_failures[] = {
        PG_TEST(killed_connection_is_replaced_and_the_batch_repeated),
        PG_TEST(connections_that_died_in_the_pool_are_passed_over),
        PG_TEST(killed_process_converges_in_the_next_update),
        PG_TEST(lock_held_by_others_is_waited_for),
        PG_TEST(hostile_names_work),
        PG_TEST(too_long_name_is_refused_before_anything_is_written),
        PG_TEST(hostile_values_are_values),
        PG_TEST(sql_type_is_nothing_but_a_type),
        PG_TEST(secrets_of_a_connection_string_appear_nowhere),
        PG_TEST(unreachable_server_is_an_error_after_the_budget),
    };

    return PG_RUN(postgres_failures, false);
}
