/* notify.h: tells the service manager how the server is, by the protocol of sd_notify(3): datagrams of NAME=value lines
 * to the socket that NOTIFY_SOCKET names. Started by hand there is no such socket, and all of this does nothing. */
#ifndef PROC_SUPERVISOR_NOTIFY_H
#define PROC_SUPERVISOR_NOTIFY_H

#include "loop/loop.h"

struct notify;

/* Takes NOTIFY_SOCKET (a path, or @ and a name without a file), WATCHDOG_USEC and WATCHDOG_PID out of the environment, so
 * that no other process has them. Where a watchdog is wished for, the manager hears from the loop twice in its time. A
 * manager that cannot be reached is logged once, and costs at most a second of waiting a message. */
struct notify *notify_new(struct loop *loop);
void notify_free(struct notify **notify);

/* STATUS of so many processes; READY when it is all of them for the first time. */
void notify_processes(struct notify *notify, size_t ready, size_t all);

/* Around a reload; nothing before the server was ready. */
void notify_reloading(struct notify *notify);
void notify_reloaded(struct notify *notify);

/* STOPPING, and asks for the time that the stop may take. Nothing but the watchdog is said after it. */
void notify_stopping(struct notify *notify, uint64_t within_ms);

#endif
