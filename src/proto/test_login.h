/* test_login.h: the world of an engine before login, played for its tests: counts what is asked of it and keeps the
 * last question. */
#ifndef PROTO_TEST_LOGIN_H
#define PROTO_TEST_LOGIN_H

#include "proto/login.h"

struct test_login {
	struct outq out;
	char user[400], password[1100], tag[300];
	unsigned asked, tls_starts, handed_over, closed, timers;
	uint64_t delay;
	bool certificate_gone;
};

static struct outq *test_login_output(void *owner)
{
	return &((struct test_login *)owner)->out;
}

static void test_login_start_tls(void *owner)
{
	((struct test_login *)owner)->tls_starts++;
}

static bool test_login_has_certificate(void *owner)
{
	return !((struct test_login *)owner)->certificate_gone;
}

static void test_login_keep(char *to, size_t size, struct str s)
{
	assert_true(s.n < size);
	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static void test_login_authenticate(void *owner, struct str user, struct str password)
{
	struct test_login *world = owner;
	world->asked++;
	test_login_keep(world->user, sizeof world->user, user);
	test_login_keep(world->password, sizeof world->password, password);
}

static void test_login_start_timer(void *owner, uint64_t milliseconds)
{
	struct test_login *world = owner;
	world->timers++;
	world->delay = milliseconds;
}

static void test_login_hand_over(void *owner, struct str tag)
{
	struct test_login *world = owner;
	world->handed_over++;
	test_login_keep(world->tag, sizeof world->tag, tag);
}

static void test_login_close(void *owner)
{
	((struct test_login *)owner)->closed++;
}

/* Its owner is a struct test_login. */
static const struct login_world test_login_world = {
	.output = test_login_output,
	.start_tls = test_login_start_tls,
	.has_certificate = test_login_has_certificate,
	.authenticate = test_login_authenticate,
	.start_timer = test_login_start_timer,
	.hand_over = test_login_hand_over,
	.close = test_login_close,
};

/* What was said since the last call, behind what stands in `said` already. */
static void test_login_drain(struct test_login *world, struct buf *said)
{
	struct outq_piece piece;
	while (outq_peek(&world->out, &piece)) {
		buf_add(said, piece.bytes);
		outq_consume(&world->out, piece.bytes.n);
	}
}

#endif
