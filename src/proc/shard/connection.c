/* connection.c: a logged-in client: its socket, its session engine, and the rule that nothing leaves that is not
 * durable. Begins with a hand-over from access, ends when the client goes, the session says so, or a batch it saw
 * was voided. Owned by the shard.
 *
 * While output is held, the engine runs on only as long as what it may write goes into the same batch: else a busy
 * account would push the release ahead of itself for ever. */
#include "proc/shard/shard.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/access_shard.h"
#include "ipc/auth_shard.h"
#include "loop/cold_read.h"
#include "loop/turns.h"
#include "proc/who.h"

#define WISH(reason) (1u << (reason))

struct connection {
	struct shard *shard;
	struct connection *next, **link;
	struct connection *held_next, **held_link; /* in shard->held while output waits */
	struct connection *waiting_next, **waiting_link; /* in shard->waiting while it wishes for a writable store; or in
	                                                  * shard->receipts.waiting */
	uint64_t session;
	uint64_t login; /* the ticket's: 0, or an app password */
	uint64_t hold_batch;
	uint64_t receipt_at_ms, receipt_wait_ms; /* when it is asked what has arrived, so long after the last time */
	uint64_t durable_end; /* of the output, counted from the beginning: what stands before it may leave */
	struct account *account;
	struct stream *stream;
	const struct engine *engine;
	void *state; /* the engine's */
	struct buf kept; /* what came with the hand-over and was not taken yet */
	struct loop_later later;
	uint64_t began_ms;
	uint16_t access;
	bool relayed;   /* by access, which sees the end itself */
	uint8_t wishes; /* WISH of each enum session_resume that has not come true yet */
	struct cold_read *fetching; /* for the engine, which is resumed then */
	int fetched_fd; /* whose range from fetched_at on was fetched up to fetched_to: a file system that cannot tell must not */
	uint64_t fetched_at, fetched_to; /* have it fetched for ever */
	bool due;       /* a wish has come true: resume */
	bool doomed;    /* its batch is void: it ends at the end of the turn, and nothing that waits leaves, */
	bool spared;    /* but not before what it is held for is durable: an earlier batch */
	bool part_done; /* slices of the command that runs are durable */
	bool closing;
	bool lost;      /* its stream has closed; it lives until what it has begun to write is written */
	bool sent_away; /* by others: what waits for it has a short time to leave */
	char who[]; /* for `mansio who`: account, address and TLS version, each followed by a NUL */
};

struct shard *connection_shard(struct connection *connection)
{
	return connection->shard;
}

/* --- end --- */

static void unlink_held(struct connection *c)
{
	if (!c->held_link)
		return;
	*c->held_link = c->held_next;
	if (c->held_next)
		c->held_next->held_link = c->held_link;
	c->held_next = NULL;
	c->held_link = NULL;
	c->shard->n_held--;
}

/* Idle sessions are many; those that wait for the gate, which opens with every batch, are few. */
static void link_waiting(struct connection *c, struct connection **list)
{
	if (c->waiting_link)
		return;
	c->waiting_next = *list;
	c->waiting_link = list;
	if (c->waiting_next)
		c->waiting_next->waiting_link = &c->waiting_next;
	*list = c;
}

static void unlink_waiting(struct connection *c)
{
	if (!c->waiting_link)
		return;
	*c->waiting_link = c->waiting_next;
	if (c->waiting_next)
		c->waiting_next->waiting_link = c->waiting_link;
	c->waiting_next = NULL;
	c->waiting_link = NULL;
}

static void tell_closed(struct peer *peer)
{
	for (uint32_t i = 0; i < peer->n_closed; i++) {
		char room[16];
		struct buf body = { .p = room, .size = sizeof room, .max = sizeof room };
		session_closed_encode(&(struct session_closed){ peer->closed[i] }, &body);
		/* A channel that is gone or full: access has lost count of this connection with its own end, or learns it at its
		 * restart. */
		if (peer->channel && ipc_send(peer->channel, SHARD_ACCESS_CLOSED, buf_str(&body), -1) < 0)
			log_warning("close-not-told", LOG_ID(peer->closed[i]));
	}
	peer->n_closed = 0;
}

void connections_tell_closed(void *owner)
{
	struct shard *shard = owner;
	for (size_t i = 0; i < PEERS_MAX; i++)
		tell_closed(&shard->access[i]);
	shard->telling = false;
}

/* Access only counts them, so it is woken for several at once. */
static void tell_access(struct connection *c)
{
	struct shard *shard = c->shard;
	struct peer *peer = &shard->access[c->access % PEERS_MAX];
	if (c->relayed)
		return;
	peer->closed[peer->n_closed++] = c->session;
	if (peer->n_closed == CLOSED_MAX)
		tell_closed(peer);
	if (shard->telling)
		return;
	shard->telling = true;
	loop_timer_start(shard->closed, CLOSED_WAIT_MS);
}

static void connection_free(struct connection *c)
{
	log_debug("session-end", LOG_ID(c->session));
	unlink_held(c);
	unlink_waiting(c);
	loop_later_cancel(c->shard->process->loop, &c->later);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->engine->end(c->state);
	cold_read_forget(&c->fetching);
	stream_free(&c->stream);
	tell_access(c);
	--*account_sessions(c->account);
	c->shard->count.sessions--;
	account_close(&c->account);
	buf_free(&c->kept);
	shard_turn(c->shard);
	loop_did(c->shard->process->loop, STR("end of a session"));
	mem_free(c);
}

static void do_later(struct connection *c)
{
	loop_later(c->shard->process->loop, &c->later);
}

static void resume_later(struct connection *c)
{
	c->due = true;
	do_later(c);
}

static void doom(struct connection *c)
{
	c->doomed = true;
	c->spared = false;
	stream_hold(c->stream, true);
	do_later(c);
}

/* --- the world of its engine --- */

struct outq *connection_output(void *connection)
{
	struct connection *c = connection;
	return stream_output(c->stream);
}

/* Through a relay only access sees what the client's system acknowledges. */
uint64_t connection_received(void *connection)
{
	struct connection *c = connection;
	return c->relayed ? stream_output(c->stream)->sent : stream_received(c->stream);
}

static void look_at_receipts(struct shard *shard, uint64_t at_ms)
{
	if (shard->receipts.look_at_ms && shard->receipts.look_at_ms <= at_ms)
		return;
	shard->receipts.look_at_ms = at_ms;
	loop_timer_start(shard->receipts.timer, at_ms - MIN(at_ms, loop_now_ms(shard->process->loop)));
}

/* Nobody tells when what has left is acknowledged: it is asked for again and again, at once often, then ever more seldom. */
static void wait_for_receipt(struct connection *c)
{
	struct shard *shard = c->shard;
	if (!outq_empty(stream_output(c->stream)))
		return; /* on_drained */
	link_waiting(c, &shard->receipts.waiting);
	c->receipt_wait_ms = MIN(c->receipt_wait_ms + c->receipt_wait_ms / 8 + 1, RECEIPT_WAIT_MAX_MS);
	c->receipt_at_ms = loop_now_ms(shard->process->loop) + c->receipt_wait_ms;
	look_at_receipts(shard, c->receipt_at_ms);
}

static void wake_durable(struct connection *c)
{
	if (c->wishes & WISH(SESSION_RESUME_DURABLE))
		resume_later(c);
}

static void output_is_durable(struct connection *c)
{
	const struct outq *out = stream_output(c->stream);
	c->durable_end = out->sent + out->total;
	c->part_done = c->wishes & WISH(SESSION_RESUME_DURABLE);
}

void connection_flush(void *connection)
{
	struct connection *c = connection;
	uint64_t batch = account_batch(c->account);
	shard_turn(c->shard);
	if (batch > store_durable(c->shard->store)) {
		c->hold_batch = MAX(c->hold_batch, batch);
		if (!c->held_link) {
			stream_hold(c->stream, true);
			c->held_next = c->shard->held;
			c->held_link = &c->shard->held;
			if (c->held_next)
				c->held_next->held_link = &c->held_next;
			c->shard->held = c;
			c->shard->n_held++;
		}
	}
	if (!c->held_link) {
		output_is_durable(c);
		wake_durable(c);
	}
	stream_flush(c->stream);
}

/* What is held back goes on with its release. */
static void finish(struct connection *c)
{
	if (c->held_link)
		return;
	if (c->shard->stopping)
		stream_finish_soon(c->stream, STOP_LINGER_MS);
	else if (c->sent_away)
		stream_finish_soon(c->stream, LINGER_MS);
	else
		stream_finish(c->stream, LINGER_MS);
}

void connection_close(void *connection)
{
	struct connection *c = connection;
	c->closing = true;
	/* Told now, the stream sends its end along with the last words. */
	finish(c);
	do_later(c);
}

void connection_wish(void *connection, enum session_resume wish)
{
	struct connection *c = connection;
	c->wishes |= WISH(wish);
	bool now = wish == SESSION_RESUME_SOON || (wish == SESSION_RESUME_WRITABLE && store_writable(c->shard->store));
	if (wish == SESSION_RESUME_PLACE || (wish == SESSION_RESUME_WRITABLE && !now))
		link_waiting(c, &c->shard->waiting);
	if (wish == SESSION_RESUME_RECEIVED)
		wait_for_receipt(c);
	if (now)
		resume_later(c);
}

static void on_fetched(void *owner)
{
	struct connection *c = owner;
	c->fetching = NULL;
	resume_later(c);
}

bool connection_fetch(void *connection, int fd, uint64_t offset, uint64_t n)
{
	struct connection *c = connection;
	bool again = c->fetched_fd == fd && c->fetched_at == offset;
	for (uint64_t at = again ? c->fetched_to - offset : 0; at < n && !c->fetching; at += COLD_READ_MAX) {
		uint64_t piece = MIN(n - at, (uint64_t)COLD_READ_MAX);
		if (!cold_read_needed(fd, offset + at, piece))
			continue;
		c->fetching = cold_read_begin(c->shard->process->loop, fd, offset + at, piece, on_fetched, c);
		c->fetched_fd = fd;
		c->fetched_at = offset;
		c->fetched_to = offset + at + piece;
	}
	if (!c->fetching)
		c->fetched_fd = -1; /* it is read now; next time it may be cold again */
	return c->fetching != NULL;
}

/* --- running --- */

static bool may_run(const struct connection *c)
{
	return !c->doomed && !c->closing && (!c->held_link || c->hold_batch == store_batch(c->shard->store));
}

static void did(const struct connection *c)
{
	loop_did(c->shard->process->loop, c->engine->doing(c->state));
}

/* Gives the engine what came with the hand-over. */
static void feed_kept(struct connection *c)
{
	if (c->kept.n == 0)
		return;
	buf_consume(&c->kept, c->engine->input(c->state, buf_str(&c->kept)));
	if (c->kept.n == 0)
		buf_free(&c->kept);
}

/* Is there something that the client has asked for and that is not done? */
static bool is_busy(const struct connection *c)
{
	return c->wishes || c->due || c->fetching || c->kept.n > 0 || stream_has_input(c->stream) || !may_run(c) ||
	       !c->engine->wants_input(c->state);
}

/* RFC 1939 section 6: a QUIT that has come is carried out, whether its client still listens or not. */
static bool waits_for_store(const struct connection *c)
{
	return !c->closing && !c->doomed && (c->wishes & (WISH(SESSION_RESUME_WRITABLE) | WISH(SESSION_RESUME_DURABLE)));
}

/* A client may end its side behind its last command: it goes when that is done and answered. */
static void end_if_done(struct connection *c)
{
	if (c->lost) {
		if (!waits_for_store(c))
			connection_free(c);
		return;
	}
	if (!stream_has_ended(c->stream) || c->closing || c->doomed || is_busy(c))
		return;
	if (outq_empty(stream_output(c->stream)) && !c->held_link)
		connection_free(c);
	else
		connection_close(c);
}

static size_t on_input(void *owner, struct str bytes)
{
	struct connection *c = owner;
	if (!may_run(c))
		return 0;
	shard_turn(c->shard);
	feed_kept(c);
	size_t taken = c->kept.n == 0 && may_run(c) ? c->engine->input(c->state, bytes) : 0;
	if (c->closing && taken == bytes.n && c->engine->left(c->state))
		stream_no_linger(c->stream);
	did(c);
	if (stream_has_ended(c->stream))
		do_later(c); /* once the stream knows what was taken */
	return taken;
}

/* What is durable leaves, though the socket has not taken it yet: else the client would do again what was done. In the
 * place of all else it hears that this is the end. */
static void part(struct connection *c)
{
	struct outq *out = stream_output(c->stream);
	uint64_t durable = c->durable_end - MIN(c->durable_end, out->sent);
	bool all_void = c->held_link && durable == 0 && !c->part_done;
	if (c->lost || (durable == 0 && !c->engine->last_words)) {
		connection_free(c);
		return;
	}
	outq_cut(out, durable);
	struct str words = all_void ? STR("The server could not write this: nothing of it was done, please try again.")
	                            : STR("The server could not write: what has no answer here was not done, or not all of it; "
	                                  "please try again.");
	if (c->engine->last_words)
		c->engine->last_words(out, words);
	c->doomed = false;
	c->closing = true;
	unlink_held(c);
	stream_hold(c->stream, false);
	finish(c);
}

static void on_later(void *owner)
{
	struct connection *c = owner;
	if (c->doomed) {
		if (!c->spared)
			part(c);
		return;
	}
	if (c->closing) {
		if (c->lost)
			connection_free(c);
		else
			finish(c);
		return;
	}
	if (!may_run(c))
		return; /* the release comes back here */
	shard_turn(c->shard);
	if (c->due) {
		c->due = false;
		c->wishes = 0;
		unlink_waiting(c);
		c->engine->resume(c->state);
	}
	if (may_run(c))
		feed_kept(c);
	if (may_run(c) && c->kept.n == 0 && c->engine->wants_input(c->state))
		stream_offer_again(c->stream);
	else
		did(c);
	end_if_done(c);
}

static void on_drained(void *owner)
{
	struct connection *c = owner;
	if (c->wishes & (WISH(SESSION_RESUME_OUTPUT) | WISH(SESSION_RESUME_RECEIVED)))
		resume_later(c);
}

static void on_ended(void *owner)
{
	end_if_done(owner);
}

static void on_closed(void *owner, int err)
{
	struct connection *c = owner;
	if (err < 0 && err != ERR_CLOSED)
		log_info("connection-lost", LOG_ID(c->session), LOG_ERR(err));
	c->lost = true;
	if (c->wishes & WISH(SESSION_RESUME_RECEIVED))
		resume_later(c); /* all may have arrived before */
	else if (!waits_for_store(c))
		connection_free(c);
}

/* Of a client that has ended its side, and has nothing to take, the stream hears no more. */
void connections_received(void *owner)
{
	struct shard *shard = owner;
	shard->receipts.look_at_ms = 0;
	for (struct connection *c = shard->receipts.waiting, *next; c; c = next) {
		bool all;
		next = c->waiting_next;
		if (c->receipt_at_ms > loop_now_ms(shard->process->loop)) {
			look_at_receipts(shard, c->receipt_at_ms);
			continue;
		}
		unlink_waiting(c);
		if (stream_is_received(c->stream, &all) == ERR_CLOSED)
			on_closed(c, ERR_CLOSED);
		else
			resume_later(c);
	}
}

/* RFC 3501 section 5.4: the client hears why; a POP3 engine closes without a word, as RFC 1939 section 3 wants. */
static void on_idle(void *owner)
{
	struct connection *c = owner;
	if (c->doomed)
		return;
	log_info("session-idle", LOG_ID(c->session));
	c->engine->bye(c->state, STR("Autologout; idle for too long"));
}

static const struct stream_events events = {
	.input = on_input, .drained = on_drained, .closed = on_closed, .ended = on_ended, .idle = on_idle,
};

/* --- beginning --- */

static void refuse(struct shard *shard, const struct handover *handover, int fd, enum refusal_reason reason, struct str why)
{
	struct buf answer = BUF_INIT(REFUSAL_MAX);
	log_warning("session-refused", LOG_ID(handover->session), LOG_S("why", why));
	(handover->protocol == HANDOVER_IMAP ? &engine_imap : &engine_pop3)->refuse(&answer, handover->tag, reason, why);
	if (fd != IPC_FD_LOST)
		refusal_begin(shard, buf_error(&answer) == 0 ? buf_str(&answer) : STR(""), fd);
	buf_free(&answer);
	shard->count.refused++;
}

/* now: when it came (clock_wall_seconds). */
static struct str check_ticket(struct shard *shard, const struct handover *handover, int64_t now, struct ticket *ticket)
{
	uint32_t right = handover->protocol == HANDOVER_IMAP ? TICKET_IMAP : TICKET_POP3;
	if (ticket_open(handover->ticket, shard->tickets, now, ticket) < 0)
		return STR("the ticket is forged or too old");
	if (ticket->session != handover->session || ticket->shard != shard->process->setup.index ||
	    !(ticket->rights & right))
		return STR("the ticket is for something else");
	uint64_t left_seconds = (uint64_t)ticket->expires - (uint64_t)now; /* it has not expired */
	if (gone_logins_has(&shard->gone_logins, ticket->login, left_seconds, loop_now_ms(shard->process->loop)))
		return STR("this app password was removed");
	return STR("");
}

/* Goes through all connections: only where pop3.one_session asks for it. */
static bool has_pop3_session(const struct shard *shard, struct account *account)
{
	if (*account_sessions(account) == 0)
		return false;
	for (const struct connection *c = shard->connections; c; c = c->next)
		if (c->account == account && c->engine == &engine_pop3 && !c->closing && !c->doomed)
			return true;
	return false;
}

/* With room behind it for what `mansio who` tells, and no more: idle sessions are many. */
static struct connection *connection_new(const struct handover *handover, const struct ticket *ticket)
{
	struct str parts[] = { ticket->user, handover->peer, handover->tls ? handover->tls_version : STR("") };
	size_t n = 0;
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		n += parts[i].n + 1;
	struct connection *c = mem_alloc(1, sizeof *c + n);
	/* first: `who` begins in the padding that this writes */
	*c = (struct connection){ .session = handover->session, .login = ticket->login, .relayed = handover->tls,
		                  .engine = handover->protocol == HANDOVER_IMAP ? &engine_imap : &engine_pop3,
		                  .kept = BUF_INIT(HANDOVER_UNREAD_MAX) };
	char *to = c->who;
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		if (parts[i].n > 0)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n + 1;
	}
	return c;
}

/* A login that becomes no session does not count for pop3.login_delay. */
static void give_ticket_back(struct shard *shard, const struct ticket *ticket, struct str sealed)
{
	struct ipc_channel *auth = shard->auth.channel;
	if (ticket->rights != TICKET_POP3 || shard->process->conf.pop3.login_delay_ms == 0 || !auth)
		return;
	if (ipc_send(auth, SHARD_AUTH_TICKET_UNUSED, sealed, -1) < 0)
		log_warning("unused-ticket-not-told", LOG_ID(ticket->session));
}

static void begin(struct shard *shard, uint16_t access, const struct handover *handover, const struct ticket *ticket,
                  struct account *account, int fd)
{
	const struct conf *conf = &shard->process->conf;
	bool imap = handover->protocol == HANDOVER_IMAP;
	struct stream_limits limits = { .input_max = imap ? conf->imap.max_line : conf->pop3.max_line,
		                        .output_max = imap ? conf->imap.output_max : conf->pop3.output_max };
	struct connection *c = connection_new(handover, ticket);
	limits.input_max = MAX(limits.input_max, (size_t)HANDOVER_UNREAD_MAX);
	c->shard = shard;
	c->account = account;
	c->access = access;
	c->later = (struct loop_later){ .fn = on_later, .owner = c };
	c->next = shard->connections;
	c->link = &shard->connections;
	if (c->next)
		c->next->link = &c->next;
	shard->connections = c;
	c->began_ms = loop_now_ms(shard->process->loop);
	++*account_sessions(account);
	shard->count.sessions++;
	shard->count.logins++;
	log_info("session", LOG_ID(c->session), LOG_S("user", ticket->user), LOG_S("peer", handover->peer),
	         LOG_C("protocol", imap ? "imap" : "pop3"),
	         LOG_S("tls", handover->tls ? handover->tls_version : STR("no")));
	c->stream = stream_new(shard->process->loop, fd, limits, &events, c);
	stream_set_timeout(c->stream, imap ? conf->imap.idle_timeout_ms : conf->pop3.timeout_ms);
	stream_set_write_timeout(c->stream, imap ? conf->imap.write_timeout_ms : conf->pop3.write_timeout_ms);
	buf_add(&c->kept, handover->unread);
	c->state = c->engine->begin(c, account, ticket, handover->tag);
	if (c->closing)
		give_ticket_back(shard, ticket, handover->ticket);
	loop_did(shard->process->loop, STR("begin of a session"));
	do_later(c);
}

int connection_let_in(struct shard *shard, uint16_t access, struct str body, int64_t came, int *fd)
{
	struct handover handover;
	struct ticket ticket = { 0 };
	struct account *account;
	bool loaded = true;
	enum refusal_reason reason = REFUSAL_UNAVAILABLE;
	int result = handover_decode(body, &handover);
	if (result < 0 || *fd == -1 || (*fd != IPC_FD_LOST && !stream_takes(*fd)))
		return ERR_SYNTAX;
	int client = *fd;
	*fd = -1;
	struct str why = check_ticket(shard, &handover, came, &ticket);
	if (why.n == 0 && shard->stopping)
		why = STR("the server is stopping");
	if (why.n == 0 && (client == IPC_FD_LOST || shard->count.sessions + shard->n_handovers >= shard->max_sessions)) {
		reason = REFUSAL_LIMIT;
		why = STR("too many sessions");
	}
	if (why.n == 0) {
		result = account_open_step(shard->store, &ticket.account, &account, &loaded);
		if (result == ERR_NOT_FOUND)
			why = STR("the account is being made, try again");
		else if (result < 0)
			why = STR("the account cannot be read now");
	}
	if (why.n == 0 && !loaded) {
		*fd = client;
		return 0;
	}
	if (why.n == 0 && *account_sessions(account) >= shard->process->conf.imap.max_sessions_per_account) {
		account_close(&account);
		reason = REFUSAL_LIMIT;
		why = STR("too many sessions of this account");
	}
	if (why.n == 0 && handover.protocol == HANDOVER_POP3 && shard->process->conf.pop3.one_session &&
	    has_pop3_session(shard, account)) {
		account_close(&account);
		reason = REFUSAL_IN_USE;
		why = STR("another POP3 session of this account is open");
	}
	if (why.n > 0) {
		struct peer *peer = &shard->access[access % PEERS_MAX];
		char room[16];
		struct buf closed = { .p = room, .size = sizeof room, .max = sizeof room };
		give_ticket_back(shard, &ticket, handover.ticket);
		refuse(shard, &handover, client, reason, why);
		session_closed_encode(&(struct session_closed){ handover.session }, &closed);
		return ipc_send(peer->channel, SHARD_ACCESS_CLOSED, buf_str(&closed), -1);
	}
	begin(shard, access, &handover, &ticket, account, client);
	return 0;
}

/* --- what the gate says --- */

void connections_writable(struct shard *shard)
{
	while (shard->waiting) {
		struct connection *c = shard->waiting;
		unlink_waiting(c);
		resume_later(c);
	}
}

void connections_durable(struct shard *shard, uint64_t batch)
{
	for (struct connection *c = shard->held, *next; c; c = next) {
		next = c->held_next;
		if (c->hold_batch > batch || (c->doomed && !c->spared))
			continue;
		unlink_held(c);
		output_is_durable(c);
		if (c->spared) {
			doom(c);
			continue;
		}
		stream_hold(c->stream, false);
		stream_flush(c->stream);
		wake_durable(c);
		do_later(c);
	}
}

void connections_voided(struct shard *shard, uint64_t batch)
{
	for (struct connection *c = shard->held; c; c = c->held_next)
		if (c->hold_batch >= batch)
			doom(c);
	for (struct connection *c = shard->connections; c; c = c->next)
		if (account_is_gone(c->account) && !c->doomed && !c->closing) {
			doom(c);
			c->spared = c->held_link != NULL; /* for the batch that is being synced */
		}
}

bool connections_read(const struct shard *shard, int fd)
{
	for (const struct connection *c = shard->connections; c; c = c->next)
		if (outq_has_file(stream_output(c->stream), fd))
			return true;
	return false;
}

static void send_away(struct connection *c, struct str why)
{
	c->sent_away = true;
	c->engine->bye(c->state, why);
}

void connections_account_gone(struct shard *shard, struct str why)
{
	for (struct connection *c = shard->connections; c; c = c->next)
		if (account_is_gone(c->account) && !c->doomed && !c->closing)
			send_away(c, why);
}

void connections_login_gone(struct shard *shard, const struct account_id *account, uint64_t login)
{
	struct account *held;
	if (login == 0)
		return;
	gone_logins_add(&shard->gone_logins, login, loop_now_ms(shard->process->loop));
	if (account_open(shard->store, account, &held) < 0)
		return;
	for (struct connection *c = shard->connections; c; c = c->next)
		if (c->account == held && c->login == login && !c->doomed && !c->closing)
			send_away(c, STR("this app password was removed"));
	account_close(&held);
}

/* --- who is there --- */

static void *who_next(void *owner, void *at)
{
	struct shard *shard = owner;
	struct connection *c = at ? ((struct connection *)at)->next : shard->connections;
	while (c && (c->closing || c->doomed))
		c = c->next;
	return c;
}

static uint64_t who_id(const void *connection)
{
	return ((const struct connection *)connection)->session;
}

static void who_describe(void *owner, void *connection, struct who *out)
{
	const struct shard *shard = owner;
	const struct connection *c = connection;
	*out = (struct who){
		.session = c->session,
		.account = str_from_c(c->who),
		.protocol = c->engine == &engine_imap ? STR("imap") : STR("pop3"),
		.mailbox = account_is_gone(c->account) ? STR("") : c->engine->mailbox(c->state),
		.age_ms = loop_now_ms(shard->process->loop) - c->began_ms,
		.idle_ms = stream_idle_ms(c->stream),
	};
	out->peer = str_from_c(out->account.p + out->account.n + 1);
	out->tls = str_from_c(out->peer.p + out->peer.n + 1);
}

static void who_kick(void *owner, void *connection)
{
	send_away(connection, STR("Closed by the operator"));
}

bool connections_control(struct shard *shard, uint64_t number, struct str body)
{
	static const struct who_source source = { .next = who_next, .id = who_id, .describe = who_describe, .kick = who_kick };
	return who_command(shard->process, &source, shard, number, body);
}

void connections_status(const struct shard *shard, struct buf *out)
{
	uint64_t imap = 0, pop3 = 0, idling = 0, held = 0;
	for (const struct connection *c = shard->connections; c; c = c->next) {
		bool is_imap = c->engine == &engine_imap;
		imap += is_imap;
		pop3 += !is_imap;
		idling += is_imap && imap_session_is_idling(c->state);
		held += c->held_link != NULL;
	}
	role_status_add(out, STR("sessions_imap"), imap);
	role_status_add(out, STR("sessions_pop3"), pop3);
	role_status_add(out, STR("sessions_idling"), idling);
	role_status_add(out, STR("sessions_held"), held);
}

void connections_bye(struct shard *shard)
{
	for (struct connection *c = shard->connections; c; c = c->next) {
		if (c->closing)
			finish(c);
		else if (!c->doomed)
			c->engine->bye(c->state, STR("the server is stopping"));
	}
}

void connections_free(struct shard *shard)
{
	while (shard->connections)
		connection_free(shard->connections);
}
