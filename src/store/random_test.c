/* Property test: random commands on two mailboxes against a naive model, with sessions that look now and then,
 * reopening, eviction and batches that are rolled back. Seeds are fixed; a failure names its seed and step. */
#include "store/internal.h"
#include "store/test_store.h"

#include "base/checked.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEEDS         12
#define STEPS         120
#define MODEL_ENTRIES 4000
#define N_MAILBOXES   2
#define N_SESSIONS    3
#define N_KEYWORDS    70 /* bits beyond one word */
#define START_ENTRIES 350

struct model_entry {
	uint32_t uid, text;
	uint8_t flags;
	bool keyword[N_KEYWORDS];
};

struct model_mailbox {
	struct model_entry entries[MODEL_ENTRIES];
	uint32_t n, uidnext;
};

struct model {
	struct model_mailbox mailboxes[N_MAILBOXES];
};

/* A session's idea of its mailbox. */
struct session {
	uint32_t which;
	struct known known;
	struct model_mailbox seen;
	struct mailbox_past *past; /* since it looked anew; also over the end of the mailbox in memory */
	struct entry at_first[MODEL_ENTRIES];
	uint32_t n_at_first;
};

struct test {
	struct store_fixture fixture;
	struct account *account;
	struct mailbox *mailboxes[N_MAILBOXES];
	struct model model, durable;
	struct session sessions[N_SESSIONS];
	uint64_t random;
	uint32_t texts;
	uint32_t step;
};

static uint32_t pick(struct test *t, uint32_t below)
{
	t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(t->random >> 33) % below;
}

/* --- opening and looking --- */

static void look_anew(struct test *t, struct session *session)
{
	session->which = pick(t, N_MAILBOXES);
	mailbox_know_all(t->mailboxes[session->which], &session->known);
	session->seen = t->model.mailboxes[session->which];
	mailbox_past_free(&session->past);
	session->past = mailbox_past_new(t->mailboxes[session->which]);
	struct entry_cursor cursor = entry_seek(t->mailboxes[session->which], 0);
	const struct entry *entry;
	session->n_at_first = 0;
	while ((entry = entry_next(&cursor)))
		session->at_first[session->n_at_first++] = *entry;
}

/* What the session had when it looked anew is there still, in order; entries that came later may stand in between. */
static void assert_past_stays(const struct session *session)
{
	struct past_cursor cursor = past_seek(session->past, 0);
	for (uint32_t i = 0; i < session->n_at_first; i++) {
		const struct entry *then = &session->at_first[i], *now = past_next(&cursor);
		while (now && now->uid < then->uid)
			now = past_next(&cursor);
		assert_non_null(now);
		assert_true(now->uid == then->uid && now->id == then->id && now->message == then->message);
		assert_true(entry_size(now) == entry_size(then) && now->open_end == then->open_end);
		if (i % 16 == 0)
			assert_ptr_equal(past_find(session->past, then->uid), now);
	}
}

static void open_all(struct test *t)
{
	static const char *const names[N_MAILBOXES] = { "INBOX", "Archive" };
	t->account = fixture_account(&t->fixture, 1);
	for (uint32_t i = 0; i < N_MAILBOXES; i++) {
		t->mailboxes[i] = account_mailbox(t->account, str_from_c(names[i]));
		assert_non_null(t->mailboxes[i]);
		assert_int_equal(mailbox_open(t->mailboxes[i]), 0);
	}
	for (uint32_t i = 0; i < N_SESSIONS; i++)
		look_anew(t, &t->sessions[i]);
}

static void close_all(struct test *t)
{
	for (uint32_t i = 0; i < N_MAILBOXES; i++)
		mailbox_close(t->mailboxes[i]);
	account_close(&t->account);
}

static struct model_entry *model_find(struct model_mailbox *model, uint32_t uid)
{
	for (uint32_t i = 0; i < model->n; i++)
		if (model->entries[i].uid == uid)
			return &model->entries[i];
	return NULL;
}

static void read_entry(struct test *t, const struct mailbox *mailbox, const struct entry *entry, struct model_entry *out)
{
	struct keyword_bits bits;
	const struct str *names;
	size_t n = mailbox_keywords(mailbox, &names);
	*out = (struct model_entry){ .uid = entry->uid, .flags = entry->flags };
	entry_keywords(mailbox, entry, &bits);
	for (size_t i = 0; i < n; i++) {
		uint64_t keyword = 0;
		if (!(bits.word[i / 64] >> (i % 64) & 1))
			continue;
		assert_int_equal(str_to_u64(str_from(names[i], 1), N_KEYWORDS, &keyword), 0);
		out->keyword[keyword] = true;
	}
}

static void assert_like_model(struct test *t, uint32_t which)
{
	struct mailbox *mailbox = t->mailboxes[which];
	struct model_mailbox *model = &t->model.mailboxes[which];
	struct entry_cursor cursor = entry_seek(mailbox, 0);
	struct mailbox_counts counts;
	uint32_t unseen = 0, first_unseen = 0;
	for (uint32_t i = 0; i < model->n; i++) {
		const struct entry *entry = entry_next(&cursor);
		struct model_entry real;
		assert_non_null(entry);
		read_entry(t, mailbox, entry, &real);
		real.text = model->entries[i].text;
		assert_memory_equal(&real, &model->entries[i], sizeof real);
		assert_true(entry->modseq <= mailbox_modseq(mailbox));
		assert_int_equal(mailbox_count_below(mailbox, entry->uid), i);
		if (!(real.flags & FLAG_SEEN) && unseen++ == 0)
			first_unseen = real.uid;
	}
	assert_null(entry_next(&cursor));
	mailbox_counts(mailbox, &counts);
	assert_int_equal(counts.messages, model->n);
	assert_int_equal(counts.unseen, unseen);
	assert_int_equal(counts.first_unseen_uid, first_unseen);
	assert_int_equal(mailbox_count(mailbox), model->n);
	assert_int_equal(mailbox_uidnext(mailbox), model->uidnext);
	assert_int_equal(mailbox_count_below(mailbox, UINT32_MAX), model->n);
	assert_null(entry_find(mailbox, model->uidnext));
}

/* Messages are "message <text>\r\n"; a copy counts again. */
static void assert_counters_like_model(struct test *t)
{
	struct account_counts counts = account_counts(t->account), expected = { 0, 0 };
	for (uint32_t which = 0; which < N_MAILBOXES; which++) {
		const struct model_mailbox *model = &t->model.mailboxes[which];
		struct mailbox_counts sums;
		uint64_t bytes = 0;
		for (uint32_t i = 0; i < model->n; i++)
			bytes += (uint64_t)snprintf(NULL, 0, "message %u\r\n", model->entries[i].text);
		mailbox_counts(t->mailboxes[which], &sums);
		assert_int_equal(sums.bytes, bytes);
		expected.messages += model->n;
		expected.bytes += bytes;
	}
	assert_int_equal(counts.messages, expected.messages);
	assert_int_equal(counts.bytes, expected.bytes);
}

static void assert_sets_equal(const struct set *a, const struct set *b)
{
	assert_int_equal(a->n, b->n);
	if (a->n)
		assert_memory_equal(a->ranges, b->ranges, a->n * sizeof *a->ranges);
}

/* The session hears what happened: then it knows the same as the model, and the recent changes told the same as a
 * full comparison. */
static void session_looks(struct test *t, struct session *session)
{
	struct mailbox *mailbox = t->mailboxes[session->which];
	struct delta delta, compared;
	uint64_t floor = mailbox->changes_floor;
	assert_int_equal(mailbox_delta(mailbox, &session->known, 0, &delta), 0);
	mailbox->changes_floor = UINT64_MAX;
	assert_int_equal(mailbox_delta(mailbox, &session->known, 0, &compared), 0);
	mailbox->changes_floor = floor;
	assert_sets_equal(&delta.expunged, &compared.expunged);
	assert_sets_equal(&delta.fresh, &compared.fresh);
	assert_sets_equal(&delta.flags, &compared.flags);
	struct model_mailbox *now = &t->model.mailboxes[session->which], *seen = &session->seen;
	for (uint32_t i = 0; i < now->n; i++) {
		const struct model_entry *before = model_find(seen, now->entries[i].uid);
		assert_int_equal(set_has(&delta.fresh, now->entries[i].uid), before == NULL);
		if (before && memcmp(before, &now->entries[i], sizeof *before) != 0)
			assert_true(set_has(&delta.flags, before->uid));
	}
	for (uint32_t i = 0; i < seen->n; i++)
		assert_int_equal(set_has(&delta.expunged, seen->entries[i].uid), model_find(now, seen->entries[i].uid) == NULL);
	delta_free(&delta);
	delta_free(&compared);
	mailbox_know_all(mailbox, &session->known);
	*seen = *now;
}

/* --- commands --- */

static void pick_set(struct test *t, uint32_t which, struct set *out)
{
	uint32_t uidnext = t->model.mailboxes[which].uidnext;
	*out = SET_INIT;
	if (pick(t, 12) == 0) {
		set_add(out, 1, UINT32_MAX);
		return;
	}
	for (uint32_t ranges = 1 + pick(t, 4); ranges > 0; ranges--) {
		uint32_t first = 1 + pick(t, uidnext), last = first + pick(t, 60);
		set_add(out, first, last);
	}
}

static void add_some(struct test *t, uint32_t which, uint32_t n)
{
	struct model_mailbox *model = &t->model.mailboxes[which];
	for (; n > 0 && model->n < MODEL_ENTRIES; n--) {
		struct model_entry entry = { .uid = model->uidnext, .text = t->texts++, .flags = (uint8_t)pick(t, 32) };
		struct keyword_bits bits = { { 0 } };
		if (pick(t, 8) == 0) {
			uint32_t keyword = pick(t, N_KEYWORDS), bit;
			char name[16];
			struct str s = str_of(name, (size_t)snprintf(name, sizeof name, "k%u", keyword));
			assert_int_equal(keyword_add(t->mailboxes[which], s, KEYWORDS_MAX, &bit), 0);
			bits.word[bit / 64] |= UINT64_C(1) << (bit % 64);
			entry.keyword[keyword] = true;
		}
		assert_int_equal(fixture_add(t->mailboxes[which], entry.text, entry.flags, &bits), entry.uid);
		model->entries[model->n++] = entry;
		model->uidnext++;
	}
}

static void change_model(struct model_entry *entry, enum flags_mode mode, uint8_t flags, uint32_t keyword)
{
	switch (mode) {
	case FLAGS_REPLACE:
		entry->flags = flags;
		memset(entry->keyword, 0, sizeof entry->keyword);
		entry->keyword[keyword] = true;
		break;
	case FLAGS_ADD:
		entry->flags |= flags;
		entry->keyword[keyword] = true;
		break;
	case FLAGS_REMOVE:
		entry->flags &= (uint8_t)~flags;
		entry->keyword[keyword] = false;
		break;
	}
}

static void store_some(struct test *t, uint32_t which)
{
	struct model_mailbox *model = &t->model.mailboxes[which];
	uint32_t keyword = pick(t, N_KEYWORDS), bit;
	struct flags_change change = { .mode = (enum flags_mode)pick(t, 3), .flags = (uint8_t)pick(t, 32) };
	struct set uids, changed = SET_INIT, expected = SET_INIT;
	char name[16];
	struct str s = str_of(name, (size_t)snprintf(name, sizeof name, "k%u", keyword));
	uint64_t before = mailbox_modseq(t->mailboxes[which]);
	assert_int_equal(keyword_add(t->mailboxes[which], s, KEYWORDS_MAX, &bit), 0);
	change.keywords.word[bit / 64] |= UINT64_C(1) << (bit % 64);
	pick_set(t, which, &uids);
	for (uint32_t i = 0; i < model->n; i++) {
		struct model_entry old = model->entries[i];
		if (!set_has(&uids, old.uid))
			continue;
		change_model(&model->entries[i], change.mode, change.flags, keyword);
		if (memcmp(&old, &model->entries[i], sizeof old) != 0)
			set_add(&expected, old.uid, old.uid);
	}
	assert_int_equal(mailbox_store(t->mailboxes[which], &uids, &change, 0, &changed), 0);
	assert_sets_equal(&changed, &expected);
	assert_int_equal(mailbox_modseq(t->mailboxes[which]) > before, changed.n > 0);
	set_free(&uids);
	set_free(&changed);
	set_free(&expected);
}

static void model_remove(struct model_mailbox *model, const struct set *uids)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < model->n; i++)
		if (!set_has(uids, model->entries[i].uid))
			model->entries[kept++] = model->entries[i];
	model->n = kept;
}

static void expunge_some(struct test *t, uint32_t which)
{
	struct model_mailbox *model = &t->model.mailboxes[which];
	struct set uids, expunged = SET_INIT, expected = SET_INIT;
	bool deleted_only = pick(t, 2);
	uint64_t before = mailbox_modseq(t->mailboxes[which]);
	pick_set(t, which, &uids);
	for (uint32_t i = 0; i < model->n; i++)
		if (set_has(&uids, model->entries[i].uid) && (!deleted_only || (model->entries[i].flags & FLAG_DELETED)))
			set_add(&expected, model->entries[i].uid, model->entries[i].uid);
	assert_int_equal(mailbox_expunge(t->mailboxes[which], &uids, deleted_only, &expunged), 0);
	assert_sets_equal(&expunged, &expected);
	assert_int_equal(mailbox_modseq(t->mailboxes[which]) > before, expunged.n > 0);
	model_remove(model, &expunged);
	set_free(&uids);
	set_free(&expunged);
	set_free(&expected);
}

static void copy_in_steps(struct mailbox *from, const struct set *uids, struct mailbox *to, struct set *source, struct set *target)
{
	struct mailbox_copying *copying;
	bool done = false;
	assert_int_equal(mailbox_copy_begin(from, uids, to, KEYWORDS_MAX, &copying), 0);
	while (!done)
		assert_int_equal(mailbox_copy_step(copying, &done), 0);
	assert_int_equal(mailbox_copy_end(copying, source, target), 0);
	mailbox_copy_free(&copying);
}

static void copy_some(struct test *t, uint32_t from, uint32_t to)
{
	struct model_mailbox *source_model = &t->model.mailboxes[from], *target_model = &t->model.mailboxes[to];
	struct set uids, source = SET_INIT, target = SET_INIT;
	bool move = pick(t, 2);
	uint32_t n = source_model->n, copied = 0;
	pick_set(t, from, &uids);
	if (target_model->n + n > MODEL_ENTRIES) {
		set_free(&uids);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct model_entry entry = source_model->entries[i];
		if (!set_has(&uids, entry.uid))
			continue;
		entry.uid = target_model->uidnext++;
		target_model->entries[target_model->n++] = entry;
		copied++;
	}
	if (!move && pick(t, 2))
		copy_in_steps(t->mailboxes[from], &uids, t->mailboxes[to], &source, &target);
	else
		assert_int_equal(mailbox_copy(t->mailboxes[from], &uids, t->mailboxes[to], move, KEYWORDS_MAX, &source, &target), 0);
	assert_int_equal(set_count(&source), copied);
	assert_int_equal(set_count(&target), copied);
	if (move)
		model_remove(source_model, &source);
	set_free(&uids);
	set_free(&source);
	set_free(&target);
}

static void reopen(struct test *t)
{
	close_all(t);
	if (pick(t, 2)) {
		fixture_reopen(&t->fixture);
	} else { /* everything leaves memory */
		t->fixture.store->settings.view_memory = 0;
		fixture_settle(&t->fixture);
		store_turn(t->fixture.store);
		assert_int_equal(t->fixture.store->n_accounts, 0);
		assert_int_equal(t->fixture.store->view_bytes, 0);
		t->fixture.store->settings.view_memory = 1 << 30;
	}
	t->durable = t->model;
	open_all(t);
}

/* The batch never happened. */
static void void_batch(struct test *t)
{
	uint64_t voids = t->fixture.voids;
	gate_void(t->fixture.store->gate, ERR_NO_SPACE);
	assert_int_equal(t->fixture.voids, voids + 1);
	bool gone = account_is_gone(t->account);
	close_all(t);
	if (gone)
		t->model = t->durable;
	open_all(t);
}

static void settle(struct test *t)
{
	fixture_settle(&t->fixture);
	t->durable = t->model;
}

static void take_step(struct test *t)
{
	uint32_t which = pick(t, N_MAILBOXES), other = pick(t, N_MAILBOXES);
	switch (pick(t, 16)) {
	case 0: case 1: case 2:
		add_some(t, which, 1 + pick(t, 20));
		break;
	case 3: case 4: case 5: case 6:
		store_some(t, which);
		break;
	case 7: case 8: case 9:
		expunge_some(t, which);
		break;
	case 10: case 11: case 12:
		copy_some(t, which, other);
		break;
	case 13:
		settle(t);
		break;
	case 14:
		reopen(t);
		break;
	case 15:
		void_batch(t);
		break;
	}
	for (uint32_t i = 0; i < N_SESSIONS; i++) {
		assert_past_stays(&t->sessions[i]);
		if (pick(t, 4) == 0)
			session_looks(t, &t->sessions[i]);
	}
	assert_like_model(t, 0);
	assert_like_model(t, 1);
	assert_counters_like_model(t);
}

static struct test test; /* large */

static void run_seed(uint64_t seed)
{
	memset(&test, 0, sizeof test);
	test.random = seed;
	test.model.mailboxes[0].uidnext = test.model.mailboxes[1].uidnext = 1;
	fixture_begin(&test.fixture);
	fixture_open(&test.fixture);
	open_all(&test);
	settle(&test);
	add_some(&test, 0, START_ENTRIES);
	for (test.step = 0; test.step < STEPS; test.step++)
		take_step(&test);
	close_all(&test);
	for (uint32_t i = 0; i < N_SESSIONS; i++) {
		set_free(&test.sessions[i].known.uids);
		mailbox_past_free(&test.sessions[i].past);
	}
	fixture_end(&test.fixture);
}

static void store_is_like_the_naive_model(void **state)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		run_seed(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(store_is_like_the_naive_model) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
