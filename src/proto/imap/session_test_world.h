/* session_test_world.h: sessions on a real store in a temporary folder, for the tests of the session engine. The world
 * runs by itself: syncs happen in test_turn, resumes that were wished for too, and what a session says is drained into
 * text. */
#ifndef PROTO_IMAP_SESSION_TEST_WORLD_H
#define PROTO_IMAP_SESSION_TEST_WORLD_H

#include "proto/imap/session.h"
#include "store/test_store.h"

struct test_store {
	struct store_fixture fixture;
	struct account *account;
	struct imap_settings settings;
	bool hold_syncs; /* the gate stays closed once it closed */
};

struct test_client {
	struct test_store *world;
	struct imap_session *session;
	struct outq out;
	struct buf text; /* what the client got since the last test_say */
	unsigned wishes; /* bits 1 << enum session_resume */
	unsigned resumes;
	unsigned flushes;
	bool closed;
	bool cold;        /* messages are not in memory: what is read was fetched before, */
	bool unfetchable; /* or cannot be */
	unsigned fetches;
	uint64_t fetched_at, fetched_to;
	bool slow;      /* does not read: output stays in the queue */
	uint64_t clock; /* microseconds; grows at each look */
	uint64_t clock_step;
};

void test_store_begin(struct test_store *w);
/* The same for cmocka's tests with set-up and tear-down: *state is the test_store. */
int test_store_set_up(void **state);
int test_store_tear_down(void **state);
/* Closes the store and opens it again: nothing of it is in memory. No client may be there. */
void test_store_reopen(struct test_store *w);
/* From here on the disk of every store is full, until the next test begins. */
void test_store_fill_disk(void);
void test_store_destroy_account(struct test_store *w);
void test_store_end(struct test_store *w);

void test_client_begin(struct test_client *c, struct test_store *w, uint64_t id);
void test_client_end(struct test_client *c);

/* Syncs, seals, tells watchers, until nothing more happens; the client's wishes are fulfilled too (c may be NULL). */
void test_turn(struct test_store *w, struct test_client *c);

/* Sends text and waits for what it brings: c->text. */
void test_say(struct test_client *c, const char *text);
void test_say_bytes(struct test_client *c, struct str bytes);

/* The whole text, or a part of it, or that a part is not there. */
void test_expect(struct test_client *c, const char *text);
void test_expect_part(struct test_client *c, const char *part);
void test_expect_none(struct test_client *c, const char *part);

/* APPENDs `count` small messages "Subject: <name> 1" and so on. */
void test_append(struct test_client *c, const char *mailbox, const char *name, unsigned count);

#endif
