/* envelope.c: MAIL and RCPT: the transaction, its recipients, and the accounts they lead to. The sender of a submission
 * is the world's to judge. An account that two recipients lead to is one target, and gets one copy. All arrays have
 * maximums; memory is freed with the transaction. */
#include "proto/smtp/internal.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"

void smtp_transaction_reset(struct smtp_session *session)
{
	struct smtp_transaction *t = &session->transaction;
	arena_free(&t->arena);
	buf_free(&t->head);
	mem_free(t->recipients);
	mem_free(t->targets);
	mem_free(t->links);
	*t = (struct smtp_transaction){ .arena = t->arena, .head = t->head };
}

static const struct smtp_complaint sender_replies[] = {
#define SMTP_SENDER_REPLY(name, code, enhanced, text) { code, enhanced, text },
	SMTP_SENDER_LIST(SMTP_SENDER_REPLY)
#undef SMTP_SENDER_REPLY
};

void smtp_command_mail(struct smtp_session *session)
{
	const struct smtp_command *command = &session->command;
	if (session->messages >= session->config->max_transactions) {
		smtp_reply(session, 421, "4.7.0", "too many messages in one connection, closing");
		smtp_close(session);
		return;
	}
	if (command->has_size && command->size > session->config->max_message_size) {
		smtp_reply(session, 552, "5.3.4", "message too big"); /* RFC 1870, 6.1 */
		return;
	}
	if (command->has_auth && !session->submission) { /* RFC 4954, 5: it comes with AUTH */
		struct smtp_complaint complaint = smtp_flaw_complaint(SMTP_FLAW_PARAMETER_UNKNOWN);
		smtp_complain(session, complaint.code, complaint.enhanced, complaint.text);
		return;
	}
	smtp_transaction_reset(session);
	struct smtp_transaction *t = &session->transaction;
	if (arena_copy(&t->arena, command->path.written, &t->sender) != 0) {
		smtp_reply(session, 452, "4.3.1", "out of room, try again later");
		return;
	}
	t->announced = command->has_size ? command->size : 0;
	t->utf8 = command->utf8;
	smtp_enter_state(session, SMTP_TRANSACTION);
	if (!session->submission) {
		smtp_reply_complaint(session, sender_replies[SMTP_SENDER_OWN]);
		return;
	}
	t->checking_sender = true;
	smtp_enter_state(session, SMTP_RESOLVING);
	session->world->check_sender(session->owner, command->path.address);
}

/* Room for one more item; false at the maximum. */
static bool grow(void **items, uint32_t n, uint32_t *size, uint32_t max, size_t item_size)
{
	if (n >= max)
		return false;
	if (n == *size) {
		*size = MIN(MAX(*size * 2, UINT32_C(8)), max);
		*items = mem_resize(*items, *size, item_size);
	}
	return true;
}

#define GROW(t, what, max)                                                                                             \
	grow((void **)&(t)->what, (t)->n_##what, &(t)->size_##what, (max), sizeof *(t)->what)

void smtp_command_rcpt(struct smtp_session *session)
{
	struct smtp_transaction *t = &session->transaction;
	struct smtp_command *command = &session->command;
	if (command->path.eight_bit && !t->utf8) { /* RFC 6531, 3.5 */
		struct smtp_complaint complaint = smtp_flaw_complaint(SMTP_FLAW_RECIPIENT_EIGHT_BIT);
		smtp_complain(session, complaint.code, complaint.enhanced, complaint.text);
		return;
	}
	/* The line is gone when the answer comes; the unquoted address is in the command's arena. */
	if (!GROW(t, recipients, session->config->max_recipients) ||
	    arena_copy(&t->arena, command->path.written, &command->path.written) != 0) {
		smtp_reply(session, 452, "4.5.3", "too many recipients"); /* RFC 5321, 4.5.3.1.10 */
		return;
	}
	smtp_enter_state(session, SMTP_RESOLVING);
	session->world->resolve(session->owner, command->path.address);
}

/* The index of the account's target; a new one is made when there is none. Linear: account ids are random and compare
 * unequal at once, and there are at most SMTP_TARGETS_MAX. False when there is no room. */
static bool find_or_add_target(struct smtp_session *session, const struct smtp_target *wanted, uint32_t *index)
{
	struct smtp_transaction *t = &session->transaction;
	for (uint32_t i = 0; i < t->n_targets; i++) {
		if (memcmp(t->targets[i].account, wanted->account, SMTP_ACCOUNT_SIZE) == 0) {
			t->targets[i].address = (struct str){ NULL, 0 };
			*index = i;
			return true;
		}
	}
	if (!GROW(t, targets, SMTP_TARGETS_MAX))
		return false;
	struct smtp_target target = { .shard = wanted->shard, .result = SMTP_UNAVAILABLE };
	memcpy(target.account, wanted->account, SMTP_ACCOUNT_SIZE);
	t->targets[t->n_targets] = target;
	*index = t->n_targets++;
	return true;
}

/* All or nothing: a recipient that does not fit leaves no target behind. */
static int add_recipient(struct smtp_session *session, const struct smtp_target *targets, uint32_t n)
{
	struct smtp_transaction *t = &session->transaction;
	uint32_t n_targets = t->n_targets, n_links = t->n_links;
	int err = 0;
	for (uint32_t i = 0; i < n && err == 0; i++) {
		uint32_t index;
		if (GROW(t, links, SMTP_LINKS_MAX) && find_or_add_target(session, &targets[i], &index))
			t->links[t->n_links++] = index;
		else
			err = ERR_LIMIT;
	}
	if (err != 0) {
		t->n_targets = n_targets;
		t->n_links = n_links;
		return err;
	}
	const struct smtp_path *path = &session->command.path;
	if (n == 1 && t->n_targets > n_targets && str_eq(path->written, path->address))
		t->targets[n_targets].address = path->written; /* which stays, unlike the other */
	t->recipients[t->n_recipients++] =
		(struct smtp_recipient){ .written = session->command.path.written, .first_link = n_links, .n_links = n };
	return 0;
}

/* Refused for good: too many of that end the session. */
static void count_refusal(struct smtp_session *session, struct smtp_complaint complaint, const char *text)
{
	if (complaint.code < 500 || ++session->refused_recipients < session->config->max_refused_recipients)
		return;
	smtp_reply(session, 421, "4.7.0", text);
	smtp_close(session);
}

static void refuse_recipient(struct smtp_session *session, struct smtp_complaint complaint)
{
	smtp_reply_complaint(session, complaint);
	log_info("recipient-refused", LOG_ID(session->id), LOG_S("peer", str_from_c(session->address)),
	         LOG_S("sender", session->transaction.sender), LOG_S("recipient", session->command.path.written),
	         LOG_U("code", complaint.code), LOG_C("reason", complaint.text));
	session->transaction.n_refused++;
	count_refusal(session, complaint, "too many refused recipients, closing");
}

void smtp_session_sender_checked(struct smtp_session *session, enum smtp_sender result)
{
	struct smtp_transaction *t = &session->transaction;
	if (session->state != SMTP_RESOLVING || !t->checking_sender)
		return;
	struct smtp_complaint answer = sender_replies[result];
	t->checking_sender = false;
	smtp_enter_state(session, SMTP_TRANSACTION);
	smtp_reply_complaint(session, answer);
	if (result != SMTP_SENDER_OWN) {
		log_info("sender-refused", LOG_ID(session->id), LOG_S("peer", str_from_c(session->address)),
		         LOG_S("sender", t->sender), LOG_U("code", answer.code), LOG_C("reason", answer.text));
		smtp_transaction_reset(session);
		smtp_enter_state(session, SMTP_READY);
		if (result == SMTP_SENDER_LOGGED_OUT)
			smtp_close(session);
		else
			count_refusal(session, answer, "too many refused senders, closing");
	}
	if (session->stopping)
		smtp_session_stop(session);
}

static struct smtp_complaint reply_to(const struct smtp_session *session, enum smtp_resolution resolution)
{
	static const struct smtp_complaint replies[] = {
#define SMTP_RESOLUTION_REPLY(name, code, enhanced, text) { code, enhanced, text },
		SMTP_RESOLUTION_LIST(SMTP_RESOLUTION_REPLY)
#undef SMTP_RESOLUTION_REPLY
	};
	if (session->submission && resolution == SMTP_NOT_LOCAL)
		return (struct smtp_complaint){ 550, "5.7.1",
		                                "mail goes to addresses of this server only, not to other servers" };
	return replies[resolution];
}

void smtp_session_resolved(struct smtp_session *session, enum smtp_resolution resolution,
                           const struct smtp_target *targets, uint32_t n_targets)
{
	if (session->state != SMTP_RESOLVING || session->transaction.checking_sender)
		return;
	smtp_enter_state(session, SMTP_TRANSACTION);
	if (resolution == SMTP_RESOLVED && n_targets == 0)
		resolution = SMTP_RESOLVE_UNAVAILABLE;
	if (resolution != SMTP_RESOLVED)
		refuse_recipient(session, reply_to(session, resolution));
	else if (add_recipient(session, targets, n_targets) != 0)
		refuse_recipient(session, (struct smtp_complaint){ 452, "4.5.3", "too many recipients" });
	else
		smtp_reply_complaint(session, reply_to(session, SMTP_RESOLVED));
	if (session->stopping)
		smtp_session_stop(session);
}
