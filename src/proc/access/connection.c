/* connection.c: one client until its login, and afterwards, when it came by TLS, its relay. Owned by the role's
 * list; freed when its stream has closed, when it was handed over in the clear, or with the role.
 *
 *   accept ─▶ HANDSHAKE (imaps, pop3s) ─▶ LOGIN ── right password ──▶ HANDING ── replies have left ──▶ shard
 *        └──────────────────────────────▶   │                                │                  (plain: freed here)
 *                                           │                                └─ TLS ─▶ RELAYED
 *                                           └── QUIT, limits, time-out, stop ──▶ CLOSING ── stream closed ──▶ freed
 *
 * Reading stops while the engine waits for auth, and for good at a completed login: what the client sent behind it
 * goes along with the hand-over (plain), or through the relay. After every call into the engine settle() does what
 * follows from its new state; it may free the connection. */
#include "proc/access/private.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "loop/stream.h"
#include "loop/timeout.h"
#include "proc/access/relay.h"
#include "proc/who.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MAX 16384

enum connection_state {
	CONNECTION_HANDSHAKE,
	CONNECTION_LOGIN,
	CONNECTION_HANDING,
	CONNECTION_RELAYED,
	CONNECTION_CLOSING,
};

struct connection {
	struct connection *next, **at; /* the role's list */
	struct access_role *role;
	const struct login_engine *engine;
	void *login; /* the engine's; NULL in HANDSHAKE and after the hand-over */
	struct stream *stream;
	struct relay *relay;
	struct peer_address peer;
	uint64_t id;
	uint64_t accepted_ms, asked_ms;
	struct loop_timeout deadline; /* of the login */
	struct loop_timeout delay;    /* of the answer to a failed login */
	uint64_t call;                /* to auth; 0: none */
	char *user;                   /* of the last attempt, for the log */
	struct buf ticket;
	char *tag;                    /* of the completed login */
	uint16_t shard;
	int relay_ends[2];            /* of a relay to be: ours and the shard's; -1: none */
	enum connection_state state;
	bool tls;
	bool unavailable_logged;
	bool unanswerable;            /* the question could not be sent to auth */
	bool handed;                  /* it is the shard's, and counts in role->handed */
};

/* --- life --- */

static void forget_login(struct connection *c)
{
	struct loop *loop = c->role->process->loop;
	if (c->login)
		c->engine->free(&c->login);
	ipc_call_cancel(c->role->calls, c->call);
	c->call = 0;
	loop_timeout_set(loop, &c->deadline, 0);
	loop_timeout_set(loop, &c->delay, 0);
	buf_free(&c->ticket);
	mem_free(c->tag);
	mem_free(c->user);
	c->tag = c->user = NULL;
}

static void close_relay_ends(struct connection *c)
{
	for (size_t i = 0; i < COUNT_OF(c->relay_ends); i++) {
		if (c->relay_ends[i] >= 0)
			close(c->relay_ends[i]);
		c->relay_ends[i] = -1;
	}
}

static void connection_free(struct connection *c)
{
	struct access_role *role = c->role;
	if (c->relay)
		role->n_relays--;
	if (!c->handed) {
		log_at(c->relay ? LOG_INFO : LOG_DEBUG, "disconnect", LOG_ID(c->id), LOG_C("peer", c->peer.text),
		       LOG_U("milliseconds", loop_now_ms(role->process->loop) - c->accepted_ms));
		address_count_give(role->addresses, c->peer.text);
		access_ticket_unused(role, buf_str(&c->ticket));
	}
	forget_login(c);
	close_relay_ends(c);
	relay_free(&c->relay);
	stream_free(&c->stream);
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	role->n_connections--;
	mem_free(c);
	if (role->stopping && role->n_connections == 0)
		role_stopped(role->process);
}

/* --- the hand-over --- */

/* Encodes the hand-over and sends it with the descriptor: *fd is -1 when that worked. */
static int send_handover(struct connection *c, struct str unread, int *fd)
{
	struct access_role *role = c->role;
	struct handover handover = {
		.session = c->id,
		.protocol = c->engine->protocol,
		.tls = c->tls,
		.ticket = buf_str(&c->ticket),
		.tag = str_from_c(c->tag),
		.peer = str_from_c(c->peer.text),
		.unread = unread,
	};
	if (c->tls) {
		handover.tls_version = stream_tls_version(c->stream);
		handover.tls_cipher = stream_tls_cipher(c->stream);
	}
	buf_clear(&role->scratch);
	handover_encode(&handover, &role->scratch);
	return peers_pass(role->peers, PEER_SHARD(c->shard), ACCESS_SHARD_HANDOVER, &role->scratch, fd);
}

/* Done before the engine is told that the login is right: without descriptors it can still say that it is not now. */
static int open_relay_ends(struct connection *c)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, c->relay_ends) == 0)
		return 0;
	int err = err_from_errno(errno);
	c->relay_ends[0] = c->relay_ends[1] = -1;
	return err;
}

static int begin_relay(struct connection *c)
{
	int err = send_handover(c, STR(""), &c->relay_ends[1]);
	if (err < 0)
		return err;
	forget_login(c);
	c->state = CONNECTION_RELAYED;
	c->relay = relay_new(c->role->process->loop, c->stream, c->relay_ends[0]);
	c->relay_ends[0] = -1;
	c->role->n_relays++;
	return 0;
}

/* Frees the connection when it works. */
static int pass_descriptor(struct connection *c)
{
	struct buf unread = BUF_INIT(HANDOVER_UNREAD_MAX);
	int fd = -1;
	int err = stream_detach(&c->stream, &fd, &unread);
	if (err == 0)
		err = send_handover(c, buf_str(&unread), &fd);
	if (fd >= 0)
		close(fd);
	buf_free(&unread);
	if (err < 0)
		return err;
	handed_add(c->role->handed, c->id, PEER_SHARD(c->shard), c->peer.text);
	c->handed = true;
	connection_free(c);
	return 0;
}

/* May free the connection. */
static void try_hand_over(struct connection *c)
{
	if (!c->tls && !outq_empty(stream_output(c->stream))) {
		stream_flush(c->stream); /* drained comes */
		return;
	}
	int err = c->tls ? begin_relay(c) : pass_descriptor(c);
	if (err < 0) {
		/* The engine is through, and the shard, which would answer, has nothing: only closing is left. */
		log_warning("hand-over-failed", LOG_ID(c->id), LOG_U("shard", c->shard), LOG_ERR(err));
		connection_free(c);
	}
}

/* --- what follows from the engine's state --- */

/* May free the connection. */
static void settle(struct connection *c)
{
	if (c->unanswerable) {
		c->unanswerable = false;
		c->engine->answer(c->login, LOGIN_VERDICT_UNAVAILABLE);
	}
	switch (c->state) {
	case CONNECTION_HANDSHAKE:
	case CONNECTION_RELAYED:
		return;
	case CONNECTION_LOGIN:
		stream_pause(c->stream, !c->engine->wants_input(c->login));
		stream_flush(c->stream);
		return;
	case CONNECTION_HANDING:
		try_hand_over(c);
		return;
	case CONNECTION_CLOSING:
		if (c->role->stopping)
			stream_finish_soon(c->stream, STOP_LINGER_MS);
		else
			stream_finish(c->stream, LINGER_MS);
		return;
	}
}

/* --- what the engine asks --- */

struct outq *access_output(void *owner)
{
	struct connection *c = owner;
	return stream_output(c->stream);
}

void access_close(void *owner)
{
	struct connection *c = owner;
	c->state = CONNECTION_CLOSING;
}

void access_start_timer(void *owner, uint64_t milliseconds)
{
	struct connection *c = owner;
	loop_timeout_set(c->role->process->loop, &c->delay, MAX(milliseconds, UINT64_C(1)));
}

static void on_delay_over(void *owner)
{
	struct connection *c = owner;
	c->engine->timer(c->login);
	settle(c);
}

static void on_deadline(void *owner)
{
	struct connection *c = owner;
	if (c->state == CONNECTION_LOGIN) {
		c->engine->bye(c->login, STR("No login came in time."));
		settle(c);
	} else {
		connection_free(c);
	}
}

static void log_login(struct connection *c, const char *result)
{
	log_info("login", LOG_ID(c->id), LOG_C("result", result), LOG_S("protocol", c->engine->name),
	         LOG_C("user", c->user), LOG_C("peer", c->peer.text),
	         LOG_S("tls", c->tls ? stream_tls_version(c->stream) : STR("no")),
	         LOG_U("milliseconds", loop_now_ms(c->role->process->loop) - c->asked_ms));
}

/* Told once for each connection: who is put off tries again. */
static enum login_verdict be_unavailable(struct connection *c, const char *why)
{
	if (!c->unavailable_logged)
		log_login(c, why);
	c->unavailable_logged = true;
	return LOGIN_VERDICT_UNAVAILABLE;
}

static enum login_verdict take_answer(struct connection *c, int result, const struct login_reply *reply)
{
	const struct access_role *role = c->role;
	if (result < 0)
		return be_unavailable(c, result == ERR_TIMEOUT ? "no-answer" : "auth-away");
	switch (reply->result) {
	case LOGIN_OK:
		if (!peers_channel(role->peers, PEER_SHARD(reply->shard))) {
			access_ticket_unused(c->role, reply->ticket);
			return be_unavailable(c, "shard-away");
		}
		if (c->tls && open_relay_ends(c) < 0) {
			access_ticket_unused(c->role, reply->ticket);
			return be_unavailable(c, "no-descriptors");
		}
		c->shard = reply->shard;
		buf_add(&c->ticket, reply->ticket);
		log_login(c, "ok");
		return LOGIN_VERDICT_OK;
	case LOGIN_DENIED:
		log_login(c, "denied");
		return LOGIN_VERDICT_DENIED;
	case LOGIN_TOO_SOON:
		log_login(c, "too-soon");
		return LOGIN_VERDICT_TOO_SOON;
	case LOGIN_PUT_OFF:
		return be_unavailable(c, "put-off");
	case LOGIN_UNAVAILABLE:
	case LOGIN_RESULT_COUNT:
		break;
	}
	return be_unavailable(c, "unavailable");
}

static void on_answer(void *owner, int result, const void *message)
{
	struct connection *c = owner;
	const struct login_reply *reply = message;
	c->call = 0;
	if (c->state != CONNECTION_LOGIN) {
		if (result == 0)
			access_ticket_unused(c->role, reply->ticket);
		return;
	}
	enum login_verdict verdict = take_answer(c, result, reply);
	c->role->count[c->engine->protocol].logins += verdict == LOGIN_VERDICT_OK;
	c->role->count[c->engine->protocol].failures += verdict == LOGIN_VERDICT_DENIED;
	c->engine->answer(c->login, verdict);
	settle(c);
}

void access_authenticate(void *owner, struct str user, struct str password)
{
	struct connection *c = owner;
	struct access_role *role = c->role;
	struct login_request request = {
		.session = c->id, .right = c->engine->right, .tls = c->tls, .user = user, .password = password,
		.peer = str_from_c(c->peer.text),
	};
	mem_free(c->user);
	c->user = mem_copy(user);
	c->asked_ms = loop_now_ms(role->process->loop);
	uint64_t patience_ms = LOGIN_ANSWER_MS + role->process->conf.login.failure_delay_max_ms;
	int err = ipc_call_begin(role->calls, PEER_AUTH, patience_ms, on_answer, c, &c->call);
	if (err == 0) {
		request.request = c->call;
		buf_clear(&role->scratch);
		login_request_encode(&request, &role->scratch);
		err = peers_send(role->peers, PEER_AUTH, ACCESS_AUTH_LOGIN, &role->scratch);
		if (role->scratch.n)
			mem_wipe(role->scratch.p, role->scratch.n);
	}
	if (err < 0) {
		(void)be_unavailable(c, "auth-away");
		ipc_call_cancel(role->calls, c->call);
		c->call = 0;
		c->unanswerable = true;
	}
}

void access_hand_over(void *owner, struct str tag)
{
	struct connection *c = owner;
	c->tag = mem_copy(tag);
	c->state = CONNECTION_HANDING;
}

/* --- TLS --- */

static void start_engine(struct connection *c)
{
	const struct role_process *process = c->role->process;
	enum conf_plain_login allowed = process->conf.login.allow_plain_without_tls;
	struct login_facts facts = {
		.session = c->id,
		.tls = c->tls,
		.can_start_tls = process->tls != NULL,
		.plain_allowed = allowed == CONF_PLAIN_ALWAYS || (allowed == CONF_PLAIN_LOOPBACK && c->peer.loopback),
	};
	c->state = CONNECTION_LOGIN;
	c->login = c->engine->start(c, &c->role->settings, &facts);
}

static void on_tls_done(void *owner)
{
	struct connection *c = owner;
	c->tls = true;
	stream_set_timeout(c->stream, 0);
	if (c->state == CONNECTION_HANDSHAKE)
		start_engine(c);
	else if (c->state == CONNECTION_LOGIN)
		c->engine->tls_started(c->login);
	settle(c);
}

/* False: there is no certificate any more. */
static bool begin_handshake(struct connection *c)
{
	struct role_process *process = c->role->process;
	if (!process->tls || stream_start_tls(c->stream, process->tls, on_tls_done) < 0)
		return false;
	stream_set_timeout(c->stream, process->conf.tls.handshake_timeout_ms);
	return true;
}

void access_start_tls(void *owner)
{
	struct connection *c = owner;
	if (!begin_handshake(c))
		c->state = CONNECTION_CLOSING;
}

/* A SIGHUP may have taken it away. */
bool access_has_certificate(void *owner)
{
	const struct connection *c = owner;
	return c->role->process->tls != NULL;
}

/* --- the client's stream --- */

static size_t on_input(void *owner, struct str bytes)
{
	struct connection *c = owner;
	size_t taken;
	switch (c->state) {
	case CONNECTION_LOGIN:
		taken = c->engine->input(c->login, bytes);
		settle(c);
		return taken;
	case CONNECTION_RELAYED:
		return relay_client_input(c->relay, bytes);
	case CONNECTION_HANDSHAKE:
	case CONNECTION_HANDING:
		return 0;
	case CONNECTION_CLOSING:
		break;
	}
	return bytes.n;
}

static void on_drained(void *owner)
{
	struct connection *c = owner;
	if (c->state == CONNECTION_RELAYED)
		relay_client_drained(c->relay);
	else if (c->state == CONNECTION_HANDING)
		try_hand_over(c);
}

static void on_ended(void *owner)
{
	struct connection *c = owner;
	if (c->state == CONNECTION_RELAYED)
		relay_client_ended(c->relay);
	else
		connection_free(c);
}

static void on_closed(void *owner, int err)
{
	struct connection *c = owner;
	if (err < 0)
		log_debug("connection-broken", LOG_ID(c->id), LOG_ERR(err));
	connection_free(c);
}

/* --- from the listener --- */

static const struct login_engine *engine_of(enum service service)
{
	return service == SERVICE_POP3 || service == SERVICE_POP3S ? &pop3_login_engine : &imap_login_engine;
}

static bool is_tls_service(enum service service)
{
	return service == SERVICE_IMAPS || service == SERVICE_POP3S;
}

static void refuse(struct access_role *role, enum service service, int fd, const struct peer_address *peer)
{
	struct str text = engine_of(service)->refusal;
	role->n_refused++;
	log_info("connection-refused", LOG_S("service", service_name(service)), LOG_C("peer", peer->text));
	if (!is_tls_service(service))
		(void)!send(fd, text.p, text.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static struct connection *connection_new(struct access_role *role, enum service service, int fd,
                                         const struct peer_address *peer)
{
	static const struct stream_events events = {
		.input = on_input, .drained = on_drained, .closed = on_closed, .ended = on_ended,
	};
	const struct conf *conf = &role->process->conf;
	struct loop *loop = role->process->loop;
	struct connection *c = mem_alloc(1, sizeof *c);
	c->role = role;
	c->engine = engine_of(service);
	c->peer = *peer;
	c->id = random_u64();
	c->accepted_ms = loop_now_ms(loop);
	c->relay_ends[0] = c->relay_ends[1] = -1;
	c->ticket = BUF_INIT(TICKET_SIZE_MAX);
	c->deadline = (struct loop_timeout){ .fire = on_deadline, .owner = c };
	c->delay = (struct loop_timeout){ .fire = on_delay_over, .owner = c };
	c->next = role->connections;
	c->at = &role->connections;
	if (c->next)
		c->next->at = &c->next;
	role->connections = c;
	role->n_connections++;
	role->n_accepted++;
	role->accepted[service]++;
	c->stream = stream_new(loop, fd, (struct stream_limits){ INPUT_MAX, RELAY_OUTPUT_MAX }, &events, c);
	bool imap = c->engine->protocol == HANDOVER_IMAP;
	stream_set_write_timeout(c->stream, imap ? conf->imap.write_timeout_ms : conf->pop3.write_timeout_ms);
	loop_timeout_set(loop, &c->deadline, conf->login.timeout_ms);
	return c;
}

void access_connection_accept(struct access_role *role, enum service service, int fd, const struct peer_address *peer)
{
	uint32_t per_address = (uint32_t)role->process->conf.login.max_connections_per_address;
	if (role->stopping || !address_count_take(role->addresses, peer->text, per_address)) {
		refuse(role, service, fd, peer);
		return;
	}
	struct connection *c = connection_new(role, service, fd, peer);
	log_debug("connect", LOG_ID(c->id), LOG_S("service", service_name(service)), LOG_C("peer", peer->text),
	          LOG_U("port", peer->port));
	if (!is_tls_service(service)) {
		start_engine(c);
		settle(c);
	} else if (!begin_handshake(c)) {
		log_warning("no-certificate", LOG_ID(c->id), LOG_S("service", service_name(service)));
		connection_free(c);
	}
}

/* --- who is there --- */

static void *who_next(void *owner, void *at)
{
	struct access_role *role = owner;
	struct connection *c = at ? ((struct connection *)at)->next : role->connections;
	while (c && c->state != CONNECTION_HANDSHAKE && c->state != CONNECTION_LOGIN)
		c = c->next;
	return c;
}

static uint64_t who_id(const void *connection)
{
	return ((const struct connection *)connection)->id;
}

static void who_describe(void *owner, void *connection, struct who *out)
{
	const struct access_role *role = owner;
	const struct connection *c = connection;
	*out = (struct who){
		.session = c->id,
		.protocol = c->engine->name,
		.peer = str_from_c(c->peer.text),
		.tls = c->tls ? stream_tls_version(c->stream) : STR(""),
		.age_ms = loop_now_ms(role->process->loop) - c->accepted_ms,
		.idle_ms = stream_idle_ms(c->stream),
	};
}

static void who_kick(void *owner, void *connection)
{
	struct connection *c = connection;
	if (c->state == CONNECTION_LOGIN) {
		c->engine->bye(c->login, STR("Closed by the operator."));
		settle(c);
	} else {
		connection_free(c);
	}
}

void access_control(struct role_process *process, uint64_t number, struct str body)
{
	static const struct who_source source = { .next = who_next, .id = who_id, .describe = who_describe, .kick = who_kick };
	who_command(process, &source, process->state, number, body);
}

/* --- the end --- */

static void on_stop_over(void *owner)
{
	struct access_role *role = owner;
	for (struct connection *c = role->connections, *next; c; c = next) {
		next = c->next;
		connection_free(c);
	}
}

void access_connections_stop(struct access_role *role)
{
	role->stopping = true;
	if (role->n_connections == 0) {
		role_stopped(role->process);
		return;
	}
	role->stop_timer = loop_timer_new(role->process->loop, on_stop_over, role);
	loop_timer_start(role->stop_timer, STOP_RELAYS_MS);
	for (struct connection *c = role->connections, *next; c; c = next) {
		next = c->next;
		if (c->state == CONNECTION_LOGIN) {
			c->engine->bye(c->login, STR("The server is stopping."));
			settle(c);
		} else if (c->state != CONNECTION_RELAYED) {
			connection_free(c);
		}
	}
}

void access_connections_free(struct access_role *role)
{
	role->stopping = false; /* nobody waits for the last one */
	while (role->connections)
		connection_free(role->connections);
	loop_timer_free(&role->stop_timer);
}
