/* floor_rooms.c: the house when it is empty: the processes that Mansio has, and what they must say to each other, with
 * nothing done in them.
 *
 *   a login     access ─ who is it? ─▶ auth ─▶ access ─ the client's socket ─▶ shard, which answers it and goes on
 *   over TLS    the same, but access keeps the client's socket and relays what it decrypts through a socketpair
 *   a delivery  smtp ─ the message, up to 512 KB inline, else a file ─▶ shard ─ durable ─▶ smtp, which answers
 *
 * Left out, as not every server of this structure pays it: what confines a room, what it notes in a log, that it
 * mistrusts the others, that a shard syncs by a helper thread. Each process owns its state until the first of them
 * ends, and all with it. */
#include "floor.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define INLINE_MAX   (512 * 1024) /* DELIVER_INLINE_MAX of Mansio */
#define SPOOLS_MAX   64           /* files that are kept to be written over */
#define COPY_SIZE    (256 * 1024)
#define RELAY_SIZE   (64 * 1024)
#define TELL_MS      10           /* how much later access hears that sessions have ended */

/* A message on its way in. */
struct delivery {
	struct buf body;
	int spool; /* -1: all of it is in the buffer */
	uint64_t spooled;
};

/* One end leads to the shard; the other one is read and written here. */
struct relay {
	struct watched watched;
	struct connection *client;
};

struct pair {
	int end[2];
};

static const struct house *house;
static struct channel channels[SHARDS_MAX + 1]; /* of this process */
static size_t channels_n;

static struct channel *add_channel(int fd, hear_fn *hear)
{
	struct channel *channel = &channels[channels_n++];
	channel_open(channel, fd, hear);
	return channel;
}

static int flush_all(void)
{
	for (size_t i = 0; i < channels_n; i++)
		channel_flush(&channels[i]);
	return -1;
}

static void make_pair(int *ends)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair");
}

/* --- auth --- */

static void auth_hears(struct channel *channel, const struct told *told, int *fd)
{
	struct told answer = *told;
	answer.kind = LOGIN_RIGHT;
	answer.shard = (uint16_t)(told->account % house->shards);
	channel_tell(channel, &answer, NULL, -1, false);
}

/* --- access: its channels are the shards', then auth's --- */

static void from_shard(struct watched *watched, uint32_t events)
{
	char bytes[RELAY_SIZE];
	struct relay *relay = (struct relay *)watched; /* its first member */
	ssize_t got = recv(watched->fd, bytes, sizeof bytes, 0);
	if (got > 0) {
		for (struct str rest = str_of(bytes, (size_t)got); rest.n > 0;) {
			ssize_t sent = connection_write(relay->client, rest, 0);
			if (sent < 0)
				die("a client does not read");
			rest = str_from(rest, (size_t)sent);
		}
		return;
	}
	close(watched->fd);
	loop_forget(watched);
	connection_drop(relay->client);
}

static void from_client(struct watched *watched, uint32_t events)
{
	char bytes[RELAY_SIZE];
	struct connection *client = (struct connection *)watched;
	struct relay *relay = client->relay;
	ssize_t got = connection_read(client, bytes, sizeof bytes);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got > 0) {
		if (send(relay->watched.fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
			die("a shard does not read");
		return;
	}
	close(relay->watched.fd);
	loop_forget(&relay->watched);
	connection_drop(client);
}

/* The end that is the shard's. */
static int begin_relay(struct connection *client)
{
	int ends[2];
	make_pair(ends);
	struct relay *relay = mem_alloc(1, sizeof *relay);
	*relay = (struct relay){ .watched = { .fd = ends[0], .ready = from_shard }, .client = client };
	loop_watch(&relay->watched, EPOLL_CTL_ADD, EPOLLIN);
	client->relay = relay;
	client->watched.ready = from_client;
	client->waits = false;
	return ends[1];
}

static void ask_auth(struct connection *connection)
{
	struct told question = { .kind = LOGIN_ASKED, .protocol = connection->protocol, .tag = connection->tag,
		                     .whole_mailbox = connection->whole_mailbox, .account = connection->account,
		                     .request = (uintptr_t)connection };
	connection->waits = true;
	channel_tell(&channels[house->shards], &question, NULL, -1, false);
}

static void access_hears(struct channel *channel, const struct told *told, int *fd)
{
	struct told handover = *told;
	if (told->kind == SESSIONS_ENDED)
		return;
	struct connection *connection = (struct connection *)told->request; /* it waits, so it is there */
	int given = connection->tls ? begin_relay(connection) : connection_take_fd(connection);
	handover.kind = HANDED_OVER;
	channel_tell(&channels[told->shard], &handover, NULL, given, true);
}

/* --- smtp: its channels are the shards' --- */

static int spools[SPOOLS_MAX];
static size_t spools_n;

static int open_spool(void)
{
	int fd = spools_n > 0 ? spools[--spools_n] : open(house->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		die("cannot make a file");
	return fd;
}

static void gather_message(struct connection *connection, struct str bytes)
{
	struct delivery *delivery = connection->delivery;
	if (!delivery) {
		delivery = connection->delivery = mem_alloc(1, sizeof *delivery);
		*delivery = (struct delivery){ .body = BUF_INIT(INLINE_MAX), .spool = -1 };
	}
	if (delivery->spool < 0 && delivery->body.n + bytes.n <= INLINE_MAX) {
		buf_add(&delivery->body, bytes);
		return;
	}
	if (delivery->spool < 0) {
		delivery->spool = open_spool();
		delivery->spooled = delivery->body.n;
		file_put(delivery->spool, buf_str(&delivery->body), 0);
		buf_free(&delivery->body);
	}
	file_put(delivery->spool, bytes, delivery->spooled);
	delivery->spooled += bytes.n;
}

static void give_message(struct connection *connection)
{
	struct delivery *delivery = connection->delivery;
	struct told told = { .kind = MESSAGE_GIVEN, .request = (uintptr_t)connection, .account = connection->account,
		                 .file_n = delivery->spooled };
	connection->waits = true;
	channel_tell(&channels[connection->account % house->shards], &told, &delivery->body, delivery->spool, false);
}

static void smtp_hears(struct channel *channel, const struct told *told, int *fd)
{
	struct connection *connection = (struct connection *)told->request; /* it waits, so it is there */
	struct delivery *delivery = connection->delivery;
	if (delivery->spool >= 0 && spools_n < SPOOLS_MAX)
		spools[spools_n++] = delivery->spool;
	else if (delivery->spool >= 0)
		close(delivery->spool);
	mem_free(delivery);
	connection->delivery = NULL;
	connection->waits = false;
	answer_taken(connection);
}

/* --- a shard: its channels are access's and smtp's --- */

static uint64_t ended_n, ended_since_ms;

static void count_ended(struct connection *connection)
{
	if (ended_n++ == 0)
		ended_since_ms = clock_monotonic_ms();
}

/* Several at a time, as each would be a wake-up. */
static void tell_ended(void)
{
	if (ended_n == 0 || clock_monotonic_ms() < ended_since_ms + TELL_MS)
		return;
	channel_tell(&channels[0], &(struct told){ .kind = SESSIONS_ENDED, .count = ended_n }, NULL, -1, false);
	ended_n = 0;
}

static int shard_turn(void)
{
	batch_commit();
	tell_ended();
	flush_all();
	return ended_n > 0 ? TELL_MS : -1;
}

static void shard_lets_in(struct channel *channel, const struct told *told, int *fd)
{
	struct connection *connection = connection_new(*fd, told->protocol);
	*fd = -1;
	connection->tag = told->tag;
	connection->account = told->account;
	connection->whole_mailbox = told->whole_mailbox;
	answer_login(connection);
	connection_pump(connection);
}

static void tell_stored(void *owner, uint64_t request)
{
	channel_tell(owner, &(struct told){ .kind = MESSAGE_STORED, .request = request }, NULL, -1, false);
}

/* By the shard's memory, as it is the shard that reads a message for its answers. */
static void copy_body(int fd, uint64_t n)
{
	static char bytes[COPY_SIZE];
	for (uint64_t at = 0; at < n;) {
		ssize_t got = pread(fd, bytes, (size_t)MIN(n - at, (uint64_t)COPY_SIZE), (off_t)at);
		if (got <= 0)
			die("cannot read a message");
		logs_add_body(str_of(bytes, (size_t)got));
		at += (uint64_t)got;
	}
}

static void shard_takes(struct channel *channel, const struct told *told, int *fd)
{
	if (*fd >= 0)
		copy_body(*fd, told->file_n);
	batch_add(tell_stored, channel, told->request);
}

/* --- the processes --- */

static pid_t supervisor;
/* Everybody has the ends of all: none is ever closed before the house is. */
static struct pair to_auth, to_shard[SHARDS_MAX], mail_to_shard[SHARDS_MAX];

static _Noreturn void open_access(void)
{
	static const struct part part = { .log_in = ask_auth };
	answers_begin(&part);
	for (uint64_t i = 0; i < house->shards; i++)
		add_channel(to_shard[i].end[0], access_hears);
	add_channel(to_auth.end[0], access_hears);
	answers_listen(IMAP, house->ports[IMAP], NULL);
	answers_listen(POP3, house->ports[POP3], NULL);
	if (house->tls)
		answers_listen(IMAP, house->imaps, house->tls);
	loop_run(flush_all);
}

static _Noreturn void open_smtp(void)
{
	static const struct part part = { .take = gather_message, .taken = give_message };
	answers_begin(&part);
	for (uint64_t i = 0; i < house->shards; i++)
		add_channel(mail_to_shard[i].end[0], smtp_hears);
	answers_listen(LMTP, house->ports[LMTP], NULL);
	loop_run(flush_all);
}

static _Noreturn void open_auth(void)
{
	add_channel(to_auth.end[1], auth_hears);
	loop_run(flush_all);
}

static _Noreturn void open_shard(uint64_t number)
{
	static const struct part part = { .ended = count_ended };
	char suffix[24];
	snprintf(suffix, sizeof suffix, ".%llu", (unsigned long long)number);
	logs_open(house->folder, suffix);
	answers_begin(&part);
	add_channel(to_shard[number].end[1], shard_lets_in);
	add_channel(mail_to_shard[number].end[1], shard_takes)->take = logs_add_body;
	loop_run(shard_turn);
}

/* True in the new process, which ends with the first one. */
static bool begin_room(const char *name)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0)
		return false;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != supervisor)
		exit(1);
	prctl(PR_SET_NAME, name);
	loop_begin();
	return true;
}

_Noreturn void house_run(const struct house *own)
{
	house = own;
	supervisor = getpid();
	make_pair(to_auth.end);
	for (uint64_t i = 0; i < house->shards; i++) {
		make_pair(to_shard[i].end);
		make_pair(mail_to_shard[i].end);
	}
	if (begin_room("floor-access"))
		open_access();
	if (begin_room("floor-smtp"))
		open_smtp();
	if (begin_room("floor-auth"))
		open_auth();
	for (uint64_t i = 0; i < house->shards; i++)
		if (begin_room("floor-shard"))
			open_shard(i);
	while (wait(NULL) < 0 && errno == EINTR)
		;
	bench_die("a room has ended", STR(""));
}
