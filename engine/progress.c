/* progress.c - what is told of an update while it runs, and the signals that stop it.
 *
 * What is printed comes from the engine's events, failure handler and log, on whatever thread decides: one lock orders
 * it.
 *
 * Signals. The first SIGINT or SIGTERM asks a running update to stop, which finishes what is in flight; the second,
 * and the first when nothing runs, ends the process at once, which is as safe as a crash.
 *
 * Floor: above cli_line. */
#include "cli.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- Signals ---- */

/* What the handler needs: the app whose update runs, or NULL; whether it has been asked to stop (2: and said so);
 * whether ^C stands in the line. */
static coco_app *_Atomic coco__cli_running;
static volatile sig_atomic_t coco__cli_stopping, coco__cli_on_terminal;

/* Only what POSIX allows in a handler: write, _exit, and coco_app_stop, which is made for it. */
static void coco__cli_on_signal(int signo)
{
    coco_app *app = atomic_load(&coco__cli_running);
    const char *said = coco__cli_on_terminal ? "\nStopping\n" : "Stopping\n";
    int saved = errno;
    ssize_t ignored;

    (void)signo;
    if (!app || coco__cli_stopping) _exit(COCO__EXIT_STOPPED);
    coco__cli_stopping = 1;
    coco_app_stop(app);
    ignored = write(2, said, strlen(said));
    (void)ignored;
    errno = saved;
}

COCO__IN void coco__cli_catch(struct sigaction before[2])
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = coco__cli_on_signal;
    sigemptyset(&action.sa_mask);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_stopping = 0;
    coco__cli_on_terminal = isatty(2);
    sigaction(SIGINT, &action, &before[0]);
    sigaction(SIGTERM, &action, &before[1]);
}

/* ---- What is printed while an update runs ---- */

/* What is counted of a function, as people and as JSON call it: the fields of coco_fn_stats from `added` on. */
static const char *const COCO__CLI_COUNTS[][2] = {
    { "added", "added" }, { "reprocessed", "reprocessed" }, { "unchanged", "unchanged" }, { "deleted", "deleted" },
    { "failed", "errors" }, { "memo hits", "memo_hits" }, { "memo misses", "memo_misses" },
};
enum { COCO__CLI_NCOUNTS = sizeof COCO__CLI_COUNTS / sizeof COCO__CLI_COUNTS[0] };

static uint64_t coco__cli_count(const coco_fn_stats *f, size_t i) { return (&f->added)[i]; }

/* Components and calls that are through. */
static uint64_t coco__cli_through(const coco_fn_stats *f)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < COCO__CLI_NCOUNTS; i++) sum += coco__cli_count(f, i);
    return sum;
}

static double coco__cli_seconds(const coco__cli_run *run)
{
    return (double)(coco__monotonic_ns() - run->begun) / 1e9;
}

/* Appends ", 450/s, 25%, 51 s left": share and remaining time where the function's sources have told how many items
 * they give. A function that is mounted beside them, too, may be through with more. */
static void coco__cli_put_rate(const coco__cli_run *run, coco__buf *b, const coco_fn_stats *f)
{
    double seconds = coco__cli_seconds(run);
    uint64_t done = f->added + f->reprocessed + f->unchanged + f->errors;
    unsigned long left;

    if (run->following) return;
    if (seconds >= 1) coco__buf_printf(b, ", %.0f/s", (double)coco__cli_through(f) / seconds);
    if (!f->expected) return;
    if (done > f->expected) done = f->expected;
    coco__buf_printf(b, ", %u%%", (unsigned)((double)done * 100 / (double)f->expected));
    if (!done || done == f->expected || seconds < 1) return;
    left = (unsigned long)(seconds * (double)(f->expected - done) / (double)done) + 1;
    coco__buf_printf(b, left < 100 ? ", %lu s left" : ", %lu min left", left < 100 ? left : left / 60 + 1);
}

/* Appends "convert: 120 added, 7 unchanged" and the rate, cut to the terminal's width at a character. */
static void coco__cli_put_line(const coco__cli_run *run, coco__buf *b, const coco_fn_stats *f, size_t width)
{
    const char *gap = ":";
    size_t from = b->n;

    coco__buf_str(b, f->name);
    for (size_t i = 0; i < COCO__CLI_NCOUNTS; i++) {
        unsigned long long n = coco__cli_count(f, i);
        if (n > 0) coco__buf_printf(b, "%s %llu %s", gap, n, COCO__CLI_COUNTS[i][0]);
        if (n > 0) gap = ",";
    }
    coco__cli_put_rate(run, b, f);
    for (size_t i = from, columns = 0; i < b->n; i++)
        if ((b->p[i] & 0xC0) != 0x80 && columns++ == width) b->n = i;
    coco__buf_str(b, run->terminal ? "\033[K\n" : "\n");
}

/* The function's last line still holds; a name is the same pointer in all statistics. */
static bool coco__cli_holds(const coco__cli_run *run, const coco_fn_stats *f)
{
    for (size_t i = 0; i < run->last.nfns; i++)
        if (run->last.fns[i].name == f->name) return coco__cli_through(&run->last.fns[i]) == coco__cli_through(f);
    return coco__cli_through(f) == 0;
}

/* On a terminal all functions' lines, over those drawn before (one too low for them shows the first); elsewhere
 * those of the functions whose counts changed. */
static void coco__cli_draw(coco__cli_run *run)
{
    static const coco__mem mem; /* libc's */
    struct winsize size = { .ws_row = 0 };
    size_t rows = run->terminal ? 23 : SIZE_MAX, width = run->terminal ? 79 : SIZE_MAX;
    coco_stats stats;
    coco__buf b;

    if (coco_stats_get(run->app, &stats) != 0) return;
    coco__buf_init(&b, &mem);
    if (run->terminal && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 1)
        rows = size.ws_row - 1u, width = size.ws_col - 1u;
    if (run->lines > 0) coco__buf_printf(&b, "\r\033[%uA\033[J", run->lines);
    run->lines = 0;
    for (size_t i = 0; i < stats.nfns && run->lines < rows; i++) {
        if (run->terminal ? coco__cli_through(&stats.fns[i]) == 0 : coco__cli_holds(run, &stats.fns[i])) continue;
        coco__cli_put_line(run, &b, &stats.fns[i], width);
        run->lines += run->terminal;
    }
    if (!b.failed && b.n > 0) fwrite(b.p, 1, b.n, stdout);
    fflush(stdout);
    coco__buf_free(&b);
    coco_stats_free(&run->last);
    run->last = stats;
    run->drawn = coco__monotonic_ns();
}

/* Takes the lock, and the progress lines away. Those above a "Stopping" stay. */
static void coco__cli_say(coco__cli_run *run)
{
    pthread_mutex_lock(&run->lock);
    if (run->lines > 0 && coco__cli_stopping != 1) printf("\r\033[%uA\033[J", run->lines);
    if (coco__cli_stopping == 1) coco__cli_stopping = 2;
    fflush(stdout);
    run->lines = 0;
}

static void coco__cli_said(coco__cli_run *run)
{
    fflush(stdout);
    pthread_mutex_unlock(&run->lock);
}

/* Told as it happens, so that a long update doesn't keep its failures to itself. */
COCO__IN bool coco__cli_on_failure(void *user, const coco_failure *f)
{
    coco__cli_run *run = user;

    coco__cli_say(run);
    run->root_told |= f->kind == COCO_MOUNT_ROOT;
    run->guard |= f->code == COCO_EGUARD;
    fprintf(stderr, "%s: %s%s%s\n", f->path, f->function, f->function[0] ? ": " : "", f->message);
    if (run->c->json)
        coco__cli_json("{'type':'failure','path':%,'function':%,'error':%,'message':%}\n", coco_text(f->path),
                       coco_text(f->function), coco_text(coco_status_name(f->code)), coco_text(f->message));
    coco__cli_said(run);
    return true;
}

/* Also a notice of the program's: the engine logs it as a warning. */
COCO__IN void coco__cli_on_log(void *user, coco_log_level level, const char *message)
{
    static const char *const LEVELS[] = { "error", "warning", "info", "debug" };

    coco__cli_say(user);
    fprintf(stderr, "%s: %s\n", LEVELS[level], message);
    coco__cli_said(user);
}

/* --explain: a component runs. --preview: a target state would be written or deleted. */
static void coco__cli_tell_event(const coco__cli *c, const coco_event *e)
{
    static const char *const WORDS[] = { "insert", "update", "delete" };

    if (e->kind == COCO_EV_STARTED && c->json)
        coco__cli_json("{'type':'ran','path':%,'function':%,'reason':%}\n", coco_text(e->path), coco_text(e->function),
                       coco_text(e->detail));
    else if (e->kind == COCO_EV_STARTED)
        printf("%s: ran: %s\n", e->path, e->detail);
    else if (c->json)
        coco__cli_json("{'type':'action','action':%,'state':%,'path':%,'text':%,'container':%}\n",
                       coco_text(WORDS[e->action]), coco_text(e->state), coco_text(e->path), coco_text(e->detail),
                       coco_bool(e->container));
    else
        printf("%c %s%s%s%s\n", "+~-"[e->action], e->state, e->detail[0] ? "  " : "", e->detail,
               e->container ? "  (container)" : "");
}

/* Live: what was there at the start is done. A rate means nothing from then on. */
static void coco__cli_tell_ready(coco__cli_run *run)
{
    double seconds = coco__cli_seconds(run);

    coco__cli_say(run);
    if (run->c->json)
        coco__cli_json("{'type':'ready','app':%,'seconds':%}\n", coco_text(run->name), coco_float(seconds));
    else if (!run->c->quiet) printf("%s: in step after %.2f s, following changes\n", run->name, seconds);
    run->following = true;
    coco__cli_said(run);
}

/* Draws ten times a second on a terminal, else once. */
static bool coco__cli_due(coco__cli_run *run)
{
    return run->progress && coco__cli_stopping != 1 &&
           coco__monotonic_ns() - run->drawn >= (run->terminal ? 100000000u : 1000000000u);
}

COCO__IN void coco__cli_on_event(void *user, const coco_event *e)
{
    coco__cli_run *run = user;

    if ((e->kind == COCO_EV_STARTED && run->c->explain) || (e->kind == COCO_EV_APPLIED && run->c->preview)) {
        coco__cli_say(run);
        coco__cli_tell_event(run->c, e);
        coco__cli_said(run);
    }
    if (e->kind == COCO_EV_READY && run->c->live) coco__cli_tell_ready(run);
}

/* Each event is an opportunity to draw the progress, and the clock says whether it is taken. One that comes while
 * another thread prints draws nothing. */
COCO__IN void coco__cli_tick(void *user)
{
    coco__cli_run *run = user;

    if (!run->progress || pthread_mutex_trylock(&run->lock) != 0) return;
    if (coco__cli_due(run)) coco__cli_draw(run);
    pthread_mutex_unlock(&run->lock);
}

/* Has anything come through since the last drawing? */
static bool coco__cli_changed(coco__cli_run *run)
{
    coco_stats now;
    bool changed = false;

    if (coco_stats_get(run->app, &now) != 0) return false;
    for (size_t i = 0; i < now.nfns && !changed; i++) changed = !coco__cli_holds(run, &now.fns[i]);
    coco_stats_free(&now);
    return changed;
}

COCO__IN coco_status coco__cli_follow(coco__cli_run *run, const coco_update_opts *opts, coco_result *r, coco_err *err)
{
    coco_running *update;

    COCO_TRY(coco_update_start(run->app, opts, &update, err));
    while (!coco_update_done(update)) {
        nanosleep(&(struct timespec){ 0, 100000000 }, NULL); /* a signal ends it */
        pthread_mutex_lock(&run->lock);
        if (coco__cli_due(run) && coco__cli_changed(run)) coco__cli_draw(run);
        pthread_mutex_unlock(&run->lock);
    }
    return coco_update_wait(update, r, err);
}

/* ---- Its beginning and its end ---- */

COCO__IN void coco__cli_run_begin(coco__cli_run *run, bool progress)
{
    run->root_told = run->guard = false;
    run->progress = progress;
    run->begun = run->drawn = coco__monotonic_ns();
    atomic_store(&coco__cli_running, run->app);
}

COCO__IN void coco__cli_run_end(coco__cli_run *run)
{
    atomic_store(&coco__cli_running, NULL);
    coco__cli_say(run);
    if (run->progress) coco__cli_draw(run);
    run->lines = 0;
    coco__cli_said(run);
}

/* {"type":"summary", …}: the last line of --json. */
static void coco__cli_json_summary(const coco__cli_run *run, const coco_result *r)
{
    coco_stats s;

    (void)coco_stats_get(run->app, &s); /* nothing is counted where it fails */
    coco__cli_json("{'type':'summary','app':%,'seconds':%,'functions':{", coco_text(run->name), coco_float(r->seconds));
    for (size_t i = 0; i < s.nfns; i++) {
        coco__cli_json(i ? ",%:" : "%:", coco_text(s.fns[i].name));
        for (size_t k = 0; k < COCO__CLI_NCOUNTS; k++)
            coco__cli_json(k ? ",%:%" : "{%:%", coco_text(COCO__CLI_COUNTS[k][1]),
                           coco_int((int64_t)coco__cli_count(&s.fns[i], k)));
        putchar('}');
    }
    printf("},\"targets\":{");
    for (size_t i = 0; i < s.ntargets; i++)
        coco__cli_json(i ? ",%:{'insert':%,'update':%,'delete':%}" : "%:{'insert':%,'update':%,'delete':%}",
                       coco_text(s.targets[i].title), coco_int((int64_t)s.targets[i].inserts),
                       coco_int((int64_t)s.targets[i].updates), coco_int((int64_t)s.targets[i].deletes));
    printf("},\"failed\":[");
    for (size_t i = 0; i < r->nfailed_paths; i++) coco__cli_json(i ? ",%" : "%", coco_text(r->failed[i]));
    printf("]}\n");
    coco_stats_free(&s);
}

/* What was done, and what the memo hits had cost when they ran. */
COCO__IN void coco__cli_summary(const coco__cli_run *run, const coco_result *r, coco_status rc)
{
    const char *end = rc == COCO_ESTOP ? ", stopped" : rc != 0 ? ", not complete" : "";
    unsigned long long inserts = r->inserts, updates = r->updates, deletes = r->deletes;

    if (run->c->json) {
        coco__cli_json_summary(run, r);
        return;
    }
    if (run->c->preview) {
        printf("%llu to add, %llu to change, %llu to remove\n", inserts, updates, deletes);
        return;
    }
    printf("%s: %llu inserted, %llu updated, %llu deleted in %.2f s%s", run->name, inserts, updates, deletes,
           r->seconds, end);
    if (r->saved_seconds >= 0.005 || r->saved_units > 0) printf("; memos saved %.2f s", r->saved_seconds);
    if (r->saved_units > 0) printf(" and %g units", r->saved_units);
    putchar('\n');
}
