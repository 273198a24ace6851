/* control.c: one function a command: directory in, JSON or a sentence for people out. Owns nothing; every failure
 * becomes an answer. */
#include "proc/auth/control.h"

#include "base/checked.h"
#include "base/json.h"

#include <stdarg.h>

#define PAGE_ROWS 1000
#define TARGETS_NAMED 3 /* of an alias, in a sentence */
#define PAGE_SOFT (256 * 1024) /* a page of aliases ends at the first alias behind this many bytes */

typedef void control_fn(struct directory *directory, const struct control_request *request,
			const struct control_usage *usage, struct control_answer *answer);

void control_answer_init(struct control_answer *answer)
{
	*answer = (struct control_answer){
		.message = BUF_INIT(CONTROL_MESSAGE_MAX),
		.json = BUF_INIT(CONTROL_JSON_MAX),
	};
}

void control_answer_free(struct control_answer *answer)
{
	buf_free(&answer->message);
	buf_free(&answer->json);
}

void control_answer_fail(struct control_answer *answer, int result, const char *format, ...)
{
	char text[CONTROL_MESSAGE_MAX];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	answer->result = result;
	buf_clear(&answer->json);
	buf_clear(&answer->message);
	buf_add(&answer->message, str_of(text, MIN((size_t)MAX(n, 0), sizeof text - 1)));
}

void control_fail_commonly(struct control_answer *answer, int err, struct str what)
{
	if (err == ERR_SYNTAX)
		control_answer_fail(answer, err, "\"%.*s\" is not an address or domain as mail has them", STR_ARG(what));
	else if (err == ERR_LIMIT)
		control_answer_fail(answer, ERR_SYNTAX, "\"%.*s\" is too long", STR_ARG(what)); /* as malformed as the others */
	else if (err == ERR_NO_SPACE)
		control_answer_fail(answer, err, "the disk is full; nothing was changed");
	else
		control_answer_fail(answer, err, "the directory of accounts failed: %s", err_text(err));
}

static struct str domain_of(struct str address)
{
	while (str_find_byte(address, '@') >= 0)
		(void)str_cut(&address, '@');
	return address;
}

/* Nothing of what was asked for has this address, or its domain is not ours: say which. */
static void fail_not_found(struct directory *directory, struct control_answer *answer, const char *what,
			   struct str address)
{
	struct str domain = domain_of(address);
	if (domain.n == address.n)
		control_answer_fail(answer, ERR_SYNTAX, "\"%.*s\" is not an address: it has no \"@domain\"", STR_ARG(address));
	else if (directory_domain_find(directory, domain) == ERR_NOT_FOUND)
		control_answer_fail(answer, ERR_NOT_FOUND,
		                    "the domain %.*s is not one of ours; make it with: mansio domain add %.*s", STR_ARG(domain),
		                    STR_ARG(domain));
	else
		control_answer_fail(answer, ERR_NOT_FOUND, "there is no %s %.*s", what, STR_ARG(address));
}

struct target_words {
	struct buf text;
	uint32_t n;
};

static int add_target_words(void *owner, struct str target)
{
	struct target_words *words = owner;
	if (words->n++ < TARGETS_NAMED)
		buf_addf(&words->text, "%s%.*s", words->text.n > 0 ? ", " : "", STR_ARG(target));
	return 0;
}

void control_fail_no_account(struct directory *directory, struct control_answer *answer, struct str address)
{
	struct target_words words = { .text = BUF_INIT(CONTROL_MESSAGE_MAX / 2) };
	int err = directory_alias_targets(directory, address, add_target_words, &words);
	if (words.n > TARGETS_NAMED)
		buf_addf(&words.text, " and %u more", words.n - TARGETS_NAMED);
	if (err || words.n == 0)
		fail_not_found(directory, answer, "account", address);
	else
		control_answer_fail(answer, ERR_NOT_FOUND, "there is no account %.*s: it is an alias, of %.*s", STR_ARG(address),
		                    STR_ARG(buf_str(&words.text)));
	buf_free(&words.text);
}

/* --- accounts --- */

static void print_id(struct buf *out, const struct account_id *id)
{
	char hex[ACCOUNT_ID_TEXT_SIZE];
	account_id_print(id, hex);
	json_field_string(out, "id", str_from_c(hex));
}

/* The members of an account; the object stays open. */
static void print_account(struct buf *out, const struct directory_account *account)
{
	json_begin_object(out);
	json_field_string(out, "address", account->address.whole);
	print_id(out, &account->id);
	json_field_u64(out, "shard", account->shard);
	json_field_u64(out, "created", (uint64_t)account->created);
	json_field_bool(out, "enabled", account->enabled);
	json_field_bool(out, "made", account->made);
	if (account->moving_to != DIRECTORY_NOT_MOVING)
		json_field_u64(out, "moving_to", (uint64_t)account->moving_to);
}

static void print_usage(struct buf *out, const struct control_usage *usage)
{
	json_key(out, "messages");
	if (usage && usage->known)
		json_put_u64(out, usage->messages);
	else
		json_put_null(out);
	json_key(out, "bytes");
	if (usage && usage->known)
		json_put_u64(out, usage->bytes);
	else
		json_put_null(out);
}

void control_print_added(struct control_answer *answer, bool done)
{
	answer->account.made = done;
	buf_clear(&answer->json);
	print_account(&answer->json, &answer->account);
	json_end_object(&answer->json);
}

void control_print_removed(struct control_answer *answer, bool done, const struct control_usage *usage)
{
	buf_clear(&answer->json);
	print_account(&answer->json, &answer->account);
	json_field_bool(&answer->json, "destroyed", done);
	print_usage(&answer->json, usage);
	json_end_object(&answer->json);
}

static void print_known(struct buf *out, const char *key, bool known, uint64_t value)
{
	json_key(out, key);
	if (known)
		json_put_u64(out, value);
	else
		json_put_null(out);
}

/* limit_...: that hold; quota_...: set for this account, null: the server's default holds. 0 is no limit. */
void control_print_quota(struct control_answer *answer, const struct control_usage *usage)
{
	struct buf *out = &answer->json;
	const struct directory_quota *quota = &answer->account.quota;
	bool known = usage && usage->known;
	buf_clear(out);
	json_begin_object(out);
	json_field_string(out, "address", answer->account.address.whole);
	print_id(out, &answer->account.id);
	print_usage(out, usage);
	print_known(out, "limit_messages", known, known ? usage->limit_messages : 0);
	print_known(out, "limit_bytes", known, known ? usage->limit_bytes : 0);
	print_known(out, "quota_messages", quota->messages != DIRECTORY_QUOTA_DEFAULT, (uint64_t)quota->messages);
	print_known(out, "quota_bytes", quota->bytes != DIRECTORY_QUOTA_DEFAULT, (uint64_t)quota->bytes);
	json_end_object(out);
}

static bool read_limit(struct str text, int64_t *out)
{
	uint64_t number;
	if (str_eq(text, STR("keep")))
		*out = DIRECTORY_QUOTA_KEEP;
	else if (str_eq(text, STR("default")))
		*out = DIRECTORY_QUOTA_DEFAULT;
	else if (str_eq(text, STR("none")))
		*out = 0;
	else if (str_to_u64(text, INT64_MAX, &number) == 0)
		*out = (int64_t)number;
	else
		return false;
	return true;
}

static void account_quota(struct directory *directory, const struct control_request *request,
			  const struct control_usage *usage, struct control_answer *answer)
{
	struct str address = request->arguments[0];
	struct directory_quota quota;
	if (!read_limit(request->arguments[1], &quota.messages) || !read_limit(request->arguments[2], &quota.bytes)) {
		control_answer_fail(answer, ERR_SYNTAX, "a limit is a number, default or none");
		return;
	}
	bool only_asks = quota.messages == DIRECTORY_QUOTA_KEEP && quota.bytes == DIRECTORY_QUOTA_KEEP;
	int err = only_asks ? directory_account_find(directory, address, &answer->account) :
			      directory_account_set_quota(directory, address, &quota, &answer->account);
	if (err == ERR_NOT_FOUND) {
		control_fail_no_account(directory, answer, address);
	} else if (err) {
		control_fail_commonly(answer, err, address);
	} else {
		answer->has_account = true;
		control_print_quota(answer, usage);
	}
}

/* What other servers take for "every address of the domain", and mail would take for one address. */
static bool refuse_catch_all(struct str address, const char *kind, const char *target, struct control_answer *answer)
{
	if (!str_starts(address, STR("*@")) && !str_starts(address, STR("@")))
		return false;
	struct str domain = domain_of(address);
	control_answer_fail(answer, ERR_SYNTAX,
	                    "there are no catch-all addresses here: \"%.*s\" would not be every address of %.*s; add each "
	                    "that is to take mail: mansio %s add NAME@%.*s%s",
	                    STR_ARG(address), STR_ARG(domain), kind, STR_ARG(domain), target);
	return true;
}

static void account_add(struct directory *directory, const struct control_request *request,
			const struct control_usage *usage, struct control_answer *answer)
{
	struct str address = request->arguments[0];
	if (refuse_catch_all(address, "account", "", answer))
		return;
	int err = directory_account_add(directory, address, request->arguments[1], &answer->account);
	if (err == ERR_NOT_FOUND) {
		fail_not_found(directory, answer, "account", address);
	} else if (err == ERR_EXISTS) {
		control_answer_fail(answer, err, "%.*s exists already, as an account or as an alias", STR_ARG(address));
	} else if (err) {
		control_fail_commonly(answer, err, address);
	} else {
		answer->has_account = true;
		control_print_added(answer, false);
	}
}

static int print_account_row(void *owner, const struct directory_account *account)
{
	struct buf *out = owner;
	print_account(out, account);
	json_end_object(out);
	return 0;
}

/* What is listed of one domain (empty: of all). */
static void domain_must_be(struct directory *directory, struct str domain, struct control_answer *answer)
{
	int err = domain.n ? directory_domain_find(directory, domain) : 0;
	if (err == ERR_NOT_FOUND)
		control_answer_fail(answer, err, "there is no domain %.*s here", STR_ARG(domain));
	else if (err)
		control_fail_commonly(answer, err, domain);
}

static void account_list(struct directory *directory, const struct control_request *request,
			 const struct control_usage *usage, struct control_answer *answer)
{
	json_begin_array(&answer->json);
	int err = directory_accounts(directory, request->arguments[0], request->arguments[1], PAGE_ROWS, print_account_row,
				     &answer->json);
	json_end_array(&answer->json);
	if (err == 0)
		domain_must_be(directory, request->arguments[0], answer);
	else
		control_fail_commonly(answer, err, request->arguments[0]);
}

static int print_text(void *owner, struct str text)
{
	json_put_string(owner, text);
	return 0;
}

bool control_find_account(struct directory *directory, struct str address, struct directory_account *out,
			  struct control_answer *answer)
{
	int err = directory_account_find(directory, address, out);
	if (err == ERR_NOT_FOUND)
		control_fail_no_account(directory, answer, address);
	else if (err)
		control_fail_commonly(answer, err, address);
	return !err;
}

static void account_show(struct directory *directory, const struct control_request *request,
			 const struct control_usage *usage, struct control_answer *answer)
{
	struct directory_account account;
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	struct buf *out = &answer->json;
	print_account(out, &account);
	json_key(out, "aliases");
	json_begin_array(out);
	int err = directory_aliases_of(directory, account.address.whole, print_text, out);
	json_end_array(out);
	if (!err)
		err = control_print_pop3(directory, &account, out);
	print_usage(out, usage);
	json_end_object(out);
	if (err)
		control_fail_commonly(answer, err, request->arguments[0]);
}

static void account_password(struct directory *directory, const struct control_request *request,
			     const struct control_usage *usage, struct control_answer *answer)
{
	struct directory_account account;
	if (!control_find_account(directory, request->arguments[0], &account, answer))
		return;
	int err = directory_account_set_password(directory, account.address.whole, request->arguments[1]);
	if (err) {
		control_fail_commonly(answer, err, request->arguments[0]);
		return;
	}
	json_begin_object(&answer->json);
	json_field_string(&answer->json, "address", account.address.whole);
	json_end_object(&answer->json);
}

static void account_remove(struct directory *directory, const struct control_request *request,
			   const struct control_usage *usage, struct control_answer *answer)
{
	if (!control_find_account(directory, request->arguments[0], &answer->account, answer))
		return;
	int err = directory_account_remove(directory, request->arguments[0], &answer->account);
	if (err == ERR_STATE) {
		control_answer_fail(answer, err, "%.*s is being moved to another shard; try again when that is over",
				    STR_ARG(request->arguments[0]));
		return;
	}
	if (err) {
		control_fail_commonly(answer, err, request->arguments[0]);
		return;
	}
	answer->has_account = true;
	control_print_removed(answer, false, usage);
}

/* --- domains --- */

static void print_domain(struct buf *out, struct str domain)
{
	char folded[ADDRESS_DOMAIN_MAX];
	size_t n;
	json_begin_object(out);
	json_field_string(out, "domain", domain_read(domain, folded, &n) ? domain : str_of(folded, n));
	json_end_object(out);
}

static void domain_add(struct directory *directory, const struct control_request *request,
		       const struct control_usage *usage, struct control_answer *answer)
{
	struct str domain = request->arguments[0];
	int err = directory_domain_add(directory, domain);
	if (err == ERR_EXISTS)
		control_answer_fail(answer, err, "the domain %.*s exists already", STR_ARG(domain));
	else if (err)
		control_fail_commonly(answer, err, domain);
	else
		print_domain(&answer->json, domain);
}

static void domain_remove(struct directory *directory, const struct control_request *request,
			  const struct control_usage *usage, struct control_answer *answer)
{
	struct str domain = request->arguments[0];
	int err = directory_domain_remove(directory, domain);
	if (err == ERR_NOT_FOUND)
		control_answer_fail(answer, err, "there is no domain %.*s", STR_ARG(domain));
	else if (err == ERR_STATE)
		control_answer_fail(answer, err, "the domain %.*s still has accounts or aliases; remove them first "
				    "(mansio account list %.*s; mansio alias list %.*s)",
				    STR_ARG(domain), STR_ARG(domain), STR_ARG(domain));
	else if (err)
		control_fail_commonly(answer, err, domain);
	else
		print_domain(&answer->json, domain);
}

static int print_domain_row(void *owner, struct str domain)
{
	print_domain(owner, domain);
	return 0;
}

static void domain_list(struct directory *directory, const struct control_request *request,
			const struct control_usage *usage, struct control_answer *answer)
{
	json_begin_array(&answer->json);
	int err = directory_domains(directory, request->arguments[0], PAGE_ROWS, print_domain_row, &answer->json);
	json_end_array(&answer->json);
	if (err)
		control_fail_commonly(answer, err, request->arguments[0]);
}

/* --- aliases --- */

static void print_alias(struct directory *directory, const struct control_request *request, struct buf *out)
{
	struct folded_address alias;
	json_begin_object(out);
	json_field_string(out, "address",
			  address_read(request->arguments[0], &alias) ? request->arguments[0] : alias.whole);
	json_end_object(out);
}

/* What kept a target, or the alias itself (index n), from being added. */
static void fail_alias(struct directory *directory, struct control_answer *answer, int err, struct str alias,
		       struct str target, bool is_alias)
{
	struct directory_account account;
	struct folded_address folded;
	struct str what = is_alias ? alias : target;
	if (err == ERR_NOT_FOUND)
		fail_not_found(directory, answer, "account or alias", what);
	else if (err == ERR_EXISTS && directory_account_find(directory, alias, &account) == 0)
		control_answer_fail(answer, err, "%.*s is an account and cannot be an alias", STR_ARG(alias));
	else if (err == ERR_EXISTS)
		control_answer_fail(answer, err, "%.*s leads to %.*s already", STR_ARG(alias), STR_ARG(target));
	else if (err == ERR_STATE)
		control_answer_fail(answer, err, "%.*s leads back to %.*s: that would be a circle", STR_ARG(target),
				    STR_ARG(alias));
	else if (err == ERR_LIMIT && address_read(what, &folded) == 0)
		control_answer_fail(answer, err, "%.*s would be too long, lead to too many accounts or over too many aliases "
				    "(limits.max_alias_targets, limits.max_alias_depth)", STR_ARG(alias));
	else
		control_fail_commonly(answer, err, what);
}

static void alias_add(struct directory *directory, const struct control_request *request,
		      const struct control_usage *usage, struct control_answer *answer)
{
	const struct str *targets = request->arguments + 1;
	uint32_t n = request->n_arguments - 1, failed;
	if (refuse_catch_all(request->arguments[0], "alias", " ADDRESS", answer))
		return;
	int err = directory_alias_add(directory, request->arguments[0], targets, n, &failed);
	if (err)
		fail_alias(directory, answer, err, request->arguments[0], targets[failed < n ? failed : 0], failed == n);
	else
		print_alias(directory, request, &answer->json);
}

static void alias_remove(struct directory *directory, const struct control_request *request,
			 const struct control_usage *usage, struct control_answer *answer)
{
	const struct str *targets = request->arguments + 1;
	uint32_t n = request->n_arguments - 1, failed;
	struct str alias = request->arguments[0];
	int err = directory_alias_remove(directory, alias, targets, n, &failed);
	if (err == ERR_NOT_FOUND && failed < n)
		control_answer_fail(answer, err, "%.*s is no alias that leads to %.*s", STR_ARG(alias),
				    STR_ARG(targets[failed]));
	else if (err == ERR_NOT_FOUND)
		control_answer_fail(answer, err, "there is no alias %.*s", STR_ARG(alias));
	else if (err)
		control_fail_commonly(answer, err, failed < n ? targets[failed] : alias);
	else
		print_alias(directory, request, &answer->json);
}

/* The rows of one alias follow each other: an object is open while they last. */
struct alias_page {
	struct buf *out;
	struct folded_address last; /* the alias whose object is open; empty at first */
};

enum { PAGE_IS_FULL = 1 };

static int print_alias_row(void *owner, struct str address, struct str target)
{
	struct alias_page *page = owner;
	if (!str_eq(page->last.whole, address)) {
		bool is_first = page->last.whole.n == 0;
		if (!is_first && page->out->n > PAGE_SOFT)
			return PAGE_IS_FULL;
		if (!is_first) {
			json_end_array(page->out);
			json_end_object(page->out);
		}
		int err = address_read(address, &page->last);
		if (err)
			return ERR_CORRUPT;
		json_begin_object(page->out);
		json_field_string(page->out, "address", address);
		json_key(page->out, "targets");
		json_begin_array(page->out);
	}
	json_put_string(page->out, target);
	return 0;
}

static void alias_list(struct directory *directory, const struct control_request *request,
		       const struct control_usage *usage, struct control_answer *answer)
{
	struct alias_page page = { .out = &answer->json };
	json_begin_array(&answer->json);
	int err = directory_aliases(directory, request->arguments[0], request->arguments[1], PAGE_ROWS, print_alias_row,
				    &page);
	if (page.last.whole.n) {
		json_end_array(&answer->json);
		json_end_object(&answer->json);
	}
	json_end_array(&answer->json);
	if (err < 0)
		control_fail_commonly(answer, err, request->arguments[0]);
	else
		domain_must_be(directory, request->arguments[0], answer);
}

/* --- what shards carry out: auth says where the account is --- */

static void place(struct directory *directory, const struct control_request *request,
		  const struct control_usage *usage, struct control_answer *answer)
{
	struct directory_account account;
	if (control_find_account(directory, request->arguments[0], &account, answer))
		control_place_encode(&(struct control_place){ account.id, (uint16_t)account.shard }, &answer->json);
}

/* The running server's alone (proc/auth/moves.c). */
static void account_move(struct directory *directory, const struct control_request *request,
			 const struct control_usage *usage, struct control_answer *answer)
{
	control_answer_fail(answer, ERR_UNAVAILABLE, "the server must run for this");
}

/* control_pop3, called by control_execute. */
static void needs_configuration(struct directory *directory, const struct control_request *request,
				const struct control_usage *usage, struct control_answer *answer)
{
	control_answer_fail(answer, ERR_STATE, "this command needs the configuration");
}

/* --- the table --- */

static const struct {
	control_fn *run;
	uint32_t min, max; /* arguments */
} COMMANDS[CONTROL_COMMAND_COUNT] = {
	[CONTROL_ACCOUNT_ADD] = { account_add, 2, 2 },
	[CONTROL_ACCOUNT_LIST] = { account_list, 2, 2 },
	[CONTROL_ACCOUNT_SHOW] = { account_show, 1, 1 },
	[CONTROL_ACCOUNT_PASSWORD] = { account_password, 2, 2 },
	[CONTROL_ACCOUNT_MOVE] = { account_move, 1, 2 },
	[CONTROL_ACCOUNT_REMOVE] = { account_remove, 1, 1 },
	[CONTROL_ACCOUNT_QUOTA] = { account_quota, 3, 3 },
	[CONTROL_APP_PASSWORD_ADD] = { control_app_password_add, 4, 4 },
	[CONTROL_APP_PASSWORD_LIST] = { control_app_password_list, 1, 1 },
	[CONTROL_APP_PASSWORD_REMOVE] = { control_app_password_remove, 2, 2 },
	[CONTROL_ACCOUNT_POP3] = { needs_configuration, 7, 7 },
	[CONTROL_DOMAIN_POP3] = { needs_configuration, 7, 7 },
	[CONTROL_DOMAIN_ADD] = { domain_add, 1, 1 },
	[CONTROL_DOMAIN_LIST] = { domain_list, 1, 1 },
	[CONTROL_DOMAIN_REMOVE] = { domain_remove, 1, 1 },
	[CONTROL_ALIAS_ADD] = { alias_add, 2, CONTROL_ARGUMENTS_MAX },
	[CONTROL_ALIAS_LIST] = { alias_list, 2, 2 },
	[CONTROL_ALIAS_REMOVE] = { alias_remove, 1, CONTROL_ARGUMENTS_MAX },
	[CONTROL_UNDELETE_LIST] = { place, 1, CONTROL_ARGUMENTS_MAX },
	[CONTROL_UNDELETE_RESTORE] = { place, 1, CONTROL_ARGUMENTS_MAX },
	[CONTROL_PARCEL_READ] = { place, 1, CONTROL_ARGUMENTS_MAX },
	[CONTROL_PARCEL_WRITE] = { place, 1, CONTROL_ARGUMENTS_MAX },
};

bool control_check_arguments(const struct control_request *request, struct control_answer *answer)
{
	if ((unsigned)request->command >= CONTROL_COMMAND_COUNT || !COMMANDS[request->command].run)
		control_answer_fail(answer, ERR_UNSUPPORTED, "the directory does not know this command");
	else if (request->n_arguments < COMMANDS[request->command].min ||
		 request->n_arguments > COMMANDS[request->command].max)
		control_answer_fail(answer, ERR_SYNTAX, "wrong number of arguments");
	return answer->result == 0;
}

void control_execute(struct directory *directory, const struct conf *conf, const struct control_request *request,
		     const struct control_usage *usage, struct control_answer *answer)
{
	if (!control_check_arguments(request, answer))
		return;
	if (request->command == CONTROL_ACCOUNT_POP3 || request->command == CONTROL_DOMAIN_POP3)
		control_pop3(directory, conf, request, answer);
	else
		COMMANDS[request->command].run(directory, request, usage, answer);
	if (answer->result == 0 && buf_error(&answer->json))
		control_answer_fail(answer, ERR_LIMIT, "the answer is too long");
}
