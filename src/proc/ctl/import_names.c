/* import_names.c: which mailbox a folder of another program becomes. No state, nothing can fail: a name that no mailbox
 * may have is made one. */
#include "proc/ctl/import.h"

#include "base/checked.h"
#include "store/store.h"
#include "syntax/imap_name.h"
#include "text/utf8.h"

#define FALLBACK "Imported"

/* Names that programs give to what every account here has; in any case of letters. */
static const struct {
	struct str other, ours;
} NAMES[] = {
	{ STR_INIT("INBOX"), STR_INIT("INBOX") },
	{ STR_INIT("Drafts"), STR_INIT("Drafts") },
	{ STR_INIT("Draft"), STR_INIT("Drafts") },
	{ STR_INIT("Sent"), STR_INIT("Sent") },
	{ STR_INIT("Sent Items"), STR_INIT("Sent") },
	{ STR_INIT("Sent Messages"), STR_INIT("Sent") },
	{ STR_INIT("sent-mail"), STR_INIT("Sent") },
	{ STR_INIT("Trash"), STR_INIT("Trash") },
	{ STR_INIT("Deleted Items"), STR_INIT("Trash") },
	{ STR_INIT("Deleted Messages"), STR_INIT("Trash") },
	{ STR_INIT("Junk"), STR_INIT("Junk") },
	{ STR_INIT("Junk E-mail"), STR_INIT("Junk") },
	{ STR_INIT("Spam"), STR_INIT("Junk") },
	{ STR_INIT("Archive"), STR_INIT("Archive") },
	{ STR_INIT("Archives"), STR_INIT("Archive") },
};

static struct str known_name(struct str part)
{
	for (size_t i = 0; i < COUNT_OF(NAMES); i++)
		if (str_ieq(part, NAMES[i].other))
			return NAMES[i].ours;
	return part;
}

/* A part of a name without what it must not have. False: it is not as it was. */
static bool put_part(struct str part, struct buf *out)
{
	bool is_same = true;
	if (str_eq(part, STR(".")) || str_eq(part, STR(".."))) {
		buf_add_byte(out, '_');
		return false;
	}
	size_t begin = out->n;
	while (part.n > 0) {
		size_t length;
		uint32_t character = utf8_first(part, &length);
		if (out->n - begin + 4 > IMAP_NAME_PART_MAX)
			return false;
		bool is_bad = imap_name_bars(character);
		is_same = is_same && !is_bad && character != UTF8_REPLACEMENT; /* several may have become that */
		utf8_put(out, is_bad ? '_' : character);
		part = str_from(part, length);
	}
	return is_same;
}

static uint32_t depth_of(struct str name)
{
	uint32_t depth = 1;
	for (size_t i = 0; i < name.n; i++)
		depth += name.p[i] == '/';
	return depth;
}

bool import_mailbox_name(const struct import *x, struct str folder, struct buf *out)
{
	struct buf name = BUF_INIT(64 * 1024);
	const char *why;
	uint32_t max_depth = MIN((uint32_t)x->ctl->conf.imap.max_mailbox_depth, (uint32_t)MAILBOX_DEPTH_MAX);
	size_t max_name = MIN((size_t)x->ctl->conf.imap.max_mailbox_name, (size_t)MAILBOX_NAME_MAX);
	bool is_inbox = imap_name_is_inbox(folder), is_same = true;
	buf_add(&name, x->mailbox);
	if (x->mailbox.n == 0 || !is_inbox) {
		bool is_first = true;
		while (folder.p) {
			struct str part = str_cut(&folder, '/');
			if (part.n == 0)
				continue;
			if (name.n > 0)
				buf_add_byte(&name, '/');
			is_same = put_part(is_first && x->mailbox.n == 0 ? known_name(part) : part, &name) && is_same;
			is_first = false;
		}
	}
	bool is_good = !name.failed && imap_name_check(buf_str(&name), &why) == 0 && name.n <= max_name &&
	               depth_of(buf_str(&name)) <= max_depth;
	buf_add(out, is_good ? buf_str(&name) : x->mailbox.n ? x->mailbox : STR(FALLBACK));
	if (out->n > 0)
		imap_name_normalise(out->p, out->n);
	buf_free(&name);
	return is_good && is_same;
}
