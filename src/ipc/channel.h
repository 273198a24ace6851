/* channel.h: one end of a socketpair between two processes: framed, encoded messages, descriptors passed beside them.
 * The other side is hostile: a frame that is too long, unknown, malformed or out of phase closes the channel, not us.
 *
 * Frame: u32 length of body, u16 type, u8 number of descriptors (0 or 1), u8 zero; then the body. */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "base/buf.h"
#include "loop/loop.h"

#define IPC_BODY_MAX   (1088 * 1024)     /* one message (1 MB of payload and what describes it); larger things travel as descriptors */
#define IPC_QUEUE_MAX  (64 * 1024 * 1024) /* output queued for a slow peer; beyond it ipc_send says ERR_UNAVAILABLE */
#define IPC_FDS_MAX    768                /* the same for descriptors: more than a role gets at its start, all in one turn */

struct ipc_channel;

/* In place of a descriptor that came when this process could have no more (EMFILE): the message is whole, the
 * descriptor gone. */
#define IPC_FD_LOST (-2)

/* A message has come. `body` is valid during the call; *fd is -1 (none), IPC_FD_LOST, or a descriptor: set it to -1
 * to keep it, else it is closed. Negative result: the message was malformed or not allowed now; the channel is
 * closed and closed() is called. */
typedef int ipc_message_fn(void *owner, uint16_t type, struct str body, int *fd);
/* The peer is gone (or was dropped). The owner frees the channel now or later. */
typedef void ipc_closed_fn(void *owner);

/* Takes over the descriptor (non-blocking). */
struct ipc_channel *ipc_channel_new(struct loop *loop, int fd, ipc_message_fn *message, ipc_closed_fn *closed,
                                    void *owner);
void ipc_channel_free(struct ipc_channel **channel);

/* Queues one message; sent at the end of the turn, many in one write. The descriptor (or -1) is duplicated into the
 * queue: it stays the caller's to close. ERR_UNAVAILABLE when the queue is full or the channel closed, ERR_LIMIT for
 * a body over IPC_BODY_MAX. */
int ipc_send(struct ipc_channel *channel, uint16_t type, struct str body, int fd) MUST_CHECK;
/* Same, and the descriptor becomes the channel's when the result is 0: *fd is -1 then. Two system calls less. */
int ipc_pass(struct ipc_channel *channel, uint16_t type, struct str body, int *fd) MUST_CHECK;
/* As ipc_send, the body in two parts (a head and a large payload), saving the caller a copy. */
int ipc_send2(struct ipc_channel *channel, uint16_t type, struct str head, struct str payload, int fd) MUST_CHECK;

/* Has all that the other side has sent until now been handed to message()? False within a call of message(), and when
 * the other side is gone. A system call. */
bool ipc_is_quiet(const struct ipc_channel *channel);

#endif
