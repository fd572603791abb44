/* conformance.c - see conformance.h. The handler under test is wrapped: its reconcile is asked what the case says in
 * place of what the engine has recorded, and the engine, told to act in any case, carries the action to the sink. So a
 * case is an update of a program that declares one state, and the whole is a loop over cases. */
#include "conformance.h"

#include <stdlib.h>

enum { COCO__MAX = 8, COCO__ABSENT = COCO__MAX, COCO__UNREADABLE, COCO__NOTHING }; /* possibilities beside records */

/* What one update tries. */
typedef struct coco__case {
    int desired;    /* number of the value, or -1 for none */
    int possible[2]; /* records by number, COCO__ABSENT, COCO__UNREADABLE; COCO__NOTHING: no (second) one */
    bool may_be_missing;
    int real;       /* the state set before */
} coco__case;

static struct coco__trial {
    const coco_conformance *c;
    coco_conformance_result *result;
    coco_target_handler inner;   /* as its maker gave it */
    coco_str records[COCO__MAX]; /* of each desired value; p NULL: not known yet */
    coco__case now;
    bool acted;                  /* the handler's answer */
    char first[COCO_ERR_MAX];    /* violation */
} *coco__trial;

static const char *coco__possible_name(int p, char out[40])
{
    if (p == COCO__ABSENT) return "absent";
    if (p == COCO__UNREADABLE) return "an unreadable record";
    snprintf(out, 40, "the record of value %d", p);
    return out;
}

static const char *coco__real_name(int state, char out[40])
{
    if (state == COCO_REAL_NONE) return "nothing";
    if (state == COCO_REAL_OTHER) return "something else";
    snprintf(out, 40, state < coco__trial->c->ndesired ? "value %d" : "odd state %d",
             state < coco__trial->c->ndesired ? state : state - coco__trial->c->ndesired);
    return out;
}

static void coco__violation(const char *what, const char *detail)
{
    const coco__case *k = &coco__trial->now;
    char a[40], b[40], there[40], want[40], text[COCO_ERR_MAX];
    bool none = k->possible[0] == COCO__NOTHING, two = k->possible[1] != COCO__NOTHING;

    snprintf(text, sizeof text, "possible: %s%s%s%s; there: %s; desired: %s: %s%s%s",
             none ? "never tracked" : coco__possible_name(k->possible[0], a), two ? " or " : "",
             two ? coco__possible_name(k->possible[1], b) : "", k->may_be_missing ? ", may be missing" : "",
             coco__real_name(k->real, there), coco__real_name(k->desired, want), what, *detail ? ": " : "", detail);
    if (coco__trial->result->violations++ == 0) snprintf(coco__trial->first, sizeof coco__trial->first, "%s", text);
    if (coco__trial->c->violation) coco__trial->c->violation(coco__trial->c->user, text);
}

/* ---- The handler, wrapped ---- */

static void coco__check_decision(const coco_change *in, const coco_decision *a, const coco_decision *b)
{
    const coco__case *k = &coco__trial->now;
    bool known = in->npossible == 1 && !in->may_be_missing && in->possible[0].p;
    bool same_record = !a->record.p == !b->record.p && coco_str_equal(a->record, b->record);

    if (a->act != b->act || (a->act && a->action.kind != b->action.kind) || a->children != b->children || !same_record)
        coco__violation("asked twice it answers differently", "");
    if (in->desired && !a->act && !known) coco__violation("it keeps what may not be there", "");
    if (in->desired && !a->act && known && k->possible[0] != k->desired)
        coco__violation("it keeps what isn't as desired", "");
    if (in->desired && a->act && known && k->possible[0] == k->desired)
        coco__violation("it writes what is as desired", "");
    if (in->desired && a->act && !a->record.p) coco__violation("it gives no record", "");
    if (!in->desired && a->act && a->record.p) coco__violation("it gives a record for what should be gone", "");
    if (a->record.n > (size_t)1 << 20) coco__violation("its record is over 1 MiB", "");
}

/* Asks what the case says, twice; the engine is told to act, so that the action comes to the sink. */
static coco_status coco__ask(coco_ctx *cx, void *self, const coco_change *engine, coco_decision *out)
{
    struct coco__trial *t = coco__trial;
    coco_str possible[2];
    coco_change in = { .key = engine->key, .possible = possible, .may_be_missing = t->now.may_be_missing };
    coco_decision again = { .act = false };
    const coco_str unreadable = COCO_STR("\xff\xfe not a record of this handler");

    if (!engine->desired) return COCO_OK; /* the end: what the engine has recorded goes without an action */
    if (t->now.desired >= 0) in.desired = &t->c->desired[t->now.desired];
    for (int i = 0; i < 2 && t->now.possible[i] != COCO__NOTHING; i++)
        possible[in.npossible++] = t->now.possible[i] == COCO__ABSENT       ? (coco_str){ NULL, 0 }
                                   : t->now.possible[i] == COCO__UNREADABLE ? unreadable
                                                                            : t->records[t->now.possible[i]];
    COCO_TRY(t->inner.reconcile(cx, self, &in, &again));
    COCO_TRY(t->inner.reconcile(cx, self, &in, out));
    coco__check_decision(&in, &again, out);
    if (t->now.desired >= 0 && !t->records[t->now.desired].p && out->record.p) {
        char *copy = malloc(out->record.n + 1);
        if (!copy) return COCO_ENOMEM;
        if (out->record.n) memcpy(copy, out->record.p, out->record.n);
        t->records[t->now.desired] = (coco_str){ copy, out->record.n };
    }
    t->acted = out->act;
    if (!out->act) return COCO_ESTOP; /* the engine can't take this for an answer, it knows another past */
    out->record = COCO_STR("conformance");
    out->children = COCO_CHILDREN_KEPT;
    return COCO_OK;
}

static coco_status coco__make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)key;
    if (!coco__trial) return coco_fail(cx, COCO_EINVAL, "no conformance test is running");
    COCO_TRY(coco__trial->c->make(cx, coco__trial->c->user, &coco__trial->inner));
    *out = coco__trial->inner;
    out->reconcile = coco__ask;
    out->exists = NULL; /* asked by itself */
    return COCO_OK;
}

static coco_target_type coco__type = { "conformance", coco__make, NULL };

/* ---- exists and verify ---- */

static coco_status coco__look_exists(coco_ctx *cx, int record)
{
    struct coco__trial *t = coco__trial;
    bool exists = false;
    coco_str shape = { NULL, 0 };

    COCO_TRY(t->inner.exists(cx, t->inner.self, t->c->key, t->records[record], &exists, &shape));
    t->result->cases++;
    if (t->now.real >= t->c->ndesired) return COCO_OK; /* it may see half a container as one, or as none */
    if (exists != (t->now.real != COCO_REAL_NONE)) coco__violation("exists says", exists ? "it is there" : "it isn't");
    if (exists && t->now.real == record && shape.p && !coco_str_equal(shape, t->records[record]))
        coco__violation("exists gives another shape than the record of what is there", "");
    return COCO_OK;
}

static coco_status coco__look_verify(coco_ctx *cx, int record)
{
    static const char *const said[] = { "as recorded", "missing", "different", "can't tell" };
    struct coco__trial *t = coco__trial;
    coco_finding f = { .key = t->c->key, .record = t->records[record], .verdict = COCO_STATE_UNKNOWN };
    coco_verdict is = t->now.real == record ? COCO_STATE_OK
                      : t->now.real == COCO_REAL_NONE ? COCO_STATE_MISSING : COCO_STATE_DIFFERENT;

    COCO_TRY(t->inner.verify(cx, t->inner.self, &f, 1));
    t->result->cases++;
    if (t->now.real < t->c->ndesired && f.verdict != is && f.verdict != COCO_STATE_UNKNOWN)
        coco__violation("verify says", said[f.verdict]);
    return COCO_OK;
}

static coco_status coco__look(coco_ctx *cx, const coco_value *args)
{
    (void)args;
    struct coco__trial *t = coco__trial;
    coco_target *target = coco_target_new(cx, "conformance", coco_null(), NULL);

    if (!target) return coco_error(cx);
    for (t->now.real = COCO_REAL_NONE; t->now.real < t->c->ndesired + t->c->nodd; t->now.real++) {
        if (!(t->c->container && t->inner.exists) && !t->inner.verify) return COCO_OK;
        COCO_TRY(t->c->set(t->c->user, t->now.real));
        for (int i = 0; i < t->c->ndesired; i++) {
            t->now = (coco__case){ -1, { i, COCO__NOTHING }, false, t->now.real };
            if (t->c->container && t->inner.exists) COCO_TRY(coco__look_exists(cx, i));
            if (t->inner.verify) COCO_TRY(coco__look_verify(cx, i));
        }
    }
    return COCO_OK;
}

/* ---- Cases ---- */

static coco_status coco__declare_it(coco_ctx *cx, const coco_value *args)
{
    (void)args;
    const coco_conformance *c = coco__trial->c;
    coco_target *target = coco_target_new(cx, "conformance", coco_null(), NULL), *child;
    coco_value any = c->desired[coco__trial->now.desired >= 0 ? coco__trial->now.desired : 0];

    if (c->container) return coco_declare_container(cx, target, c->key, any, NULL, &child);
    return coco_declare(cx, target, c->key, any);
}

/* Registered by a run alone: a program that links this has no more functions than its own. */
static coco_fn coco__look_fn = { .name = "conformance look", .call = coco__look };
static coco_fn coco__declare_fn = { .name = "conformance", .call = coco__declare_it };

static coco_status coco__update_with(coco_env *env, const coco_fn *fn, coco_err *err)
{
    coco_app_config config = { .name = "conformance", .main = fn };
    coco_update_opts opts = { .full_reprocess = true };
    coco_app *app;
    coco_status rc;

    COCO_TRY(coco_app_open(env, &config, &app, err));
    rc = coco_update(app, &opts, NULL, err);
    coco_app_close(app);
    return rc;
}

static bool coco__among(const coco__case *k, int p) { return k->possible[0] == p || k->possible[1] == p; }

/* Where the handler keeps what is there the update stops at once. */
static coco_status coco__one_update(coco_env *env, const char *what)
{
    const coco_conformance *c = coco__trial->c;
    coco_err err = { 0 };
    coco_status rc;
    char name[40];
    int state = COCO_REAL_OTHER;

    coco__trial->acted = false;
    coco__trial->result->cases++;
    rc = coco__update_with(env, &coco__declare_fn, &err);
    if (rc == COCO_ENOMEM) return rc;
    if (rc != COCO_OK && coco__trial->acted) coco__violation(what, err.msg);
    else if (rc != COCO_OK && rc != COCO_ESTOP) coco__violation("reconcile fails", err.msg);
    if (rc != COCO_OK && (coco__trial->acted || rc != COCO_ESTOP)) return COCO_OK;
    COCO_TRY(c->get(c->user, &state));
    if (c->keeps_unknown && coco__trial->now.desired < 0 && coco__among(&coco__trial->now, COCO__UNREADABLE))
        return COCO_OK;
    if (state != coco__trial->now.desired && (coco__trial->acted || coco__trial->now.desired >= 0))
        coco__violation(what, coco__real_name(state, name));
    return COCO_OK;
}

static coco_status coco__one_case(coco_env *env, const coco__case *k)
{
    coco__trial->now = *k;
    COCO_TRY(coco__trial->c->set(coco__trial->c->user, k->real));
    COCO_TRY(coco__one_update(env, "afterwards the target holds"));
    return coco__trial->acted ? coco__one_update(env, "applied again, the target holds") : COCO_OK;
}

/* May the target really be in that state, by what is recorded? What is known to be there is there. */
static bool coco__may_be(const coco__case *k, int real)
{
    bool anything = k->possible[0] == COCO__NOTHING || coco__among(k, COCO__UNREADABLE);

    if (real == COCO_REAL_NONE) return k->may_be_missing || anything || coco__among(k, COCO__ABSENT);
    if (real >= coco__trial->c->ndesired) return anything || k->possible[1] != COCO__NOTHING || k->may_be_missing;
    return anything || coco__among(k, real);
}

static coco_status coco__cases_of(coco_env *env, coco__case *k)
{
    const coco_conformance *c = coco__trial->c;
    bool untracked = k->possible[0] == COCO__NOTHING, absent = coco__among(k, COCO__ABSENT);

    for (int missing = untracked || absent; missing < 2; missing++)
        for (k->desired = -1; k->desired < c->ndesired; k->desired++)
            for (k->real = COCO_REAL_NONE; k->real < c->ndesired + c->nodd; k->real++) {
                k->may_be_missing = missing;
                if ((untracked || (absent && k->possible[1] == COCO__NOTHING)) && k->desired < 0) continue;
                if (coco__may_be(k, k->real)) COCO_TRY(coco__one_case(env, k));
            }
    return COCO_OK;
}

static coco_status coco__all_cases(coco_env *env)
{
    const int n = coco__trial->c->ndesired;
    coco__case k = { -1, { COCO__NOTHING, COCO__NOTHING }, true, COCO_REAL_NONE };

    for (k.desired = 0; k.desired < n; k.desired++) { /* also learns their records */
        k.real = COCO_REAL_NONE;
        COCO_TRY(coco__one_case(env, &k));
    }
    COCO_TRY(coco__cases_of(env, &k));
    for (int i = 0; i <= COCO__UNREADABLE; i++)
        for (int j = i + 1; j <= COCO__NOTHING; j++) {
            bool records = (i >= n && i < COCO__ABSENT) || (j >= n && j < COCO__ABSENT);
            k.possible[0] = i;
            k.possible[1] = j;
            if (!records) COCO_TRY(coco__cases_of(env, &k));
        }
    return COCO_OK;
}

coco_status coco_conformance_run(const coco_conformance *c, const char *db, coco_conformance_result *result,
                                 coco_err *err)
{
    coco_conformance_result own;
    struct coco__trial trial = { .c = c, .result = result ? result : &own };
    coco_env_config config = { .db = db, .map_size = (size_t)64 << 20, .setup = c->setup, .user = c->user };
    coco_env *env;
    coco_status rc;

    if (c->ndesired < 1 || c->ndesired > COCO__MAX || !c->make || !c->set || !c->get)
        return coco_err_set(err, COCO_EINVAL, "conformance: make, set, get and 1 to %d desired values are needed",
                            COCO__MAX);
    *trial.result = (coco_conformance_result){ 0, 0 };
    coco_target_register(&coco__type);
    coco_register(&coco__look_fn);
    coco_register(&coco__declare_fn);
    COCO_TRY(coco_env_open(&config, &env, err));
    coco__trial = &trial;
    rc = coco__all_cases(env);
    if (rc == COCO_OK) rc = coco__update_with(env, &coco__look_fn, err);
    coco__trial = NULL;
    coco_env_close(env);
    for (int i = 0; i < COCO__MAX; i++) free((void *)(uintptr_t)trial.records[i].p);
    if (rc != COCO_OK) return err && err->code == rc ? rc : coco_err_set(err, rc, "%s", coco_status_text(rc));
    if (trial.result->violations == 0) return COCO_OK;
    return coco_err_set(err, COCO_EFAIL, "%llu of %llu cases violate the duties of a handler, the first: %s",
                        (unsigned long long)trial.result->violations, (unsigned long long)trial.result->cases,
                        trial.first);
}
