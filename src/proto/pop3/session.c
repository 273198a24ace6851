/* session.c: the life of a session after login: its view of the mailbox, input, the short commands, and the end. Owned
 * by the shard, one for each POP3 connection; lives until its owner frees it after world.close or when the
 * connection is gone. Bad input is answered and counted. An idle session holds this struct, its uids as ranges, and
 * the entries as they were at the login, which cost next to nothing until others remove some (mailbox_past_new).
 *
 *     new ─▶ OPENING: reads the entries, in slices
 *             ▼
 *            READY ◀────────── done ──────────┐
 *             │  └── STAT, LIST, UIDL, ──▶ RUNNING       paused: world.want_resume, world.fetch
 *             │      RETR, TOP
 *             │ QUIT with something to do (update.c)
 *             └────────────▶ GATE ── what was retrieved has arrived, the store is writable: it is done ──▶ CLOSED
 *
 *     any ──▶ CLOSED: QUIT with nothing to do, too many bad commands, the account is gone, pop3_session_bye;
 *                     removes nothing
 */
#include "base/log.h"
#include "base/mem.h"
#include "proto/pop3/capability.h"
#include "proto/pop3/session_private.h"
#include "store/pop3.h"

#include <inttypes.h>

#define BIT(state) (1u << (state))

static void enter_state(struct pop3_session *s, enum session_state state)
{
	static const char *const names[] = { "opening", "ready", "running", "gate", "closed" };
	static const unsigned legal[] = {
		[SESSION_OPENING] = BIT(SESSION_READY) | BIT(SESSION_CLOSED),
		[SESSION_READY] = BIT(SESSION_RUNNING) | BIT(SESSION_GATE) | BIT(SESSION_CLOSED),
		[SESSION_RUNNING] = BIT(SESSION_READY) | BIT(SESSION_CLOSED),
		[SESSION_GATE] = BIT(SESSION_CLOSED),
		[SESSION_CLOSED] = 0,
	};
	if (!(legal[s->state] & BIT(state)))
		abort();
	log_debug("pop3-state", LOG_ID(s->id), LOG_C("from", names[s->state]), LOG_C("to", names[state]));
	s->state = state;
}

static void close_session(struct pop3_session *s)
{
	enter_state(s, SESSION_CLOSED);
	s->world->close(s->owner);
}

void pop3_reply(struct pop3_session *s, const char *text)
{
	outq_addf(pop3_output(s), "%s\r\n", text);
}

void pop3_reply_error(struct pop3_session *s, int err)
{
	log_warning("pop3-store-error", LOG_ID(s->id), LOG_C("command", pop3_verb_name(s->command.verb).p), LOG_ERR(err));
	if (err == ERR_CORRUPT || err == ERR_NOT_FOUND)
		pop3_reply(s, "-ERR [SYS/PERM] That cannot be read: it is damaged.");
	else
		pop3_reply(s, "-ERR [SYS/TEMP] That is not possible now, please try again later.");
}

/* --- the messages --- */

struct pop3_walk pop3_walk_start(const struct pop3_session *s)
{
	return (struct pop3_walk){ .number = 1, .uid = s->count ? s->uids.ranges[0].first : 0 };
}

bool pop3_walk_at_end(const struct pop3_session *s, const struct pop3_walk *walk)
{
	return walk->number > s->count;
}

void pop3_walk_next(const struct pop3_session *s, struct pop3_walk *walk)
{
	walk->number++;
	if (walk->uid < s->uids.ranges[walk->range].last)
		walk->uid++;
	else if (++walk->range < s->uids.n)
		walk->uid = s->uids.ranges[walk->range].first;
}

void pop3_walk_to(const struct pop3_session *s, struct pop3_walk *walk, uint32_t number)
{
	const struct set_range *range = &s->uids.ranges[walk->range];
	/* number of the first message of the range */
	uint32_t first = walk->number - (walk->uid - range->first);
	while (number < first) {
		range--;
		first -= range->last - range->first + 1;
	}
	while (number - first > range->last - range->first) {
		first += range->last - range->first + 1;
		range++;
	}
	*walk = (struct pop3_walk){ number, (uint32_t)(range - s->uids.ranges), range->first + (number - first) };
}

const struct entry *pop3_find_message(struct pop3_session *s)
{
	uint32_t number = s->command.number;
	if (number == 0 || number > s->count) {
		pop3_reply(s, "-ERR There is no such message.");
		return NULL;
	}
	pop3_walk_to(s, &s->found, number);
	if (!set_has(&s->deleted, s->found.uid))
		return past_find(s->past, s->found.uid);
	pop3_reply(s, "-ERR That message is marked as deleted.");
	return NULL;
}

/* --- begin and end --- */

static int take_snapshot(struct pop3_session *s)
{
	struct known known = { SET_INIT, 0 };
	struct set hidden = SET_INIT;
	bool hides = s->policy.mode == POP3_MODE_KEEP || s->policy.mode == POP3_MODE_DAYS;
	int err = hides ? pop3_hidden(s->mailbox, s->policy.login, &hidden) : 0;
	if (err == 0)
		mailbox_know_all(s->mailbox, &known);
	if (hidden.n > 0) {
		set_difference(&known.uids, &hidden, &s->uids);
		set_free(&known.uids);
	} else {
		s->uids = known.uids;
	}
	set_free(&hidden);
	s->count = (uint32_t)set_count(&s->uids);
	s->found = pop3_walk_start(s);
	s->past = mailbox_past_new(s->mailbox);
	return err;
}

/* In OPENING. */
static void open_some(struct pop3_session *s, int err)
{
	bool done = false;
	if (err == 0)
		err = mailbox_open_step(s->mailbox, &done);
	if (err == 0 && !done) {
		s->world->want_resume(s->owner, SESSION_RESUME_SOON);
		return;
	}
	if (err == 0)
		err = take_snapshot(s);
	if (err < 0) {
		if (s->mailbox)
			pop3_reply_error(s, err);
		else
			pop3_reply(s, "-ERR [SYS/PERM] The mailbox that is set for POP3 does not exist.");
		close_session(s);
		return;
	}
	enter_state(s, SESSION_READY);
	outq_addf(pop3_output(s), "+OK Logged in, %" PRIu32 " messages.\r\n", s->count);
}

static int begin_opening(struct pop3_session *s)
{
	struct mailbox *mailbox = account_mailbox(s->account, s->policy.mailbox);
	int err = mailbox ? mailbox_open_begin(mailbox) : ERR_NOT_FOUND;
	if (err == 0)
		s->mailbox = mailbox;
	return err;
}

struct pop3_session *pop3_session_new(const struct session_world *world, void *owner,
                                      const struct pop3_settings *settings, struct account *account,
                                      const struct pop3_policy *policy, bool utf8, uint64_t id)
{
	struct pop3_session *s = mem_alloc(1, sizeof *s);
	s->world = world;
	s->owner = owner;
	s->settings = settings;
	s->account = account;
	s->policy = *policy;
	s->policy.mailbox = str_of(mem_copy(policy->mailbox), policy->mailbox.n);
	s->utf8 = utf8;
	s->id = id;
	s->reader = POP3_READER_INIT(settings->max_line);
	open_some(s, begin_opening(s));
	world->flush(owner);
	return s;
}

void pop3_session_free(struct pop3_session **session)
{
	struct pop3_session *s = *session;
	if (!s)
		return;
	if (s->mailbox)
		mailbox_close(s->mailbox);
	pop3_reader_free(&s->reader);
	set_free(&s->uids);
	set_free(&s->deleted);
	set_free(&s->retrieved);
	pop3_update_free(&s->update);
	mailbox_past_free(&s->past);
	mem_free((char *)s->policy.mailbox.p);
	mem_free(s);
	*session = NULL;
}

/* --- QUIT --- */

/* QUIT came behind RETR, and what was retrieved has not arrived yet: who goes away now has not got it. Answers behind it
 * are not waited for; nor is anything where messages are only marked as read. */
static bool waits_for_client(struct pop3_session *s)
{
	const struct pop3_update *u = &s->update;
	if (u->remove.n + u->hide.n + u->later.n == 0)
		return false;
	if (s->message_end > 0 && s->world->received(s->owner) >= s->message_end)
		s->message_end = 0;
	return s->message_end > 0;
}

/* In GATE (RFC 1939, 6). Messages that others have removed already need no removing. */
static void try_update(struct pop3_session *s)
{
	bool done = false;
	if (waits_for_client(s)) {
		s->world->want_resume(s->owner, SESSION_RESUME_RECEIVED);
		return;
	}
	int err = store_writable(account_store(s->account)) ? pop3_update_step(s, &done) : ERR_UNAVAILABLE;
	if (err == ERR_UNAVAILABLE && !store_writable(account_store(s->account))) {
		s->world->want_resume(s->owner, SESSION_RESUME_WRITABLE);
		return;
	}
	if (err == 0 && !done) {
		s->world->want_resume(s->owner, SESSION_RESUME_DURABLE);
		return;
	}
	pop3_update_log(s);
	if (err < 0) {
		log_warning("pop3-update-failed", LOG_ID(s->id), LOG_ERR(err));
		pop3_reply(s, err == ERR_CORRUPT ? "-ERR [SYS/PERM] Some deleted messages not removed." :
		                                   "-ERR [SYS/TEMP] Some deleted messages not removed.");
	} else {
		pop3_reply(s, s->update.removes ? "+OK Good-bye, deleted messages are removed." : "+OK Good-bye.");
	}
	s->left = true;
	close_session(s);
}

static void run_quit(struct pop3_session *s)
{
	if (!pop3_update_begin(s)) {
		pop3_reply(s, "+OK Good-bye.");
		s->left = true;
		close_session(s);
		return;
	}
	mailbox_past_free(&s->past); /* what is removed now need not be kept for this session */
	enter_state(s, SESSION_GATE);
	try_update(s);
}

/* --- commands --- */

/* A bad command was answered; that was the last answer when there were too many. */
static void count_bad(struct pop3_session *s)
{
	if (++s->bad_commands >= s->settings->max_bad_commands)
		close_session(s);
}

static void answer_bad(struct pop3_session *s, const char *text)
{
	outq_addf(pop3_output(s), "-ERR %s\r\n", text);
	count_bad(s);
}

static void take_step(struct pop3_session *s, enum pop3_step step)
{
	switch (step) {
	case POP3_STEP_DONE:
		if (s->transfer.retrieved)
			s->message_end = pop3_output(s)->sent + pop3_output(s)->total;
		if (s->transfer.retrieved &&
		    (s->policy.mode == POP3_MODE_DELETE || s->policy.mode == POP3_MODE_DAYS || s->policy.seen))
			set_add(&s->retrieved, s->transfer.uid, s->transfer.uid);
		s->transfer.retrieved = false;
		enter_state(s, SESSION_READY);
		return;
	case POP3_STEP_AGAIN:
		s->world->want_resume(s->owner, SESSION_RESUME_SOON);
		return;
	case POP3_STEP_OUTPUT:
		s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
		return;
	case POP3_STEP_FETCHING:
		return;
	case POP3_STEP_BROKEN:
		close_session(s);
		return;
	}
}

static void say_capabilities(struct pop3_session *s)
{
	struct pop3_offer offer = {
		.password = true,
		.utf8 = s->settings->utf8,
		.expire_days = pop3_policy_expire(s->policy.mode, s->policy.days),
		.login_delay_ms = s->settings->login_delay_ms,
	};
	pop3_put_capabilities(&offer, pop3_output(s));
}

static void run_dele(struct pop3_session *s)
{
	const struct entry *entry = pop3_find_message(s);
	if (!entry)
		return;
	set_add(&s->deleted, entry->uid, entry->uid);
	s->marked++;
	s->marked_octets += pop3_entry_octets(entry);
	pop3_reply(s, "+OK Marked as deleted.");
}

static void run_command(struct pop3_session *s)
{
	if (s->settings->commands)
		s->settings->commands[s->command.verb]++;
	switch (s->command.verb) {
	case POP3_CAPA:
		say_capabilities(s);
		break;
	case POP3_DELE:
		run_dele(s);
		break;
	case POP3_LANG:
		if (!pop3_put_language(s->command.text, pop3_output(s)))
			count_bad(s);
		break;
	case POP3_NOOP:
		pop3_reply(s, "+OK Still here.");
		break;
	case POP3_RSET:
		set_clear(&s->deleted);
		s->marked = 0;
		s->marked_octets = 0;
		if (s->policy.mode == POP3_MODE_DELETE)
			set_clear(&s->retrieved); /* its RETR is DELE as well */
		pop3_reply(s, "+OK Nothing is marked as deleted.");
		break;
	case POP3_STAT:
	case POP3_LIST:
	case POP3_UIDL:
		enter_state(s, SESSION_RUNNING);
		pop3_listing_begin(s);
		take_step(s, pop3_listing_step(s));
		break;
	case POP3_RETR:
	case POP3_TOP:
		enter_state(s, SESSION_RUNNING);
		take_step(s, pop3_transfer_begin(s));
		break;
	case POP3_QUIT:
		run_quit(s);
		break;
	case POP3_UNKNOWN:
	case POP3_AUTH:
	case POP3_PASS:
	case POP3_STLS:
	case POP3_USER:
	case POP3_UTF8:
		answer_bad(s, "You are logged in already.");
		break;
	}
}

static void take_line(struct pop3_session *s, struct str line)
{
	enum pop3_flaw flaw = pop3_parse(line, &s->command);
	if (flaw == POP3_FLAW_NONE)
		run_command(s);
	else
		answer_bad(s, pop3_flaw_text(flaw));
}

/* --- input --- */

/* The account, or the mailbox, went away under the session. */
static bool is_gone(struct pop3_session *s)
{
	if (s->state == SESSION_CLOSED)
		return true;
	if (!account_is_gone(s->account) && !mailbox_is_gone(s->mailbox))
		return false;
	/* In the middle of a response a line of ours would be taken for a part of it. */
	if (s->state != SESSION_RUNNING)
		pop3_reply(s, "-ERR [SYS/TEMP] The mailbox is not available now.");
	close_session(s);
	return true;
}

/* The end of each call from outside. */
static void settle(struct pop3_session *s)
{
	if (s->state != SESSION_CLOSED && pop3_output(s)->failed) {
		log_warning("pop3-output-full", LOG_ID(s->id));
		close_session(s);
	}
	s->world->flush(s->owner);
}

bool pop3_session_wants_input(const struct pop3_session *s)
{
	return s->state == SESSION_READY && !pop3_output_full(s);
}

/* What a client has sent ahead is taken when the answers have left. */
static void wait_for_output(struct pop3_session *s)
{
	if (s->state == SESSION_READY && pop3_output_full(s))
		s->world->want_resume(s->owner, SESSION_RESUME_OUTPUT);
}

size_t pop3_session_input(struct pop3_session *s, struct str bytes)
{
	struct str rest = bytes, line;
	if (is_gone(s)) {
		s->world->flush(s->owner);
		return bytes.n;
	}
	uint64_t end = pop3_slice_end(s);
	bool over = false;
	while (pop3_session_wants_input(s) && !over) {
		int err = pop3_reader_next(&s->reader, &rest, &line);
		if (err == ERR_INCOMPLETE)
			break;
		if (err == 0)
			take_line(s, line);
		else
			answer_bad(s, "That line is too long.");
		over = pop3_slice_is_over(s, end);
	}
	if (rest.n && pop3_session_wants_input(s))
		s->world->want_resume(s->owner, SESSION_RESUME_SOON); /* the slice is over */
	wait_for_output(s);
	settle(s);
	if (s->state != SESSION_CLOSED)
		return bytes.n - rest.n;
	s->left = s->left && rest.n == 0;
	return bytes.n;
}

bool pop3_session_left(const struct pop3_session *s)
{
	return s->left;
}

void pop3_session_resume(struct pop3_session *s)
{
	if (is_gone(s)) {
		s->world->flush(s->owner);
		return;
	}
	if (s->state == SESSION_OPENING) {
		open_some(s, 0);
	} else if (s->state == SESSION_GATE) {
		try_update(s);
	} else if (s->state == SESSION_RUNNING) {
		bool transfers = s->command.verb == POP3_RETR || s->command.verb == POP3_TOP;
		take_step(s, transfers ? pop3_transfer_step(s) : pop3_listing_step(s));
	}
	wait_for_output(s);
	settle(s);
}

struct str pop3_session_doing(const struct pop3_session *s)
{
	return pop3_verb_name(s->command.verb);
}

struct str pop3_session_mailbox(const struct pop3_session *s)
{
	return s->mailbox ? mailbox_facts(s->mailbox)->name : STR("");
}

void pop3_session_bye(struct pop3_session *s, struct str text)
{
	if (s->state == SESSION_CLOSED)
		return;
	log_debug("pop3-bye", LOG_ID(s->id), LOG_S("text", text));
	close_session(s);
	s->world->flush(s->owner);
}
