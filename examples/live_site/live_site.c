/* live_site - md2html live, behind a small HTTP server in the same process: a page that is open in a browser is loaded
 * again when it changed.
 *
 *     live_site SOURCE OUT STATE [PORT]
 *
 * A library inside a host program: the update runs on a thread of its own (coco_update_start) until Ctrl-C, the server
 * (server.c) on others. They meet in one place: after each target state that was written the update calls on_event,
 * which tells the server. */
#define MD2HTML_INCLUDED
#include "../md2html/md2html.c"

#include "server.h"

#include <stdlib.h>

static void on_event(void *user, const coco_event *e)
{
    (void)user;
    if (e->kind == COCO_EV_APPLIED) server_written();
    if (e->kind == COCO_EV_READY) fprintf(stderr, "all pages are made; following changes\n");
}

static bool on_failure(void *user, const coco_failure *f)
{
    (void)user;
    fprintf(stderr, "%s: %s\n", f->path, f->message);
    return true;
}

/* Until a signal. */
static coco_status run(coco_app *app, const char *out, unsigned port, coco_err *err)
{
    coco_running *update;
    coco_status rc;
    bool served;

    server_hold_signals();
    COCO_TRY(coco_update_start(app, &(coco_update_opts){ .live = true }, &update, err));
    served = server_start(out, port);
    if (served) server_wait();
    coco_app_stop(app);
    rc = coco_update_wait(update, NULL, err);
    server_stop();
    if (!served) return coco_err_set(err, COCO_EIO, "no server at port %u", port);
    return rc == COCO_ESTOP ? COCO_OK : rc; /* before all pages were made: an end like any other */
}

int main(int argc, char **argv)
{
    coco_env_config config = { .on_event = on_event, .on_failure = on_failure };
    coco_env *env = NULL;
    coco_app *app = NULL;
    coco_err err = { 0 };
    coco_status rc;

    if (argc < 4) return fprintf(stderr, "usage: live_site SOURCE OUT STATE [PORT]\n"), 2;
    config.db = argv[3];
    rc = coco_env_open(&config, &env, &err);
    if (rc == COCO_OK) rc = coco_app_open(env, &MD2HTML, &app, &err);
    if (rc == COCO_OK) rc = coco_app_set_param(app, "source", argv[1], &err);
    if (rc == COCO_OK) rc = coco_app_set_param(app, "out", argv[2], &err);
    if (rc == COCO_OK) rc = run(app, argv[2], argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0, &err);
    if (rc != COCO_OK) fprintf(stderr, "live_site: %s\n", err.msg);
    coco_app_close(app);
    coco_env_close(env);
    return rc != COCO_OK;
}
