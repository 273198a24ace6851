/* children.c: the processes of the server: their start, what they are sent, their end and restart, their stop.
 *
 * A child that starts is sent SETUP, KEYS, its LISTENERs, one PEER for each running process that it talks to (which
 * is sent the other end), START. A child that ends is started again after a pause that doubles while it keeps ending
 * soon.
 *
 * Children close a channel over what they cannot understand, and say so; it is made anew after a moment where both
 * still live. */
#include "proc/supervisor/supervisor_private.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIVED_LONG_MS 10000
#define GOING_MS      10000 /* between the end of a child's channel and its own: it may wait for a disk, or check for leaks */
#define METRICS_MS    1000 /* between two gatherings of metrics for the same child */
#define MEND_MS       1000 /* before a channel between two living children is made anew */

/* Who talks to whom. */
static const enum role relations[][2] = {
	{ ROLE_ACCESS, ROLE_AUTH }, { ROLE_ACCESS, ROLE_SHARD },  { ROLE_SMTP, ROLE_AUTH },
	{ ROLE_SMTP, ROLE_SHARD },  { ROLE_AUTH, ROLE_AUTHWORK }, { ROLE_AUTH, ROLE_SHARD },
};

static bool related(enum role a, enum role b)
{
	for (size_t i = 0; i < COUNT_OF(relations); i++) {
		if ((relations[i][0] == a && relations[i][1] == b) || (relations[i][0] == b && relations[i][1] == a))
			return true;
	}
	return false;
}

static bool speaks_to_strangers(enum role role)
{
	return role == ROLE_ACCESS || role == ROLE_SMTP;
}

static uint16_t count_of(const struct supervisor *s, enum role role)
{
	switch (role) {
	case ROLE_ACCESS:
		return (uint16_t)s->conf.server.access_processes;
	case ROLE_SMTP:
		return (uint16_t)s->conf.server.smtp_processes;
	case ROLE_AUTH:
		return 1;
	case ROLE_AUTHWORK:
		return (uint16_t)s->conf.server.authwork_processes;
	case ROLE_SHARD:
		return s->store.shards;
	case ROLE_SUPERVISOR:
	case ROLE_COUNT:
		break;
	}
	return 0;
}

uint32_t child_number(const struct child *child)
{
	return (uint32_t)(child - child->supervisor->children);
}

struct child *child_of(struct supervisor *s, enum role role, uint16_t index)
{
	for (size_t i = 0; i < s->n_children; i++) {
		if (s->children[i].role == role && s->children[i].index == index)
			return &s->children[i];
	}
	return NULL;
}

/* --- what a child is sent --- */

/* A child whose queue is full reads nothing any more: it is ended, and its successor starts afresh. */
static void send_to(struct child *child, uint16_t type, struct str body, int fd)
{
	if (child->channel && ipc_send(child->channel, type, body, fd) != 0) {
		log_error("process-stuck", LOG_S("of", role_name(child->role)), LOG_U("index", child->index));
		if (child->pid)
			kill(child->pid, SIGKILL);
	}
}

static void send_setup(struct child *child)
{
	const struct supervisor *s = child->supervisor;
	bool has_tickets = child->role == ROLE_AUTH || child->role == ROLE_SHARD;
	bool stranger = speaks_to_strangers(child->role);
	uint32_t user = stranger ? s->owners.network_user : s->owners.user;
	uint32_t group = stranger ? s->owners.network_group : s->owners.group;
	struct setup setup = {
		.role = child->role,
		.index = child->index,
		.count = count_of(s, child->role),
		.shards = s->store.shards,
		.sandbox = s->conf.server.sandbox,
		.user = s->as_root ? user : 0,
		.group = s->as_root ? group : 0,
		.hostname = s->hostname,
		.directory = str_from_c(s->directory),
		.config = buf_str(&s->conf_text),
		.config_name = s->conf_name,
	};
	if (has_tickets)
		memcpy(setup.ticket_key, s->ticket_key, sizeof setup.ticket_key);
	if (child->role == ROLE_SMTP)
		memcpy(setup.store_secret, s->store.secret, sizeof setup.store_secret);
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	setup_encode(&setup, &body);
	send_to(child, SUPERVISOR_SETUP, buf_str(&body), -1);
	mem_wipe(&setup, sizeof setup);
	mem_wipe(body.p, body.n);
	buf_free(&body);
}

static void send_keys(struct child *child)
{
	const struct supervisor *s = child->supervisor;
	if (!speaks_to_strangers(child->role))
		return;
	struct keys keys = { buf_str(&s->keys.certificate), buf_str(&s->keys.key) };
	struct buf body = BUF_INIT(2 * KEY_PAIR_PEM_MAX + 64);
	keys_encode(&keys, &body);
	send_to(child, SUPERVISOR_KEYS, buf_str(&body), -1);
	mem_wipe(body.p, body.n);
	buf_free(&body);
}

void children_send_keys(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		if (s->children[i].channel)
			send_keys(&s->children[i]);
	}
}

void children_send_configuration(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++)
		send_to(&s->children[i], SUPERVISOR_RELOAD, buf_str(&s->conf_text), -1);
}

void child_send_log_level(struct child *child)
{
	char level = (char)child->log_level;
	send_to(child, SUPERVISOR_LOG_LEVEL, str_of(&level, 1), -1);
}

static void send_listeners(struct child *child)
{
	const struct supervisor *s = child->supervisor;
	for (size_t i = 0; i < s->n_listening; i++) {
		char service = (char)s->listening[i].service;
		if (service_role(s->listening[i].service) == child->role)
			send_to(child, SUPERVISOR_LISTENER, str_of(&service, 1), s->listening[i].fd);
	}
}

static void send_peer(struct child *to, const struct child *peer, int fd)
{
	struct buf body = BUF_INIT(16);
	wire_put_u8(&body, (uint8_t)peer->role);
	wire_put_u16(&body, peer->index);
	wire_put_u32(&body, to->supervisor->n_pairs);
	send_to(to, SUPERVISOR_PEER, buf_str(&body), fd);
	buf_free(&body);
}

/* To be made anew; once, though both ends tell. What was told before may be of an earlier life of one of them: the last
 * counts. What does not fit in the list is told again by nobody, but needs a crowd of hostile processes. */
static void mend_later(struct child *a, struct child *b, uint32_t pair)
{
	struct supervisor *s = a->supervisor;
	for (size_t i = 0; i < s->n_lost; i++) {
		if ((s->lost[i].a == a && s->lost[i].b == b) || (s->lost[i].a == b && s->lost[i].b == a)) {
			s->lost[i].pair = pair;
			return;
		}
	}
	if (s->n_lost == LOST_MAX)
		return;
	s->lost[s->n_lost++] = (struct lost_pair){ a, b, pair };
	if (s->n_lost == 1)
		loop_timer_start(s->mending, MEND_MS);
}

static void connect_pair(struct child *a, struct child *b)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		log_error("socketpair", LOG_C("error", strerror(errno)));
		mend_later(a, b, 0);
		return;
	}
	a->supervisor->n_pairs++;
	send_peer(a, b, ends[0]);
	send_peer(b, a, ends[1]);
	close(ends[0]);
	close(ends[1]);
}

/* A channel of an earlier life was replaced when its process started again. */
static bool is_of_this_life(const struct child *child, uint32_t pair)
{
	return child->channel && pair > child->pairs_before;
}

static void mend(void *owner)
{
	struct supervisor *s = owner;
	struct lost_pair lost[LOST_MAX];
	size_t n = s->n_lost;
	memcpy(lost, s->lost, n * sizeof lost[0]);
	s->n_lost = 0;
	for (size_t i = 0; i < n && !s->stopping; i++) {
		struct child *a = lost[i].a, *b = lost[i].b;
		bool never_made = lost[i].pair == 0 && a->channel && b->channel;
		if (!never_made && !(is_of_this_life(a, lost[i].pair) && is_of_this_life(b, lost[i].pair)))
			continue;
		log_warning("channel-mended", LOG_S("of", role_name(a->role)), LOG_U("index", a->index),
		            LOG_S("with", role_name(b->role)), LOG_U("with-index", b->index));
		connect_pair(a, b);
	}
}

/* --- what a child says --- */

static int on_peer_lost(struct child *child, struct str body)
{
	struct wire_reader r = wire_reader(body);
	uint8_t role = wire_get_u8(&r);
	uint16_t index = wire_get_u16(&r);
	uint32_t pair = wire_get_u32(&r);
	if (wire_finish(&r) != 0 || role >= ROLE_COUNT || !related(child->role, (enum role)role))
		return ERR_CORRUPT;
	struct child *peer = child_of(child->supervisor, (enum role)role, index);
	if (!peer || pair == 0)
		return ERR_CORRUPT;
	if (is_of_this_life(child, pair) && is_of_this_life(peer, pair))
		mend_later(child, peer, pair);
	return 0;
}

static void on_metrics(void *owner, int err, struct str text)
{
	struct child *child = owner;
	child->metrics = NULL;
	send_to(child, SUPERVISOR_METRICS, err ? (struct str){ NULL, 0 } : text, -1);
}

static void gather_metrics(struct child *child)
{
	child->metrics_wanted = false;
	child->metrics = status_begin(child->supervisor, STATUS_METRICS, on_metrics, child);
	loop_timeout_set(child->supervisor->loop, &child->metrics_pause, METRICS_MS);
}

static void on_metrics_pause_over(void *owner)
{
	struct child *child = owner;
	if (child->metrics_wanted)
		gather_metrics(child);
}

/* One that was taken over may ask as often as it likes: all processes work for each answer. */
static int on_metrics_wanted(struct child *child, struct str body)
{
	if (body.n != 0 || child->metrics || child->metrics_wanted || child->role != ROLE_ACCESS)
		return ERR_CORRUPT;
	child->metrics_wanted = true;
	if (child->metrics_pause.after == 0)
		gather_metrics(child);
	return 0;
}

static void forget_metrics(struct child *child)
{
	status_cancel(&child->metrics);
	child->metrics_wanted = false;
}

static void announce(struct supervisor *s)
{
	size_t ready = 0;
	for (size_t i = 0; i < s->n_children; i++)
		ready += s->children[i].ready;
	notify_processes(s->notify, ready, s->n_children);
	if (ready < s->n_children)
		return;
	if (!s->announced && !s->stopping)
		log_info("ready", LOG_C("version", MANSIO_VERSION), LOG_C("directory", s->directory),
		         LOG_U("processes", s->n_children), LOG_U("pid", s->pid));
	s->announced = true;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct child *child = owner;
	struct wire_reader r = wire_reader(body);
	uint64_t request;
	(void)fd;
	switch (type) {
	case CHILD_READY:
		if (body.n != 0 || child->ready)
			return ERR_CORRUPT;
		child->ready = true;
		if (child->restarts > 0)
			log_info("process-ready", LOG_S("of", role_name(child->role)), LOG_U("index", child->index),
			         LOG_U("pid", child->pid), LOG_U("restarts", child->restarts));
		announce(child->supervisor);
		return 0;
	case CHILD_CONTROL_REPLY:
		if (child->role == ROLE_AUTHWORK)
			return ERR_CORRUPT;
		/* fall through */
	case CHILD_STATUS:
		request = wire_get_u64(&r);
		if (r.failed)
			return ERR_CORRUPT;
		struct str answer = str_from(body, sizeof request);
		ipc_call_end(child->supervisor->calls, child_number(child), request, &answer);
		return 0;
	case CHILD_PEER_LOST:
		return on_peer_lost(child, body);
	case CHILD_METRICS:
		return on_metrics_wanted(child, body);
	default:
		return ERR_CORRUPT;
	}
}

/* The process is ending, and SIGCHLD will tell why; or it misbehaved, and is made to end when it has not gone by
 * itself. */
static void on_closed(void *owner)
{
	struct child *child = owner;
	forget_metrics(child);
	ipc_channel_free(&child->channel);
	if (child->pid)
		loop_timer_start(child->timer, GOING_MS);
}

/* --- start and restart --- */

static void try_again_later(struct child *child)
{
	const struct conf *conf = &child->supervisor->conf;
	if (child->supervisor->stopping)
		return;
	loop_timer_start(child->timer, child->delay_ms);
	child->delay_ms =
		MIN(child->delay_ms * 2, MAX(conf->server.restart_delay_max_ms, conf->server.restart_delay_min_ms));
}

static bool spawn(struct child *child)
{
	struct supervisor *s = child->supervisor;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		log_error("socketpair", LOG_C("error", strerror(errno)));
		return false;
	}
	child->pid = spawn_role(child->role, child->index, ends[1], s->pid);
	close(ends[1]);
	if (child->pid == 0) {
		log_error("fork", LOG_C("error", strerror(errno)));
		close(ends[0]);
		return false;
	}
	child->started_ms = loop_now_ms(s->loop);
	child->pairs_before = s->n_pairs;
	child->ready = child->stop_sent = false;
	child->channel = ipc_channel_new(s->loop, ends[0], on_message, on_closed, child);
	send_setup(child);
	child_send_log_level(child);
	send_keys(child);
	send_listeners(child);
	return true;
}

static void on_timer(void *owner)
{
	struct child *child = owner;
	struct supervisor *s = child->supervisor;
	if (child->pid) {
		kill(child->pid, SIGKILL);
		return;
	}
	if (s->stopping)
		return;
	child->restarts++;
	if (!spawn(child)) {
		try_again_later(child);
		return;
	}
	for (size_t i = 0; i < s->n_children; i++) {
		if (s->children[i].channel && related(child->role, s->children[i].role))
			connect_pair(child, &s->children[i]);
	}
	send_to(child, SUPERVISOR_START, (struct str){ NULL, 0 }, -1);
}

void children_make(struct supervisor *s)
{
	static const enum role order[] = { ROLE_AUTH, ROLE_AUTHWORK, ROLE_SHARD, ROLE_ACCESS, ROLE_SMTP };
	s->children = mem_alloc(CHILDREN_MAX, sizeof *s->children);
	s->mending = loop_timer_new(s->loop, mend, s);
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		for (uint16_t index = 0; index < count_of(s, order[i]) && s->n_children < CHILDREN_MAX; index++) {
			struct child *child = &s->children[s->n_children++];
			*child = (struct child){ .supervisor = s, .role = order[i], .index = index,
				                 .log_level = LOG_LEVEL_CONFIGURED };
			child->delay_ms = s->conf.server.restart_delay_min_ms;
			child->timer = loop_timer_new(s->loop, on_timer, child);
			child->metrics_pause = (struct loop_timeout){ .fire = on_metrics_pause_over, .owner = child };
		}
	}
}

void children_start(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		if (!spawn(&s->children[i]))
			try_again_later(&s->children[i]);
	}
	for (size_t i = 0; i < s->n_children; i++) {
		for (size_t k = i + 1; k < s->n_children; k++) {
			if (s->children[i].channel && s->children[k].channel && related(s->children[i].role, s->children[k].role))
				connect_pair(&s->children[i], &s->children[k]);
		}
	}
	for (size_t i = 0; i < s->n_children; i++)
		send_to(&s->children[i], SUPERVISOR_START, (struct str){ NULL, 0 }, -1);
}

/* --- end --- */

static void log_end(const struct child *child, int status)
{
	struct log_field fields[] = {
		LOG_S("of", role_name(child->role)),
		LOG_U("index", child->index),
		LOG_U("pid", child->pid),
		WIFSIGNALED(status) ? (struct log_field)LOG_C("signal", sigabbrev_np(WTERMSIG(status)))
		                    : (struct log_field)LOG_U("code", WEXITSTATUS(status)),
		{ NULL, LOG_KIND_STR, { NULL, 0 }, 0 },
	};
	log_write(child->stop_sent && status == 0 ? LOG_INFO : LOG_ERROR, "process-ended", fields);
}

static void on_end(struct child *child, int status)
{
	struct supervisor *s = child->supervisor;
	log_end(child, status);
	if (loop_now_ms(s->loop) - child->started_ms >= LIVED_LONG_MS)
		child->delay_ms = s->conf.server.restart_delay_min_ms;
	child->pid = 0;
	child->ready = false;
	loop_timer_stop(child->timer);
	forget_metrics(child);
	ipc_channel_free(&child->channel);
	ipc_calls_peer_lost(s->calls, child_number(child));
	announce(s);
	try_again_later(child);
}

void children_reap(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		int status;
		if (s->children[i].pid && waitpid(s->children[i].pid, &status, WNOHANG) == s->children[i].pid)
			on_end(&s->children[i], status);
	}
}

static bool any_running(const struct supervisor *s, enum role role)
{
	for (size_t i = 0; i < s->n_children; i++) {
		if (s->children[i].role == role && s->children[i].pid)
			return true;
	}
	return false;
}

/* Receivers first. Shards say goodbye to their sessions, some of which access relays, so access is not waited for;
 * but deliveries that smtp has taken are finished first. The directory goes last. */
static bool turn_to_stop(const struct supervisor *s, enum role role)
{
	switch (role) {
	case ROLE_ACCESS:
	case ROLE_SMTP:
		return true;
	case ROLE_SHARD:
		return !any_running(s, ROLE_SMTP);
	case ROLE_AUTH:
	case ROLE_AUTHWORK:
		return !any_running(s, ROLE_SMTP) && !any_running(s, ROLE_ACCESS) && !any_running(s, ROLE_SHARD);
	case ROLE_SUPERVISOR:
	case ROLE_COUNT:
		break;
	}
	return false;
}

bool children_stop(struct supervisor *s)
{
	bool running = false;
	for (size_t i = 0; i < s->n_children; i++) {
		struct child *child = &s->children[i];
		/* Nobody is started again; but who is deaf is still ended in a while (GOING_MS): it will not hear STOP. */
		if (!child->pid)
			loop_timer_stop(child->timer);
		running = running || child->pid;
		if (child->pid && !child->stop_sent && turn_to_stop(s, child->role)) {
			child->stop_sent = true;
			send_to(child, SUPERVISOR_STOP, (struct str){ NULL, 0 }, -1);
		}
	}
	return !running;
}

void children_kill(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		if (s->children[i].pid)
			kill(s->children[i].pid, SIGKILL);
	}
}

void children_free(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_children; i++) {
		forget_metrics(&s->children[i]);
		loop_timeout_set(s->loop, &s->children[i].metrics_pause, 0);
		ipc_channel_free(&s->children[i].channel);
		loop_timer_free(&s->children[i].timer);
	}
	loop_timer_free(&s->mending);
	mem_free(s->children);
	s->children = NULL;
	s->n_children = 0;
}
