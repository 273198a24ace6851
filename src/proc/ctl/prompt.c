/* prompt.c: passwords from people, files or chance, never from arguments, which every user of the machine can read. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ANSWER_MAX  64
#define INTERRUPTED (-2) /* in place of a number of bytes */

/* Everything until the end, at most max bytes; -1 on error, max + 1 when there is more. */
static ssize_t read_up_to(int fd, char *out, size_t max)
{
	size_t have = 0;
	while (have <= max) {
		char byte;
		ssize_t n = read(fd, have < max ? out + have : &byte, have < max ? max - have : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* The file's bytes without the line end that editors put behind them. */
static int read_password_file(struct ctl *ctl, struct str file, struct buf *problem)
{
	char text[PASSWORD_MAX + 2];
	bool is_stdin = str_eq(file, STR("-"));
	int fd = is_stdin ? STDIN_FILENO : open(file.p, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read_up_to(fd, text, sizeof text);
	if (n < 0)
		buf_addf(problem, "cannot read the password file %.*s: %m", STR_ARG(file));
	if (fd >= 0 && !is_stdin)
		close(fd);
	if (n < 0 || (size_t)n > sizeof text) {
		mem_wipe(text, sizeof text);
		if (n >= 0)
			buf_add(problem, STR("the password is too long"));
		return ERR_IO;
	}
	struct str password = str_of(text, (size_t)n);
	if (str_ends(password, STR("\n")))
		password.n--;
	if (str_ends(password, STR("\r")))
		password.n--;
	bool good = password.n > 0 && password.n <= PASSWORD_MAX && str_find_byte(password, '\n') < 0 &&
		    str_find_byte(password, '\0') < 0;
	if (good) {
		memcpy(ctl->password, password.p, password.n);
		ctl->password_n = password.n;
	}
	mem_wipe(text, sizeof text);
	if (!good)
		buf_add(problem, STR("the password file must hold one line that is not empty nor longer than 1024 bytes"));
	return good ? 0 : ERR_SYNTAX;
}

static int open_terminal(void)
{
	return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

static void say(int tty, const char *text)
{
	ssize_t written = write(tty, text, strlen(text)); /* a terminal that cannot be written shows in the reading */
	(void)written;
}

/* One line, without its end; -1 at the end of input or when it is too long; INTERRUPTED when a signal waits in `signals`
 * (-1: none are looked for). */
static ssize_t read_line(int tty, int signals, char *out, size_t max)
{
	for (size_t n = 0;;) {
		struct pollfd ready[] = { { .fd = tty, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
		char c;
		if (poll(ready, COUNT_OF(ready), -1) < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (ready[1].revents)
			return INTERRUPTED;
		if (read(tty, &c, 1) != 1)
			return -1;
		if (c == '\n')
			return n > max ? -1 : (ssize_t)n;
		if (n < max)
			out[n] = c;
		n += n <= max;
	}
}

/* Those that end or stop this process wait until the echo is back, and are taken then: whoever types Ctrl-C has it at
 * once, and who types fg after Ctrl-Z is asked again. */
static void signals_that_end(sigset_t *out)
{
	static const int LIST[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGALRM, SIGPIPE, SIGUSR1, SIGUSR2 };
	sigemptyset(out);
	for (size_t i = 0; i < COUNT_OF(LIST); i++)
		sigaddset(out, LIST[i]);
}

/* Asks without echo. */
static ssize_t ask_hidden(int tty, const char *question, char *out, size_t max)
{
	struct termios before, hidden;
	sigset_t blocked, old;
	ssize_t n;
	if (tcgetattr(tty, &before) < 0)
		return -1;
	hidden = before;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	signals_that_end(&blocked);
	int signals = signalfd(-1, &blocked, SFD_CLOEXEC);
	if (signals < 0)
		return -1;
	do {
		sigprocmask(SIG_BLOCK, &blocked, &old);
		tcsetattr(tty, TCSAFLUSH, &hidden);
		say(tty, question);
		n = read_line(tty, signals, out, max);
		say(tty, "\n");
		tcsetattr(tty, TCSAFLUSH, &before);
		sigprocmask(SIG_SETMASK, &old, NULL);
	} while (n == INTERRUPTED); /* it was stopped and goes on, or the signal is ignored */
	close(signals);
	return n;
}

static int ask_password(struct ctl *ctl, struct buf *problem)
{
	char again[PASSWORD_MAX];
	int tty = open_terminal();
	if (tty < 0) {
		buf_add(problem, STR("there is no terminal to ask for the password; say --password-file FILE (- for standard "
		                     "input) or --generate-password"));
		return ERR_UNAVAILABLE;
	}
	ssize_t n = ask_hidden(tty, "New password: ", ctl->password, sizeof ctl->password);
	ssize_t m = n > 0 ? ask_hidden(tty, "The same again: ", again, sizeof again) : -1;
	close(tty);
	bool same = n > 0 && n == m && memcmp(ctl->password, again, (size_t)n) == 0;
	mem_wipe(again, sizeof again);
	if (!same) {
		buf_add(problem, n > 0 ? STR("the two passwords are not the same") : STR("no password, or one that is too long"));
		return ERR_SYNTAX;
	}
	ctl->password_n = (size_t)n;
	return 0;
}

int ctl_read_password(struct ctl *ctl, struct buf *problem)
{
	struct str file = ctl_option(ctl, "--password-file");
	bool generate = ctl_flag(ctl, "--generate-password");
	if (generate && file.n) {
		buf_add(problem, STR("--generate-password and --password-file exclude each other"));
		return ERR_SYNTAX;
	}
	if (generate) {
		password_generate(ctl->password);
		ctl->password_n = PASSWORD_GENERATED_SIZE;
		return 0;
	}
	return file.n ? read_password_file(ctl, file, problem) : ask_password(ctl, problem);
}

int ctl_confirm(const char *question, const char *wanted)
{
	char answer[ANSWER_MAX];
	int tty = isatty(STDIN_FILENO) ? open_terminal() : -1;
	if (tty < 0)
		return ERR_UNAVAILABLE;
	say(tty, question);
	ssize_t n = read_line(tty, -1, answer, sizeof answer);
	close(tty);
	return n >= 0 && str_eq(str_trim(str_of(answer, (size_t)n)), str_from_c(wanted)) ? 0 : ERR_DENIED;
}
