/* oracle_lists.h - the program of test_oracle.c that is being played, and its lists as sources. In a live update the watch
 * of a list looks for edits, and tells them; the items have a lock. */
#ifndef COCO_TEST_ORACLE_LISTS_H
#define COCO_TEST_ORACLE_LISTS_H

#include "cocoindex.h"
#include "oracle_program.h"

#include <pthread.h>
#include <time.h>

static program now; /* what the functions do */

static pthread_mutex_t items_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t items_edited = PTHREAD_COND_INITIALIZER;

typedef struct list_source { int list, at; uint64_t ticket; } list_source;

static int list_get(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value)
{
    const list_source *l = src->self;
    int k = (int)coco_int_of(key);

    (void)cx;
    pthread_mutex_lock(&items_lock);
    bool there = now.item[l->list][k].there;
    *value = coco_int(now.item[l->list][k].value);
    pthread_mutex_unlock(&items_lock);
    return there;
}

static int list_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    list_source *l = src->self;

    while (l->at < ITEMS) {
        *key = coco_int(l->at++);
        if (list_get(src, cx, *key, value)) return 1;
    }
    return 0;
}

static coco_status list_rewind(coco_source *src, coco_ctx *cx)
{
    (void)cx;
    ((list_source *)src->self)->at = 0;
    return COCO_OK;
}

/* Touches the items that aren't as they were, and answers who wants to be in sync. With the lock, but for the calls. */
static bool list_look(list_source *l, coco_feed *feed, program *was)
{
    bool differs[ITEMS], any = l->ticket != 0;
    uint64_t ticket = l->ticket;

    for (int k = 0; k < ITEMS; k++) {
        differs[k] = memcmp(&was->item[l->list][k], &now.item[l->list][k], sizeof now.item[l->list][k]) != 0;
        was->item[l->list][k] = now.item[l->list][k];
        any |= differs[k];
    }
    l->ticket = 0;
    if (!any) return false;
    pthread_mutex_unlock(&items_lock);
    for (int k = 0; k < ITEMS; k++)
        if (differs[k]) coco_feed_touch(feed, coco_int(k));
    if (ticket) coco_feed_synced(feed, ticket);
    pthread_mutex_lock(&items_lock);
    return true;
}

static coco_status list_watch(coco_source *src, coco_feed *feed)
{
    struct timespec soon;
    program was;

    pthread_mutex_lock(&items_lock);
    was = now;
    pthread_mutex_unlock(&items_lock);
    coco_feed_ready(feed);
    pthread_mutex_lock(&items_lock);
    while (!coco_feed_stopping(feed)) {
        if (list_look(src->self, feed, &was)) continue;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 1000000;
        if (soon.tv_nsec >= 1000000000) soon.tv_nsec -= 1000000000, soon.tv_sec++;
        pthread_cond_timedwait(&items_edited, &items_lock, &soon);
    }
    pthread_mutex_unlock(&items_lock);
    return COCO_OK;
}

static coco_status list_sync(coco_source *src, coco_feed *feed, uint64_t ticket)
{
    (void)feed;
    pthread_mutex_lock(&items_lock);
    ((list_source *)src->self)->ticket = ticket;
    pthread_cond_broadcast(&items_edited);
    pthread_mutex_unlock(&items_lock);
    return COCO_OK;
}

static coco_source *list_source_new(coco_ctx *cx, int list)
{
    coco_source *src = coco_source_new(cx);
    list_source *l = coco_alloc(cx, sizeof *l);

    if (!src || !l) return NULL;
    *l = (list_source){ .list = list };
    src->self = l, src->ordered = true, src->watch_first = true;
    src->next = list_next, src->get = list_get, src->rewind = list_rewind;
    src->watch = list_watch, src->sync = list_sync;
    return src;
}

#endif
