/* renaming.c: RENAME of mailboxes, with what lies below them (RFC 3501, 6.3.5; RFC 9051, 6.3.6). In memory all names change
 * at once. Rows of few mailboxes do too; of many, the account's row says what is called how (account.renaming), in
 * one small write, and their rows follow, a slice to a batch (account_rename_step). Until then whoever reads rows applies
 * what that says to those that are not done, so a crash leaves all old names or all new ones. While it lasts, a new
 * mailbox could get a name that a row still has, and be taken for one that is to be renamed: who makes one sees it to its
 * end first. Owned by the account. */
#include "store/renaming.h"

#include "base/checked.h"
#include "base/wire.h"
#include "store/internal.h"

#define PACKED_MAX (2 * (MAILBOX_NAME_MAX + 2) + 4)

struct renaming {
	struct str from, to; /* owned */
	uint32_t done;       /* as the row said that was read */
	uint32_t *numbers;   /* of mailboxes whose rows have their old names, growing */
	size_t n, next;
};

/* --- what the account's row says --- */

bool renaming_read(struct str packed, struct renaming_facts *out)
{
	struct wire_reader r = wire_reader(packed);
	struct renaming_facts facts;
	facts.done = wire_get_u32(&r);
	facts.from = wire_get_short(&r, MAILBOX_NAME_MAX);
	facts.to = wire_get_short(&r, MAILBOX_NAME_MAX);
	if (wire_finish(&r) < 0 || mailbox_check_name(facts.from) < 0 || mailbox_check_name(facts.to) < 0)
		return false;
	*out = facts;
	return true;
}

bool renaming_apply(const struct renaming_facts *facts, uint32_t number, struct str name, struct buf *out)
{
	if (number <= facts->done || (!str_eq(name, facts->from) && !mailbox_is_below(name, facts->from)))
		return false;
	buf_clear(out);
	buf_add(out, facts->to);
	buf_add(out, str_from(name, facts->from.n));
	return buf_error(out) == 0;
}

static int write_row(struct account *account, uint32_t done)
{
	sqlite3_stmt *update = account->store->sql.account_renaming;
	const struct renaming *renaming = account->renaming;
	struct buf packed = BUF_INIT(PACKED_MAX);
	wire_put_u32(&packed, done);
	wire_put_short(&packed, renaming->from);
	wire_put_short(&packed, renaming->to);
	int result = buf_error(&packed);
	db_bind_int(update, 1, account->number);
	if (renaming->next == renaming->n)
		db_bind_null(update, 2);
	else
		db_bind_blob(update, 2, buf_str(&packed));
	if (result == 0)
		result = db_run(update);
	buf_free(&packed);
	return result;
}

/* --- memory --- */

void renaming_free(struct renaming **pointer)
{
	struct renaming *renaming = *pointer;
	*pointer = NULL;
	if (!renaming)
		return;
	mem_free((char *)renaming->from.p);
	mem_free((char *)renaming->to.p);
	mem_free(renaming->numbers);
	mem_free(renaming);
}

static struct renaming *renaming_new(struct str from, struct str to, size_t max)
{
	struct renaming *renaming = mem_alloc(1, sizeof *renaming);
	renaming->from = str_of(mem_copy(from), from.n);
	renaming->to = str_of(mem_copy(to), to.n);
	renaming->numbers = mem_alloc(max + 1, sizeof *renaming->numbers);
	return renaming;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void set_name(struct mailbox *mailbox, struct str name)
{
	mem_free((char *)mailbox->facts.name.p);
	mailbox->facts.name = str_of(mem_copy(name), name.n);
}

void renaming_load(struct account *account, struct str packed)
{
	struct renaming_facts facts;
	if (!account->renaming && renaming_read(packed, &facts)) {
		account->renaming = renaming_new(facts.from, facts.to, 0);
		account->renaming->done = facts.done;
	}
}

void renaming_loaded(struct account *account)
{
	struct renaming *renaming = account->renaming;
	struct buf name = BUF_INIT(2 * MAILBOX_NAME_MAX);
	if (!renaming)
		return;
	struct renaming_facts facts = { .from = renaming->from, .to = renaming->to, .done = renaming->done };
	renaming->numbers = mem_resize(renaming->numbers, account->n_mailboxes + 1, sizeof *renaming->numbers);
	for (size_t i = 0; i < account->n_mailboxes; i++) {
		struct mailbox *mailbox = account->mailboxes[i];
		if (!renaming_apply(&facts, mailbox->facts.number, mailbox->facts.name, &name))
			continue;
		set_name(mailbox, buf_str(&name));
		renaming->numbers[renaming->n++] = mailbox->facts.number;
	}
	buf_free(&name);
	qsort(renaming->numbers, renaming->n, sizeof *renaming->numbers, by_number);
	mailboxes_sort(account);
}

/* --- rows --- */

static int rename_row(struct account *account, uint32_t number, struct str name)
{
	sqlite3_stmt *rename = account->store->sql.mailbox_rename;
	db_bind_int(rename, 1, number);
	db_bind_text(rename, 2, name);
	return db_run(rename);
}

/* The next rows, those that still are; in a batch that was begun, which is voided by who asked. */
static int rename_slice(struct account *account)
{
	struct renaming *renaming = account->renaming;
	const uint32_t *numbers = renaming->numbers + renaming->next;
	size_t n = MIN(renaming->n - renaming->next, (size_t)RENAME_SLICE);
	int result = 0;
	for (size_t i = 0; i < account->n_mailboxes && result == 0 && n > 0; i++) {
		const struct mailbox_facts *facts = &account->mailboxes[i]->facts;
		if (facts->number >= numbers[0] && facts->number <= numbers[n - 1] &&
		    bsearch(&facts->number, numbers, n, sizeof *numbers, by_number))
			result = rename_row(account, facts->number, facts->name);
	}
	account->store->n_written += (uint32_t)n / 2; /* pages, about: of rows, and of names in two places */
	renaming->next += n;
	if (result == 0)
		result = write_row(account, n ? numbers[n - 1] : 0);
	if (result == 0 && renaming->next == renaming->n)
		renaming_free(&account->renaming);
	return result;
}

bool account_is_renaming(const struct account *account)
{
	return account->renaming != NULL;
}

int account_rename_step(struct account *account)
{
	int result = store_begin(account, 0);
	if (result < 0 || !account->renaming)
		return result;
	result = rename_slice(account);
	return result < 0 ? store_void(account->store, result) : 0;
}

int renaming_finish(struct account *account)
{
	int result = 0;
	while (account->renaming && result == 0)
		result = rename_slice(account);
	return result;
}

/* --- RENAME --- */

/* What is renamed, and what lies already where it would come. Names stay in order among themselves when they all begin
 * in another way. */
struct tree {
	struct mailbox **mailboxes; /* `from`, if there is one, and all below it */
	size_t n;
	size_t there, there_end;    /* in account->mailboxes: all below `to` */
};

static void find_tree(const struct account *account, struct str from, struct str to, struct tree *tree)
{
	size_t first, end, self = mailbox_place(account, from);
	mailboxes_below(account, to, &tree->there, &tree->there_end);
	mailboxes_below(account, from, &first, &end);
	tree->mailboxes = mem_alloc(end - first + 1, sizeof *tree->mailboxes);
	tree->n = 0;
	if (self < account->n_mailboxes && str_eq(account->mailboxes[self]->facts.name, from))
		tree->mailboxes[tree->n++] = account->mailboxes[self];
	memcpy(tree->mailboxes + tree->n, account->mailboxes + first, (end - first) * sizeof *tree->mailboxes);
	tree->n += end - first;
}

/* Nothing of what is renamed may get the name of another mailbox, or one that is too long or too deep. */
static int check_tree(const struct account *account, const struct tree *tree, struct str from, struct str to)
{
	size_t deeper = mailbox_depth(to) > mailbox_depth(from) ? mailbox_depth(to) - mailbox_depth(from) : 0, there = tree->there;
	for (size_t i = 0; i < tree->n; i++) {
		struct str old = tree->mailboxes[i]->facts.name, rest = str_from(old, from.n);
		if (to.n + rest.n > MAILBOX_NAME_MAX || (deeper && mailbox_depth(old) + deeper > MAILBOX_DEPTH_MAX))
			return ERR_LIMIT;
		for (int order = -1; there < tree->there_end && order < 0; there += order < 0) {
			order = str_cmp(str_from(account->mailboxes[there]->facts.name, to.n), rest);
			if (order == 0)
				return ERR_EXISTS;
		}
	}
	return tree->n ? 0 : ERR_NOT_FOUND;
}

/* New names in memory, and the mailboxes in their order. */
static void rename_in_memory(struct account *account, const struct tree *tree, size_t from_n, struct str to)
{
	size_t n = account->n_mailboxes, rest = 0, at = 0;
	struct mailbox **others = mem_alloc(n + 1, sizeof *others);
	struct buf name = BUF_INIT(2 * MAILBOX_NAME_MAX);
	for (size_t i = 0; i < n; i++) {
		if (at < tree->n && account->mailboxes[i] == tree->mailboxes[at])
			at++;
		else
			others[rest++] = account->mailboxes[i];
	}
	for (size_t i = 0; i < tree->n; i++) {
		buf_clear(&name);
		buf_add(&name, to);
		buf_add(&name, str_from(tree->mailboxes[i]->facts.name, from_n));
		set_name(tree->mailboxes[i], buf_str(&name));
	}
	at = 0;
	for (size_t i = 0, other = 0; i < n; i++) {
		bool ours = at < tree->n && (other == rest || str_cmp(tree->mailboxes[at]->facts.name, others[other]->facts.name) < 0);
		account->mailboxes[i] = ours ? tree->mailboxes[at++] : others[other++];
	}
	buf_free(&name);
	mem_free(others);
	account->names_version++;
}

/* After the names in memory have changed. */
static int write_names(struct account *account, const struct tree *tree, struct str from, struct str to)
{
	int result = 0;
	if (tree->n <= RENAME_SLICE) {
		for (size_t i = 0; i < tree->n && result == 0; i++)
			result = rename_row(account, tree->mailboxes[i]->facts.number, tree->mailboxes[i]->facts.name);
		return result;
	}
	struct renaming *renaming = renaming_new(from, to, tree->n);
	for (size_t i = 0; i < tree->n; i++)
		renaming->numbers[renaming->n++] = tree->mailboxes[i]->facts.number;
	qsort(renaming->numbers, renaming->n, sizeof *renaming->numbers, by_number);
	account->renaming = renaming;
	return write_row(account, 0);
}

int mailboxes_rename(struct account *account, struct str from, struct str to)
{
	struct tree tree;
	find_tree(account, from, to, &tree);
	int result = check_tree(account, &tree, from, to);
	if (result == 0)
		result = store_begin(account, 0);
	if (result == 0) {
		char *old = mem_copy(from); /* it may be the name of one of those that are renamed */
		result = renaming_finish(account);
		if (result == 0)
			result = mailbox_insert_parents(account, to);
		if (result == 0) {
			rename_in_memory(account, &tree, from.n, to);
			result = write_names(account, &tree, str_of(old, from.n), to);
		}
		mem_free(old);
		if (result < 0)
			result = store_void(account->store, result);
	}
	mem_free(tree.mailboxes);
	return result;
}
