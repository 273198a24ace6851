/* mailbox.c: an account's mailboxes and subscriptions: rows, names, order. A mailbox belongs to its account and
 * stays in memory with it; a deleted one is kept until its last holder lets go. Names are checked before anything is
 * written. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/wire.h"
#include "store/renaming.h"

#define KEYWORDS_BYTES (KEYWORDS_MAX * (KEYWORD_NAME_MAX + 2))

static const struct str special_use_names[] = {
#define SPECIAL_USE_NAME(name, text) [name] = STR_INIT(text),
	SPECIAL_USE_LIST(SPECIAL_USE_NAME)
#undef SPECIAL_USE_NAME
};

struct str special_use_name(enum special_use use)
{
	return special_use_names[use];
}

/* --- memory --- */

static bool read_keywords(struct mailbox *mailbox, struct str packed)
{
	struct wire_reader r = wire_reader(packed);
	while (r.p < r.end && !r.failed && mailbox->n_keywords < KEYWORDS_MAX) {
		struct str name = wire_get_short(&r, KEYWORD_NAME_MAX);
		mailbox->keywords = mem_resize(mailbox->keywords, mailbox->n_keywords + 1, sizeof *mailbox->keywords);
		mailbox->keywords[mailbox->n_keywords++] = str_of(mem_copy(name), name.n);
	}
	return wire_finish(&r) == 0;
}

/* NULL when the packed keywords are damaged. */
struct mailbox *mailbox_new(struct account *account, const struct mailbox_facts *facts, struct str keywords)
{
	struct mailbox *mailbox = mem_alloc(1, sizeof *mailbox);
	mailbox->account = account;
	mailbox->facts = *facts;
	mailbox->facts.name = str_of(mem_copy(facts->name), facts->name.n);
	if (!read_keywords(mailbox, keywords))
		mailbox_free(&mailbox);
	return mailbox;
}

void mailbox_free(struct mailbox **pointer)
{
	struct mailbox *mailbox = *pointer;
	*pointer = NULL;
	if (!mailbox)
		return;
	view_drop(mailbox);
	changes_forget(mailbox);
	if (mailbox->is_noisy) {
		struct mailbox **link = &mailbox->account->store->noisy;
		while (*link != mailbox)
			link = &(*link)->noisy_next;
		*link = mailbox->noisy_next;
	}
	for (size_t i = 0; i < mailbox->n_keywords; i++)
		mem_free((char *)mailbox->keywords[i].p);
	mem_free(mailbox->keywords);
	mem_free(mailbox->changes);
	mem_free((char *)mailbox->facts.name.p);
	mem_free(mailbox);
}

const struct mailbox_facts *mailbox_facts(const struct mailbox *mailbox)
{
	return &mailbox->facts;
}

struct account *mailbox_account(const struct mailbox *mailbox)
{
	return mailbox->account;
}

bool mailbox_is_gone(const struct mailbox *mailbox)
{
	return mailbox->gone;
}

size_t account_mailboxes(struct account *account, struct mailbox *const **out)
{
	*out = account->mailboxes;
	return account->n_mailboxes;
}

uint64_t account_names_version(const struct account *account)
{
	return account->names_version;
}

size_t mailbox_place(const struct account *account, struct str name)
{
	size_t low = 0, high = account->n_mailboxes;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (str_cmp(account->mailboxes[middle]->facts.name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct mailbox *account_mailbox(struct account *account, struct str name)
{
	size_t at = mailbox_place(account, name);
	return at < account->n_mailboxes && str_eq(account->mailboxes[at]->facts.name, name) ? account->mailboxes[at] : NULL;
}

void mailboxes_below(const struct account *account, struct str name, size_t *first, size_t *end)
{
	struct buf bound = BUF_INIT(MAILBOX_NAME_MAX + 1);
	buf_add(&bound, name);
	buf_add_byte(&bound, MAILBOX_SEPARATOR);
	*first = mailbox_place(account, buf_str(&bound));
	bound.p[name.n]++; /* what comes behind all that begin so */
	*end = mailbox_place(account, buf_str(&bound));
	buf_free(&bound);
}

static int by_name(const void *a, const void *b)
{
	return str_cmp((*(struct mailbox *const *)a)->facts.name, (*(struct mailbox *const *)b)->facts.name);
}

void mailboxes_sort(struct account *account)
{
	if (account->n_mailboxes > 1)
		qsort(account->mailboxes, account->n_mailboxes, sizeof *account->mailboxes, by_name);
}

/* --- names --- */

size_t mailbox_depth(struct str name)
{
	size_t depth = 1;
	for (const char *at = name.p, *end = name.p + name.n; (at = memchr(at, MAILBOX_SEPARATOR, (size_t)(end - at))); at++)
		depth++;
	return depth;
}

int mailbox_check_name(struct str name)
{
	if (name.n > MAILBOX_NAME_MAX)
		return ERR_LIMIT;
	if (name.n == 0 || name.p[0] == MAILBOX_SEPARATOR || name.p[name.n - 1] == MAILBOX_SEPARATOR || !str_is_utf8(name))
		return ERR_SYNTAX;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c < ' ' || c == 127 || (c == MAILBOX_SEPARATOR && name.p[i + 1] == MAILBOX_SEPARATOR))
			return ERR_SYNTAX;
	}
	return mailbox_depth(name) > MAILBOX_DEPTH_MAX ? ERR_LIMIT : 0;
}

bool mailbox_is_below(struct str name, struct str parent)
{
	return name.n > parent.n && str_starts(name, parent) && name.p[parent.n] == MAILBOX_SEPARATOR;
}

/* The part of the name above its last separator; empty when there is none. */
static struct str parent_of(struct str name)
{
	while (name.n > 0 && name.p[name.n - 1] != MAILBOX_SEPARATOR)
		name.n--;
	return str_first(name, name.n ? name.n - 1 : 0);
}

/* How many mailboxes above `name` do not exist. */
static uint32_t missing_parents(struct account *account, struct str name)
{
	uint32_t missing = 0;
	for (struct str parent = parent_of(name); parent.n; parent = parent_of(parent))
		missing += account_mailbox(account, parent) == NULL;
	return missing;
}

/* --- create --- */

static int insert_run(struct mailbox *mailbox)
{
	sqlite3_stmt *insert = mailbox->account->store->sql.run_insert;
	db_bind_int(insert, 1, mailbox->account->number);
	db_bind_int(insert, 2, mailbox->facts.number);
	db_bind_int(insert, 3, 0);
	db_bind_int(insert, 4, 0);
	return db_run(insert);
}

int mailbox_insert_as(struct account *account, const struct mailbox_facts *given, const struct str *keywords,
                      uint32_t n_keywords, struct mailbox **out)
{
	struct store *store = account->store;
	sqlite3_stmt *insert = store->sql.mailbox_insert;
	struct mailbox_facts facts = *given;
	struct buf packed = BUF_INIT(KEYWORDS_BYTES);
	for (uint32_t i = 0; i < n_keywords; i++)
		wire_put_short(&packed, keywords[i]);
	db_bind_int(insert, 1, account->number);
	db_bind_text(insert, 2, facts.name);
	db_bind_int(insert, 3, facts.uidvalidity);
	db_bind_int(insert, 4, facts.special_use);
	db_bind_blob(insert, 5, buf_str(&packed));
	int result = buf_error(&packed);
	if (result == 0)
		result = renaming_finish(account);
	if (result == 0)
		result = db_run(insert);
	if (result == 0) {
		facts.number = (uint32_t)db_last_id(&store->db);
		struct mailbox *mailbox = mailbox_new(account, &facts, buf_str(&packed));
		size_t at = mailbox_place(account, facts.name);
		account->mailboxes = mem_room_for_one(account->mailboxes, account->n_mailboxes, sizeof *account->mailboxes);
		memmove(account->mailboxes + at + 1, account->mailboxes + at,
		        (account->n_mailboxes - at) * sizeof *account->mailboxes);
		account->mailboxes[at] = mailbox;
		account->n_mailboxes++;
		account->names_version++;
		*out = mailbox;
	}
	buf_free(&packed);
	return result;
}

/* Rows and memory of one new mailbox; the name was checked. An error leaves the batch to be voided. */
int mailbox_insert(struct account *account, struct str name, enum special_use use, struct mailbox **out)
{
	struct mailbox_facts facts = { .name = name, .uidvalidity = ++account->uidvalidity, .special_use = use };
	account->row_dirty = true;
	int result = mailbox_insert_as(account, &facts, NULL, 0, out);
	return result == 0 ? insert_run(*out) : result;
}

int mailbox_insert_parents(struct account *account, struct str name)
{
	struct mailbox *mailbox;
	for (size_t i = 0; i < name.n; i++) {
		struct str parent = str_first(name, i);
		if (name.p[i] != MAILBOX_SEPARATOR || account_mailbox(account, parent))
			continue;
		int result = mailbox_insert(account, parent, SPECIAL_USE_NONE, &mailbox);
		if (result < 0)
			return result;
	}
	return 0;
}

static bool use_is_taken(struct account *account, enum special_use use)
{
	for (size_t i = 0; i < account->n_mailboxes && use != SPECIAL_USE_NONE; i++)
		if (account->mailboxes[i]->facts.special_use == use)
			return true;
	return false;
}

int mailbox_create(struct account *account, struct str name, enum special_use use, uint32_t max_mailboxes,
                   struct mailbox **out)
{
	int result = mailbox_check_name(name);
	if (result < 0)
		return result;
	if (account_mailbox(account, name) || use_is_taken(account, use))
		return ERR_EXISTS;
	if (account->n_mailboxes + missing_parents(account, name) + 1 > max_mailboxes)
		return ERR_LIMIT;
	result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = mailbox_insert_parents(account, name);
	if (result == 0)
		result = mailbox_insert(account, name, use, out);
	return result < 0 ? store_void(account->store, result) : 0;
}

/* --- delete --- */

static int remove_pages(struct store *store, uint32_t mailbox)
{
	struct statements *sql = &store->sql;
	DB_USING(runs, sql->run_list);
	int row;
	db_bind_int(runs, 1, mailbox);
	while ((row = db_step(runs)) == DB_ROW) {
		int64_t first = run_key(db_column_int(runs, 0), 0);
		db_bind_int(sql->page_remove, 1, first);
		db_bind_int(sql->page_remove, 2, first | UINT32_MAX);
		int result = db_run(sql->page_remove);
		if (result < 0)
			return result;
	}
	return row;
}

int runs_remove(struct store *store, uint32_t mailbox)
{
	int result = remove_pages(store, mailbox);
	db_bind_int(store->sql.run_remove, 1, mailbox);
	return result == 0 ? db_run(store->sql.run_remove) : result;
}

/* And what POP3 remembers of it. */
static int remove_row(struct mailbox *mailbox)
{
	struct statements *sql = &mailbox->account->store->sql;
	db_bind_int(sql->mailbox_remove, 1, mailbox->facts.number);
	db_bind_int(sql->hidden_remove, 1, mailbox->facts.number);
	db_bind_int(sql->due_forget, 1, mailbox->facts.number);
	int result = db_run(sql->hidden_remove);
	if (result == 0)
		result = db_run(sql->due_forget);
	return result == 0 ? db_run(sql->mailbox_remove) : result;
}

static int remove_rows(struct mailbox *mailbox)
{
	int result = runs_remove(mailbox->account->store, mailbox->facts.number);
	return result == 0 ? remove_row(mailbox) : result;
}

static void forget(struct mailbox *mailbox)
{
	struct account *account = mailbox->account;
	size_t at = mailbox_place(account, mailbox->facts.name);
	memmove(account->mailboxes + at, account->mailboxes + at + 1,
	        (account->n_mailboxes - at - 1) * sizeof *account->mailboxes);
	account->n_mailboxes--;
	account->names_version++;
	mailbox->gone = true;
	for (struct mailbox_watch *watch = mailbox->watches, *next; watch; watch = next) {
		next = watch->next;
		watch->changed(watch->owner);
	}
	if (mailbox->holds == 0)
		mailbox_free(&mailbox);
	else
		view_drop(mailbox);
}

int mailbox_remove(struct mailbox *mailbox)
{
	struct set all = SET_INIT, expunged = SET_INIT;
	struct account *account = mailbox->account;
	int result = mailbox_open(mailbox);
	if (result < 0)
		return result;
	result = store_begin(account, 0);
	if (result < 0) {
		mailbox_close(mailbox);
		return result;
	}
	set_add(&all, 1, UINT32_MAX);
	result = mailbox_expunge(mailbox, &all, false, &expunged);
	if (result == 0) {
		for (uint32_t i = 0; i < mailbox->n_pages; i++)
			page_unmark_dirty(mailbox->pages[i]);
		result = remove_rows(mailbox);
		if (result < 0)
			result = store_void(account->store, result);
	}
	set_free(&all);
	set_free(&expunged);
	mailbox_close(mailbox);
	if (result == 0)
		forget(mailbox);
	return result;
}

/* A view that lacks entries must never be seen: it goes in any case, with the mailbox or with the batch. */
int mailbox_replaced(struct mailbox *mailbox, bool *damaged)
{
	struct account *account = mailbox->account;
	struct set all = SET_INIT, there = SET_INIT;
	bool torn;
	int result = view_load_readable(mailbox, damaged, &torn);
	if (result < 0)
		return result;
	set_add(&all, 1, UINT32_MAX);
	entries_select(mailbox, &all, false, &there);
	uint64_t modseq = there.n > 0 ? account_next_modseq(account) : 0;
	if (there.n > 0)
		result = entries_log(mailbox, &there, &modseq);
	account_count_removed(account, mailbox->count, mailbox->size);
	for (uint32_t i = 0; i < mailbox->n_pages; i++)
		page_unmark_dirty(mailbox->pages[i]);
	if (result == 0) /* runs and pages that cannot be removed are nobody's then: no other mailbox gets its number */
		result = torn ? remove_row(mailbox) : remove_rows(mailbox);
	set_free(&all);
	set_free(&there);
	if (result == 0)
		forget(mailbox);
	return result;
}

int mailbox_delete(struct mailbox *mailbox)
{
	return str_eq(mailbox->facts.name, STR("INBOX")) ? ERR_DENIED : mailbox_remove(mailbox);
}

int mailbox_delete_damaged(struct mailbox *mailbox)
{
	struct account *account = mailbox->account;
	bool damaged = false;
	if (str_eq(mailbox->facts.name, STR("INBOX")))
		return ERR_DENIED;
	int result = store_begin(account, 0);
	if (result < 0)
		return result;
	result = mailbox_replaced(mailbox, &damaged);
	if (result == 0 && damaged)
		result = account_recount(account);
	return result < 0 ? store_void(account->store, result) : 0;
}

/* --- rename --- */

/* RFC 3501 6.3.5: renaming INBOX moves its messages to a new mailbox and leaves it empty. */
static int rename_inbox(struct account *account, struct str to, uint32_t max_mailboxes)
{
	struct set all = SET_INIT, source = SET_INIT, target = SET_INIT;
	struct mailbox *inbox = account_mailbox(account, STR("INBOX")), *fresh;
	int result = inbox ? view_load(inbox, VIEW_FULL) : ERR_CORRUPT; /* what can fail goes before the first change */
	if (result == 0)
		result = mailbox_create(account, to, SPECIAL_USE_NONE, max_mailboxes, &fresh);
	if (result < 0)
		return result;
	set_add(&all, 1, UINT32_MAX);
	result = mailbox_copy(inbox, &all, fresh, true, KEYWORDS_MAX, &source, &target);
	set_free(&all);
	set_free(&source);
	set_free(&target);
	return result;
}

int mailbox_rename(struct account *account, struct str from, struct str to, uint32_t max_mailboxes)
{
	int result = mailbox_check_name(to);
	if (result < 0)
		return result;
	if (from.n > MAILBOX_NAME_MAX)
		return ERR_NOT_FOUND;
	if (account_mailbox(account, to))
		return ERR_EXISTS;
	if (str_eq(from, STR("INBOX")))
		return rename_inbox(account, to, max_mailboxes);
	if (mailbox_is_below(to, from))
		return ERR_DENIED;
	if (account->n_mailboxes + missing_parents(account, to) > max_mailboxes)
		return ERR_LIMIT;
	return mailboxes_rename(account, from, to);
}

/* --- subscriptions --- */

static size_t subscription_place(const struct account *account, struct str name, bool *found)
{
	size_t low = 0, high = account->n_subscriptions;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (str_cmp(account->subscriptions[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = low < account->n_subscriptions && str_eq(account->subscriptions[low], name);
	return low;
}

size_t account_subscriptions(struct account *account, const struct str **out)
{
	*out = account->subscriptions;
	return account->n_subscriptions;
}

bool account_is_subscribed(struct account *account, struct str name)
{
	bool found;
	subscription_place(account, name, &found);
	return found;
}

int account_subscribe(struct account *account, struct str name, bool subscribe)
{
	struct statements *sql = &account->store->sql;
	sqlite3_stmt *statement = subscribe ? sql->subscription_insert : sql->subscription_remove;
	bool found;
	size_t at = subscription_place(account, name, &found);
	int result = mailbox_check_name(name);
	if (result < 0 || found == subscribe)
		return subscribe ? result : 0;
	if (subscribe && account->n_subscriptions >= SUBSCRIPTIONS_MAX)
		return ERR_LIMIT;
	result = store_begin(account, 0);
	if (result < 0)
		return result;
	db_bind_int(statement, 1, account->number);
	db_bind_text(statement, 2, name);
	result = db_run(statement);
	if (result < 0)
		return store_void(account->store, result);
	account->names_version++;
	if (subscribe) {
		account->subscriptions =
			mem_room_for_one(account->subscriptions, account->n_subscriptions, sizeof *account->subscriptions);
		memmove(account->subscriptions + at + 1, account->subscriptions + at,
		        (account->n_subscriptions++ - at) * sizeof *account->subscriptions);
		account->subscriptions[at] = str_of(mem_copy(name), name.n);
	} else {
		mem_free((char *)account->subscriptions[at].p);
		memmove(account->subscriptions + at, account->subscriptions + at + 1,
		        (--account->n_subscriptions - at) * sizeof *account->subscriptions);
	}
	return 0;
}

/* --- keywords --- */

size_t mailbox_keywords(const struct mailbox *mailbox, const struct str **out)
{
	*out = mailbox->keywords;
	return mailbox->n_keywords;
}

int keyword_find(const struct mailbox *mailbox, struct str name)
{
	for (size_t i = 0; i < mailbox->n_keywords; i++)
		if (str_ieq(mailbox->keywords[i], name))
			return (int)i;
	return -1;
}

static int write_keywords(struct mailbox *mailbox)
{
	sqlite3_stmt *update = mailbox->account->store->sql.mailbox_keywords;
	struct buf packed = BUF_INIT(KEYWORDS_BYTES);
	for (size_t i = 0; i < mailbox->n_keywords; i++)
		wire_put_short(&packed, mailbox->keywords[i]);
	db_bind_int(update, 1, mailbox->facts.number);
	db_bind_blob(update, 2, buf_str(&packed));
	int result = buf_error(&packed);
	if (result == 0)
		result = db_run(update);
	buf_free(&packed);
	return result;
}

int keyword_add(struct mailbox *mailbox, struct str name, uint32_t max, uint32_t *bit)
{
	int found = keyword_find(mailbox, name);
	if (mailbox->gone)
		return ERR_NOT_FOUND;
	if (found >= 0) {
		*bit = (uint32_t)found;
		return 0;
	}
	if (mailbox->n_keywords >= MIN(max, (uint32_t)KEYWORDS_MAX) || name.n == 0 || name.n > KEYWORD_NAME_MAX)
		return ERR_LIMIT;
	int result = store_begin(mailbox->account, 0);
	if (result < 0)
		return result;
	mailbox->keywords = mem_resize(mailbox->keywords, mailbox->n_keywords + 1, sizeof *mailbox->keywords);
	mailbox->keywords[mailbox->n_keywords++] = str_of(mem_copy(name), name.n);
	result = write_keywords(mailbox);
	if (result < 0)
		return store_void(mailbox->account->store, result);
	*bit = (uint32_t)mailbox->n_keywords - 1;
	return 0;
}

enum { UNMAPPED = -1, DROPPED = -2 };

void keyword_map_begin(struct keyword_map *map, struct mailbox *to, uint32_t max)
{
	map->to = to;
	map->max = max;
	for (size_t i = 0; i < KEYWORDS_MAX; i++)
		map->bits[i] = UNMAPPED;
}

int keyword_map_bits(struct keyword_map *map, const struct str *names, size_t n_names, const struct keyword_bits *from,
                     struct keyword_bits *to)
{
	*to = (struct keyword_bits){ { 0 } };
	for (size_t bit = 0; bit < n_names; bit++) {
		if (!(from->word[bit / 64] >> (bit % 64) & 1))
			continue;
		if (map->bits[bit] == UNMAPPED) {
			uint32_t there;
			int result = keyword_add(map->to, names[bit], map->max, &there);
			if (result < 0 && result != ERR_LIMIT)
				return result;
			map->bits[bit] = result < 0 ? (int16_t)DROPPED : (int16_t)there;
		}
		if (map->bits[bit] >= 0)
			to->word[map->bits[bit] / 64] |= UINT64_C(1) << (map->bits[bit] % 64);
	}
	return 0;
}
