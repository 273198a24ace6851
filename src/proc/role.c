/* role.c: what all roles do alike: hear the supervisor on descriptor 3 and call the role's table. One struct a
 * process, on the stack of role_main. The supervisor is trusted; a message that does not fit is a bug or a mixed-up
 * version and ends the process.
 *
 *     WAITING --SETUP--> SET_UP --START--> SERVING --STOP--> STOPPING --role_stopped--> (exit 0)
 *
 * The loss of the supervisor ends the process at once: nothing may run unwatched. */
#include "proc/role.h"

#include "base/checked.h"
#include "base/mem.h"
#include "ipc/channel.h"
#include "loop/tls.h"
#include "loop/turns.h"

#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_FD      3
#define ROLE_LABEL_SIZE 32
#define PEERS_OF_A_ROLE 256
#define HEAP_SLACK      (4 * 1024 * 1024)

enum phase { WAITING, SET_UP, SERVING, STOPPING };

struct role_channel {
	struct ipc_channel *ipc;
	const struct role_definition *definition;
	struct role_process *process;
	struct buf setup_text; /* setup's slices point into it */
	struct loop_later leave;
	enum phase phase;
	bool prepared;
	int exit_code;
	uint32_t pairs[ROLE_COUNT][PEERS_OF_A_ROLE]; /* the supervisor's number of each peer's channel */
	struct conf first_conf; /* that the process began with, when it has another now */
	uint8_t log_level;      /* of SUPERVISOR_LOG_LEVEL */
};

static void end_with(struct role_channel *channel, int exit_code)
{
	channel->exit_code = exit_code;
	/* After the channel's own end of turn, which sends what was queued before. */
	loop_later(channel->process->loop, &channel->leave);
}

static void leave_loop(void *owner)
{
	struct role_channel *channel = owner;
	loop_stop(channel->process->loop);
}

static void send_to_supervisor(struct role_process *process, uint16_t type, struct str body)
{
	if (ipc_send(process->channel->ipc, type, body, -1) != 0)
		log_error("supervisor-unreachable", LOG_U("type", type));
}

/* --- set-up --- */

static void name_the_log(const struct setup *setup)
{
	char label[ROLE_LABEL_SIZE];
	int n = snprintf(label, sizeof label, "%.*s.%u", STR_ARG(role_name(setup->role)), (unsigned)setup->index);
	log_set_role(str_of(label, MIN((size_t)n, sizeof label - 1)));
	prctl(PR_SET_NAME, label); /* for ps and top; the first 15 bytes */
}

static int read_configuration(const struct role_process *process, struct str text, struct conf *out)
{
	struct conf_errors errors;
	int err = conf_parse(text, process->setup.config_name, out, &errors);
	for (size_t i = 0; err != 0 && i < errors.n; i++)
		log_error("configuration", LOG_S("problem", errors.list[i].text));
	conf_errors_free(&errors);
	return err;
}

static void set_log_level(const struct role_channel *channel)
{
	log_set_level(channel->log_level == LOG_LEVEL_CONFIGURED ? channel->process->conf.server.log_level
	                                                         : (enum log_level)channel->log_level);
}

static int enter_sandbox(struct role_channel *channel)
{
	struct role_process *process = channel->process;
	struct sandbox_path paths[ROLE_PATHS_MAX];
	struct sandbox_rules rules = { .allow = channel->definition->sandbox, .paths = paths };
	bool landlock_missing = false;
	if (!process->setup.sandbox)
		return 0;
	/* What libraries open at first use must be open by now: OpenSSL's configuration, and the time zone, which
	 * gmtime_r of the log reads too. */
	tls_prepare();
	tzset();
	if (channel->definition->sandbox_paths)
		rules.n_paths = channel->definition->sandbox_paths(process, paths);
	int err = sandbox_enter(&rules, &landlock_missing);
	if (err == 0 && landlock_missing)
		log_warning("landlock-missing", LOG_C("meaning", "this kernel cannot confine the process to its folders"));
	return err;
}

/* The step that failed is logged; the caller ends the process. */
static int set_up(struct role_channel *channel, struct str body)
{
	struct role_process *process = channel->process;
	const char *step = "decode";
	channel->setup_text = BUF_INIT(IPC_BODY_MAX);
	buf_add(&channel->setup_text, body);
	int err = setup_decode(buf_str(&channel->setup_text), &process->setup);
	if (err == 0 && process->setup.role != channel->definition->role)
		err = ERR_STATE;
	if (err == 0) {
		name_the_log(&process->setup);
		step = "configuration";
		err = read_configuration(process, process->setup.config, &process->conf);
	}
	if (err == 0)
		set_log_level(channel);
	if (err == 0) {
		step = "user";
		err = sandbox_drop_user(process->setup.user, process->setup.group);
		/* The change of user has cleared it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	if (err == 0) {
		step = "prepare";
		err = channel->definition->prepare(process);
		channel->prepared = err == 0;
	}
	if (err == 0) {
		step = "sandbox";
		err = enter_sandbox(channel);
	}
	if (err != 0)
		log_error("set-up-failed", LOG_C("step", step), LOG_ERR(err));
	return err;
}

/* --- messages --- */

static int on_keys(struct role_channel *channel, struct str body)
{
	struct role_process *process = channel->process;
	struct keys keys;
	struct tls_context *fresh = NULL;
	int err = keys_decode(body, &keys);
	if (err != 0)
		return err;
	if (keys.certificate.n > 0) {
		int version = process->conf.tls.minimum_version == CONF_TLS_1_3 ? 0x0304 : 0x0303;
		err = tls_context_new(keys.certificate, keys.key, version, &fresh);
		if (err != 0) {
			log_error("keys-refused", LOG_ERR(err));
			return 0;
		}
	}
	tls_context_free(&process->tls);
	process->tls = fresh;
	if (channel->definition->keys)
		channel->definition->keys(process);
	return 0;
}

static int on_listener(struct role_channel *channel, struct str body, int *fd)
{
	struct wire_reader r = wire_reader(body);
	uint8_t service = wire_get_u8(&r);
	if (wire_finish(&r) != 0 || service >= SERVICE_COUNT || *fd < 0 || !channel->definition->listener)
		return ERR_CORRUPT;
	channel->definition->listener(channel->process, (enum service)service, *fd);
	*fd = -1;
	return 0;
}

static int on_peer(struct role_channel *channel, struct str body, int *fd)
{
	struct wire_reader r = wire_reader(body);
	uint8_t role = wire_get_u8(&r);
	uint16_t index = wire_get_u16(&r);
	uint32_t pair = wire_get_u32(&r);
	if (wire_finish(&r) != 0 || role >= ROLE_COUNT || index >= PEERS_OF_A_ROLE || *fd == -1 ||
	    !channel->definition->peer)
		return ERR_CORRUPT;
	channel->pairs[role][index] = pair;
	if (*fd == IPC_FD_LOST) {
		role_peer_lost(channel->process, (enum role)role, index);
		return 0;
	}
	channel->definition->peer(channel->process, (enum role)role, index, *fd);
	*fd = -1;
	return 0;
}

/* While it lasted, nobody else of this process was served. With little CPU time and no sleep, the machine was busy with
 * other things. */
static void on_slow_turn(void *owner, const struct loop_turn *turn)
{
	log_info("slow-turn", LOG_U("us", turn->us), LOG_U("cpu_us", turn->cpu_us), LOG_U("sleeps", turn->sleeps),
	         LOG_U("preemptions", turn->preemptions), LOG_S("longest", turn->longest),
	         LOG_U("longest_us", turn->longest_us));
}

/* Authwork hashes passwords, and keeps nobody waiting by it. */
static void watch_turns(struct role_channel *channel)
{
	if (channel->definition->role != ROLE_AUTHWORK)
		loop_on_slow_turn(channel->process->loop, channel->process->conf.server.slow_turn_ms * 1000, on_slow_turn,
		                  channel);
}

static int on_reload(struct role_channel *channel, struct str body)
{
	struct role_process *process = channel->process;
	struct conf fresh;
	if (channel->phase == STOPPING)
		return 0;
	int err = read_configuration(process, body, &fresh);
	if (err != 0)
		return err;
	conf_replace(&process->conf, &channel->first_conf, &fresh);
	set_log_level(channel);
	if (channel->phase == SERVING)
		watch_turns(channel);
	if (channel->definition->reload)
		channel->definition->reload(process);
	return 0;
}

static int on_log_level(struct role_channel *channel, struct str body)
{
	struct wire_reader r = wire_reader(body);
	uint8_t level = wire_get_u8(&r);
	if (wire_finish(&r) != 0 || (level > LOG_ERROR && level != LOG_LEVEL_CONFIGURED))
		return ERR_CORRUPT;
	channel->log_level = level;
	set_log_level(channel);
	return 0;
}

static int on_status(struct role_channel *channel, struct str body)
{
	struct wire_reader r = wire_reader(body);
	uint64_t request = wire_get_u64(&r);
	if (wire_finish(&r) != 0)
		return ERR_CORRUPT;
	struct buf reply = BUF_INIT(IPC_BODY_MAX);
	wire_put_u64(&reply, request);
	struct loop_turns turns = loop_turns(channel->process->loop);
	role_status_add(&reply, STR("slow_turns"), turns.slow);
	role_status_add(&reply, STR("slow_turns_cpu"), turns.slow_cpu);
	role_status_add(&reply, STR("longest_turn_us"), turns.longest_us);
	role_status_add(&reply, STR("longest_turn_cpu_us"), turns.longest_cpu_us);
	if (channel->definition->status)
		channel->definition->status(channel->process, &reply);
	send_to_supervisor(channel->process, CHILD_STATUS, buf_str(&reply));
	buf_free(&reply);
	return 0;
}

static int on_control(struct role_channel *channel, struct str body, int *fd)
{
	const struct role_definition *definition = channel->definition;
	struct wire_reader r = wire_reader(body);
	uint64_t request = wire_get_u64(&r);
	if (r.failed || (*fd == -1 ? !definition->control : !definition->transfer))
		return ERR_CORRUPT;
	body = str_from(body, sizeof request);
	if (*fd == -1)
		definition->control(channel->process, request, body);
	else
		definition->transfer(channel->process, request, body, *fd);
	*fd = -1;
	return 0;
}

static int on_phase(struct role_channel *channel, uint16_t type, struct str body)
{
	if (body.n != 0 || channel->phase == STOPPING)
		return ERR_CORRUPT;
	if (type == SUPERVISOR_START) {
		channel->phase = SERVING;
		watch_turns(channel);
		channel->definition->start(channel->process);
		return 0;
	}
	channel->phase = STOPPING;
	if (channel->definition->stop)
		channel->definition->stop(channel->process);
	else
		role_stopped(channel->process);
	return 0;
}

static int on_message(void *owner, uint16_t type, struct str body, int *fd)
{
	struct role_channel *channel = owner;
	if ((channel->phase == WAITING) != (type == SUPERVISOR_SETUP))
		return ERR_STATE;
	switch (type) {
	case SUPERVISOR_SETUP:
		channel->phase = SET_UP;
		if (set_up(channel, body) != 0)
			end_with(channel, 1);
		return 0;
	case SUPERVISOR_KEYS:
		return channel->exit_code ? 0 : on_keys(channel, body);
	case SUPERVISOR_LISTENER:
		return channel->exit_code ? 0 : on_listener(channel, body, fd);
	case SUPERVISOR_PEER:
		return channel->exit_code ? 0 : on_peer(channel, body, fd);
	case SUPERVISOR_START:
	case SUPERVISOR_STOP:
		return channel->exit_code ? 0 : on_phase(channel, type, body);
	case SUPERVISOR_STATUS:
		return channel->exit_code ? 0 : on_status(channel, body);
	case SUPERVISOR_CONTROL:
		return channel->exit_code ? 0 : on_control(channel, body, fd);
	case SUPERVISOR_METRICS:
		if (channel->exit_code)
			return 0;
		if (!channel->definition->metrics)
			return ERR_CORRUPT;
		channel->definition->metrics(channel->process, body);
		return 0;
	case SUPERVISOR_RELOAD:
		return channel->exit_code ? 0 : on_reload(channel, body);
	case SUPERVISOR_LOG_LEVEL:
		return channel->exit_code ? 0 : on_log_level(channel, body);
	default:
		return ERR_CORRUPT;
	}
}

static void on_closed(void *owner)
{
	struct role_channel *channel = owner;
	log_error("supervisor-lost");
	end_with(channel, 1);
}

/* --- what the role calls --- */

void role_ready(struct role_process *process)
{
	loop_did_not_serve(process->loop); /* until now there was nobody to serve */
	send_to_supervisor(process, CHILD_READY, (struct str){ NULL, 0 });
}

void role_status_add(struct buf *out, struct str key, uint64_t value)
{
	wire_put_short(out, str_first(key, ROLE_STATUS_KEY_MAX));
	wire_put_u64(out, value);
}

void role_control_reply(struct role_process *process, uint64_t request, struct str body)
{
	struct buf head = BUF_INIT(16);
	wire_put_u64(&head, request);
	if (ipc_send2(process->channel->ipc, CHILD_CONTROL_REPLY, buf_str(&head), body, -1) != 0)
		log_error("control-reply-lost", LOG_U("bytes", body.n));
	buf_free(&head);
}

void role_ask_metrics(struct role_process *process)
{
	send_to_supervisor(process, CHILD_METRICS, (struct str){ NULL, 0 });
}

void role_peer_lost(struct role_process *process, enum role peer, uint16_t index)
{
	char room[16];
	struct buf body = { .p = room, .size = sizeof room, .max = sizeof room };
	if (index >= PEERS_OF_A_ROLE)
		return;
	wire_put_u8(&body, (uint8_t)peer);
	wire_put_u16(&body, index);
	wire_put_u32(&body, process->channel->pairs[peer][index]);
	send_to_supervisor(process, CHILD_PEER_LOST, buf_str(&body));
}

void role_stopped(struct role_process *process)
{
	end_with(process->channel, process->channel->exit_code);
}

void role_failed(struct role_process *process)
{
	end_with(process->channel, 1);
}

/* A body of 20 KB that comes and goes at the top of the heap makes malloc give pages back and fault them in again,
 * which costs more than all that is done with the body. So each role keeps some megabytes of free heap, and takes
 * buffers up to that size from it. */
static void keep_heap(void)
{
	mallopt(M_TRIM_THRESHOLD, HEAP_SLACK);
	mallopt(M_MMAP_THRESHOLD, HEAP_SLACK);
}

int role_main(const struct role_definition *definition)
{
	struct stat status;
	tls_use_memory();
	if (fstat(CONTROL_FD, &status) != 0 || !S_ISSOCK(status.st_mode)) {
		log_error("not-started-by-supervisor", LOG_C("hint", "use: mansio serve"));
		return 64;
	}
	/* What a role makes is its own user's alone. */
	umask(077);
	keep_heap();
	log_gather();
	/* A terminal's Ctrl-C, or a service manager's SIGTERM to the whole group, reaches us too: the supervisor stops
	 * us in order. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct role_process process = { .loop = loop_new() };
	struct role_channel channel = { .definition = definition, .process = &process, .log_level = LOG_LEVEL_CONFIGURED };
	channel.leave = (struct loop_later){ .fn = leave_loop, .owner = &channel };
	process.channel = &channel;
	channel.ipc = ipc_channel_new(process.loop, CONTROL_FD, on_message, on_closed, &channel);
	loop_run(process.loop);
	if (channel.prepared && definition->finish)
		definition->finish(&process);
	ipc_channel_free(&channel.ipc);
	tls_context_free(&process.tls);
	conf_free(&process.conf);
	conf_free(&channel.first_conf);
	buf_free(&channel.setup_text);
	loop_free(&process.loop);
	return channel.exit_code;
}
