/* change.c: what happened: the change log in the database, the last changes in memory, what a session has not heard
 * of yet, and its watchers. The ring belongs to an open mailbox. */
#include "store/internal.h"

#include "base/checked.h"
#include "base/clock.h"

static void remember(struct mailbox *mailbox, uint64_t modseq, enum change_kind kind, const struct set *uids,
                     uint64_t origin)
{
	if (mailbox->holds == 0)
		return;
	if (uids->n > RECENT_RANGES_MAX) {
		changes_forget(mailbox);
		mailbox->changes_floor = modseq;
		return;
	}
	if (!mailbox->changes)
		mailbox->changes = mem_alloc(RECENT_CHANGES, sizeof *mailbox->changes);
	if (mailbox->n_changes == RECENT_CHANGES) {
		mailbox->changes_floor = mailbox->changes[mailbox->changes_first].modseq;
		mailbox->changes_first = (mailbox->changes_first + 1) % RECENT_CHANGES;
		mailbox->n_changes--;
	}
	struct recent_change *change = &mailbox->changes[(mailbox->changes_first + mailbox->n_changes++) % RECENT_CHANGES];
	change->modseq = modseq;
	change->kind = kind;
	change->origin = origin;
	set_copy(&change->uids, uids);
}

void changes_forget(struct mailbox *mailbox)
{
	for (uint32_t i = 0; i < RECENT_CHANGES && mailbox->changes; i++)
		set_free(&mailbox->changes[i].uids);
	mem_free(mailbox->changes);
	mailbox->changes = NULL;
	mailbox->changes_first = mailbox->n_changes = 0;
	mailbox->changes_floor = mailbox->modseq;
}

static void make_noise(struct mailbox *mailbox)
{
	struct store *store = mailbox->account->store;
	if (!mailbox->watches || mailbox->is_noisy)
		return;
	mailbox->is_noisy = true;
	mailbox->noisy_next = store->noisy;
	store->noisy = mailbox;
}

int change_insert_row(struct account *account, uint32_t mailbox, uint64_t modseq, enum change_kind kind, int64_t time,
                      const struct set *uids)
{
	struct store *store = account->store;
	sqlite3_stmt *insert = store->sql.change_insert;
	buf_clear(&store->scratch);
	set_encode(uids, &store->scratch);
	int result = buf_error(&store->scratch);
	if (result < 0)
		return result;
	db_bind_int(insert, 1, make_key(account, modseq));
	db_bind_int(insert, 2, mailbox);
	db_bind_int(insert, 3, kind);
	db_bind_int(insert, 4, time);
	db_bind_blob(insert, 5, buf_str(&store->scratch));
	return db_run(insert);
}

int change_write(struct mailbox *mailbox, uint64_t modseq, enum change_kind kind, const struct set *uids,
                 uint64_t origin)
{
	int result =
		change_insert_row(mailbox->account, mailbox->facts.number, modseq, kind, clock_wall_seconds(), uids);
	if (result < 0)
		return result;
	remember(mailbox, modseq, kind, uids, origin);
	mailbox->modseq = MAX(mailbox->modseq, modseq);
	make_noise(mailbox);
	return 0;
}

/* --- what a session has not heard of --- */

void delta_free(struct delta *delta)
{
	set_free(&delta->expunged);
	set_free(&delta->flags);
	set_free(&delta->fresh);
}

bool mailbox_has_news(const struct mailbox *mailbox, const struct known *known)
{
	return mailbox->modseq > known->modseq;
}

/* Pages know their last change, so those without one since then are passed over. */
static void find_changed(const struct mailbox *mailbox, uint64_t modseq, struct set *out)
{
	for (uint32_t i = 0; i < mailbox->n_pages; i++) {
		const struct page *page = mailbox->pages[i];
		for (uint32_t k = 0; page->modseq > modseq && k < page->n; k++)
			if (page->entries[k].modseq > modseq)
				set_add(out, page->entries[k].uid, page->entries[k].uid);
	}
}

/* Everything compared: for a session that is further behind than the ring. */
static void compare_all(const struct mailbox *mailbox, const struct known *known, struct delta *out)
{
	struct known now = { SET_INIT, 0 };
	struct set changed = SET_INIT;
	mailbox_know_all(mailbox, &now);
	set_difference(&known->uids, &now.uids, &out->expunged);
	set_difference(&now.uids, &known->uids, &out->fresh);
	find_changed(mailbox, known->modseq, &changed);
	set_intersection(&changed, &known->uids, &out->flags);
	set_free(&changed);
	set_free(&now.uids);
}

static void subtract(struct set *from, const struct set *what, struct set *spare)
{
	set_difference(from, what, spare);
	struct set old = *from;
	*from = *spare;
	*spare = old;
}

static void apply(const struct recent_change *change, const struct known *known, uint64_t origin, struct delta *out,
                  struct set *spare)
{
	switch (change->kind) {
	case CHANGE_NEW:
		set_add_set(&out->fresh, &change->uids);
		break;
	case CHANGE_FLAGS:
		if (origin != 0 && change->origin == origin)
			break;
		set_intersection(&change->uids, &known->uids, spare);
		set_add_set(&out->flags, spare);
		break;
	case CHANGE_EXPUNGE:
		subtract(&out->fresh, &change->uids, spare);
		subtract(&out->flags, &change->uids, spare);
		set_intersection(&change->uids, &known->uids, spare);
		set_add_set(&out->expunged, spare);
		break;
	}
}

int mailbox_delta(const struct mailbox *mailbox, const struct known *known, uint64_t origin, struct delta *out)
{
	struct set spare = SET_INIT;
	if (mailbox->view != VIEW_FULL)
		return ERR_STATE;
	*out = (struct delta){ SET_INIT, SET_INIT, SET_INIT };
	if (known->modseq < mailbox->changes_floor) {
		compare_all(mailbox, known, out);
		return 0;
	}
	for (uint32_t i = 0; i < mailbox->n_changes; i++) {
		const struct recent_change *change = &mailbox->changes[(mailbox->changes_first + i) % RECENT_CHANGES];
		if (change->modseq > known->modseq)
			apply(change, known, origin, out, &spare);
	}
	/* a session may know of a message before it knows all that came before it */
	subtract(&out->fresh, &known->uids, &spare);
	set_free(&spare);
	return 0;
}

/* --- what a client has not heard of that was away --- */

/* What the log is read for at most: beyond it a look at the pages is cheaper, and a shard must not be held. */
#define TAIL_ROWS_MAX   8192
#define TAIL_RANGES_MAX 32768

/* Ranges in the order of the log. */
struct gathered {
	struct set_range *ranges;
	uint32_t n;
};

static int gather(struct gathered *to, struct str blob, uint32_t *left)
{
	struct set uids = SET_INIT;
	int result = set_decode(blob, &uids);
	if (result < 0 || uids.n > *left)
		result = ERR_LIMIT;
	if (result == 0 && uids.n > 0) {
		if (!to->ranges)
			to->ranges = mem_alloc(TAIL_RANGES_MAX, sizeof *to->ranges);
		memcpy(to->ranges + to->n, uids.ranges, uids.n * sizeof *uids.ranges);
		to->n += uids.n;
		*left -= uids.n;
	}
	set_free(&uids);
	return result;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct set_range *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void gathered_into_set(struct gathered *from, struct set *out)
{
	set_clear(out);
	if (from->n > 1)
		qsort(from->ranges, from->n, sizeof *from->ranges, compare_ranges);
	for (uint32_t i = 0; i < from->n; i++)
		set_add(out, from->ranges[i].first, from->ranges[i].last);
}

/* The log lost rows from its beginning only, so from its first row on it is complete. */
static int log_goes_back_to(const struct mailbox *mailbox, uint64_t modseq, bool *out)
{
	struct account *account = mailbox->account;
	DB_USING(first, account->store->sql.change_first);
	db_bind_int(first, 1, make_key(account, 0));
	db_bind_int(first, 2, make_key(account, NUMBER_MAX));
	int row = db_step(first);
	if (row < 0)
		return row;
	*out = row == DB_ROW && !db_column_is_null(first, 0) &&
	       ((uint64_t)db_column_int(first, 0) & NUMBER_MAX) <= modseq + 1;
	return 0;
}

/* ERR_LIMIT: there is too much of it, or a row is damaged: the pages tell as much. */
static int read_tail(const struct mailbox *mailbox, uint64_t modseq, struct gathered *touched,
                     struct gathered *expunged)
{
	struct account *account = mailbox->account;
	DB_USING(tail, account->store->sql.change_tail);
	uint32_t left = TAIL_RANGES_MAX;
	int row;
	db_bind_int(tail, 1, make_key(account, modseq + 1));
	db_bind_int(tail, 2, make_key(account, NUMBER_MAX));
	for (uint32_t n = 0; (row = db_step(tail)) == DB_ROW; n++) {
		if (n == TAIL_ROWS_MAX)
			return ERR_LIMIT;
		if (db_column_int(tail, 0) != mailbox->facts.number)
			continue;
		bool gone = db_column_int(tail, 1) == CHANGE_EXPUNGE;
		int result = gather(gone ? expunged : touched, db_column_blob(tail, 2), &left);
		if (result < 0)
			return result;
	}
	return row < 0 ? row : 0;
}

/* Of what the log names, what is there and has really changed. */
static void keep_changed(const struct mailbox *mailbox, uint64_t modseq, const struct set *named, struct set *out)
{
	struct slot_walk walk = { .mailbox = mailbox, .uids = named };
	struct page *page;
	uint32_t slot;
	while (slot_walk_next(&walk, &page, &slot))
		if (page->entries[slot].modseq > modseq)
			set_add(out, page->entries[slot].uid, page->entries[slot].uid);
}

int mailbox_changes_since(const struct mailbox *mailbox, uint64_t modseq, struct set *changed, struct set *expunged,
                          bool *complete)
{
	struct gathered touched = { NULL, 0 }, gone = { NULL, 0 };
	struct set named = SET_INIT;
	bool enough = modseq >= mailbox->modseq; /* nothing has happened */
	int result = 0;
	if (mailbox->view != VIEW_FULL)
		return ERR_STATE;
	if (!enough) {
		result = log_goes_back_to(mailbox, modseq, &enough);
		if (result == 0 && enough)
			result = read_tail(mailbox, modseq, &touched, &gone);
		if (result == ERR_LIMIT) {
			enough = false;
			result = 0;
		}
	}
	if (result == 0) {
		set_clear(changed);
		set_clear(expunged);
		if (!enough) {
			find_changed(mailbox, modseq, changed);
		} else {
			gathered_into_set(&touched, &named);
			keep_changed(mailbox, modseq, &named, changed);
			gathered_into_set(&gone, expunged);
		}
		*complete = enough;
	}
	mem_free(touched.ranges);
	mem_free(gone.ranges);
	set_free(&named);
	return result;
}

/* --- watchers --- */

void mailbox_watch_start(struct mailbox *mailbox, struct mailbox_watch *watch)
{
	watch->mailbox = mailbox;
	watch->next = mailbox->watches;
	watch->link = &mailbox->watches;
	if (watch->next)
		watch->next->link = &watch->next;
	mailbox->watches = watch;
}

void mailbox_watch_stop(struct mailbox_watch *watch)
{
	if (!watch->link)
		return;
	*watch->link = watch->next;
	if (watch->next)
		watch->next->link = watch->link;
	watch->next = NULL;
	watch->link = NULL;
}
