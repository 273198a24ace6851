/* progress.c: the line on the terminal while something long goes on (progress.h). No state but the caller's. */
#include "proc/ctl/progress.h"

#include "base/clock.h"
#include "proc/ctl/ctl_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define TELL_EVERY_US 200000
#define RATE_AFTER_US 1000000 /* before that a rate says little */
#define LINE_MAX_SIZE 200
#define ERASE_LINE    "\r\033[K"

void progress_begin(struct progress *progress, const char *what, uint64_t total, const char *items_of)
{
	uint64_t now = clock_monotonic_us();
	*progress = (struct progress){ .what = what, .items_of = items_of, .total = total, .begun_us = now, .told_us = 0,
		                       .terminal = isatty(STDERR_FILENO) == 1 };
}

void progress_skip(struct progress *progress, uint64_t bytes, uint64_t items)
{
	progress->bytes += bytes;
	progress->begun_bytes += bytes;
	progress->items += items;
}

static void add_amount(const struct progress *progress, struct buf *line)
{
	char done[32], total[32];
	ctl_print_bytes(progress->bytes, done, sizeof done);
	buf_addf(line, "%s: %s", progress->what, done);
	if (progress->total) {
		uint64_t shown = progress->bytes < progress->total ? progress->bytes : progress->total;
		ctl_print_bytes(progress->total, total, sizeof total);
		buf_addf(line, " of %s (%.0f%%)", total, 100.0 * (double)shown / (double)progress->total);
	}
	if (progress->items_of)
		buf_addf(line, "  %" PRIu64 " %s", progress->items, progress->items_of);
}

static void add_rate(const struct progress *progress, uint64_t now_us, struct buf *line)
{
	char rate[32];
	uint64_t took_us = now_us - progress->begun_us, since = progress->bytes - progress->begun_bytes;
	if (took_us < RATE_AFTER_US || since == 0)
		return;
	double per_second = (double)since * 1e6 / (double)took_us;
	ctl_print_bytes((uint64_t)per_second, rate, sizeof rate);
	buf_addf(line, "  %s/s", rate);
	if (progress->total <= progress->bytes)
		return;
	uint64_t left = (uint64_t)((double)(progress->total - progress->bytes) / per_second) + 1;
	if (left >= 3600)
		buf_addf(line, "  %" PRIu64 "h %" PRIu64 "m left", left / 3600, left / 60 % 60);
	else if (left >= 60)
		buf_addf(line, "  %" PRIu64 "m %" PRIu64 "s left", left / 60, left % 60);
	else
		buf_addf(line, "  %" PRIu64 "s left", left);
}

void progress_set(struct progress *progress, uint64_t bytes, uint64_t items)
{
	char room[LINE_MAX_SIZE];
	struct buf line = { .p = room, .size = sizeof room, .max = sizeof room };
	progress->bytes = bytes;
	progress->items = items;
	if (!progress->terminal)
		return;
	uint64_t now_us = clock_monotonic_us();
	if (now_us - progress->told_us < TELL_EVERY_US)
		return;
	progress->told_us = now_us;
	progress->shown = true;
	add_amount(progress, &line);
	add_rate(progress, now_us, &line);
	fprintf(stderr, ERASE_LINE "%.*s", STR_ARG(buf_str(&line)));
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (!progress->shown)
		return;
	progress->shown = false;
	fputs(ERASE_LINE, stderr);
	fflush(stderr);
}
