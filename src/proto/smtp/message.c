/* message.c: DATA: the body goes to the world piece by piece as it comes, then the delivery is asked for and
 * answered.
 *
 * How results become answers. LMTP answers for each recipient, SMTP once for all; the accounts behind that answer
 * may have fared differently (several recipients, or an alias of several accounts):
 *   all delivered                                 250
 *   any unavailable, else any without space,      451 4.3.0, 452 4.3.1, 452 4.2.2: the client comes again, and the
 *   else any over quota                           delivery keys keep those who have it from getting it twice
 *   none delivered, all failed for good           what the first of them says (5xx)
 *   some delivered, others failed for good        451 4.3.0, or 452 4.2.2 when one was full: neither 250 nor 5xx would
 *                                                 be true. The client comes again; an account that is gone is then
 *                                                 refused by itself, at RCPT
 * A target is settled (its key can be forgotten) when every recipient that led to it was told 250. */
#include "proto/smtp/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "syntax/date.h"

static const struct smtp_complaint result_replies[] = {
#define SMTP_RESULT_REPLY(name, code, enhanced, text) { code, enhanced, text },
	SMTP_RESULT_LIST(SMTP_RESULT_REPLY)
#undef SMTP_RESULT_REPLY
};

static const struct smtp_complaint too_big = { 552, "5.3.4", "message too big" };
static const struct smtp_complaint bad_bytes = { 554, "5.6.0", "message has a bare CR, a bare LF or a NUL" };
static const struct smtp_complaint too_many_hops = { 554, "5.4.6", "too many Received headers, mail goes in circles" };
/* RFC 6409, 3.2: better refused than damaged; the Bcc fields of such a message would be text, for all to read. */
static const struct smtp_complaint no_header = { 554, "5.6.0", "message begins with a blank, where its header has to" };
static const struct smtp_complaint no_room = { 452, "4.3.1", "no space for mail now, try again later" };
static const struct smtp_complaint not_now = { 451, "4.3.0", "not possible now, try again later" };

static const struct smtp_complaint *complaint_of(int err)
{
	return err == ERR_NO_SPACE ? &no_room : &not_now;
}

void smtp_command_data(struct smtp_session *session)
{
	struct smtp_transaction *t = &session->transaction;
	if (t->n_recipients == 0) {
		/* RFC 5321, 3.3 and RFC 2033, 4.2. Refused recipients are no fault of the command's order in SMTP. */
		if (t->n_refused > 0 && session->dialect == SMTP_DIALECT_SMTP)
			smtp_reply(session, 554, "5.5.1", "no valid recipients");
		else if (t->n_refused > 0)
			smtp_reply(session, 503, "5.5.1", "no valid recipients");
		else
			smtp_complain(session, 503, "5.5.1", "RCPT comes first");
		return;
	}
	int err = session->world->body_begin(session->owner, t->announced);
	if (err != 0) {
		smtp_reply_complaint(session, *complaint_of(err));
		return;
	}
	session->messages++;
	t->data = SMTP_DATA_INIT;
	t->header = SUBMISSION_HEADER_INIT;
	smtp_enter_state(session, SMTP_RECEIVING);
	outq_add(session->out, STR("354 send the message, end with CRLF.CRLF\r\n"));
}

/* What stands against the message so far, NULL if nothing does. */
static const struct smtp_complaint *judge(const struct smtp_session *session)
{
	const struct smtp_data *data = &session->transaction.data;
	if (data->flaws)
		return &bad_bytes;
	if (data->size > session->config->max_message_size)
		return &too_big;
	if (data->received > session->config->max_received_headers)
		return &too_many_hops;
	if (session->transaction.headless && session->submission)
		return &no_header;
	return NULL;
}

/* From here on the body is only read to its end. */
static void refuse_body(struct smtp_session *session, const struct smtp_complaint *complaint)
{
	session->transaction.refusal = complaint;
	session->world->body_drop(session->owner);
}

static void log_delivery(const struct smtp_session *session, struct smtp_complaint answer, uint64_t milliseconds)
{
	const struct smtp_transaction *t = &session->transaction;
	log_info("delivery", LOG_ID(session->id), LOG_U("transaction", session->messages),
	         LOG_S("peer", str_from_c(session->address)), LOG_S("sender", t->sender),
	         LOG_S("recipient", t->recipients[0].written), LOG_U("recipients", t->n_recipients),
	         LOG_U("accounts", t->n_targets), LOG_U("bytes", t->data.size), LOG_U("code", answer.code),
	         LOG_C("result", answer.text), LOG_U("milliseconds", milliseconds));
}

/* The end of a transaction, after its answers. */
static void finish(struct smtp_session *session)
{
	smtp_transaction_reset(session);
	session->idle_since = clock_monotonic_ms();
	smtp_enter_state(session, SMTP_READY);
	if (session->stopping)
		smtp_session_stop(session);
}

/* The answer or answers to a message that is not delivered at all. */
static void answer_refusal(struct smtp_session *session)
{
	const struct smtp_transaction *t = &session->transaction;
	uint32_t answers = session->dialect == SMTP_DIALECT_LMTP ? t->n_recipients : 1;
	for (uint32_t i = 0; i < answers; i++)
		smtp_reply_complaint(session, *t->refusal);
	log_delivery(session, *t->refusal, 0);
	finish(session);
}

/* RFC 3848; RFC 6531, 4.3. */
static struct str protocol_name(const struct smtp_session *session)
{
	static const struct str smtp[] = { STR_INIT("ESMTP"), STR_INIT("ESMTPS"), STR_INIT("ESMTPA"), STR_INIT("ESMTPSA") };
	static const struct str smtp_utf8[] = { STR_INIT("UTF8SMTP"), STR_INIT("UTF8SMTPS"), STR_INIT("UTF8SMTPA"),
		                                    STR_INIT("UTF8SMTPSA") };
	static const struct str lmtp[] = { STR_INIT("LMTP"), STR_INIT("LMTPS") };
	static const struct str lmtp_utf8[] = { STR_INIT("UTF8LMTP"), STR_INIT("UTF8LMTPS") };
	bool utf8 = session->transaction.utf8;
	if (session->dialect == SMTP_DIALECT_LMTP)
		return (utf8 ? lmtp_utf8 : lmtp)[session->tls];
	if (!session->extended && !utf8)
		return STR("SMTP");
	return (utf8 ? smtp_utf8 : smtp)[session->tls + 2 * session->authenticated];
}

/* What the writer's program left out (RFC 6409, 8.2 and 8.3). It stands above the message, where it is no part of what
 * the delivery key is made of: a retry is the same message. */
static void print_missing(const struct smtp_session *session, int64_t seconds, struct buf *head)
{
	const struct submission_header *header = &session->transaction.header;
	if (!header->has_date) {
		buf_add(head, STR("Date: "));
		date_print((struct date){ seconds, 0 }, head);
		buf_add(head, STR("\r\n"));
	}
	if (!header->has_message_id)
		buf_addf(head, "Message-ID: <%llx.%016llx.%u@%.*s>\r\n", (unsigned long long)seconds,
		         (unsigned long long)session->id, session->messages, STR_ARG(session->config->hostname));
}

static void deliver(struct smtp_session *session)
{
	struct smtp_transaction *t = &session->transaction;
	struct smtp_trace trace = {
		.sender = t->sender,
		.helo = str_from_c(session->helo),
		.peer = str_from_c(session->address),
		.host = session->config->hostname,
		.protocol = protocol_name(session),
		.tls_version = str_from_c(session->tls_version),
		.tls_cipher = str_from_c(session->tls_cipher),
		.session = session->id,
		.transaction = session->messages,
		.recipient = t->n_recipients == 1 ? t->recipients[0].written : (struct str){ NULL, 0 },
		.seconds = clock_wall_seconds(),
	};
	smtp_trace_print(&trace, &t->head);
	if (session->submission)
		print_missing(session, trace.seconds, &t->head);
	/* RFC 5322, 2.2.3: what begins with a blank goes on with the field before it, and that would be ours. It has no header,
	 * and comes after the end of this one, byte for byte. */
	if (t->headless)
		buf_add(&t->head, STR("\r\n"));
	if (buf_error(&t->head) != 0) {
		refuse_body(session, &not_now);
		answer_refusal(session);
		return;
	}
	t->delivering_since_ms = clock_monotonic_ms();
	t->delivery = (struct smtp_delivery){ .sender = t->sender, .head = buf_str(&t->head), .targets = t->targets,
		                                  .n_targets = t->n_targets, .n_recipients = t->n_recipients };
	smtp_enter_state(session, SMTP_DELIVERING);
	session->world->deliver(session->owner, &t->delivery);
}

static int add_body(struct smtp_session *session, struct str piece)
{
	if (!session->submission)
		return session->world->body_add(session->owner, piece);
	struct str kept;
	int err = 0;
	while (err == 0 && submission_header_next(&session->transaction.header, &piece, &kept))
		err = session->world->body_add(session->owner, kept);
	return err;
}

void smtp_receive(struct smtp_session *session, struct str *in)
{
	struct smtp_transaction *t = &session->transaction;
	struct str piece;
	enum smtp_data_event event;
	session->progress++;
	while ((event = smtp_data_next(&t->data, in, &piece)) == SMTP_DATA_TEXT) {
		if (!t->begun && piece.n > 0) {
			t->begun = true;
			t->headless = piece.p[0] == ' ' || piece.p[0] == '\t';
		}
		if (t->refusal)
			continue;
		const struct smtp_complaint *complaint = judge(session);
		int err = complaint ? 0 : add_body(session, piece);
		if (complaint || err != 0)
			refuse_body(session, complaint ? complaint : complaint_of(err));
	}
	if (event == SMTP_DATA_MORE)
		return;
	/* Judged anew with all that is known, so that the answer does not depend on how the bytes were cut. */
	const struct smtp_complaint *verdict = judge(session);
	if (verdict && !t->refusal)
		refuse_body(session, verdict);
	if (verdict)
		t->refusal = verdict;
	if (t->refusal)
		answer_refusal(session);
	else
		deliver(session);
}

/* --- results --- */

/* The one answer for several targets; see the top of the file. `links` NULL: the targets themselves. */
static struct smtp_complaint combine(const struct smtp_target *targets, const uint32_t *links, uint32_t n)
{
	static const enum smtp_result temporary[] = { SMTP_UNAVAILABLE, SMTP_NO_SPACE, SMTP_OVER_QUOTA };
	uint32_t counts[COUNT_OF(result_replies)] = { 0 };
	enum smtp_result first_failed = SMTP_DELIVERED;
	for (uint32_t i = 0; i < n; i++) {
		enum smtp_result result = targets[links ? links[i] : i].result;
		counts[result]++;
		if (first_failed == SMTP_DELIVERED)
			first_failed = result;
	}
	for (size_t i = 0; i < COUNT_OF(temporary); i++)
		if (counts[temporary[i]] > 0)
			return result_replies[temporary[i]];
	if (first_failed != SMTP_DELIVERED && counts[SMTP_DELIVERED] > 0)
		return counts[SMTP_FULL] > 0 ? result_replies[SMTP_OVER_QUOTA] : not_now;
	return result_replies[first_failed];
}

static void answer_smtp(struct smtp_session *session, uint64_t milliseconds)
{
	struct smtp_transaction *t = &session->transaction;
	struct smtp_complaint answer = combine(t->targets, NULL, t->n_targets);
	for (uint32_t i = 0; i < t->n_targets; i++)
		t->targets[i].settled = answer.code == 250;
	if (answer.code == 250)
		outq_addf(session->out, "250 2.0.0 delivered, id %016llx-%u\r\n", (unsigned long long)session->id,
		          session->messages);
	else
		smtp_reply_complaint(session, answer);
	log_delivery(session, answer, milliseconds);
}

/* RFC 2033, 4.2: one answer for each RCPT that was accepted, in their order. The log line has the worst of them. */
static void answer_lmtp(struct smtp_session *session, uint64_t milliseconds)
{
	struct smtp_transaction *t = &session->transaction;
	struct smtp_complaint logged = result_replies[SMTP_DELIVERED];
	for (uint32_t i = 0; i < t->n_targets; i++)
		t->targets[i].settled = true;
	for (uint32_t i = 0; i < t->n_recipients; i++) {
		const struct smtp_recipient *recipient = &t->recipients[i];
		const uint32_t *links = t->links + recipient->first_link;
		struct smtp_complaint answer = combine(t->targets, links, recipient->n_links);
		for (uint32_t k = 0; k < recipient->n_links && answer.code != 250; k++)
			t->targets[links[k]].settled = false;
		outq_addf(session->out, "%u %s <%.*s> %s\r\n", answer.code, answer.enhanced, STR_ARG(recipient->written),
		          answer.text);
		if (answer.code > logged.code)
			logged = answer;
	}
	log_delivery(session, logged, milliseconds);
}

void smtp_session_delivered(struct smtp_session *session)
{
	if (session->state != SMTP_DELIVERING)
		return;
	uint64_t milliseconds = clock_monotonic_ms() - session->transaction.delivering_since_ms;
	if (session->dialect == SMTP_DIALECT_LMTP)
		answer_lmtp(session, milliseconds);
	else
		answer_smtp(session, milliseconds);
	session->world->answered(session->owner, &session->transaction.delivery);
	finish(session);
}
