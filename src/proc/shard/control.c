/* control.c: commands of the command line that the shard carries out (ipc/control.h): undelete, store compact, store
 * check. What writes waits for the gate; every answer waits until what it tells is durable. Nothing holds the shard
 * for long: a list is given in pages and a restore in portions that the command line asks for one after another, and
 * whoever waits for compaction hears how far it is once a second. Owned by the shard.
 *
 * Arguments, after the account's id, and the answer:
 *     undelete list     mailbox or empty, position or empty         → object with messages and next (position or null)
 *     undelete restore  mailbox or empty, seconds since 1970, id…   → object with restored, damaged and more
 *     store compact     "begin" or "wait" (no account's id)         → object of the shard, done or not
 *     store check       the same                                    → the same, with the damage found since the last answer
 *
 * A check reads on only while somebody waits for it; "begin" begins it anew. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/control.h"
#include "loop/turns.h"
#include "mail/row_check.h"
#include "proc/damage.h"
#include "syntax/header.h"

#include <inttypes.h>

#define WAITING_MAX     16   /* of each kind; the control socket has as many clients */
#define LIST_PAGE       200
#define HEADER_TEXT_MAX 1000 /* of a subject, as listed */
#define JSON_MAX        (960 * 1024)
#define WAIT_TICK_MS    50
#define CHECK_PACE_MS   1
#define DAMAGE_MAX      (512 * 1024) /* bytes of JSON in one answer */
#define WAIT_MS         1000

/* Waits for the gate. */
struct held_command {
	uint64_t number;
	struct buf body;
};

/* Waits for its batch. */
struct held_answer {
	uint64_t number, batch;
	struct buf body;
};

/* Wants to know how compaction goes. */
struct compaction_waiter {
	uint64_t number, until_ms;
};

struct shard_control {
	struct shard *shard;
	struct held_command commands[WAITING_MAX];
	size_t n_commands;
	struct held_answer answers[WAITING_MAX];
	size_t n_answers;
	struct compaction_waiter waiters[WAITING_MAX];
	size_t n_waiters;
	struct loop_timer *tick;
	uint64_t compacted_before; /* the counter at the last "begin" */
	/* store check: one at a time */
	struct store_check *check; /* NULL: none, or done */
	struct mail_row_check *rows; /* reads for it */
	struct check_totals checked;
	bool check_done;
	uint64_t check_waiter, check_until_ms; /* request number; 0: nobody waits */
	struct buf damage;         /* JSON, not told yet */
	struct loop_timer *check_timer;
};

/* --- answers --- */

static void answer(struct shard *shard, uint64_t number, int result, struct str message, struct str json)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	control_reply_encode(&(struct control_reply){ result, message, json }, &body);
	role_control_reply(shard->process, number, buf_str(&body));
	buf_free(&body);
}

static void fail(struct shard *shard, uint64_t number, int result)
{
	struct str message = result == ERR_NOT_FOUND ? STR("the account is being made, moved or removed; try again") :
	                     result == ERR_SYNTAX ? STR("malformed arguments") :
	                     result == ERR_LIMIT ? STR("too many at once; try again") :
	                     result == ERR_UNAVAILABLE ? STR("the server is too busy; try again") :
	                     result == ERR_NO_SPACE ? STR("the disk is full; nothing was changed") : STR("");
	if (message.n == 0)
		message = str_from_c(err_text(result));
	answer(shard, number, result == ERR_NOT_FOUND ? ERR_UNAVAILABLE : result, message, STR("")); /* auth knows it */
}

/* When the batch is on disk. */
static void answer_when_durable(struct shard *shard, uint64_t number, uint64_t batch, struct str json)
{
	struct shard_control *control = shard->control;
	batch = MIN(batch, store_last_batch(shard->store));
	if (batch <= store_durable(shard->store)) {
		answer(shard, number, 0, STR(""), json);
		return;
	}
	if (control->n_answers == WAITING_MAX) {
		fail(shard, number, ERR_UNAVAILABLE);
		return;
	}
	struct held_answer *held = &control->answers[control->n_answers++];
	*held = (struct held_answer){ number, batch, BUF_INIT(IPC_BODY_MAX) };
	buf_add(&held->body, json);
}

void control_durable(struct shard *shard, uint64_t batch)
{
	struct shard_control *control = shard->control;
	size_t kept = 0;
	for (size_t i = 0; i < control->n_answers; i++) {
		struct held_answer *held = &control->answers[i];
		if (held->batch > batch) {
			control->answers[kept++] = *held;
			continue;
		}
		answer(shard, held->number, 0, STR(""), buf_str(&held->body));
		buf_free(&held->body);
	}
	control->n_answers = kept;
}

void control_voided(struct shard *shard, uint64_t batch, int err)
{
	struct shard_control *control = shard->control;
	size_t kept = 0;
	for (size_t i = 0; i < control->n_answers; i++) {
		struct held_answer *held = &control->answers[i];
		if (held->batch < batch) {
			control->answers[kept++] = *held;
			continue;
		}
		fail(shard, held->number, err == ERR_NO_SPACE ? err : ERR_UNAVAILABLE);
		buf_free(&held->body);
	}
	control->n_answers = kept;
}

/* --- undelete --- */

static int open_account(struct shard *shard, const struct control_request *request, struct account **out)
{
	struct account_id id;
	if (request->n_arguments == 0 || request->arguments[0].n != sizeof id.bytes)
		return ERR_SYNTAX;
	memcpy(id.bytes, request->arguments[0].p, sizeof id.bytes);
	return account_open(shard->store, &id, out);
}

struct listing {
	struct shard *shard;
	struct account *account;
	struct message_cursor rows;
	struct buf *json;
};

static void print_header(struct listing *listing, const char *key, struct str headers, struct str name)
{
	struct buf text = BUF_INIT(HEADER_TEXT_MAX * 4);
	struct str body;
	if (header_find(headers, name, &body) == 0)
		header_decode_text(str_first(body, HEADER_TEXT_MAX), listing->shard->imap.charsets, &text);
	json_field_string(listing->json, key, buf_str(&text));
	buf_free(&text);
}

static void print_flags(struct buf *json, unsigned flags)
{
	static const struct { enum message_flag flag; struct str name;
	} names[] = {
		{ FLAG_SEEN, STR_INIT("\\Seen") },
		{ FLAG_ANSWERED, STR_INIT("\\Answered") },
		{ FLAG_FLAGGED, STR_INIT("\\Flagged") },
		{ FLAG_DRAFT, STR_INIT("\\Draft") },
	};
	json_key(json, "flags");
	json_begin_array(json);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (flags & names[i].flag)
			json_put_string(json, names[i].name);
	json_end_array(json);
}

static void print_expunged(void *owner, const struct expunged_entry *expunged)
{
	struct listing *listing = owner;
	struct message_row row;
	char id[24];
	int n = snprintf(id, sizeof id, "%" PRIu64, (uint64_t)expunged->entry->id);
	json_begin_object(listing->json);
	json_field_string(listing->json, "id", str_of(id, (size_t)n));
	json_field_string(listing->json, "mailbox", expunged->mailbox);
	json_field_u64(listing->json, "expunged", (uint64_t)expunged->time);
	print_flags(listing->json, expunged->entry->flags);
	if (message_cursor_get(&listing->rows, expunged->entry->message, &row) == 0) {
		json_field_u64(listing->json, "size", row.size);
		json_key(listing->json, "date");
		json_put_i64(listing->json, row.internal_date);
		print_header(listing, "from", row.derived.headers, STR("From"));
		print_header(listing, "subject", row.derived.headers, STR("Subject"));
	}
	json_end_object(listing->json);
}

/* "row.slot" */
static int read_position(struct str text, struct undelete_position *out)
{
	uint64_t slot = 0;
	*out = (struct undelete_position){ 0, 0 };
	if (text.n == 0)
		return 0;
	int result = str_to_u64(str_cut(&text, '.'), INT64_MAX, &out->row);
	if (result == 0)
		result = str_to_u64(text, UINT32_MAX, &slot);
	out->slot = (uint32_t)slot;
	return result;
}

static void put_next(struct buf *json, const struct undelete_position *position)
{
	char next[48];
	int n = snprintf(next, sizeof next, "%" PRIu64 ".%" PRIu32, position->row, position->slot);
	json_key(json, "next");
	if (position->row)
		json_put_string(json, str_of(next, (size_t)n));
	else
		json_put_null(json);
}

/* False, and the request is answered: no mailbox of that name is there, nor was one that the log could tell of. */
static bool has_mailbox(struct shard *shard, uint64_t number, struct account *account, struct str name)
{
	if (name.n == 0 || account_mailbox(account, name))
		return true;
	answer(shard, number, ERR_NOT_FOUND,
	       STR("the account has no such mailbox; what was in a mailbox that was deleted is listed, and put back, without "
	           "--mailbox"),
	       STR(""));
	return false;
}

static void undelete_list_page(struct shard *shard, uint64_t number, const struct control_request *request)
{
	struct undelete_position position;
	struct account *account;
	int result = request->n_arguments == 3 ? read_position(request->arguments[2], &position) : ERR_SYNTAX;
	if (result == 0)
		result = open_account(shard, request, &account);
	if (result < 0) {
		fail(shard, number, result);
		return;
	}
	struct undelete_filter filter = { .mailbox = request->arguments[1] };
	if (!has_mailbox(shard, number, account, filter.mailbox)) {
		account_close(&account);
		return;
	}
	struct buf json = BUF_INIT(JSON_MAX);
	struct listing listing = { .shard = shard, .account = account, .json = &json };
	message_cursor_begin(&listing.rows, account);
	json_begin_object(&json);
	json_key(&json, "messages");
	json_begin_array(&json);
	result = undelete_list(account, &filter, &position, LIST_PAGE, print_expunged, &listing);
	message_cursor_end(&listing.rows);
	json_end_array(&json);
	put_next(&json, &position);
	json_end_object(&json);
	if (result == 0)
		result = buf_error(&json);
	if (result == 0)
		answer_when_durable(shard, number, account_batch(account), buf_str(&json));
	else
		fail(shard, number, result);
	buf_free(&json);
	account_close(&account);
}

static void undelete_restore_some(struct shard *shard, uint64_t number, const struct control_request *request)
{
	uint64_t ids[CONTROL_ARGUMENTS_MAX], since = 0;
	struct undelete_filter filter = { .ids = ids };
	struct undelete_position position;
	struct account *account;
	struct undelete_done done;
	int result = request->n_arguments >= 4 ? str_to_u64(request->arguments[2], INT64_MAX, &since) : ERR_SYNTAX;
	if (result == 0)
		result = read_position(request->arguments[3], &position);
	for (uint32_t i = 4; i < request->n_arguments && result == 0; i++)
		result = str_to_u64(request->arguments[i], INT64_MAX, &ids[filter.n_ids++]);
	if (result == 0)
		result = open_account(shard, request, &account);
	if (result < 0) {
		fail(shard, number, result);
		return;
	}
	filter.mailbox = request->arguments[1];
	filter.since = (int64_t)since;
	if (!has_mailbox(shard, number, account, filter.mailbox)) {
		account_close(&account);
		return;
	}
	result = undelete_restore(account, &filter, &position, &done);
	if (result == 0) {
		struct buf json = BUF_INIT(1024);
		json_begin_object(&json);
		json_field_u64(&json, "restored", done.restored);
		json_field_u64(&json, "damaged", done.damaged);
		put_next(&json, &position);
		json_end_object(&json);
		answer_when_durable(shard, number, account_batch(account), buf_str(&json));
		buf_free(&json);
	} else {
		fail(shard, number, result);
	}
	account_close(&account);
}

/* --- store compact --- */

static void answer_compaction(struct shard *shard, uint64_t number)
{
	struct store_statistics statistics;
	struct buf json = BUF_INIT(4096);
	store_statistics(shard->store, &statistics);
	json_begin_object(&json);
	json_field_u64(&json, "shard", shard->process->setup.index);
	json_field_bool(&json, "done", !store_is_compacting(shard->store));
	json_field_u64(&json, "segments", statistics.segments);
	json_field_u64(&json, "segments_damaged", statistics.segments_damaged);
	json_field_u64(&json, "body_bytes", statistics.body_bytes);
	json_field_u64(&json, "dead_bytes", statistics.dead_bytes);
	json_field_u64(&json, "freed_bytes", statistics.compacted_bytes - shard->control->compacted_before);
	json_end_object(&json);
	answer(shard, number, 0, STR(""), buf_str(&json));
	buf_free(&json);
}

static void tick(void *owner)
{
	struct shard_control *control = owner;
	struct shard *shard = control->shard;
	uint64_t now = loop_now_ms(shard->process->loop);
	size_t kept = 0;
	for (size_t i = 0; i < control->n_waiters; i++) {
		if (store_is_compacting(shard->store) && now < control->waiters[i].until_ms && !shard->stopping)
			control->waiters[kept++] = control->waiters[i];
		else
			answer_compaction(shard, control->waiters[i].number);
	}
	control->n_waiters = kept;
	if (kept > 0)
		loop_timer_start(control->tick, WAIT_TICK_MS);
}

static void compact(struct shard *shard, uint64_t number, const struct control_request *request)
{
	struct shard_control *control = shard->control;
	struct store_statistics statistics;
	bool begins = request->n_arguments == 1 && str_eq(request->arguments[0], STR("begin"));
	if (!begins && (request->n_arguments != 1 || !str_eq(request->arguments[0], STR("wait")))) {
		fail(shard, number, ERR_SYNTAX);
		return;
	}
	if (control->n_waiters == WAITING_MAX) {
		fail(shard, number, ERR_UNAVAILABLE);
		return;
	}
	if (begins && !store_is_compacting(shard->store)) {
		store_statistics(shard->store, &statistics);
		control->compacted_before = statistics.compacted_bytes;
		store_compact_now(shard->store);
		loop_timer_start(shard->idle_work, 0);
	}
	control->waiters[control->n_waiters++] =
		(struct compaction_waiter){ number, loop_now_ms(shard->process->loop) + WAIT_MS };
	loop_timer_start(control->tick, WAIT_TICK_MS);
}

/* --- store check --- */

static void print_damage(void *owner, const struct check_damage *damage)
{
	struct shard_control *control = owner;
	char id[DAMAGE_ACCOUNT_MAX], file[DAMAGE_FILE_MAX];
	damage_account(damage, id);
	damage_file((uint16_t)control->shard->process->setup.index, damage, file);
	if (!damage->is_note)
		log_error("damage", LOG_C("account", id), LOG_U("message", damage->message), LOG_C("file", file),
		          LOG_U("offset", damage->offset), LOG_C("table", damage->table ? damage->table : ""),
		          LOG_C("row", damage->row), LOG_S("mailbox", damage->mailbox), LOG_U("uid", damage->uid),
		          LOG_C("problem", damage->problem));
	damage_print(file, damage, &control->damage);
}

static void answer_check(struct shard *shard)
{
	struct shard_control *control = shard->control;
	struct buf json = BUF_INIT(JSON_MAX);
	json_end_array(&control->damage);
	json_begin_object(&json);
	json_field_u64(&json, "shard", shard->process->setup.index);
	json_field_bool(&json, "done", control->check_done);
	json_field_u64(&json, "accounts", control->checked.accounts);
	json_field_u64(&json, "entries", control->checked.entries);
	json_field_u64(&json, "messages", control->checked.messages);
	json_field_u64(&json, "bytes", control->checked.bytes);
	json_field_u64(&json, "damaged", control->checked.damaged);
	json_field_u64(&json, "notes", control->checked.notes);
	json_key(&json, "damage");
	json_put_raw(&json, buf_str(&control->damage));
	json_end_object(&json);
	answer(shard, control->check_waiter, 0, STR(""), buf_str(&json));
	control->check_waiter = 0;
	buf_clear(&control->damage);
	json_begin_array(&control->damage);
	buf_free(&json);
}

static void stop_check(struct shard_control *control)
{
	store_check_free(&control->check);
	mail_row_check_free(&control->rows);
}

/* Whoever waited for it is gone. */
static void drop_check(struct shard_control *control)
{
	stop_check(control);
	loop_timer_stop(control->check_timer);
	control->check_waiter = 0;
}

static void check_some(void *owner)
{
	struct shard_control *control = owner;
	struct shard *shard = control->shard;
	int result = control->check ? store_check_step(control->check, &control->check_done) : 0;
	loop_did(shard->process->loop, STR("store check"));
	if (control->check)
		control->checked = *store_check_totals(control->check);
	if (result < 0 || control->check_done)
		stop_check(control);
	if (result < 0) {
		log_error("check-stopped", LOG_ERR(result));
		fail(shard, control->check_waiter, result);
		control->check_waiter = 0;
	} else if (control->check_done || shard->stopping || control->damage.n > DAMAGE_MAX / 2 ||
	           loop_now_ms(shard->process->loop) >= control->check_until_ms) {
		answer_check(shard);
	} else {
		loop_timer_start(control->check_timer, CHECK_PACE_MS);
	}
}

static void check(struct shard *shard, uint64_t number, const struct control_request *request)
{
	struct shard_control *control = shard->control;
	struct str step = request->n_arguments == 1 ? request->arguments[0] : STR("");
	bool begins = str_eq(step, STR("begin"));
	if (str_eq(step, STR("stop")) && control->check_waiter == number) {
		drop_check(control); /* by the supervisor, whose client is gone: nobody waits for an answer */
		return;
	}
	if (!begins && !str_eq(step, STR("wait"))) {
		fail(shard, number, ERR_SYNTAX);
		return;
	}
	if (control->check_waiter) {
		answer(shard, number, ERR_UNAVAILABLE, STR("another check is under way"), STR(""));
		return;
	}
	if (!begins && !control->check && !control->check_done) {
		answer(shard, number, ERR_STATE, STR("the shard was started anew meanwhile; begin again"), STR(""));
		return;
	}
	if (begins) {
		stop_check(control);
		control->check = store_check_new(shard->store, print_damage, control);
		control->rows = mail_row_check_new(shard->mail.reader);
		const struct check_reader reader = mail_row_check_reader(control->rows);
		store_check_read_by(control->check, &reader);
		control->check_done = false;
		buf_clear(&control->damage);
		json_begin_array(&control->damage);
	}
	control->check_waiter = number;
	control->check_until_ms = loop_now_ms(shard->process->loop) + WAIT_MS;
	loop_timer_start(control->check_timer, CHECK_PACE_MS);
}

/* --- commands --- */

static void run(struct shard *shard, uint64_t number, struct str body)
{
	struct control_request request;
	shard_turn(shard);
	if (control_request_decode(body, &request) < 0) {
		fail(shard, number, ERR_SYNTAX);
		return;
	}
	switch ((unsigned)request.command) {
	case CONTROL_UNDELETE_LIST:
		undelete_list_page(shard, number, &request);
		return;
	case CONTROL_UNDELETE_RESTORE:
		undelete_restore_some(shard, number, &request);
		return;
	case CONTROL_STORE_COMPACT:
		compact(shard, number, &request);
		return;
	case CONTROL_STORE_CHECK:
		check(shard, number, &request);
		return;
	case CONTROL_BACKUP:
		backup_command(shard, number, request.arguments, request.n_arguments);
		return;
	}
	fail(shard, number, ERR_UNSUPPORTED);
}

void control_command(struct role_process *process, uint64_t number, struct str body)
{
	struct shard *shard = process->state;
	struct shard_control *control = shard->control;
	if (connections_control(shard, number, body))
		return; /* without the gate: it writes nothing */
	if (shard->stopping || control->n_commands == WAITING_MAX) {
		fail(shard, number, ERR_UNAVAILABLE);
		return;
	}
	if (store_writable(shard->store) && control->n_commands == 0) {
		run(shard, number, body);
		loop_did(process->loop, STR("command of the command line"));
		return;
	}
	struct held_command *held = &control->commands[control->n_commands++];
	*held = (struct held_command){ number, BUF_INIT(IPC_BODY_MAX) };
	buf_add(&held->body, body);
}

void control_writable(struct shard *shard)
{
	struct shard_control *control = shard->control;
	while (control->n_commands > 0 && store_writable(shard->store)) {
		struct held_command first = control->commands[0];
		memmove(control->commands, control->commands + 1, --control->n_commands * sizeof first);
		run(shard, first.number, buf_str(&first.body));
		buf_free(&first.body);
	}
}

/* --- life --- */

void control_begin(struct shard *shard)
{
	shard->control = mem_alloc(1, sizeof *shard->control);
	shard->control->shard = shard;
	shard->control->damage = BUF_INIT(DAMAGE_MAX);
}

void control_start(struct shard *shard)
{
	shard->control->tick = loop_timer_new(shard->process->loop, tick, shard->control);
	shard->control->check_timer = loop_timer_new(shard->process->loop, check_some, shard->control);
}

void control_free(struct shard *shard)
{
	struct shard_control *control = shard->control;
	shard->control = NULL;
	if (!control)
		return;
	for (size_t i = 0; i < control->n_commands; i++)
		buf_free(&control->commands[i].body);
	for (size_t i = 0; i < control->n_answers; i++)
		buf_free(&control->answers[i].body);
	loop_timer_free(&control->tick);
	loop_timer_free(&control->check_timer);
	stop_check(control);
	buf_free(&control->damage);
	mem_free(control);
}
