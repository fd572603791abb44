/* server.h - serves a directory of pages at the loopback address, and tells open ones of changes. One a process. */
#ifndef LIVE_SITE_SERVER_H
#define LIVE_SITE_SERVER_H

#include <stdbool.h>

/* SIGINT and SIGTERM wait for server_wait: called before any thread is started, since threads inherit it. */
void server_hold_signals(void);

/* Serves what is in the directory, and prints the address; port 0: any. out must live until server_stop. */
bool server_start(const char *out, unsigned port);

/* Something below the directory was written: the open streams look at their pages. From any thread. */
void server_written(void);

/* Until one of the signals. */
void server_wait(void);

/* Ends the streams, then the server. */
void server_stop(void);

#endif /* LIVE_SITE_SERVER_H */
