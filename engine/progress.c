/* progress.c - what a running update shows: one line a function.
 *
 * There is no thread behind it: each event of the engine is an opportunity to draw, and the clock says whether it is
 * taken. On a terminal the lines are redrawn in place, at most ten times a second; elsewhere a function's line is
 * printed when its counts changed, at most once a second. What else is printed meanwhile hides the lines first, so
 * the two never mix. Calls cocoindex.h and base.c. */
#include "cli.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define COCO__PROGRESS_TERMINAL_NS UINT64_C(100000000)
#define COCO__PROGRESS_PIPE_NS UINT64_C(1000000000)

static const coco__mem coco__progress_mem = { .gate = { NULL, NULL } }; /* libc's */

COCO__IN void coco__progress_begin(coco__progress *p, coco_app *app, FILE *out)
{
    const char *term = getenv("TERM");

    memset(p, 0, sizeof *p);
    p->out = out;
    p->app = app;
    p->begun = p->drawn = coco__monotonic_ns();
    p->terminal = out != NULL && isatty(fileno(out)) && term != NULL && strcmp(term, "dumb") != 0;
    p->every = p->terminal ? COCO__PROGRESS_TERMINAL_NS : COCO__PROGRESS_PIPE_NS;
}

/* Components and calls that are through. */
static uint64_t coco__progress_done(const coco_fn_stats *f)
{
    return f->added + f->reprocessed + f->unchanged + f->deleted + f->errors + f->memo_hits + f->memo_misses;
}

static void coco__progress_count(coco__buf *b, const char **gap, uint64_t n, const char *what)
{
    if (n == 0) return;
    coco__buf_printf(b, "%s%llu %s", *gap, (unsigned long long)n, what);
    *gap = ", ";
}

/* "convert: 120 added, 7 unchanged, 450/s". */
static void coco__progress_line(const coco__progress *p, coco__buf *b, const coco_fn_stats *f)
{
    double seconds = (double)(coco__monotonic_ns() - p->begun) / 1e9;
    const char *gap = ": ";

    coco__buf_str(b, f->name);
    coco__progress_count(b, &gap, f->added, "added");
    coco__progress_count(b, &gap, f->reprocessed, "reprocessed");
    coco__progress_count(b, &gap, f->unchanged, "unchanged");
    coco__progress_count(b, &gap, f->deleted, "deleted");
    coco__progress_count(b, &gap, f->errors, "failed");
    coco__progress_count(b, &gap, f->memo_hits, "memo hits");
    coco__progress_count(b, &gap, f->memo_misses, "memo misses");
    if (seconds >= 1) coco__buf_printf(b, ", %.0f/s", (double)coco__progress_done(f) / seconds);
}

/* Cuts what was put since `from` to the terminal's width, at a character. */
static void coco__progress_cut(coco__buf *b, size_t from, size_t width)
{
    size_t columns = 0, i = from;

    if (b->failed) return;
    while (i < b->n && columns < width) {
        i++;
        while (i < b->n && (b->p[i] & 0xC0) == 0x80) i++;
        columns++;
    }
    b->n = i;
}

/* All functions' lines, over those drawn before. A terminal too low for them shows the first. */
static void coco__progress_redraw(coco__progress *p, const coco_stats *stats, coco__buf *b)
{
    struct winsize size = { .ws_row = 0 };
    unsigned rows, lines = 0;
    size_t width;

    if (ioctl(fileno(p->out), TIOCGWINSZ, &size) != 0) size.ws_row = size.ws_col = 0;
    rows = size.ws_row > 1 ? size.ws_row - 1u : 23;
    width = size.ws_col > 1 ? size.ws_col - 1u : 79;
    if (p->lines > 0) coco__buf_printf(b, "\r\033[%uA", p->lines);
    for (size_t i = 0; i < stats->nfns && lines < rows; i++) {
        size_t from = b->n;

        if (coco__progress_done(&stats->fns[i]) == 0) continue;
        coco__progress_line(p, b, &stats->fns[i]);
        coco__progress_cut(b, from, width);
        coco__buf_str(b, "\033[K\n");
        lines++;
    }
    coco__buf_str(b, "\033[J");
    p->lines = lines;
}

/* What was last shown of the function. NULL without memory: its line may then come twice. */
static coco__shown *coco__progress_shown(coco__progress *p, const char *name)
{
    size_t cap = p->capshown > 0 ? 2 * p->capshown : 16;
    coco__shown *more;

    for (size_t i = 0; i < p->nshown; i++)
        if (p->shown[i].name == name) return &p->shown[i];
    if (p->nshown == p->capshown) {
        more = coco__realloc(&coco__progress_mem, p->shown, cap * sizeof *more);
        if (more == NULL) return NULL;
        p->shown = more;
        p->capshown = cap;
    }
    p->shown[p->nshown] = (coco__shown){ .name = name };
    return &p->shown[p->nshown++];
}

/* The lines of the functions whose counts changed. */
static void coco__progress_append(coco__progress *p, const coco_stats *stats, coco__buf *b)
{
    for (size_t i = 0; i < stats->nfns; i++) {
        uint64_t done = coco__progress_done(&stats->fns[i]);
        coco__shown *shown = coco__progress_shown(p, stats->fns[i].name);

        if (done == 0 || (shown != NULL && shown->done == done)) continue;
        if (shown != NULL) shown->done = done;
        coco__progress_line(p, b, &stats->fns[i]);
        coco__buf_byte(b, '\n');
    }
}

static void coco__progress_draw(coco__progress *p)
{
    coco_stats stats;
    coco__buf b;

    if (coco_stats_get(p->app, &stats) != 0) return;
    coco__buf_init(&b, &coco__progress_mem);
    if (p->terminal) coco__progress_redraw(p, &stats, &b);
    else coco__progress_append(p, &stats, &b);
    if (!b.failed && b.n > 0) fwrite(b.p, 1, b.n, p->out);
    fflush(p->out);
    coco__buf_free(&b);
    coco_stats_free(&stats);
}

COCO__IN void coco__progress_tick(coco__progress *p)
{
    uint64_t now;

    if (p->out == NULL) return;
    now = coco__monotonic_ns();
    if (now - p->drawn < p->every) return;
    p->drawn = now;
    coco__progress_draw(p);
}

COCO__IN void coco__progress_hide(coco__progress *p)
{
    if (p->out == NULL || !p->terminal || p->lines == 0) return;
    fprintf(p->out, "\r\033[%uA\033[J", p->lines);
    fflush(p->out);
    p->lines = 0;
}

COCO__IN void coco__progress_leave(coco__progress *p)
{
    p->lines = 0;
}

COCO__IN void coco__progress_end(coco__progress *p)
{
    if (p->out != NULL) coco__progress_draw(p);
    coco__free(&coco__progress_mem, p->shown);
    memset(p, 0, sizeof *p);
}
