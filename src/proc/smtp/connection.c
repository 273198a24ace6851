/* connection.c: one client: a stream, the session engine on top of it, the body on its way in, and what was asked of
 * auth (logins: login.c) and the shards. Owned by the role's list; freed when the stream has closed, or with the role.
 *
 * After every call into the engine settle() does what follows from its new state: flush, time-outs, close. */
#include "proc/smtp/connection.h"

#include "base/checked.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "proc/who.h"

#include <sys/socket.h>
#include <unistd.h>

/* Answers of shards that wait for ours to be written; more are confirmed before. */
#define UNENDED_MAX       (2 * SMTP_TARGETS_MAX)
/* The first look whether a client has received what was sent comes after this, each next one after twice as long. */
#define RECEIPT_WAIT_MS   5
/* A client that has so much to read first is not listened to. */
#define OUTPUT_PAUSE      (32 * 1024)

static bool is_submission(enum service service)
{
	return service == SERVICE_SUBMISSION || service == SERVICE_SUBMISSIONS;
}

static enum smtp_dialect dialect_of(enum service service)
{
	return service == SERVICE_LMTP ? SMTP_DIALECT_LMTP : SMTP_DIALECT_SMTP;
}

/* The last connection is gone: what it has left to say goes out with this turn. */
static void stopped(struct smtp_role *role)
{
	ends_due(role);
	role_stopped(role->process);
}

/* What was answered until now. */
static void end_answers(struct connection *connection, enum deliver_outcome outcome)
{
	answer_ended(connection->role, connection->unended, connection->n_unended, outcome);
	mem_free(connection->unended);
	connection->unended = NULL;
	connection->n_unended = 0;
}

static void connection_free(struct connection *connection)
{
	struct smtp_role *role = connection->role;
	log_debug("connection-closed", LOG_ID(connection->id), LOG_C("peer", connection->peer.text));
	ipc_call_cancel(role->calls[QUESTION_RESOLVE], connection->resolve_call);
	login_forget(&connection->login);
	loop_timeout_set(role->process->loop, &connection->patience, 0);
	delivery_free(&connection->delivery);
	smtp_session_free(&connection->session);
	body_free(&connection->body);
	stream_free(&connection->stream);
	end_answers(connection, DELIVER_LEFT);
	loop_timer_free(&connection->receipt);
	address_count_give(role->addresses, connection->peer.text);
	*connection->at = connection->next;
	if (connection->next)
		connection->next->at = connection->at;
	role->n_connections--;
	role->n_open[connection->service]--;
	mem_free(connection);
	if (role->stopping && role->n_connections == 0)
		stopped(role);
}

static void settle(struct connection *connection)
{
	struct smtp_role *role = connection->role;
	if (connection->receipt)
		return;
	if (connection->closing) {
		loop_timeout_set(role->process->loop, &connection->patience, 0);
		login_forget(&connection->login);
		stream_hold(connection->stream, false);
		/* Who is doubtful sees our end after the shards have heard whether he is there: he may send the same again. */
		if (connection->doubtful && !role->stopping)
			stream_flush(connection->stream);
		else if (role->stopping)
			stream_finish_soon(connection->stream, STOP_LINGER_MS);
		else
			stream_finish(connection->stream, LINGER_MS);
		return;
	}
	uint64_t patience_ms = smtp_session_patience_ms(connection->session);
	if (patience_ms != connection->patience_ms) {
		connection->patience_ms = patience_ms;
		loop_timeout_set(role->process->loop, &connection->patience, patience_ms);
	}
	stream_pause(connection->stream, stream_output(connection->stream)->held > OUTPUT_PAUSE);
	/* While the session waits for auth or a shard nothing leaves, and the client's end is not heard of: who has said
	 * all may still listen. RFC 2920 section 3.2: the answer to MAIL leaves with that to the RCPT pipelined behind it;
	 * each write that is saved is a wake-up of the client too. */
	stream_hold(connection->stream, patience_ms == 0);
	stream_flush(connection->stream);
}

void connection_go_on(struct connection *connection)
{
	settle(connection);
	if (!connection->closing)
		stream_offer_again(connection->stream);
}

/* --- what the engine asks --- */

static enum smtp_resolution resolution_of(enum resolve_result result)
{
	switch (result) {
	case RESOLVE_OK:
		return SMTP_RESOLVED;
	case RESOLVE_NOT_LOCAL:
		return SMTP_NOT_LOCAL;
	case RESOLVE_NO_SUCH_USER:
		return SMTP_NO_SUCH_USER;
	case RESOLVE_LOOP:
		return SMTP_ALIAS_LOOP;
	case RESOLVE_UNAVAILABLE:
	case RESOLVE_RESULT_COUNT:
		break;
	}
	return SMTP_RESOLVE_UNAVAILABLE;
}

static void tell_targets(struct connection *connection, enum resolve_result result, const struct resolve_target *list,
                         uint32_t n)
{
	struct smtp_target *targets = mem_alloc(n, sizeof *targets);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(targets[i].account, list[i].account.bytes, SMTP_ACCOUNT_SIZE);
		targets[i].shard = list[i].shard;
	}
	smtp_session_resolved(connection->session, resolution_of(result), targets, n);
	mem_free(targets);
}

static void on_resolved(void *owner, int result, const void *message)
{
	struct connection *connection = owner;
	const struct resolve_reply *reply = message;
	connection->resolve_call = 0;
	if (result != 0) {
		log_warning("resolve-unanswered", LOG_ID(connection->id), LOG_ERR(result));
		smtp_session_resolved(connection->session, SMTP_RESOLVE_UNAVAILABLE, NULL, 0);
	} else {
		if (reply->result == RESOLVE_OK && reply->n_targets == 1)
			known_addresses_add(connection->role->known, connection->resolving, reply->targets);
		tell_targets(connection, reply->result, reply->targets, reply->n_targets);
	}
	connection_go_on(connection);
}

static int ask_auth(struct connection *connection, struct str address, ipc_reply_fn *done)
{
	struct smtp_role *role = connection->role;
	struct ipc_calls *calls = role->calls[QUESTION_RESOLVE];
	struct resolve_request request = { .session = connection->id, .address = address };
	if (address.n > RESOLVE_ADDRESS_MAX)
		return ERR_LIMIT;
	int err = ipc_call_begin(calls, PEER_AUTH, RESOLVE_TIMEOUT_MS, done, connection, &request.request);
	if (err != 0)
		return err;
	buf_clear(&role->scratch);
	resolve_request_encode(&request, &role->scratch);
	err = peers_send(role->peers, PEER_AUTH, SMTP_AUTH_RESOLVE, &role->scratch);
	if (err != 0)
		ipc_call_cancel(calls, request.request);
	else
		connection->resolve_call = request.request;
	connection->resolving = address;
	return err;
}

/* From memory, unless auth has just said something that we have not read: it may be that all this has changed. */
static bool is_known(const struct smtp_role *role, struct str address, struct resolve_target *target)
{
	const struct ipc_channel *auth = peers_channel(role->peers, PEER_AUTH);
	return auth && known_addresses_find(role->known, address, target) && ipc_is_quiet(auth);
}

static void world_resolve(void *owner, struct str address)
{
	struct connection *connection = owner;
	struct resolve_target known;
	if (is_known(connection->role, address, &known)) {
		connection->role->n_known++;
		tell_targets(connection, RESOLVE_OK, &known, 1);
		return;
	}
	int err = ask_auth(connection, address, on_resolved);
	if (err == 0)
		return;
	log_warning("resolve-not-sent", LOG_ID(connection->id), LOG_ERR(err));
	smtp_session_resolved(connection->session, SMTP_RESOLVE_UNAVAILABLE, NULL, 0);
}

static int world_body_begin(void *owner, uint64_t size)
{
	struct connection *connection = owner;
	return body_new(&connection->role->bodies, size, &connection->body);
}

static int world_body_add(void *owner, struct str bytes)
{
	struct connection *connection = owner;
	return body_add(connection->body, bytes);
}

static void world_body_drop(void *owner)
{
	struct connection *connection = owner;
	body_free(&connection->body);
}

static void on_delivered(void *owner);

static void on_looked_up(void *owner, int result, const void *message)
{
	struct connection *connection = owner;
	const struct resolve_reply *reply = message;
	struct smtp_target *target = &connection->message->targets[connection->looked_at++];
	connection->resolve_call = 0;
	if (result == 0 && reply->result == RESOLVE_NO_SUCH_USER)
		target->result = SMTP_NO_ACCOUNT;
	if (result != 0)
		connection->looked_at = connection->message->n_targets;
	on_delivered(connection);
}

/* A shard does not know whether an account that it does not have is gone, or is about to come. Where the address may have
 * changed since its RCPT, auth is asked again: who is told that there is no such user need not come again to hear it. */
static bool looks_for_gone_accounts(struct connection *connection)
{
	const struct smtp_delivery *message = connection->message;
	for (; connection->looked_at < message->n_targets && !connection->role->stopping; connection->looked_at++) {
		const struct smtp_target *target = &message->targets[connection->looked_at];
		struct resolve_target known;
		if (target->result == SMTP_UNAVAILABLE && target->address.n > 0 &&
		    !is_known(connection->role, target->address, &known) &&
		    ask_auth(connection, target->address, on_looked_up) == 0)
			return true;
	}
	return false;
}

static void on_delivered(void *owner)
{
	struct connection *connection = owner;
	if (looks_for_gone_accounts(connection))
		return;
	smtp_session_delivered(connection->session);
	delivery_free(&connection->delivery);
	connection_go_on(connection);
}

/* Who ends his side before the answer may listen or be gone: that is seen when it was sent. Until then an identical
 * message is put off, for it may be his next try. */
static void doubt_delivery(struct connection *connection)
{
	connection->doubtful = true;
	delivery_is_doubtful(connection->delivery);
}

static void on_end_read(void *owner)
{
	struct connection *connection = owner;
	if (connection->delivery)
		doubt_delivery(connection);
	connection->doubtful |= connection->n_unended > 0;
	answer_ended(connection->role, connection->unended, connection->n_unended, DELIVER_DOUBTFUL);
}

static void world_deliver(void *owner, struct smtp_delivery *message)
{
	struct connection *connection = owner;
	struct body *body = connection->body;
	connection->body = NULL;
	connection->message = message;
	connection->looked_at = 0;
	connection->delivery = delivery_new(connection->role, connection->id, message, on_delivered, connection);
	connection->role->n_bytes += body_length(body);
	int err = body_finish(body);
	if (err == 0) {
		delivery_send(connection->delivery, body);
		if (connection->delivery && stream_has_ended(connection->stream))
			doubt_delivery(connection);
	} else {
		for (uint32_t i = 0; i < message->n_targets; i++)
			message->targets[i].result = err == ERR_NO_SPACE ? SMTP_NO_SPACE : SMTP_UNAVAILABLE;
		on_delivered(connection);
	}
	body_free(&body);
}

/* The replies are queued: what is stored waits with them until on_drained, or until it is known that nobody hears them. */
static void world_answered(void *owner, const struct smtp_delivery *message)
{
	struct connection *connection = owner;
	size_t room = MIN((size_t)message->n_targets, UNENDED_MAX - connection->n_unended);
	bool all = true;
	for (uint32_t i = 0; i < message->n_targets; i++)
		all = all && message->targets[i].result == SMTP_DELIVERED;
	connection->role->n_messages += all;
	connection->role->n_failed += !all;
	connection->unended =
		mem_resize(connection->unended, connection->n_unended + room, sizeof *connection->unended);
	connection->n_unended +=
		delivery_answered_to_client(connection->delivery, connection->unended + connection->n_unended, room);
}

static void on_tls_done(void *owner)
{
	struct connection *connection = owner;
	smtp_session_tls_started(connection->session, stream_tls_version(connection->stream),
	                         stream_tls_cipher(connection->stream));
	if (is_submission(connection->service))
		login_expect(&connection->login);
	settle(connection);
}

/* Also of connections that begin with it. */
static void world_start_tls(void *owner)
{
	struct connection *connection = owner;
	struct tls_context *tls = connection->role->process->tls;
	if (!tls || stream_start_tls(connection->stream, tls, on_tls_done) != 0)
		connection->closing = true;
}

/* A SIGHUP may have taken it away. */
static bool world_has_certificate(void *owner)
{
	const struct connection *connection = owner;
	return connection->role->process->tls != NULL;
}

static void world_authenticate(void *owner, struct str user, struct str password)
{
	struct connection *connection = owner;
	login_ask(&connection->login, user, password);
}

static void world_check_sender(void *owner, struct str address)
{
	struct connection *connection = owner;
	login_check_sender(&connection->login, address);
}

static void world_start_timer(void *owner, uint64_t milliseconds)
{
	struct connection *connection = owner;
	login_delay(&connection->login, milliseconds);
}

static void world_close(void *owner)
{
	struct connection *connection = owner;
	connection->closing = true;
}

static const struct smtp_world world = {
	.resolve = world_resolve,
	.body_begin = world_body_begin,
	.body_add = world_body_add,
	.body_drop = world_body_drop,
	.deliver = world_deliver,
	.answered = world_answered,
	.start_tls = world_start_tls,
	.has_certificate = world_has_certificate,
	.close = world_close,
	.authenticate = world_authenticate,
	.check_sender = world_check_sender,
	.start_timer = world_start_timer,
};

/* --- what the stream tells --- */

static size_t on_input(void *owner, struct str bytes)
{
	struct connection *connection = owner;
	if (connection->closing)
		return bytes.n;
	size_t taken = smtp_session_input(connection->session, bytes);
	uint64_t progress = smtp_session_progress(connection->session);
	if (progress != connection->progress)
		loop_timeout_touch(connection->role->process->loop, &connection->patience);
	connection->progress = progress;
	settle(connection);
	return taken;
}

static void on_drained(void *owner)
{
	struct connection *connection = owner;
	stream_pause(connection->stream, false);
	if (!connection->doubtful)
		end_answers(connection, DELIVER_CONFIRMED);
}

/* The stream is over. Did what was sent last arrive? The other system acknowledges it, or refuses it when nobody listens;
 * when it does neither the client has heard nothing. */
static void look_at_receipt(void *owner)
{
	struct connection *connection = owner;
	struct smtp_role *role = connection->role;
	bool all = false, waits = loop_now_ms(role->process->loop) < connection->receipt_until_ms && !role->stopping;
	if (stream_is_received(connection->stream, &all) == 0 && !all && waits) {
		loop_timer_start(connection->receipt, connection->receipt_wait_ms);
		connection->receipt_wait_ms *= 2;
		return;
	}
	end_answers(connection, all ? DELIVER_CONFIRMED : DELIVER_LEFT);
	if (connection->doubtful)
		ends_due(role); /* who sends the same again is not to wait for it */
	connection_free(connection);
}

static void on_closed(void *owner, int err)
{
	struct connection *connection = owner;
	struct smtp_role *role = connection->role;
	/* A stream that was finished in order has sent all, and says so only here. */
	if (err != 0 || connection->n_unended == 0 || !outq_empty(stream_output(connection->stream))) {
		connection_free(connection);
		return;
	}
	connection->closing = true;
	loop_timeout_set(role->process->loop, &connection->patience, 0);
	login_forget(&connection->login);
	connection->receipt = loop_timer_new(role->process->loop, look_at_receipt, connection);
	connection->receipt_wait_ms = RECEIPT_WAIT_MS;
	connection->receipt_until_ms = loop_now_ms(role->process->loop) + LINGER_MS;
	look_at_receipt(connection);
}

static const struct stream_events stream_events = {
	.input = on_input, .drained = on_drained, .closed = on_closed, .end_read = on_end_read
};

static void on_impatience(void *owner)
{
	struct connection *connection = owner;
	smtp_session_timed_out(connection->session);
	settle(connection);
}

/* --- begin and end --- */

static void refuse(struct smtp_role *role, enum service service, int fd, const struct peer_address *peer)
{
	struct outq out = OUTQ_INIT(1024);
	struct outq_piece piece;
	smtp_refuse_connection(role->config.hostname, &out);
	/* The socket's buffer is empty, so one attempt is enough; whatever happens, the connection ends here. */
	if (service != SERVICE_SUBMISSIONS && outq_peek(&out, &piece) &&
	    send(fd, piece.bytes.p, piece.bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("refusal-not-sent", LOG_C("peer", peer->text));
	outq_free(&out);
	close(fd);
	role->n_refused++;
	log_info("connection-refused", LOG_C("peer", peer->text), LOG_U("connections", role->n_connections));
}

static struct connection *connection_new(struct smtp_role *role, enum service service, int fd,
                                         const struct peer_address *peer)
{
	struct connection *connection = mem_alloc(1, sizeof *connection);
	connection->role = role;
	connection->service = service;
	connection->peer = *peer;
	connection->id = random_u64();
	connection->accepted_ms = loop_now_ms(role->process->loop);
	connection->patience = (struct loop_timeout){ .fire = on_impatience, .owner = connection };
	login_init(&connection->login, connection);
	connection->next = role->connections;
	connection->at = &role->connections;
	if (connection->next)
		connection->next->at = &connection->next;
	role->connections = connection;
	role->n_connections++;
	role->n_open[service]++;
	struct stream_limits limits = { .input_max = MAX((size_t)role->config.max_line + 2, (size_t)65536),
		                            .output_max = smtp_output_max(&role->config, dialect_of(service)) };
	connection->stream = stream_new(role->process->loop, fd, limits, &stream_events, connection);
	stream_set_write_timeout(connection->stream, role->process->conf.smtp.write_timeout_ms);
	return connection;
}

/* Below the limits of its service; that of all together is address_count's. */
static bool has_share(const struct smtp_role *role, enum service service)
{
	uint32_t strangers = role->n_open[SERVICE_SMTP], max = role->max_connections;
	if (service == SERVICE_SMTP)
		return strangers < max - 2 * (max / SHARE_OF_LMTP);
	strangers += role->n_open[SERVICE_SUBMISSION] + role->n_open[SERVICE_SUBMISSIONS];
	return !is_submission(service) || strangers < max - max / SHARE_OF_LMTP;
}

void smtp_connection_accept(struct smtp_role *role, enum service service, int fd, const struct peer_address *peer)
{
	const struct conf *conf = &role->process->conf;
	bool lmtp = service == SERVICE_LMTP;
	uint32_t limit = lmtp ? UINT32_MAX : (uint32_t)conf->smtp.max_connections_per_address;
	if (role->stopping || !has_share(role, service) || !address_count_take(role->addresses, peer->text, limit)) {
		refuse(role, service, fd, peer);
		return;
	}
	enum conf_plain_login plain = conf->login.allow_plain_without_tls;
	struct connection *connection = connection_new(role, service, fd, peer);
	struct smtp_client client = {
		.dialect = dialect_of(service),
		.session = connection->id,
		.address = str_from_c(connection->peer.text),
		.offer_tls = role->process->tls && strcmp(peer->text, "unix") != 0,
		.submission = is_submission(service),
		.plain_allowed = plain == CONF_PLAIN_ALWAYS || (plain == CONF_PLAIN_LOOPBACK && peer->loopback),
		.tls_first = service == SERVICE_SUBMISSIONS,
	};
	connection->session =
		smtp_session_new(&role->config, &client, &world, connection, stream_output(connection->stream));
	role->n_accepted++;
	role->accepted[service]++;
	log_debug("connection-open", LOG_ID(connection->id), LOG_S("service", service_name(service)),
	          LOG_C("peer", peer->text), LOG_U("port", peer->port));
	if (client.submission)
		login_expect(&connection->login);
	if (client.tls_first)
		world_start_tls(connection);
	settle(connection);
}

/* --- who is there --- */

static void *who_next(void *owner, void *at)
{
	struct smtp_role *role = owner;
	struct connection *connection = at ? ((struct connection *)at)->next : role->connections;
	while (connection && connection->closing)
		connection = connection->next;
	return connection;
}

static uint64_t who_id(const void *connection)
{
	return ((const struct connection *)connection)->id;
}

static void who_describe(void *owner, void *at, struct who *out)
{
	const struct smtp_role *role = owner;
	const struct connection *connection = at;
	const struct login *login = &connection->login;
	*out = (struct who){
		.session = connection->id,
		.account = login->user && login->call == 0 ? str_from_c(login->user) : STR(""),
		.protocol = service_name(connection->service),
		.peer = str_from_c(connection->peer.text),
		.tls = stream_is_tls(connection->stream) ? stream_tls_version(connection->stream) : STR(""),
		.age_ms = loop_now_ms(role->process->loop) - connection->accepted_ms,
		.idle_ms = stream_idle_ms(connection->stream),
	};
}

static void who_kick(void *owner, void *at)
{
	struct connection *connection = at;
	smtp_session_end(connection->session, "closed by the operator");
	settle(connection);
}

void smtp_control(struct role_process *process, uint64_t number, struct str body)
{
	static const struct who_source source = { .next = who_next, .id = who_id, .describe = who_describe, .kick = who_kick };
	who_command(process, &source, process->state, number, body);
}

void smtp_connections_stop(struct smtp_role *role)
{
	role->stopping = true;
	if (role->n_connections == 0) {
		stopped(role);
		return;
	}
	for (struct connection *connection = role->connections; connection; connection = connection->next) {
		smtp_session_stop(connection->session);
		settle(connection);
	}
}

void smtp_connections_free(struct smtp_role *role)
{
	role->stopping = false; /* role_stopped was said, or does not matter any more */
	while (role->connections)
		connection_free(role->connections);
}
