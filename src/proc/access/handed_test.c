/* Connections in the shards' hands count for their addresses until they end, and end only once. */
#include "proc/access/handed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LIMIT 3

struct fixture {
	struct address_count *counts;
	struct handed *handed;
};

static int set_up(void **state)
{
	static struct fixture f;
	f.counts = address_count_new(100);
	f.handed = handed_new(100, f.counts);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	handed_free(&f->handed);
	address_count_free(&f->counts);
	return 0;
}

static void hand(struct fixture *f, uint64_t session, uint32_t shard)
{
	assert_true(address_count_take(f->counts, "192.0.2.1", LIMIT));
	handed_add(f->handed, session, shard, "192.0.2.1");
}

static bool has_room(struct fixture *f)
{
	bool room = address_count_take(f->counts, "192.0.2.1", LIMIT);
	if (room)
		address_count_give(f->counts, "192.0.2.1");
	return room;
}

static void an_ended_session_gives_its_place_back_once(void **state)
{
	struct fixture *f = *state;
	hand(f, 1, 1);
	hand(f, 65, 1); /* the same chain */
	hand(f, 3, 2);
	assert_false(has_room(f));
	assert_false(handed_end(f->handed, 1, 2)); /* not that shard's */
	assert_false(handed_end(f->handed, 7, 1));
	assert_false(has_room(f));
	assert_true(handed_end(f->handed, 1, 1));
	assert_true(has_room(f));
	assert_false(handed_end(f->handed, 1, 1));
	assert_true(handed_end(f->handed, 65, 1));
	assert_int_equal(handed_count(f->handed), 1);
}

static void a_lost_shard_gives_all_its_places_back(void **state)
{
	struct fixture *f = *state;
	hand(f, 1, 1);
	hand(f, 65, 2);
	hand(f, 129, 1);
	handed_lost(f->handed, 1);
	assert_int_equal(handed_count(f->handed), 1);
	assert_true(has_room(f));
	assert_true(handed_end(f->handed, 65, 2));
	assert_int_equal(handed_count(f->handed), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_ended_session_gives_its_place_back_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lost_shard_gives_all_its_places_back, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
