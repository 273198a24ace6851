/* session.c: the life of a session after login: input, the run of a command, its tagged reply. Owned by the shard, one
 * for each IMAP connection; lives until its owner frees it after world.close or when the connection is gone. Bad input
 * is answered and counted. An idle session holds this struct and the sets of struct selected; everything else is freed
 * between commands.
 *
 *     new ─▶ READY ──────────── command ───────────┬──▶ GATE (writes) ──┐ writable
 *             ▲  │ APPEND        end of APPEND     │        ▲           │
 *             │  └────────▶ APPENDING ─────────────│────────┘           │
 *             │                │ refused           ▼                    │
 *             │                │                RUNNING ◀───────────────┘      paused: world.want_resume
 *             │                │                 │    │ IDLE
 *             │                ▼                 │    ▼
 *             └─────────── FINISHING ◀───────────┴─ IDLING          any ──▶ CLOSED
 *               tagged     notices
 *
 * Whether a mailbox is selected is selected.mailbox, not a state. A mailbox deleted by somebody else, and an account
 * that is gone, end the session with BYE: no response code tells a client of RFC 3501 that its selected mailbox
 * vanished, and its next connection finds out what is left. */
#include "base/log.h"
#include "base/mem.h"
#include "proto/imap/capability.h"
#include "proto/imap/session_private.h"

#define BIT(state) (1u << (state))

/* The longest tagged reply: COPYUID's sets of a large mailbox. */
#define REPLY_MAX (2u * 1024 * 1024)

static const char *state_name(enum session_state state)
{
	static const char *const names[] = {
#define SESSION_STATE_NAME(name, text) text,
		SESSION_STATE_LIST(SESSION_STATE_NAME)
#undef SESSION_STATE_NAME
	};
	return names[state];
}

static void enter_state(struct imap_session *s, enum session_state state)
{
	static const unsigned legal[] = {
		[SESSION_READY] = BIT(SESSION_APPENDING) | BIT(SESSION_GATE) | BIT(SESSION_RUNNING) | BIT(SESSION_FINISHING) |
		                  BIT(SESSION_CLOSED),
		[SESSION_APPENDING] = BIT(SESSION_GATE) | BIT(SESSION_FINISHING) | BIT(SESSION_CLOSED),
		[SESSION_GATE] = BIT(SESSION_RUNNING) | BIT(SESSION_CLOSED),
		[SESSION_RUNNING] = BIT(SESSION_IDLING) | BIT(SESSION_FINISHING) | BIT(SESSION_CLOSED),
		[SESSION_IDLING] = BIT(SESSION_FINISHING) | BIT(SESSION_CLOSED),
		[SESSION_FINISHING] = BIT(SESSION_READY) | BIT(SESSION_CLOSED),
		[SESSION_CLOSED] = 0,
	};
	if (!(legal[s->state] & BIT(state)))
		abort();
	log_debug("imap-state", LOG_ID(s->id), LOG_C("from", state_name(s->state)), LOG_C("to", state_name(state)));
	s->state = state;
}

struct imap_session *imap_session_new(const struct session_world *world, void *owner,
                                      const struct imap_settings *settings, struct account *account, uint64_t id,
                                      struct str tag)
{
	struct imap_session *s = mem_alloc(1, sizeof *s);
	s->world = world;
	s->owner = owner;
	s->settings = settings;
	s->account = account;
	s->id = id;
	s->reply = BUF_INIT(REPLY_MAX);
	imap_reader_init(&s->reader, &settings->limits);
	if (tag.n) {
		outq_add(imap_output(s), tag);
		outq_add(imap_output(s), STR(" OK [CAPABILITY " IMAP_CAPABILITIES "] Logged in.\r\n"));
		world->flush(owner);
	}
	return s;
}

/* Frees what the command that runs keeps. */
static void end_command(struct imap_session *s)
{
	if (s->task)
		s->handler->end(s);
	s->task = NULL;
	s->handler = NULL;
	mem_free(s->idle_tag);
	s->idle_tag = NULL;
	buf_free(&s->reply);
	if (s->watching)
		mailbox_watch_stop(&s->watch);
	s->watching = false;
}

void imap_session_free(struct imap_session **session)
{
	struct imap_session *s = *session;
	if (!s)
		return;
	end_command(s);
	imap_deselect(s);
	imap_reader_free(&s->reader);
	mem_free(s);
	*session = NULL;
}

static void close_session(struct imap_session *s)
{
	end_command(s);
	enter_state(s, SESSION_CLOSED);
	s->world->close(s->owner);
}

static void close_with(struct imap_session *s, struct str text)
{
	struct outq *out = imap_output(s);
	outq_add(out, STR("* BYE "));
	outq_add(out, text);
	outq_add(out, STR("\r\n"));
	log_debug("imap-bye", LOG_ID(s->id), LOG_S("text", text));
	close_session(s);
}

/* --- a command's run --- */

static struct str current_tag(const struct imap_session *s)
{
	if (s->idle_tag)
		return str_from_c(s->idle_tag);
	return s->reader.command.tag;
}

static bool may_tell_expunges(const struct imap_session *s)
{
	switch (s->handler->notices) {
	case IMAP_NOTICES_NONE:
		return false;
	case IMAP_NOTICES_BUT_EXPUNGE: /* RFC 3501, 7.4.1; RFC 7162, 3.2.10.2 */
		return s->reader.command.uid && !imap_search_names_numbers(&s->reader.command);
	case IMAP_NOTICES_ALL:
		return true;
	}
	return false;
}

/* The account, or the selected mailbox, went away under the session: by somebody else, or with a write that failed. */
static bool is_gone(struct imap_session *s)
{
	if (s->state == SESSION_CLOSED)
		return true;
	if (account_is_gone(s->account))
		close_with(s, STR("The account is not available now."));
	else if (s->selected.mailbox && mailbox_is_gone(s->selected.mailbox))
		close_with(s, STR("The selected mailbox was deleted."));
	else
		return false;
	return true;
}

/* The tagged reply, with what is to be told before it. */
static void finish(struct imap_session *s)
{
	if (is_gone(s))
		return;
	if (s->selected.mailbox && s->handler && s->handler->notices != IMAP_NOTICES_NONE &&
	    imap_tell_notices(s, may_tell_expunges(s)) == IMAP_STEP_OUTPUT) {
		s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
		return;
	}
	struct outq *out = imap_output(s);
	struct str tag = current_tag(s);
	bool logout = s->handler && s->handler->begin == imap_cmd_logout;
	outq_add(out, tag.n ? tag : STR("*"));
	outq_add(out, STR(" "));
	outq_add(out, buf_error(&s->reply) == 0 ? buf_str(&s->reply) : STR("OK Completed."));
	outq_add(out, STR("\r\n"));
	if (!out->failed)
		s->whole = outq_mark(out);
	end_command(s);
	s->left = logout;
	if (logout)
		close_session(s);
	else if (s->bad_commands >= s->settings->max_bad_commands)
		close_with(s, STR("Too many bad commands."));
	else
		enter_state(s, SESSION_READY);
}

static void begin_finish(struct imap_session *s)
{
	enter_state(s, SESSION_FINISHING);
	finish(s);
}

/* What a handler's begin or step returned. */
static void take_step(struct imap_session *s, enum imap_step step)
{
	switch (step) {
	case IMAP_STEP_DONE:
		begin_finish(s);
		return;
	case IMAP_STEP_AGAIN:
		s->world->want_resume(s->owner, SESSION_RESUME_SOON);
		return;
	case IMAP_STEP_OUTPUT:
		s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
		return;
	case IMAP_STEP_WRITABLE:
		s->world->want_resume(s->owner, SESSION_RESUME_WRITABLE);
		return;
	case IMAP_STEP_PLACE:
		s->world->want_resume(s->owner, SESSION_RESUME_PLACE);
		return;
	case IMAP_STEP_DURABLE:
		s->world->want_resume(s->owner, SESSION_RESUME_DURABLE);
		return;
	case IMAP_STEP_FETCHING:
		return;
	case IMAP_STEP_IDLE:
		enter_state(s, SESSION_IDLING);
		return;
	}
}

/* In GATE: begins when the store is writable. */
static void try_gate(struct imap_session *s)
{
	if (!store_writable(account_store(s->account))) {
		s->world->want_resume(s->owner, SESSION_RESUME_WRITABLE);
		return;
	}
	enter_state(s, SESSION_RUNNING);
	take_step(s, s->handler->begin(s));
}

static void begin_command(struct imap_session *s)
{
	if (s->handler->kind == IMAP_ASK) {
		enter_state(s, SESSION_GATE);
		try_gate(s);
		return;
	}
	enter_state(s, SESSION_RUNNING);
	take_step(s, s->handler->begin(s));
}

/* Answers without a handler: nothing is told but the reply. */
static void refuse(struct imap_session *s, const char *text)
{
	s->handler = NULL;
	imap_bad(s, text);
	begin_finish(s);
}

static bool is_in_state(struct imap_session *s)
{
	unsigned states = imap_command_states(s->reader.command.kind);
	if (!(states & IMAP_STATE_LOGGED_IN))
		refuse(s, "You are logged in already.");
	else if (s->selected.mailbox && !(states & IMAP_STATE_SELECTED))
		refuse(s, "Not while a mailbox is selected.");
	else if (!s->selected.mailbox && !(states & IMAP_STATE_AUTHENTICATED))
		refuse(s, "Select a mailbox first.");
	else
		return true;
	return false;
}

static void count_command(const struct imap_session *s, enum imap_command_kind kind)
{
	if (s->settings->commands)
		s->settings->commands[kind]++;
}

static void take_command(struct imap_session *s)
{
	if (!is_in_state(s))
		return;
	s->handler = imap_handler_of(s->reader.command.kind);
	s->doing = imap_command_name(s->reader.command.kind);
	count_command(s, s->reader.command.kind);
	if (!s->handler)
		refuse(s, "That is not possible here.");
	else
		begin_command(s);
}

/* --- input --- */

static void take_append(struct imap_session *s)
{
	if (s->state == SESSION_READY) {
		s->handler = imap_handler_of(IMAP_COMMAND_APPEND);
		s->doing = imap_command_name(IMAP_COMMAND_APPEND);
		count_command(s, IMAP_COMMAND_APPEND);
		enter_state(s, SESSION_APPENDING);
	}
	if (!imap_append_message(s)) {
		imap_reader_refuse(&s->reader);
		begin_finish(s);
	} else if (s->reader.command.append.message.synchronising) {
		outq_add(imap_output(s), STR("+ OK\r\n"));
	}
}

static void take_data(struct imap_session *s)
{
	if (s->state == SESSION_APPENDING && !imap_append_data(s, s->reader.data)) {
		imap_reader_refuse(&s->reader);
		begin_finish(s);
	}
}

/* A command that could not be read. The tag is the one that the reader could make out. */
static void take_error(struct imap_session *s)
{
	const struct imap_error *error = &s->reader.error;
	if (s->state == SESSION_IDLING) {
		imap_idle_line(s, STR(""));
		begin_finish(s);
		return;
	}
	struct buf text = BUF_INIT(512);
	imap_error_print(error, &text);
	buf_add_byte(&text, '\0');
	const char *sentence = buf_error(&text) == 0 ? text.p : error->message;
	s->reader.command.tag = error->tag;
	if (s->state == SESSION_READY)
		s->handler = NULL;
	switch (error->answer) {
	case IMAP_ANSWER_BAD:
		imap_bad(s, sentence);
		break;
	case IMAP_ANSWER_NO:
		imap_no(s, "CANNOT", sentence);
		break;
	case IMAP_ANSWER_TOO_BIG:
		imap_no(s, "TOOBIG", sentence);
		s->bad_commands++;
		break;
	}
	buf_free(&text);
	begin_finish(s);
}

static void take_event(struct imap_session *s, enum imap_read event)
{
	switch (event) {
	case IMAP_READ_CONTINUE:
		outq_add(imap_output(s), STR("+ OK\r\n"));
		break;
	case IMAP_READ_COMMAND:
		take_command(s);
		break;
	case IMAP_READ_APPEND:
		take_append(s);
		break;
	case IMAP_READ_DATA:
		take_data(s);
		break;
	case IMAP_READ_APPEND_END:
		if (s->state == SESSION_APPENDING) {
			enter_state(s, SESSION_GATE);
			try_gate(s);
		}
		break;
	case IMAP_READ_LINE:
		imap_idle_line(s, s->reader.line);
		begin_finish(s);
		break;
	case IMAP_READ_BAD:
		take_error(s);
		break;
	case IMAP_READ_CLOSE:
		close_with(s, STR("That command is far too long."));
		break;
	case IMAP_READ_MORE:
		break;
	}
}

/* The end of each call from outside. */
static void settle(struct imap_session *s)
{
	if (s->state != SESSION_CLOSED && imap_output(s)->failed) {
		log_warning("imap-output-full", LOG_ID(s->id));
		outq_back(imap_output(s), &s->whole);
		close_with(s, STR("The answer is too large."));
	}
	if (s->state == SESSION_READY)
		imap_reader_release(&s->reader);
	s->world->flush(s->owner);
}

static bool accepts_input(const struct imap_session *s)
{
	return s->state == SESSION_READY || s->state == SESSION_APPENDING || s->state == SESSION_IDLING;
}

bool imap_session_wants_input(const struct imap_session *s)
{
	return accepts_input(s) && !imap_output_full(s);
}

/* What a client has sent ahead is taken when the answers have left. */
static void wait_for_output(struct imap_session *s)
{
	if (accepts_input(s) && imap_output_full(s))
		s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
}

size_t imap_session_input(struct imap_session *s, struct str bytes)
{
	struct str rest = bytes;
	if (is_gone(s)) {
		s->world->flush(s->owner);
		return bytes.n;
	}
	s->whole = outq_mark(imap_output(s));
	uint64_t end = s->world->microseconds(s->owner) + IMAP_SLICE_MICROSECONDS;
	bool over = false;
	while (imap_session_wants_input(s) && !over) {
		enum imap_read event = imap_reader_next(&s->reader, &rest);
		if (event == IMAP_READ_MORE)
			break;
		take_event(s, event);
		over = s->world->microseconds(s->owner) > end;
	}
	if (rest.n && imap_session_wants_input(s))
		s->world->want_resume(s->owner, SESSION_RESUME_SOON); /* the slice is over */
	wait_for_output(s);
	settle(s);
	if (s->state != SESSION_CLOSED)
		return bytes.n - rest.n;
	s->left = s->left && rest.n == 0;
	return bytes.n;
}

bool imap_session_left(const struct imap_session *s)
{
	return s->left;
}

void imap_session_resume(struct imap_session *s)
{
	if (is_gone(s)) {
		s->world->flush(s->owner);
		return;
	}
	s->whole = outq_mark(imap_output(s));
	switch (s->state) {
	case SESSION_GATE:
		try_gate(s);
		break;
	case SESSION_RUNNING:
		if (imap_output_full(s))
			s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
		else
			take_step(s, s->handler->step(s));
		break;
	case SESSION_FINISHING:
		finish(s);
		break;
	case SESSION_IDLING:
		if (s->selected.mailbox && imap_tell_notices(s, true) == IMAP_STEP_OUTPUT)
			s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
		break;
	case SESSION_READY:
	case SESSION_APPENDING:
	case SESSION_CLOSED:
		break;
	}
	wait_for_output(s);
	settle(s);
}

bool imap_session_is_idling(const struct imap_session *s)
{
	return s->state == SESSION_IDLING;
}

struct str imap_session_doing(const struct imap_session *s)
{
	return s->doing;
}

struct str imap_session_mailbox(const struct imap_session *s)
{
	return s->selected.mailbox ? mailbox_facts(s->selected.mailbox)->name : STR("");
}

static size_t set_memory(const struct set *set)
{
	return set->size * sizeof *set->ranges;
}

size_t imap_session_memory(const struct imap_session *s)
{
	const struct selected *selected = &s->selected;
	return sizeof *s + s->reader.text.size + s->reader.raw.size + s->reader.arena.used + s->reply.size +
	       (s->idle_tag ? strlen(s->idle_tag) + 1 : 0) + set_memory(&selected->known.uids) +
	       set_memory(&selected->gone) + set_memory(&selected->flagged) + set_memory(&selected->recent) + set_memory(&selected->saved);
}

void imap_session_bye(struct imap_session *s, struct str text)
{
	if (s->state == SESSION_CLOSED)
		return;
	close_with(s, text);
	s->world->flush(s->owner);
}
