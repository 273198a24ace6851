/* salvage_elsewhere.c: which accounts other shards have, as far as their indexes can be read. Each is read when it is first
 * asked for, on a copy; what cannot be read has no accounts, and is told. Owned by the salvage. */
#include "mail/salvage_private.h"

#include "base/mem.h"

struct other_account {
	struct account_id id;
	bool has_mail;
};

struct other_shard {
	struct salvage *salvage;
	uint16_t number;
	bool was_read;
	struct other_account *accounts; /* by id */
	size_t n_accounts;
};

static int by_id(const void *a, const void *b)
{
	return memcmp(&((const struct other_account *)a)->id, &((const struct other_account *)b)->id,
	              sizeof(struct account_id));
}

static void note_account(void *owner, const struct account_id *id, bool has_mail)
{
	struct other_shard *other = owner;
	other->accounts = mem_room_for_one(other->accounts, other->n_accounts, sizeof *other->accounts);
	other->accounts[other->n_accounts++] = (struct other_account){ *id, has_mail };
}

static void tell_damage(void *owner, struct str what)
{
	const struct other_shard *other = owner;
	const struct salvage *salvage = other->salvage;
	char name[32];
	snprintf(name, sizeof name, "shards/%02u/index.db", other->number);
	salvage->world->damage(salvage->owner, str_from_c(name), SALVAGE_NO_OFFSET, what);
}

static int read_shard(struct salvage *salvage, uint16_t shard, struct other_shard *other)
{
	const struct salvage_settings *settings = salvage->settings;
	other->salvage = salvage;
	other->number = shard;
	int result = salvage_index_accounts(settings->folders[shard], settings->to, tell_damage, note_account, other);
	other->was_read = result == 0;
	if (other->n_accounts)
		qsort(other->accounts, other->n_accounts, sizeof *other->accounts, by_id);
	return result;
}

int salvage_look_elsewhere(struct salvage *salvage, uint16_t shard, const struct account_id *id, bool *has, bool *has_mail)
{
	const struct salvage_settings *settings = salvage->settings;
	const struct other_account wanted = { .id = *id }, *found;
	*has = *has_mail = false;
	if (shard >= settings->n_shards)
		return 0; /* a directory of another store */
	if (!salvage->others)
		salvage->others = mem_alloc(settings->n_shards, sizeof *salvage->others);
	struct other_shard *other = &salvage->others[shard];
	int result = other->was_read ? 0 : read_shard(salvage, shard, other);
	if (result < 0 || other->n_accounts == 0)
		return result;
	found = bsearch(&wanted, other->accounts, other->n_accounts, sizeof wanted, by_id);
	*has = found != NULL;
	*has_mail = found && found->has_mail;
	return 0;
}

void salvage_elsewhere_free(struct salvage *salvage)
{
	for (uint32_t i = 0; salvage->others && i < salvage->settings->n_shards; i++)
		mem_free(salvage->others[i].accounts);
	mem_free(salvage->others);
	salvage->others = NULL;
}
