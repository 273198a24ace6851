/* gone_logins.c: a ring of the last ones, and one time for all that it has no room for. Owned by the shard, no memory of
 * its own. */
#include "proc/shard/gone_logins.h"

#include "base/checked.h"
#include "ipc/ticket.h"

/* And a second, for tickets are made by whole ones. */
#define TICKET_LIFETIME_MS ((TICKET_LIFETIME_SECONDS + 1) * UINT64_C(1000))

void gone_logins_add(struct gone_logins *gone, uint64_t login, uint64_t now_ms)
{
	struct gone_login *place = &gone->list[gone->n++ % GONE_LOGINS_MAX];
	gone->until_ms = MAX(gone->until_ms, place->until_ms);
	*place = (struct gone_login){ login, now_ms + TICKET_LIFETIME_MS };
}

bool gone_logins_has(const struct gone_logins *gone, uint64_t login, uint64_t left_seconds, uint64_t now_ms)
{
	if (login == 0) /* the account's own password */
		return false;
	for (size_t i = 0; i < GONE_LOGINS_MAX; i++)
		if (gone->list[i].login == login)
			return true;
	return now_ms < gone->until_ms && left_seconds <= (gone->until_ms - now_ms) / 1000;
}
