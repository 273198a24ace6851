/* space.c: says when the disk has less free than store.reserve_free_space, and nothing is written any more: one warning
 * when that begins and one line when it has ended, however many are refused meanwhile. Looks when the store has refused
 * something, when it is asked for the status, and from time to time: large messages are refused by smtp already, and
 * the end of it is told by nobody. Owned by the shard; fails never: what the system does not tell is taken as enough. */
#include "proc/shard/shard.h"

#include "base/log.h"

#define LOOK_MS 5000

static void look(struct shard *shard)
{
	uint64_t bytes, reserve = shard->process->conf.store.reserve_free_space;
	bool is_short = store_is_short_of_space(shard->store, &bytes);
	shard->space.free_bytes = bytes;
	shard->space.refusals = store_space_refusals(shard->store);
	if (is_short == shard->space.is_short)
		return;
	shard->space.is_short = is_short;
	if (is_short)
		log_warning("space-short", LOG_S("directory", buf_str(&shard->directory)), LOG_U("free", bytes),
		            LOG_U("reserve", reserve),
		            LOG_C("action", "until there is more room nothing is written: senders are put off, IMAP clients hear NO; make "
		                  "room beside the mail, or enlarge the disk; the server goes on by itself"));
	else
		log_info("space-enough", LOG_S("directory", buf_str(&shard->directory)), LOG_U("free", bytes),
		         LOG_U("reserve", reserve));
}

static void look_again(void *owner)
{
	struct shard *shard = owner;
	look(shard);
	loop_timer_start(shard->space.timer, LOOK_MS);
}

void space_begin(struct shard *shard)
{
	shard->space.timer = loop_timer_new(shard->process->loop, look_again, shard);
	look_again(shard);
}

void space_after_turn(struct shard *shard)
{
	if (store_space_refusals(shard->store) != shard->space.refusals)
		look(shard);
}

void space_status(struct shard *shard, struct buf *out)
{
	look(shard);
	role_status_add(out, STR("disk_free_bytes"), shard->space.free_bytes);
	role_status_add(out, STR("short_of_space"), shard->space.is_short);
}

void space_free(struct shard *shard)
{
	loop_timer_free(&shard->space.timer);
}
