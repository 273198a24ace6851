/* listeners.h: the listening sockets of a role that serves the network: kept from the supervisor's message until the
 * role starts, accepting from then on, closed at the stop. */
#ifndef PROC_LISTENERS_H
#define PROC_LISTENERS_H

#include "ipc/supervisor.h"
#include "loop/listener.h"

#define LISTENERS_MAX 64

struct role_listener {
	void *role; /* whose it is: for its accept function, which gets the role_listener as its owner */
	enum service service;
	int fd; /* until started; then -1 */
	struct listener *listener;
};

/* Starts as zeros. */
struct role_listeners {
	struct role_listener list[LISTENERS_MAX];
	uint32_t n;
};

/* Takes the descriptor over. With `ours` false, or when there are LISTENERS_MAX, it is logged and closed. */
void role_listeners_add(struct role_listeners *listeners, void *role, bool ours, enum service service, int fd);
void role_listeners_start(struct role_listeners *listeners, struct loop *loop, listener_accept_fn *accept);
/* As often as one likes. */
void role_listeners_close(struct role_listeners *listeners);

#endif
