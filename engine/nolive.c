/* nolive.c - what stands in for live mode in a build without it: nothing is followed, and who asks for that is refused.
 *
 * Floor: of feed, part, live and livemap, whose place it takes with COCO_NO_LIVE. */
#include "engine.h"

#ifdef COCO_NO_LIVE

static coco_status coco__no_live(coco_ctx *cx)
{
    return coco_fail(cx, COCO_EINVAL, "this build follows no sources: it was made with COCO_NO_LIVE");
}

COCO__IN coco_status coco__live_new(coco__run *run) { return coco__no_live(run->cx); }
COCO__IN void coco__live_poke(coco__live *l) { (void)l; }
COCO__IN coco_status coco__part_each(coco_ctx *cx, const coco__pass *pass, coco_feed **part)
{ return (void)pass, (void)part, coco__no_live(cx); }
COCO__IN void coco__part_end(coco_feed *p) { (void)p; }
COCO__IN void coco__part_ends_at(coco__run *run, const coco__place *at, const coco_feed *but)
{ (void)run, (void)at, (void)but; }
COCO__IN void coco__host_failed(coco__comp *c) { (void)c; }
COCO__IN bool coco__live_holds(const coco__run *run, uint64_t id) { return (void)run, (void)id, false; }
COCO__IN bool coco__live_tokens(const coco__run *run) { return (void)run, false; }
COCO__IN coco_status coco__live_store(coco__run *run, const coco__txn *t) { return (void)run, (void)t, COCO_OK; }
COCO__IN void coco__live_stored(coco__run *run) { (void)run; }
COCO__IN coco_status coco__live_follow(coco__run *run, bool once) { return (void)run, (void)once, COCO_OK; }
COCO__IN void coco__live_end(coco__run *run) { (void)run; }
COCO__IN bool coco__is_map(const coco_source *src) { return (void)src, false; }
COCO__IN void coco__maps_settle(coco__comp *c) { (void)c; }
COCO__IN void coco__maps_unstage(coco__comp *c) { (void)c; }
COCO__IN void coco__maps_drop(coco__run *run, const coco__place *owner, uint64_t number)
{ (void)run, (void)owner, (void)number; }
COCO__IN void coco__maps_free(coco__run *run) { (void)run; }

void coco_app_stop(coco_app *app)
{
    atomic_store(&app->stop, 1);
}

/* ---- For the watches of sources, which are never called ---- */

coco_status coco_feed_touch(coco_feed *feed, coco_value key) { return (void)feed, (void)key, COCO_ESTOP; }
coco_status coco_feed_put(coco_feed *feed, coco_value key, coco_value value, coco_value token)
{ return (void)feed, (void)key, (void)value, (void)token, COCO_ESTOP; }
coco_status coco_feed_delete(coco_feed *feed, coco_value key, coco_value token)
{ return (void)feed, (void)key, (void)token, COCO_ESTOP; }
coco_status coco_feed_rescan(coco_feed *feed) { return (void)feed, COCO_ESTOP; }
void coco_feed_ready(coco_feed *feed) { (void)feed; }
void coco_feed_synced(coco_feed *feed, uint64_t ticket) { (void)feed, (void)ticket; }
void coco_feed_fail(coco_feed *feed, const coco_err *err) { (void)feed, (void)err; }
bool coco_feed_stopping(const coco_feed *feed) { return (void)feed, true; }
int coco_feed_stop_fd(const coco_feed *feed) { return (void)feed, -1; }
coco_value coco_feed_token(const coco_feed *feed) { return (void)feed, coco_null(); }
void *coco_feed_realloc(coco_feed *feed, void *p, size_t n) { return (void)feed, (void)p, (void)n, NULL; }

#endif
