/* test_role.h: the parts of role.h that every test of a whole role plays alike; the test plays the rest. To be included
 * by one file of an executable. */
#ifndef PROC_TEST_ROLE_H
#define PROC_TEST_ROLE_H

#include "proc/role.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

/* What the roles under test gave to role_main. */
static const struct role_definition *definitions[ROLE_COUNT];

int role_main(const struct role_definition *role)
{
	definitions[role->role] = role;
	return 0;
}

void role_status_add(struct buf *out, struct str key, uint64_t value)
{
	buf_addf(out, "%.*s=%llu\n", STR_ARG(key), (unsigned long long)value);
}

/* Nobody mends it: tests hand out channels themselves. */
void role_peer_lost(struct role_process *process, enum role peer, uint16_t index)
{
}

/* A listening socket on loopback; *port gets the one that the kernel chose. */
static inline int test_listen(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(fd, 10), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

#endif
