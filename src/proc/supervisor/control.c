/* control.c: the control socket. Each connection is a channel with one request at a time: status is answered here,
 * what concerns the mail by the shards, all else by auth; they decode it again. Only root and who started the
 * server may connect: a role that was taken over must not. */
#include "proc/supervisor/supervisor_private.h"

#include "base/json.h"
#include "base/mem.h"
#include "ipc/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS_MAX    16
#define AUTH_WAIT_MS   120000 /* removing an account waits for its shard */
#define CONTROL_QUEUE  16

struct control_client {
	struct control_server *server;
	struct ipc_channel *channel; /* NULL: free */
	struct status_request *status;
	struct shard_command *at_shards;
	struct buf kept; /* a request for the shard that auth is asked for; of a reload, its answer */
	int fd;          /* what came with it; -1: nothing */
	uint64_t call;
};

struct control_server {
	struct supervisor *supervisor;
	struct listener *listener;
	struct socket_file file;
	struct control_client clients[CLIENTS_MAX];
};

static void close_descriptor(struct control_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

static void drop_client(struct control_client *client)
{
	ipc_call_cancel(client->server->supervisor->calls, client->call);
	client->call = 0;
	status_cancel(&client->status);
	shard_command_cancel(&client->at_shards);
	buf_free(&client->kept);
	close_descriptor(client);
	ipc_channel_free(&client->channel);
}

static void send_reply(struct control_client *client, struct str body)
{
	if (ipc_send(client->channel, CONTROL_REPLY, body, -1) != 0)
		log_warning("control-reply-lost", LOG_U("bytes", body.n));
}

static void reply(struct control_client *client, int result, struct str message, struct str json)
{
	struct control_reply m = { result, message, json };
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	control_reply_encode(&m, &body);
	send_reply(client, buf_str(&body));
	buf_free(&body);
}

static void on_status(void *owner, int err, struct str json)
{
	struct control_client *client = owner;
	client->status = NULL;
	if (err != 0)
		reply(client, err, STR("the answer is too long"), (struct str){ NULL, 0 });
	else
		reply(client, 0, (struct str){ NULL, 0 }, json);
}

static void on_metrics(void *owner, int err, struct str text)
{
	struct buf json = BUF_INIT(IPC_BODY_MAX - 4096);
	json_put_string(&json, text);
	on_status(owner, err ? err : buf_error(&json), buf_str(&json));
	buf_free(&json);
}

/* Every process has heard of the new configuration, but for one that was busy all the time of a status_begin: what is done
 * from now on is done by it. */
static void on_reloaded(void *owner, int err, struct str json)
{
	struct control_client *client = owner;
	client->status = NULL;
	reply(client, 0, (struct str){ NULL, 0 }, buf_str(&client->kept));
	buf_free(&client->kept);
}

static void begin_reload(struct control_client *client)
{
	struct supervisor *s = client->server->supervisor;
	struct buf json = BUF_INIT(IPC_BODY_MAX / 2), problem = BUF_INIT(PROBLEM_MAX);
	int err = reload(s, &json, &problem);
	if (err == 0) {
		client->kept = json;
		client->status = status_begin(s, STATUS_JSON, on_reloaded, client);
	} else {
		reply(client, err, buf_str(&problem), (struct str){ NULL, 0 });
		buf_free(&json);
	}
	buf_free(&problem);
}

static void set_log_level(struct control_client *client, const struct control_request *request)
{
	struct buf json = BUF_INIT(IPC_BODY_MAX / 2);
	struct str problem = STR("");
	int err = log_level_command(client->server->supervisor, request, &json, &problem);
	reply(client, err, problem, buf_str(&json));
	buf_free(&json);
}

static void on_shards_reply(void *owner, struct str body)
{
	struct control_client *client = owner;
	client->at_shards = NULL;
	send_reply(client, body);
}

/* Auth has said where the account is: on to its shard, with the account's id in place of the address. */
static void go_to_shard(struct control_client *client, struct str body)
{
	struct supervisor *s = client->server->supervisor;
	struct control_place place;
	struct control_request request;
	if (control_place_decode(body, &place) != 0 || place.shard >= s->store.shards ||
	    control_request_decode(buf_str(&client->kept), &request) != 0) {
		reply(client, ERR_CORRUPT, STR("the auth process gave a malformed answer"), (struct str){ NULL, 0 });
		return;
	}
	request.arguments[0] = str_of((const char *)place.account.bytes, ACCOUNT_ID_SIZE);
	client->at_shards = shard_command_begin(s, &request, child_of(s, ROLE_SHARD, place.shard), client->fd, on_shards_reply,
	                                        client);
}

static void on_auth_reply(void *owner, int result, const void *answer)
{
	struct control_client *client = owner;
	struct control_reply checked;
	client->call = 0;
	if (result != 0) {
		buf_free(&client->kept);
		close_descriptor(client);
		reply(client, result, STR("the auth process did not answer; try again"), (struct str){ NULL, 0 });
		return;
	}
	const struct str *body = answer;
	if (control_reply_decode(*body, &checked) == 0) {
		if (checked.result == 0 && client->kept.n > 0)
			go_to_shard(client, checked.json);
		else
			send_reply(client, *body);
	} else {
		reply(client, ERR_CORRUPT, STR("the auth process gave a malformed answer"), (struct str){ NULL, 0 });
	}
	buf_free(&client->kept);
	close_descriptor(client);
}

static void ask_auth(struct control_client *client, struct str request)
{
	struct supervisor *s = client->server->supervisor;
	struct child *auth = child_of(s, ROLE_AUTH, 0);
	struct buf head = BUF_INIT(16);
	int err = auth->channel && auth->ready ? 0 : ERR_UNAVAILABLE;
	if (err == 0)
		err = ipc_call_begin(s->calls, child_number(auth), AUTH_WAIT_MS, on_auth_reply, client, &client->call);
	if (err == 0) {
		wire_put_u64(&head, client->call);
		err = ipc_send2(auth->channel, SUPERVISOR_CONTROL, buf_str(&head), request, -1);
		if (err != 0) {
			ipc_call_cancel(s->calls, client->call);
			client->call = 0;
		}
	}
	buf_free(&head);
	if (err != 0) {
		buf_free(&client->kept);
		close_descriptor(client);
		reply(client, err, STR("the auth process is not running now; try again"), (struct str){ NULL, 0 });
	}
}

/* "shard.0": one that has connections; NULL when there is none of that name. */
static struct child *child_named(struct supervisor *s, struct str name)
{
	static const enum role roles[] = { ROLE_ACCESS, ROLE_SMTP, ROLE_SHARD };
	uint64_t index;
	struct str role = str_cut(&name, '.');
	if (str_to_u64(name, CHILDREN_MAX, &index) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
		if (str_eq(role, role_name(roles[i])))
			return child_of(s, roles[i], (uint16_t)index);
	return NULL;
}

static void go_to_process(struct control_client *client, const struct control_request *request)
{
	struct supervisor *s = client->server->supervisor;
	struct child *child = request->n_arguments > 0 ? child_named(s, request->arguments[0]) : NULL;
	if (child)
		client->at_shards = shard_command_begin(s, request, child, -1, on_shards_reply, client);
	else
		reply(client, ERR_NOT_FOUND, STR("there is no such process"), (struct str){ NULL, 0 });
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct control_client *client = owner;
	struct control_request request;
	struct supervisor *s = client->server->supervisor;
	if (type != CONTROL_REQUEST || client->call || client->status || client->at_shards)
		return ERR_STATE;
	int err = control_request_decode(body, &request);
	if (err != 0)
		return err;
	if (control_takes_descriptor(request.command) != (*fd >= 0))
		return *fd == IPC_FD_LOST ? ERR_UNAVAILABLE : ERR_SYNTAX;
	switch (control_reach(request.command)) {
	case CONTROL_BY_SUPERVISOR:
		if (request.command == CONTROL_RELOAD)
			begin_reload(client);
		else if (request.command == CONTROL_LOG_LEVEL)
			set_log_level(client, &request);
		else if (request.command == CONTROL_METRICS)
			client->status = status_begin(s, STATUS_METRICS, on_metrics, client);
		else
			client->status = status_begin(s, STATUS_JSON, on_status, client);
		break;
	case CONTROL_BY_ALL_SHARDS:
		client->at_shards = shard_command_begin(s, &request, NULL, -1, on_shards_reply, client);
		break;
	case CONTROL_BY_PROCESS:
		go_to_process(client, &request);
		break;
	case CONTROL_BY_ITS_SHARD:
		if (request.n_arguments == 0)
			return ERR_SYNTAX;
		client->kept = BUF_INIT(IPC_BODY_MAX);
		buf_add(&client->kept, body);
		client->fd = *fd;
		*fd = -1;
		ask_auth(client, body);
		break;
	case CONTROL_BY_AUTH:
		ask_auth(client, body);
		break;
	}
	return 0;
}

static void on_closed(void *owner)
{
	drop_client(owner);
}

static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof peer;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void on_accept(void *owner, int fd, const struct peer_address *peer)
{
	struct control_server *server = owner;
	(void)peer;
	for (size_t i = 0; i < CLIENTS_MAX && may_connect(fd); i++) {
		struct control_client *client = &server->clients[i];
		if (!client->channel) {
			client->server = server;
			client->fd = -1;
			client->channel = ipc_channel_new(server->supervisor->loop, fd, on_message, on_closed, client);
			return;
		}
	}
	log_warning("control-refused");
	close(fd);
}

/* Bound under a mask, so that there is no moment when others could connect. */
static int open_control_socket(struct str path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	memcpy(address.sun_path, path.p, path.n);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before = umask(0177);
	bool good =
		fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, CONTROL_QUEUE) == 0;
	int problem = errno;
	umask(before);
	if (!good && fd >= 0)
		close(fd);
	errno = problem;
	return good ? fd : -1;
}

int control_socket_open(struct supervisor *s)
{
	struct socket_file file;
	struct str path = s->conf.server.control_socket;
	int err = socket_path_clear(STR("control"), path, "server.control_socket");
	if (err != 0)
		return err;
	int fd = open_control_socket(path);
	if (fd < 0 || !socket_path_note(path, &file)) {
		log_error("cannot-listen", LOG_C("service", "control"), LOG_S("address", path),
		          LOG_C("error", strerror(errno)));
		if (fd >= 0)
			close(fd);
		return ERR_IO;
	}
	s->control = mem_alloc(1, sizeof *s->control);
	s->control->supervisor = s;
	s->control->file = file;
	s->control->listener = listener_new(s->loop, fd, on_accept, s->control);
	return 0;
}

void control_socket_free(struct supervisor *s)
{
	if (!s->control)
		return;
	socket_path_remove(s->conf.server.control_socket, &s->control->file);
	listener_free(&s->control->listener);
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (s->control->clients[i].channel)
			drop_client(&s->control->clients[i]);
	}
	mem_free(s->control);
	s->control = NULL;
}
