/* failure.c - what has failed: who is told, what it is to a caller, and what is remembered of it.
 *
 * Floor: above sink, below submit. */
#include "engine.h"

/* Tells the handlers from the innermost one, at last the environment's. One that fails itself makes its error what the
 * outer ones are told, and the failure stays beside it (S9.8). */
static bool coco__tell(coco__run *run, const coco_failure *f, const coco__catch *c)
{
    const coco_env_config *config = &run->env->config;
    coco_failure_fn fn = c ? c->fn : config->on_failure;
    coco_failure told = *f;
    coco_err own = { 0 };

    told.handler = &own;
    bool swallowed = fn && fn(c ? c->user : config->user, &told);
    if (own.code) told.first = f->first ? f->first : f, told.code = own.code, told.message = own.msg;
    else if (swallowed) return true;
    if (c) return coco__tell(run, &told, c->up);
    coco__log(run->env, COCO_LOG_ERROR, "%s: %s: %s%s%s", told.path, told.function, told.message,
              told.first ? "; told of: " : "", told.first ? told.first->message : "");
    return false;
}

COCO__IN bool coco__fail_path(coco__run *run, const coco_failure *f, coco__catch *catches)
{
    coco_failure full = *f;
    coco__failed_path *p;

    full.env = run->env->name;
    full.app = run->app->name;
    if (!run->nfailed++) coco_err_set(&run->first, full.code, "%s: %s", full.path, full.message);
    if (run->nfailed_paths < 100 && (p = coco__arena_zalloc(&run->arena, sizeof *p)) != NULL &&
        (p->path = coco__arena_text(&run->arena, full.path)) != NULL) {
        *run->failed_last = p;
        run->failed_last = &p->next;
        run->nfailed_paths++;
    }
    return coco__tell(run, &full, catches);
}

/* The failure of a used component is its caller's; it is reported by itself where the caller ends well all the same. */
static void coco__fail_used(coco__comp *c, const coco_failure *f)
{
    coco__arena *a = c->parent->shared;
    coco__used_failure *u = coco__arena_zalloc(a, sizeof *u);

    if (!u) return;
    u->failure = *f;
    u->failure.path = coco__arena_text(a, f->path);
    u->failure.message = coco__arena_text(a, f->message);
    u->catches = c->catches;
    if (!u->failure.path || !u->failure.message) return;
    u->next = c->parent->used_failures;
    c->parent->used_failures = u;
}

/* Tokens don't pass an operation with a failure that nobody swallowed (S8.1). */
static void coco__op_outcome(coco__comp *c, bool swallowed)
{
    for (coco__op *op = swallowed ? NULL : c->op; op; op = op->outer) op->failed = true;
}

COCO__IN void coco__fail_uncaught(coco__comp *c)
{
    for (coco__used_failure *u = c->used_failures; u; u = u->next)
        coco__op_outcome(c, coco__fail_path(c->run, &u->failure, u->catches));
}

static void coco__report(coco__comp *c, const char *message)
{
    coco_failure f = { .function = c->fn ? c->fn->name : "", .kind = c->kind, .code = c->code, .message = message };
    coco__buf path;

    coco__buf_init(&path, c->run->mem);
    coco__node_path(&c->node, &path);
    f.path = coco__path_shown(&path);
    if (c->kind == COCO_MOUNT_USE) coco__fail_used(c, &f);
    else coco__op_outcome(c, coco__fail_path(c->run, &f, c->catches));
    coco__buf_free(&path);
}

COCO__IN void coco__fail(coco__comp *c, coco_status code, const char *message)
{
    if (!message || !*message) message = coco_status_text(code);
    c->failed = true;
    c->code = code;
    if (c->handle) {
        coco__arena *a = c->parent ? c->parent->shared : &c->run->arena;
        c->handle->status = code;
        c->handle->message = coco__arena_text(a, message);
    }
    if (c->kind == COCO_MOUNT_ROOT) {
        c->run->root_status = code;
        c->run->root_message = coco__arena_text(&c->run->arena, message);
    }
    if (code == COCO_ESTOP) coco__op_outcome(c, false);
    if (code == COCO_ESTOP) return; /* a stop is no failure of its own */
    coco__count_fn(c->run->app, c->fn, COCO__ERRORS, 1);
    coco__emit(c->run, COCO_EV_FAILED, c, message);
    coco__report(c, message);
}
