/* cmd_store.c: STORE (RFC 3501, 6.4.6). One change for all messages, then an answer of flags that pauses like FETCH.
 * Flags that somebody else changed meanwhile are told as notices, after .SILENT too. */
#include "proto/imap/session_private.h"
#include "proto/imap/uids.h"

static enum flags_mode mode_of(enum imap_store_mode mode)
{
	switch (mode) {
	case IMAP_STORE_REPLACE:
		return FLAGS_REPLACE;
	case IMAP_STORE_ADD:
		return FLAGS_ADD;
	case IMAP_STORE_REMOVE:
		return FLAGS_REMOVE;
	}
	return FLAGS_REPLACE;
}

/* Keyword names to bits, making those that are missing; where they are to be removed, what is missing is none. */
static int keyword_bits(struct imap_session *s, const struct imap_store *store, struct keyword_bits *out)
{
	struct mailbox *mailbox = s->selected.mailbox;
	for (uint32_t i = 0; i < store->flags.keywords.n; i++) {
		struct str name = store->flags.keywords.items[i];
		uint32_t bit;
		int found = keyword_find(mailbox, name), err;
		if (found >= 0) {
			bit = (uint32_t)found;
		} else if (store->mode == IMAP_STORE_REMOVE) {
			continue;
		} else {
			if (name.n > s->settings->max_keyword_length)
				return ERR_LIMIT;
			if ((err = keyword_add(mailbox, name, s->settings->mail.max_keywords, &bit)) < 0)
				return err;
		}
		out->word[bit / 64] |= UINT64_C(1) << (bit % 64);
	}
	return 0;
}

static uint64_t count_present(const struct mailbox *mailbox, const struct set *uids)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < uids->n; i++) {
		count +=
		    mailbox_count_below(mailbox, uids->ranges[i].last) - mailbox_count_below(mailbox, uids->ranges[i].first);
		count += entry_find(mailbox, uids->ranges[i].last) != NULL;
	}
	return count;
}

/* Changes the flags of these messages; the answer is chosen or begun. */
static void store_flags(struct imap_session *s, const struct imap_store *store, struct set *uids)
{
	struct flags_change change = { .mode = mode_of(store->mode), .flags = (uint8_t)store->flags.system };
	int err = keyword_bits(s, store, &change.keywords);
	if (err == 0)
		err = mailbox_store(s->selected.mailbox, uids, &change, s->id, NULL);
	if (err < 0) {
		imap_no_error(s, err);
		return;
	}
	if (store->silent)
		imap_ok_unless_gone(s, set_count(uids), count_present(s->selected.mailbox, uids), "STORE completed.");
	else
		imap_fetch_flags_begin(s, uids, "STORE completed.");
}

enum imap_step imap_cmd_store(struct imap_session *s)
{
	const struct imap_command *command = imap_command_of(s);
	struct set uids = SET_INIT;
	if (imap_refuse_params(s) || imap_refuse_read_only(s))
		return IMAP_STEP_DONE;
	if (uids_resolve(&command->store.set, command->uid, &s->selected.known.uids, &uids) < 0)
		imap_bad(s, "There is no message of that number.");
	else
		store_flags(s, &command->store, &uids);
	set_free(&uids);
	return s->task ? imap_fetch_step(s) : IMAP_STEP_DONE;
}
