/* supervisor.c: `mansio serve`: start, signals, stop. One struct supervisor on the stack of supervisor_main. The
 * supervisor reads no byte from the network: it keeps the sockets, the keys and the processes.
 *
 *     start (start.c, sockets.c) -> children run -> SIGTERM or SIGINT: stopping, children_stop in order -> all gone: exit 0
 *                                                   again later, or stop_timeout over: children_kill */
#include "proc/supervisor/supervisor.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/random.h"
#include "proc/supervisor/supervisor_private.h"

#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define EXIT_USAGE   64
#define CALLS_MAX    4096
#define SAME_WISH_MS 2000
#define DESCRIPTORS_BESIDE 1024 /* of a process, beside its connections */

static const char usage[] =
	"Usage: mansio serve [-c FILE]\n"
	"\n"
	"Runs the mail server in the foreground; logs go to standard error. SIGTERM or SIGINT stops it,\n"
	"SIGHUP makes it read its configuration, certificate and key again.\n"
	"\n"
	"  -c, --config FILE  configuration (default " CONF_FILE ", or $MANSIO_CONFIG)\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit code: 0 stopped cleanly, 1 could not start, 64 wrong arguments, 78 wrong configuration.\n"
	"\n"
	"Example: mansio serve -c /etc/mansio/mansio.toml\n";

static void stop_further(struct supervisor *s)
{
	if (s->stopping && children_stop(s))
		loop_stop(s->loop);
}

static void on_deadline(void *owner)
{
	log_warning("stop-timeout", LOG_C("meaning", "processes that have not ended are killed"));
	children_kill(owner);
}

static void on_stop_signal(void *owner, int signum)
{
	struct supervisor *s = owner;
	if (s->stopping) {
		/* A terminal and the make or timeout around us each send one for the same wish; later, somebody is
		 * impatient. */
		if (loop_now_ms(s->loop) - s->stop_began_ms > SAME_WISH_MS)
			children_kill(s);
		return;
	}
	log_info("stopping", LOG_C("signal", sigabbrev_np(signum)));
	s->stopping = true;
	s->stop_began_ms = loop_now_ms(s->loop);
	notify_stopping(s->notify, s->conf.server.stop_timeout_ms);
	sockets_close(s);
	loop_timer_start(s->deadline, s->conf.server.stop_timeout_ms);
	stop_further(s);
}

static void on_child_signal(void *owner, int signum)
{
	(void)signum;
	children_reap(owner);
	stop_further(owner);
}

static void on_hangup(void *owner, int signum)
{
	struct supervisor *s = owner;
	(void)signum;
	struct buf json = BUF_INIT(IPC_BODY_MAX), problem = BUF_INIT(PROBLEM_MAX);
	(void)!reload(s, &json, &problem); /* logged */
	buf_free(&json);
	buf_free(&problem);
}

/* Each connection is a descriptor, and two while access relays TLS: as many as the system allows, for the children
 * too. */
static void raise_descriptor_limit(const struct supervisor *s)
{
	struct rlimit limit;
	uint64_t wanted = MAX(2 * s->conf.login.max_connections, s->conf.smtp.max_connections) + DESCRIPTORS_BESIDE;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur < wanted)
		log_warning("few-descriptors", LOG_U("limit", limit.rlim_cur), LOG_U("wanted", wanted),
		            LOG_C("meaning",
		                  "fewer connections are possible than login.max_connections and smtp.max_connections "
		                  "allow; raise the limit of open files (ulimit -n, LimitNOFILE)"));
}

static int watch_signals(struct supervisor *s)
{
	int err = loop_on_signal(s->loop, SIGTERM, on_stop_signal, s);
	if (err == 0)
		err = loop_on_signal(s->loop, SIGINT, on_stop_signal, s);
	if (err == 0)
		err = loop_on_signal(s->loop, SIGHUP, on_hangup, s);
	if (err == 0)
		err = loop_on_signal(s->loop, SIGCHLD, on_child_signal, s);
	return err;
}

static int open_all(struct supervisor *s)
{
	raise_descriptor_limit(s);
	start_choose_users(s);
	start_name_host(s);
	struct buf problem = BUF_INIT(PROBLEM_MAX);
	int err = start_read_keys(s->conf_name, &s->conf, &s->keys, &problem);
	if (err != 0)
		log_error("keys", LOG_S("problem", buf_str(&problem)));
	buf_free(&problem);
	start_log_certificate(s);
	if (err == 0)
		err = start_open_store(s);
	if (err == 0)
		err = sockets_bind(s);
	if (err == 0)
		err = control_socket_open(s);
	if (err == 0)
		err = watch_signals(s);
	return err;
}

static void close_all(struct supervisor *s)
{
	control_socket_free(s);
	sockets_close(s);
	children_free(s);
	ipc_calls_free(&s->calls);
	loop_timer_free(&s->deadline);
	notify_free(&s->notify);
	loop_free(&s->loop);
	key_pair_free(&s->keys);
	buf_free(&s->conf_text);
	conf_free(&s->conf);
	conf_free(&s->first_conf);
	free(s->directory); /* realpath(3)'s */
	if (s->lock_fd >= 0)
		close(s->lock_fd);
}

static int serve(const char *given)
{
	struct supervisor *s = mem_alloc(1, sizeof *s);
	s->lock_fd = -1;
	s->conf_name = str_from_c(conf_choose_file(given, &s->conf_may_be_missing));
	s->log_level = LOG_LEVEL_CONFIGURED;
	s->loop = loop_new();
	s->notify = notify_new(s->loop);
	s->pid = getpid();
	s->started_ms = loop_now_ms(s->loop);
	s->calls = ipc_calls_new(s->loop, CALLS_MAX);
	s->deadline = loop_timer_new(s->loop, on_deadline, s);
	/* It holds the private key and the store's secret. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int code = start_read_configuration(s);
	if (code == 0 && open_all(s) != 0)
		code = 1;
	if (code == 0) {
		random_bytes(s->ticket_key, sizeof s->ticket_key);
		children_make(s);
		children_start(s);
		loop_run(s->loop);
		log_info("stopped");
	}
	close_all(s);
	mem_free(s);
	return code;
}

int supervisor_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = NULL;
	for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (option == 'c') {
			file = optarg;
		} else {
			fputs(usage, option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	log_set_role(STR("supervisor"));
	log_never_wait();
	return serve(file);
}
