/* directory_alias.c: aliases, and where mail to an address goes. Aliases form a graph without circles: each new edge is
 * checked before it is committed, and a walk is bounded whatever the database says. */
#include "auth/directory_private.h"

#include "base/checked.h"
#include "base/mem.h"

/* Aliases that one walk visits, one that is reached twice counting twice. */
#define WALK_MAX 2000

/* --- walking down from an address to its accounts, level by level --- */

struct walk_step {
	struct folded_address address;
	uint32_t depth; /* aliases passed on the way here */
};

struct walk {
	struct walk_step *steps; /* visited and to be visited */
	uint32_t n, size;
	const struct folded_address *wanted; /* say ERR_STATE when the walk comes by here; may be NULL */
	struct directory_targets *targets;
	bool unmade; /* an account that its shard has not made yet is among them */
};

static int walk_push(struct walk *walk, const struct folded_address *address, uint32_t depth)
{
	if (walk->n == WALK_MAX)
		return ERR_LIMIT;
	if (walk->n == walk->size) {
		walk->size = walk->size ? MIN(walk->size * 2, (uint32_t)WALK_MAX) : 4;
		walk->steps = mem_resize(walk->steps, walk->size, sizeof *walk->steps);
		for (uint32_t i = 0; i < walk->n; i++) { /* their slices pointed into the old memory */
			struct folded_address *moved = &walk->steps[i].address;
			bool has_domain = moved->domain.n > 0;
			moved->local.p = moved->whole.p = moved->text;
			moved->domain.p = moved->text + (has_domain ? moved->local.n + 1 : 0);
		}
	}
	struct walk_step *step = &walk->steps[walk->n++];
	address_copy(&step->address, address);
	step->depth = depth;
	return 0;
}

static int add_target(struct directory *directory, struct directory_targets *targets, struct str id, int64_t shard)
{
	if (id.n != ACCOUNT_ID_SIZE || shard < 0 || shard > UINT16_MAX)
		return ERR_CORRUPT;
	for (uint32_t i = 0; i < targets->n; i++)
		if (memcmp(targets->list[i].account.bytes, id.p, ACCOUNT_ID_SIZE) == 0)
			return 0;
	if (targets->n == directory->max_alias_targets)
		return ERR_LIMIT;
	struct directory_target *target = &targets->list[targets->n++];
	memcpy(target->account.bytes, id.p, ACCOUNT_ID_SIZE);
	target->shard = (uint16_t)shard;
	return 0;
}

static int push_alias_targets(struct directory *directory, struct walk *walk, const struct folded_address *alias,
			      uint32_t depth)
{
	if (depth > directory->max_alias_depth)
		return ERR_LIMIT;
	USING(stmt, directory, alias_targets);
	bind_address(stmt, 1, alias);
	int result;
	while ((result = db_step(stmt)) == DB_ROW) {
		struct folded_address target;
		result = directory_column_address(stmt, 0, &target);
		if (!result)
			result = walk_push(walk, &target, depth);
		if (result)
			return result;
	}
	return result;
}

/* One address: an account is a target, an alias is opened. ERR_NOT_FOUND if it is neither. */
static int walk_visit(struct directory *directory, struct walk *walk, uint32_t index)
{
	struct folded_address address;
	uint32_t depth = walk->steps[index].depth;
	address_copy(&address, &walk->steps[index].address);
	if (walk->wanted && str_eq(address.whole, walk->wanted->whole))
		return ERR_STATE;
	USING(stmt, directory, address_find);
	bind_address(stmt, 1, &address);
	int row = db_step(stmt);
	if (row != DB_ROW)
		return row == DB_DONE ? ERR_NOT_FOUND : row;
	if (db_column_is_null(stmt, 0))
		return push_alias_targets(directory, walk, &address, depth + 1);
	walk->unmade |= db_column_int(stmt, 2) == 0;
	return add_target(directory, walk->targets, db_column_blob(stmt, 0), db_column_int(stmt, 1));
}

/* All accounts below `start`. ERR_NOT_FOUND: nothing has this address; ERR_LIMIT: over the bounds, or in a circle. */
static int walk_down(struct directory *directory, const struct folded_address *start, struct walk *walk)
{
	walk->targets->n = 0;
	int err = walk_push(walk, start, 0);
	for (uint32_t i = 0; !err && i < walk->n; i++) {
		err = walk_visit(directory, walk, i);
		if (err == ERR_NOT_FOUND && i > 0)
			err = ERR_CORRUPT; /* foreign keys do not allow it */
	}
	if (!err && walk->targets->n == 0)
		err = ERR_LIMIT;
	mem_free(walk->steps);
	walk->steps = NULL;
	walk->n = walk->size = 0;
	return err;
}

/* --- changing aliases --- */

int directory_delete_empty_aliases(struct directory *directory)
{
	int err;
	do {
		USING(stmt, directory, alias_delete_empty);
		err = db_run(stmt);
	} while (!err && db_changes(&directory->db) > 0);
	return err;
}

/* Every alias that leads here, directly or not, must still be within the bounds. */
static int check_upwards(struct directory *directory, const struct folded_address *address,
			 struct directory_targets *targets)
{
	struct walk above = { .targets = targets };
	int err = walk_push(&above, address, 0);
	for (uint32_t i = 0; !err && i < above.n; i++) {
		struct folded_address here;
		address_copy(&here, &above.steps[i].address);
		struct walk below = { .targets = targets };
		err = walk_down(directory, &here, &below);
		USING(stmt, directory, alias_sources);
		bind_address(stmt, 1, &here);
		while (!err && (err = db_step(stmt)) == DB_ROW) {
			struct folded_address source;
			err = directory_column_address(stmt, 0, &source);
			if (!err)
				err = walk_push(&above, &source, 0);
		}
	}
	mem_free(above.steps);
	return err;
}

/* *is_new: nothing has this address yet. ERR_EXISTS: an account has it. */
static int look_at_alias(struct directory *directory, const struct folded_address *alias, bool *is_new)
{
	USING(stmt, directory, address_find);
	bind_address(stmt, 1, alias);
	int row = db_step(stmt);
	if (row < 0)
		return row;
	if (row == DB_ROW && !db_column_is_null(stmt, 0))
		return ERR_EXISTS;
	*is_new = row == DB_DONE;
	return 0;
}

/* In a transaction. */
static int add_alias_target(struct directory *directory, const struct folded_address *alias, struct str target,
			    struct directory_targets *targets)
{
	struct folded_address to;
	int err = address_read(target, &to);
	if (err)
		return err;
	struct walk walk = { .targets = targets, .wanted = alias };
	err = walk_down(directory, &to, &walk);
	if (err)
		return err;
	USING(stmt, directory, alias_insert);
	bind_address(stmt, 1, alias);
	bind_address(stmt, 3, &to);
	return db_run(stmt);
}

/* In a transaction. */
static int add_alias(struct directory *directory, const struct folded_address *alias, const struct str *targets,
		     uint32_t n, uint32_t *failed)
{
	bool is_new;
	int err = look_at_alias(directory, alias, &is_new);
	if (!err && is_new) {
		USING(address, directory, address_insert);
		bind_address(address, 1, alias);
		db_bind_null(address, 3);
		db_bind_null(address, 4);
		err = db_run(address);
	}
	struct directory_targets *found = mem_alloc(1, sizeof *found);
	for (uint32_t i = 0; !err && i < n; i++) {
		err = add_alias_target(directory, alias, targets[i], found);
		if (err)
			*failed = i;
	}
	if (!err)
		err = check_upwards(directory, alias, found);
	mem_free(found);
	return err;
}

int directory_alias_add(struct directory *directory, struct str address, const struct str *targets, uint32_t n,
			uint32_t *failed)
{
	struct folded_address alias;
	*failed = n;
	if (n == 0)
		return ERR_SYNTAX;
	int err = address_read_new(address, &alias);
	if (!err)
		err = directory_domain_find(directory, alias.domain);
	if (!err)
		err = db_begin(&directory->db);
	return err ? err : directory_finish(directory, add_alias(directory, &alias, targets, n, failed));
}

static int delete_alias_target(struct directory *directory, const struct folded_address *alias, struct str target)
{
	struct folded_address to;
	int err = address_read(target, &to);
	if (err)
		return err;
	USING(stmt, directory, alias_delete);
	bind_address(stmt, 1, alias);
	bind_address(stmt, 3, &to);
	err = db_run(stmt);
	return err ? err : db_changes(&directory->db) ? 0 : ERR_NOT_FOUND;
}

static int delete_whole_alias(struct directory *directory, const struct folded_address *alias)
{
	USING(stmt, directory, address_delete);
	bind_address(stmt, 1, alias);
	int err = db_run(stmt);
	return err ? err : db_changes(&directory->db) ? 0 : ERR_NOT_FOUND;
}

/* In a transaction. */
static int delete_alias(struct directory *directory, const struct folded_address *alias, const struct str *targets,
			uint32_t n, uint32_t *failed)
{
	int err = n ? 0 : delete_whole_alias(directory, alias);
	for (uint32_t i = 0; !err && i < n; i++) {
		err = delete_alias_target(directory, alias, targets[i]);
		if (err)
			*failed = i;
	}
	return err ? err : directory_delete_empty_aliases(directory);
}

int directory_alias_remove(struct directory *directory, struct str address, const struct str *targets, uint32_t n,
			   uint32_t *failed)
{
	struct folded_address alias;
	*failed = n;
	int err = address_read(address, &alias);
	if (!err)
		err = db_begin(&directory->db);
	return err ? err : directory_finish(directory, delete_alias(directory, &alias, targets, n, failed));
}

/* --- lists --- */

int directory_aliases(struct directory *directory, struct str domain, struct str after, uint32_t max,
		      directory_alias_fn *fn, void *owner)
{
	struct directory_page page;
	USING(stmt, directory, alias_list);
	int result = directory_bind_page(stmt, domain, after, max, &page);
	if (result)
		return result;
	while ((result = db_step(stmt)) == DB_ROW) {
		struct folded_address alias, target;
		result = directory_column_address(stmt, 0, &alias);
		if (!result)
			result = directory_column_address(stmt, 2, &target);
		if (!result)
			result = fn(owner, alias.whole, target.whole);
		if (result)
			return result;
	}
	return result;
}

static int each_address(sqlite3_stmt *stmt, struct str of, directory_text_fn *fn, void *owner)
{
	struct folded_address address;
	int result = address_read(of, &address);
	if (result)
		return result;
	bind_address(stmt, 1, &address);
	while ((result = db_step(stmt)) == DB_ROW) {
		struct folded_address found;
		result = directory_column_address(stmt, 0, &found);
		if (!result)
			result = fn(owner, found.whole);
		if (result)
			return result;
	}
	return result;
}

int directory_aliases_of(struct directory *directory, struct str address, directory_text_fn *fn, void *owner)
{
	USING(stmt, directory, alias_sources);
	return each_address(stmt, address, fn, owner);
}

int directory_alias_targets(struct directory *directory, struct str alias, directory_text_fn *fn, void *owner)
{
	USING(stmt, directory, alias_targets);
	return each_address(stmt, alias, fn, owner);
}

/* --- where mail goes --- */

/* The one row of (domain, local) or (domain) that a statement gives, as an address with that local part by default. */
static int somebody(sqlite3_stmt *stmt, struct folded_address *out)
{
	int row = db_step(stmt);
	return row == DB_ROW ? directory_column_address(stmt, 0, out) : row == DB_DONE ? ERR_NOT_FOUND : row;
}

/* Who stands in for a postmaster that is no address itself; the order stands at directory_resolve. */
static int find_postmaster(struct directory *directory, struct str domain, struct folded_address *out)
{
	USING(postmaster, directory, address_postmaster);
	int err = somebody(postmaster, out);
	if (err != ERR_NOT_FOUND)
		return err;
	USING(oldest_there, directory, account_oldest_in);
	db_bind_text(oldest_there, 1, domain);
	err = somebody(oldest_there, out);
	if (err != ERR_NOT_FOUND)
		return err;
	USING(oldest, directory, account_oldest);
	err = somebody(oldest, out);
	return err == ERR_NOT_FOUND ? ERR_UNAVAILABLE : err;
}

/* Cuts the address at its last delimiter; false, and nothing was done, if it has none with something before it. */
static bool cut_detail(const struct directory *directory, struct folded_address *address)
{
	size_t at = address->local.n;
	if (!directory->has_delimiter)
		return false;
	do {
		if (at <= 1)
			return false;
	} while (address->local.p[--at] != directory->delimiter);
	size_t n = at + 1 + address->domain.n;
	memmove(address->text + at, address->text + address->local.n, 1 + address->domain.n);
	address->local = str_of(address->text, at);
	address->domain = str_of(address->text + at + 1, address->domain.n);
	address->whole = str_of(address->text, n);
	return true;
}

static int resolve_from(struct directory *directory, const struct folded_address *address,
			struct directory_targets *out)
{
	struct walk walk = { .targets = out };
	int err = walk_down(directory, address, &walk);
	return !err && walk.unmade ? ERR_UNAVAILABLE : err;
}

/* What cannot be an address is nobody in our domains and no business of ours elsewhere. */
static int resolve_unreadable(struct directory *directory, struct str address)
{
	while (str_find_byte(address, '@') >= 0)
		(void)str_cut(&address, '@');
	int err = directory_domain_find(directory, address);
	return err == 0 ? ERR_NOT_FOUND : err == ERR_NOT_FOUND || err == ERR_SYNTAX || err == ERR_LIMIT ? ERR_DENIED : err;
}

/* What is cut off stays cut off: in the end it is the name in front of the first delimiter that is a postmaster's. */
static int resolve(struct directory *directory, struct folded_address *address, struct directory_targets *out)
{
	int err = address->domain.n ? directory_domain_find(directory, address->domain) : 0;
	if (err)
		return err == ERR_NOT_FOUND ? ERR_DENIED : err;
	if (address->domain.n) {
		do
			err = resolve_from(directory, address, out);
		while (err == ERR_NOT_FOUND && cut_detail(directory, address));
		if (err != ERR_NOT_FOUND)
			return err;
	}
	if (!str_eq(address->local, STR("postmaster")))
		return ERR_NOT_FOUND;
	struct folded_address stand_in;
	err = find_postmaster(directory, address->domain, &stand_in);
	return err ? err : resolve_from(directory, &stand_in, out);
}

int directory_resolve(struct directory *directory, struct str address, struct directory_targets *out)
{
	struct folded_address folded;
	int err = address_read(address, &folded);
	if (err)
		return resolve_unreadable(directory, address);
	return resolve(directory, &folded, out);
}
