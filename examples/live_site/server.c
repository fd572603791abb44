/* server.c - pages out of a directory, by libmicrohttpd, with a thread for each connection.
 *
 * An open page holds a stream of server-sent events. Its thread waits for news of any write, and then looks at its own
 * page's file: so the server needs to know nothing of how pages are made. What tells one state of a file from another
 * goes with the page into the browser and comes back with the stream, so that no change falls between. The script that
 * opens the stream is put into a page when it is served; the files on disk stay as they were written. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* clocks, signals, nanoseconds of files */
#endif
#include "server.h"

#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Opens the stream of this page's changes. %s: the state of the page as it is served. */
static const char SCRIPT[] =
    "\n<script>\n"
    "const changes = new EventSource('/.changes?state=%s&page=' + encodeURIComponent(location.pathname));\n"
    "changes.onmessage = () => { changes.close(); location.reload(); };\n"
    "</script>\n";

#define STATE_MAX 80

/* What the update and the server share. */
static struct site {
    const char *out;         /* directory of the pages */
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock;
    pthread_cond_t written;  /* something was, or the server ends */
    uint64_t writes;         /* so far */
    bool ending;
} site = { .lock = PTHREAD_MUTEX_INITIALIZER, .written = PTHREAD_COND_INITIALIZER };

/* ---- Pages ----------------------------------------------------------------------------------------------------- */

/* The file of a URL's path; false if it is none of ours. MHD has decoded it. */
static bool page_file(const char *url, char path[PATH_MAX])
{
    size_t n = strlen(url);
    const char *index = n == 0 || url[n - 1] == '/' ? "index.html" : "";

    if (url[0] != '/' || strstr(url, "/.")) return false;
    return snprintf(path, PATH_MAX, "%s%s%s", site.out, url, index) < PATH_MAX;
}

/* What tells one state of a page from another; a page that isn't there has one, too. */
static void page_state(const struct stat *st, char state[STATE_MAX])
{
    if (!st) snprintf(state, STATE_MAX, "none");
    else snprintf(state, STATE_MAX, "%lld.%ld-%llu-%lld", (long long)st->st_mtim.tv_sec, (long)st->st_mtim.tv_nsec,
                  (unsigned long long)st->st_ino, (long long)st->st_size);
}

static bool page_changed(const char *file, const char *state)
{
    char now[STATE_MAX];
    struct stat st;

    page_state(stat(file, &st) == 0 ? &st : NULL, now);
    return strcmp(now, state) != 0;
}

static enum MHD_Result answer(struct MHD_Connection *c, unsigned code, const char *type, struct MHD_Response *r)
{
    enum MHD_Result rc;

    if (!r) return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    rc = MHD_queue_response(c, code, r);
    MHD_destroy_response(r);
    return rc;
}

/* A page with the script behind it, or the news that there is none, which changes when there is one. */
static enum MHD_Result serve_page(struct MHD_Connection *c, const char *file)
{
    static const char NONE[] = "<!DOCTYPE html>\n<title>Not found</title>\n<p>There is no such page (yet).\n";
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    char state[STATE_MAX], *page;
    struct stat st;
    bool found = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    size_t n = found ? (size_t)st.st_size : sizeof NONE - 1;
    ssize_t got = (ssize_t)n;

    page_state(found ? &st : NULL, state);
    page = malloc(n + sizeof SCRIPT + STATE_MAX);
    if (page && !found) memcpy(page, NONE, n);
    if (page && found) got = read(fd, page, n); /* of a file that is only ever replaced: all of it */
    if (fd >= 0) close(fd);
    if (!page || got != (ssize_t)n) return free(page), MHD_NO;
    n += (size_t)snprintf(page + n, sizeof SCRIPT + STATE_MAX, SCRIPT, state);
    return answer(c, found ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND, "text/html; charset=utf-8",
                  MHD_create_response_from_buffer(n, page, MHD_RESPMEM_MUST_FREE));
}

/* ---- Streams of changes ---------------------------------------------------------------------------------------- */

/* One open page. */
struct stream {
    char file[PATH_MAX];
    char state[STATE_MAX]; /* when it was served */
    uint64_t seen;         /* writes that were looked at */
};

/* Waits until the page has changed, at most some seconds: then a comment keeps the connection open. On a thread of the
 * connection's own. */
static ssize_t stream_next(void *self, uint64_t position, char *buf, size_t max)
{
    struct stream *s = self;
    const char *said = ": still here\n\n";
    struct timespec until;
    bool ending = false;
    int late = 0;

    (void)position;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (late == 0 && !ending) {
        if (page_changed(s->file, s->state)) {
            said = "data: changed\n\n";
            break;
        }
        pthread_mutex_lock(&site.lock);
        while (site.writes == s->seen && !site.ending && late == 0)
            late = pthread_cond_timedwait(&site.written, &site.lock, &until);
        s->seen = site.writes;
        ending = site.ending;
        pthread_mutex_unlock(&site.lock);
    }
    if (ending || max < strlen(said)) return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(buf, said, strlen(said));
    return (ssize_t)strlen(said);
}

static enum MHD_Result serve_changes(struct MHD_Connection *c)
{
    const char *page = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "page");
    const char *state = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "state");
    struct stream *s = calloc(1, sizeof *s);
    struct MHD_Response *r;

    if (!s || !page || !state || !page_file(page, s->file)) return free(s), MHD_NO;
    snprintf(s->state, sizeof s->state, "%s", state);
    if (!(r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 256, stream_next, s, free))) return free(s), MHD_NO;
    return answer(c, MHD_HTTP_OK, "text/event-stream", r);
}

/* ---- The server ------------------------------------------------------------------------------------------------ */

static enum MHD_Result serve(void *self, struct MHD_Connection *c, const char *url, const char *method,
                             const char *version, const char *data, size_t *n, void **state)
{
    static const char REFUSED[] = "refused\n";
    char file[PATH_MAX];

    (void)self, (void)version, (void)data, (void)n, (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) return MHD_NO;
    if (strcmp(url, "/.changes") == 0) return serve_changes(c);
    if (page_file(url, file)) return serve_page(c, file);
    return answer(c, MHD_HTTP_FORBIDDEN, "text/plain",
                  MHD_create_response_from_buffer(sizeof REFUSED - 1, (char *)(uintptr_t)REFUSED,
                                                  MHD_RESPMEM_PERSISTENT));
}

bool server_start(const char *out, unsigned port)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const union MHD_DaemonInfo *info;

    site.out = out;
    site.daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
                                   serve, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&here, MHD_OPTION_END);
    info = site.daemon ? MHD_get_daemon_info(site.daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (info) printf("http://127.0.0.1:%u/\n", (unsigned)info->port);
    fflush(stdout);
    return site.daemon != NULL;
}

static void wake_streams(bool ending)
{
    pthread_mutex_lock(&site.lock);
    site.writes++;
    site.ending |= ending;
    pthread_cond_broadcast(&site.written);
    pthread_mutex_unlock(&site.lock);
}

void server_written(void)
{
    wake_streams(false);
}

void server_stop(void)
{
    wake_streams(true);
    if (site.daemon) MHD_stop_daemon(site.daemon);
}

static void our_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
}

void server_hold_signals(void)
{
    sigset_t signals;

    our_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

void server_wait(void)
{
    sigset_t signals;
    int which;

    our_signals(&signals);
    sigwait(&signals, &which);
}
