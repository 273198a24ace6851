/* salvage_work.c: salvages one shard, as the user whose files these are, and reports as JSON; and prints such a report.
 * Everything is the process's own, which ends with it. */
#include "proc/ctl/salvage.h"

#include "auth/directory.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "mail/salvage.h"
#include "proc/ctl/progress.h"
#include "proc/store_folder.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DIRECTORY_WAIT_MS 5000
#define PAGE_ROWS         1000
#define LIST_MAX          (64 * 1024 * 1024)
#define LISTED_MAX        100000 /* items of one list in a report; the counts are of all */
#define NAME_MAX_TOLD     8192 /* bytes of a name that damage may have made long; six times that in JSON */
#define ITEM_MAX          (64 * 1024)
#define MESSAGE_RESERVE   (16 * 1024 * 1024)

struct person {
	struct account_id id;
	uint16_t shard;
	char *address;
	bool leave_out;
};

struct worker {
	struct person *persons; /* by id */
	struct salvage_known *known;
	size_t n_persons;
	int directory; /* 0, or why it cannot be read */
	struct buf last;
	struct buf damage, lost, unknown, misplaced, left_out;
	uint64_t n_damage, n_lost, n_unknown, n_misplaced, n_left_out;
	struct progress progress;
};

/* --- the directory --- */

static int note_person(void *owner, const struct directory_account *account)
{
	struct worker *worker = owner;
	struct str address = account->address.whole;
	if ((worker->n_persons & (worker->n_persons - 1)) == 0)
		worker->persons = mem_resize(worker->persons, worker->n_persons ? worker->n_persons * 2 : 1,
		                             sizeof *worker->persons);
	worker->persons[worker->n_persons++] = (struct person){ account->id, account->shard, mem_copy(address), false };
	buf_clear(&worker->last);
	buf_add(&worker->last, address);
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(&((const struct person *)a)->id, &((const struct person *)b)->id, sizeof(struct account_id));
}

static int read_directory(const struct ctl *ctl, const struct salvage_work *work, struct worker *worker)
{
	const struct directory_settings settings = {
		.shards = work->n_shards,
		.max_alias_targets = (uint32_t)ctl->conf.limits.max_alias_targets,
		.max_alias_depth = (uint32_t)ctl->conf.limits.max_alias_depth,
		.delimiter = ctl->conf.smtp.recipient_delimiter,
	};
	char file[CONF_PATH_MAX + 64];
	struct directory *directory;
	size_t before;
	snprintf(file, sizeof file, "%s/" DIRECTORY_FILE, work->auth);
	if (access(file, F_OK) < 0)
		return ERR_NOT_FOUND; /* to open it would make an empty one */
	int err = directory_open(str_from_c(work->auth), &settings, DIRECTORY_WAIT_MS, &directory, NULL);
	if (err)
		return err;
	do {
		before = worker->n_persons;
		err = directory_accounts(directory, STR(""), buf_str(&worker->last), PAGE_ROWS, note_person, worker);
	} while (!err && worker->n_persons > before);
	directory_free(&directory);
	return err;
}

/* The accounts of --leave-out. ERR_NOT_FOUND: *missing is not there. */
static int mark_left_out(const struct ctl *ctl, struct worker *worker, struct str *missing)
{
	struct str addresses[CTL_OPTIONS_MAX];
	uint32_t n = ctl_options(ctl, "--leave-out", addresses, CTL_OPTIONS_MAX);
	for (uint32_t i = 0; i < n; i++) {
		bool found = false;
		for (size_t k = 0; k < worker->n_persons; k++)
			if (str_ieq(str_from_c(worker->persons[k].address), addresses[i]))
				worker->persons[k].leave_out = found = true;
		if (!found) {
			*missing = addresses[i];
			return ERR_NOT_FOUND;
		}
	}
	return 0;
}

static void list_known(struct worker *worker)
{
	if (worker->directory)
		worker->n_persons = 0;
	if (worker->n_persons)
		qsort(worker->persons, worker->n_persons, sizeof *worker->persons, by_id);
	worker->known = mem_alloc(worker->n_persons + 1, sizeof *worker->known);
	for (size_t i = 0; i < worker->n_persons; i++)
		worker->known[i] = (struct salvage_known){ worker->persons[i].id, worker->persons[i].shard,
			                                      worker->persons[i].leave_out };
}

/* --- what is told --- */

static void put_id(struct buf *out, const struct account_id *id)
{
	char text[ACCOUNT_ID_TEXT_SIZE];
	account_id_print(id, text);
	json_field_string(out, "account", str_from_c(text));
}

static void tell_progress(void *owner, uint64_t bytes, uint64_t total)
{
	struct worker *worker = owner;
	worker->progress.total = total;
	progress_set(&worker->progress, bytes, 0);
}

/* Whether one more goes into the list; it is counted in any case. */
static bool has_room(const struct buf *list, uint64_t *n)
{
	return (*n)++ < LISTED_MAX && list->n + ITEM_MAX <= LIST_MAX;
}

static void tell_damage(void *owner, struct str file, uint64_t offset, struct str what)
{
	struct worker *worker = owner;
	if (!has_room(&worker->damage, &worker->n_damage))
		return;
	json_begin_object(&worker->damage);
	json_field_string(&worker->damage, "file", file);
	if (offset != SALVAGE_NO_OFFSET)
		json_field_u64(&worker->damage, "offset", offset);
	json_field_string(&worker->damage, "problem", what);
	json_end_object(&worker->damage);
}

static const struct person *find_person(const struct worker *worker, const struct account_id *id)
{
	const struct person wanted = { .id = *id };
	return worker->n_persons ? bsearch(&wanted, worker->persons, worker->n_persons, sizeof wanted, by_id) : NULL;
}

static void tell_lost(void *owner, const struct account_id *account, struct str mailbox, uint32_t uid, bool expunged)
{
	struct worker *worker = owner;
	const struct person *person = find_person(worker, account);
	if (!has_room(&worker->lost, &worker->n_lost))
		return;
	json_begin_object(&worker->lost);
	put_id(&worker->lost, account);
	if (person)
		json_field_string(&worker->lost, "address", str_from_c(person->address));
	json_field_string(&worker->lost, "mailbox", str_first(mailbox, MIN(mailbox.n, (size_t)NAME_MAX_TOLD)));
	json_field_u64(&worker->lost, "uid", uid);
	if (expunged)
		json_field_bool(&worker->lost, "undelete", true);
	json_end_object(&worker->lost);
}

static struct buf *list_of(struct worker *worker, enum salvage_account_state state, uint64_t **n)
{
	*n = &worker->n_unknown;
	switch (state) {
	case SALVAGE_KNOWN:
		return worker->directory ? &worker->unknown : NULL;
	case SALVAGE_UNKNOWN:
		return &worker->unknown;
	case SALVAGE_MISPLACED:
		*n = &worker->n_misplaced;
		return &worker->misplaced;
	case SALVAGE_LEFT_OUT:
		*n = &worker->n_left_out;
		return &worker->left_out;
	}
	return NULL;
}

static void tell_account(void *owner, const struct salvage_account_facts *facts)
{
	struct worker *worker = owner;
	uint64_t *n;
	struct buf *list = list_of(worker, facts->state, &n);
	const struct person *person = find_person(worker, &facts->id);
	if (!list || !has_room(list, n))
		return;
	json_begin_object(list);
	put_id(list, &facts->id);
	if (person) {
		json_field_string(list, "address", str_from_c(person->address));
		json_field_u64(list, "shard", person->shard);
	}
	json_field_u64(list, "messages", facts->messages);
	json_field_u64(list, "bytes", facts->bytes);
	if (list == &worker->unknown)
		json_field_string(list, "recipients", facts->recipients);
	if (facts->state == SALVAGE_MISPLACED)
		json_field_bool(list, "also_there", facts->also_there);
	json_end_object(list);
}

static const struct salvage_world world = { tell_progress, tell_damage, tell_lost, tell_account };

/* --- the report --- */

static void put_list(struct buf *out, const char *key, struct buf *list)
{
	json_end_array(list);
	json_key(out, key);
	json_put_raw(out, buf_error(list) < 0 ? STR("[]") : buf_str(list));
	buf_free(list);
}

static void put_error(struct buf *out, const char *what, int err)
{
	char text[512];
	snprintf(text, sizeof text, "%s: %s", what, err_text(err));
	json_begin_object(out);
	json_field_string(out, "error", str_from_c(text));
	json_end_object(out);
}

static void put_no_account(struct buf *out, struct str address)
{
	char text[CONTROL_ARGUMENT_MAX + 128];
	snprintf(text, sizeof text, "there is no account %.*s, which is to be left out", STR_ARG(address));
	json_begin_object(out);
	json_field_string(out, "error", str_from_c(text));
	json_field_bool(out, "not_found", true);
	json_end_object(out);
}

static void put_report(struct worker *worker, const struct salvage_work *work, const struct salvage_totals *totals,
                       struct buf *out)
{
	json_begin_object(out);
	json_field_u64(out, "shard", work->shard);
	json_field_u64(out, "accounts", totals->accounts);
	json_field_u64(out, "mailboxes", totals->mailboxes);
	json_field_u64(out, "messages", totals->messages);
	json_field_u64(out, "bytes", totals->bytes);
	json_field_u64(out, "returned", totals->returned);
	json_field_u64(out, "undelete", totals->undelete);
	json_field_u64(out, "lost_entries", totals->lost);
	json_field_u64(out, "lost_messages", totals->lost_messages);
	json_field_u64(out, "lost_undelete", totals->lost_undelete);
	json_field_u64(out, "skipped_accounts", totals->skipped_accounts);
	json_field_u64(out, "misplaced", totals->misplaced);
	json_field_bool(out, "index_lost", totals->index_lost);
	json_field_bool(out, "index_damaged", totals->index_doubtful);
	if (worker->directory)
		json_field_string(out, "directory", str_from_c(err_text(worker->directory)));
	put_list(out, "damage", &worker->damage);
	put_list(out, "lost", &worker->lost);
	put_list(out, "unknown_accounts", &worker->unknown);
	put_list(out, "misplaced_accounts", &worker->misplaced);
	put_list(out, "left_out_accounts", &worker->left_out);
	json_end_object(out);
}

static struct store_settings store_settings(const struct conf *conf)
{
	return (struct store_settings){
		.segment_size = conf->store.segment_size,
		.view_memory = conf->store.view_memory,
		.reserve = MESSAGE_RESERVE, /* mail is not taken in here, and an operator waits */
		.checkpoint_size = conf->store.wal_checkpoint_size,
		.database_cache_kb = (uint32_t)(conf->store.database_cache / 1024),
		.change_retention = (int64_t)(conf->store.change_log_retention_ms / 1000),
		.undelete_window = (int64_t)(conf->store.undelete_window_ms / 1000),
		.delivery_lifetime = (int64_t)(conf->store.delivery_key_lifetime_ms / 1000),
		.compaction_rate = conf->store.compaction_rate,
	};
}

static void free_worker(struct worker *worker)
{
	for (size_t i = 0; i < worker->n_persons; i++)
		mem_free(worker->persons[i].address);
	mem_free(worker->persons);
	mem_free(worker->known);
	buf_free(&worker->last);
	buf_free(&worker->damage);
	buf_free(&worker->lost);
	buf_free(&worker->unknown);
	buf_free(&worker->misplaced);
	buf_free(&worker->left_out);
}

/* What is told of it must not go on alone, under a lock that nobody seems to hold. A change of the user forgets this. */
static void end_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(EXIT_FAILED);
}

/* The folders of all shards, in one piece of memory. */
static struct str *name_shards(const struct ctl *ctl, uint16_t n)
{
	const char *directory = ctl->conf.server.directory.p;
	size_t room = strlen(directory) + sizeof "/" STORE_FOLDER_SHARDS "/65535";
	struct str *folders = mem_alloc(n, sizeof *folders + room);
	char *place = (char *)(folders + n);
	for (uint32_t i = 0; i < n; i++, place += room)
		folders[i] = str_of(place, (size_t)snprintf(place, room, "%s/" STORE_FOLDER_SHARDS "/%02u", directory, i));
	return folders;
}

static void begin_lists(struct worker *worker)
{
	json_begin_array(&worker->damage);
	json_begin_array(&worker->lost);
	json_begin_array(&worker->unknown);
	json_begin_array(&worker->misplaced);
	json_begin_array(&worker->left_out);
}

/* Whom the directory knows; an account that is to be left out must be one. */
static int ask_directory(const struct ctl *ctl, const struct salvage_work *work, struct worker *worker, struct buf *out)
{
	struct str missing;
	worker->directory = read_directory(ctl, work, worker);
	int err = mark_left_out(ctl, worker, &missing);
	if (err && worker->directory)
		put_error(out, "auth/directory.db, where an account that is to be left out must be", worker->directory);
	else if (err)
		put_no_account(out, missing);
	if (err)
		return err;
	list_known(worker);
	return 0;
}

void salvage_work(const struct ctl *ctl, const struct salvage_work *work, struct buf *out)
{
	struct worker worker = { .last = BUF_INIT(CONTROL_ARGUMENT_MAX), .damage = BUF_INIT(LIST_MAX),
		                     .lost = BUF_INIT(LIST_MAX), .unknown = BUF_INIT(LIST_MAX),
		                     .misplaced = BUF_INIT(LIST_MAX), .left_out = BUF_INIT(LIST_MAX) };
	struct mime_limits mime = conf_mime_limits(&ctl->conf);
	struct salvage_totals totals;
	const char *what;
	int err = ctl_become_owner(work->from);
	if (err) {
		put_error(out, "cannot become the user whose files these are", err);
		return;
	}
	end_with_parent(work->parent);
	if (ask_directory(ctl, work, &worker, out) < 0) {
		free_worker(&worker);
		return;
	}
	struct str *folders = name_shards(ctl, work->n_shards);
	begin_lists(&worker);
	progress_begin(&worker.progress, work->write ? "salvaging" : "reading", 0, NULL);
	const struct salvage_settings settings = {
		.from = str_from_c(work->from), .to = str_from_c(work->to), .write = work->write, .shard = work->shard,
		.n_shards = work->n_shards, .folders = folders, .directory_known = worker.directory == 0,
		.known = worker.known, .n_known = worker.n_persons,
		.store = store_settings(&ctl->conf), .mime = &mime,
	};
	err = salvage_shard(&settings, &world, &worker, &totals, &what);
	progress_end(&worker.progress);
	if (err)
		put_error(out, what, err);
	else
		put_report(&worker, work, &totals, out);
	mem_free(folders);
	free_worker(&worker);
}

/* --- for people --- */

static unsigned long long number(const struct json_value *report, const char *key)
{
	return (unsigned long long)json_u64(json_member(report, key));
}

static void print_damage(const struct json_value *report)
{
	const struct json_value *list = json_member(report, "damage");
	for (const struct json_value *item = list ? list->first : NULL; item; item = item->next) {
		printf("  %.*s", STR_ARG(json_string(json_member(item, "file"))));
		if (json_member(item, "offset"))
			printf(" at %llu", number(item, "offset"));
		printf(": %.*s\n", STR_ARG(json_string(json_member(item, "problem"))));
	}
}

static void print_lost(const struct json_value *report)
{
	const struct json_value *list = json_member(report, "lost");
	for (const struct json_value *item = list ? list->first : NULL; item; item = item->next) {
		const struct json_value *address = json_member(item, "address");
		printf("  lost: %.*s, %.*s, uid %llu%s\n",
		       STR_ARG(json_string(address ? address : json_member(item, "account"))),
		       STR_ARG(json_string(json_member(item, "mailbox"))), number(item, "uid"),
		       json_is_true(json_member(item, "undelete")) ? ", which was expunged and could have been undeleted" : "");
	}
	unsigned long long messages = number(report, "lost_messages"), entries = number(report, "lost_entries"),
	                   undelete = number(report, "lost_undelete");
	if (messages)
		printf("  %llu message%s cannot be read and %s lost", messages, messages == 1 ? "" : "s", messages == 1 ? "is" : "are");
	if (messages)
		printf(entries > messages ? ", of %llu places in mailboxes.\n" : ".\n", entries);
	if (undelete)
		printf("  %llu expunged message%s cannot be read: nobody can undelete %s.\n", undelete, undelete == 1 ? "" : "s",
		       undelete == 1 ? "it" : "them");
}

static void print_unknown(const struct json_value *report)
{
	const struct json_value *list = json_member(report, "unknown_accounts");
	const struct json_value *directory = json_member(report, "directory");
	char size[64];
	if (directory)
		printf("  auth/directory.db cannot be read (%.*s): who these accounts are is not known. Restore it from a backup.\n",
		       STR_ARG(json_string(directory)));
	for (const struct json_value *item = list ? list->first : NULL; item; item = item->next) {
		ctl_print_size(number(item, "messages"), number(item, "bytes"), size);
		struct str recipients = json_string(json_member(item, "recipients"));
		printf("  no address: account %.*s, %s%s%.*s\n", STR_ARG(json_string(json_member(item, "account"))), size,
		       recipients.n ? "; one of them says: " : "", STR_ARG(recipients));
	}
}

/* Accounts that are kept here, and that the directory has in another shard. */
static void print_misplaced(const struct json_value *report)
{
	const struct json_value *list = json_member(report, "misplaced_accounts"), *twice = NULL, *once = NULL;
	char size[64];
	for (const struct json_value *item = list ? list->first : NULL; item; item = item->next) {
		struct str address = json_string(json_member(item, "address"));
		bool also_there = json_is_true(json_member(item, "also_there"));
		ctl_print_size(number(item, "messages"), number(item, "bytes"), size);
		printf(also_there ? "  in two shards: %.*s (%s here): auth/directory.db has it in shard %02llu, which has mail of it too.\n"
		                  : "  out of reach: %.*s (%s): auth/directory.db has it in shard %02llu, but it is in this one, which keeps it.\n",
		       STR_ARG(address), size, number(item, "shard"));
		*(also_there ? &twice : &once) = item;
	}
	if (twice)
		printf("  Where both have mail, one is older than the move between them. If it is this shard, as one that came back from an\n"
		       "  old copy: salvage again with --leave-out %.*s. If it is directory.db, restore the newer one, and salvage again.\n",
		       STR_ARG(json_string(json_member(twice, "address"))));
	if (once)
		printf("  Either directory.db is older than this shard, or two shards are in each other's place: put that right, and salvage\n"
		       "  again. Or this shard is the older one: then salvage again with --leave-out %.*s.\n",
		       STR_ARG(json_string(json_member(once, "address"))));
}

/* Accounts that the directory has in another shard. */
static void print_elsewhere(const struct json_value *report)
{
	const struct json_value *left_out = json_member(report, "left_out_accounts");
	char size[64];
	for (const struct json_value *item = left_out ? left_out->first : NULL; item; item = item->next) {
		ctl_print_size(number(item, "messages"), number(item, "bytes"), size);
		printf("  left out: %.*s (%s): it is in shard %02llu now.\n", STR_ARG(json_string(json_member(item, "address"))),
		       size, number(item, "shard"));
	}
	print_misplaced(report);
}

void salvage_print(const struct json_value *report, const char *kept)
{
	char size[64];
	ctl_print_size(number(report, "messages"), number(report, "bytes"), size);
	printf("shard %02llu: %s in %llu account%s\n", number(report, "shard"), size, number(report, "accounts"),
	       number(report, "accounts") == 1 ? "" : "s");
	print_damage(report);
	if (json_is_true(json_member(report, "index_lost")))
		puts("  Flags, keywords and mailboxes are lost with index.db; each message is in the mailbox that it came into.");
	else if (json_is_true(json_member(report, "index_damaged")))
		puts("  Some flags may be lost; expunged mail may have come back.");
	if (number(report, "returned"))
		printf("  %llu of them came back without flags: no mailbox was known to have them.\n", number(report, "returned"));
	print_lost(report);
	print_unknown(report);
	print_elsewhere(report);
	if (!kept)
		return;
	puts("  The new shard is in place. All mailboxes have a new UIDVALIDITY: clients will fetch them again.");
	printf("  The damaged one is kept as it was. When all is as it should be: rm -r %s\n", kept);
}
