/* listener.h: accepts connections on a listening socket that the supervisor bound. */
#ifndef LOOP_LISTENER_H
#define LOOP_LISTENER_H

#include "loop/loop.h"

#include <sys/socket.h>

struct listener;

struct peer_address {
	char text[64]; /* "192.0.2.1" or "2001:db8::1", "unix" for a unix socket; NUL-terminated */
	uint16_t port;
	bool loopback; /* 127.0.0.0/8, ::1 or a unix socket */
};

/* The new descriptor is the callee's (non-blocking, close-on-exec). */
typedef void listener_accept_fn(void *owner, int fd, const struct peer_address *peer);

struct listener *listener_new(struct loop *loop, int fd, listener_accept_fn *accepted, void *owner);
void listener_pause(struct listener *listener, bool pause);
void listener_free(struct listener **listener); /* closes the descriptor */

/* A socket's own address. */
int socket_own_address(int fd, struct peer_address *out) MUST_CHECK;

#endif
