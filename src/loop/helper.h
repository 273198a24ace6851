/* helper.h: one helper thread for system calls that wait for a disk (fdatasync, cold reads). Jobs are done in order;
 * results come back on the loop. The thread touches nothing but the job it was given. Start it after the sandbox. */
#ifndef LOOP_HELPER_H
#define LOOP_HELPER_H

#include "loop/loop.h"

struct loop_helper;

struct loop_job {
	int (*work)(struct loop_job *job);       /* on the helper thread; result 0 or negative enum err */
	void (*done)(struct loop_job *job, int result); /* on the loop */
	void (*dropped)(struct loop_job *job);   /* may be NULL; instead of done, when the helper is freed before */
	void *owner;
	struct loop_job *next; /* private */
	int result;            /* private */
};

struct loop_helper *loop_helper_new(struct loop *loop);
void loop_helper_free(struct loop_helper **helper); /* waits for the running job; no done() comes any more */
void loop_helper_submit(struct loop_helper *helper, struct loop_job *job); /* job stays the caller's, until done */

#endif
