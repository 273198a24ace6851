/* session.h: what a session engine after login (proto/imap/session.h, proto/pop3/session.h) asks of its owner: a table
 * of functions, since engines do no I/O.
 *
 * The owner holds the session, the account and the output queue; it frees the session, but never from within one of
 * these functions. Whether output may leave yet is the owner's question too: it compares account_batch with
 * store_durable after each flush. */
#ifndef PROTO_SESSION_H
#define PROTO_SESSION_H

#include "base/outq.h"

enum session_resume {
	SESSION_RESUME_SOON,     /* in a later turn of the loop: a slice is over, or a watched mailbox changed */
	SESSION_RESUME_OUTPUT,   /* when less than half of output_pause waits */
	SESSION_RESUME_WRITABLE, /* when the store is writable again */
	SESSION_RESUME_DURABLE,  /* when all that the account has written is durable (account_batch): bulk work in slices
	                            puts one into a batch, so that no COMMIT gets long */
	SESSION_RESUME_PLACE,    /* when store_place_is_free, and from time to time */
	SESSION_RESUME_RECEIVED, /* when `received` may tell more, or the client is gone: then for the last time */
};

struct session_world {
	/* Where responses go; the same queue each time. */
	struct outq *(*output)(void *owner);
	/* Call the engine's resume once when this has come true. Several wishes may stand at once; too many calls do no
	 * harm. */
	void (*want_resume)(void *owner, enum session_resume reason);
	/* The queue has what is to be sent for now; called at the end of each call from outside that wrote something. */
	void (*flush)(void *owner);
	/* Bytes of all output so far that have arrived, as far as the owner can see: where it speaks to the client itself, what
	 * the client's system has acknowledged; else what has left. Compare with sent + total of the queue. */
	uint64_t (*received)(void *owner);
	/* A clock that only grows, for the length of slices. */
	uint64_t (*microseconds)(void *owner);
	/* The session is over (its last words are queued), or the queue failed: close when it is written. No more input is
	 * wanted. */
	void (*close)(void *owner);
	/* True: the range of the file is not in memory; it is being fetched, and the engine will be resumed. NULL: everything
	 * is. */
	bool (*fetch)(void *owner, int fd, uint64_t offset, uint64_t n);
	/* Reads n bytes if that does not wait for a disk: true when it has all of them. NULL: reading never waits. */
	bool (*read)(void *owner, int fd, uint64_t offset, char *to, size_t n);
};

#endif
