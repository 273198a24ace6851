/* stream_receipt.c: how much of what was sent the other side's system has not acknowledged. Owns nothing; asks the kernel. */
#include "base/checked.h"
#include "loop/stream_private.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

uint64_t stream_received(const struct stream *stream)
{
	uint64_t sent = stream->out.sent;
	int waiting = 0;
	if (ioctl(stream->fd, SIOCOUTQ, &waiting) != 0 || waiting < 0)
		return sent;
	return sent - MIN(sent, (uint64_t)waiting);
}

int stream_is_received(const struct stream *stream, bool *all)
{
	int waiting = 0, refused = 0;
	socklen_t n = sizeof refused;
	/* In this order: what is refused meanwhile does not wait any more. */
	if (ioctl(stream->fd, SIOCOUTQ, &waiting) != 0)
		return ERR_IO;
	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &refused, &n) != 0 || refused != 0)
		return ERR_CLOSED;
	*all = waiting == 0;
	return 0;
}
