/* listener.c: accepts a bounded number of connections each time the socket is ready, so that a flood does not starve
 * the connections that are there. When descriptors run out, accepting rests a moment instead of spinning. Owned by a
 * role. */
#include "loop/listener.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

#define ACCEPT_BURST 64
#define REST_MS      100

struct listener {
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_timer *rest; /* running: out of descriptors */
	listener_accept_fn *accepted;
	void *owner;
	int fd;
	bool paused;
	bool serving, dead; /* freed inside its own callback */
};

union any_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_storage storage;
};

static void print_address(const union any_address *address, struct peer_address *out)
{
	*out = (struct peer_address){ .text = "unix", .loopback = true };
	if (address->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->ipv4.sin_addr, out->text, sizeof out->text);
		out->port = ntohs(address->ipv4.sin_port);
		out->loopback = ntohl(address->ipv4.sin_addr.s_addr) >> 24 == 127;
	} else if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->ipv6.sin6_addr)) {
		const unsigned char *ipv4 = address->ipv6.sin6_addr.s6_addr + 12;
		inet_ntop(AF_INET, ipv4, out->text, sizeof out->text);
		out->port = ntohs(address->ipv6.sin6_port);
		out->loopback = ipv4[0] == 127;
	} else if (address->any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address->ipv6.sin6_addr, out->text, sizeof out->text);
		out->port = ntohs(address->ipv6.sin6_port);
		out->loopback = IN6_IS_ADDR_LOOPBACK(&address->ipv6.sin6_addr);
	}
}

int socket_own_address(int fd, struct peer_address *out)
{
	union any_address address = { 0 };
	socklen_t n = sizeof address;
	if (getsockname(fd, &address.any, &n) != 0)
		return ERR_IO;
	print_address(&address, out);
	return 0;
}

/* False: nothing more to accept now. */
static bool accept_one(struct listener *listener)
{
	union any_address address = { 0 };
	socklen_t n = sizeof address;
	int fd = accept4(listener->fd, &address.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			loop_watch_set(listener->watch, 0);
			loop_timer_start(listener->rest, REST_MS);
			return false;
		}
		/* ECONNABORTED and the network errors of accept(2) concern that one connection only. */
		return errno != EAGAIN && errno != EBADF && errno != EINVAL && errno != ENOTSOCK;
	}
	struct peer_address peer;
	print_address(&address, &peer);
	listener->accepted(listener->owner, fd, &peer);
	return true;
}

static void on_ready(void *owner, int events)
{
	struct listener *listener = owner;
	(void)events;
	listener->serving = true;
	for (int i = 0; i < ACCEPT_BURST && !listener->dead && !listener->paused; i++) {
		if (!accept_one(listener))
			break;
	}
	listener->serving = false;
	if (listener->dead)
		mem_free(listener);
}

static void on_rest_over(void *owner)
{
	struct listener *listener = owner;
	loop_watch_set(listener->watch, listener->paused ? 0 : LOOP_READ);
}

struct listener *listener_new(struct loop *loop, int fd, listener_accept_fn *accepted, void *owner)
{
	struct listener *listener = mem_alloc(1, sizeof *listener);
	*listener = (struct listener){ .loop = loop, .accepted = accepted, .owner = owner, .fd = fd };
	listener->watch = loop_watch_new(loop, fd, on_ready, listener);
	listener->rest = loop_timer_new(loop, on_rest_over, listener);
	loop_watch_set(listener->watch, LOOP_READ);
	return listener;
}

void listener_pause(struct listener *listener, bool pause)
{
	listener->paused = pause;
	loop_watch_set(listener->watch, pause ? 0 : LOOP_READ);
}

void listener_free(struct listener **listener)
{
	struct listener *l = *listener;
	if (!l)
		return;
	*listener = NULL;
	loop_watch_free(&l->watch);
	loop_timer_free(&l->rest);
	close(l->fd);
	l->dead = true;
	if (!l->serving)
		mem_free(l);
}
