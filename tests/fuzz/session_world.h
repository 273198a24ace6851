/* session_world.h: what sessions on a store ask of their owner (proto/session.h), played for fuzz targets. */
#ifndef TESTS_FUZZ_SESSION_WORLD_H
#define TESTS_FUZZ_SESSION_WORLD_H

#include "proto/session.h"

#include <unistd.h>

struct session_client {
	struct outq out;
	unsigned wishes; /* bits 1 << enum session_resume */
	bool closed;
};

static struct outq *session_client_output(void *owner)
{
	return &((struct session_client *)owner)->out;
}

static void session_client_want_resume(void *owner, enum session_resume reason)
{
	((struct session_client *)owner)->wishes |= 1u << reason;
}

static void session_client_flush(void *owner)
{
}

static uint64_t session_client_received(void *owner)
{
	return ((struct session_client *)owner)->out.sent;
}

static uint64_t session_client_microseconds(void *owner)
{
	static uint64_t clock;
	return clock += 700;
}

static void session_client_close(void *owner)
{
	struct session_client *client = owner;
	if (client->closed)
		abort();
	client->closed = true;
}

/* Every second range is cold, and there when it is asked for again. */
static bool session_client_fetch(void *owner, int fd, uint64_t offset, uint64_t n)
{
	static unsigned asked;
	if (asked++ % 2 == 0)
		return false;
	session_client_want_resume(owner, SESSION_RESUME_SOON);
	return true;
}

static bool session_client_read(void *owner, int fd, uint64_t offset, char *to, size_t n)
{
	static unsigned asked;
	return asked++ % 2 == 0 && pread(fd, to, n, (off_t)offset) == (ssize_t)n;
}

/* Its owner is a struct session_client. */
static const struct session_world session_client_world = {
	.output = session_client_output,
	.want_resume = session_client_want_resume,
	.flush = session_client_flush,
	.received = session_client_received,
	.microseconds = session_client_microseconds,
	.close = session_client_close,
	.fetch = session_client_fetch,
	.read = session_client_read,
};

#endif
