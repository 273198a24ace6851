/* control_pop3.c: the commands `account app-password …`, `account pop3` and `domain pop3` on a directory. Owns nothing;
 * every failure becomes an answer. */
#include "proc/auth/control.h"

#include "auth/app_password.h"
#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"
#include "syntax/imap_name.h"

static const struct str PROTOCOLS[] = { STR_INIT("imap"), STR_INIT("pop3"), STR_INIT("smtp") }; /* by bit */

static const struct str MODES[] = {
#define MODE_WORD(name, word) STR_INIT(word),
	POP3_MODE_LIST(MODE_WORD)
#undef MODE_WORD
};
static const struct str DELETED[] = { STR_INIT("gone"), STR_INIT("trash") };
static const struct str SEEN[] = { STR_INIT("no"), STR_INIT("yes") };

static bool says_something(const struct pop3_choice *choice)
{
	return choice->mode != POP3_UNSET || choice->days != POP3_UNSET || choice->trash != POP3_UNSET ||
	       choice->seen != POP3_UNSET || choice->mailbox_n > 0;
}

/* What one place says itself of POP3: an object, or null. */
static void print_said(struct buf *out, const struct pop3_choice *choice)
{
	json_key(out, "pop3");
	if (!says_something(choice)) {
		json_put_null(out);
		return;
	}
	json_begin_object(out);
	if (choice->mode != POP3_UNSET)
		json_field_string(out, "mode", MODES[choice->mode]);
	if (choice->days != POP3_UNSET)
		json_field_u64(out, "days", (uint64_t)choice->days);
	if (choice->trash != POP3_UNSET)
		json_field_string(out, "deleted", DELETED[choice->trash]);
	if (choice->seen != POP3_UNSET) {
		json_key(out, "seen");
		json_put_bool(out, choice->seen == 1);
	}
	if (choice->mailbox_n > 0)
		json_field_string(out, "mailbox", str_of(choice->mailbox, choice->mailbox_n));
	json_end_object(out);
}

/* --- app passwords --- */

static void print_protocols(struct buf *out, uint32_t protocols)
{
	json_key(out, "protocols");
	json_begin_array(out);
	for (size_t i = 0; i < COUNT_OF(PROTOCOLS); i++)
		if (protocols & 1u << i)
			json_put_string(out, PROTOCOLS[i]);
	json_end_array(out);
}

/* Words with a space between them; false: one is none. */
static bool read_protocols(struct str text, uint32_t *out)
{
	*out = 0;
	while (text.n > 0) {
		struct str word = str_cut(&text, ' ');
		size_t i = 0;
		while (i < COUNT_OF(PROTOCOLS) && !str_eq(word, PROTOCOLS[i]))
			i++;
		if (i == COUNT_OF(PROTOCOLS))
			return false;
		*out |= 1u << i;
	}
	return *out != 0;
}

static void print_named(struct control_answer *answer, const struct directory_account *account, struct str name)
{
	json_begin_object(&answer->json);
	json_field_string(&answer->json, "address", account->address.whole);
	json_field_string(&answer->json, "name", name);
}

void control_app_password_add(struct directory *directory, const struct control_request *request,
			      const struct control_usage *usage, struct control_answer *answer)
{
	struct str name = request->arguments[1];
	struct directory_account account;
	uint32_t protocols;
	uint64_t number;
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	if (!read_protocols(request->arguments[2], &protocols)) {
		control_answer_fail(answer, ERR_SYNTAX, "the protocols of an app password are some of imap, pop3 and smtp");
		return;
	}
	int err = app_password_add(directory, &account, name, protocols, request->arguments[3], &number);
	if (err == ERR_EXISTS) {
		control_answer_fail(answer, err, "%.*s has an app password \"%.*s\" already", STR_ARG(request->arguments[0]),
				    STR_ARG(name));
	} else if (err == ERR_SYNTAX) {
		control_answer_fail(answer, err, "the name of an app password has 1 to %d bytes, without control characters and without a space at either end",
				    APP_PASSWORD_NAME_MAX);
	} else if (err == ERR_LIMIT) {
		control_answer_fail(answer, err, "an account has at most %d app passwords", APP_PASSWORDS_MAX);
	} else if (err) {
		control_fail_commonly(answer, err, name);
	} else {
		print_named(answer, &account, name);
		print_protocols(&answer->json, protocols);
		json_end_object(&answer->json);
	}
}

/* What is said of POP3 for each of them is read before they are listed. */
struct listing {
	struct buf *out;
	uint32_t n, at;
	struct said {
		uint64_t number;
		struct str name; /* points into `names` */
		struct pop3_choice choice;
	} said[APP_PASSWORDS_MAX];
	char names[APP_PASSWORDS_MAX][APP_PASSWORD_NAME_MAX];
};

static int collect(void *owner, const struct app_password *password)
{
	struct listing *listing = owner;
	if (listing->n == APP_PASSWORDS_MAX)
		return ERR_LIMIT;
	char *name = listing->names[listing->n];
	struct str known = str_first(password->name, APP_PASSWORD_NAME_MAX);
	memcpy(name, known.p, known.n);
	listing->said[listing->n++] = (struct said){ .number = password->number, .name = str_of(name, known.n) };
	return 0;
}

static int read_listing(struct directory *directory, const struct directory_account *account, struct listing *listing)
{
	struct pop3_choices choices;
	int err = app_password_list(directory, &account->id, collect, listing);
	for (uint32_t i = 0; !err && i < listing->n; i++) {
		struct pop3_place place = { POP3_APP_PASSWORD, account->address.domain, &account->id, listing->said[i].number };
		err = pop3_settings_read(directory, &place, &choices);
		if (!err)
			listing->said[i].choice = choices.at[POP3_APP_PASSWORD];
	}
	return err;
}

static int print_password(void *owner, const struct app_password *password)
{
	struct listing *listing = owner;
	struct buf *out = listing->out;
	json_begin_object(out);
	json_field_string(out, "name", password->name);
	print_protocols(out, password->protocols);
	json_field_u64(out, "created", (uint64_t)password->created);
	json_key(out, "last_used");
	if (password->last_used)
		json_put_u64(out, (uint64_t)password->last_used);
	else
		json_put_null(out);
	print_said(out, &listing->said[listing->at++].choice);
	json_end_object(out);
	return 0;
}

void control_app_password_list(struct directory *directory, const struct control_request *request,
			       const struct control_usage *usage, struct control_answer *answer)
{
	struct directory_account account;
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	struct listing *listing = mem_alloc(1, sizeof *listing);
	listing->out = &answer->json;
	int err = read_listing(directory, &account, listing);
	json_begin_array(&answer->json);
	if (!err)
		err = app_password_list(directory, &account.id, print_password, listing);
	json_end_array(&answer->json);
	mem_free(listing);
	if (err)
		control_fail_commonly(answer, err, request->arguments[0]);
}

int control_print_pop3(struct directory *directory, const struct directory_account *account, struct buf *out)
{
	struct listing *listing = mem_alloc(1, sizeof *listing);
	struct pop3_place place = { POP3_ACCOUNT, account->address.domain, &account->id, 0 };
	struct pop3_choices choices;
	int err = pop3_settings_read(directory, &place, &choices);
	if (!err)
		err = read_listing(directory, account, listing);
	if (!err) {
		print_said(out, &choices.at[POP3_ACCOUNT]);
		json_key(out, "pop3_app_passwords");
		json_begin_array(out);
		for (uint32_t i = 0; i < listing->n; i++)
			if (says_something(&listing->said[i].choice))
				json_put_string(out, listing->said[i].name);
		json_end_array(out);
	}
	mem_free(listing);
	return err;
}

static void fail_password(struct control_answer *answer, int err, const struct directory_account *account, struct str name)
{
	if (err == ERR_NOT_FOUND)
		control_answer_fail(answer, err, "%.*s has no app password \"%.*s\" (mansio account app-password list %.*s)",
				    STR_ARG(account->address.whole), STR_ARG(name), STR_ARG(account->address.whole));
	else
		control_fail_commonly(answer, err, name);
}

void control_app_password_remove(struct directory *directory, const struct control_request *request,
				 const struct control_usage *usage, struct control_answer *answer)
{
	struct str name = request->arguments[1];
	struct directory_account account;
	uint64_t number;
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	int err = app_password_remove(directory, &account, name, &number);
	if (err) {
		fail_password(answer, err, &account, name);
		return;
	}
	print_named(answer, &account, name);
	json_end_object(&answer->json);
}

/* --- POP3 --- */

void control_pop3_defaults(const struct conf *conf, struct pop3_choice *out)
{
	*out = (struct pop3_choice){
		.mode = (int)conf->pop3.mode,
		.days = (int)conf->pop3.days,
		.trash = conf->pop3.deleted == CONF_DELETED_TRASH,
		.seen = conf->pop3.seen,
	};
	if (pop3_choice_set_mailbox(out, conf->pop3.mailbox) < 0) {
		memcpy(out->mailbox, "INBOX", 5); /* not text that a mailbox can have: as if nothing was said */
		out->mailbox_n = 5;
	}
}

/* False, and the answer says so, when it is neither "", "inherit" nor one of the words. */
static bool read_word(struct str text, const struct str *words, size_t n, const char *what, int *out,
		      struct control_answer *answer)
{
	if (text.n == 0)
		return true;
	*out = POP3_UNSET;
	if (str_eq(text, STR("inherit")))
		return true;
	for (size_t i = 0; i < n; i++)
		if (str_eq(text, words[i]))
			*out = (int)i;
	if (*out == POP3_UNSET)
		control_answer_fail(answer, ERR_SYNTAX, "\"%.*s\" is no value of %s", STR_ARG(str_first(text, 100)), what);
	return *out != POP3_UNSET;
}

static bool read_days(struct str text, int *out, struct control_answer *answer)
{
	uint64_t days = 0;
	if (text.n == 0)
		return true;
	*out = POP3_UNSET;
	if (str_eq(text, STR("inherit")))
		return true;
	if (str_to_u64(text, POP3_DAYS_MAX, &days) < 0 || days == 0) {
		control_answer_fail(answer, ERR_SYNTAX, "days are a number from 1 to %d", POP3_DAYS_MAX);
		return false;
	}
	*out = (int)days;
	return true;
}

static bool read_mailbox(struct str text, struct pop3_choice *out, struct control_answer *answer)
{
	if (text.n == 0)
		return true;
	if (str_eq(text, STR("inherit"))) {
		out->mailbox_n = 0;
		return true;
	}
	const char *why;
	if (imap_name_check(text, &why) < 0) {
		control_answer_fail(answer, ERR_SYNTAX, "there can be no mailbox \"%.*s\": %s", STR_ARG(str_first(text, 100)), why);
		return false;
	}
	if (pop3_choice_set_mailbox(out, text) == 0)
		return true;
	control_answer_fail(answer, ERR_SYNTAX, "the name of a mailbox for POP3 has 1 to %d bytes of UTF-8", POP3_MAILBOX_MAX);
	return false;
}

static bool read_choice(const struct str *arguments, struct pop3_choice *out, struct control_answer *answer)
{
	return read_word(arguments[0], MODES, COUNT_OF(MODES), "the mode (client, delete, keep or days)", &out->mode, answer) &&
	       read_days(arguments[1], &out->days, answer) &&
	       read_word(arguments[2], DELETED, COUNT_OF(DELETED), "deleted (gone or trash)", &out->trash, answer) &&
	       read_word(arguments[3], SEEN, COUNT_OF(SEEN), "seen (yes or no)", &out->seen, answer) &&
	       read_mailbox(arguments[4], out, answer);
}

static void begin_value(struct buf *out, const char *key)
{
	json_key(out, key);
	json_begin_object(out);
	json_key(out, "value");
}

static void end_value(struct buf *out, enum pop3_level from)
{
	static const struct str names[] = { STR_INIT("server"), STR_INIT("domain"), STR_INIT("account"),
					    STR_INIT("app-password") };
	json_field_string(out, "from", names[from]);
	json_end_object(out);
}

/* What holds, each with the place that it comes from. */
static void print_policy(struct buf *out, const struct pop3_choices *choices)
{
	enum pop3_level from[POP3_FROM_COUNT];
	struct pop3_policy policy;
	pop3_choices_resolve(choices, &policy, from);
	begin_value(out, "mode");
	json_put_string(out, MODES[policy.mode]);
	end_value(out, from[POP3_FROM_MODE]);
	begin_value(out, "days");
	json_put_u64(out, policy.days);
	end_value(out, from[POP3_FROM_DAYS]);
	begin_value(out, "deleted");
	json_put_string(out, DELETED[policy.trash]);
	end_value(out, from[POP3_FROM_TRASH]);
	begin_value(out, "seen");
	json_put_bool(out, policy.seen);
	end_value(out, from[POP3_FROM_SEEN]);
	begin_value(out, "mailbox");
	json_put_string(out, policy.mailbox);
	end_value(out, from[POP3_FROM_MAILBOX]);
}

/* Reads what is said at the place, changes it as the arguments want it, and prints what holds then. */
static void change(struct directory *directory, const struct conf *conf, const struct pop3_place *place,
		   const struct str *arguments, struct control_answer *answer)
{
	struct pop3_choices choices;
	bool changes = false;
	for (size_t i = 0; i < 5; i++)
		changes |= arguments[i].n > 0;
	control_pop3_defaults(conf, &choices.at[POP3_SERVER]);
	int err = pop3_settings_read(directory, place, &choices);
	if (!err && !read_choice(arguments, &choices.at[place->level], answer))
		return;
	if (!err && changes)
		err = pop3_settings_write(directory, place, &choices.at[place->level]);
	if (err) {
		control_fail_commonly(answer, err, place->domain);
		return;
	}
	print_policy(&answer->json, &choices);
	json_end_object(&answer->json);
}

static void account_pop3(struct directory *directory, const struct conf *conf, const struct control_request *request,
			 struct control_answer *answer)
{
	struct directory_account account;
	struct str name = request->arguments[1];
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	struct pop3_place place = { POP3_ACCOUNT, account.address.domain, &account.id, 0 };
	json_begin_object(&answer->json);
	json_field_string(&answer->json, "address", account.address.whole);
	if (name.n > 0) {
		int err = app_password_find(directory, &account.id, name, &place.app_password);
		if (err) {
			fail_password(answer, err, &account, name);
			return;
		}
		place.level = POP3_APP_PASSWORD;
		json_field_string(&answer->json, "app_password", name);
	}
	change(directory, conf, &place, request->arguments + 2, answer);
}

static void domain_pop3(struct directory *directory, const struct conf *conf, const struct control_request *request,
			struct control_answer *answer)
{
	char folded[ADDRESS_DOMAIN_MAX];
	size_t n = 0;
	int err = directory_domain_find(directory, request->arguments[0]);
	if (!err)
		err = domain_read(request->arguments[0], folded, &n);
	if (err == ERR_NOT_FOUND) {
		control_answer_fail(answer, err, "there is no domain %.*s", STR_ARG(request->arguments[0]));
		return;
	}
	if (err) {
		control_fail_commonly(answer, err, request->arguments[0]);
		return;
	}
	struct pop3_place place = { POP3_DOMAIN, str_of(folded, n), NULL, 0 };
	json_begin_object(&answer->json);
	json_field_string(&answer->json, "domain", place.domain);
	change(directory, conf, &place, request->arguments + 2, answer);
}

void control_pop3(struct directory *directory, const struct conf *conf, const struct control_request *request,
		  struct control_answer *answer)
{
	if (request->command == CONTROL_DOMAIN_POP3)
		domain_pop3(directory, conf, request, answer);
	else
		account_pop3(directory, conf, request, answer);
}
