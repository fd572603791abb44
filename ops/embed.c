/* embed.c - texts to vectors over HTTP: the one file to compile. It includes its parts in the order in which they build
 * on each other; every name they share is static and begins coco__emb_.
 *
 * Calls cocoindex.h, libcurl, jansson and POSIX threads, nothing else.
 *
 * Who does what. A call (call.c) cuts its texts into pieces, one request each, builds their bodies and judges their
 * answers on its own thread. The transport (transport.c) only carries pieces: whichever calling thread finds nobody at
 * it drives libcurl's multi handle and the connections of http.c for all, and hands that role on when it has answers of
 * its own to read or is done. So there is no thread of the embedder's, and one call alone keeps max_requests under way.
 *
 * Invariants.
 *   1. Only the thread in the driver's role touches the multi handle, the lines and the easy handles.
 *   2. A piece is at one place: being built or judged by its call, in the queue, in flight, or in its call's done list.
 *      Moves are made under the lock. A piece whose call has left (stopped) is dropped by the transport.
 *   3. The body of a queued piece is complete: the transport never reads the caller's texts.
 *   4. inflight <= max_requests, and no request begins before next_start or hold. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strcasestr */
#endif

#include "embed.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where there is none, libcurl sets SO_NOSIGPIPE */
#endif

#define COCO__EMB_MAX_DIMENSIONS 65536
#define COCO__EMB_PAD 16 /* zeroed bytes behind what is scanned, so that eight can be looked at together */

typedef struct coco__emb_call coco__emb_call;
typedef struct coco__emb_line coco__emb_line;

/* Growing bytes, from the embedder's allocator. */
typedef struct coco__emb_buf {
    char *p;
    size_t n, cap;
} coco__emb_buf;

/* How a request ended. */
typedef struct coco__emb_outcome {
    CURLcode code;                /* of the transport */
    long status;                  /* of HTTP; 0: none came */
    long retry_after;             /* seconds; 0: not said */
    char why[CURL_ERROR_SIZE];    /* libcurl's words */
    char location[200];           /* of a redirect */
    bool overflow;                /* the answer was cut off at its limit … */
    bool no_memory;               /* … or for want of memory */
} coco__emb_outcome;

/* One request: a run of a call's texts. */
typedef struct coco__emb_piece {
    struct coco__emb_piece *next; /* in the queue, in flight, done or spare */
    coco_embedder *e;             /* for libcurl's callback, which gets the piece */
    coco__emb_call *call;         /* NULL: its call has left */
    coco__emb_line *line;         /* while it is in flight */
    size_t from, n;               /* its texts, by their place among the call's different ones */
    coco__emb_buf body, answer;   /* of the request, behind e->gap bytes, and of the response … */
    size_t head;                  /* … behind so many, which are its head's */
    size_t limit;                 /* bytes of answer at most */
    unsigned tries;               /* begun */
    int64_t first_failed;         /* when its first try had failed; 0: none has */
    int64_t not_before;           /* earliest next try */
    bool base64;                  /* is asked for */
    coco__emb_outcome out;        /* of the last try */
} coco__emb_piece;

typedef struct coco__emb_list {
    coco__emb_piece *first, **end; /* end: where the next one is hung */
} coco__emb_list;

struct coco_embedder {
    coco_embedder_opts o;       /* as given, zeros replaced by the defaults, strings our own */
    char *model, *extra;        /* the options' strings that are kept */
    char *url, *shown;          /* of the endpoint; without what may be secret */
    char *key;                  /* to be kept out of messages; NULL: none */
    coco__emb_buf head;         /* of each body, up to the first text … */
    coco__emb_buf tail;         /* … and behind the last and the form */
    struct curl_slist *headers; /* of each request by libcurl … */
    coco__emb_buf lead;         /* … and its whole head for http.c, up to the length of the body */
    size_t gap;                 /* kept free before a body, for the head */
    size_t dimensions;          /* 0 until they are known, which ends within open */
    locale_t c_locale;          /* for numbers that need strtod */
    pid_t pid;                  /* that opened it */
    coco_pair identity[3];      /* the memo key; the third only where extra is */

    pthread_mutex_t lock;       /* for all below; not held while requests are worked on */
    CURLM *multi;
    coco__emb_line **idle;      /* lines not in flight, the last used at the end */
    size_t nidle;
    bool driven;                /* somebody has the driver's role, with what is his up to ended: */
    bool plain;                 /* http.c carries requests, not libcurl */
    size_t carried;             /* lines that libcurl works on */
    coco__emb_line *lines;      /* all; max_requests of these as of the next three */
    struct curl_waitfd *fds;    /* to be waited for */
    coco__emb_piece **begun;    /* what begins in this round … */
    coco__emb_piece **ended;    /* … and what came to an end … */
    size_t nended;              /* … so many */
    coco__emb_list queue;       /* to be sent, first come first served */
    coco__emb_piece *flight;    /* under way */
    size_t inflight;            /* of these */
    coco__emb_piece *spare;     /* to be used again, with their buffers */
    coco__emb_call *waiting;    /* calls that sleep until they have answers or the driver's role is free */
    int64_t next_start;         /* of a request, by the rate; in ns as all times are */
    int64_t hold;               /* no request before it: Retry-After */
    uint64_t dice;              /* state of the jitter */
    bool base64;                /* is to be asked for */
    coco_embedder_stats stats;
};

static pthread_once_t coco__emb_once = PTHREAD_ONCE_INIT;

#include "embed/base.c"      /* memory, time, messages without secrets */
#include "embed/number.c"    /* decimal numbers and base64 to float32 */
#include "embed/request.c"   /* the body of a request */
#include "embed/answer.c"    /* what an answer says */
#include "embed/http.c"      /* the plain exchange */
#include "embed/transport.c" /* carrying pieces */
#include "embed/call.c"      /* cutting, judging, trying again */
#include "embed/open.c"      /* options, open, close */
#include "embed/function.c"  /* the class and the tracked function */
