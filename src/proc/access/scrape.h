/* scrape.h: the page of metrics (metrics.listen): GET /metrics by HTTP, from this machine only. The numbers are the
 * supervisor's to gather; this only reads the request and writes the answer. */
#ifndef PROC_ACCESS_SCRAPE_H
#define PROC_ACCESS_SCRAPE_H

#include "loop/listener.h"
#include "proc/role.h"

struct scrapes;

/* A connection has that long for its request and the gathering of the answer, however busy it is. */
struct scrapes *scrapes_new(struct role_process *process, uint64_t patience_ms) __attribute__((returns_nonnull));
/* Closes all. */
void scrapes_free(struct scrapes **scrapes);
/* Takes the descriptor over; closes it when there are too many. */
void scrapes_accept(struct scrapes *scrapes, int fd);
/* The answer to role_ask_metrics: all who wait get it. Empty: there is none now. */
void scrapes_answer(struct scrapes *scrapes, struct str text);

#endif
