/* A mailbox's keyword names as they stand in its row: a damaged list is no mailbox, or (salvage) gives the names that it
 * begins with; a good one is the same for both. */
#include "store/internal.h"
#include "store/salvage_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct store store;
	static struct account account = { .store = &store };
	const struct mailbox_facts facts = { .name = STR("INBOX"), .number = 1 };
	struct str blob = str_of((const char *)data, size);
	struct str *names;
	uint32_t n = salvage_keywords(blob, &names);
	struct mailbox *mailbox = mailbox_new(&account, &facts, blob);
	if (n > KEYWORDS_MAX || (mailbox && mailbox->n_keywords != n))
		abort();
	for (uint32_t i = 0; i < n; i++) {
		if (names[i].n > KEYWORD_NAME_MAX || (mailbox && !str_eq(names[i], mailbox->keywords[i])))
			abort();
		mem_free((char *)names[i].p);
	}
	mem_free(names);
	mailbox_free(&mailbox);
	return 0;
}
