/* notify.c: the service manager hears of start, reload, stop and life. One struct, owned by the supervisor. What cannot
 * be sent is lost: the server works without a manager, and a manager has time limits of its own.
 *
 *     STARTING --all processes ready: READY=1--> SERVING --RELOADING=1, then READY=1--> SERVING
 *     STARTING or SERVING --STOPPING=1--> ENDING */
#include "proc/supervisor/notify.h"

#include "base/buf.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX     256
#define SEND_SECONDS    1    /* a manager may be slow to read while the machine starts */
#define STOP_EXTRA_MS   5000 /* beyond the time that the processes have: killing them, and the end */
#define WATCHDOG_US_MAX (UINT64_C(86400) * 1000000)

enum notify_phase { STARTING, SERVING, ENDING };

struct notify {
	int fd; /* -1: no manager */
	struct sockaddr_un address;
	socklen_t address_size;
	enum notify_phase phase;
	bool complained;
	struct loop_timer *watchdog; /* NULL: none wished for */
	uint64_t watchdog_ms;
};

static void complain(struct notify *notify, const char *problem)
{
	if (!notify->complained)
		log_warning("service-manager-unreachable", LOG_C("error", problem));
	notify->complained = true;
}

static void send_state(struct notify *notify, struct str state)
{
	if (notify->fd >= 0 && sendto(notify->fd, state.p, state.n, MSG_NOSIGNAL, (const struct sockaddr *)&notify->address,
	                              notify->address_size) < 0)
		complain(notify, strerror(errno));
}

static void on_watchdog(void *owner)
{
	struct notify *notify = owner;
	send_state(notify, STR("WATCHDOG=1\n"));
	loop_timer_start(notify->watchdog, notify->watchdog_ms);
}

/* --- what the environment says --- */

/* A socket of its own for each message would do too, but not where descriptors have run out. */
static void open_socket(struct notify *notify, struct str name)
{
	struct timeval patience = { .tv_sec = SEND_SECONDS };
	if (name.n < 2 || name.n >= sizeof notify->address.sun_path || (name.p[0] != '/' && name.p[0] != '@')) {
		complain(notify, "NOTIFY_SOCKET is neither a path nor an abstract name");
		return;
	}
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, name.p, name.n);
	if (name.p[0] == '@')
		notify->address.sun_path[0] = '\0'; /* unix(7): a name without a file, as long as the address says */
	notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name.n);
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify->fd < 0 || setsockopt(notify->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0)
		complain(notify, strerror(errno));
}

static void start_watchdog(struct notify *notify, struct loop *loop, struct str microseconds, struct str pid)
{
	uint64_t wished = 0, process = (uint64_t)getpid();
	if (pid.n > 0 && (str_to_u64(pid, INT32_MAX, &process) != 0 || process != (uint64_t)getpid()))
		return;
	if (str_to_u64(microseconds, WATCHDOG_US_MAX, &wished) != 0 || wished == 0)
		return;
	notify->watchdog_ms = MAX(wished / 2000, UINT64_C(1));
	notify->watchdog = loop_timer_new(loop, on_watchdog, notify);
	loop_timer_start(notify->watchdog, notify->watchdog_ms);
}

struct notify *notify_new(struct loop *loop)
{
	struct notify *notify = mem_alloc(1, sizeof *notify);
	struct str name = str_from_c(getenv("NOTIFY_SOCKET"));
	notify->fd = -1;
	if (name.n > 0)
		open_socket(notify, name);
	if (notify->fd >= 0)
		start_watchdog(notify, loop, str_from_c(getenv("WATCHDOG_USEC")), str_from_c(getenv("WATCHDOG_PID")));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return notify;
}

void notify_free(struct notify **notify)
{
	if (!*notify)
		return;
	loop_timer_free(&(*notify)->watchdog);
	if ((*notify)->fd >= 0)
		close((*notify)->fd);
	mem_free(*notify);
	*notify = NULL;
}

/* --- what the manager is told --- */

static void add_status(struct buf *state, size_t ready, size_t all)
{
	if (ready == all)
		buf_addf(state, "STATUS=All %zu processes are ready.\n", all);
	else
		buf_addf(state, "STATUS=%zu of %zu processes are ready.\n", ready, all);
}

void notify_processes(struct notify *notify, size_t ready, size_t all)
{
	char room[MESSAGE_MAX];
	struct buf state = { .p = room, .size = sizeof room, .max = sizeof room };
	if (notify->phase == ENDING)
		return;
	if (notify->phase == STARTING && ready == all) {
		notify->phase = SERVING;
		buf_add(&state, STR("READY=1\n"));
	}
	add_status(&state, ready, all);
	send_state(notify, buf_str(&state));
}

/* The time lets a manager tell this reload from one before it (systemd's Type=notify-reload). */
void notify_reloading(struct notify *notify)
{
	char room[MESSAGE_MAX];
	struct buf state = { .p = room, .size = sizeof room, .max = sizeof room };
	if (notify->phase != SERVING)
		return;
	buf_addf(&state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n", clock_monotonic_us());
	send_state(notify, buf_str(&state));
}

void notify_reloaded(struct notify *notify)
{
	if (notify->phase == SERVING)
		send_state(notify, STR("READY=1\n"));
}

void notify_stopping(struct notify *notify, uint64_t within_ms)
{
	char room[MESSAGE_MAX];
	struct buf state = { .p = room, .size = sizeof room, .max = sizeof room };
	notify->phase = ENDING;
	buf_addf(&state, "STOPPING=1\nSTATUS=Stopping.\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
	         (within_ms + STOP_EXTRA_MS) * 1000);
	send_state(notify, buf_str(&state));
}
