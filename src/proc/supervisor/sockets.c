/* sockets.c: binds every address of [listen]. The sockets stay with the supervisor for all its life, so that a
 * restarted role gets the same ones, with the connections that wait in them. */
#include "proc/supervisor/supervisor_private.h"

#include "base/checked.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SAME_PORT_TRIES 32 /* port 0 of both families: the kernel's choice for IPv4 may be taken in IPv6 */

union socket_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un local;
};

static int add_listening(struct supervisor *s, enum service service, int fd, struct str path)
{
	struct listening *listening = &s->listening[s->n_listening];
	*listening = (struct listening){ .service = service, .fd = fd, .path = path };
	int err = socket_own_address(fd, &listening->address);
	if (err == 0)
		s->n_listening++;
	return err;
}

/* A bound, listening socket, or -1 with errno. */
static int open_socket(const struct supervisor *s, const union socket_address *address, socklen_t n)
{
	int one = 1;
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (address->any.sa_family != AF_UNIX) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		/* Inherited by every connection; the roles gather replies by their turns. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	if (address->any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(fd, &address->any, n) == 0 && listen(fd, (int)s->conf.listen.backlog) == 0)
		return fd;
	int problem = errno;
	close(fd);
	errno = problem;
	return -1;
}

static int open_ipv4(const struct supervisor *s, const char *host, uint16_t port)
{
	union socket_address address = { .ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	if (inet_pton(AF_INET, host, &address.ipv4.sin_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	return open_socket(s, &address, sizeof address.ipv4);
}

static int open_ipv6(const struct supervisor *s, const char *host, uint16_t port)
{
	union socket_address address = { .ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	if (inet_pton(AF_INET6, host, &address.ipv6.sin6_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	return open_socket(s, &address, sizeof address.ipv6);
}

/* All addresses of both families, at the same port. A host without IPv6 gets IPv4 alone. */
static bool open_both(const struct supervisor *s, uint16_t port, int *ipv4, int *ipv6)
{
	for (int i = 0; i < SAME_PORT_TRIES; i++) {
		struct peer_address own = { 0 };
		*ipv4 = open_ipv4(s, "0.0.0.0", port);
		if (*ipv4 < 0 || socket_own_address(*ipv4, &own) != 0)
			return false;
		*ipv6 = open_ipv6(s, "::", own.port);
		if (*ipv6 >= 0 || errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)
			return true;
		int problem = errno;
		close(*ipv4);
		*ipv4 = -1;
		errno = problem;
		if (port != 0 || problem != EADDRINUSE)
			return false;
	}
	return false;
}

static int cannot_listen(enum service service, struct str where)
{
	log_error("cannot-listen", LOG_S("service", service_name(service)), LOG_S("address", where),
	          LOG_C("error", strerror(errno)));
	return ERR_IO;
}

static int bind_address(struct supervisor *s, enum service service, const struct conf_address *address)
{
	int fds[2] = { -1, -1 };
	bool good = false;
	if (s->n_listening + COUNT_OF(fds) > LISTENING_MAX)
		return ERR_LIMIT;
	switch (address->family) {
	case CONF_FAMILY_BOTH:
		good = open_both(s, address->port, &fds[0], &fds[1]);
		break;
	case CONF_FAMILY_IPV4:
		good = (fds[0] = open_ipv4(s, address->host.p, address->port)) >= 0;
		break;
	case CONF_FAMILY_IPV6:
		good = (fds[0] = open_ipv6(s, address->host.p, address->port)) >= 0;
		break;
	}
	if (!good)
		return cannot_listen(service, address->text);
	int err = 0;
	for (size_t i = 0; i < COUNT_OF(fds) && err == 0; i++) {
		if (fds[i] >= 0)
			err = add_listening(s, service, fds[i], (struct str){ NULL, 0 });
	}
	return err;
}

/* Whether nobody holds the socket any more (unix(7), connect: ECONNREFUSED): a server that was killed left it behind.
 * The store's lock does not tell: a server with another store, or another program, may be there. */
static bool is_stale(const union socket_address *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	bool stale = connect(fd, &address->any, sizeof address->local) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

int socket_path_clear(struct str service, struct str path, const char *setting)
{
	union socket_address address = { .local = { .sun_family = AF_UNIX } };
	struct stat status;
	if (path.n >= sizeof address.local.sun_path)
		return ERR_LIMIT;
	memcpy(address.local.sun_path, path.p, path.n);
	if (lstat(path.p, &status) != 0 || !S_ISSOCK(status.st_mode))
		return 0; /* nothing, or what bind() will complain of */
	if (is_stale(&address)) {
		unlink(path.p);
		return 0;
	}
	log_error("cannot-listen", LOG_S("service", service), LOG_S("address", path),
	          LOG_C("error", "this socket is in use by another server or program: stop that one, or name another path in "
	                         "the setting"),
	          LOG_C("setting", setting));
	return ERR_EXISTS;
}

bool socket_path_note(struct str path, struct socket_file *out)
{
	struct stat status;
	if (lstat(path.p, &status) != 0)
		return false;
	*out = (struct socket_file){ status.st_dev, status.st_ino };
	return true;
}

void socket_path_remove(struct str path, const struct socket_file *file)
{
	struct socket_file there;
	if (socket_path_note(path, &there) && there.device == file->device && there.inode == file->inode)
		unlink(path.p);
}

/* Open to every local user, since LMTP knows no users: who may reach it is said by the mode of the folder it lies
 * in. */
static int bind_unix(struct supervisor *s, enum service service, struct str path)
{
	union socket_address address = { .local = { .sun_family = AF_UNIX } };
	struct socket_file file;
	int err = socket_path_clear(service_name(service), path, "listen.lmtp_socket");
	if (err != 0)
		return err;
	memcpy(address.local.sun_path, path.p, path.n);
	int fd = open_socket(s, &address, sizeof address.local);
	if (fd < 0)
		return cannot_listen(service, path);
	if (chmod(address.local.sun_path, 0666) != 0 || !socket_path_note(path, &file))
		err = cannot_listen(service, path);
	else
		err = add_listening(s, service, fd, path);
	if (err != 0) {
		close(fd);
		return err;
	}
	s->listening[s->n_listening - 1].file = file;
	return 0;
}

static void log_listening(const struct listening *listening)
{
	if (listening->path.n > 0)
		log_info("listening", LOG_S("service", service_name(listening->service)), LOG_S("address", listening->path));
	else
		log_info("listening", LOG_S("service", service_name(listening->service)),
		         LOG_C("address", listening->address.text), LOG_U("port", listening->address.port));
}

int sockets_bind(struct supervisor *s)
{
	const struct {
		enum service service;
		const struct conf_addresses *addresses;
	} wanted[] = {
		{ SERVICE_IMAP, &s->conf.listen.imap },   { SERVICE_IMAPS, &s->conf.listen.imaps },
		{ SERVICE_POP3, &s->conf.listen.pop3 },   { SERVICE_POP3S, &s->conf.listen.pop3s },
		{ SERVICE_SMTP, &s->conf.listen.smtp },   { SERVICE_LMTP, &s->conf.listen.lmtp },
		{ SERVICE_METRICS, &s->conf.metrics.listen },
		{ SERVICE_SUBMISSION, &s->conf.listen.submission }, { SERVICE_SUBMISSIONS, &s->conf.listen.submissions },
	};
	int err = 0;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		for (size_t k = 0; k < wanted[i].addresses->n && err == 0; k++)
			err = bind_address(s, wanted[i].service, &wanted[i].addresses->list[k]);
	}
	if (err == 0 && s->conf.listen.lmtp_socket.n > 0)
		err = bind_unix(s, SERVICE_LMTP, s->conf.listen.lmtp_socket);
	for (size_t i = 0; i < s->n_listening && err == 0; i++)
		log_listening(&s->listening[i]);
	return err;
}

void sockets_close(struct supervisor *s)
{
	for (size_t i = 0; i < s->n_listening; i++) {
		if (s->listening[i].path.n > 0)
			socket_path_remove(s->listening[i].path, &s->listening[i].file);
		close(s->listening[i].fd);
	}
	s->n_listening = 0;
}
