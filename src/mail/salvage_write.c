/* salvage_write.c: one account into the new store. Each message is parsed again: what the old index had derived from it is
 * not asked for. A failure ends the whole: the new store is then thrown away. */
#include "mail/salvage_private.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/pop3.h"
#include "syntax/header.h"
#include "syntax/pop3.h"

#include <errno.h>
#include <unistd.h>

#define SETTLE_AFTER    500 /* messages or entries in one batch */
#define EXTRA_MAX       ((uint64_t)256 * 1024 * 1024)
#define SAMPLE_HEADER   ((size_t)64 * 1024)
#define RECOVERED_NAME  "Recovered mailbox %u"
#define RECOVERED_WORD  "recovered-%u"

/* --- batches --- */

int salvage_settle(struct salvage *salvage)
{
	salvage->unsettled = 0;
	do {
		int fd = salvage->sync_fd;
		salvage->sync_fd = -1;
		if (fd >= 0)
			store_synced(salvage->store, file_sync(fd, salvage->sync_is_folder));
		store_turn(salvage->store);
	} while (salvage->sync_fd >= 0 && salvage->failed == 0);
	return salvage->failed;
}

static int settle_after(struct salvage *salvage, uint32_t n)
{
	salvage->unsettled += n;
	return salvage->unsettled >= SETTLE_AFTER ? salvage_settle(salvage) : 0;
}

/* --- mailboxes --- */

/* A word that IMAP can say (RFC 3501, 9: atom). */
static bool is_keyword(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("(){%*\"\\]", name.p[i]))
			return false;
	return name.n > 0 && name.n <= KEYWORD_NAME_MAX;
}

/* The names keep their places, as bits mean places; one that is damaged gets another name. */
static int make_keywords(const struct found_mailbox *found)
{
	for (uint32_t i = 0; found->row && i < found->row->n_keywords; i++) {
		struct str name = found->row->keywords[i];
		char other[32];
		uint32_t bit;
		if (!is_keyword(name) || keyword_find(found->made, name) >= 0)
			name = str_of(other, (size_t)snprintf(other, sizeof other, RECOVERED_WORD, i + 1));
		int result = keyword_add(found->made, name, KEYWORDS_MAX, &bit);
		if (result < 0)
			return result;
	}
	return 0;
}

static int make_mailbox(struct account *account, struct found_mailbox *found, uint32_t number)
{
	enum special_use use = found->row && found->row->special_use < SPECIAL_USE_COUNT
	                           ? (enum special_use)found->row->special_use
	                           : SPECIAL_USE_NONE;
	char other[64];
	found->made = account_mailbox(account, found->name);
	if (found->made)
		return make_keywords(found);
	int result = mailbox_create(account, found->name, use, UINT32_MAX, &found->made);
	if (result == ERR_EXISTS)
		result = mailbox_create(account, found->name, SPECIAL_USE_NONE, UINT32_MAX, &found->made);
	if (result == ERR_SYNTAX || result == ERR_LIMIT) {
		struct str name = str_of(other, (size_t)snprintf(other, sizeof other, RECOVERED_NAME, number + 1));
		result = mailbox_create(account, name, SPECIAL_USE_NONE, UINT32_MAX, &found->made);
	}
	return result == 0 ? make_keywords(found) : result;
}

static int by_name(const void *a, const void *b)
{
	return str_cmp((*(struct found_mailbox *const *)a)->name, (*(struct found_mailbox *const *)b)->name);
}

/* Those above others come before them, so that they keep their special use. */
static int make_mailboxes(struct found *found, struct account *account)
{
	struct found_mailbox **order = mem_alloc(found->n_mailboxes + 1, sizeof *order);
	struct mailbox *inbox;
	bool any_row = false;
	int result = 0;
	for (uint32_t i = 0; i < found->n_mailboxes; i++) {
		order[i] = &found->mailboxes[i];
		any_row |= found->mailboxes[i].row != NULL;
	}
	qsort(order, found->n_mailboxes, sizeof *order, by_name);
	if (!any_row)
		result = salvage_add_first_mailboxes(account);
	else if (!account_mailbox(account, STR("INBOX")))
		result = mailbox_create(account, STR("INBOX"), SPECIAL_USE_NONE, UINT32_MAX, &inbox);
	for (uint32_t i = 0; i < found->n_mailboxes && result == 0; i++) {
		result = make_mailbox(account, order[i], i);
		if (result == 0 && !any_row)
			result = account_subscribe(account, mailbox_facts(order[i]->made)->name, true);
	}
	mem_free(order);
	return result;
}

struct subscribing {
	struct account *account;
	int result;
};

static void subscribe(void *owner, struct str name)
{
	struct subscribing *subscribing = owner;
	if (subscribing->result == 0)
		subscribing->result = account_subscribe(subscribing->account, name, true);
	if (subscribing->result == ERR_SYNTAX || subscribing->result == ERR_LIMIT)
		subscribing->result = 0; /* a damaged name */
}

/* --- messages --- */

static int segment_fd(struct salvage *salvage, uint32_t segment, int *fd)
{
	int result = 0;
	if (salvage->segment_fd < 0 || salvage->open_segment != segment) {
		if (salvage->segment_fd >= 0)
			close(salvage->segment_fd);
		salvage->segment_fd = -1;
		result = salvage_segment_open(&salvage->segments, segment, &salvage->segment_fd);
		salvage->open_segment = segment;
	}
	*fd = salvage->segment_fd;
	return result;
}

static int add_message(struct found *found, struct account *account, struct kept *kept)
{
	struct salvage *salvage = found->salvage;
	const struct salvage_record *record = kept->record;
	struct message_arrival arrival = { .fd = -1, .internal_date = record->internal_date,
		                               .zone_minutes = record->zone_minutes };
	struct mail_source source = { .length = record->length, .start = record->offset };
	int result = segment_fd(salvage, record->segment, &source.fd);
	if (result == 0)
		result = mail_examine(salvage->reader, &source, &arrival);
	if (result == 0 || result == ERR_SYNTAX)
		result = arrival.checksum == record->checksum ? 0 : ERR_IO; /* it was right a moment ago */
	if (result == 0)
		result = salvage_add_message(account, kept->message, record->segment, record->offset, &arrival);
	kept->open_end = (arrival.traits & MESSAGE_ENDS_WITHOUT_CRLF) != 0;
	salvage->bytes += record->length;
	salvage->world->progress(salvage->owner, salvage->segments.bytes + MIN(salvage->bytes, salvage->segments.bytes),
	                         2 * salvage->segments.bytes);
	return result == 0 ? settle_after(salvage, 1) : result;
}

/* A message whose number another one has: appended as a new one. */
static int add_extra(struct found *found, struct account *account, const struct salvage_record *record)
{
	struct salvage *salvage = found->salvage;
	struct str name = salvage->segments.names[record->mailbox];
	struct mailbox *mailbox = account_mailbox(account, name);
	struct mail_settings settings = { salvage->reader, EXTRA_MAX, KEYWORDS_MAX };
	struct mail_facts facts = { .internal_date = record->internal_date, .zone_minutes = record->zone_minutes };
	int fd, result = record->length > EXTRA_MAX ? ERR_LIMIT : segment_fd(salvage, record->segment, &fd);
	uint32_t uid;
	if (result < 0)
		return result;
	char *bytes = mem_alloc_unset((size_t)record->length + 1);
	size_t n = file_read_or_zeros(fd, record->offset, bytes, (size_t)record->length);
	struct mail_source source = { .bytes = str_of(bytes, n), .fd = -1 };
	if (!mailbox)
		mailbox = account_mailbox(account, STR("INBOX"));
	result = n == record->length && mailbox ? mail_append(mailbox, &settings, &source, &facts, &uid) : ERR_IO;
	mem_free(bytes);
	if (result == ERR_SYNTAX)
		result = 0; /* no message that we ever took: it holds a NUL */
	return result == 0 ? settle_after(salvage, 1) : result;
}

/* --- entries --- */

static int by_message(const void *key, const void *item)
{
	uint64_t number = *(const uint64_t *)key, other = ((const struct kept *)item)->message;
	return (number > other) - (number < other);
}

/* Entries repeat what was derived from their messages. */
static void complete(const struct found *found, struct page *page)
{
	for (uint32_t i = 0; i < page->n; i++) {
		uint64_t number = page->entries[i].message;
		const struct kept *kept = bsearch(&number, found->kept, found->n_kept, sizeof *kept, by_message);
		page->entries[i].open_end = kept && kept->open_end;
	}
}

static int add_entries(struct found *found, struct account *account)
{
	int result = 0;
	for (uint32_t m = 0; m < found->n_mailboxes; m++)
		for (uint32_t i = 0; i < found->mailboxes[m].n_pages && result == 0; i++) {
			struct page *page = found->mailboxes[m].pages[i];
			complete(found, page);
			result = salvage_add_entries(found->mailboxes[m].made, page);
			if (result == 0)
				result = settle_after(found->salvage, page->n);
		}
	for (size_t i = 0; i < found->n_expunged && result == 0; i++) {
		struct found_expunged *expunged = &found->expunged[i];
		complete(found, expunged->page);
		result = salvage_add_expunged(account, expunged->mailbox ? expunged->mailbox->made : NULL, expunged->time,
		                              expunged->page);
		if (result == 0)
			result = settle_after(found->salvage, expunged->page->n);
	}
	return result;
}

/* Those of entries that have not come back harm nobody: an id is given once. */
static void keep_uidl(void *owner, uint64_t entry, struct str text)
{
	struct subscribing *keeping = owner;
	if (keeping->result == 0 && pop3_uidl_is_foreign(text))
		keeping->result = uidl_keep(keeping->account, entry, text);
}

static int keep_uidls(struct found *found, struct account *account)
{
	struct subscribing keeping = { account, 0 };
	if (found->row)
		salvage_index_uidls(&found->salvage->index, found->row->number, keep_uidl, &keeping);
	return keeping.result;
}

int salvage_write(struct found *found)
{
	struct salvage *salvage = found->salvage;
	struct account *account = NULL;
	int result = salvage_add_account(salvage->store, &found->id, &found->floors, &account);
	if (result < 0)
		return result;
	result = make_mailboxes(found, account);
	if (result == 0 && found->row) {
		struct subscribing subscribing = { account, 0 };
		salvage_index_subscriptions(&salvage->index, found->row->number, subscribe, &subscribing);
		result = subscribing.result;
	}
	for (size_t i = 0; i < found->n_kept && result == 0; i++)
		if (found->kept[i].wanted)
			result = add_message(found, account, &found->kept[i]);
	if (result == 0)
		result = add_entries(found, account);
	if (result == 0)
		result = keep_uidls(found, account);
	for (size_t i = 0; i < found->n_extras && result == 0; i++)
		result = add_extra(found, account, found->extras[i]);
	account_close(&account);
	return result < 0 ? result : settle_after(salvage, 1);
}

/* --- whose mail it may be --- */

void salvage_sample(struct found *found, struct buf *out)
{
	static const struct str names[] = { STR_INIT("Delivered-To"), STR_INIT("X-Original-To"), STR_INIT("To") };
	struct buf fields = BUF_INIT(SAMPLE_HEADER * 2);
	const struct salvage_record *record = found->n_kept ? found->kept[found->n_kept - 1].record : NULL;
	int fd;
	if (!record || segment_fd(found->salvage, record->segment, &fd) < 0)
		return;
	char *bytes = mem_alloc(1, SAMPLE_HEADER);
	size_t n = file_read_or_zeros(fd, record->offset, bytes, (size_t)MIN((uint64_t)SAMPLE_HEADER, record->length));
	ptrdiff_t end = str_find(str_of(bytes, n), STR("\r\n\r\n"));
	header_fields_select(str_of(bytes, end < 0 ? n : (size_t)end + 2), names, COUNT_OF(names), false, &fields);
	header_unfold(str_trim(buf_str(&fields)), out);
	buf_free(&fields);
	mem_free(bytes);
}
