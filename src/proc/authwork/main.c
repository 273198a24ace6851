/* main.c: the role authwork: hashes and verifies passwords for auth, one at a time, and keeps nothing. Its
 * privileges: its channels, memory and the processor; no file, no socket. */
#include "auth/password.h"
#include "base/mem.h"
#include "ipc/auth_authwork.h"
#include "ipc/channel.h"
#include "proc/role.h"
#include "proc/roles.h"

#include <unistd.h>

struct authwork {
	struct role_process *process;
	struct ipc_channel *auth; /* NULL while it is away */
	uint64_t verified, refused, hashed, failed;
};

_Static_assert(PASSWORD_HASH_MAX == PASSWORD_ENCODED_MAX, "what is hashed can be said");

static int prepare(struct role_process *process)
{
	struct authwork *work = mem_alloc(1, sizeof *work);
	work->process = process;
	process->state = work;
	return 0;
}

/* An unreadable stored hash fits no password. */
static bool verify(struct authwork *work, const struct password_job *job)
{
	int err = password_verify(job->password, job->hash);
	work->verified += err == 0;
	work->refused += err == ERR_DENIED;
	work->failed += err && err != ERR_DENIED;
	if (err && err != ERR_DENIED)
		log_error("password-not-verified", LOG_ERR(err));
	return err == 0;
}

static bool hash(struct authwork *work, const struct password_job *job, char out[PASSWORD_ENCODED_MAX], size_t *n)
{
	const struct conf *conf = &work->process->conf;
	struct password_cost cost = {
		.memory_kb = (uint32_t)(conf->login.password_memory / 1024),
		.iterations = (uint32_t)conf->login.password_iterations,
	};
	int err = password_hash(job->password, &cost, out, n);
	work->hashed += err == 0;
	work->failed += err != 0;
	if (err)
		log_error("password-not-hashed", LOG_ERR(err));
	return err == 0;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct authwork *work = owner;
	struct password_job job;
	char encoded[PASSWORD_ENCODED_MAX];
	size_t n = 0;
	if (*fd != -1 || (type != AUTH_AUTHWORK_VERIFY && type != AUTH_AUTHWORK_HASH))
		return ERR_STATE;
	int err = password_job_decode(body, &job);
	if (err)
		return err;
	struct password_reply reply = { .request = job.request };
	if (type == AUTH_AUTHWORK_VERIFY) {
		reply.ok = verify(work, &job);
	} else {
		reply.ok = hash(work, &job, encoded, &n);
		reply.hash = str_of(encoded, n);
	}
	mem_wipe_str(job.password); /* in the channel's room, which is used again */
	struct buf out = BUF_INIT(IPC_BODY_MAX);
	password_reply_encode(&reply, &out);
	err = buf_error(&out);
	if (!err)
		err = ipc_send(work->auth, AUTHWORK_AUTH_REPLY, buf_str(&out), -1);
	buf_free(&out);
	return err;
}

static void on_closed(void *owner)
{
	struct authwork *work = owner;
	ipc_channel_free(&work->auth);
	role_peer_lost(work->process, ROLE_AUTH, 0);
}

static void on_peer(struct role_process *process, enum role role, uint16_t index, int fd)
{
	struct authwork *work = process->state;
	if (role != ROLE_AUTH) {
		log_error("unexpected-peer", LOG_S("peer", role_name(role)), LOG_U("index", index));
		close(fd);
		return;
	}
	ipc_channel_free(&work->auth);
	work->auth = ipc_channel_new(process->loop, fd, on_message, on_closed, work);
}

static void start(struct role_process *process)
{
	role_ready(process);
}

static void stop(struct role_process *process)
{
	struct authwork *work = process->state;
	process->state = NULL;
	ipc_channel_free(&work->auth);
	mem_free(work);
	role_stopped(process);
}

static void status(struct role_process *process, struct buf *out)
{
	const struct authwork *work = process->state;
	if (!work)
		return; /* stopping */
	role_status_add(out, STR("passwords_right"), work->verified);
	role_status_add(out, STR("passwords_wrong"), work->refused);
	role_status_add(out, STR("passwords_hashed"), work->hashed);
	role_status_add(out, STR("passwords_failed"), work->failed);
}

int authwork_main(void)
{
	static const struct role_definition definition = {
		.role = ROLE_AUTHWORK,
		.sandbox = 0,
		.prepare = prepare,
		.peer = on_peer,
		.start = start,
		.stop = stop,
		.status = status,
	};
	return role_main(&definition);
}
