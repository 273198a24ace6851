/* request.c: one request to the running server, over its control socket, with plain blocking calls: this process has
 * nothing else to do. Without a server it is carried out offline. */
#include "proc/ctl/ctl_private.h"

#include "base/checked.h"
#include "base/mem.h"
#include "ipc/channel.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 60
#define FRAME_HEAD       8 /* ipc/channel.h: u32 length, u16 type, u8 descriptors, u8 zero */

void ctl_reply_init(struct ctl_reply *reply)
{
	*reply = (struct ctl_reply){ .message = BUF_INIT(64 * 1024), .json = BUF_INIT(IPC_BODY_MAX) };
}

void ctl_reply_free(struct ctl_reply *reply)
{
	buf_free(&reply->message);
	buf_free(&reply->json);
}

void ctl_reply_fail(struct ctl_reply *reply, int result, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	reply->result = result;
	buf_clear(&reply->json);
	buf_clear(&reply->message);
	buf_add(&reply->message, str_of(text, MIN((size_t)MAX(n, 0), sizeof text - 1)));
}

/* The connected socket, ERR_NOT_FOUND when nobody listens, or the reply says why not. */
static int connect_server(const struct ctl *ctl, struct ctl_reply *reply, int *out)
{
	struct str path = ctl->conf.server.control_socket;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (path.n >= sizeof address.sun_path) {
		ctl_reply_fail(reply, ERR_LIMIT, "the path of the control socket is too long");
		return ERR_LIMIT;
	}
	memcpy(address.sun_path, path.p, path.n);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_S };
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
			*out = fd;
			return 0;
		}
	}
	int errnum = errno;
	if (fd >= 0)
		close(fd);
	if (errnum == ENOENT || errnum == ECONNREFUSED)
		return ERR_NOT_FOUND;
	int err = errnum == EACCES || errnum == EPERM ? ERR_DENIED : ERR_UNAVAILABLE;
	errno = errnum;
	ctl_reply_fail(reply, err, "cannot reach the server at %.*s: %m%s", STR_ARG(path),
	               err == ERR_DENIED ? "; run this as root, or as the user who starts the server" : "");
	return err;
}

static int send_all(int fd, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERR_CLOSED;
		bytes = str_from(bytes, (size_t)n);
	}
	return 0;
}

static int receive_all(int fd, char *to, size_t wanted)
{
	while (wanted) {
		ssize_t n = recv(fd, to, wanted, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return ERR_TIMEOUT;
		if (n <= 0)
			return ERR_CLOSED;
		to += n;
		wanted -= (size_t)n;
	}
	return 0;
}

/* With the first bytes of a frame. */
static int send_descriptor(int fd, struct str bytes, int descriptor, size_t *sent)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec part = { .iov_base = (char *)bytes.p, .iov_len = bytes.n };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room,
		                  .msg_controllen = sizeof control.room };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof descriptor);
	memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
	ssize_t n;
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return ERR_CLOSED;
	*sent = (size_t)n;
	return 0;
}

/* descriptor: -1, or what goes with it. */
static int send_frame(int fd, const struct control_request *request, int descriptor)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX), frame = BUF_INIT(IPC_BODY_MAX + FRAME_HEAD);
	control_request_encode(request, &body);
	wire_put_u32(&frame, (uint32_t)body.n);
	wire_put_u16(&frame, CONTROL_REQUEST);
	wire_put_u16(&frame, descriptor >= 0); /* how many descriptors, and a zero */
	buf_add(&frame, buf_str(&body));
	int err = buf_error(&body) ? ERR_LIMIT : buf_error(&frame);
	size_t sent = 0;
	if (!err && descriptor >= 0)
		err = send_descriptor(fd, buf_str(&frame), descriptor, &sent);
	if (!err)
		err = send_all(fd, str_from(buf_str(&frame), sent));
	mem_wipe(body.p, body.n);
	mem_wipe(frame.p, frame.n);
	buf_free(&body);
	buf_free(&frame);
	return err;
}

static int receive_frame(int fd, struct buf *body)
{
	char head[FRAME_HEAD];
	int err = receive_all(fd, head, sizeof head);
	if (err)
		return err;
	struct wire_reader r = wire_reader(str_of(head, sizeof head));
	uint32_t length = wire_get_u32(&r);
	uint16_t type = wire_get_u16(&r), rest = wire_get_u16(&r);
	if (type != CONTROL_REPLY || rest != 0 || length > IPC_BODY_MAX)
		return ERR_CORRUPT;
	char *room = buf_reserve(body, length);
	if (!room)
		return ERR_LIMIT;
	err = receive_all(fd, room, length);
	if (!err)
		buf_commit(body, length);
	return err;
}

static int receive_reply(int fd, struct ctl_reply *reply)
{
	struct buf body = BUF_INIT(IPC_BODY_MAX);
	struct control_reply answer;
	int err = receive_frame(fd, &body);
	if (!err)
		err = control_reply_decode(buf_str(&body), &answer);
	if (!err) {
		reply->result = answer.result;
		buf_clear(&reply->message);
		buf_clear(&reply->json);
		buf_add(&reply->message, answer.message);
		buf_add(&reply->json, answer.json);
	}
	buf_free(&body);
	return err;
}

int ctl_request_online(struct ctl *ctl, const struct control_request *request, struct ctl_reply *reply)
{
	return ctl_request_with(ctl, request, -1, reply);
}

int ctl_request_with(struct ctl *ctl, const struct control_request *request, int descriptor, struct ctl_reply *reply)
{
	int fd;
	int err = connect_server(ctl, reply, &fd);
	if (err)
		return err;
	err = send_frame(fd, request, descriptor);
	if (!err)
		err = receive_reply(fd, reply);
	close(fd);
	if (err == ERR_TIMEOUT)
		ctl_reply_fail(reply, err, "the server does not answer");
	else if (err == ERR_CLOSED)
		ctl_reply_fail(reply, err, "the server closed the connection; is it stopping, and are you allowed to ask it?");
	else if (err)
		ctl_reply_fail(reply, err, "the server's answer cannot be read; is it of another version?");
	return err;
}

void ctl_request(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
		 struct ctl_reply *reply)
{
	struct control_request request = { .command = command, .n_arguments = MIN(n, (uint32_t)CONTROL_ARGUMENTS_MAX) };
	for (uint32_t i = 0; i < request.n_arguments; i++)
		request.arguments[i] = arguments[i];
	if (ctl->offline || ctl_request_online(ctl, &request, reply) == ERR_NOT_FOUND)
		ctl_request_offline(ctl, &request, reply);
}

int ctl_ask(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
            struct ctl_reply *reply, struct arena *arena, struct json_value **out)
{
	bool silent;
	int result = ctl_ask_process(ctl, command, arguments, n, reply, arena, out, &silent);
	return silent ? ctl_fail_reply(ctl, reply) : result;
}

int ctl_ask_process(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n,
                    struct ctl_reply *reply, struct arena *arena, struct json_value **out, bool *silent)
{
	struct control_request request = { .command = command, .n_arguments = n };
	for (uint32_t i = 0; i < n; i++)
		request.arguments[i] = arguments[i];
	int result = ctl_request_online(ctl, &request, reply);
	*silent = result == 0 && reply->result == ERR_UNAVAILABLE;
	if (*silent)
		return EXIT_UNAVAILABLE;
	if (result == ERR_NOT_FOUND && reply->result == 0) {
		char text[256];
		snprintf(text, sizeof text, "the server must run for this, and nobody answers at %.*s",
		         STR_ARG(str_first(ctl->conf.server.control_socket, 150)));
		return ctl_fail(ctl, EXIT_UNAVAILABLE, "unavailable", str_from_c(text));
	}
	if (reply->result)
		return ctl_fail_reply(ctl, reply);
	if (json_parse(buf_str(&reply->json), arena, out) < 0)
		return ctl_fail(ctl, EXIT_FAILED, "corrupt",
		                STR("the server's answer cannot be read; is it of another version?"));
	return EXIT_DONE;
}
