/* salvage.c: one damaged shard: reads its segments and its index, decides which accounts there are, and makes the new
 * shard account by account (salvage_gather.c, salvage_write.c). The new shard's segments are hard links of the old ones;
 * as the new store writes to a segment with a number above all of them, neither ever changes the other's. */
#include "mail/salvage_private.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES    4096
#define SAMPLE_MAX    1024
#define PLACES_TO_TRY 8

/* --- the store's world --- */

static void world_sync(void *owner, int fd, bool is_folder)
{
	struct salvage *salvage = owner;
	salvage->sync_fd = fd;
	salvage->sync_is_folder = is_folder;
}

static void world_writable(void *owner)
{
}

static void world_durable(void *owner, uint64_t batch)
{
}

static void world_voided(void *owner, uint64_t batch, int err)
{
	struct salvage *salvage = owner;
	salvage->failed = err;
}

static void world_failed(void *owner, const char *what, int err)
{
	struct salvage *salvage = owner;
	salvage->failed = err;
}

static const struct store_world store_world = { world_sync, world_writable, world_durable, world_voided, world_failed,
	                                            NULL };

/* --- what is found on the way --- */

static void segment_damage(void *owner, uint32_t segment, uint64_t offset, const char *problem)
{
	struct salvage *salvage = owner;
	char name[32];
	snprintf(name, sizeof name, "body/%06u.seg", segment);
	for (size_t i = 0; i < salvage->index.n_segments; i++) /* what lies behind the end was never acknowledged */
		if (salvage->index.segments[i].number == segment && offset >= salvage->index.segments[i].end &&
		    !salvage->index.doubtful)
			return;
	salvage->world->damage(salvage->owner, str_from_c(name), offset, str_from_c(problem));
}

static void scan_progress(void *owner, uint64_t bytes, uint64_t total)
{
	struct salvage *salvage = owner;
	salvage->world->progress(salvage->owner, bytes, 2 * total);
}

static const struct salvage_scan_world scan_world = { segment_damage, scan_progress };

static void index_damage(void *owner, struct str what)
{
	struct salvage *salvage = owner;
	salvage->world->damage(salvage->owner, STR("index.db"), SALVAGE_NO_OFFSET, what);
}

/* --- the new store --- */

static int link_segments(struct salvage *salvage)
{
	const struct salvage_segments *segments = &salvage->segments;
	char path[PATH_BYTES], name[32];
	snprintf(path, sizeof path, "%.*s/body", STR_ARG(salvage->settings->to));
	if (mkdir(path, 0700) < 0)
		return err_from_errno(errno);
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = folder < 0 ? err_from_errno(errno) : 0;
	for (size_t i = 0; i < segments->n_files && result == 0; i++) {
		snprintf(name, sizeof name, "%06u.seg", segments->files[i].number);
		if (linkat(segments->folder, name, folder, name, 0) < 0)
			result = err_from_errno(errno);
	}
	if (folder >= 0)
		close(folder);
	return result;
}

static int make_store(struct salvage *salvage, const char **what)
{
	const struct salvage_segments *segments = &salvage->segments;
	struct store_settings settings = salvage->settings->store;
	settings.directory = salvage->settings->to;
	settings.first_segment = segments->n_files ? segments->files[segments->n_files - 1].number + 1 : 1;
	settings.quota = (struct account_counts){ 0, 0 };
	const char *part; /* of what is new */
	*what = "hard links of the segments in the new folder";
	int result = link_segments(salvage);
	if (result < 0)
		return result;
	*what = "index.db of the new folder";
	result = store_open(&settings, &store_world, salvage, &salvage->store, &part);
	for (size_t i = 0; i < segments->n_files && result == 0; i++)
		result = salvage_add_segment(salvage->store, segments->files[i].number, segments->files[i].size);
	return result == 0 ? salvage_settle(salvage) : result;
}

/* --- accounts --- */

static int by_id(const void *a, const void *b)
{
	return memcmp(&((const struct salvage_account_row *)a)->id, &((const struct salvage_account_row *)b)->id,
	              sizeof(struct account_id));
}

static int by_id_and_state(const void *a, const void *b)
{
	int64_t x = ((const struct salvage_account_row *)a)->removed, y = ((const struct salvage_account_row *)b)->removed;
	int order = by_id(a, b);
	return order != 0 ? order : (x > y) - (x < y);
}

static const struct salvage_known *known_account(const struct salvage_settings *settings, const struct account_id *id)
{
	size_t low = 0, high = settings->n_known;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(&settings->known[middle].id, id, sizeof *id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < settings->n_known && memcmp(&settings->known[low].id, id, sizeof *id) == 0 ? &settings->known[low]
	                                                                                         : NULL;
}

struct verdict {
	enum salvage_account_state state;
	bool also_there;
};

/* What becomes of an account that the directory has in another shard. Where this one says that it lives here, it is kept:
 * the directory may be an older one, or the folders of two shards in each other's place; or this shard is older, which only
 * a person can say (leave_out). Where an index that is whole does not say so, it has left or was destroyed here, be the
 * other one's mailboxes empty by now. `found`: what is here of it; NULL: not looked at yet. */
static int judge(struct salvage *salvage, const struct account_id *id, const struct salvage_account_row *row,
                 const struct salvage_known *known, const struct found *found, struct verdict *out)
{
	const struct salvage_settings *settings = salvage->settings;
	bool lives = row && row->removed == 0, gone = !lives && !salvage->index.doubtful, has, has_mail;
	bool empty = found && found->facts.messages + found->facts.lost == 0 && found->n_expunged == 0;
	*out = (struct verdict){ known || !settings->directory_known ? SALVAGE_KNOWN : SALVAGE_UNKNOWN, false };
	if (!known || known->shard == settings->shard)
		return 0;
	int result = salvage_look_elsewhere(salvage, known->shard, id, &has, &has_mail);
	bool left_out = (has_mail && !lives) || (has && (gone || empty || known->leave_out));
	*out = (struct verdict){ left_out ? SALVAGE_LEFT_OUT : SALVAGE_MISPLACED, has_mail };
	return result;
}

static void leave_out(struct salvage *salvage, const struct account_id *id)
{
	struct salvage_account_facts facts = { .id = *id, .state = SALVAGE_LEFT_OUT };
	size_t n;
	const struct salvage_record *records = salvage_records_of(&salvage->segments, id, &n);
	for (size_t i = 0; i < n; i++) {
		facts.messages += i == 0 || records[i].message != records[i - 1].message;
		facts.bytes += i == 0 || records[i].message != records[i - 1].message ? records[i].length : 0;
	}
	salvage->totals->skipped_accounts++;
	salvage->world->account(salvage->owner, &facts);
}

/* An index that looks whole, and does not know an account that the directory has here, as the segments do. */
static void doubt_index(struct salvage *salvage, const struct found *found)
{
	if (found->row || found->n_kept == 0 || salvage->index.doubtful || salvage->is_foreign)
		return;
	salvage->is_foreign = true;
	index_damage(salvage, STR("it does not know accounts that auth/directory.db has in this shard, and whose messages are here: one of "
	                          "the two is older, or of another shard"));
}

static void add_totals(struct salvage *salvage, const struct found *found)
{
	struct salvage_totals *totals = salvage->totals;
	totals->accounts++;
	totals->misplaced += found->facts.state == SALVAGE_MISPLACED;
	totals->mailboxes += found->n_mailboxes;
	totals->messages += found->facts.messages;
	totals->bytes += found->facts.bytes;
	totals->returned += found->facts.returned;
	totals->lost += found->facts.lost;
	totals->lost_messages += found->facts.lost_messages;
	totals->lost_undelete += found->facts.lost_undelete;
	for (size_t i = 0; i < found->n_expunged; i++)
		totals->undelete += found->expunged[i].page->n;
}

static int do_account(struct salvage *salvage, const struct account_id *id, const struct salvage_account_row *row)
{
	const struct salvage_settings *settings = salvage->settings;
	const struct salvage_known *known = known_account(settings, id);
	struct buf sample = BUF_INIT(SAMPLE_MAX);
	struct verdict verdict;
	struct found found;
	if (!row && !known && !salvage->index.doubtful) { /* destroyed */
		salvage->totals->skipped_accounts++;
		return 0;
	}
	int result = judge(salvage, id, row, known, NULL, &verdict);
	if (result < 0)
		return result;
	if (verdict.state == SALVAGE_LEFT_OUT) {
		leave_out(salvage, id);
		return 0;
	}
	salvage_gather(salvage, id, row, &found);
	result = judge(salvage, id, row, known, &found, &verdict);
	if (result < 0 || verdict.state == SALVAGE_LEFT_OUT) {
		salvage_found_free(&found);
		if (result == 0)
			leave_out(salvage, id);
		return result;
	}
	found.facts.state = verdict.state;
	found.facts.also_there = verdict.also_there;
	if (known && known->shard == settings->shard)
		doubt_index(salvage, &found);
	if (!known)
		salvage_sample(&found, &sample);
	found.facts.recipients = buf_str(&sample);
	if (settings->write)
		result = salvage_write(&found);
	add_totals(salvage, &found);
	salvage->world->account(salvage->owner, &found.facts);
	salvage_found_free(&found);
	buf_free(&sample);
	return result;
}

struct identify {
	struct salvage *salvage;
	struct account_id id;
	uint32_t tried;
	bool found;
};

static void try_place(void *owner, const struct salvage_place *place)
{
	struct identify *identify = owner;
	if (identify->found || place->segment > UINT32_MAX || identify->tried++ >= PLACES_TO_TRY)
		return;
	const struct salvage_record *record =
		salvage_record_at(&identify->salvage->segments, (uint32_t)place->segment, place->offset);
	if (record && record->message == place->message) {
		identify->id = record->account;
		identify->found = true;
	}
}

static bool has_number(const struct salvage_index *index, size_t n, int64_t number)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->accounts[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && index->accounts[low].number == number;
}

/* Accounts whose own rows cannot be read, but those of their mailboxes can: the records of their messages say who they
 * are. */
static void identify_accounts(struct salvage *salvage)
{
	struct salvage_index *index = &salvage->index;
	size_t n = index->n_accounts;
	for (size_t i = 0; i < index->n_mailboxes; i++) {
		int64_t number = index->mailboxes[i].account;
		struct identify identify = { .salvage = salvage };
		if ((i > 0 && index->mailboxes[i - 1].account == number) || number <= 0 || number >= INT64_C(1) << 23 ||
		    has_number(index, n, number))
			continue;
		salvage_index_places(index, number, try_place, &identify);
		if (!identify.found)
			continue;
		index->accounts = mem_resize(index->accounts, index->n_accounts + 1, sizeof *index->accounts);
		index->accounts[index->n_accounts++] = (struct salvage_account_row){ .number = number, .has_id = true,
			.id = identify.id, .removed = INT64_MAX, .quota = { QUOTA_DEFAULT, QUOTA_DEFAULT } };
	}
}

/* True when the rows, which are in order of id, have it. */
static bool has_row(const struct salvage_index *index, const struct account_id *id)
{
	const struct salvage_account_row wanted = { .id = *id };
	return index->n_accounts && bsearch(&wanted, index->accounts, index->n_accounts, sizeof wanted, by_id) != NULL;
}

static void drop_nameless(struct salvage_index *index)
{
	size_t n = 0;
	for (size_t i = 0; i < index->n_accounts; i++)
		if (index->accounts[i].has_id)
			index->accounts[n++] = index->accounts[i];
	index->n_accounts = n;
	if (n)
		qsort(index->accounts, n, sizeof *index->accounts, by_id_and_state);
}

static int do_accounts(struct salvage *salvage)
{
	const struct salvage_settings *settings = salvage->settings;
	struct salvage_index *index = &salvage->index;
	const struct salvage_segments *segments = &salvage->segments;
	int result = 0;
	identify_accounts(salvage);
	drop_nameless(index);
	for (size_t i = 0; i < index->n_accounts && result == 0; i++)
		if (i == 0 || by_id(&index->accounts[i - 1], &index->accounts[i]) != 0)
			result = do_account(salvage, &index->accounts[i].id, &index->accounts[i]);
	for (size_t i = 0; i < segments->n_records && result == 0; i++) {
		const struct account_id *id = &segments->records[i].account;
		if ((i == 0 || memcmp(&segments->records[i - 1].account, id, sizeof *id) != 0) && !has_row(index, id))
			result = do_account(salvage, id, NULL);
	}
	for (size_t i = 0; i < settings->n_known && result == 0; i++) {
		const struct salvage_known *known = &settings->known[i];
		size_t n;
		if (known->shard == settings->shard && !has_row(index, &known->id) &&
		    !salvage_records_of(segments, &known->id, &n))
			result = do_account(salvage, &known->id, NULL);
	}
	return result;
}

/* --- all of it --- */

static int run(struct salvage *salvage, const char **what)
{
	const struct salvage_settings *settings = salvage->settings;
	char folder[PATH_BYTES];
	*what = "the copy of index.db";
	int result = salvage_index_open(settings->from, settings->to, index_damage, salvage, &salvage->index);
	if (result < 0)
		return result;
	*what = "the segments of the damaged shard";
	snprintf(folder, sizeof folder, "%.*s/body", STR_ARG(settings->from));
	result = salvage_segments_scan(str_from_c(folder), &scan_world, salvage, &salvage->segments);
	if (result == 0 && settings->write)
		result = make_store(salvage, what);
	if (result == 0) {
		*what = "writing what was found";
		result = do_accounts(salvage);
	}
	if (result == 0 && settings->write)
		result = salvage_settle(salvage);
	salvage->totals->index_lost = salvage->index.lost;
	salvage->totals->index_doubtful = salvage->index.doubtful || salvage->is_foreign;
	return result;
}

int salvage_shard(const struct salvage_settings *settings, const struct salvage_world *world, void *owner,
                  struct salvage_totals *totals, const char **what)
{
	struct salvage salvage = { .settings = settings, .world = world, .owner = owner, .totals = totals, .sync_fd = -1,
		                       .segment_fd = -1, .segments = { .folder = -1 },
		                       .reader = mail_reader_new(settings->mime) };
	*totals = (struct salvage_totals){ 0 };
	int result = run(&salvage, what);
	store_close(&salvage.store);
	if (salvage.segment_fd >= 0)
		close(salvage.segment_fd);
	salvage_segments_free(&salvage.segments);
	salvage_index_close(&salvage.index);
	salvage_elsewhere_free(&salvage);
	mail_reader_free(&salvage.reader);
	return result;
}
