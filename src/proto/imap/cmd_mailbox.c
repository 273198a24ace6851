/* cmd_mailbox.c: CREATE, DELETE, RENAME (of INBOX: cmd_rename.c), SUBSCRIBE and UNSUBSCRIBE (RFC 3501, 6.3.3 to 6.3.7;
 * CREATE with USE: RFC 6154, 3). The store knows what a name may be and makes missing parents; here are the protocol's
 * limits and answers. */
#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/imap/session_private.h"
#include "syntax/imap_name.h"

static bool refuse_name(struct imap_session *s, struct str name)
{
	const char *why = "That name cannot be used.";
	int err = imap_name_check(name, &why);
	if (err == ERR_LIMIT || name.n > s->settings->max_mailbox_name || mailbox_depth(name) > s->settings->max_mailbox_depth)
		imap_no(s, "LIMIT", "That name is too long or has too many levels.");
	else if (err < 0)
		imap_no(s, "CANNOT", why);
	else
		return false;
	return true;
}

/* The one attribute of CREATE's USE, as the store has it. False where it cannot be had: NO is chosen (RFC 6154, 3). */
static bool special_use_of(struct imap_session *s, const struct imap_create *create, enum special_use *out)
{
	static const struct {
		uint32_t bit;
		enum special_use use;
	} uses[] = {
		{ 0, SPECIAL_USE_NONE },
		{ IMAP_USE_ARCHIVE, SPECIAL_USE_ARCHIVE },
		{ IMAP_USE_DRAFTS, SPECIAL_USE_DRAFTS },
		{ IMAP_USE_JUNK, SPECIAL_USE_JUNK },
		{ IMAP_USE_SENT, SPECIAL_USE_SENT },
		{ IMAP_USE_TRASH, SPECIAL_USE_TRASH },
	};
	for (size_t i = 0; i < COUNT_OF(uses) && !create->unknown_use; i++) {
		if (create->use == uses[i].bit) {
			*out = uses[i].use;
			return true;
		}
	}
	imap_no(s, "USEATTR", "A mailbox cannot have that special use here.");
	return false;
}

static void answer_created(struct imap_session *s, const struct mailbox *mailbox)
{
	char code[64];
	snprintf(code, sizeof code, "MAILBOXID (" IMAP_MAILBOX_ID ")", mailbox_facts(mailbox)->uidvalidity);
	imap_ok(s, code, "CREATE completed.");
}

enum imap_step imap_create_step(struct imap_session *s)
{
	const struct imap_create *create = &imap_command_of(s)->create;
	enum special_use use;
	struct mailbox *mailbox;
	enum imap_step step = imap_end_renaming(s);
	if (step != IMAP_STEP_DONE || !special_use_of(s, create, &use))
		return step;
	int err = mailbox_create(s->account, create->mailbox, use, s->settings->max_mailboxes, &mailbox);
	if (err == ERR_EXISTS && use != SPECIAL_USE_NONE && !account_mailbox(s->account, create->mailbox))
		imap_no(s, "USEATTR", "Another mailbox has that special use already.");
	else if (err < 0)
		imap_no_error(s, err);
	else
		answer_created(s, mailbox);
	return IMAP_STEP_DONE;
}

enum imap_step imap_cmd_create(struct imap_session *s)
{
	return imap_refuse_params(s) || refuse_name(s, imap_command_of(s)->create.mailbox) ? IMAP_STEP_DONE : imap_create_step(s);
}

/* A mailbox of more than these is emptied first, so many to a batch: the rest of the shard goes on meanwhile, and who
 * has it selected sees its messages go. */
#define DELETE_SLICE 8192

struct delete_task {
	struct mailbox *mailbox; /* held; NULL: it cannot be opened */
};

void imap_delete_end(struct imap_session *s)
{
	struct delete_task *t = s->task;
	if (t->mailbox)
		mailbox_close(t->mailbox);
	mem_free(t);
	s->task = NULL;
}

/* What of its entries can be read goes to the undelete window. */
static int delete_damaged(struct imap_session *s, struct mailbox *mailbox)
{
	int err = mailbox_delete_damaged(mailbox);
	if (err == 0)
		log_warning("damaged-mailbox-deleted", LOG_ID(s->id), LOG_S("mailbox", imap_command_of(s)->mailbox),
		            LOG_C("action", "what could be read can be undeleted; the bytes of the other messages stay in the store, "
		                  "where 'mansio store salvage' finds them"));
	return err;
}

static int expunge_slice(struct mailbox *mailbox)
{
	struct set all = SET_INIT, uids = SET_INIT, expunged = SET_INIT;
	uint32_t from = 0;
	bool more;
	set_add(&all, 1, UINT32_MAX);
	int err = mailbox_slice(mailbox, &all, DELETE_SLICE, &from, &uids, &more);
	if (err == 0)
		err = mailbox_expunge(mailbox, &uids, false, &expunged);
	set_free(&all);
	set_free(&uids);
	set_free(&expunged);
	return err;
}

enum imap_step imap_delete_step(struct imap_session *s)
{
	struct mailbox *held = ((struct delete_task *)s->task)->mailbox;
	struct mailbox *mailbox = held ? held : imap_find_mailbox(s, imap_command_of(s)->mailbox, "NONEXISTENT");
	bool open = false;
	if (!mailbox)
		return IMAP_STEP_DONE;
	if (!store_writable(account_store(s->account)))
		return IMAP_STEP_WRITABLE;
	int err = !held ? ERR_CORRUPT : mailbox_is_gone(mailbox) ? ERR_NOT_FOUND : mailbox_open_step(mailbox, &open);
	if (err == 0 && !open)
		return IMAP_STEP_AGAIN;
	if (err == 0 && !account_may_write_slice(s->account, mailbox_count(mailbox), &s->refusals))
		return IMAP_STEP_DURABLE;
	if (err == 0 && mailbox_count(mailbox) > DELETE_SLICE) {
		err = expunge_slice(mailbox);
		if (err == 0)
			return IMAP_STEP_DURABLE;
	} else if (err == 0) {
		err = mailbox_delete(mailbox);
	}
	if (err == ERR_CORRUPT && !account_is_gone(s->account))
		err = delete_damaged(s, mailbox);
	if (err < 0) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	if (mailbox == s->selected.mailbox)
		imap_deselect(s);
	imap_ok(s, NULL, "DELETE completed.");
	return IMAP_STEP_DONE;
}

/* The session's own selected mailbox is deselected once it is deleted, and stays selected where it cannot be. One that
 * only exists because something lies below it has no messages and cannot be deleted (RFC 3501, 6.3.4). */
enum imap_step imap_cmd_delete(struct imap_session *s)
{
	struct mailbox *mailbox = imap_find_mailbox(s, imap_command_of(s)->mailbox, "NONEXISTENT");
	if (!mailbox)
		return IMAP_STEP_DONE;
	if (str_eq(mailbox_facts(mailbox)->name, STR("INBOX"))) {
		imap_no(s, "CANNOT", "INBOX cannot be deleted.");
		return IMAP_STEP_DONE;
	}
	int err = mailbox_open_begin(mailbox);
	if (err < 0 && err != ERR_CORRUPT) {
		imap_no_error(s, err);
		return IMAP_STEP_DONE;
	}
	struct delete_task *t = mem_alloc(1, sizeof *t);
	t->mailbox = err == 0 ? mailbox : NULL;
	s->task = t;
	return imap_delete_step(s);
}

/* What lies below comes along (but of INBOX, 6.3.5), and must not get too deep either: LIST's work grows with the
 * levels of all names. */
static bool refuse_depth(struct imap_session *s, const struct imap_rename *rename)
{
	struct mailbox *const *mailboxes;
	size_t n = account_mailboxes(s->account, &mailboxes), from = mailbox_depth(rename->from), to = mailbox_depth(rename->to);
	if (str_eq(rename->from, STR("INBOX")) || to <= from)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct str name = mailbox_facts(mailboxes[i])->name;
		bool below = str_starts(name, rename->from) && name.n > rename->from.n &&
		             name.p[rename->from.n] == IMAP_SEPARATOR;
		if (below && mailbox_depth(name) - from + to > s->settings->max_mailbox_depth) {
			imap_no(s, "LIMIT", "A name below it would have too many levels.");
			return true;
		}
	}
	return false;
}

enum imap_step imap_cmd_rename(struct imap_session *s)
{
	const struct imap_rename *rename = &imap_command_of(s)->rename;
	if (imap_refuse_params(s) || refuse_name(s, rename->to) || refuse_depth(s, rename))
		return IMAP_STEP_DONE;
	return str_eq(rename->from, STR("INBOX")) ? imap_rename_inbox(s) : imap_rename_tree(s);
}

enum imap_step imap_cmd_subscribe(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	bool subscribe = command->kind == IMAP_COMMAND_SUBSCRIBE;
	if (subscribe && refuse_name(s, command->mailbox))
		return IMAP_STEP_DONE;
	int err = account_subscribe(s->account, command->mailbox, subscribe);
	if (err < 0)
		imap_no_error(s, err);
	else
		imap_ok(s, NULL, subscribe ? "SUBSCRIBE completed." : "UNSUBSCRIBE completed.");
	return IMAP_STEP_DONE;
}
