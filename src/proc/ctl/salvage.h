/* salvage.h: between salvage.c, which keeps the folders, and salvage_work.c, which reads what is damaged in a process of
 * its own: what kills that costs nothing. */
#ifndef PROC_CTL_SALVAGE_H
#define PROC_CTL_SALVAGE_H

#include "proc/ctl/ctl_private.h"

#include <sys/types.h>

#define SALVAGE_REPORT_MAX (512 * 1024 * 1024)

struct salvage_work {
	const char *auth;     /* folder of the directory */
	const char *from, *to; /* folders of the shard and of the new one */
	uint16_t shard, n_shards;
	bool write;
	pid_t parent; /* who waits for it */
};

/* Becomes the user that `from` belongs to, salvages, and leaves the report as a JSON object in `out`, which has a member
 * "error" when it failed. */
void salvage_work(const struct ctl *ctl, const struct salvage_work *work, struct buf *out);

/* The report for people. `kept`: where the damaged shard is now; NULL: it was only looked at. */
void salvage_print(const struct json_value *report, const char *kept);

#endif
