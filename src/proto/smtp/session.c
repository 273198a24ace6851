/* session.c: life, states and lines of an SMTP or LMTP session. Owned by a connection; bad input is answered, never
 * fatal; nothing is kept of the input between calls.
 *
 *          EHLO          MAIL                  DATA               end of data
 *   START ------> READY ------> TRANSACTION --------> RECEIVING ---------------> DELIVERING
 *     ^            ^ ^  RSET,    |    |  ^ resolved       | refused                  | delivered
 *     |            | '- EHLO ----'    v  |                |                          |
 *     |            |               RESOLVING              |                          |
 *     |            '--------------------------------------+--------------------------'
 *     '-- HANDSHAKE <-- STARTTLS, from START, READY and TRANSACTION; TLS ports begin there
 *
 * Submission:
 *           AUTH             name and password     denied             the timer
 *   READY --------> RESPONSE ------------------> ASKING --> DELAYED ------------> READY
 *     '---------------------------------------------^   \
 *           AUTH with an initial response                '-- ok --> READY
 * MAIL goes on to RESOLVING there, for its sender, and from there to TRANSACTION or back to READY.
 *
 * CLOSED from everywhere: QUIT, time-out, stop, too many errors. In RESOLVING, DELIVERING, HANDSHAKE, ASKING and
 * DELAYED the session waits for the world and takes no input. */
#include "proto/smtp/internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>

#define LINE_END_MAX 2 /* CRLF */

static const struct str state_names[] = {
#define SMTP_STATE_NAME(name, text) STR_INIT(text),
	SMTP_STATE_LIST(SMTP_STATE_NAME)
#undef SMTP_STATE_NAME
};

#define TO(state) (1U << (state))

/* Where each state may lead. */
static unsigned allowed_from(enum smtp_state state)
{
	switch (state) {
	case SMTP_START:
		return TO(SMTP_READY) | TO(SMTP_HANDSHAKE) | TO(SMTP_CLOSED);
	case SMTP_READY:
		return TO(SMTP_READY) | TO(SMTP_TRANSACTION) | TO(SMTP_HANDSHAKE) | TO(SMTP_RESPONSE) | TO(SMTP_ASKING) |
		       TO(SMTP_DELAYED) | TO(SMTP_CLOSED);
	case SMTP_TRANSACTION:
		return TO(SMTP_READY) | TO(SMTP_RESOLVING) | TO(SMTP_RECEIVING) | TO(SMTP_HANDSHAKE) | TO(SMTP_CLOSED);
	case SMTP_RESOLVING:
		return TO(SMTP_TRANSACTION) | TO(SMTP_CLOSED);
	case SMTP_RECEIVING:
		return TO(SMTP_READY) | TO(SMTP_DELIVERING) | TO(SMTP_CLOSED);
	case SMTP_DELIVERING:
		return TO(SMTP_READY) | TO(SMTP_CLOSED);
	case SMTP_HANDSHAKE:
		return TO(SMTP_START) | TO(SMTP_CLOSED);
	case SMTP_RESPONSE:
		return TO(SMTP_RESPONSE) | TO(SMTP_ASKING) | TO(SMTP_DELAYED) | TO(SMTP_READY) | TO(SMTP_CLOSED);
	case SMTP_ASKING:
		return TO(SMTP_DELAYED) | TO(SMTP_READY) | TO(SMTP_CLOSED);
	case SMTP_DELAYED:
		return TO(SMTP_READY) | TO(SMTP_CLOSED);
	case SMTP_CLOSED:
		return 0;
	}
	return 0;
}

void smtp_enter_state(struct smtp_session *session, enum smtp_state state)
{
	assert(allowed_from(session->state) & TO(state));
	log_debug("smtp-state", LOG_ID(session->id), LOG_S("from", state_names[session->state]),
	          LOG_S("to", state_names[state]));
	session->state = state;
}

void smtp_reply(struct smtp_session *session, unsigned code, const char *enhanced, const char *text)
{
	outq_addf(session->out, "%u %s %s\r\n", code, enhanced, text);
}

void smtp_reply_complaint(struct smtp_session *session, struct smtp_complaint complaint)
{
	smtp_reply(session, complaint.code, complaint.enhanced, complaint.text);
}

void smtp_complain(struct smtp_session *session, unsigned code, const char *enhanced, const char *text)
{
	smtp_reply(session, code, enhanced, text);
	if (++session->bad_commands < session->config->max_bad_commands)
		return;
	smtp_reply(session, 421, "4.7.0", "too many bad commands, closing");
	smtp_close(session);
}

void smtp_close(struct smtp_session *session)
{
	if (session->state == SMTP_CLOSED)
		return;
	if (session->state == SMTP_RECEIVING && !session->transaction.refusal)
		session->world->body_drop(session->owner);
	smtp_enter_state(session, SMTP_CLOSED);
	session->world->close(session->owner);
}

static void copy_text(char *to, size_t max, struct str s)
{
	s = str_first(s, max);
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static void greet(struct smtp_session *session)
{
	session->greeted = true;
	outq_addf(session->out, "220 %.*s %s ready\r\n", STR_ARG(session->config->hostname),
	          session->dialect == SMTP_DIALECT_SMTP ? "ESMTP" : "LMTP");
}

/* Of the texts of one transaction. */
static size_t transaction_memory(const struct smtp_config *config)
{
	return SMTP_TRANSACTION_ARENA + (size_t)config->max_recipients * SMTP_ARENA_PER_RECIPIENT;
}

size_t smtp_output_max(const struct smtp_config *config, enum smtp_dialect dialect)
{
	if (dialect == SMTP_DIALECT_SMTP)
		return SMTP_OUTPUT_MAX;
	return SMTP_OUTPUT_MAX + transaction_memory(config) + (size_t)config->max_recipients * SMTP_ANSWER_MAX;
}

struct smtp_session *smtp_session_new(const struct smtp_config *config, const struct smtp_client *client,
                                      const struct smtp_world *world, void *owner, struct outq *out)
{
	struct smtp_session *session = mem_alloc(1, sizeof *session);
	session->config = config;
	session->world = world;
	session->owner = owner;
	session->out = out;
	session->dialect = client->dialect;
	session->id = client->session;
	session->offer_tls = client->offer_tls;
	session->submission = client->submission;
	session->plain_allowed = client->plain_allowed;
	session->idle_since = clock_monotonic_ms();
	session->command_arena = ARENA_INIT(SMTP_COMMAND_ARENA);
	session->transaction.arena = ARENA_INIT(transaction_memory(config));
	session->transaction.head = BUF_INIT(SMTP_TRACE_MAX);
	copy_text(session->address, SMTP_ADDRESS_MAX, client->address);
	if (client->tls_first)
		smtp_enter_state(session, SMTP_HANDSHAKE);
	else
		greet(session);
	return session;
}

void smtp_session_free(struct smtp_session **session)
{
	struct smtp_session *s = *session;
	*session = NULL;
	if (!s)
		return;
	smtp_transaction_reset(s);
	sasl_end(&s->sasl);
	arena_free(&s->command_arena);
	mem_free(s);
}

/* --- lines --- */

/* Throws away up to and with the next CRLF. A CR at the end is left: its LF may follow. */
static void skip_line(struct smtp_session *session, struct str *in)
{
	for (size_t from = 0; from < in->n;) {
		const char *lf = memchr(in->p + from, '\n', in->n - from);
		if (!lf)
			break;
		from = (size_t)(lf - in->p) + 1;
		if (from >= 2 && lf[-1] == '\r') {
			session->discarding = false;
			session->progress++;
			*in = str_from(*in, from);
			return;
		}
	}
	*in = str_from(*in, in->n - (in->n > 0 && in->p[in->n - 1] == '\r'));
}

/* A SASL exchange has failed with it. */
static void refuse_line(struct smtp_session *session, struct str *in, const char *enhanced, const char *text)
{
	session->discarding = true;
	if (session->state == SMTP_RESPONSE)
		smtp_enter_state(session, SMTP_READY);
	sasl_end(&session->sasl);
	smtp_complain(session, 500, enhanced, text);
	skip_line(session, in);
}

static void run_line(struct smtp_session *session, struct str line)
{
	session->progress++;
	if (session->state == SMTP_RESPONSE) {
		smtp_take_response(session, line);
		mem_wipe_str(line);
		return;
	}
	arena_free(&session->command_arena);
	enum smtp_flaw flaw = smtp_parse(line, &session->command_arena, &session->command);
	if (flaw) {
		struct smtp_complaint complaint = smtp_flaw_complaint(flaw);
		smtp_complain(session, complaint.code, complaint.enhanced, complaint.text);
	} else {
		smtp_run_command(session);
	}
	if (session->command.verb == SMTP_AUTH)
		mem_wipe_str(line); /* whatever became of it, a password may stand there */
}

/* One line, or nothing when its end has not come. A line ends at CRLF only: after a bare LF all up to the next CRLF
 * is one refused line, so that no other reading of line ends can hide a command in it. */
static void take_line(struct smtp_session *session, struct str *in)
{
	bool response = session->state == SMTP_RESPONSE;
	size_t line_max = (response ? MAX((size_t)session->config->max_line, (size_t)SASL_LINE_MAX)
	                            : (size_t)session->config->max_line) + LINE_END_MAX;
	const char *lf = memchr(in->p, '\n', in->n < line_max ? in->n : line_max);
	if (!lf) {
		if (in->n >= line_max)
			refuse_line(session, in, response ? "5.5.6" : "5.5.2", "line too long"); /* RFC 4954, 4 */
		return;
	}
	struct str line = str_of(in->p, (size_t)(lf - in->p));
	if (!str_ends(line, STR("\r"))) {
		*in = str_from(*in, line.n + 1);
		refuse_line(session, in, "5.5.2", "lines end in CR LF, not in LF");
		return;
	}
	*in = str_from(*in, line.n + 1);
	line.n--;
	run_line(session, line);
}

size_t smtp_session_input(struct smtp_session *session, struct str bytes)
{
	struct str in = bytes;
	for (size_t before = 0; in.n > 0 && in.n != before;) {
		before = in.n;
		switch (session->state) {
		case SMTP_START:
		case SMTP_READY:
		case SMTP_TRANSACTION:
		case SMTP_RESPONSE:
			if (session->discarding)
				skip_line(session, &in);
			else
				take_line(session, &in);
			/* RFC 3207, 4.2: nothing that came with STARTTLS may count. */
			if (session->state == SMTP_HANDSHAKE)
				return bytes.n;
			break;
		case SMTP_RECEIVING:
			smtp_receive(session, &in);
			break;
		case SMTP_RESOLVING:
		case SMTP_DELIVERING:
		case SMTP_HANDSHAKE:
		case SMTP_ASKING:
		case SMTP_DELAYED:
			return bytes.n - in.n;
		case SMTP_CLOSED:
			return bytes.n;
		}
	}
	return session->state == SMTP_CLOSED ? bytes.n : bytes.n - in.n;
}

/* --- what the world tells --- */

void smtp_session_tls_started(struct smtp_session *session, struct str version, struct str cipher)
{
	if (session->state != SMTP_HANDSHAKE)
		return;
	session->tls = true;
	copy_text(session->tls_version, SMTP_TLS_MAX, version);
	copy_text(session->tls_cipher, SMTP_TLS_MAX, cipher);
	session->helo[0] = '\0';
	session->extended = session->authenticated = false;
	smtp_enter_state(session, SMTP_START);
	if (!session->greeted)
		greet(session);
}

void smtp_session_timed_out(struct smtp_session *session)
{
	if (session->state == SMTP_CLOSED)
		return;
	if (session->state != SMTP_HANDSHAKE)
		smtp_reply(session, 421, "4.4.2", "no input for too long, closing");
	smtp_close(session);
}

void smtp_session_end(struct smtp_session *session, const char *why)
{
	session->farewell = why;
	session->stopping = true;
	switch (session->state) {
	case SMTP_START:
	case SMTP_READY:
	case SMTP_TRANSACTION:
	case SMTP_RECEIVING:
	case SMTP_RESPONSE:
	case SMTP_ASKING:
	case SMTP_DELAYED:
		smtp_reply(session, 421, "4.3.2", why);
		smtp_close(session);
		break;
	case SMTP_HANDSHAKE:
		smtp_close(session);
		break;
	case SMTP_RESOLVING:
	case SMTP_DELIVERING:
	case SMTP_CLOSED:
		break;
	}
}

void smtp_session_stop(struct smtp_session *session)
{
	smtp_session_end(session, session->farewell ? session->farewell : "the server stops, try again later");
}

uint64_t smtp_session_patience_ms(const struct smtp_session *session)
{
	const struct smtp_config *config = session->config;
	switch (session->state) {
	case SMTP_START:
	case SMTP_READY:
	case SMTP_TRANSACTION:
	case SMTP_RESPONSE:
		return config->command_timeout_ms;
	case SMTP_RECEIVING:
		return config->data_timeout_ms;
	case SMTP_HANDSHAKE:
		return config->handshake_timeout_ms;
	case SMTP_ASKING:
	case SMTP_DELAYED:
	case SMTP_RESOLVING:
	case SMTP_DELIVERING:
	case SMTP_CLOSED:
		return 0;
	}
	return 0;
}

uint64_t smtp_session_progress(const struct smtp_session *session)
{
	return session->progress;
}

void smtp_refuse_connection(struct str hostname, struct outq *out)
{
	outq_addf(out, "421 4.7.0 %.*s: too many connections, try again later\r\n", STR_ARG(hostname));
}
