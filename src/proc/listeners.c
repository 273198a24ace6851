/* listeners.c: the listening sockets of a role that serves the network. Owned by the role's state. */
#include "proc/listeners.h"

#include "base/log.h"

#include <unistd.h>

void role_listeners_add(struct role_listeners *listeners, void *role, bool ours, enum service service, int fd)
{
	if (!ours || listeners->n == LISTENERS_MAX) {
		log_error("listener-refused", LOG_S("service", service_name(service)));
		close(fd);
		return;
	}
	listeners->list[listeners->n++] = (struct role_listener){ .role = role, .service = service, .fd = fd };
}

void role_listeners_start(struct role_listeners *listeners, struct loop *loop, listener_accept_fn *accept)
{
	for (uint32_t i = 0; i < listeners->n; i++) {
		struct role_listener *listener = &listeners->list[i];
		listener->listener = listener_new(loop, listener->fd, accept, listener);
		listener->fd = -1;
	}
}

void role_listeners_close(struct role_listeners *listeners)
{
	for (uint32_t i = 0; i < listeners->n; i++) {
		listener_free(&listeners->list[i].listener);
		if (listeners->list[i].fd >= 0)
			close(listeners->list[i].fd);
	}
	listeners->n = 0;
}
