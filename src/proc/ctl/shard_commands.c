/* shard_commands.c: commands that shards carry out, so the server must run: undelete and store. What is long comes
 * in pages, portions or steps, each a request of its own; the answer that is printed is one. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"

#include <inttypes.h>
#include <unistd.h>

#define ANSWER_ARENA ((size_t)64 * 1024 * 1024)
#define REASON_MAX   4096

static void print_json(const struct buf *json)
{
	printf("%.*s\n", STR_ARG(buf_str(json)));
}

/* --- undelete --- */

/* "2h": so long ago; else a moment (ctl_read_moment). */
static int read_since(struct str text, int64_t *out)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	int64_t when;
	uint64_t n;
	for (size_t i = 0; i < COUNT_OF(units) && text.n > 0; i++)
		if (text.p[text.n - 1] == units[i].unit && str_to_u64(str_first(text, text.n - 1), 100000000, &n) == 0) {
			*out = MAX(clock_wall_seconds() - (int64_t)(n * units[i].seconds), 0);
			return 0;
		}
	int result = ctl_read_moment(text, &when);
	if (result == 0)
		*out = MAX(when, 0);
	return result;
}

static int fail_since(const struct ctl *ctl, int err, struct str given)
{
	if (err == ERR_OVERFLOW)
		return ctl_usage(ctl, "--since: \"%.*s\" is no day or time that there is", given);
	return ctl_fail(ctl, EXIT_USAGE, "usage",
	                STR("--since takes a time ago (90m, 2h, 1d) or a date (2026-01-31, 2026-01-31T12:00, in UTC)"));
}

static struct str mailbox_option(const struct ctl *ctl)
{
	struct str mailbox = ctl_option(ctl, "--mailbox");
	return str_ieq(mailbox, STR("INBOX")) ? STR("INBOX") : mailbox;
}

static int run_list(struct ctl *ctl)
{
	struct buf all = BUF_INIT(CTL_REPLY_MAX), next = BUF_INIT(CONTROL_ARGUMENT_MAX);
	int result;
	json_begin_array(&all);
	do {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct str arguments[] = { ctl->arguments[0], mailbox_option(ctl), buf_str(&next) };
		struct ctl_reply reply;
		struct json_value *answer;
		ctl_reply_init(&reply);
		result = ctl_ask(ctl, CONTROL_UNDELETE_LIST, arguments, COUNT_OF(arguments), &reply, &arena, &answer);
		buf_clear(&next);
		if (result == EXIT_DONE) {
			const struct json_value *list = json_member(answer, "messages");
			for (const struct json_value *item = list ? list->first : NULL; item; item = item->next)
				json_print(item, &all);
			buf_add(&next, json_string(json_member(answer, "next")));
		}
		arena_free(&arena);
		ctl_reply_free(&reply);
	} while (result == EXIT_DONE && next.n > 0);
	json_end_array(&all);
	struct arena arena = ARENA_INIT(CTL_REPLY_MAX);
	struct json_value *list;
	if (result == EXIT_DONE && ctl->json)
		print_json(&all);
	else if (result == EXIT_DONE && json_parse(buf_str(&all), &arena, &list) == 0)
		ctl_print_expunged(list);
	else if (result == EXIT_DONE)
		result = ctl_fail(ctl, EXIT_FAILED, "limit", STR("the list is too long"));
	arena_free(&arena);
	buf_free(&next);
	buf_free(&all);
	return result;
}

int ctl_run_undelete_list(struct ctl *ctl, const struct ctl_command *command)
{
	return run_list(ctl);
}

static void print_restored(const struct ctl *ctl, uint64_t n, uint64_t damaged)
{
	struct buf json = BUF_INIT(1024);
	json_begin_object(&json);
	json_field_u64(&json, "restored", n);
	json_field_u64(&json, "damaged", damaged);
	json_end_object(&json);
	if (ctl->json)
		print_json(&json);
	else
		printf("%" PRIu64 " message%s put back\n", n, n == 1 ? "" : "s");
	buf_free(&json);
}

int ctl_run_undelete_restore(struct ctl *ctl, const struct ctl_command *command)
{
	char since[24];
	int64_t seconds = 0;
	uint64_t restored = 0, damaged = 0, id;
	int result;
	struct str given = ctl_option(ctl, "--since");
	int err = given.n ? read_since(given, &seconds) : 0;
	if (err < 0)
		return fail_since(ctl, err, given);
	snprintf(since, sizeof since, "%" PRId64, seconds);
	struct buf next = BUF_INIT(CONTROL_ARGUMENT_MAX);
	struct str arguments[CONTROL_ARGUMENTS_MAX] = { ctl->arguments[0], mailbox_option(ctl), str_from_c(since), STR("") };
	uint32_t n_ids = ctl_options(ctl, "--id", arguments + 4, CONTROL_ARGUMENTS_MAX - 4);
	if (n_ids > CONTROL_ARGUMENTS_MAX - 4)
		return ctl_usage(ctl, "too many options %.*s", STR("--id"));
	for (uint32_t i = 0; i < n_ids; i++)
		if (str_to_u64(arguments[4 + i], INT64_MAX, &id) < 0)
			return ctl_usage(ctl, "--id: \"%.*s\" is none of mansio undelete list", arguments[4 + i]);
	do {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct ctl_reply reply;
		struct json_value *answer;
		ctl_reply_init(&reply);
		result = ctl_ask(ctl, CONTROL_UNDELETE_RESTORE, arguments, 4 + n_ids, &reply, &arena, &answer);
		buf_clear(&next);
		if (result == EXIT_DONE) {
			restored += json_u64(json_member(answer, "restored"));
			damaged += json_u64(json_member(answer, "damaged"));
			buf_add(&next, json_string(json_member(answer, "next")));
		}
		arguments[3] = buf_str(&next);
		arena_free(&arena);
		ctl_reply_free(&reply);
	} while (result == EXIT_DONE && next.n > 0);
	buf_free(&next);
	if (result == EXIT_DONE)
		print_restored(ctl, restored, damaged);
	if (result == EXIT_DONE && damaged > 0) {
		fprintf(stderr, "mansio: %" PRIu64 " message%s cannot be put back now: the mailbox or the message is damaged (see "
		        "mansio store check)\n", damaged, damaged == 1 ? "" : "s");
		result = EXIT_FAILED;
	}
	if (result == EXIT_DONE && restored < n_ids) {
		fprintf(stderr, "mansio: not all of these ids can be put back (see mansio undelete list)\n");
		result = EXIT_NOT_FOUND;
	}
	return result;
}

/* --- store --- */

static bool all_done(const struct json_value *shards)
{
	for (const struct json_value *shard = shards->first; shard; shard = shard->next)
		if (!json_is_true(json_member(shard, "done")))
			return false;
	return true;
}

static uint64_t sum_of(const struct json_value *shards, const char *key)
{
	uint64_t sum = 0;
	for (const struct json_value *shard = shards->first; shard; shard = shard->next)
		sum += json_u64(json_member(shard, key));
	return sum;
}

static void print_progress(const char *what, uint64_t bytes)
{
	char text[64];
	ctl_print_bytes(bytes, text, sizeof text);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s: %s ", what, text);
}

static void gather_damage(const struct json_value *shards, struct buf *all)
{
	for (const struct json_value *shard = shards->first; shard; shard = shard->next) {
		const struct json_value *list = json_member(shard, "damage");
		for (const struct json_value *item = list ? list->first : NULL; item; item = item->next)
			json_print(item, all);
	}
}

/* What of the whole store was found beside the sums over its shards. */
struct checked {
	struct buf damage; /* an array */
	uint64_t damaged, notes;
	struct buf not_checked; /* why; empty: all was */
};

static int print_checked(const struct ctl *ctl, const struct json_value *shards, const struct checked *checked)
{
	struct buf out = BUF_INIT(CTL_REPLY_MAX);
	struct arena arena = ARENA_INIT(CTL_REPLY_MAX);
	struct json_value *list = NULL;
	uint64_t damaged = sum_of(shards, "damaged") + checked->damaged;
	json_begin_object(&out);
	json_field_u64(&out, "accounts", sum_of(shards, "accounts"));
	json_field_u64(&out, "messages", sum_of(shards, "messages"));
	json_field_u64(&out, "bytes", sum_of(shards, "bytes"));
	json_field_u64(&out, "damaged", damaged);
	json_field_u64(&out, "notes", sum_of(shards, "notes") + checked->notes);
	json_field_string(&out, "not_checked", buf_str(&checked->not_checked));
	json_key(&out, "damage");
	json_put_raw(&out, buf_str(&checked->damage));
	json_end_object(&out);
	if (ctl->json)
		print_json(&out);
	else if (json_parse(buf_str(&out), &arena, &list) == 0)
		ctl_print_checked(list);
	arena_free(&arena);
	buf_free(&out);
	return damaged || checked->not_checked.n > 0 ? EXIT_FAILED : EXIT_DONE;
}

int ctl_run_store_check(struct ctl *ctl, const struct ctl_command *command)
{
	struct checked checked = { .damage = BUF_INIT(CTL_REPLY_MAX / 2), .not_checked = BUF_INIT(REASON_MAX) };
	struct str step = STR("begin");
	bool done = false;
	int result = EXIT_DONE;
	json_begin_array(&checked.damage);
	while (!done && result == EXIT_DONE) {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct ctl_reply reply;
		struct json_value *shards;
		ctl_reply_init(&reply);
		result = ctl_ask(ctl, CONTROL_STORE_CHECK, &step, 1, &reply, &arena, &shards);
		done = result == EXIT_DONE && all_done(shards);
		if (result == EXIT_DONE) {
			gather_damage(shards, &checked.damage);
			print_progress("checked", sum_of(shards, "bytes"));
		}
		if ((done || result != EXIT_DONE) && isatty(STDERR_FILENO))
			fputc('\n', stderr);
		if (done) {
			if (isatty(STDERR_FILENO))
				fputs("checking the indexes\n", stderr);
			ctl_check_indexes(ctl, &checked.damage, &checked.damaged, &checked.notes, &checked.not_checked);
			json_end_array(&checked.damage);
			result = ctl_name_damage(ctl, &checked.damage);
		}
		if (done && result == EXIT_DONE)
			result = print_checked(ctl, shards, &checked);
		step = STR("wait");
		arena_free(&arena);
		ctl_reply_free(&reply);
	}
	buf_free(&checked.damage);
	buf_free(&checked.not_checked);
	return result;
}

int ctl_run_store_compact(struct ctl *ctl, const struct ctl_command *command)
{
	struct str step = STR("begin");
	bool done = false, told = false;
	int result = EXIT_DONE;
	while (!done && result == EXIT_DONE) {
		struct arena arena = ARENA_INIT(ANSWER_ARENA);
		struct ctl_reply reply;
		struct json_value *shards;
		ctl_reply_init(&reply);
		result = ctl_ask(ctl, CONTROL_STORE_COMPACT, &step, 1, &reply, &arena, &shards);
		done = result == EXIT_DONE && all_done(shards);
		if (result == EXIT_DONE && !done) {
			print_progress("freed", sum_of(shards, "freed_bytes"));
			told = true;
		}
		if (told && (done || result != EXIT_DONE) && isatty(STDERR_FILENO))
			fputc('\n', stderr);
		if (done && ctl->json)
			print_json(&reply.json);
		else if (done)
			ctl_print_space(shards);
		step = STR("wait");
		arena_free(&arena);
		ctl_reply_free(&reply);
	}
	return result;
}
