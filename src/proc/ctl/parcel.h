/* parcel.h: parcels (store/parcel.h) between the command line and the shard of an account, over a socket of their own,
 * with plain blocking calls. The server must run. Arguments of the requests: proc/shard/shard.h, parcel_command. */
#ifndef PROC_CTL_PARCEL_H
#define PROC_CTL_PARCEL_H

#include "proc/ctl/ctl_private.h"
#include "store/parcel.h"

/* Begins a transfer: CONTROL_PARCEL_READ or CONTROL_PARCEL_WRITE; arguments[0] is the address. *fd: our end of the
 * socket, blocking, the caller's to close. Else negative, and *reply (made by ctl_reply_init) says why. */
int ctl_parcel_open(struct ctl *ctl, enum control_command command, const struct str *arguments, uint32_t n, int *fd,
                    struct ctl_reply *reply) MUST_CHECK;

/* Reads a parcel to its end, each frame by a call; the call's result other than 0 ends it and is returned. Other errors
 * are in *reply too: the shard's own words, or what is wrong with the stream. 0: it was whole. */
typedef int ctl_parcel_frame_fn(void *owner, const struct parcel_frame *frame);
int ctl_parcel_read(int fd, ctl_parcel_frame_fn *frame, void *owner, struct ctl_reply *reply) MUST_CHECK;

/* Sending: put frames into `maker` while parcel_has_room, then flush. Answers are taken meanwhile: `answer` is the last,
 * and says what is on disk. */
struct ctl_parcel_sender {
	int fd;
	struct parcel_maker maker;
	struct parcel_answer answer;
	char text[PARCEL_TEXT_MAX]; /* backs answer.text */
	struct buf answers;
	bool over; /* RESULT has come: nothing more can be sent */
	/* Called for each message that the shard refuses, before an answer counts it; NULL: nobody is told. */
	void (*refused)(void *owner, uint64_t number);
	void *owner;
};
void ctl_parcel_sender_begin(struct ctl_parcel_sender *sender, int fd);
void ctl_parcel_sender_free(struct ctl_parcel_sender *sender); /* closes the descriptor */
/* Sends all that was put. Negative: the shard has refused it or is gone, as *reply says. */
int ctl_parcel_flush(struct ctl_parcel_sender *sender, struct ctl_reply *reply) MUST_CHECK;
/* END was put: sends what is left and waits until all is on disk. */
int ctl_parcel_finish(struct ctl_parcel_sender *sender, struct ctl_reply *reply) MUST_CHECK;

#endif
