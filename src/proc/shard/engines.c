/* engines.c: the session engines of IMAP and POP3 behind one table, with their settings from the configuration. An
 * engine belongs to its connection. */
#include "proc/shard/shard.h"

#include "base/clock.h"
#include "base/mem.h"
#include "ipc/ticket.h"
#include "loop/cold_read.h"
#include "proto/pop3/capability.h"

static uint64_t microseconds(void *owner)
{
	return clock_monotonic_us();
}

static bool read_at_once(void *owner, int fd, uint64_t offset, char *to, size_t n)
{
	return cold_read_try(fd, offset, to, n) == (ssize_t)n;
}

static const struct session_world world = {
	.output = connection_output,
	.want_resume = connection_wish,
	.flush = connection_flush,
	.received = connection_received,
	.microseconds = microseconds,
	.close = connection_close,
	.fetch = connection_fetch,
	.read = read_at_once,
};

/* --- IMAP --- */

static void *imap_begin(struct connection *connection, struct account *account, const struct ticket *ticket, struct str tag)
{
	return imap_session_new(&world, connection, &connection_shard(connection)->imap, account, ticket->session, tag);
}

static size_t imap_input(void *session, struct str bytes)
{
	return imap_session_input(session, bytes);
}

static bool imap_wants_input(const void *session)
{
	return imap_session_wants_input(session);
}

static bool imap_left(const void *session)
{
	return imap_session_left(session);
}

static void imap_resume(void *session)
{
	imap_session_resume(session);
}

static void imap_bye(void *session, struct str text)
{
	imap_session_bye(session, text);
}

static void imap_end(void *session)
{
	struct imap_session *s = session;
	imap_session_free(&s);
}

static struct str imap_doing(const void *session)
{
	return imap_session_doing(session);
}

/* RFC 5530, 3 */
static void imap_refuse(struct buf *out, struct str tag, enum refusal_reason reason, struct str text)
{
	static const char *const codes[] = { [REFUSAL_UNAVAILABLE] = "UNAVAILABLE", [REFUSAL_IN_USE] = "INUSE", [REFUSAL_LIMIT] = "LIMIT" };
	buf_addf(out, "%.*s NO [%s] %.*s\r\n* BYE %.*s\r\n", STR_ARG(tag), codes[reason], STR_ARG(text), STR_ARG(text));
}

static void imap_last_words(struct outq *out, struct str text)
{
	outq_addf(out, "* BYE %.*s\r\n", STR_ARG(text));
}

static struct str imap_mailbox(const void *session)
{
	return imap_session_mailbox(session);
}

const struct engine engine_imap = { imap_begin, imap_input, imap_wants_input, imap_left, imap_resume,
	                                imap_bye,   imap_end,   imap_doing,        imap_refuse, imap_last_words, imap_mailbox };

/* --- POP3 --- */

static void *pop3_begin(struct connection *connection, struct account *account, const struct ticket *ticket, struct str tag)
{
	return pop3_session_new(&world, connection, &connection_shard(connection)->pop3, account,
	                        &ticket->pop3, str_eq(tag, STR(POP3_HANDED_UTF8)), ticket->session);
}

static size_t pop3_input(void *session, struct str bytes)
{
	return pop3_session_input(session, bytes);
}

static bool pop3_wants_input(const void *session)
{
	return pop3_session_wants_input(session);
}

static bool pop3_left(const void *session)
{
	return pop3_session_left(session);
}

static void pop3_resume(void *session)
{
	pop3_session_resume(session);
}

static void pop3_bye(void *session, struct str text)
{
	pop3_session_bye(session, text);
}

static void pop3_end(void *session)
{
	struct pop3_session *s = session;
	pop3_session_free(&s);
}

static struct str pop3_doing(const void *session)
{
	return pop3_session_doing(session);
}

/* RFC 2449, 8.1.1; RFC 3206, 4 */
static void pop3_refuse(struct buf *out, struct str tag, enum refusal_reason reason, struct str text)
{
	buf_addf(out, "-ERR [%s] %.*s\r\n", reason == REFUSAL_IN_USE ? "IN-USE" : "SYS/TEMP", STR_ARG(text));
}

static struct str pop3_mailbox(const void *session)
{
	return pop3_session_mailbox(session);
}

const struct engine engine_pop3 = { pop3_begin, pop3_input, pop3_wants_input, pop3_left, pop3_resume,
	                                pop3_bye,   pop3_end,   pop3_doing,        pop3_refuse, NULL, pop3_mailbox };

/* --- settings --- */

void engines_reload(struct shard *shard)
{
	const struct conf *conf = &shard->process->conf;
	struct imap_limits limits = IMAP_LIMITS_DEFAULT;
	limits.line_bytes = conf->imap.max_line;
	shard->imap = (struct imap_settings){
		.limits = limits,
		.mail = shard->mail,
		.charsets = shard->imap.charsets,
		.max_bad_commands = (uint32_t)conf->imap.max_bad_commands,
		.max_mailboxes = (uint32_t)conf->imap.max_mailboxes,
		.max_mailbox_depth = (uint32_t)conf->imap.max_mailbox_depth,
		.max_mailbox_name = conf->imap.max_mailbox_name,
		.max_keyword_length = conf->imap.max_keyword_length,
		.output_pause = conf->imap.output_pause,
		.spool_threshold = conf->store.large_message,
		.spool_directory = buf_str(&shard->directory),
		.commands = shard->count.imap_commands,
	};
	shard->imap.mail.max_message_size = conf->imap.max_message_size;
	shard->pop3 = (struct pop3_settings){
		.max_line = conf->pop3.max_line,
		.max_bad_commands = (uint32_t)conf->pop3.max_bad_commands,
		.output_pause = conf->imap.output_pause,
		.utf8 = conf->pop3.utf8,
		.login_delay_ms = conf->pop3.login_delay_ms,
		.commands = shard->count.pop3_commands,
	};
}

void engines_set_up(struct shard *shard)
{
	shard->imap.charsets = charsets_open();
	engines_reload(shard);
}
